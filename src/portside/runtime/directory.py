"""The working directory of each simulated process: os.chdir moves one program, and nobody else.

The real process has one working directory. It is set when a task is switched to whose process has another, and put
back at the end of the run. Until the first chdir of a run, nothing of this is in the way of a switch.
"""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

import greenlet

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


class Directories:
    """Where the real process is while one world runs."""

    def __init__(self) -> None:
        self._moved = False  # a program of this world has changed its directory
        self._outside: Directory | None = None  # the caller's
        self._here: Directory | None = None
        self._tracer: object = None

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Within this, the programs of the world change their own working directories and not the caller's."""
        ident = _get_ident()
        before = _running.get(ident)
        _running[ident] = self
        try:
            if self._moved:
                self._watch()
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
            self._watch()
        change()
        program.directory = self._here = Directory()
        self._moved = True

    def _watch(self) -> None:
        self._outside = self._here = Directory()
        self._tracer = greenlet.settrace(self._switched)

    def _end(self) -> None:
        if self._outside is not None:
            greenlet.settrace(self._tracer)  # type: ignore[arg-type]
            self._go(self._outside)
            self._outside = self._here = None

    def _switched(self, event: str, switch: tuple[greenlet.greenlet, greenlet.greenlet]) -> None:
        target = switch[1]
        wanted = self._outside
        if type(target) is Task:
            if target.process is not None:
                wanted = program_of(cast("Process", target.process)).directory or wanted
        elif type(target.parent) is Task:
            return  # what a task does outside of the world, it does where it is
        if wanted is not None:
            self._go(wanted)

    def _go(self, directory: Directory) -> None:
        if directory is not self._here:
            _fchdir(directory.fd)
            self._here = directory


_running: Final[dict[int, Directories]] = {}
"""Of the worlds that run, by the thread they run in."""


def directories() -> Directories:
    """Those of the world that runs in this thread."""
    return _running[_get_ident()]
