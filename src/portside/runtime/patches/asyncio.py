"""`asyncio`: each simulated thread has a running loop of its own, which takes its turns over the host's epoll directly.

It is loaded by programs that use it alone.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType

from greenlet import getcurrent

from portside.runtime.patcher import Patcher
from portside.runtime.sim_loop import Loop, run_once
from portside.runtime.switches import RunningLoop, asyncio_is_loaded, switches
from portside.sim.scheduler import Task


def set_running_loop(real: RunningLoop, loop: object) -> None:
    """asyncio._set_running_loop."""
    task = getcurrent()
    if type(task) is Task:
        switches().run_loop(task, loop)
    else:
        real.set(loop)


def add(patcher: Patcher) -> None:
    """Replace what a loop calls when it begins and ends to run, and what it does in one turn."""

    def put_in(module: ModuleType) -> None:
        real = RunningLoop(module._get_running_loop, module._set_running_loop)
        asyncio_is_loaded(real)
        patcher.put(module, "_set_running_loop", partial(set_running_loop, real))

    def put_in_turns(module: ModuleType) -> None:
        base, plain = module.base_events.BaseEventLoop, module._UnixSelectorEventLoop
        original = base._run_once

        def turn(loop: Loop) -> None:
            run_once(original, plain, loop)

        patcher.put(base, "_run_once", turn)

    patcher.when_loaded("asyncio.events", put_in)
    patcher.when_loaded("asyncio.unix_events", put_in_turns)
