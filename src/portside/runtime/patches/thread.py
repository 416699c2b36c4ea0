"""`_thread`: threads are tasks of the process; locks park tasks; identifiers and locals are a task's own.

`threading` above it stays the interpreter's, but for what it keeps in tables of its own: who is the main thread, which
threads there are, and how they are numbered is told per process.

Locks are replaced in their C types, so a lock made before the world, or by a library shared with the code outside, is a
lock for tasks too. A lock that a task releases goes to the task that has waited longest.
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

from portside.host.file import Blocked
from portside.host.processes import Process, ProcessExit
from portside.runtime import waiting
from portside.runtime.patcher import Patcher
from portside.runtime.program import Program, current_program, forget_ended, ident_of, program_of, threads
from portside.runtime.report import print_exception
from portside.runtime.trap import nanoseconds, process_of
from portside.sim.errors import WorldClosed
from portside.sim.scheduler import Task

Real = Callable[..., object]

ENDINGS: Final = (ProcessExit, WorldClosed)
"""What is thrown into the tasks of a process or a world that ends: no error of the program's."""

_LOCK: Final = Blocked("acquiring a lock")
_JOIN: Final = Blocked("joining a thread")
_Lock: Final = type(_thread.allocate_lock())
_RLock: Final = _thread.RLock
_allocate: Final = _thread.allocate_lock
_real_count: Final = _thread._count

_held: Final[dict[int, object]] = {}
"""Plain locks that tasks have acquired, by id: what fails to be acquired and is not here, another thread holds."""


# -- locks --


def _deadline(task: Task, real: Real, lock: object, blocking: object, timeout: object) -> int | None:
    """When a lock's acquire gives up: None for never. Wrong arguments get the original's error."""
    if blocking and timeout == -1:
        return None
    if not blocking:
        if timeout != -1:
            real(lock, blocking, timeout)
        return -1
    wait = nanoseconds(timeout)
    if wait < 0 or wait > threading.TIMEOUT_MAX * 1e9:
        real(lock, blocking, timeout)
    return task.world.now + wait


def _acquire_outside(lock: object, timeout: float) -> bool:
    """Wait for a lock that a thread outside the world holds: for real, since it goes on by itself."""
    return bool(_real_acquire(lock, True, timeout)) if _real_count() else False


def acquire(self: object, blocking: object = True, timeout: object = -1) -> object:
    """Lock.acquire."""
    task = getcurrent()
    if type(task) is not Task:
        return _real_acquire(self, blocking, timeout)
    if _real_acquire(self, False):
        if blocking is not True or timeout != -1:
            try:
                _deadline(task, _real_acquire, self, blocking, timeout)
            except BaseException:
                _real_release(self)
                raise
        _held[id(self)] = self
        return True
    deadline = _deadline(task, _real_acquire, self, blocking, timeout)
    if id(self) not in _held and _acquire_outside(self, 0 if deadline == -1 else 1.0):
        _held[id(self)] = self
        return True
    if deadline == -1:
        task.world.spin()
        return False
    try:
        if waiting.wait(task, self, deadline, _LOCK):
            return True  # handed over, still locked
    except BaseException:
        if _given.pop(task, None) is self:
            release(self)
        raise
    finally:
        _given.pop(task, None)
    return False


_given: Final[dict[Task, object]] = {}
"""Locks handed to tasks that have not run since."""


def release(self: object) -> object:
    """Lock.release: to the task that has waited longest, if there is one."""
    if waiting.anyone(self) and cast("_thread.LockType", self).locked():
        task = waiting.wake_next(self)
        if task is not None:
            _given[task] = self
            return None
    _held.pop(id(self), None)
    return _real_release(self)


def lock_enter(self: object) -> object:
    """Lock.__enter__."""
    return acquire(self)


def lock_exit(self: object, *_: object) -> object:
    """Lock.__exit__."""
    return release(self)


class _Owner:
    """Which task holds a re-entrant lock, and how often."""

    __slots__ = ("count", "lock", "task")

    def __init__(self, lock: object, task: Task, count: int) -> None:
        self.lock = lock
        self.task = task
        self.count = count


_owners: Final[dict[int, _Owner]] = {}


def rlock_acquire(self: object, blocking: object = True, timeout: object = -1) -> object:
    """RLock.acquire: owned by a task, and at the same time by this thread against threads outside."""
    task = getcurrent()
    if type(task) is not Task:
        return _real_rlock_acquire(self, blocking, timeout)
    owner = _owners.get(id(self))
    if owner is None:
        taken = _real_rlock_acquire(self, blocking, timeout)
        if taken:
            _owners[id(self)] = _Owner(self, task, 1)
        return taken
    if owner.task is task:
        owner.count += 1
        return True
    deadline = _deadline(task, _real_rlock_acquire, self, blocking, timeout)
    if deadline == -1:
        task.world.spin()
        return False
    try:
        return waiting.wait(task, self, deadline, _LOCK)
    except BaseException:
        if owner.task is task:
            _pass_on(self, owner)
        raise


def _pass_on(lock: object, owner: _Owner) -> None:
    task = waiting.wake_next(lock)
    if task is not None:
        owner.task = task
        owner.count = 1
    else:
        del _owners[id(lock)]
        _real_rlock_release(lock)


def rlock_release(self: object) -> object:
    """RLock.release. RuntimeError unless the task holds it."""
    task = getcurrent()
    if type(task) is not Task:
        return _real_rlock_release(self)
    owner = _owners.get(id(self))
    if owner is None or owner.task is not task:
        raise RuntimeError("cannot release un-acquired lock")
    owner.count -= 1
    if not owner.count:
        _pass_on(self, owner)
    return None


def rlock_enter(self: object) -> object:
    """RLock.__enter__."""
    return rlock_acquire(self)


def rlock_exit(self: object, *_: object) -> object:
    """RLock.__exit__."""
    return rlock_release(self)


def rlock_is_owned(self: object) -> object:
    """RLock._is_owned, by which a Condition checks its caller."""
    task = getcurrent()
    if type(task) is not Task:
        return _real_is_owned(self)
    owner = _owners.get(id(self))
    return owner is not None and owner.task is task


def rlock_recursion_count(self: object) -> object:
    """RLock._recursion_count."""
    task = getcurrent()
    if type(task) is not Task:
        return _real_recursion_count(self)
    owner = _owners.get(id(self))
    return owner.count if owner is not None and owner.task is task else 0


def rlock_release_save(self: object) -> object:
    """RLock._release_save: give it up wholly, for Condition.wait."""
    task = getcurrent()
    if type(task) is not Task:
        return _real_release_save(self)
    owner = _owners.get(id(self))
    if owner is None or owner.task is not task:
        raise RuntimeError("cannot release un-acquired lock")
    count = owner.count
    _pass_on(self, owner)
    return count, ident_of(task)


def rlock_acquire_restore(self: object, state: tuple[int, int], /) -> object:
    """RLock._acquire_restore: take it again as often as it was held."""
    task = getcurrent()
    if type(task) is not Task:
        return _real_acquire_restore(self, state)
    rlock_acquire(self)
    _owners[id(self)].count = state[0]
    return None


# -- threads --


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


# -- what threading keeps --


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


def _enter() -> None:
    global _hook_outside  # noqa: PLW0603
    forget_ended()
    _hook_outside = threading.__dict__["excepthook"]
    threading.__dict__["excepthook"] = excepthook
    threading.__class__ = _Threading


def _leave() -> None:
    forget_ended()
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


_real_acquire: Real
_real_release: Real
_real_rlock_acquire: Real
_real_rlock_release: Real
_real_is_owned: Real
_real_recursion_count: Real
_real_release_save: Real
_real_acquire_restore: Real


def _add_locks(patcher: Patcher) -> None:
    global _real_acquire, _real_release, _real_rlock_acquire, _real_rlock_release  # noqa: PLW0603 - known once
    global _real_is_owned, _real_recursion_count, _real_release_save, _real_acquire_restore  # noqa: PLW0603
    _real_acquire = patcher.method(_Lock, "acquire", acquire)
    patcher.method(_Lock, "acquire_lock", acquire)
    patcher.method(_Lock, "__enter__", lock_enter)
    _real_release = patcher.method(_Lock, "release", release)
    patcher.method(_Lock, "release_lock", release)
    patcher.method(_Lock, "__exit__", lock_exit)
    _real_rlock_acquire = patcher.method(_RLock, "acquire", rlock_acquire)
    patcher.method(_RLock, "__enter__", rlock_enter)
    _real_rlock_release = patcher.method(_RLock, "release", rlock_release)
    patcher.method(_RLock, "__exit__", rlock_exit)
    _real_is_owned = patcher.method(_RLock, "_is_owned", rlock_is_owned)
    _real_recursion_count = patcher.method(_RLock, "_recursion_count", rlock_recursion_count)
    _real_release_save = patcher.method(_RLock, "_release_save", rlock_release_save)
    _real_acquire_restore = patcher.method(_RLock, "_acquire_restore", rlock_acquire_restore)


def add(patcher: Patcher) -> None:
    """Replace locks, threads and identifiers, and what `threading` keeps per interpreter."""
    _add_locks(patcher)
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
    patcher.hook(_enter, _leave)
    patcher.function(threading, "main_thread", main_thread)
    patcher.function(threading, "enumerate", enumerate_threads)
    patcher.function(threading, "active_count", active_count)
    patcher.function(threading, "_newname", new_name)
