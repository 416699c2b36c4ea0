"""Who calls: the simulated task that runs now, its process and its world."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar, cast

from greenlet import getcurrent, greenlet

from portside.host.file import Blocked
from portside.host.processes import ProcessExit
from portside.sim.scheduler import Scheduler, Task, hand_over

if TYPE_CHECKING:
    from portside.host.processes import Process

T = TypeVar("T")

_ENDED: Final = Blocked("its process has ended")
SLEEPING: Final = Blocked("sleep")


def current_process() -> Process | None:
    """The simulated process that runs now; None in code outside a world."""
    task = getcurrent()
    return process_of(task) if type(task) is Task else None


def process_of(task: Task) -> Process:
    """The process whose thread the task is. Once that has ended the task gets no further: ProcessExit."""
    process: Process = task.process  # type: ignore[assignment]  # not a cast(), which is a call: this is asked often
    if not process.alive:
        give_up(task)
    return process


def give_up(task: Task) -> NoReturn:
    """Let a task of a process that has ended call nothing more.

    The task may be about to clean up, or refuse to go (`except BaseException: continue`): the scheduler counts that.
    """
    if task.thrown is None:
        task.world.kill(task, ProcessExit())
    task.world.block(None, _ENDED)
    raise ProcessExit


def outside(call: Callable[..., T], *arguments: object) -> T:
    """Call something that must reach the real machine though a task asks for it: in a greenlet that is no task."""
    return hand_over(greenlet(call), *arguments)  # type: ignore[no-any-return]


def wall_clock(world: object) -> int:
    """CLOCK_REALTIME in ns since 1970."""
    scheduler = cast(Scheduler, world)
    return scheduler.epoch + scheduler.now


def sleep_until(world: Scheduler, deadline: int) -> None:
    """Park the current task until virtual time `deadline` (ns), whatever wakes it before."""
    while world.now < deadline:
        world.block(deadline, SLEEPING)
