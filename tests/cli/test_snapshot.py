"""`portside snapshot`: what is saved of a machine answers as the machine does, also on another."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from portside import Network
from portside.facts import saved


def portside(*arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portside", *arguments], capture_output=True, text=True, check=False, timeout=60,
        input=input,
    )  # fmt: skip


@pytest.fixture(scope="module")
def listener() -> socket.socket:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture(scope="module")
def file(listener: socket.socket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "machine.json"
    assert portside("snapshot", str(path)).returncode == 0
    return path


def test_standard_input_may_be_closed() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m portside ls --snapshot - <&-"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "portside: cannot read -: standard input is closed\n")


def test_a_saved_machine_answers_as_the_machine_did(listener: socket.socket, file: Path) -> None:
    port = listener.getsockname()[1]
    found = saved.load(file.read_text())
    assert [each for each in found.sockets if each.lport == port and each.owners[0].pid == os.getpid()]
    here, there = (
        json.loads(portside("who", str(port), "--json", *rest).stdout)["sockets"]
        for rest in ((), ("--snapshot", str(file)))
    )
    for owner in (*here[0]["owners"], *there[0]["owners"]):
        assert owner.pop("started") > 0  # counted from now, so not the same to the last nanosecond
    assert here == there
    listed = json.loads(portside("ls", "--json", "-p", str(port), "--snapshot", str(file)).stdout)
    assert [each["owners"][0]["pid"] for each in listed["listeners"]] == [os.getpid()]
    refused = portside("bind", f"127.0.0.1:{port}", "--snapshot", str(file))
    assert refused.returncode == 1
    assert "EADDRINUSE" in refused.stdout
    assert portside("why", f"127.0.0.1:{port}", "--snapshot", str(file)).returncode == 0


def test_it_goes_through_a_pipe(listener: socket.socket) -> None:
    port = str(listener.getsockname()[1])
    text = portside("snapshot").stdout
    assert f":{port}" in portside("ss", "--snapshot", "-", "-tln", input=text).stdout


def test_nobody_else_may_read_a_file_that_it_makes(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    answer = portside("snapshot", str(tmp_path / "no" / "such"))
    assert answer.returncode == 2
    assert answer.stderr == f"portside: cannot write {tmp_path}/no/such: No such file or directory\n"


def test_on_a_simulated_host_it_is_that_host() -> None:
    network = Network(seed=1)
    program = network.host("alpha", "10.0.0.1/24").spawn("snapshot", module="portside")
    network.run()
    assert saved.load(program.stdout).host == "alpha"
