"""`threading`, which stays the interpreter's but for what it keeps in tables of its own.

Who is the main thread, which threads there are, how they are numbered and what `excepthook` is, is told per program.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Final, cast

from greenlet import getcurrent

from portside.host.processes import Process
from portside.runtime.patcher import Patcher
from portside.runtime.patches.thread import ENDINGS
from portside.runtime.program import Program, begin_idents, current_program, forget_ended, ident_of, threads
from portside.runtime.report import print_exception
from portside.runtime.trap import process_of
from portside.sim.scheduler import Task

Real = Callable[..., object]


def main_thread(real: Real) -> object:
    """threading.main_thread: the program's own."""
    program = current_program()
    return real() if program is None or program.main_thread is None else program.main_thread


def _mine(thread: threading.Thread, process: Process | None) -> bool:
    task = threads.get(thread.ident or 0)
    return (task is None) if process is None else (task is not None and task.process is process)


def enumerate_threads(real: Real) -> object:
    """threading.enumerate and active_count's ground: the program's own threads, or those outside the world."""
    task = getcurrent()
    process = process_of(task) if type(task) is Task else None
    if process is None and not threads:
        return real()
    return [thread for thread in cast("list[threading.Thread]", real()) if _mine(thread, process)]


def active_count(real: Real) -> object:
    """threading.active_count."""
    return len(threading.enumerate()) if threads else real()


def new_name(real: Real, template: str = "Thread-%d") -> object:
    """threading._newname: counted per process."""
    program = current_program()
    return real(template) if program is None else template % next(program.thread_names)


def _told(args: object) -> None:
    """What threading.excepthook does of itself, with the program's frames only."""
    kind, value, _, thread = cast("tuple[type[BaseException], BaseException | None, object, object]", args)
    if value is not None and not issubclass(kind, SystemExit):
        name = thread.name if isinstance(thread, threading.Thread) else str(_thread.get_ident())
        print_exception(value, f"Exception in thread {name}:")


_HOOK: Final = "threading.excepthook"
_hook_outside: Real = threading.excepthook


def excepthook(args: object, /) -> object:
    """threading.excepthook as `threading` calls it: the program's own, if it has set one. An ending is no error."""
    program = current_program()
    if program is None:
        return _hook_outside(args)
    if program.process.alive and not issubclass(cast("tuple[type[BaseException]]", args)[0], ENDINGS):
        cast(Real, program.values.get(_HOOK, _told))(args)
    return None


class _Threading(ModuleType):
    """The class of the `threading` module while worlds run: `excepthook` is set and read per program."""

    @property
    def excepthook(self) -> object:
        """What a program has set, or the default; outside, what was set there."""
        program = current_program()
        return _hook_outside if program is None else program.values.get(_HOOK, _told)

    @excepthook.setter
    def excepthook(self, hook: Real) -> None:
        global _hook_outside  # noqa: PLW0603
        program = current_program()
        if program is None:
            _hook_outside = hook
        else:
            program.values[_HOOK] = hook


_active: Final[dict[int, threading.Thread]] = threading._active  # type: ignore[attr-defined]
_aside: Final[dict[int, threading.Thread]] = {}
"""Threads of worlds that were left open, while no world runs: the code outside does not see them."""


def _enter() -> None:
    global _hook_outside  # noqa: PLW0603
    forget_ended()
    begin_idents()
    _active.update({ident: thread for ident, thread in _aside.items() if ident in threads})
    _aside.clear()
    _hook_outside = threading.__dict__["excepthook"]
    threading.__dict__["excepthook"] = excepthook
    threading.__class__ = _Threading


def _leave() -> None:
    forget_ended()
    _aside.update({ident: _active.pop(ident) for ident in threads if ident in _active})
    threading.__class__ = ModuleType
    threading.__dict__["excepthook"] = _hook_outside


def begin_main_thread(program: Program, task: Task) -> None:
    """The current task is the main thread of `program`, also for `threading`."""
    program.main_task = task
    ident_of(task)
    program.main_thread = threading._MainThread()  # type: ignore[attr-defined]


def join_all(program: Program) -> None:
    """What the interpreter does when its main thread is done: wait for every other that is no daemon."""
    _end_executors(program)
    while True:
        rest = [t for t in threading.enumerate() if not t.daemon and t is not program.main_thread]
        if not rest:
            return
        rest[0].join()


def _end_executors(program: Program) -> None:
    """concurrent.futures.thread._python_exit, for the executors of one program only."""
    module = sys.modules.get("concurrent.futures.thread")
    for thread, queue in list(getattr(module, "_threads_queues", {}).items()):
        if _mine(thread, program.process):
            with suppress(AttributeError, IndexError):
                executor = thread._args[0]()
                if executor is not None:
                    executor._shutdown = True
            queue.put(None)


def add(patcher: Patcher) -> None:
    """Let what `threading` knows of its interpreter be known of a program."""
    patcher.hook(_enter, _leave)
    patcher.function(threading, "main_thread", main_thread)
    patcher.function(threading, "enumerate", enumerate_threads)
    patcher.function(threading, "active_count", active_count)
    patcher.function(threading, "_newname", new_name)
