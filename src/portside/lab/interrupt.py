"""Ctrl-C ends a world at once, whatever its programs do; the first can be given to one program, as SIGINT."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from greenlet import getcurrent

if TYPE_CHECKING:
    from portside.lab.program import Program
    from portside.sim.scheduler import Scheduler


@contextmanager
def interruptible(world: Scheduler, first: Program | None = None) -> Iterator[None]:
    """Within this, SIGINT makes `world.run()` raise KeyboardInterrupt; but the first one is for the program `first`.

    Only where Python would raise it too: in the main thread, and while nobody else handles the signal.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return

    def interrupt(_signal: int, frame: FrameType | None) -> None:
        nonlocal first
        program, first = first, None
        if program is None or not deliver(program, frame):
            world.stop(KeyboardInterrupt())

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def deliver(program: Program, frame: FrameType | None) -> bool:
    """Send SIGINT to a program while `frame` runs; False when it has no handler, and so ends by it.

    The handler runs at once where the program's own code runs, and else in its next call: what the simulation is
    about to do must not be left half done.
    """
    from portside.runtime.patches.signal import SIG_DFL, signals_of
    from portside.runtime.report import is_interruptible

    process = program.process
    if process is None or not process.alive:
        return False
    signals = signals_of(process)
    main = signals.program.main_task
    if main is None or signals.handlers.get(signal.SIGINT, SIG_DFL) == SIG_DFL:
        return False
    if main is getcurrent() and is_interruptible(frame):
        signals.arrives(signal.SIGINT)
    else:
        main.world.interrupt(main, partial(signals.arrives, signal.SIGINT))
    return True
