"""What the interpreter has once for a process or a thread, and simulated ones must have each for themselves.

That is the working directory of a process, and of asyncio the policy of a process and the running loop of a thread.
They are set when a task is switched to that has others, and put back at the end of the run. Until a program changes its
directory or uses asyncio, nothing of this is in the way of a switch.
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


class LoopState(NamedTuple):
    """Where the interpreter keeps the loop of its thread and the policy of its process: what `asyncio.events` has."""

    get: Callable[[], object]
    set: Callable[[object], None]
    policy: Callable[[], object]
    set_policy: Callable[[object], None]


class Switches:
    """What is set at the switches of one world."""

    def __init__(self) -> None:
        self._watching = False
        self._tracer: object = None
        self._moved = False  # a program of this world has changed its directory
        self._outside: Directory | None = None  # the caller's, once anybody has moved
        self._here: Directory | None = None
        self._loops: dict[Task, object] = {}  # the running loops
        self._state: LoopState | None = None
        self._outer_loop: object = None  # the caller's
        self._loop: object = None  # what the interpreter has now
        self._outer_policy: object = None  # the caller's
        self._policy_of: Program | None = None  # whose policy the interpreter has now; None: the caller's

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Within this, the programs of the world have directories and loops of their own, and the caller his."""
        ident = _get_ident()
        before = _running.get(ident)
        _running[ident] = self
        try:
            if self._moved:
                self._note_directory()
            if self._loops or (_asyncio and (_asyncio[0].get() or _asyncio[0].policy()) is not None):
                self._note_loop(None)
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
        self.use_asyncio(task)
        self._set(loop)
        if loop is None:
            self._loops.pop(task, None)
        else:
            self._loops[task] = loop

    def begins(self, task: Task) -> None:
        """The task that runs has its process only now."""
        if self._watching:
            self._switched("switch", (task, task))

    def use_asyncio(self, task: Task) -> None:
        """The task begins to use asyncio: what the interpreter has of it is its own from now on."""
        if self._state is None:
            self._note_loop(_program(task))

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._tracer = greenlet.settrace(self._switched)

    def _note_directory(self) -> None:
        self._outside = self._here = Directory()
        self._watch()

    def _note_loop(self, program: Program | None) -> None:
        self._state = _asyncio[0]
        self._outer_loop = self._loop = self._state.get()
        self._outer_policy = self._state.policy() if program is None else None
        self._policy_of = program
        self._watch()

    def _end(self) -> None:
        if self._watching:
            self._watching = False
            greenlet.settrace(self._tracer)  # type: ignore[arg-type]
            self._apply(self._outside, self._outer_loop, None)
            self._outside = self._here = self._state = None

    def _switched(self, event: str, switch: tuple[greenlet.greenlet, greenlet.greenlet]) -> None:
        target = switch[1]
        task = target if type(target) is Task else thread_of(target)
        if task is not None:
            program = _program(task)
            directory = None if program is None else program.directory
            self._apply(directory or self._outside, self._loops.get(task), program)
        elif type(target.parent) is not Task:  # what a task does outside of the world, it does as it is
            self._apply(self._outside, self._outer_loop, None)

    def _apply(self, directory: Directory | None, loop: object, program: Program | None) -> None:
        if directory is not None and directory is not self._here:
            _fchdir(directory.fd)
            self._here = directory
        if self._state is None:
            return
        if loop is not self._loop:
            self._set(loop)
        if program is not self._policy_of:
            self._change_policy(self._state, program)

    def _set(self, loop: object) -> None:
        assert self._state is not None
        self._state.set(loop)
        self._loop = loop

    def _change_policy(self, state: LoopState, program: Program | None) -> None:
        if self._policy_of is None:
            self._outer_policy = state.policy()
        else:
            self._policy_of.loop_policy = state.policy()
        state.set_policy(self._outer_policy if program is None else program.loop_policy)
        self._policy_of = program


def _program(task: Task) -> Program | None:
    process = cast("Process | None", task.process)
    return None if process is None else program_of(process)


_running: Final[dict[int, Switches]] = {}
"""Of the worlds that run, by the thread they run in."""


_asyncio: Final[list[LoopState]] = []
"""Of asyncio, once it is loaded."""


def asyncio_is_loaded(state: LoopState) -> None:
    """From now on programs may run loops."""
    _asyncio[:] = [state]


def switches() -> Switches:
    """Those of the world that runs in this thread."""
    return _running[_get_ident()]
