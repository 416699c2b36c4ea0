"""Ctrl-C ends a world at once, whatever its programs do; it is no KeyboardInterrupt of one of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portside.sim.scheduler import Scheduler


@contextmanager
def interruptible(world: Scheduler) -> Iterator[None]:
    """Within this, SIGINT makes `world.run()` raise KeyboardInterrupt.

    Only where Python would raise it too: in the main thread, and while nobody else handles the signal.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        world.stop(KeyboardInterrupt())

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
