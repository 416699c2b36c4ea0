"""What the runtime keeps of a running program: per process, what CPython keeps per interpreter."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from weakref import WeakValueDictionary

from greenlet import getcurrent

from portside.sim.scheduler import Task

if TYPE_CHECKING:
    from io import BufferedRandom, BufferedWriter, TextIOWrapper
    from logging import Logger
    from random import Random
    from typing import TextIO

    from portside.host.processes import Process
    from portside.runtime.switches import Directory

Writer: TypeAlias = "TextIOWrapper | BufferedWriter | BufferedRandom"

threads: Final[dict[int, Task]] = {}
"""The tasks that have a thread identifier, by it."""

_idents = count(1)
_numbers = count()


class Program:
    """The interpreter state of one simulated process: arguments, streams, modules, threads, what to do at its end.

    `values` are the attributes of `sys` that this program sees in place of the interpreter's own.
    """

    __slots__ = (
        "atexit", "default_timeout", "directory", "ending", "loader", "logging", "loop_policy", "main_task",
        "main_thread", "nice", "process", "processors", "random", "signals", "source", "thread_names", "values",
        "writers",
    )  # fmt: skip

    def __init__(self, process: Process) -> None:
        self.process = process
        self.main_task: Task | None = None
        self.main_thread: threading.Thread | None = None
        self.thread_names = count(1)
        self.atexit: list[tuple[Callable[..., object], tuple[object, ...], dict[str, object]]] = []
        self.default_timeout: int | None = None  # of new sockets, in ns
        self.ending = False  # what it leaves open is let go of without a warning, as at the interpreter's end
        self.directory: Directory | None = None  # where it is, once it has moved
        self.loop_policy: object = None  # of asyncio
        self.signals: object = None  # patches.signal.Signals
        self.random: Random | None = None
        self.nice = 0
        self.processors: set[int] = set()  # those that it may run on, once it has chosen
        self.logging: dict[tuple[Logger, str], object] = {}  # the state of loggers
        self.source: str | None = None  # of a program that is in no file
        self.values: dict[str, object] = {}
        self.writers: WeakValueDictionary[int, Writer] = WeakValueDictionary()  # what was opened to be written
        self.loader: object = None  # loader.Loader, when it has modules of its own

    def opened(self, writer: Writer) -> None:
        """A file that is flushed when the program ends, unless it is closed or forgotten before."""
        self.writers[next(_numbers)] = writer

    def stream(self, name: str) -> TextIO | None:
        """`stdin`, `stdout` or `stderr` as the program has it now."""
        return cast("TextIO | None", self.values.get(name))


def program_of(process: Process) -> Program:
    """The program that the process runs."""
    program = process.program
    if program is None:
        program = process.program = Program(process)
    return cast(Program, program)


def current_program() -> Program | None:
    """The simulated program that runs now; None in code outside a world."""
    task = getcurrent()
    return program_of(cast("Process", task.process)) if type(task) is Task else None


def forget_ended() -> None:
    """Let go of tasks that have ended without a word: such as refused to hear that their process has."""
    for ident, task in list(threads.items()):
        if task.ended or task.dead:
            del threads[ident]
            threading._active.pop(ident, None)  # type: ignore[attr-defined]


def begin_idents() -> None:
    """Number threads from the first number that none of a world which was left open has."""
    global _idents  # noqa: PLW0603
    _idents = count(max(threads, default=0) + 1)


def ident_of(task: Task) -> int:
    """The thread identifier of a task: a small number, given in the order in which it is asked for."""
    global _idents  # noqa: PLW0603 - begins again when no simulated thread is left
    try:
        return task.ident
    except AttributeError:
        if not threads:
            _idents = count(1)
        task.ident = ident = next(_idents)
        threads[ident] = task
        return ident
