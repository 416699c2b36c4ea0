"""CPython's own tests of sockets and of what stands on them: what passes on Linux passes on a simulated host.

The quick ones; `python -m tests.suites` runs them all.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest
from tests.suites import __main__ as command
from tests.suites.comparing import differences, excepted, exceptions, unneeded
from tests.suites.running import Outcome, Run, has, linux, namespace, portside, run, suites

ROOT = Path(__file__).parents[2]

QUICK_ON_LINUX = (
    "test_select", "test_poll", "test_epoll", "test_socketserver", "test_httpservers", "test_httplib",
    "test_smtplib", "test_wsgiref", "test_asyncore", "test_asyncio.test_server", "test_asyncio.test_streams",
)  # fmt: skip

SLOW_ON_LINUX = ("test_socket", "test_selectors", "test_asyncio.test_sock_lowlevel", "test_asyncio.test_sendfile")
"""All their tests that are not skipped pass on Linux, where they take a minute and more."""


@functools.cache
def namespaces() -> bool:
    return subprocess.run([*namespace(), "true"], capture_output=True, check=False).returncode == 0


def unnamed(there: Run, here: Run) -> list[str]:
    reasons = exceptions()
    return [f"{found.test}: {found.here.reason}" for found in differences(there, here, reasons) if not found.exception]


@pytest.mark.linux
@pytest.mark.parametrize("suite", QUICK_ON_LINUX)
def test_what_passes_on_linux_passes_here(suite: str) -> None:
    if not has(suite):
        pytest.skip("this Python has no such suite")
    if not namespaces():
        pytest.skip("no network namespaces here")
    there, ours = linux(suite), portside(suite)
    assert there.counts()["passed"], there.output
    assert not ours.trouble, ours.output
    assert unnamed(there, ours) == []
    assert unneeded(there, differences(there, ours, exceptions()), exceptions()) == []


@pytest.mark.parametrize("suite", SLOW_ON_LINUX)
def test_none_fails_here(suite: str) -> None:
    if not has(suite):
        pytest.skip("this Python has no such suite")
    ours = portside(suite)
    assert not ours.trouble, ours.output
    failed = [test for test, found in ours.tests.items() if found.outcome == "failed"]
    assert [test for test in failed if not excepted(test, exceptions())] == []
    assert ours.counts()["passed"] > 30


@pytest.mark.skipif(not has("test_socket"), reason="this Python is installed without its suites")
def test_regrtests_own_main_runs_here() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portside", "run", "-m", "test", "test_epoll", "test_poplib", "test_wsgiref"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Result: SUCCESS" in done.stdout
    assert "env_changed" not in done.stdout


# -- the command itself --


def program(tmp_path: Path, source: str) -> list[str]:
    """A command that, called as suite.py is, does `source` instead."""
    file = tmp_path / "instead.py"
    file.write_text(f"import json, sys, time\npath = sys.argv[-1]\n{source}")
    return [sys.executable, str(file)]


def test_a_time_limit_tells_what_was_running(tmp_path: Path) -> None:
    source = """open(path, "w").write(json.dumps({"begins": "test.test_x.A.b"}) + "\\n")\ntime.sleep(60)"""
    found = run(program(tmp_path, source), "test_x", 1)
    assert found.tests == {"test_x.A.b": Outcome("failed", 0.0, found.trouble)}
    assert "its time limit of 1 s struck, while test_x.A.b ran" in found.trouble


def test_a_suite_that_dies_is_told(tmp_path: Path) -> None:
    found = run(program(tmp_path, "print('alas'); sys.exit(3)"), "test_x", 60)
    assert found.tests == {}
    assert "ended with code 3" in found.trouble
    assert found.output == "alas\n"


def outcomes(**by_name: str) -> Run:
    return Run({f"test_x.A.{name}": Outcome(outcome, 0.0, "") for name, outcome in by_name.items()}, 0.0, "", "")


def test_a_difference_is_what_linux_alone_passes() -> None:
    there = outcomes(a="passed", b="passed", c="passed", d="skipped", e="failed", f="passed")
    ours = outcomes(a="passed", b="failed", c="skipped", d="failed", e="failed")
    found = differences(there, ours, {"test_x.*.c": "why"})
    assert [(one.test[-1], one.here.outcome, one.exception) for one in found] == [
        ("b", "failed", ""), ("c", "skipped", "test_x.*.c"), ("f", "not run", ""),
    ]  # fmt: skip


def test_an_exception_that_nothing_needs_is_told() -> None:
    there = outcomes(a="passed", b="skipped")
    reasons = {"test_x.A.a": "", "test_x.A": "", "test_x.A.b": "", "test_y.A": "", "test_x.A.aa": ""}
    assert unneeded(there, differences(there, there, reasons), reasons) == ["test_x.A.a", "test_x.A"]


def test_each_exception_has_its_sentence() -> None:
    for name, reason in exceptions().items():
        assert name.startswith("test_")
        assert len(reason.split()) > 3


def test_the_command_ends_with_1_for_what_no_exception_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "KERNELS", {"linux": lambda *_: outcomes(a="passed", b="passed"),
                                             "portside": lambda *_: outcomes(a="passed", b="failed")})  # fmt: skip
    monkeypatch.setattr(command, "suites", lambda: ["test_x"])
    assert command.main(["test_x"]) == 1
    assert "Of 2 that pass on Linux 1 pass on portside, 0 are exceptions" in capsys.readouterr().out
    monkeypatch.setattr(command, "exceptions", lambda: {"test_x.A.b": "for a reason that is given"})
    assert command.main(["test_x"]) == 0
    monkeypatch.setattr(command, "exceptions", lambda: {"test_x": "for a reason that is given", "test_x.A.a": "too"})
    assert command.main(["test_x", "--json"]) == 1
    assert "an exception that nothing needs any more: test_x.A.a" in capsys.readouterr().err


@pytest.mark.skipif(not has("test_socket"), reason="this Python is installed without its suites")
def test_the_suites_are_those_of_this_python() -> None:
    found = suites()
    assert "test_socket" in found
    assert "test_asyncio.test_streams" in found
    assert ("test_asyncore" in found) == (sys.version_info < (3, 12))
