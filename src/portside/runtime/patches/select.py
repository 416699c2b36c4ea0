"""`select`: select, poll and epoll over the descriptors of the simulated process."""

from __future__ import annotations

import errno
import select
import selectors  # noqa: F401 - loaded, so that its class attributes are found
from collections.abc import Callable, Sequence
from typing import Final, Self, cast

from greenlet import getcurrent

from portside.host.errors import fail
from portside.host.processes import Process
from portside.host.syscalls import poll as _calls
from portside.runtime.arguments import nanoseconds
from portside.runtime.patcher import Patcher
from portside.runtime.sim_epoll import REAL_EPOLL, EpollType, c_number, c_timeout, descriptor, duration
from portside.runtime.trap import process_of
from portside.sim.scheduler import Scheduler, Task

Real = Callable[..., object]

FD_SETSIZE: Final = 1024
_MILLISECOND: Final = 1_000_000
_POLL_DEFAULT: Final = select.POLLIN | select.POLLPRI | select.POLLOUT


def _clock(world: Scheduler, before: int) -> None:
    """A poll that did not wait is one of many in a loop, perhaps, whatever it found."""
    if world.now == before:
        world.spin()


def _set(things: object) -> tuple[list[object], list[int]]:
    """One of select's three sequences: the objects, and their descriptors (seq2set).

    A list that a `fileno()` makes shorter or longer is gone through as it is then.
    """
    try:
        sequence = things if isinstance(things, (list, tuple)) else list(things)  # type: ignore[call-overload]
    except TypeError:
        raise TypeError("arguments 1-3 must be sequences") from None
    objects: list[object] = []
    fds: list[int] = []
    for thing in sequence:
        fd = descriptor(thing)
        if fd >= FD_SETSIZE:
            raise ValueError("filedescriptor out of range in select()")
        if len(fds) == FD_SETSIZE:
            raise ValueError("too many file descriptors in select()")
        objects.append(thing)
        fds.append(fd)
    return objects, fds


def _ready(objects: list[object], fds: list[int], ready: Sequence[int]) -> list[object]:
    true = set(ready)
    return [thing for thing, fd in zip(objects, fds, strict=True) if fd in true]


def select_call(real: Real, rlist: object, wlist: object, xlist: object, timeout: object = None, /) -> object:
    """select.select."""
    task = getcurrent()
    if type(task) is not Task:
        return real(rlist, wlist, xlist, timeout)
    process = process_of(task)
    deadline = None
    if timeout is not None:
        wait = duration(timeout, "timeout must be a float or None")
        if wait < 0:
            raise ValueError("timeout must be non-negative")
        deadline = task.world.now + -(-wait // 1000) * 1000  # struct timeval has microseconds
    before = task.world.now
    (r, rfds), (w, wfds), (x, xfds) = _set(rlist), _set(wlist), _set(xlist)
    found = _calls.select(process, rfds, wfds, xfds, deadline)
    _clock(task.world, before)
    return _ready(r, rfds, found[0]), _ready(w, wfds, found[1]), _ready(x, xfds, found[2])


class Poll:
    """select.poll of a simulated program."""

    __slots__ = ("_events", "_polling", "_process")

    _events: dict[int, int]
    _polling: bool
    _process: Process

    def __new__(cls, *_: object, **__: object) -> Self:
        """Only select.poll() makes one."""
        raise TypeError("cannot create 'select.poll' instances")

    def register(self, fd: object, eventmask: object = _POLL_DEFAULT, /) -> None:
        """Register a file descriptor with the polling object."""
        number = descriptor(fd)
        self._events[number] = c_number(eventmask, 0xFFFF, "short")

    def modify(self, fd: object, eventmask: object, /) -> None:
        """Modify an already registered file descriptor."""
        number = descriptor(fd)
        events = c_number(eventmask, 0xFFFF, "short")
        if number not in self._events:
            raise fail(errno.ENOENT)
        self._events[number] = events

    def unregister(self, fd: object, /) -> None:
        """Remove a file descriptor being tracked by the polling object."""
        del self._events[descriptor(fd)]

    def poll(self, timeout: object = None, /) -> list[tuple[int, int]]:
        """Poll the registered descriptors: (fd, event) of each that is ready; `timeout` is in milliseconds."""
        world = cast(Scheduler, self._process.host.world)
        before = world.now
        deadline = None
        if timeout is not None:
            wait = _milliseconds(timeout)
            deadline = None if wait < 0 else world.now + wait
        if self._polling:
            raise RuntimeError("concurrent poll() invocation")
        self._polling = True
        try:
            found = _calls.poll(self._process, list(self._events.items()), deadline)
        finally:
            self._polling = False
        _clock(world, before)
        return found


Poll.__name__ = Poll.__qualname__ = "poll"
Poll.__module__ = "select"


def _milliseconds(timeout: object) -> int:
    """A timeout in milliseconds, as ns: rounded to a whole one away from zero (_PyTime_ROUND_TIMEOUT)."""
    try:
        wait = nanoseconds(timeout, _MILLISECOND)
    except TypeError:
        raise TypeError("timeout must be an integer or None") from None
    rounded = -(-wait // _MILLISECOND) if wait > 0 else wait // _MILLISECOND
    return c_timeout(rounded) * _MILLISECOND


def poll_object(real: Real) -> object:
    """select.poll."""
    task = getcurrent()
    if type(task) is not Task:
        return real()
    made = object.__new__(Poll)
    made._process = process_of(task)
    made._events = {}
    made._polling = False
    return made


def add(patcher: Patcher) -> None:
    """Replace the three ways to wait for many descriptors."""
    patcher.function(select, "select", select_call)
    patcher.function(select, "poll", poll_object)
    patcher.value(REAL_EPOLL, EpollType())
