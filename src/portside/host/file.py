"""Open file descriptions, what waits on them, and what a host needs of the world it runs in."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from portside.addr.abi import POLLNVAL
from portside.addr.compiled import mypyc_attr
from portside.host.errors import fail

if TYPE_CHECKING:
    from portside.host.signal_io import Owner

TOLD: Final = 3  # of the files that a task waits for, so many are named


class Waiter(Protocol):
    """Who wants to know of events: a blocked task, an epoll item, a poll(2) in progress."""

    def notify(self, file: File, events: int) -> None:
        """Hear that `events` (POLLIN and its neighbours) have just happened on `file`."""


class Task(Protocol):
    """One thread of a simulated process. The scheduler makes them; the kernel only parks and wakes them."""

    process: object
    name: str


@mypyc_attr(allow_interpreted_subclasses=True)
class World:
    """What the kernel of a host may ask of the world it is in: the time, a timer, a hand-over, and chance.

    A class and no protocol: compiled, `now` is read some forty times for a connection, without a lookup.
    """

    now: int  # nanoseconds since the world began

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        """Call `action(*arguments)` at virtual time `when`; equal times run in the order in which they were asked."""
        raise NotImplementedError

    def current(self) -> Task:
        """The task that runs now."""
        raise NotImplementedError

    def block(self, deadline: int | None, why: Blocked) -> bool:
        """Park the current task; True if it was woken, False when `deadline` came first. None waits for ever.

        `why` is what the deadlock report says of it. Raises what was thrown into the task: the end of its process.
        """
        raise NotImplementedError

    def spawn(self, process: object, body: Callable[[], object], name: str) -> Task:
        """Make a task that runs `body()` as a thread of `process`."""
        raise NotImplementedError

    def wake(self, task: Task) -> None:
        """Make a parked task ready; no effect on one that is ready already."""
        raise NotImplementedError

    def kill(self, task: Task, exception: BaseException) -> None:
        """Raise `exception` in a parked or ready task, where it waits; its process is ending."""
        raise NotImplementedError

    def stream(self, name: str) -> Random:
        """The random stream of that name: a draw from one never moves another."""
        raise NotImplementedError


class Blocked:
    """Why a task waits: the call, and on which file (or None). Told in the report of a world that waits for ever."""

    __slots__ = ("call", "file")

    def __init__(self, call: str, file: File | None = None) -> None:
        self.call = call
        self.file = file

    def __str__(self) -> str:
        return self.call if self.file is None else f"{self.call} on {self.file.describe()}"


class BlockedOnSeveral(Blocked):
    """A task waits for the first of several files: poll(2), select(2)."""

    __slots__ = ("files",)

    def __init__(self, call: str, files: Sequence[File]) -> None:
        super().__init__(call)
        self.files = files

    def __str__(self) -> str:
        return f"{self.call} on {several(self.files)}" if self.files else self.call


def several(files: Sequence[File]) -> str:
    """What files are, for a person: the first of them, and how many more."""
    words = [file.describe() for file in files[:TOLD]]
    if len(files) > TOLD:
        words.append(f"and {len(files) - TOLD} more")
    return ", ".join(words)


@mypyc_attr(allow_interpreted_subclasses=True)
class File:
    """An open file description: what file descriptors refer to (open(2)).

    A file is `waited` on by waiters; whoever changes its state calls `wake(events)`. Level-triggered truth is `poll()`.
    A subclass overrides `poll`, `release`, `describe` and the calls it supports.
    """

    __slots__ = ("nonblocking", "references", "signal_owner", "waiters")
    pollable: ClassVar[bool] = True  # whether epoll takes it: regular files and /dev/null have no poll operation
    kind: ClassVar[int] = 0  # the file type bits of st_mode, where syscalls/files.py does not know them by the class

    def __init__(self) -> None:
        self.nonblocking = False  # O_NONBLOCK, shared by all descriptors of this description
        self.signal_owner: Owner | None = None  # F_SETOWN: who has SIGIO and SIGURG
        self.references = 0  # descriptors (of any process) and calls under way that hold it
        self.waiters: list[Waiter] = []  # in order of arrival; woken in that order

    def wake(self, events: int) -> None:
        """Tell all who wait that `events` happened."""
        waiters = self.waiters
        if len(waiters) == 1:
            waiters[0].notify(self, events)
        elif waiters:
            for waiter in tuple(waiters):
                waiter.notify(self, events)

    def poll(self) -> int:
        """The events that are true now: POLLIN, POLLOUT, POLLERR, POLLHUP, POLLRDHUP ... (poll(2))."""
        return POLLNVAL

    def read(self, length: int) -> bytes:
        """Read up to `length` bytes (read(2)); EINVAL for a file that can't be read."""
        raise fail(errno.EINVAL)

    def write(self, data: bytes | memoryview) -> int:
        """Write the data; the number of bytes taken (write(2)). EINVAL for a file that can't be written."""
        raise fail(errno.EINVAL)

    def release(self) -> None:
        """The last reference is gone: give back what the file holds (close(2))."""

    def describe(self) -> str:
        """What it is, for a person: `tcp 10.0.0.1:80 LISTEN`, `pipe`, `epoll`."""
        return type(self).__name__
