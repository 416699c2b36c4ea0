"""Runs one suite of CPython's own tests in a process of its own: on real Linux, or on a simulated host."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PROGRAM = Path(__file__).with_name("suite.py")

MODULES = (
    "test_socket", "test_selectors", "test_select", "test_poll", "test_epoll", "test_socketserver", "test_httpservers",
    "test_httplib", "test_urllib2_localnet", "test_ftplib", "test_smtplib", "test_poplib", "test_imaplib",
    "test_xmlrpc", "test_wsgiref", "test_asyncore", "test_asynchat", "test_ssl",
)  # fmt: skip

PATIENCE = 600
"""Seconds of wall time that a suite may take."""


class Outcome(NamedTuple):
    """What became of a test: passed, skipped or failed, and why; its seconds, which are virtual on a simulated host."""

    outcome: str
    seconds: float
    reason: str


class Run(NamedTuple):
    """A suite that was run: each test's outcome by its identifier (without `test.`), wall time, and what went wrong.

    `trouble` says what struck the suite as a whole, such as its time limit, and what was running then.
    """

    tests: dict[str, Outcome]
    seconds: float
    trouble: str
    output: str

    def counts(self) -> Counter[str]:
        """How many tests passed, were skipped and failed."""
        return Counter(test.outcome for test in self.tests.values())


def has(suite: str) -> bool:
    """Whether this Python has a suite; some are installed without their `test` package, or with a part of it."""
    try:
        return importlib.util.find_spec(f"test.{suite}") is not None
    except ModuleNotFoundError:
        return False


def suites() -> list[str]:
    """The suites that this Python has, by the names of their modules in `test`."""
    found = [name for name in MODULES if has(name)]
    package = importlib.util.find_spec("test.test_asyncio") if has("test_asyncio") else None
    if package is None or package.origin is None:
        return found
    files = sorted(Path(package.origin).parent.glob("test_*.py"))
    return found + [f"test_asyncio.{file.stem}" for file in files]


def namespace() -> list[str]:
    """A command that runs what follows in a fresh network namespace with its loopback up."""
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    return [*unshare, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def linux(suite: str, patience: float = PATIENCE) -> Run:
    """Run a suite with this interpreter on the real kernel, in a network namespace of its own."""
    return run([*namespace(), sys.executable], suite, patience)


def portside(suite: str, patience: float = PATIENCE) -> Run:
    """Run a suite with this interpreter on a simulated host."""
    return run([sys.executable, "-m", "portside", "run"], suite, patience)


def run(command: Sequence[str], suite: str, patience: float) -> Run:
    """Run a suite by the program that the words of `command` start."""
    with tempfile.TemporaryDirectory() as place:
        results = Path(place, "results")
        results.touch()
        work = Path(place, "work")
        work.mkdir()
        begun = time.monotonic()
        trouble, output = finish([*command, str(PROGRAM), suite, str(results)], work, patience)
        seconds = time.monotonic() - begun
        tests, unfinished, ended = read(results)
    if not ended:
        trouble = trouble or "it ended before its last test"
        trouble += f", while {unfinished} ran" if unfinished else ""
        if unfinished:
            tests[unfinished] = Outcome("failed", 0.0, trouble)
    return Run(tests, seconds, "" if ended else trouble, output)


def finish(command: Sequence[str], directory: Path, patience: float) -> tuple[str, str]:
    """Run a command to its end, or to its limit: what there is to say of that, and what it printed."""
    process = subprocess.Popen(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return f"its time limit of {patience:g} s struck", output
    return f"{shlex.join(command[:4])} ended with code {process.returncode}" if process.returncode else "", output


def read(path: Path) -> tuple[dict[str, Outcome], str, bool]:
    """The lines that suite.py wrote: outcomes, the test that had begun and not ended, whether the suite ended."""
    tests: dict[str, Outcome] = {}
    unfinished = ""
    ended = False
    for line in path.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        if "begins" in found:
            unfinished = found["begins"].removeprefix("test.")
        elif "test" in found:
            unfinished = ""
            tests[found["test"].removeprefix("test.")] = Outcome(found["outcome"], found["seconds"], found["reason"])
        else:
            ended = True
    return tests, unfinished, ended
