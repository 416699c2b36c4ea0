"""Tasks that wait for one another: who is parked on which object, in order of arrival.

A thread outside the world may hold what a task waits for (a lock of the standard library's), so it may wake tasks too.
"""

from __future__ import annotations

import _thread
from collections import deque
from typing import Final

from greenlet import getcurrent

from portside.host.file import Blocked
from portside.sim.scheduler import Task

_queues: Final[dict[int, deque[Task]]] = {}

_allocate: Final = _thread.allocate_lock
_count: Final = _thread._count
_bell: Final = _allocate()
"""Open when somebody who is no task has woken one."""
_ring: Final = _bell.release
_heard: Final = _bell.acquire

PATIENCE: Final = 1.0  # seconds of real time for which a world at a standstill hopes for a thread outside


def anyone(thing: object) -> bool:
    """Whether a task waits for `thing`."""
    return id(thing) in _queues


def next_one(thing: object) -> Task | None:
    """The task that has waited longest for `thing`, which waits no more."""
    queue = _queues.get(id(thing))
    if queue is None:
        return None
    task = queue.popleft()
    if not queue:
        del _queues[id(thing)]
    return task


def wake_next(thing: object) -> Task | None:
    """Make the task that has waited longest for `thing` ready, and give it."""
    task = next_one(thing)
    if task is not None:
        task.world.wake(task)
        if type(getcurrent()) is not Task and _bell.locked():
            _ring()
    return task


def helped_from_outside() -> bool:
    """Whether a thread outside wakes a task within a moment: asked of a world in which everybody waits for ever."""
    if not _queues or not _count():
        return False
    return _heard(False) or _heard(True, PATIENCE)


def wait(task: Task, thing: object, deadline: int | None, why: Blocked) -> bool:
    """Park the current task until it is picked by `next_one` for `thing`; False when `deadline` came first.

    The caller holds `thing` alive. Raises what is thrown into the task, which then waits no more.
    """
    queue = _queues.get(id(thing))
    if queue is None:
        queue = _queues[id(thing)] = deque()
    queue.append(task)
    world = task.world
    try:
        while world.block(deadline, why) and task in queue:
            pass
        return task not in queue  # it may have been picked when its deadline had just come
    finally:
        if task in queue:
            queue.remove(task)
            if not queue and _queues.get(id(thing)) is queue:
                del _queues[id(thing)]
