"""`datetime`: `now` and `utcnow` read the virtual clock. `today` calls `time.time`, and so follows by itself."""

from __future__ import annotations

import datetime as _datetime
import sys
import warnings
from collections.abc import Callable

from greenlet import getcurrent

from portside.runtime.patcher import Patcher
from portside.runtime.trap import wall_clock
from portside.sim.scheduler import Task

Moment = _datetime.datetime

_real_now: Callable[..., Moment]
_real_utcnow: Callable[..., Moment]


def _at(kind: type[Moment], task: Task, zone: _datetime.tzinfo | None) -> Moment:
    world = task.world
    world.spin()
    seconds, rest = divmod(wall_clock(world), 1_000_000_000)
    return kind.fromtimestamp(seconds, zone).replace(microsecond=rest // 1000)


def now(kind: type[Moment], tz: _datetime.tzinfo | None = None) -> Moment:
    """datetime.datetime.now."""
    task = getcurrent()
    if type(task) is Task and (tz is None or isinstance(tz, _datetime.tzinfo)):
        return _at(kind, task, tz)
    return _real_now.__get__(None, kind)(tz)  # type: ignore[no-any-return]


def utcnow(kind: type[Moment]) -> Moment:
    """datetime.datetime.utcnow."""
    task = getcurrent()
    if type(task) is not Task:
        return _real_utcnow.__get__(None, kind)()  # type: ignore[no-any-return]
    if sys.version_info >= (3, 12):
        warnings.warn(
            "datetime.datetime.utcnow() is deprecated and scheduled for removal in a future version. Use "
            "timezone-aware objects to represent datetimes in UTC: datetime.datetime.now(datetime.UTC).",
            DeprecationWarning,
            stacklevel=2,
        )
    return _at(kind, task, _datetime.UTC).replace(tzinfo=None)


def add(patcher: Patcher) -> None:
    """Replace the two class methods in the type itself."""
    global _real_now, _real_utcnow  # noqa: PLW0603 - the originals, known once
    _real_now = patcher.method(Moment, "now", classmethod(now))  # type: ignore[assignment, arg-type]
    _real_utcnow = patcher.method(Moment, "utcnow", classmethod(utcnow))  # type: ignore[assignment, arg-type]
