"""A program on a simulated host, and what is known of it before, while and after it runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from portside.lab import environment

if TYPE_CHECKING:
    from portside.host.processes import Process
    from portside.lab.host import Host
    from portside.runtime.programs import Body
    from portside.sim.scheduler import Task

MakeBody = Callable[["Process"], "Body"]
SIGTERM: Final = 15


class Program:
    """One program on one host. `Host.spawn` makes it.

    `name` is what reports call it. `result` is what a spawned function returned, `exception` what the program
    let out. `checked` says whether its failure makes `Network.run` raise ProgramFailed.
    """

    def __init__(
        self, host: Host, name: str, argv: list[str], user: str | int, make: MakeBody, *, checked: bool
    ) -> None:
        self.host = host
        self.name = name
        self.argv = argv
        self.user = user
        self.checked = checked
        self.environment: dict[str, str] = {}  # what is added to the environment of the caller
        self.process: Process | None = None
        self.task: Task | None = None
        self._make = make
        self._body: Body | None = None
        self._output: list[tuple[str, bytes]] = []
        self._killed = False

    # -- what is known of it --

    @property
    def pid(self) -> int | None:
        """Its process id; None before it starts."""
        return None if self.process is None else self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has started and not ended."""
        return self.process is not None and self.process.alive

    @property
    def exit_code(self) -> int | None:
        """None until it ends; then 0 to 255, or -N when signal N ended it."""
        return None if self.process is None else self.process.exit_status

    @property
    def failed(self) -> bool:
        """Whether it ended with an exit code other than 0, and not because it was killed from outside."""
        return bool(self.exit_code) and not self._killed

    @property
    def result(self) -> object:
        """What the function returned; None for a script, and until it ends."""
        return None if self._body is None else self._body.result

    @property
    def exception(self) -> BaseException | None:
        """What the program let out: its traceback has been printed on its standard error."""
        return None if self._body is None else self._body.exception

    @property
    def output(self) -> str:
        """What it has written to standard output and error so far, in the order in which it did."""
        return b"".join(data for _, data in self._output).decode(errors="replace")

    @property
    def stdout(self) -> str:
        """What it has written to standard output so far."""
        return b"".join(data for name, data in self._output if name == "stdout").decode(errors="replace")

    @property
    def stderr(self) -> str:
        """What it has written to standard error so far."""
        return b"".join(data for name, data in self._output if name == "stderr").decode(errors="replace")

    def kill(self, signal: int = SIGTERM) -> None:
        """Send it a signal, as kill(1) does; one that has not started never will."""
        if self.process is not None:
            self._killed = True
            self.process.kill(signal)
        elif self.task is not None:
            from portside.host.processes import ProcessExit

            self._killed = True
            self.task.world.kill(self.task, ProcessExit())

    def __repr__(self) -> str:
        state = "not started" if self.process is None else "running" if self.running else f"exit code {self.exit_code}"
        return f"<Program {self.name} on {self.host.name}: {state}>"

    # -- running it --

    def begin(self) -> Process:
        """Make the process. The program's own task calls it, or the host when it starts at once."""
        machine = self.host.machine
        process = machine.processes.create(self.name, self.argv, uid=machine.users.uid(self.user))
        process.stdout.sink = partial(self._write, "stdout")
        process.stderr.sink = partial(self._write, "stderr")
        environment.give(process, self.environment)
        self.process = process
        return process

    def run(self) -> None:
        """What the program's main task does."""
        network = self.host.network
        process = self.process or self.begin()
        assert self.task is not None
        self.task.process = process
        network.switches.begins(self.task)
        network.trace.note(self.host.name, f"{self.name} starts (pid {process.pid})")
        self._body = self._make(process)
        try:
            self._body()
        finally:
            environment.forget(process)
            network.ended(self)

    def _write(self, stream: str, data: bytes) -> None:
        self._output.append((stream, data))
        self.host.network.wrote(self, stream, data)
