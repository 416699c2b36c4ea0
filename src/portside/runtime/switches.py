"""What the interpreter has once for a process or a thread, and simulated ones must have each for themselves.

That is the working directory of a process and the running asyncio loop of a thread. Both are set when a task is
switched to that has another, and put back at the end of the run. Until a program changes its directory or runs a loop,
nothing of this is in the way of a switch.
"""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import greenlet

from portside.runtime.greenlets import thread_of
from portside.runtime.program import Program, program_of
from portside.sim.scheduler import Task

if TYPE_CHECKING:
    from portside.host.processes import Process

_open: Final = os.open
_close: Final = os.close
_fchdir: Final = os.fchdir
_get_ident: Final = _thread.get_ident


class Directory:
    """A directory of the real disk that is held open: it can be gone back to whatever becomes of its name."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd = _open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __del__(self) -> None:
        _close(self.fd)


class RunningLoop(NamedTuple):
    """Where the interpreter keeps the loop of its thread: what `asyncio.events` has for it."""

    get: Callable[[], object]
    set: Callable[[object], None]


class Switches:
    """What is set at the switches of one world."""

    def __init__(self) -> None:
        self._watching = False
        self._tracer: object = None
        self._moved = False  # a program of this world has changed its directory
        self._outside: Directory | None = None  # the caller's, once anybody has moved
        self._here: Directory | None = None
        self._loops: dict[Task, object] = {}  # the running loops
        self._running_loop: RunningLoop | None = None
        self._outer_loop: object = None  # the caller's
        self._loop: object = None  # what the interpreter has now

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Within this, the programs of the world have directories and loops of their own, and the caller his."""
        ident = _get_ident()
        before = _running.get(ident)
        _running[ident] = self
        try:
            if self._moved:
                self._note_directory()
            if self._loops or (_asyncio and _asyncio[0].get() is not None):
                self._note_loop()
            yield
        finally:
            self._end()
            if before is None:
                del _running[ident]
            else:
                _running[ident] = before

    def move(self, program: Program, change: Callable[[], object]) -> None:
        """Let the program that runs now change its directory."""
        if self._outside is None:
            self._note_directory()
        change()
        program.directory = self._here = Directory()
        self._moved = True

    def run_loop(self, task: Task, loop: object) -> None:
        """The task begins to run an asyncio loop, or ends it: None."""
        if self._running_loop is None:
            self._note_loop()
        self._set(loop)
        if loop is None:
            self._loops.pop(task, None)
        else:
            self._loops[task] = loop

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._tracer = greenlet.settrace(self._switched)

    def _note_directory(self) -> None:
        self._outside = self._here = Directory()
        self._watch()

    def _note_loop(self) -> None:
        self._running_loop = _asyncio[0]
        self._outer_loop = self._loop = self._running_loop.get()
        self._watch()

    def _end(self) -> None:
        if self._watching:
            self._watching = False
            greenlet.settrace(self._tracer)  # type: ignore[arg-type]
            self._apply(self._outside, self._outer_loop)
            self._outside = self._here = self._running_loop = None

    def _switched(self, event: str, switch: tuple[greenlet.greenlet, greenlet.greenlet]) -> None:
        target = switch[1]
        task = target if type(target) is Task else thread_of(target)
        if task is not None:
            process = cast("Process | None", task.process)
            directory = None if process is None else program_of(process).directory
            self._apply(directory or self._outside, self._loops.get(task))
        elif type(target.parent) is not Task:  # what a task does outside of the world, it does as it is
            self._apply(self._outside, self._outer_loop)

    def _apply(self, directory: Directory | None, loop: object) -> None:
        if directory is not None and directory is not self._here:
            _fchdir(directory.fd)
            self._here = directory
        if loop is not self._loop and self._running_loop is not None:
            self._set(loop)

    def _set(self, loop: object) -> None:
        assert self._running_loop is not None
        self._running_loop.set(loop)
        self._loop = loop


_running: Final[dict[int, Switches]] = {}
"""Of the worlds that run, by the thread they run in."""


_asyncio: Final[list[RunningLoop]] = []
"""Of asyncio, once it is loaded."""


def asyncio_is_loaded(running_loop: RunningLoop) -> None:
    """From now on programs may run loops."""
    _asyncio[:] = [running_loop]


def switches() -> Switches:
    """Those of the world that runs in this thread."""
    return _running[_get_ident()]
