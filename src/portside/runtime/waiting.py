"""Tasks that wait for one another: who is parked on which object, in order of arrival."""

from __future__ import annotations

from collections import deque
from typing import Final

from portside.host.file import Blocked
from portside.sim.scheduler import Task

_queues: Final[dict[int, deque[Task]]] = {}


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
    return task


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
