"""`signal`: handlers and timers of the simulated process. A handler runs in its main thread, where that waits."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import errno
import math
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final, cast

from greenlet import getcurrent

from portside.host.errors import fail
from portside.host.file import Blocked
from portside.host.processes import Process
from portside.host.syscalls import files
from portside.host.syscalls import process as _calls
from portside.runtime.arguments import integer, nanoseconds
from portside.runtime.patcher import Patcher
from portside.runtime.program import Program, program_of
from portside.runtime.trap import current_process, process_of
from portside.sim.scheduler import Scheduler, Task

Real = Callable[..., object]

SIG_DFL: Final = _signal.SIG_DFL
SIG_IGN: Final = _signal.SIG_IGN
_PAUSE: Final = Blocked("pause")
_SIGWAIT: Final = Blocked("sigwaitinfo")
_NEVER_BLOCKED: Final = frozenset({signal.SIGKILL, signal.SIGSTOP})
_default_int_handler: Final = _signal.default_int_handler


class Waiter:
    """A thread in sigwaitinfo(2): `got` is the signal that it has been given."""

    __slots__ = ("got", "numbers", "task")

    def __init__(self, task: Task, numbers: frozenset[int]) -> None:
        self.task = task
        self.numbers = numbers
        self.got = 0


class Signals:
    """The signals of one program: what Python does on each, its real-time timer, where to write their numbers."""

    __slots__ = (
        "deadline", "handled", "handlers", "interval", "masks", "pending", "program", "timer", "waiters", "wakeup",
    )  # fmt: skip

    def __init__(self, program: Program) -> None:
        self.program = program
        self.handlers: dict[int, object] = {}
        self.wakeup = -1
        self.handled = 0  # how many have run, by which pause() knows
        self.timer = 0  # counts settings of the timer: an entry in the heap with another number is void
        self.deadline: int | None = None
        self.interval = 0
        self.masks: dict[Task, frozenset[int]] = {}  # what threads block; one that never said so, as the main thread
        self.pending: set[int] = set()
        self.waiters: list[Waiter] = []
        self.set(signal.SIGINT, _default_int_handler)
        self.set(signal.SIGPIPE, SIG_IGN)

    @property
    def world(self) -> Scheduler:
        """The world of the program."""
        return cast(Scheduler, self.program.process.host.world)

    def set(self, number: int, handler: object) -> object:
        """Let `handler` answer; the one before is returned."""
        old = self.handlers.get(number, SIG_DFL)
        self.handlers[number] = handler
        self._tell_kernel(number)
        return old

    def _tell_kernel(self, number: int) -> None:
        handler = self.handlers.get(number, SIG_DFL)
        kernel = self.program.process.handlers
        if self._blocked(number) or any(number in waiter.numbers for waiter in self.waiters):
            kernel[number] = self._hold
        elif handler == SIG_DFL:
            kernel.pop(number, None)
        elif handler == SIG_IGN:
            kernel[number] = _ignore
        else:
            kernel[number] = self.arrives

    # -- blocked signals: pthread_sigmask(3), sigwaitinfo(2) --

    def mask(self, task: Task) -> frozenset[int]:
        """The signals that a thread blocks."""
        found = self.masks.get(task)
        if found is None and self.program.main_task is not None:
            found = self.masks.get(self.program.main_task)
        return found or frozenset()

    def _blocked(self, number: int) -> bool:
        tasks = self.program.process.tasks
        return bool(self.masks and tasks) and all(number in self.mask(cast(Task, task)) for task in tasks)

    def _hold(self, number: int) -> None:
        """The kernel has a signal that all threads block, or that one waits for."""
        for waiter in self.waiters:
            if number in waiter.numbers and not waiter.got:
                waiter.got = number
                waiter.task.world.wake(waiter.task)
                return
        self.pending.add(number)

    def block(self, task: Task, numbers: frozenset[int]) -> None:
        """Let a thread block these signals and no others; what was pending and is blocked no more arrives."""
        self.masks[task] = numbers
        for number in range(1, signal.NSIG):
            self._tell_kernel(number)
        for number in sorted(self.pending):
            if not self._blocked(number):
                self.pending.discard(number)
                self.program.process.kill(number)

    def wait(self, task: Task, numbers: frozenset[int], deadline: int | None) -> int:
        """Wait for one of these signals, and take it: its number, 0 when the deadline came first."""
        ready = sorted(self.pending & numbers)
        if ready:
            self.pending.discard(ready[0])
            return ready[0]
        waiter = Waiter(task, numbers)
        self.waiters.append(waiter)
        try:
            for number in numbers:
                self._tell_kernel(number)
            while not waiter.got and task.world.block(deadline, _SIGWAIT):
                pass
        finally:
            self.waiters.remove(waiter)
            for number in numbers:
                self._tell_kernel(number)
        return waiter.got

    def arrives(self, number: int) -> None:
        """The kernel delivers a signal that has a handler."""
        main = self.program.main_task
        if self.wakeup >= 0:
            with suppress(OSError):
                files.write(self.program.process, self.wakeup, bytes([number]))
        if main is None or main.ended:
            return
        if main is getcurrent() and main.blocked is None:  # a timer comes up in the greenlet of whoever waits
            self.run(number)
        else:
            main.world.interrupt(main, partial(self.run, number))

    def run(self, number: int) -> None:
        """Call the handler, in the main thread."""
        self.handled += 1
        number = int(number)
        handler = self.handlers.get(number, SIG_DFL)
        if callable(handler):
            handler(number, None)

    def start_timer(self, seconds: object, interval: object) -> tuple[float, float]:
        """Set ITIMER_REAL; what was left of it and its interval are returned, in seconds."""
        old = self.remaining(), self.interval / 1e9
        first = nanoseconds(seconds)
        every = nanoseconds(interval)
        if first < 0 or every < 0:
            raise signal.ItimerError(errno.EINVAL, "Invalid argument")
        self.timer += 1
        self.interval = every
        self.deadline = self.world.now + first if first else None
        if first:
            self.world.at(self.world.now + first, self._rings, self.timer)
        return old

    def remaining(self) -> float:
        """Seconds until the timer rings, 0 when it is not set."""
        return 0.0 if self.deadline is None else (self.deadline - self.world.now) / 1e9

    def _rings(self, timer: int) -> None:
        if timer != self.timer or not self.program.process.alive:
            return
        self.deadline = None
        if self.interval:
            self.deadline = self.world.now + self.interval
            self.world.at(self.deadline, self._rings, timer)
        self.program.process.deliver(signal.SIGALRM)


def _ignore(number: int) -> None:
    """SIG_IGN."""


def signals_of(process: Process) -> Signals:
    """The signals of the program that the process runs."""
    program = program_of(process)
    if program.signals is None:
        program.signals = Signals(program)
    return cast(Signals, program.signals)


def _number(value: object) -> int:
    number = integer(value)
    if not 1 <= number <= 64:
        raise ValueError("signal number out of range")
    return number


def set_handler(real: Real, number: object, handler: object, /) -> object:
    """_signal.signal."""
    task = getcurrent()
    if type(task) is not Task:
        return real(number, handler)
    signals = signals_of(process_of(task))
    if signals.program.main_task is not task:
        raise ValueError("signal only works in main thread of the main interpreter")
    chosen = _number(number)
    if handler not in (SIG_DFL, SIG_IGN) and not callable(handler):
        raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
    if chosen in (signal.SIGKILL, signal.SIGSTOP):
        raise fail(errno.EINVAL)
    return signals.set(chosen, handler)


def getsignal(real: Real, number: object, /) -> object:
    """_signal.getsignal."""
    process = current_process()
    if process is None:
        return real(number)
    return signals_of(process).handlers.get(_number(number), SIG_DFL)


def alarm(real: Real, seconds: object, /) -> object:
    """_signal.alarm."""
    process = current_process()
    if process is None:
        return real(seconds)
    return math.ceil(signals_of(process).start_timer(seconds, 0)[0])


def setitimer(real: Real, which: int, seconds: object, interval: object = 0.0, /) -> object:
    """_signal.setitimer: ITIMER_REAL; work takes no time, so the others never ring."""
    process = current_process()
    if process is None:
        return real(which, seconds, interval)
    return signals_of(process).start_timer(seconds, interval) if which == signal.ITIMER_REAL else (0.0, 0.0)


def getitimer(real: Real, which: int, /) -> object:
    """_signal.getitimer."""
    process = current_process()
    if process is None:
        return real(which)
    signals = signals_of(process)
    return (signals.remaining(), signals.interval / 1e9) if which == signal.ITIMER_REAL else (0.0, 0.0)


def pause(real: Real) -> object:
    """_signal.pause: wait for a signal."""
    task = getcurrent()
    if type(task) is not Task:
        return real()
    signals = signals_of(process_of(task))
    before = signals.handled
    while signals.handled == before:
        task.world.block(None, _PAUSE)
    return None


def _numbers(values: object) -> frozenset[int]:
    numbers = [integer(value) for value in cast("Iterable[object]", values)]
    for number in numbers:
        if not 1 <= number < signal.NSIG:
            raise ValueError(f"signal number {number} out of range [1; {signal.NSIG - 1}]")
    return frozenset(numbers) - _NEVER_BLOCKED


def pthread_sigmask(real: Real, how: object, mask: object, /) -> object:
    """_signal.pthread_sigmask."""
    task = getcurrent()
    if type(task) is not Task:
        return real(how, mask)
    signals = signals_of(process_of(task))
    chosen, numbers, old = integer(how), _numbers(mask), signals.mask(task)
    if chosen == signal.SIG_BLOCK:
        numbers |= old
    elif chosen == signal.SIG_UNBLOCK:
        numbers = old - numbers
    elif chosen != signal.SIG_SETMASK:
        raise fail(errno.EINVAL)
    signals.block(task, numbers)
    return set(old)


def sigpending(real: Real) -> object:
    """_signal.sigpending."""
    process = current_process()
    return real() if process is None else set(signals_of(process).pending)


def sigwait(real: Real, sigset: object, /) -> object:
    """_signal.sigwait."""
    task = getcurrent()
    if type(task) is not Task:
        return real(sigset)
    return signals_of(process_of(task)).wait(task, _numbers(sigset), None)


def sigwaitinfo(real: Real, sigset: object, /) -> object:
    """_signal.sigwaitinfo."""
    task = getcurrent()
    if type(task) is not Task:
        return real(sigset)
    return _info(task, signals_of(process_of(task)).wait(task, _numbers(sigset), None))


def sigtimedwait(real: Real, sigset: object, timeout: object, /) -> object:
    """_signal.sigtimedwait."""
    task = getcurrent()
    if type(task) is not Task:
        return real(sigset, timeout)
    wait = nanoseconds(timeout)
    if wait < 0:
        raise ValueError("timeout must be non-negative")
    number = signals_of(process_of(task)).wait(task, _numbers(sigset), task.world.now + wait)
    return _info(task, number) if number else None


def _info(task: Task, number: int) -> object:
    process = process_of(task)
    return _signal.struct_siginfo((number, 0, 0, process.pid, process.uid, 0, 0))


def raise_signal(real: Real, number: object, /) -> object:
    """_signal.raise_signal."""
    process = current_process()
    if process is None:
        return real(number)
    _calls.kill(process, process.pid, _number(number))
    return None


def pthread_kill(real: Real, thread: int, number: object, /) -> object:
    """_signal.pthread_kill: a handler runs in the main thread in any case."""
    process = current_process()
    if process is None:
        return real(thread, number)
    _calls.kill(process, process.pid, _number(number))
    return None


def interrupt_main(real: Real, number: object = signal.SIGINT, /) -> object:
    """_thread.interrupt_main: as if the signal had arrived; no effect where Python does not handle it."""
    process = current_process()
    if process is None:
        return real(number)
    chosen = integer(number)
    if not 1 <= chosen <= 64:
        raise ValueError("signal number out of range")
    signals = signals_of(process)
    if callable(signals.handlers.get(chosen)):
        signals.arrives(chosen)
    return None


def set_wakeup_fd(real: Real, fd: int, /, *, warn_on_full_buffer: bool = True) -> object:
    """_signal.set_wakeup_fd."""
    task = getcurrent()
    if type(task) is not Task:
        return real(fd, warn_on_full_buffer=warn_on_full_buffer)
    signals = signals_of(process_of(task))
    if signals.program.main_task is not task:
        raise ValueError("set_wakeup_fd only works in main thread of the main interpreter")
    if fd != -1 and not process_of(task).files.get(fd).nonblocking:
        raise ValueError(f"the fd {fd} must be in non-blocking mode")
    old, signals.wakeup = signals.wakeup, fd
    return old


def siginterrupt(real: Real, number: object, flag: object, /) -> object:
    """_signal.siginterrupt: calls are always begun again after a handler (PEP 475)."""
    return None if current_process() is not None else real(number, flag)


FUNCTIONS: Final = (
    getsignal, alarm, setitimer, getitimer, pause, raise_signal, pthread_kill, set_wakeup_fd, siginterrupt,
    pthread_sigmask, sigpending, sigwait, sigwaitinfo, sigtimedwait,
)  # fmt: skip


def add(patcher: Patcher) -> None:
    """Replace the functions of `_signal`, which `signal` wraps."""
    patcher.function(_signal, "signal", set_handler)
    for function in FUNCTIONS:
        patcher.function(_signal, function.__name__, function)
    patcher.function(_thread, "interrupt_main", interrupt_main)
