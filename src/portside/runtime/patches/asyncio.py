"""`asyncio`: each simulated thread has a running loop and each process a policy of its own.

The loop takes its turns over the host's epoll directly.

It is loaded by programs that use it alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial, wraps
from types import ModuleType
from typing import Final

from greenlet import getcurrent

from portside.runtime.patcher import Patcher
from portside.runtime.patches.selectors import select_ready
from portside.runtime.sim_connecting import connecting
from portside.runtime.sim_loop import Loop, Watching, methods, run_once
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


class _Nobody:
    """A loop that only hears what a task asks for."""

    asked: object = None

    def call_soon(self, callback: object, *_: object, **__: object) -> None:
        self.asked = callback

    def get_debug(self) -> bool:
        return False


def _step_type(module: ModuleType) -> type:
    """The type of what a task gives to call_soon() to be run: the C module does not name it."""

    async def nothing() -> None:
        pass

    loop, work = _Nobody(), nothing()
    task = module.tasks.Task(work, loop=loop)
    task._log_destroy_pending = False
    work.close()
    return type(loop.asked)


def _turns(patcher: Patcher, module: ModuleType) -> None:
    """The methods of a loop over the epoll of a simulated host; every other loop has the originals."""
    base, plain = module.base_events.BaseEventLoop, module._UnixSelectorEventLoop
    watching = Watching(plain, module.events.Handle, _step_type(module.base_events))
    watching.select = select_ready
    run = base._run_once
    clocks = patcher.replacements([_monotonic])

    def turn(loop: Loop) -> None:
        if time.monotonic in clocks:
            run_once(run, watching, loop)
        else:  # a program has put a clock of its own in its place
            run(loop)

    patcher.put(base, "_run_once", turn)
    for kind, replaced in methods(watching, module).items():
        for name, method in replaced.items():
            patcher.put(kind, name, method)
    for holder, name, method in connecting(module, watching):
        patcher.put(holder, name, method)


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
