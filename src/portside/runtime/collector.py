"""The garbage collector while worlds run: it looks less often, and who asks may know that it is at work."""

from __future__ import annotations

import gc
from typing import Final

_USUAL: Final = (700, 2000)  # CPython's thresholds as they come: until 3.12, and 3.13
YOUNG: Final = 10_000
"""How many new objects there may be before the garbage collector looks at them, during a run; CPython's own 700 costs
a connection 10 of its 180 us: connections make many objects, and those that stay are looked at again and again.
"""

collecting = False
"""Whether a collection is under way: it may run in the middle of anything, of the simulated kernel too."""

_threshold: tuple[int, int, int] | None = None


def _watch(phase: str, _: object) -> None:
    global collecting  # noqa: PLW0603
    collecting = phase == "start"


def begin() -> None:
    """Watch the garbage collector, and let it run less often, unless somebody has set when it does."""
    global _threshold  # noqa: PLW0603 - put back by `end`
    gc.callbacks.append(_watch)
    found = gc.get_threshold()
    if found[0] in _USUAL:
        _threshold = found
        gc.set_threshold(YOUNG, *found[1:])


def end() -> None:
    """Watch it no more, and put back when it runs."""
    global _threshold  # noqa: PLW0603
    gc.callbacks.remove(_watch)
    if _threshold is not None and gc.get_threshold()[0] == YOUNG:
        gc.set_threshold(*_threshold)
    _threshold = None
