"""A program that is started and followed: its children too, though it daemonizes.

This process becomes the subreaper of what it starts (PR_SET_CHILD_SUBREAPER of prctl(2)): a daemon whose parent has
ended becomes its child, and not that of init.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Final, NoReturn

from portside.live import proc
from portside.live.descriptors import Denied, libc
from portside.live.tracer import Call, Tracer

SUBREAPER: Final = 36
ALL_THREADS: Final = 0x40000000  # __WALL of waitpid(2): also what clone(2) made
NOT_RUN: Final = 127


class Offspring:
    """A started program and all that descends from it. `status` is its exit code once it has ended, 128 and the number
    of the signal that killed it."""

    def __init__(self, command: Sequence[str], *, trace: bool = True) -> None:
        """Start a command. Args: trace: also tell its bind(2) and listen(2), where this is allowed."""
        self.command = tuple(command)
        self.status: int | None = None
        self.childless = False  # all have ended: whoever is left of a family is a child of its subreaper, or has one
        self.tracer: Tracer | None = Tracer() if trace else None
        libc().prctl(SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who ignores it hears of no child
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        go, self._failed = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            self._child(go)
        os.close(go[0])
        os.close(self._failed[1])
        if self.tracer is not None:
            try:
                self.tracer.follow(self.pid)
            except Denied:
                self.tracer = None
        os.close(go[1])  # now it may begin

    def _child(self, go: tuple[int, int]) -> NoReturn:
        """In the new process: wait until the parent is ready, and become the program."""
        code = NOT_RUN
        try:
            os.close(go[1])
            os.read(go[0], 1)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which CPython ignores, and a program expects otherwise
                signal.signal(number, signal.SIG_DFL)
            os.execvp(self.command[0], self.command)
        except OSError as error:
            code = NOT_RUN if isinstance(error, FileNotFoundError) else NOT_RUN - 1
            os.write(self._failed[1], (error.strerror or str(error)).encode())
        finally:
            os._exit(code)

    @property
    def not_run(self) -> str:
        """Why the command could not be run at all; empty if it could. To be asked once it has ended."""
        return os.read(self._failed[0], 1000).decode()

    def step(self, patience: float) -> list[Call]:
        """Deal with what has happened, or wait for something (s). Returns the calls that were made."""
        calls, happened = self._reap()
        if not happened and signal.sigtimedwait({signal.SIGCHLD}, patience) is not None:
            calls, _ = self._reap()
        return calls

    def _reap(self) -> tuple[list[Call], bool]:
        calls: list[Call] = []
        happened = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | ALL_THREADS)
            except ChildProcessError:
                self.childless = True
                return calls, happened
            if not pid:
                return calls, happened
            happened = True
            if os.WIFSTOPPED(status):
                call = self.tracer.stopped(pid, status) if self.tracer is not None else None
                calls += [call] if call is not None else []
                if call is not None:
                    return calls, happened  # before it goes on far
                continue
            if self.tracer is not None:
                self.tracer.ended(pid)
            if pid == self.pid:
                self.status = os.waitstatus_to_exitcode(status)
                self.status = 128 - self.status if self.status < 0 else self.status

    def leave(self) -> None:
        """Stop tracing."""
        if self.tracer is not None:
            self.tracer.leave()
            while self.tracer.threads:
                self._reap()
                signal.sigtimedwait({signal.SIGCHLD}, 0.05)
                self.tracer.threads = {each for each in self.tracer.threads if os.path.exists(f"{proc.PROC}/{each}")}
            self.tracer = None

    def living(self) -> tuple[int, ...]:
        """The processes that descend from this one now: the program, its children, and theirs."""
        parents: dict[int, int] = {}
        for pid in proc.pids():
            try:
                stat = proc.read(f"{proc.PROC}/{pid}/stat") or b""
            except proc.Gone:
                continue
            rest = stat[stat.rindex(b")") + 2 :].split()
            if rest[0] not in (b"Z", b"X"):
                parents[pid] = int(rest[1])
        found = {os.getpid()}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return tuple(sorted(found - {os.getpid()}))
