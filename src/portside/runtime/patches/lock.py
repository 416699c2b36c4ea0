"""`_thread`'s locks: who waits for one parks its task.

They are replaced in their C types, so a lock made before the world, or by a library shared with the code outside, is a
lock for tasks too. A lock that a task releases goes to the task that has waited longest, once that runs.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import Final, cast
from weakref import ref

from greenlet import getcurrent

from portside.host.file import Blocked
from portside.runtime import waiting
from portside.runtime.arguments import nanoseconds
from portside.runtime.patcher import Patcher
from portside.runtime.program import ident_of
from portside.sim.scheduler import Task

Real = Callable[..., object]

_LOCK: Final = Blocked("acquiring a lock")
_Lock: Final = type(_thread.allocate_lock())
_RLock: Final = _thread.RLock
_real_count: Final = _thread._count

_held: Final[dict[int, object]] = {}
"""Plain locks that tasks have acquired, by id: what fails to be acquired and is not here, another thread holds."""

_promised: Final[dict[int, ref[Task]]] = {}
"""By id, open locks that a task was woken for which has not run since."""


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
    """Lock.acquire: a task that waits has its turn before another that would wait too."""
    task = getcurrent()
    if type(task) is not Task:
        return _real_acquire(self, blocking, timeout)
    promised = id(self) in _promised and _is_promised(self, task)
    if not (blocking and promised) and _real_acquire(self, False):
        if blocking is not True or timeout != -1:
            try:
                _deadline(task, _real_acquire, self, blocking, timeout)
            except BaseException:
                _real_release(self)
                raise
        _held[id(self)] = self
        return True
    deadline = _deadline(task, _real_acquire, self, blocking, timeout)
    if id(self) not in _held and not promised and _acquire_outside(self, 0 if deadline == -1 else 1.0):
        _held[id(self)] = self
        return True
    if deadline == -1:
        task.world.spin()
        return False
    return _wait(task, self, deadline)


def _wait(task: Task, lock: object, deadline: int | None) -> bool:
    """Park until the lock is promised to the task, and take it, unless somebody who would not wait was quicker."""
    try:
        while waiting.wait(task, lock, deadline, _LOCK):
            _promised.pop(id(lock), None)
            if _real_acquire(lock, False):
                _held[id(lock)] = lock
                return True
    except BaseException:
        promised = _promised.get(id(lock))
        if promised is not None and promised() is task:
            _promise(lock)
        raise
    return False


def _is_promised(lock: object, task: Task) -> bool:
    """Whether the lock is to be another task's, of the same world: one of a world that is over never comes."""
    other = _promised[id(lock)]()
    if other is not None and not other.ended and other.world is task.world:
        return True
    del _promised[id(lock)]
    return False


def _promise(lock: object) -> None:
    """Wake the task that has waited longest; it takes the lock when it runs."""
    task = waiting.wake_next(lock)
    if task is None:
        _promised.pop(id(lock), None)
    else:
        _promised[id(lock)] = ref(task)


def release(self: object) -> object:
    """Lock.release: whoever waits longest takes it next. Until then it is open, as in C."""
    if waiting.anyone(self) and cast("_thread.LockType", self).locked():
        _promise(self)
    _held.pop(id(self), None)
    return _real_release(self)


def lock_enter(self: object) -> object:
    """Lock.__enter__."""
    return acquire(self)


def lock_exit(self: object, *_: object) -> object:
    """Lock.__exit__."""
    return release(self)


# -- re-entrant locks --


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


_real_acquire: Real
_real_release: Real
_real_rlock_acquire: Real
_real_rlock_release: Real
_real_is_owned: Real
_real_recursion_count: Real
_real_release_save: Real
_real_acquire_restore: Real


def add(patcher: Patcher) -> None:
    """Replace the methods of both kinds of lock."""
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
    if hasattr(_RLock, "_recursion_count"):  # from 3.11.5 and 3.12 on
        _real_recursion_count = patcher.method(_RLock, "_recursion_count", rlock_recursion_count)
    _real_release_save = patcher.method(_RLock, "_release_save", rlock_release_save)
    _real_acquire_restore = patcher.method(_RLock, "_acquire_restore", rlock_acquire_restore)
