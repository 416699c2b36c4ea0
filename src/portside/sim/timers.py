"""What is to come, in the order of (virtual time, sequence), and what a call costs that a task makes in vain.

Timers wait in two heaps: those of the next second or so, and all later ones, so that who sleeps for long is in nobody's
way. This is the part of the scheduler that every packet and every turn of an event loop passes through, apart from the
tasks so that it can be compiled (see the README).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

from portside.addr.compiled import mypyc_attr
from portside.host.file import Blocked, World
from portside.sim.clock import SECOND

NEAR: Final = SECOND
NEVER: Final = (1 << 62) - 1  # ns: 146 years; the longest number that compiled code compares in one step
FREE_CALLS: Final = 1_000
FREE_TURNS: Final = 10_000
SPINNING: Final = Blocked("polling without waiting")

Event = tuple[int, int, Callable[..., None] | None, tuple[object, ...]]
"""When (ns), the place among those of the same time, and what is called; None: the deadline of a task."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Timers(World):
    """The clock of a world, and what happens next on it. The scheduler adds the tasks."""

    def __init__(self) -> None:
        self.now = 0  # ns since the world began
        self._heap: list[Event] = []  # the timers before `_horizon`
        self._far: list[Event] = []  # the others, also a heap
        self._horizon: int = NEAR
        self._sequence = 0
        self._running: Any = None  # the task that runs
        self._spinner: Any = None  # the task whose fruitless calls these are
        self._spins = 0  # at this instant
        self._spun_at: int = -1
        self._ready: deque[Any] = deque()  # the tasks that could run
        self._stop = False
        self._until: int = NEVER
        self._turns = 0  # hand-overs in this instant
        self._turns_limit: int = FREE_TURNS

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        """Call `action(*arguments)` at virtual time `when` (ns); equal times run in the order asked.

        A time that has passed means as soon as no task is ready.
        """
        self._sequence = sequence = self._sequence + 1
        heappush(self._heap if when < self._horizon else self._far, (when, sequence, action, arguments))

    def spin(self) -> None:
        """Note that the current task has made a fruitless call: see the scheduler's spin guard."""
        spin(self)

    def block(self, deadline: int | None, why: Blocked) -> bool:
        """Park the current task: what the scheduler does."""
        raise NotImplementedError


# Functions, not methods: a compiled method that a class of the interpreter could override is looked up on each call.


def spin(timers: Timers) -> None:
    """Note that the current task has made a fruitless call: see the scheduler's spin guard."""
    task = timers._running
    if task is None:
        return
    if task is not timers._spinner:
        _another_spins(timers, task)
    if timers._spun_at != timers.now:
        timers._spun_at = timers.now
        timers._spins = 0
        return
    timers._spins += 1
    if timers._spins > FREE_CALLS:
        _pay(timers, task, timers._spins)


def _another_spins(timers: Timers, task: Any) -> None:
    """The counts of the task that spins are kept here, those of the others with them."""
    before = timers._spinner
    if before is not None:
        before.spins, before.spun_at = timers._spins, timers._spun_at
    timers._spinner, timers._spins, timers._spun_at = task, task.spins, task.spun_at


def _pay(timers: Timers, task: Any, spins: int) -> None:
    step = 1_000 if spins <= 10_000 else 10_000 if spins <= 100_000 else 100_000
    then = timers.now + step
    somebody_else = timers._ready or timers._stop or then > timers._until or due(timers, then)
    if somebody_else or task.thrown is not None:
        timers.block(then, SPINNING)
        if task is not timers._spinner:
            _another_spins(timers, task)
    else:  # an event loop reads the clock on each turn: parking costs ten times as much
        timers.now = then
        timers._turns = 0
        timers._turns_limit = FREE_TURNS
    timers._spun_at = timers.now


def due(timers: Timers, until: int) -> bool:
    """Whether a timer rings up to that time (ns); then it is the first of the near heap."""
    if not timers._heap and timers._far and timers._far[0][0] <= until:
        fetch(timers)
    return bool(timers._heap) and timers._heap[0][0] <= until


def fetch(timers: Timers) -> None:
    """Fetch what is near in the far heap; the near one is empty."""
    heap, far = timers._heap, timers._far
    timers._horizon = horizon = far[0][0] + NEAR
    while far and far[0][0] < horizon:
        heap.append(heappop(far))  # in order, which is a heap
