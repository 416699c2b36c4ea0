"""`_queue.SimpleQueue`: a `get` that parks the task. The queue itself stays the interpreter's object."""

from __future__ import annotations

import _queue
from collections.abc import Callable
from typing import Final

from greenlet import getcurrent

from portside.host.file import Blocked
from portside.runtime import waiting
from portside.runtime.arguments import nanoseconds
from portside.runtime.patcher import Patcher
from portside.sim.scheduler import Task

Queue = _queue.SimpleQueue[object]

_GET: Final = Blocked("getting from a queue")

_real_get: Callable[..., object]
_real_put: Callable[..., object]


def get(self: Queue, block: object = True, timeout: object = None) -> object:
    """SimpleQueue.get."""
    task = getcurrent()
    if type(task) is not Task:
        return _real_get(self, block, timeout)
    deadline = None
    if block and timeout is not None:
        wait = nanoseconds(timeout)
        if wait < 0:
            raise ValueError("'timeout' must be a non-negative number")
        deadline = task.world.now + wait
    while self.empty():
        if not block or not waiting.wait(task, self, deadline, _GET):
            task.world.spin()
            break
    return _real_get(self, False)


def put(self: Queue, item: object, block: object = True, timeout: object = None) -> object:
    """SimpleQueue.put: never waits."""
    _real_put(self, item)
    if waiting.anyone(self):
        waiting.wake_next(self)
    return None


def put_nowait(self: Queue, item: object) -> object:
    """SimpleQueue.put_nowait."""
    return put(self, item)


def get_nowait(self: Queue) -> object:
    """SimpleQueue.get_nowait."""
    return get(self, False)


def add(patcher: Patcher) -> None:
    """Replace the methods in the type itself."""
    global _real_get, _real_put  # noqa: PLW0603 - the originals, known once
    _real_get = patcher.method(_queue.SimpleQueue, "get", get)
    _real_put = patcher.method(_queue.SimpleQueue, "put", put)
    patcher.method(_queue.SimpleQueue, "get_nowait", get_nowait)
    patcher.method(_queue.SimpleQueue, "put_nowait", put_nowait)
