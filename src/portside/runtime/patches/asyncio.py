"""`asyncio`: each simulated thread has a running loop and each process a policy of its own.

The loop takes its turns over the host's epoll directly.

It is loaded by programs that use it alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextvars import Context
from functools import partial, wraps
from types import ModuleType
from typing import Final

from greenlet import getcurrent

from portside.runtime.patcher import Patcher
from portside.runtime.sim_epoll import INT_MAX, READ, WRITE, SimEpoll
from portside.runtime.sim_loop import Handle, Loop, epoll_of, run_once, unwatch, watch
from portside.runtime.switches import LoopState, asyncio_is_loaded, switches
from portside.sim.scheduler import Task

_monotonic: Final = time.monotonic


def set_running_loop(real: LoopState, loop: object) -> None:
    """asyncio._set_running_loop."""
    task = getcurrent()
    if type(task) is Task:
        switches().run_loop(task, loop)
    else:
        real.set(loop)


def _changing_policy(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def change(*arguments: object, **keywords: object) -> None:
        task = getcurrent()
        if type(task) is Task:
            switches().use_asyncio(task)
        original(*arguments, **keywords)

    return change


def _turns(patcher: Patcher, module: ModuleType) -> None:
    """The methods of a loop over the epoll of a simulated host; every other loop has the originals."""
    base, selecting, plain = (
        module.base_events.BaseEventLoop, module.selector_events.BaseSelectorEventLoop, module._UnixSelectorEventLoop,
    )  # fmt: skip
    make = module.events.Handle
    run, soon, read = base._run_once, base.call_soon, base.time
    clocks = patcher.replacements([_monotonic])

    def turn(loop: Loop) -> None:
        if base.time is read and time.monotonic in clocks:
            run_once(run, plain, loop)
        else:  # a program has put a clock of its own in their place
            run(loop)

    def call_soon(
        loop: Loop, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> object:
        if loop._debug or loop._closed or type(loop) is not plain:
            return soon(loop, callback, *args, context=context)
        handle = make(callback, args, loop, context)
        loop._ready.append(handle)
        return handle

    patcher.put(base, "_run_once", turn)
    patcher.put(base, "call_soon", call_soon)
    for name, way in (("reader", READ), ("writer", WRITE)):
        add, remove = _watching(selecting, name, way, plain, make)
        patcher.put(selecting, f"_add_{name}", add)
        patcher.put(selecting, f"_remove_{name}", remove)


def _watching(
    selecting: type, name: str, way: int, plain: type, make: Callable[..., Handle]
) -> tuple[Callable[..., object], Callable[..., object]]:
    original_add, original_remove = getattr(selecting, f"_add_{name}"), getattr(selecting, f"_remove_{name}")

    def usual(loop: Loop, fd: object) -> SimEpoll | None:
        if type(loop) is plain and type(fd) is int and 0 <= fd <= INT_MAX and not loop._closed:
            return epoll_of(loop)
        return None

    def add(loop: Loop, fd: int, callback: Callable[..., object], *args: object) -> object:
        if (epoll := usual(loop, fd)) is None:
            return original_add(loop, fd, callback, *args)
        handle = make(callback, args, loop, None)
        watch(epoll, loop, fd, way, handle)
        return handle

    def remove(loop: Loop, fd: int) -> object:
        if (epoll := usual(loop, fd)) is None:
            return original_remove(loop, fd)
        return unwatch(epoll, loop, fd, way)

    return add, remove


def add(patcher: Patcher) -> None:
    """Replace what a loop calls when it begins and ends to run, and what it does most often."""

    def put_in(module: ModuleType) -> None:
        real = LoopState(
            module._get_running_loop, module._set_running_loop,
            lambda: module._event_loop_policy, partial(setattr, module, "_event_loop_policy"),
        )  # fmt: skip
        asyncio_is_loaded(real)
        patcher.put(module, "_set_running_loop", partial(set_running_loop, real))
        patcher.put(module, "_init_event_loop_policy", _changing_policy(module._init_event_loop_policy))
        name, original = "set_event_loop_policy", module.set_event_loop_policy
        change = _changing_policy(original)
        for holder in (module, sys.modules["asyncio"]):  # the package takes it over from the module, sooner or later
            patcher.enter(partial(setattr, holder, name, change), partial(setattr, holder, name, original))

    def put_in_turns(module: ModuleType) -> None:
        _turns(patcher, module)

    patcher.when_loaded("asyncio.events", put_in)
    patcher.when_loaded("asyncio.unix_events", put_in_turns)
