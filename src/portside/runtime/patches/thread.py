"""`_thread`'s threads: each is a task of the process, with an identifier of its own."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import Final, cast

from greenlet import getcurrent

from portside.host.file import Blocked
from portside.host.processes import Process, ProcessExit
from portside.runtime import waiting
from portside.runtime.arguments import nanoseconds
from portside.runtime.patcher import Patcher
from portside.runtime.patches.lock import release
from portside.runtime.program import ident_of, program_of, threads
from portside.runtime.report import print_exception
from portside.runtime.trap import process_of
from portside.sim.errors import WorldClosed
from portside.sim.scheduler import Task

Real = Callable[..., object]

ENDINGS: Final = (ProcessExit, WorldClosed)
"""What is thrown into the tasks of a process or a world that ends: no error of the program's."""

_JOIN: Final = Blocked("joining a thread")
_allocate: Final = _thread.allocate_lock


def get_ident(real: Real) -> object:
    """_thread.get_ident and get_native_id."""
    task = getcurrent()
    return ident_of(task) if type(task) is Task else real()


_sentinels: Final[dict[Task, object]] = {}


def set_sentinel(real: Real) -> object:
    """_thread._set_sentinel: a lock that is released when the thread ends (Python 3.11 and 3.12)."""
    task = getcurrent()
    if type(task) is not Task:
        return real()
    lock = _sentinels[task] = _allocate()
    return lock


def _refuse(function: object, arguments: object, keywords: object) -> None:
    """The errors of start_new_thread for wrong arguments."""
    if not callable(function):
        raise TypeError("first arg must be callable")
    if not isinstance(arguments, tuple):
        raise TypeError("2nd arg must be a tuple")
    if keywords is not None and not isinstance(keywords, dict):
        raise TypeError("optional 3rd arg must be a dictionary")


def start_new_thread(real: Real, function: object, args: object, kwargs: object = None, /) -> object:
    """_thread.start_new_thread: a task of the same process."""
    task = getcurrent()
    if type(task) is not Task:
        return real(function, args) if kwargs is None else real(function, args, kwargs)
    _refuse(function, args, kwargs)
    call = cast(Callable[..., object], function)
    arguments, keywords = cast("tuple[object, ...]", args), cast("dict[str, object]", kwargs or {})
    return ident_of(_spawn(process_of(task), task, call, arguments, keywords))


def _spawn(
    process: Process, parent: Task, call: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object],
    at_end: Callable[[], None] | None = None,
) -> Task:  # fmt: skip
    def body() -> None:
        try:
            call(*args, **kwargs)
        except (SystemExit, *ENDINGS):
            pass
        except BaseException as error:
            if process.alive:
                print_exception(error, f"Exception ignored in thread started by: {call!r}")
        finally:
            end_of_thread(task)
            if at_end is not None:
                at_end()

    thread = getattr(call, "__self__", None)
    name = thread.name if isinstance(thread, threading.Thread) else "thread"
    task = parent.world.spawn(process, body, name)
    process.tasks.append(task)
    ident_of(task)
    return task


def end_of_thread(task: Task) -> None:
    """A thread of a program has ended: whoever joins it goes on, and no table names it any more."""
    cast(Process, task.process).tasks.remove(task)
    ident = ident_of(task)
    threads.pop(ident, None)
    threading._active.pop(ident, None)  # type: ignore[attr-defined]
    lock = _sentinels.pop(task, None)
    if lock is not None:
        getattr(threading, "_shutdown_locks", set()).discard(lock)
        if lock.locked():  # type: ignore[attr-defined]
            release(lock)


def leave_shutdown_locks() -> None:
    """The real interpreter, when it ends, shall not wait for threads of programs that a world left unfinished.

    `threading` enters each thread's lock in `_shutdown_locks`, until Python 3.12; a simulated one is released by nobody
    when its world has stopped.
    """
    locks: set[object] = getattr(threading, "_shutdown_locks", set())
    locks.difference_update(_sentinels.values())


class Handle:
    """_thread._ThreadHandle of a task: what Thread.join waits on from Python 3.13 on."""

    __slots__ = ("__weakref__", "_done", "ident")

    def __init__(self, ident: int = 0) -> None:
        self.ident = ident
        self._done = False

    def is_done(self) -> bool:
        """Whether the thread has ended."""
        if not self._done and type(task := getcurrent()) is Task:
            task.world.spin()
        return self._done

    def _set_done(self) -> None:
        self._done = True
        while waiting.wake_next(self) is not None:
            pass

    def join(self, timeout: float | None = None, /) -> None:
        """Wait until the thread has ended, at most `timeout` seconds."""
        task = getcurrent()
        if self._done or type(task) is not Task:
            return
        if self.ident == ident_of(task):
            raise RuntimeError("Cannot join current thread")
        wait = None if timeout is None or timeout < 0 else nanoseconds(timeout)
        waiting.wait(task, self, None if wait is None else task.world.now + wait, _JOIN)


def thread_handle(real: Real) -> object:
    """_thread._ThreadHandle."""
    return Handle() if type(getcurrent()) is Task else real()


def make_thread_handle(real: Real, ident: int, /) -> object:
    """_thread._make_thread_handle, for the main thread and for threads that threading did not start."""
    return Handle(ident) if type(getcurrent()) is Task else real(ident)


def start_joinable_thread(
    real: Real, function: Callable[..., object], handle: object = None, daemon: bool = True
) -> object:
    """_thread.start_joinable_thread."""
    task = getcurrent()
    if type(task) is not Task:
        return real(function, handle=handle, daemon=daemon)
    if not isinstance(handle, Handle):
        # The Thread was made outside the world and is started inside: nobody out there can wait for it.
        owner = getattr(function, "__self__", None)
        handle = Handle()
        if owner is not None:
            owner._handle = handle
    handle.ident = ident_of(_spawn(process_of(task), task, function, (), {}, handle._set_done))
    return handle


def main_thread_ident(real: Real) -> object:
    """_thread._get_main_thread_ident."""
    task = getcurrent()
    if type(task) is not Task:
        return real()
    main = program_of(process_of(task)).main_task
    return ident_of(main or task)


def thread_count(real: Real) -> object:
    """_thread._count: threads of the process but the main one."""
    task = getcurrent()
    return max(0, len(process_of(task).tasks) - 1) if type(task) is Task else real()


def add(patcher: Patcher) -> None:
    """Replace what starts, joins, names and counts threads."""
    for name in ("start_new_thread", "start_new"):
        patcher.function(_thread, name, start_new_thread)
    for name in ("get_ident", "get_native_id"):
        patcher.function(_thread, name, get_ident)
    patcher.function(_thread, "_set_sentinel", set_sentinel)
    patcher.function(_thread, "_ThreadHandle", thread_handle)
    patcher.function(_thread, "_make_thread_handle", make_thread_handle)
    patcher.function(_thread, "start_joinable_thread", start_joinable_thread)
    patcher.function(_thread, "_get_main_thread_ident", main_thread_ident)
    patcher.function(_thread, "_count", thread_count)
