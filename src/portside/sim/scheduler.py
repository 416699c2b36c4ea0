"""Who runs next, and when: cooperative tasks, one heap of timers, one virtual clock.

Everything that happens is in one order, by (virtual time, sequence); the timers are in `timers.py`. Tasks that are
ready run first, in the order in which they became ready; when none is, the clock moves to the next timer. A task that
parks hands over to the next one directly, or runs the due timers itself: there is no detour through a central loop.

Time costs nothing and work takes no time, with one exception, the spin guard. A program that polls a clock or
a non-blocking socket in a loop, or two that hand over to each other for ever, would keep the clock where it
is, and what they wait for would never come. So:

* `FREE_CALLS` fruitless calls of one task (it reads a clock, is told EAGAIN, polls without waiting, whatever it finds,
  yields) at one instant are free; each further one costs 1 us of virtual time, after 10,000 of them 10 us, after
  100,000 100 us. Other tasks and timers get their turn meanwhile. The count starts again once the task has
  waited.
* A datagram can be sent for ever without waiting: `DATAGRAMS` of them count as one fruitless call.
* `FREE_TURNS` hand-overs from task to task in one instant are free; after that each costs 10 us, in steps of
  100 us.

Timers can go on by themselves for ever: TCP probes a window that stays closed, and a peer that keeps quiet. They
don't keep a world alive. When nobody has been woken for `QUIET_TIME` and `QUIET_EVENTS`, and all that is to come was
asked for by such timers themselves, everybody waits for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Final

from greenlet import GreenletExit, getcurrent, greenlet

from portside.host.file import Blocked
from portside.sim.clock import DEFAULT_START, SECOND
from portside.sim.errors import Deadlock, WorldClosed, WorldError
from portside.sim.random import Streams
from portside.sim.timers import FREE_TURNS, NEVER, Timers, due, fetch

DATAGRAMS: Final = 10
TURNS_PER_STEP: Final = 10
STEP: Final = 100_000  # ns
QUIET_TIME: Final = 86_400 * SECOND  # the longest that TCP waits between two probes is 32,767 s
QUIET_EVENTS: Final = 20_000

REFUSALS: Final = 100

hand_over: Final = greenlet.switch
"""What the scheduler switches by: programs that have greenlets themselves find another (runtime/greenlets.py)."""

STARTING: Final = Blocked("not started yet")


class Interruption(BaseException):
    """Stands in `Task.thrown` for calls that the task is to make where it waits; never raised."""

    def __init__(self) -> None:
        super().__init__()
        self.actions: list[Callable[[], object]] = []


class Task(greenlet):
    """One thread of a simulated process.

    `process` is whose thread it is; `blocked` says in which call it is parked, None when it runs or is ready.
    """

    __slots__ = (
        "blocked", "body", "daemon", "deadline", "deadline_sequence", "ended", "ident", "name", "pending",
        "process", "refusals", "spins", "spun_at", "thrown", "woken", "world",
    )  # fmt: skip

    process: object
    name: str
    blocked: Blocked | None
    ident: int  # its thread identifier, when the runtime has given it one
    daemon: bool  # the world does not wait for it to end
    ended: bool
    woken: bool  # why it became ready: woken, or its deadline came
    deadline: int | None
    deadline_sequence: int  # its place among timers of the same time
    pending: list[int]  # times of its entries in the heap, the next one last
    thrown: BaseException | None  # raised by `block` when it runs again
    refusals: int  # how often it was raised
    world: Scheduler
    body: Callable[[], object]
    spins: int  # fruitless calls since it last waited
    spun_at: int

    def run(self) -> None:
        """What the greenlet does."""
        self.world._body(self)


class Scheduler(Timers):
    """The tasks and timers of one world. It is the `World` that hosts are given (host/file.py).

    `seed` decides all that is left to chance; `epoch` is what the wall clock shows when the world begins, in
    ns since 1970. The world belongs to the thread that calls `run`. `helped` is asked when everybody waits for ever:
    whether somebody outside the world has woken a task after all.
    """

    __slots__ = (
        "_datagrams", "_failure", "_hub", "_living", "_nobody", "_streams", "_tasks", "closed", "epoch", "helped",
    )  # fmt: skip

    _ready: deque[Task]
    _running: Task | None

    def __init__(self, seed: int = 0, epoch: int = DEFAULT_START) -> None:
        super().__init__()
        self.epoch = epoch
        self.closed = False
        self._streams = Streams(seed)
        self._tasks: dict[Task, None] = {}  # those that have not ended, in the order in which they were made
        self._nobody = self._task(None, int, "nobody")
        self._living = 0  # of those, the ones that are no daemons
        self._hub: greenlet | None = None  # who called run()
        self._failure: BaseException | None = None
        self._datagrams = 0
        self.helped: Callable[[], bool] = lambda: False

    # -- what hosts ask (host.file.World) --------------------------------------------------------------------

    def current(self) -> Task:
        """The task that runs now; outside of one (in a timer, say) a task of no process, for nobody."""
        running = self._running
        return self._nobody if running is None else running

    def stream(self, name: str) -> Random:
        """The random stream of that name: a draw from one never moves another."""
        return self._streams.stream(name)

    def block(self, deadline: int | None, why: Blocked) -> bool:
        """Park the current task; True if it was woken, False when `deadline` (ns) came first.

        No deadline means for ever. Raises what was thrown into the task.
        """
        task = self._running
        if task is None:
            raise WorldError(f"{why}: only a task of this world can wait in it")
        if task.thrown is not None:
            self._refuse(task)
        task.blocked = why
        task.deadline = deadline
        if deadline is not None:
            self._sequence = task.deadline_sequence = self._sequence + 1
            pending = task.pending
            if not pending or deadline < pending[-1]:
                pending.append(deadline)
                heap = self._heap if deadline < self._horizon else self._far
                heappush(heap, (deadline, self._sequence, None, (task,)))
        ready = self._ready
        following: Task | None
        if ready:
            self._turns = turns = self._turns + 1
            following = ready.popleft() if turns < self._turns_limit else self._pace()
        else:
            following = self._advance()
        if following:
            self._running = following
            if following is not task:
                hand_over(following)
        else:
            self._to_hub(following)
        if task.thrown is not None:
            self._refuse(task)
        return task.woken

    def wake(self, task: Task) -> None:  # type: ignore[override]  # a kernel has no other tasks than it got from here
        """Make a parked task ready; no effect on one that is ready already."""
        if task.blocked is not None:
            task.blocked = None
            task.woken = True
            self._ready.append(task)

    # -- what the runtime asks -------------------------------------------------------------------------------

    def sends(self) -> None:
        """Note that the current task is about to send a datagram: see the module's spin guard."""
        self._datagrams = count = self._datagrams + 1
        if count >= DATAGRAMS:
            self._datagrams = 0
            self.spin()

    def pause(self) -> None:
        """Let the other ready tasks run first (sched_yield(2), sleep(0)). Counts as a fruitless call."""
        task = self._running
        if task is None:
            return
        self.spin()
        if self._ready:
            self._ready.append(task)
            task.blocked = None
            following = self._ready.popleft()
            if following:
                self._running = following
                hand_over(following)
            else:
                self._to_hub(following)
            if task.thrown is not None:
                self._refuse(task)

    def spawn(
        self,
        process: object,
        body: Callable[[], object],
        name: str,
        start: int | None = None,
        *,
        daemon: bool | None = None,
    ) -> Task:
        """Make a task that runs `body()` as a thread of `process`, from virtual time `start` (ns) or now.

        `name` is what reports call it. The world does not wait for a `daemon` to end; None: as the task that
        spawns it. What `body` lets out is taken for a bug of the simulation's own and
        ends the world: it handles what the program raises itself.
        """
        if self.closed:
            raise WorldError("this world has ended: make another one")

        task = self._task(process, body, name)
        if daemon is None:
            daemon = self._running is not None and self._running.daemon
        task.blocked = STARTING
        task.daemon = daemon
        self._tasks[task] = None
        self._living += not daemon
        if start is None or start <= self.now:
            self.wake(task)
        else:
            self.at(start, self.wake, task)
        return task

    def _task(self, process: object, body: Callable[[], object], name: str) -> Task:
        task = Task()
        task.world = self
        task.body = body
        task.process = process
        task.name = name
        task.blocked = None
        task.daemon = False
        task.ended = False
        task.woken = False
        task.deadline = None
        task.deadline_sequence = 0
        task.pending = []
        task.thrown = None
        task.refusals = 0
        task.spins = 0
        task.spun_at = -1
        return task

    def kill(self, task: Task, exception: BaseException) -> None:  # type: ignore[override]  # as above
        """Raise `exception` in a task where it is parked; in one that runs, at its next wait.

        A killed task can park no more: each further wait raises the exception again. One that has not begun
        never does.
        """
        if not task.ended:
            task.thrown = exception
            self.wake(task)

    def interrupt(self, task: Task, action: Callable[[], object]) -> None:
        """Let a task call `action()` where it is parked, before it waits on: how the handler of a signal runs.

        What `action` raises leaves the call that waits. No effect on a task that was killed or has not begun.
        """
        if task.ended or task.blocked is STARTING:
            return
        if task.thrown is None:
            task.thrown = Interruption()
        if isinstance(task.thrown, Interruption):
            task.thrown.actions.append(action)
            self.wake(task)

    def heed(self, task: Task) -> None:
        """Let the current task make the calls that it was interrupted for, as it would where it waits."""
        if isinstance(task.thrown, Interruption):
            self._refuse(task)

    def tasks(self) -> tuple[Task, ...]:
        """The tasks that have not ended, in the order in which they were made."""
        return tuple(self._tasks)

    def stop(self, failure: BaseException | None = None) -> None:
        """End `run()` at once, which raises `failure` if there is one.

        In a task this does not return until run() is called again; outside it takes effect at the next
        hand-over.
        """
        self._failure = self._failure or failure
        self._stop = True
        self._turns_limit = 0
        running = self._running
        current = getcurrent()
        # What a task does outside of the world (it writes to the real screen) is done by a greenlet of its own.
        if running is not None and running in (current, current.parent):
            self._ready.appendleft(running)
            self._running = None
            hand_over(self._the_hub())
            if running.thrown is not None:
                self._refuse(running)

    def halt(self) -> None:
        """End `run()` when the current task ends or waits next."""
        self._stop = True
        self._turns_limit = 0

    # -- running ---------------------------------------------------------------------------------------------

    def run(self, until: int | None = None, drain: int = 0) -> None:
        """Run until every task that is no daemon has ended, or until virtual time `until` (ns).

        Where there are only daemons, they run until `until`.

        `drain` (ns) lets timers and packets go on for that long after the last task: a FIN in flight arrives,
        and the time is then that of the last thing which happened. Raises Deadlock when everybody waits for
        ever and there is no `until`, and whatever a task or a timer lets out. It can be called again to go
        on.
        """
        if self._hub is not None:
            raise WorldError("this world runs already")
        if self.closed:
            raise WorldError("this world has ended: make another one")
        self._hub = getcurrent()
        self._until = NEVER if until is None else until
        self._stop = False
        self._turns = 0
        self._turns_limit = FREE_TURNS
        try:
            self._loop()
            if drain and not self._living:
                self._drain(min(self.now + drain, self._until))
        finally:
            self._hub = None
            self._running = None

    def _loop(self) -> None:
        ready = self._ready
        for_daemons = not self._living and self._until != NEVER
        while (self._living or for_daemons) and not self._stop:
            following = ready.popleft() if ready else self._advance()
            if following is not None:
                self._switch_to(following)
            elif not self._stop and self._until != NEVER:
                self.now = max(self.now, self._until)
                break
            elif not self._stop and not self.helped():
                raise Deadlock(self.now, [report(task) for task in self._tasks if task.blocked is not None])
        self._raise_failure()

    def _drain(self, until: int) -> None:
        self._until = until
        while not self._stop and (self._ready or due(self, until)):
            following = self._ready.popleft() if self._ready else self._advance()
            if following is None:
                break
            self._switch_to(following)
        self._raise_failure()

    def _switch_to(self, task: Task) -> None:
        """Let a task run, from the hub, until nobody runs any more."""
        self._running = task
        hand_over(task)
        self._running = None

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End the world: every parked task gets WorldClosed and may clean up, but wait no more."""
        if self.closed:
            return
        if self._hub is not None:
            raise WorldError("a world that runs cannot be closed from inside: use stop()")
        self._hub = getcurrent()
        try:
            for task in tuple(self._tasks):
                self.kill(task, WorldClosed())
            self._stop = True  # whoever was interrupted while it ran timers runs no more of them
            ready = self._ready
            while ready:
                following = ready.popleft()
                if not following.ended:
                    self._switch_to(following)
        finally:
            self._hub = None
            self._running = None
            self.closed = True
            self._heap.clear()
            self._far.clear()
            self._failure = None

    def _body(self, task: Task) -> None:
        try:
            if task.thrown is None:
                task.body()
        except GreenletExit:  # the interpreter ends, or forgets a world that was never closed
            pass
        except BaseException as error:
            if error is not task.thrown:
                self._failure = self._failure or error
                self._stop = True
        task.ended = True
        task.blocked = None
        if self._spinner is task:
            self._spinner = None
        del task.body  # timers that are still to come hold the task, and so would hold all that its body holds
        del self._tasks[task]
        self._living -= not task.daemon
        # A greenlet that ends continues its parent: whoever runs the world now.
        if self._hub is not None:
            task.parent = self._hub

    def _refuse(self, task: Task) -> None:
        """Raise what was thrown into the task; one that will not hear it never runs again."""
        thrown = task.thrown
        assert thrown is not None
        if isinstance(thrown, Interruption):
            task.thrown = None
            for action in thrown.actions:
                action()
            return
        task.refusals += 1
        if task.refusals > REFUSALS:
            self._tasks.pop(task, None)
            self._living -= not task.daemon
            task.ended = True
            while True:
                self._to_hub(None)
        raise thrown

    def _to_hub(self, following: Task | None) -> None:
        """Let the hub go on: nobody is ready, or a task is that has yet to begin (such a greenlet is false).

        A greenlet that begins inherits the depth of the stack it is begun from, so this is always done from
        the hub's.
        """
        if following is not None:
            self._ready.appendleft(following)
        self._running = None
        hand_over(self._the_hub())

    def _the_hub(self) -> greenlet:
        hub = self._hub
        if hub is None:
            raise WorldError("the world does not run")
        return hub

    def _advance(self) -> Task | None:
        """Run timers, in order, until a task is ready; None when the run is over or cannot go on.

        This runs in the greenlet of whoever waits last. None may mean: `until` is reached, no event is left
        that would wake anybody, or an action failed. The hub finds out which.
        """
        heap, far, ready = self._heap, self._far, self._ready
        self._running = None
        asked, quiet = self._sequence, self.now + QUIET_TIME
        try:
            while not self._stop:
                if not heap and not far:
                    return None
                when = heap[0][0] if heap else far[0][0]
                if when > self._until:
                    return None
                if when > quiet:
                    if self._goes_on_by_itself(asked):
                        return None
                    quiet += QUIET_TIME
                if not heap:
                    fetch(self)
                when, sequence, action, arguments = heappop(heap)
                if action is None and not self._expire(arguments[0], sequence):  # type: ignore[arg-type]
                    continue
                if when > self.now:
                    self.now = when
                    self._turns = 0
                    self._turns_limit = FREE_TURNS
                if action is not None:
                    action(*arguments)
                if ready:
                    return ready.popleft()
        except BaseException as error:
            self._failure = self._failure or error
            self._stop = True
        return None

    def _goes_on_by_itself(self, asked: int) -> bool:
        """Whether timers have only led to timers since `asked`, the sequence when a task last ran."""
        if self._until != NEVER or self._sequence - asked < QUIET_EVENTS:
            return False
        return all(sequence > asked for heap in (self._heap, self._far) for _, sequence, _, _ in heap)

    def _expire(self, task: Task, sequence: int) -> bool:
        """A task's entry in the heap has come up; whether it is its deadline, not that of an earlier wait."""
        pending = task.pending
        pending.pop()
        deadline = task.deadline
        if task.blocked is None or deadline is None or task.ended:
            return False
        if sequence == task.deadline_sequence:
            task.blocked = None
            task.woken = False
            self._ready.append(task)
            return True
        if not pending or deadline < pending[-1]:
            pending.append(deadline)
            heap = self._heap if deadline < self._horizon else self._far
            heappush(heap, (deadline, task.deadline_sequence, None, (task,)))
        return False

    def _pace(self) -> Task | None:
        """The tasks hand over to each other and time stands still: move it on a step."""
        if self._stop:
            return None
        self._turns_limit = self._turns + TURNS_PER_STEP
        target = self.now + STEP
        heap, ready = self._heap, self._ready
        self._running = None
        try:
            while due(self, min(target, self._until)) and not self._stop:
                when, sequence, action, arguments = heappop(heap)
                if action is None and not self._expire(arguments[0], sequence):  # type: ignore[arg-type]
                    continue
                self.now = max(self.now, when)
                if action is not None:
                    action(*arguments)
        except BaseException as error:
            self._failure = self._failure or error
            self._stop = True
        if self._stop:
            return None
        if target > self._until:
            self.now = max(self.now, self._until)
            self._stop = True
            return None
        self.now = max(self.now, target)
        return ready.popleft()


def report(task: Task) -> str:
    """One line on a task that waits: which thread of which process on which host, in which call, on what."""
    process = task.process
    host = getattr(getattr(process, "host", None), "name", None)
    name = getattr(process, "name", None)
    pid = getattr(process, "pid", None)
    who = task.name if name is None or name == task.name else f"{name}, {task.name}"
    if pid is not None:
        who += f" (pid {pid})"
    if host is not None:
        who += f" on {host}"
    return f"{who}: {task.blocked}"
