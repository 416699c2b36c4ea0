"""Worlds for the tests of the runtime: one host, programs on it, and the same program on the real machine."""

from __future__ import annotations

import difflib
import gc
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable

import pytest

from portside.lab.network import Network
from portside.lab.program import Program


class World:
    """One host in a network, and what its programs did."""

    def __init__(self) -> None:
        self.network = Network(seed=1)
        self.host = self.network.host("alpha", "10.0.0.1/24")

    def run(self, *programs: Callable[[], object] | str, user: str | int = "root") -> list[Program]:
        """Run functions, and programs given as text, side by side to their end."""
        started = [
            self.host.spawn(code=textwrap.dedent(program), user=user, check=False)
            if isinstance(program, str)
            else self.host.spawn(program, user=user, check=False)
            for program in programs
        ]
        self.network.run()
        return started

    def call(self, function: Callable[[], object], user: str = "root") -> object:
        """What a function returns in a simulated program; what it raises is raised here."""
        (program,) = self.run(function, user=user)
        if program.exception is not None:
            raise program.exception
        assert program.exit_code == 0, program.output
        return program.result

    def output(self, source: str) -> str:
        """What a program prints."""
        (program,) = self.run(source)
        return program.output


@pytest.fixture
def world() -> World:
    made = World()
    yield made
    made.network.close()


@pytest.fixture
def same(world: World) -> Callable[..., str]:
    """Run a program for real and simulated, by whoever runs the tests; its output must be the same, and is returned.

    It ends with `code`, None for any: a mistake in the program itself would fail on both sides alike. `sweep`: what it
    leaves behind is collected at once, for it leaves open on purpose what would be told of in another test.
    """

    def compare(source: str, code: int | None = 0, *, sweep: bool = False) -> str:
        source = textwrap.dedent(source)
        real = subprocess.run(
            [sys.executable, "-c", source],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},  # as the streams of a simulated program are
        )
        assert code in (None, real.returncode), real.stderr
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as the interpreter does unless told otherwise
            (program,) = world.run(source, user=os.getuid())
            if sweep:
                gc.collect()
        for there, here in ((real.stdout, program.stdout), (real.stderr, program.stderr)):
            difference = difflib.unified_diff(there.splitlines(), here.splitlines(), "real", "simulated", "", "", 0, "")
            assert there == here, "\n".join(difference)
        assert program.exit_code == real.returncode
        return program.stdout

    return compare
