"""docs/listening.md names each key of the JSON that `portside ls` prints; what could not be read is part of all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import ROOT, told
from tests.explain import hand

from portside.addr.abi import SOCK_STREAM
from portside.cli.main import cli
from portside.facts import saved
from portside.facts.process import Process
from portside.facts.snapshot import Missing
from portside.facts.socket import Owner, UnixSocket
from portside.facts.state import LISTEN, TIME_WAIT

PAGE = (ROOT / "docs" / "listening.md").read_text()
HERE = {"what": "w", "why": "y", "remedy": "r"}


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A machine with something of all that there is to tell."""
    few = hand.host().settings
    few.ip_local_port_range = (40000, 40001)
    machine = hand.host(
        hand.socket("0.0.0.0:5432", pid=7, command="db"),
        hand.socket("10.9.0.5:40000", to="10.9.0.9:80", pid=7, command="db"),
        hand.socket("10.9.0.5:40001", to="10.9.0.9:80", state=TIME_WAIT, inode=0),
        settings=few,
        unix_sockets=(
            UnixSocket(type=SOCK_STREAM, state=LISTEN, path=b"/run/x", inode=9, owners=(Owner(7, 4, "db"),)),
        ),
        processes=(Process(pid=7, ppid=1, name="db", argv=("db",)), Process(pid=1, name="init")),
        missing=(Missing(**HERE),),
    )
    path = tmp_path / "machine.json"
    path.write_text(saved.dump(machine))
    return str(path)


@pytest.fixture
def answer(file: str, capsys: pytest.CaptureFixture[str]):
    """What `portside COMMAND --json` prints of that machine."""

    def run(*command: str) -> Any:
        cli.main([*command, "--json", "--snapshot", file], "portside", standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    return run


def keys(after: str) -> set[str]:
    return told(PAGE, after)


def inner(key: str, after: str) -> set[str]:
    """The names between backticks in what a table says of a key."""
    table = PAGE[PAGE.index(after) :]
    found = re.search(rf"^\|[^|]*`{key}`[^|]*\|(.*)\|$", table, re.MULTILINE)
    assert found is not None, key
    return set(re.findall(r"`(\w+)`", found[1]))


def all_keys(told: Iterable[dict[str, Any]]) -> set[str]:
    return set().union(*told)


def test_of_ls(answer) -> None:
    everything = answer("ls", "--all")
    assert set(everything) == keys("## JSON\n")
    assert everything["missing"] == [HERE]
    assert all_keys(everything["sockets"]) == inner("sockets", "## JSON\n")
    (listener,) = everything["listeners"]
    assert set(listener) == keys("A listener:")
    for name in ("owners", "findings"):
        assert all_keys(listener[name]) <= inner(name, "A listener:")
    assert all_keys(listener["doors"]) <= inner("doors", "A listener:")
    assert set(listener["owners"][0]) >= {"pid", "fd", "command", "argv", "unit", "container"}


@pytest.mark.parametrize("command", ["who 5432", "who /run/x", "bind 0.0.0.0:5432", "ephemeral"])
def test_what_could_not_be_read_is_part_of_every_answer(answer, command: str) -> None:
    assert answer(*command.split())["missing"] == [HERE]
