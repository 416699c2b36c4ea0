"""How a call waits: it parks its task on a file until something happens there, then looks again.

A wake says only that something happened; what is true is told by `File.poll` (as in the kernel, where every sleeper
of a wait queue tests its condition again). So each wait stands in a loop that tries, waits, and tries again.
"""

from __future__ import annotations

from typing import Final

from portside.addr.abi import POLLERR, POLLFREE, POLLHUP
from portside.host.file import Blocked, BlockedOnSeveral, File, Task, World

ANY_EVENT: Final = -1
"""A wake that names no event, and so means all of them: wake_up(9) with a null key."""

_ALWAYS: Final = POLLERR | POLLHUP


class TaskWaiter(Blocked):
    """A task parked on one file or several, and what the report of a world at a standstill says of it."""

    __slots__ = ("events", "task", "world")

    def __init__(self, world: World, task: Task, events: int, call: str, file: File | None) -> None:
        self.world = world
        self.task = task
        self.events = events
        self.call = call
        self.file = file

    def notify(self, file: File, events: int) -> None:
        """Wake the task if it waits for any of `events`."""
        if events & self.events:
            self.world.wake(self.task)


def wait_for(world: World, file: File, events: int, deadline: int | None, call: str) -> bool:
    """Park the current task until one of `events` is notified on `file`; False when `deadline` came first.

    `deadline` is absolute virtual time in nanoseconds; None waits for ever. POLLERR and POLLHUP always wake. The file
    is held while the call waits: closed meanwhile by another thread, it stays open until the call that waits is over
    (fdget in fs/file.c). Raises what is thrown into the task.
    """
    if deadline is not None and deadline <= world.now:
        return False
    waiter = TaskWaiter(world, world.current(), events | _ALWAYS, call, file)
    waiters = file.waiters
    waiters.append(waiter)
    file.references += 1
    try:
        return world.block(deadline, waiter)
    finally:
        waiters.remove(waiter)
        if file.references > 1:
            file.references -= 1
        else:
            unhold(world, file)


def wait_any(
    world: World, watched: list[tuple[File, int]], deadline: int | None, call: str
) -> bool:
    """Park the current task until something is notified on any of the files, each with its own events.

    Returns as `wait_for`; with no file at all it is a sleep. The files are held while the call waits.
    """
    if deadline is not None and deadline <= world.now:
        return False
    task = world.current()
    registered: list[tuple[File, TaskWaiter]] = []
    for file, events in watched:
        waiter = TaskWaiter(world, task, events | _ALWAYS, call, file)
        file.waiters.append(waiter)
        file.references += 1
        registered.append((file, waiter))
    why = registered[0][1] if len(registered) == 1 else BlockedOnSeveral(call, [file for file, _ in watched])
    try:
        return world.block(deadline, why)
    finally:
        for file, waiter in registered:
            file.waiters.remove(waiter)
            unhold(world, file)


def unhold(world: World, file: File) -> None:
    """Give back a reference that a waiting call held.

    The last one is given back as soon as the task is parked again or ends: the call that waited still has to look at
    the file and return.
    """
    file.references -= 1
    if not file.references:
        file.references = 1
        world.at(world.now, put, file)


def put(file: File) -> None:
    """Drop one reference; with the last one the file is released and leaves every epoll (__fput in fs/file_table.c)."""
    file.references -= 1
    if not file.references:
        if file.waiters:
            for waiter in tuple(file.waiters):
                waiter.notify(file, POLLFREE)
        file.release()
