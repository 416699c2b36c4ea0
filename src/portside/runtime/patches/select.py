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
from portside.runtime.arguments import integer, nanoseconds
from portside.runtime.patcher import Patcher
from portside.runtime.trap import process_of
from portside.sim.scheduler import Scheduler, Task

Real = Callable[..., object]

FD_SETSIZE: Final = 1024
_MILLISECOND: Final = 1_000_000
_POLL_DEFAULT: Final = select.POLLIN | select.POLLPRI | select.POLLOUT
_EPOLL_DEFAULT: Final = select.EPOLLIN | select.EPOLLPRI | select.EPOLLOUT
_Epoll: Final = select.epoll


def descriptor(thing: object) -> int:
    """A descriptor, or an object with `fileno()` (PyObject_AsFileDescriptor)."""
    if type(thing) is int:
        fd = thing
    elif isinstance(thing, int):
        fd = int(thing)
    else:
        method = getattr(thing, "fileno", None)
        if method is None:
            raise TypeError("argument must be an int, or have a fileno() method.")
        fd = method()
        if not isinstance(fd, int):
            raise TypeError("fileno() returned a non-integer")
    if fd < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({fd})")
    return fd


def _clock(process: Process, immediate: bool, found: object) -> None:
    """A poll that did not wait and found nothing is one of many in a loop, perhaps."""
    if immediate and not found:
        cast(Scheduler, process.host.world).spin()


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
        wait = _seconds(timeout, "timeout must be a float or None")
        if wait < 0:
            raise ValueError("timeout must be non-negative")
        deadline = task.world.now + -(-wait // 1000) * 1000  # struct timeval has microseconds
    (r, rfds), (w, wfds), (x, xfds) = _set(rlist), _set(wlist), _set(xlist)
    found = _calls.select(process, rfds, wfds, xfds, deadline)
    _clock(process, deadline == task.world.now, any(found))
    return _ready(r, rfds, found[0]), _ready(w, wfds, found[1]), _ready(x, xfds, found[2])


def _seconds(timeout: object, words: str) -> int:
    try:
        return nanoseconds(timeout)
    except TypeError:
        raise TypeError(words) from None


def _c_number(value: object, top: int, name: str) -> int:
    number = integer(value)
    if number < 0:
        raise ValueError("value must be positive")
    if number > top:
        raise OverflowError(f"Python int too large for C unsigned {name}")
    return number


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
        self._events[number] = _c_number(eventmask, 0xFFFF, "short")

    def modify(self, fd: object, eventmask: object, /) -> None:
        """Modify an already registered file descriptor."""
        number = descriptor(fd)
        events = _c_number(eventmask, 0xFFFF, "short")
        if number not in self._events:
            raise fail(errno.ENOENT)
        self._events[number] = events

    def unregister(self, fd: object, /) -> None:
        """Remove a file descriptor being tracked by the polling object."""
        del self._events[descriptor(fd)]

    def poll(self, timeout: object = None, /) -> list[tuple[int, int]]:
        """Poll the registered descriptors: (fd, event) of each that is ready; `timeout` is in milliseconds."""
        world = cast(Scheduler, self._process.host.world)
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
        _clock(self._process, deadline == world.now, found)
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
    return _c_timeout(rounded) * _MILLISECOND


def _c_timeout(milliseconds: int) -> int:
    """A timeout as poll(2) and epoll_wait(2) take it: an int. OverflowError for what is none."""
    if not -0x80000000 <= milliseconds <= 0x7FFFFFFF:
        raise OverflowError("timeout is too large")
    return milliseconds


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


class SimEpoll:
    """select.epoll of a simulated program."""

    __slots__ = ("__weakref__", "_fd", "_process")

    def __init__(self, process: Process, fd: int) -> None:
        self._process = process
        self._fd = fd

    @property
    def closed(self) -> bool:
        """True if the epoll handler is closed."""
        return self._fd < 0

    def _open(self) -> int:
        if self._fd < 0:
            raise ValueError("I/O operation on closed epoll object")
        return self._fd

    def fileno(self) -> int:
        """Return the epoll control file descriptor."""
        return self._open()

    def close(self) -> None:
        """Close the epoll control file descriptor."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and self._process.alive:
            self._process.files.close(fd)

    def register(self, fd: object, eventmask: object = _EPOLL_DEFAULT) -> None:
        """Registers a new fd or raises an OSError if the fd is already registered."""
        _calls.epoll_ctl(self._process, self._open(), 1, descriptor(fd), _c_number(eventmask, 0xFFFFFFFF, "int"))

    def modify(self, fd: object, eventmask: object) -> None:
        """Modify event mask for a registered file descriptor."""
        _calls.epoll_ctl(self._process, self._open(), 3, descriptor(fd), _c_number(eventmask, 0xFFFFFFFF, "int"))

    def unregister(self, fd: object) -> None:
        """Remove a registered file descriptor from the epoll object."""
        _calls.epoll_ctl(self._process, self._open(), 2, descriptor(fd))

    def poll(self, timeout: object = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """Wait for events: (fd, events) of each that is ready; `timeout` is in seconds."""
        fd = self._open()
        world = cast(Scheduler, self._process.host.world)
        deadline = None
        if timeout is not None:
            wait = _c_timeout(-(-_seconds(timeout, "timeout must be an integer or None") // _MILLISECOND))
            deadline = None if wait < 0 else world.now + wait * _MILLISECOND
        if maxevents == -1:
            maxevents = FD_SETSIZE - 1
        elif maxevents < 1:
            raise ValueError(f"maxevents must be greater than 0, got {maxevents}")
        found = _calls.epoll_wait(self._process, fd, maxevents, deadline)
        if deadline == world.now and not found:
            world.spin()
        return found

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._fd >= 0 and self._process.alive and self._fd in self._process.files.open:
            self.close()


class EpollType:
    """Stands for the type `select.epoll` during a run."""

    __slots__ = ()

    def __call__(self, sizehint: int = -1, flags: int = 0) -> object:
        """Make an epoll object: of the simulated process, or a real one."""
        task = getcurrent()
        if type(task) is not Task:
            return _Epoll(sizehint, flags)
        if sizehint != -1 and sizehint <= 0:
            raise ValueError("negative sizehint")
        if flags & ~select.EPOLL_CLOEXEC:
            raise OSError("invalid flags")
        process = process_of(task)
        return SimEpoll(process, _calls.epoll_create1(process, select.EPOLL_CLOEXEC))

    def fromfd(self, fd: int, /) -> object:
        """Create an epoll object from a given control fd."""
        task = getcurrent()
        return SimEpoll(process_of(task), fd) if type(task) is Task else _Epoll.fromfd(fd)

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return (_Epoll,)

    def __instancecheck__(self, thing: object) -> bool:
        return isinstance(thing, (_Epoll, SimEpoll))

    def __getattr__(self, name: str) -> object:
        return getattr(_Epoll, name)

    def __repr__(self) -> str:
        return repr(_Epoll)


def add(patcher: Patcher) -> None:
    """Replace the three ways to wait for many descriptors."""
    patcher.function(select, "select", select_call)
    patcher.function(select, "poll", poll_object)
    patcher.value(_Epoll, EpollType())
