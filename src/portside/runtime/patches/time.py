"""`time`: clocks that read virtual time, and a sleep that costs none."""

from __future__ import annotations

import os
import posix
import time as _time
from collections.abc import Callable
from typing import Final

from greenlet import getcurrent

from portside.runtime.arguments import nanoseconds
from portside.runtime.patcher import Patcher
from portside.runtime.trap import process_of, sleep_until, wall_clock
from portside.sim.scheduler import Scheduler, Task

Real = Callable[..., object]

_CPU_CLOCKS: Final = (_time.CLOCK_PROCESS_CPUTIME_ID, _time.CLOCK_THREAD_CPUTIME_ID)
_UPTIME_CLOCKS: Final = (_time.CLOCK_MONOTONIC, _time.CLOCK_MONOTONIC_RAW, _time.CLOCK_BOOTTIME, 5, 6)  # 5, 6: COARSE
_TAI: Final = _time.CLOCK_TAI


def sleep(real: Real, seconds: object, /) -> object:
    """time.sleep: clock_nanosleep(2) in virtual time; `sleep(0)` lets the other tasks run."""
    task = getcurrent()
    if type(task) is not Task:
        return real(seconds)
    duration = nanoseconds(seconds)
    if duration < 0:
        raise ValueError("sleep length must be non-negative")
    world = task.world
    if duration:
        sleep_until(world, world.now + duration)
    else:
        world.pause()
    return None


def _read(task: Task) -> Scheduler:
    """The world of the task, which has just read a clock: a loop that only does so must see time go on."""
    world = task.world
    world.spin()
    return world


def wall(real: Real) -> object:
    """time.time."""
    task = getcurrent()
    return wall_clock(_read(task)) / 1e9 if type(task) is Task else real()


def wall_ns(real: Real) -> object:
    """time.time_ns."""
    task = getcurrent()
    return wall_clock(_read(task)) if type(task) is Task else real()


def uptime(real: Real) -> object:
    """time.monotonic and time.perf_counter: seconds since the world began."""
    task = getcurrent()
    return _read(task).now / 1e9 if type(task) is Task else real()


def uptime_ns(real: Real) -> object:
    """time.monotonic_ns and time.perf_counter_ns."""
    task = getcurrent()
    return _read(task).now if type(task) is Task else real()


def _cpu(task: Task) -> int:
    """CPU time in ns: work takes none here, so the time since the process began stands in, which never stands still."""
    return _read(task).now - process_of(task).started


def cpu(real: Real) -> object:
    """time.process_time and time.thread_time."""
    task = getcurrent()
    return _cpu(task) / 1e9 if type(task) is Task else real()


def cpu_ns(real: Real) -> object:
    """time.process_time_ns and time.thread_time_ns."""
    task = getcurrent()
    return _cpu(task) if type(task) is Task else real()


def _clock(task: Task, clock: object) -> int | None:
    if clock == _time.CLOCK_REALTIME:
        return wall_clock(_read(task))
    if clock in _UPTIME_CLOCKS:
        return _read(task).now
    if clock == _TAI:
        return wall_clock(_read(task)) + 37_000_000_000
    return _cpu(task) if clock in _CPU_CLOCKS else None


def clock_gettime(real: Real, clock: object, /) -> object:
    """time.clock_gettime; a clock that is not modelled is refused as the kernel refuses an unknown one."""
    task = getcurrent()
    value = _clock(task, clock) if type(task) is Task else None
    return real(clock) if value is None else value / 1e9


def clock_gettime_ns(real: Real, clock: object, /) -> object:
    """time.clock_gettime_ns."""
    task = getcurrent()
    value = _clock(task, clock) if type(task) is Task else None
    return real(clock) if value is None else value


def clock_settime(real: Real, clock: object, value: object, /) -> object:
    """time.clock_settime: the clock of a world cannot be set from inside (EPERM)."""
    if type(getcurrent()) is Task:
        raise PermissionError(1, "Operation not permitted")
    return real(clock, value)


def from_seconds(real: Real, seconds: object = None, /) -> object:
    """time.localtime, time.gmtime and time.ctime: without an argument, of the time it is."""
    task = getcurrent()
    if seconds is None and type(task) is Task:
        return real(wall_clock(_read(task)) / 1e9)
    return real() if seconds is None else real(seconds)


_localtime = _time.localtime


def asctime(real: Real, *arguments: object) -> object:
    """time.asctime: without an argument, of the local time it is."""
    task = getcurrent()
    if not arguments and type(task) is Task:
        return real(_localtime(wall_clock(_read(task)) / 1e9))
    return real(*arguments)


def strftime(real: Real, *arguments: object) -> object:
    """time.strftime: without a time, of the local time it is."""
    task = getcurrent()
    if len(arguments) == 1 and type(task) is Task:
        return real(arguments[0], _localtime(wall_clock(_read(task)) / 1e9))
    return real(*arguments)


_zone_is_a_program_s = False


def tzset(real: Real) -> object:
    """time.tzset: the zone in the program's environment.

    The interpreter has one zone: it holds for all programs until another sets its own, or the run ends.
    """
    global _zone_is_a_program_s  # noqa: PLW0603
    if type(getcurrent()) is Task:
        _zone_is_a_program_s = True
        _set_zone(os.environ.get("TZ"))
        return None
    return real()


_tzset: Final = _time.tzset


def _set_zone(zone: str | None) -> None:
    if zone is None:
        posix.unsetenv("TZ")
    else:
        posix.putenv("TZ", zone)
    _tzset()


def _leave_zone() -> None:
    """Put the caller's zone back."""
    global _zone_is_a_program_s  # noqa: PLW0603
    if _zone_is_a_program_s:
        _zone_is_a_program_s = False
        _set_zone(os.environ.get("TZ"))


def add(patcher: Patcher) -> None:
    """Replace the functions of `time` that wait or read a clock."""
    patcher.function(_time, "tzset", tzset)
    patcher.hook(lambda: None, _leave_zone)
    patcher.function(_time, "sleep", sleep)
    patcher.function(_time, "time", wall)
    patcher.function(_time, "time_ns", wall_ns)
    for name in ("monotonic", "perf_counter"):
        patcher.function(_time, name, uptime)
        patcher.function(_time, f"{name}_ns", uptime_ns)
    for name in ("process_time", "thread_time"):
        patcher.function(_time, name, cpu)
        patcher.function(_time, f"{name}_ns", cpu_ns)
    patcher.function(_time, "clock_gettime", clock_gettime)
    patcher.function(_time, "clock_gettime_ns", clock_gettime_ns)
    for name in ("clock_settime", "clock_settime_ns"):
        patcher.function(_time, name, clock_settime)
    for name in ("localtime", "gmtime", "ctime"):
        patcher.function(_time, name, from_seconds)
    patcher.function(_time, "asctime", asctime)
    patcher.function(_time, "strftime", strftime)
