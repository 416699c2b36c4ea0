"""`portside run`: one program on one host, or a lab."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

import click

from portside.lab.errors import LabError
from portside.lab.output import Output
from portside.sim import clock
from portside.sim.errors import Deadlock

if TYPE_CHECKING:
    from portside.lab.network import Network
    from portside.lab.program import Program

DEADLOCK = 3
INTERRUPTED = 130
DEFAULT_ADDRESSES = ("10.0.0.1/24", "fd00::1/64")
HOST_NAME = "host"
AFTERWARDS = "1s"
"""How long packets go on after the last program, where somebody looks at them."""


class Options(NamedTuple):
    """The options of `portside run`."""

    addresses: tuple[str, ...]
    sysctls: tuple[str, ...]
    user: str
    seed: int | None
    until: str | None
    trace: str | None
    pcap: str | None
    start: str | None = None


def run_program(
    options: Options,
    arguments: Sequence[str],
    *,
    script: str | None = None,
    module: str | None = None,
    code: str | None = None,
) -> int:
    """Run one program on one host; its exit code."""
    from portside.lab.network import Network

    if script is not None:
        if Path(script).is_dir() and not (Path(script) / "__main__.py").is_file():
            raise Complaint(f"{script} is a directory without __main__.py")
        if not Path(script).exists():
            raise Complaint(f"there is no file {script}")
    network = Network(options.seed or 0, start=first_instant(options.start), output=Output())
    with told():
        host = network.host(HOST_NAME, *(options.addresses or DEFAULT_ADDRESSES))
        for assignment in options.sysctls:
            name, equals, value = assignment.partition("=")
            if not equals:
                raise LabError(f"--sysctl {assignment}: write NAME=VALUE")
            host.sysctl[name.strip()] = value.strip()
        program = host.spawn(*([script] if script else []), *arguments, module=module, code=code, user=options.user)
        give_standard_streams(program)
        network.interrupted = program
    return run(network, [program], options)


def run_lab(path: str, arguments: Sequence[str], options: Options) -> int:
    """Run the programs of a LAB.toml; the exit code of the first that failed."""
    from portside.lab import toml

    if arguments:
        raise Complaint("a lab takes no arguments: those of its programs stand in the file")
    for name, given in (
        ("--address", options.addresses),
        ("--sysctl", options.sysctls),
        ("--user", options.user != "root"),
        ("--start", options.start),
    ):
        if given:
            raise Complaint(f"{name} is for one program: for a lab it stands in the file")
    with told():
        lab = toml.load(path, output=Output(), seed=options.seed)
    return run(lab.network, lab.programs, options, until=lab.until)


def run(network: Network, programs: Sequence[Program], options: Options, until: float | str | None = None) -> int:
    """Run the world to its end; the exit code of the command."""
    from portside.runtime.installation import installed

    with told():
        end = until if options.until is None else clock.duration(options.until) / clock.SECOND
    drain = AFTERWARDS if options.trace or options.pcap else 0
    with recorded(network, options), installed():
        gc.freeze()  # a program's gc.collect() looks at what it made itself, as by `python3`; the rest lives to the end
        try:
            network.run(end, drain=drain, check=False)
        except Deadlock as deadlock:
            if sys.stdout is not None:
                sys.stdout.flush()
            click.echo(f"portside: {deadlock}", err=True)
            return first_failure(programs) or DEADLOCK
        except KeyboardInterrupt:
            return INTERRUPTED
    return first_failure(programs)


def first_failure(programs: Sequence[Program]) -> int:
    """The exit code of the first program that failed, as a shell shows it; 0 if none did."""
    for program in programs:
        code = program.exit_code
        if code:
            return 128 - code if code < 0 else code
    return 0


class Complaint(click.ClickException):
    """One sentence on what is wrong with what was asked; exit code 2."""

    exit_code = 2

    def show(self, file: object = None) -> None:
        """Write it to standard error."""
        click.echo(f"portside: {self.format_message()}", err=True)


@contextmanager
def told() -> Iterator[None]:
    """Mistakes in what was asked for become one sentence."""
    try:
        yield
    except ValueError as error:
        raise Complaint(str(error)) from None


def first_instant(text: str | None) -> float:
    """What the wall clock shows at the beginning, in seconds since 1970."""
    try:
        return (clock.DEFAULT_START if text is None else clock.start(text)) / clock.SECOND
    except ValueError:
        raise Complaint(f"--start {text}: write a date and time such as 2020-01-01T00:00:00Z, from 1970 on") from None


def give_standard_streams(program: Program) -> None:
    """Let a program read what this command is given to read, and have those streams closed that it has closed.

    Whoever waits for standard input stops the whole world.
    """
    from portside.runtime.real_file import RealFile

    process = program.process
    assert process is not None
    process.files.close(0)
    with suppress(OSError):  # EBADF
        file = RealFile(os.dup(0), "standard input")
        process.files.install(file)
        process.stdin = file
    for fd, stream in ((1, sys.stdout), (2, sys.stderr)):
        if stream is None:
            process.files.close(fd)


@contextmanager
def recorded(network: Network, options: Options) -> Iterator[None]:
    """Write what --trace and --pcap ask for."""
    ends: list[Callable[[], object]] = []
    try:
        if options.trace == "-" and sys.stderr is not None:
            network.trace.write_to(sys.stderr)
        elif options.trace and options.trace != "-":
            stream = _open(options.trace)
            ends.append(stream.close)
            network.trace.write_to(stream)
        if options.pcap:
            ends.append(_capture(network, options.pcap))
        yield
    finally:
        for end in ends:
            end()


def _open(path: str) -> TextIO:
    try:
        return Path(path).open("w", encoding="utf-8")
    except OSError as error:
        raise Complaint(f"cannot write {path}: {error.strerror}") from None


def _capture(network: Network, path: str) -> Callable[[], object]:
    from portside.sim.capture import Capture

    try:
        file = Path(path).open("wb")  # noqa: SIM115 - closed when the run ends
    except OSError as error:
        raise Complaint(f"cannot write {path}: {error.strerror}") from None
    network.trace.observe(Capture(file, network.world.epoch))
    return file.close
