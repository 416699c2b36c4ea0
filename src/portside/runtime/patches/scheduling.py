"""Nice values and processors of a simulated process: kept and read back, and nothing acts on them."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable
from typing import Final, cast

from portside.host.errors import fail
from portside.host.processes import Process
from portside.runtime.arguments import integer
from portside.runtime.patcher import Patcher
from portside.runtime.program import program_of
from portside.runtime.trap import current_process

Real = Callable[..., object]

CAP_SYS_NICE: Final = 23


def _process(pid: int) -> Process:
    """The process of that number on the same host; 0 is the caller. ESRCH."""
    mine = cast(Process, current_process())
    found = mine if not pid else mine.host.processes.get(pid)
    if found is None:
        raise fail(errno.ESRCH)
    return found


def _set_nice(process: Process, value: int) -> int:
    value = max(-20, min(value, 19))
    program = program_of(process)
    if value < program.nice and not cast(Process, current_process()).capable(CAP_SYS_NICE):
        raise fail(errno.EACCES)
    program.nice = value
    return value


def nice(real: Real, increment: object, /) -> object:
    """os.nice: EPERM for a lower value without CAP_SYS_NICE."""
    process = current_process()
    if process is None:
        return real(increment)
    try:
        return _set_nice(process, program_of(process).nice + integer(increment))
    except PermissionError:
        raise fail(errno.EPERM) from None


def getpriority(real: Real, which: int, who: int) -> object:
    """os.getpriority: of a process; its group is the process alone."""
    if current_process() is None:
        return real(which, who)
    return program_of(_process(who)).nice


def setpriority(real: Real, which: int, who: int, priority: int) -> object:
    """os.setpriority: EACCES for a lower value without CAP_SYS_NICE."""
    if current_process() is None:
        return real(which, who, priority)
    _set_nice(_process(who), priority)
    return None


def sched_getaffinity(real: Real, pid: int, /) -> object:
    """os.sched_getaffinity: the real machine's processors, until the program chooses."""
    if current_process() is None:
        return real(pid)
    return set(program_of(_process(pid)).processors or cast("set[int]", real(0)))


def sched_setaffinity(real: Real, pid: int, mask: Iterable[int], /) -> object:
    """os.sched_setaffinity: EINVAL where none of the processors is there."""
    if current_process() is None:
        return real(pid, mask)
    chosen = {integer(number) for number in mask}
    if any(number < 0 for number in chosen):
        raise ValueError("negative CPU number")
    there = {number for number in chosen if number < (os.cpu_count() or 1)}
    if not there:
        raise fail(errno.EINVAL)
    program_of(_process(pid)).processors = there
    return None


def _restore(recursion_limit: int, switch_interval: float) -> None:
    sys.setrecursionlimit(recursion_limit)
    sys.setswitchinterval(switch_interval)


def add(patcher: Patcher) -> None:
    """Replace the calls; and what programs set of the one interpreter is put back at the end."""
    before: list[tuple[int, float]] = []
    patcher.hook(
        lambda: before.append((sys.getrecursionlimit(), sys.getswitchinterval())),
        lambda: _restore(*before.pop()),
    )
    for function in (nice, getpriority, setpriority, sched_getaffinity, sched_setaffinity):
        patcher.function(os, function.__name__, function)
