"""An asyncio loop in a simulated program: what it does most often, with less on the way.

One turn of it (BaseEventLoop._run_once), and what it watches (_add_reader, _remove_reader and their neighbours). A turn
asks the host's epoll directly and reads the virtual clock directly. The order of everything is that of the original:
first the descriptors in the order of epoll, then the timers that are due, then one round of what is ready. Handles,
tasks, futures, transports and protocols stay the interpreter's own. Measured: a quarter of the time of an echo.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from heapq import heapify, heappop
from selectors import EpollSelector, SelectorKey
from typing import Final, Protocol

from portside.host.epoll import CTL_ADD, CTL_DEL, CTL_MOD
from portside.runtime.sim_epoll import EVENTS, READ, WRITE, SimEpoll, wait, wanted

_SECOND: Final = 1e9
_LONGEST_WAIT: Final = 24 * 3600.0  # MAXIMUM_SELECT_TIMEOUT
_MANY_TIMERS: Final = 100  # _MIN_SCHEDULED_TIMER_HANDLES
_CANCELLED_SHARE: Final = 0.5  # _MIN_CANCELLED_TIMER_HANDLES_FRACTION


class Handle(Protocol):
    """What this needs of asyncio.Handle and asyncio.TimerHandle."""

    _cancelled: bool
    _scheduled: bool
    _when: float

    def _run(self) -> None: ...
    def cancel(self) -> None:
        """Let it not run."""


class Loop(Protocol):
    """What this needs of asyncio.BaseEventLoop and its selector."""

    _clock_resolution: float
    _closed: bool
    _debug: bool
    _ready: deque[Handle]
    _scheduled: list[Handle]
    _selector: EpollSelector
    _stopping: bool
    _timer_cancelled_count: int

    def _remove_reader(self, fd: object) -> bool: ...
    def _remove_writer(self, fd: object) -> bool: ...


def epoll_of(loop: Loop) -> SimEpoll | None:
    """The epoll of a simulated host that the loop's selector is made of; None for any other loop."""
    selector = loop._selector
    epoll = selector._selector if type(selector) is EpollSelector else None  # type: ignore[attr-defined]
    return epoll if type(epoll) is SimEpoll else None


def _keys(loop: Loop) -> dict[int, SelectorKey]:
    return loop._selector._fd_to_key  # type: ignore[attr-defined,no-any-return]


def run_once(original: Callable[[Loop], None], plain: type, loop: Loop) -> None:
    """BaseEventLoop._run_once, for a loop of type `plain` over the epoll of a simulated host."""
    if loop._debug or type(loop) is not plain or (epoll := epoll_of(loop)) is None:
        return original(loop)
    if "time" in loop.__dict__ or "select" in loop._selector.__dict__:
        return original(loop)  # a tool gives the loop a time of its own
    ready = loop._ready
    timeout = None
    if loop._scheduled:
        _forget_cancelled(loop)
    if ready or loop._stopping:
        timeout = 0.0
    elif loop._scheduled:
        timeout = min(max(0, loop._scheduled[0]._when - epoll.sim_world.now / _SECOND), _LONGEST_WAIT)
    keys = _keys(loop)
    for fd, event in wait(epoll, timeout, len(keys) or 1):
        if fd in keys:
            _happened(loop, keys[fd], event)
    if loop._scheduled:
        _due(loop, epoll.sim_world.now / _SECOND + loop._clock_resolution)
    for _ in range(len(ready)):
        handle = ready.popleft()
        if not handle._cancelled:
            handle._run()
    return None


def _forget_cancelled(loop: Loop) -> None:
    """Drop cancelled timers: from the head of the heap, and all of them when they are many."""
    scheduled = loop._scheduled
    if len(scheduled) > _MANY_TIMERS and loop._timer_cancelled_count / len(scheduled) > _CANCELLED_SHARE:
        for handle in scheduled:
            handle._scheduled = not handle._cancelled
        loop._scheduled = [handle for handle in scheduled if handle._scheduled]
        heapify(loop._scheduled)  # type: ignore[type-var]
        loop._timer_cancelled_count = 0
        return
    while scheduled and scheduled[0]._cancelled:
        loop._timer_cancelled_count -= 1
        heappop(scheduled)._scheduled = False  # type: ignore[type-var]


def _happened(loop: Loop, key: SelectorKey, event: int) -> None:
    """Make ready what waits for a descriptor (BaseSelectorEventLoop._process_events)."""
    events = wanted(event, key.events)
    reader, writer = key.data
    if events & READ and reader is not None:
        if reader._cancelled:
            loop._remove_reader(key.fileobj)
        else:
            loop._ready.append(reader)
    if events & WRITE and writer is not None:
        if writer._cancelled:
            loop._remove_writer(key.fileobj)
        else:
            loop._ready.append(writer)


def _due(loop: Loop, end: float) -> None:
    """Make ready the timers that are due before `end`, seconds of the loop's clock."""
    scheduled = loop._scheduled
    while scheduled and scheduled[0]._when < end:
        handle = heappop(scheduled)  # type: ignore[type-var]
        handle._scheduled = False
        loop._ready.append(handle)


def watch(epoll: SimEpoll, loop: Loop, fd: int, way: int, handle: Handle) -> None:
    """Let `handle` run when a descriptor is ready for `way`, READ or WRITE (_add_reader, _add_writer).

    `fd` is no negative number.
    """
    keys = _keys(loop)
    key = keys.get(fd)
    if key is None:
        epoll.sim_control(CTL_ADD, fd, EVENTS[way])
        keys[fd] = SelectorKey(fd, fd, way, (handle, None) if way == READ else (None, handle))
        return
    reader, writer = key.data
    _change(epoll, keys, key, key.events | way, (handle, writer) if way == READ else (reader, handle))
    old = reader if way == READ else writer
    if old is not None:
        old.cancel()


def unwatch(epoll: SimEpoll, loop: Loop, fd: int, way: int) -> bool:
    """Watch a descriptor no more for `way`; whether it was (_remove_reader, _remove_writer)."""
    keys = _keys(loop)
    key = keys.get(fd)
    if key is None:
        return False
    reader, writer = key.data
    events = key.events & ~way
    if events:
        _change(epoll, keys, key, events, (None, writer) if way == READ else (reader, None))
    else:
        del keys[fd]
        with suppress(OSError):  # it was closed since: EpollSelector.unregister passes over that too
            epoll.sim_control(CTL_DEL, fd, 0)
    old = reader if way == READ else writer
    if old is None:
        return False
    old.cancel()
    return True


def _change(
    epoll: SimEpoll, keys: dict[int, SelectorKey], key: SelectorKey, events: int, data: tuple[object, object]
) -> None:
    """EpollSelector.modify: what can't be watched any more is forgotten."""
    if events != key.events:
        try:
            epoll.sim_control(CTL_MOD, key.fd, EVENTS[events])
        except BaseException:
            del keys[key.fd]
            raise
    keys[key.fd] = SelectorKey(key.fileobj, key.fd, events, data)
