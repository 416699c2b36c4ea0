"""`select.epoll` of simulated programs: an epoll instance of their host, behind the interface of the C type."""

from __future__ import annotations

import math
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Self, cast

from greenlet import getcurrent

from portside.host.epoll import CTL_ADD, CTL_DEL, CTL_MOD, MAX_EVENTS, Epoll, Item
from portside.host.syscalls import poll as _calls
from portside.runtime.arguments import integer, nanoseconds
from portside.runtime.sim_watch import READ, WRITE, Watch
from portside.runtime.trap import process_of
from portside.sim.scheduler import Scheduler, Task
from portside.sim.timers import spin

if TYPE_CHECKING:
    from portside.host.processes import Process

FD_SETSIZE: Final = 1024
INT_MAX: Final = 0x7FFFFFFF
_MILLISECOND: Final = 1_000_000
_IN: Final = 1  # EPOLLIN
_OUT: Final = 4  # EPOLLOUT
EVENTS: Final = (0, _IN, _OUT, _IN | _OUT)
"""What READ and WRITE are to epoll."""

_DEFAULT: Final = select.EPOLLIN | select.EPOLLPRI | select.EPOLLOUT
REAL_EPOLL: Final = select.epoll


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
        answer: object = method()
        if not isinstance(answer, int):
            raise TypeError("fileno() returned a non-integer")
        fd = answer
    if not ~INT_MAX <= fd <= INT_MAX:
        raise OverflowError("Python int too large to convert to C int")
    if fd < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({fd})")
    return fd


def duration(timeout: object, words: str) -> int:
    """A timeout in seconds, as ns. TypeError with `words` for what is no number."""
    try:
        return nanoseconds(timeout)
    except TypeError:
        raise TypeError(words) from None


def c_number(value: object, top: int, name: str) -> int:
    """An unsigned C number: up to `top`, of the type `name`. ValueError, OverflowError."""
    number = integer(value)
    if number < 0:
        raise ValueError("value must be positive")
    if number > top:
        raise OverflowError(f"Python int too large for C unsigned {name}")
    return number


def c_timeout(milliseconds: int) -> int:
    """A timeout as poll(2) and epoll_wait(2) take it: an int. OverflowError for what is none."""
    if not -0x80000000 <= milliseconds <= INT_MAX:
        raise OverflowError("timeout is too large")
    return milliseconds


class SimEpoll:
    """select.epoll of a simulated program.

    `watches` are what an asyncio loop watches directly; `stand_aside` has its selector take them over, and ends that.
    """

    __slots__ = ("__weakref__", "_fd", "_open_files", "_process", "direct", "sim_world", "stand_aside", "watches")

    def __init__(self, process: Process, fd: int) -> None:
        self._process = process
        self._open_files = process.files.open
        self._fd = fd
        self.sim_world = cast(Scheduler, process.host.world)
        self.direct = True  # what is watched directly may be so
        self.watches: dict[int, Watch] = {}
        self.stand_aside: Callable[[], None] | None = None

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

    def register(self, fd: object, eventmask: object = _DEFAULT) -> None:
        """Registers a new fd or raises an OSError if the fd is already registered."""
        self.sim_control(CTL_ADD, descriptor(fd), c_number(eventmask, 0xFFFFFFFF, "int"))

    def modify(self, fd: object, eventmask: object) -> None:
        """Modify event mask for a registered file descriptor."""
        self.sim_control(CTL_MOD, descriptor(fd), c_number(eventmask, 0xFFFFFFFF, "int"))

    def unregister(self, fd: object) -> None:
        """Remove a registered file descriptor from the epoll object."""
        self.sim_control(CTL_DEL, descriptor(fd), 0)

    def poll(self, timeout: object = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """Wait for events: (fd, events) of each that is ready; `timeout` is in seconds."""
        self._open()
        self.sim_asked()
        wait = -1
        if timeout is not None:
            wait = c_timeout(-(-duration(timeout, "timeout must be an integer or None") // _MILLISECOND))
        if maxevents == -1:
            maxevents = FD_SETSIZE - 1
        elif maxevents < 1:
            raise ValueError(f"maxevents must be greater than 0, got {maxevents}")
        return self.sim_wait(wait, maxevents)

    def sim_asked(self) -> None:
        """Somebody looks for himself: what is watched directly shall be watched in the usual way from here on."""
        self.direct = False
        if self.stand_aside is not None:
            self.stand_aside()
            self.stand_aside = None

    def sim_control(self, op: int, fd: int, events: int) -> None:
        """epoll_ctl(2), with arguments that were looked at already."""
        _calls.epoll_ctl(self._process, self._open(), op, fd, events)

    def sim_wait(self, wait: int, most: int) -> list[tuple[int, int]]:
        """epoll_wait(2): up to `most` (fd, events); `wait` is in milliseconds, negative for ever."""
        file = self._open_files.get(self._open())
        if type(file) is Epoll and 0 < most <= MAX_EVENTS:
            return [(item.data, item.happened) for item in self.sim_items(file, wait, most)]
        world = self.sim_world
        deadline = None if wait < 0 else world.now + wait * _MILLISECOND
        return _calls.epoll_wait(self._process, self._fd, most, deadline)  # which says what is wrong

    def sim_items(self, file: Epoll, wait: int, most: int) -> list[Item]:
        """epoll_wait(2): up to `most` items that are ready, of what the descriptor refers to."""
        world = self.sim_world
        if not wait:  # what an event loop with work to do asks on each turn
            spin(world)
            return file.take(most) if file.ready else []
        if file.ready and (found := file.take(most)):
            spin(world)  # it did not wait: who asks again and again, and leaves it unread, must see time go on
            return found
        return file.wait_for_items(most, None if wait < 0 else world.now + wait * _MILLISECOND)

    def sim_file(self) -> Epoll | None:
        """What the descriptor refers to; None when that is no epoll any more."""
        file = self._open_files.get(self._fd)
        return file if type(file) is Epoll else None

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._fd >= 0 and self._process.alive and self._fd in self._process.files.open:
            self.close()


# -- what selectors.EpollSelector makes of it --


def wait(epoll: SimEpoll, timeout: Any, most: int) -> list[tuple[int, int]]:
    """What epoll_wait(2) tells of up to `most` descriptors, when EpollSelector.select asks."""
    return epoll.sim_wait(milliseconds(timeout), most)


def milliseconds(timeout: Any) -> int:
    """What a timeout in seconds, a number of any kind or None, is to epoll_wait(2): EpollSelector.select rounds up."""
    if timeout is None:
        return -1
    return 0 if timeout <= 0 else c_timeout(math.ceil(timeout * 1e3))


def wanted(event: int, events: int) -> int:
    """What an event of epoll means for who registered for `events`."""
    return ((WRITE if event & ~_IN else 0) | (READ if event & ~_OUT else 0)) & events


class EpollType:
    """Stands for the type `select.epoll` during a run."""

    __slots__ = ()

    def __call__(self, sizehint: int = -1, flags: int = 0) -> object:
        """Make an epoll object: of the simulated process, or a real one."""
        task = getcurrent()
        if type(task) is not Task:
            return REAL_EPOLL(sizehint, flags)
        if sizehint != -1 and sizehint <= 0:
            raise ValueError("negative sizehint")
        if flags & ~select.EPOLL_CLOEXEC:
            raise OSError("invalid flags")
        process = process_of(task)
        return SimEpoll(process, _calls.epoll_create1(process, select.EPOLL_CLOEXEC))

    def fromfd(self, fd: int, /) -> object:
        """Create an epoll object from a given control fd."""
        task = getcurrent()
        return SimEpoll(process_of(task), fd) if type(task) is Task else REAL_EPOLL.fromfd(fd)

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return (REAL_EPOLL,)

    def __instancecheck__(self, thing: object) -> bool:
        return isinstance(thing, (REAL_EPOLL, SimEpoll))

    def __getattr__(self, name: str) -> object:
        return getattr(REAL_EPOLL, name)

    def __repr__(self) -> str:
        return repr(REAL_EPOLL)


