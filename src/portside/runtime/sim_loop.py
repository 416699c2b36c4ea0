"""An asyncio loop in a simulated program: what it does most often, with less on the way.

One turn of it (BaseEventLoop._run_once), and what it watches (_add_reader, _remove_reader and their neighbours). A turn
asks the host's epoll directly and reads the virtual clock directly. The order of everything is that of the original:
first the descriptors in the order of epoll, then the timers that are due, then one round of what is ready. Handles,
tasks, futures, transports and protocols stay the interpreter's own. Measured: a quarter of the time of an echo.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from heapq import heapify, heappop
from itertools import count
from selectors import EpollSelector, SelectorKey
from types import BuiltinFunctionType
from typing import Any, Final, Protocol

from portside.host.epoll import CTL_ADD, CTL_DEL, CTL_MOD, Item
from portside.runtime.sim_connection import Connection
from portside.runtime.sim_epoll import EVENTS, SimEpoll, milliseconds, wanted
from portside.runtime.sim_watch import READ, WRITE, Step, Watch, run

INT_MAX: Final = 0x7FFFFFFF
_socket_module: Final[dict[str, object]] = socket.__dict__
_plain_socket: Final[object] = socket.socket
_new_tuple: Final[Any] = tuple.__new__
_SECOND: Final = 1e9
_LONGEST_WAIT: Final = 24 * 3600.0  # MAXIMUM_SELECT_TIMEOUT
_MANY_TIMERS: Final = 100  # _MIN_SCHEDULED_TIMER_HANDLES
_CANCELLED_SHARE: Final = 0.5  # _MIN_CANCELLED_TIMER_HANDLES_FRACTION


class Handle(Protocol):
    """What this needs of asyncio.Handle and asyncio.TimerHandle."""

    _args: tuple[object, ...]
    _callback: Callable[..., object]
    _cancelled: bool
    _context: Context
    _scheduled: int
    _when: float

    def _run(self) -> None: ...
    def cancel(self) -> None:
        """Let it not run."""


class Loop(Protocol):
    """What this needs of asyncio.BaseEventLoop and its selector."""

    _clock_resolution: float
    _closed: bool
    _debug: bool
    _ready: deque[Any]
    _scheduled: list[Handle]
    _selector: EpollSelector
    _stopping: bool
    _timer_cancelled_count: int

    def _remove_reader(self, fd: object) -> bool: ...
    def _remove_writer(self, fd: object) -> bool: ...


def epoll_of(loop: Any) -> SimEpoll | None:
    """The epoll of a simulated host that the loop's selector is made of; None for any other loop."""
    selector = loop._selector
    epoll = selector._selector if type(selector) is EpollSelector else None  # type: ignore[attr-defined]
    return epoll if type(epoll) is SimEpoll else None


def _keys(loop: Any) -> dict[int, SelectorKey]:
    return loop._selector._fd_to_key  # type: ignore[no-any-return]


def run_once(original: Callable[[Loop], None], watching: Watching, loop: Any) -> None:
    """BaseEventLoop._run_once, for a usual loop over the epoll of a simulated host."""
    own: dict[str, Any] = loop.__dict__  # half the time of attributes, of which a turn asks for ten
    selector = own.get("_selector")
    if own["_debug"] or type(loop) is not watching.plain or type(selector) is not EpollSelector:
        return original(loop)
    if not watching.turns_are_usual():
        return original(loop)  # a tool looks at what is waited for, or at what each handle does
    kept: dict[str, Any] = selector.__dict__
    epoll = kept["_selector"]
    if type(epoll) is not SimEpoll or "time" in own or "_process_events" in own or "select" in kept:
        return original(loop)  # the last: a tool gives the loop a time of its own
    file = epoll.sim_file()
    if file is None:
        return original(loop)
    ready: deque[Any] = own["_ready"]
    timers: list[Any] = own["_scheduled"]
    if timers:
        timers = _forget_cancelled(loop, timers)
    wait = 0 if ready or own["_stopping"] else _until_timer(timers, epoll.sim_world.now)
    _happened(loop, kept["_fd_to_key"], ready, epoll.sim_items(file, wait, len(file.items) or 1))
    if timers:
        _due(timers, ready, epoll.sim_world.now / _SECOND + own["_clock_resolution"])
    for _ in range(len(ready)):
        handle = ready.popleft()
        if isinstance(handle, Step):
            if not handle._cancelled:
                run(handle) if not own["_debug"] else _run_closely(loop, handle)
        elif not handle._cancelled:
            handle._run() if not own["_debug"] else _run_closely(loop, handle)
    return None


def _run_closely(loop: Any, handle: Any) -> None:
    """What BaseEventLoop._run_once does in debug mode, which has begun in the middle of a turn."""
    from asyncio import base_events

    try:
        loop._current_handle = handle
        began = loop.time()
        handle._run()
        took = loop.time() - began
        if took >= loop.slow_callback_duration:
            words = base_events._format_handle(handle)  # type: ignore[attr-defined]
            base_events.logger.warning("Executing %s took %.3f seconds", words, took)  # type: ignore[attr-defined]
    finally:
        loop._current_handle = None


def _until_timer(timers: list[Any], now: int) -> int:
    """How long the loop may wait for something to happen: milliseconds, as EpollSelector.select makes them."""
    if not timers:
        return -1
    return milliseconds(min(max(0, timers[0]._when - now / _SECOND), _LONGEST_WAIT))


def _forget_cancelled(loop: Loop, scheduled: list[Handle]) -> list[Handle]:
    """The loop's timers without cancelled ones at the head of the heap; without any when they are many."""
    if len(scheduled) > _MANY_TIMERS and loop._timer_cancelled_count / len(scheduled) > _CANCELLED_SHARE:
        for handle in scheduled:
            if handle._cancelled:
                handle._scheduled = False
        loop._scheduled = rest = [handle for handle in scheduled if handle._scheduled]
        heapify(rest)  # type: ignore[type-var]
        loop._timer_cancelled_count = 0
        return rest
    while scheduled and scheduled[0]._cancelled:
        loop._timer_cancelled_count -= 1
        heappop(scheduled)._scheduled = False  # type: ignore[type-var]
    return scheduled


def _happened(loop: Any, keys: dict[int, SelectorKey], ready: deque[Any], items: list[Item]) -> None:
    """Make ready what waits for what has happened (BaseSelectorEventLoop._process_events)."""
    for item in items:
        if isinstance(item, Watch) and not item.aside:
            item.tell(ready)
        elif item.data in keys:
            _tell(loop, keys[item.data], item.happened)


def _tell(loop: Loop, key: SelectorKey, event: int) -> None:
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


def _due(scheduled: list[Handle], ready: deque[Any], end: float) -> None:
    """Make ready the timers that are due before `end`, seconds of the loop's clock."""
    while scheduled and scheduled[0]._when < end:
        handle = heappop(scheduled)  # type: ignore[type-var]
        handle._scheduled = False
        ready.append(handle)


class Watching:
    """What a loop asks of its selector, and the making of handles, for loops of type `plain`; others have their own."""

    def __init__(self, plain: Any, handle: Any, task_step: type) -> None:
        self.plain = plain
        self.handle = handle
        self.task_step = task_step  # of what a task gives to call_soon() to be run
        # What turns rely on in asyncio's classes; no tool's from before.
        self.time, self.process_events = plain.time, plain._process_events
        own = getattr(handle._run, "__globals__", None) is handle.cancel.__globals__
        self.handle_run: object = handle._run if own else None
        self.select: object = None  # what EpollSelector has, of simulated programs
        self.unchanged: list[tuple[Any, str, object]] = []  # what connections rely on in asyncio's classes and modules
        self.names: frozenset[str] = frozenset()  # and what a loop may have no other of for itself
        # A handle is made here without its __init__, as far as its attributes are those that are known.
        slots = getattr(handle, "__slots__", ())
        self.known = set(slots) == {
            "_callback", "_args", "_cancelled", "_loop", "_source_traceback", "_repr", "__weakref__", "_context",
        }  # fmt: skip

    def epoll(self, loop: Any, fd: Any) -> SimEpoll | None:
        """The epoll that watches the descriptor; None where the loop's own methods are to be used."""
        if type(loop) is self.plain and type(fd) is int and 0 <= fd <= INT_MAX and not loop._closed:
            return epoll_of(loop)
        return None

    def usual(self, loop: Any) -> bool:
        """Whether connections of the loop are made directly: nobody has put anything in place of what makes them."""
        if type(loop) is not self.plain or loop._debug or epoll_of(loop) is None:
            return False
        if _socket_module["socket"] is not _plain_socket:
            return False
        own: dict[str, object] = loop.__dict__
        if not self.names.isdisjoint(own):
            return False
        for holder, name, method in self.unchanged:  # noqa: SIM110 - all() over a generator takes five times as long
            if getattr(holder, name) is not method:
                return False
        return True

    def turns_are_usual(self) -> bool:
        """Whether nobody has put anything in place of what a turn does: asked compiled, for it is asked each turn."""
        plain = self.plain
        return (
            plain.time is self.time
            and plain._process_events is self.process_events
            and EpollSelector.select is self.select
            and self.handle._run is self.handle_run
        )

    def make(self, callback: object, args: tuple[object, ...], loop: Any, context: Any) -> Any:
        """asyncio.Handle(callback, args, loop, context), for a loop that is not in debug mode."""
        if not self.known or loop._debug:
            return self.handle(callback, args, loop, context)
        handle: Any = self.handle.__new__(self.handle)
        handle._context = copy_context() if context is None else context
        handle._loop = loop
        handle._callback = callback
        handle._args = args
        handle._cancelled = False
        handle._repr = None
        handle._source_traceback = None
        return handle

    def soon(self, loop: Any, callback: Any, *args: object) -> None:
        """loop.call_soon(), for what a transport asks of its own loop."""
        own: dict[str, Any] = loop.__dict__
        if own["_debug"] or own["_closed"]:
            loop.call_soon(callback, *args)
        else:
            own["_ready"].append(self.step(loop, callback, args, copy_context()))

    def step(self, loop: Any, callback: Any, args: tuple[object, ...], context: Any) -> Step:
        """A step of the loop."""
        return Step(self, loop, callback, args, context)

    def handle_of(self, step: Step) -> Any:
        """The handle that a step would be."""
        handle = self.handle(step._callback, step._args, step._loop, step._context)
        handle._source_traceback = None  # nobody was asked to keep it when it was made
        if step._cancelled:
            handle.cancel()
        return handle

    def report(self, step: Step, error: BaseException) -> None:
        """Tell the loop's exception handler, as Handle._run does."""
        from asyncio import format_helpers

        words = format_helpers._format_callback_source(step._callback, step._args)
        context = {"message": f"Exception in callback {words}", "exception": error, "handle": self.handle_of(step)}
        step._loop.call_exception_handler(context)

    def add(self, loop: Any, fd: int, way: int, callback: object, args: tuple[object, ...]) -> Any:
        """Let the callback run when a descriptor is ready for `way`, READ or WRITE (_add_reader, _add_writer)."""
        epoll = self.epoll(loop, fd)
        if epoll is None:
            return loop._add_reader(fd, callback, *args) if way == READ else loop._add_writer(fd, callback, *args)
        handle = self.make(callback, args, loop, None)
        watched = epoll.watches.get(fd)
        if watched is not None and watched.direct():
            watched.set(way, handle)
            return handle
        if watched is not None:
            self.hand_over(loop, watched)
        watch(epoll, loop, fd, way, handle)
        return handle

    def remove(self, loop: Any, fd: int, way: int) -> bool:
        """Watch a descriptor no more for `way`; whether it was (_remove_reader, _remove_writer)."""
        epoll = self.epoll(loop, fd)
        if epoll is None:
            return bool(loop._remove_reader(fd) if way == READ else loop._remove_writer(fd))
        watched = epoll.watches.get(fd)
        if watched is not None and watched.direct():
            return watched.clear(way)
        if watched is not None:
            self.hand_over(loop, watched)
        return unwatch(epoll, loop, fd, way)

    def begin(self, loop: Any, connection: Connection) -> Watch | None:
        """How the loop watches a connection directly; None where it does so in the usual way alone."""
        epoll = epoll_of(loop)
        file = None if epoll is None else epoll.sim_file()
        if epoll is None or file is None or not epoll.direct:
            return None
        fd, watched = connection.fd, connection.watch
        if fd in epoll.watches or fd in _keys(loop) or (fd, connection.file) in file.items:
            return None
        if connection.files.get(fd) is not connection.file:
            return None  # somebody has closed it
        if epoll.stand_aside is None:
            epoll.stand_aside = partial(self.stand_aside, loop, epoll)
        if watched is None or watched.over():
            connection.watch = watched = Watch(file, connection.file, fd, epoll.watches)
        return watched

    def stand_aside(self, loop: Any, epoll: SimEpoll) -> None:
        """Make usual keys of the loop's selector of what it watches directly."""
        for watched in list(epoll.watches.values()):
            self.hand_over(loop, watched)

    def hand_over(self, loop: Any, watched: Watch) -> None:
        """Make a usual key of the loop's selector of what is watched directly; nothing changes for the kernel."""
        fd, ways = watched.fd, watched.ways()
        reader, writer = (self._usual_handle(loop, told) for told in (watched.reader, watched.writer))
        watched.leave()
        _keys(loop)[fd] = _key(fd, fd, ways, (reader, writer))

    def _usual_handle(self, loop: Any, told: Any) -> Any:
        """The handle of a step, which also stands on the ready list instead of it: it may be cancelled there."""
        if not isinstance(told, Step):
            return told
        handle = self.handle_of(told)
        ready = loop._ready
        for place, one in enumerate(ready):
            if one is told:
                ready[place] = handle
        return handle

    def add_to(self, loop: Any, connection: Connection, way: int, callback: object) -> Any:
        """Let the callback run when a connection is ready for `way`."""
        watched = None if loop._closed else connection.watch
        if not loop._closed and (watched is None or not watched.direct()):
            watched = self.begin(loop, connection)
        if watched is None:
            return self.add(loop, connection.fd, way, callback, ())
        told = self.step(loop, callback, (), copy_context())
        watched.set(way, told)
        return told

    def remove_from(self, loop: Any, connection: Connection, way: int) -> bool:
        """Watch a connection no more for `way`; whether it was watched for that."""
        watched = connection.watch
        if watched is not None and watched.direct():
            return watched.clear(way)
        return self.remove(loop, connection.fd, way)


def methods(watching: Watching, module: Any) -> dict[Any, dict[str, object]]:
    """The methods that are replaced, by class and name; loops that are not usual get the originals.

    `module` is asyncio.unix_events.
    """
    selecting, base = module.selector_events.BaseSelectorEventLoop, module.base_events.BaseEventLoop
    futures, tasks = module.futures, module.base_events.tasks
    call_at, earlier = _ordering(base, module.events.TimerHandle)
    plain = watching.plain
    soon, task_otherwise = base.call_soon, base.create_task
    add_reader, add_writer = selecting._add_reader, selecting._add_writer
    remove_reader, remove_writer = selecting._remove_reader, selecting._remove_writer

    def call_soon(loop: Any, callback: Callable[..., object], *args: object, context: Any = None) -> object:
        own: dict[str, Any] = loop.__dict__
        if type(loop) is not plain or own["_debug"] or own["_closed"]:
            return soon(loop, callback, *args, context=context)
        kind = type(callback)
        if kind is watching.task_step or (kind is BuiltinFunctionType and callback.__name__ == "task_wakeup"):
            step = watching.step(loop, callback, args, copy_context() if context is None else context)
            own["_ready"].append(step)
            return step
        handle = watching.make(callback, args, loop, context)
        own["_ready"].append(handle)
        return handle

    def create_future(loop: Any) -> object:
        return futures.Future(loop=loop)

    def create_task(loop: Any, coro: object, *, name: object = None, context: object = None) -> object:
        own: dict[str, Any] = loop.__dict__
        if name is not None or context is not None or type(loop) is not plain or own["_debug"] or own["_closed"]:
            return task_otherwise(loop, coro, name=name, context=context)
        if own["_task_factory"] is not None:
            return task_otherwise(loop, coro)
        return tasks.Task(coro, loop=loop)

    def add_read(loop: Any, fd: Any, callback: Callable[..., object], *args: object) -> object:
        if watching.epoll(loop, fd) is None:
            return add_reader(loop, fd, callback, *args)
        return watching.add(loop, fd, READ, callback, args)

    def add_write(loop: Any, fd: Any, callback: Callable[..., object], *args: object) -> object:
        if watching.epoll(loop, fd) is None:
            return add_writer(loop, fd, callback, *args)
        return watching.add(loop, fd, WRITE, callback, args)

    def remove_read(loop: Any, fd: Any) -> object:
        if watching.epoll(loop, fd) is None:
            return remove_reader(loop, fd)
        return watching.remove(loop, fd, READ)

    def remove_write(loop: Any, fd: Any) -> object:
        if watching.epoll(loop, fd) is None:
            return remove_writer(loop, fd)
        return watching.remove(loop, fd, WRITE)

    return {
        base: {"call_soon": call_soon, "create_future": create_future, "create_task": create_task, "call_at": call_at},
        module.events.TimerHandle: {"__lt__": earlier},
        selecting: {
            "_add_reader": add_read, "_add_writer": add_write, "_remove_reader": remove_read,
            "_remove_writer": remove_write,
        },
    }  # fmt: skip


def _ordering(base: Any, timer: Any) -> tuple[Callable[..., Any], Callable[[Any, Any], Any]]:
    """call_at() and TimerHandle's `<`, by which timers of one time are due in the order in which they were asked for.

    Between two calls a real clock goes on; here it stands still, and a heap has no order for what is equal. So have two
    calls of call_at() with one time: for real they come in any order, here in this one. A timer that is on the heap is
    truly `_scheduled`: here that is its number.
    """
    call_at_otherwise = base.call_at
    numbers = count(1)

    def call_at(loop: Any, when: Any, callback: Callable[..., object], *args: object, context: Any = None) -> Any:
        handle = call_at_otherwise(loop, when, callback, *args, context=context)
        handle._scheduled = next(numbers)
        return handle

    def earlier(one: Any, other: Any) -> Any:
        if not isinstance(other, timer):
            return NotImplemented
        if one._when == other._when and one._scheduled:
            return not other._scheduled or one._scheduled < other._scheduled  # who comes onto the heap has no number
        return one._when < other._when

    return call_at, earlier


def watch(epoll: SimEpoll, loop: Loop, fd: int, way: int, handle: Handle) -> None:
    """Let `handle` run when a descriptor is ready for `way`, READ or WRITE (_add_reader, _add_writer).

    `fd` is no negative number.
    """
    keys = _keys(loop)
    key = keys.get(fd)
    if key is None:
        epoll.sim_control(CTL_ADD, fd, EVENTS[way])
        keys[fd] = _key(fd, fd, way, (handle, None) if way == READ else (None, handle))
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
    keys[key.fd] = _key(key.fileobj, key.fd, events, data)


def _key(fileobj: object, fd: int, events: int, data: object) -> Any:
    """SelectorKey(), in a third of the time."""
    return _new_tuple(SelectorKey, (fileobj, fd, events, data))
