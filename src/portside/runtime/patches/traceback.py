"""`traceback`: our frames stand where the interpreter has C code, so a program does not see them."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import FrameType

from greenlet import getcurrent

from portside.runtime.patcher import Patcher
from portside.runtime.report import is_ours
from portside.sim.scheduler import Task


def add(patcher: Patcher) -> None:
    """Replace the one place where frames become text."""
    original = traceback.StackSummary.__dict__["_extract_from_extended_frame_gen"].__func__

    def extract(
        kind: type[traceback.StackSummary], /, generator: Iterator[tuple[FrameType, object]], **options: object
    ) -> object:
        if type(getcurrent()) is Task:
            generator = (pair for pair in generator if not is_ours(pair[0]))
        return original(kind, generator, **options)

    patcher.attribute(traceback.StackSummary, "_extract_from_extended_frame_gen", classmethod(extract))
