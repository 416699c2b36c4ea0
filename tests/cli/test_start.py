"""Where the command begins: what is run without click does what it does with it."""

from __future__ import annotations

import gc
import subprocess
import sys

import click
import pytest

from portside import Network
from portside.cli import start, tools

_IMPORTED = """
import os, sys
from portside.cli import start
os._exit = lambda status: sys.exit(f"{status} {'click' in sys.modules} {'portside.facts.saved' in sys.modules}")
start.main(sys.argv[1:])
"""


def ended(*words: str) -> str:
    """The exit code, and whether click and what reads saved snapshots were imported."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED, *words], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stderr.splitlines()[-1]


def test_the_tools_and_what_is_not_theirs_are_known() -> None:
    commands = {name: each for name, each in vars(tools).items() if isinstance(each, tools.ToolCommand)}
    assert commands.keys() == set(start.TOOLS)
    for command in commands.values():
        context = click.Context(command, help_option_names=["-h", "--help"])
        options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
        assert {name for each in options for name in each.opts} <= set(start.OWN)


@pytest.mark.parametrize("words", [("ss", "-tln"), ("lsof", "-nP", "-i"), ("netstat", "-tln"), ("fuser", "1/tcp")])
def test_a_tool_is_run_without_click(words: tuple[str, ...]) -> None:
    assert ended(*words) in ("0 False False", "1 False False")


@pytest.mark.parametrize("option", ["--json", "--help", "-h", "--snapshot=/nonexistent", "--namespace=nowhere"])
def test_an_option_of_portside_is_read_by_click(option: str) -> None:
    assert ended("ss", "-tln", option).split()[1] == "True"


@pytest.mark.parametrize(
    "words", [("ss", "-Q"), ("ss", "nonsense"), ("ss", "--", "-Q"), ("lsof", "-i", ":no/such"), ("ip", "addr", "x")]
)
def test_what_is_wrong_is_said_alike(words: tuple[str, ...]) -> None:
    def run(code: str) -> tuple[int, str, str]:
        script = [sys.executable, "-c", f"import sys; {code}(sys.argv[1:])", *words]
        done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    quick = run("from portside.cli.start import main; main")
    assert quick == run("from portside.cli.main import main; main")
    assert quick[2]


def test_a_tool_on_a_simulated_host_leaves_the_collector_as_it_is() -> None:
    """It ends with its own process; those of the other hosts go on in the same interpreter."""
    network = Network(seed=1)
    running = network.host("host", "10.0.0.1/24").spawn(start.main, ["ss", "-tln"])
    network.run()
    assert (running.exit_code, running.output.split()[0], gc.isenabled()) == (0, "State", True)


def test_a_tool_that_prints_and_ends_does_not_look_for_cycles() -> None:
    script = "import gc, os, sys; from portside.cli import start; "
    script += "os._exit = lambda status: sys.exit(f'{status} {gc.isenabled()}'); start.main(['ss', '-tln'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == "0 False"
