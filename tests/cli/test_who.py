"""`portside who` of UNIX sockets, of loopback addresses and of network namespaces that have no name."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.explain import hand

from portside import Host, Network
from portside.cli import who
from portside.cli.main import cli
from portside.cli.source import Complaint
from portside.facts import saved
from portside.facts.snapshot import Namespace, Snapshot
from portside.facts.socket import Owner, UnixSocket
from portside.facts.state import LISTEN


def portside(*arguments: str) -> int:
    return cli.main(list(arguments), "portside", standalone_mode=False) or 0


def of(snapshot: Snapshot, path: Path, *arguments: str) -> int:
    """`portside ARGUMENTS` of that snapshot."""
    path.write_text(saved.dump(snapshot), "utf-8")
    return portside(*arguments, "--snapshot", str(path))


@pytest.mark.linux
@pytest.mark.scenario("E1")
def test_a_unix_socket_has_an_owner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, other = tmp_path / "x.sock", tmp_path / "link"
    abstract = f"portside-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        server.bind(str(path))
        server.listen()
        receiver.bind("\0" + abstract)
        other.symlink_to(path)
        for what in (f"unix:{path}", str(path), str(other)):
            assert portside("who", what) == 0
            lines = capsys.readouterr().out.splitlines()
            assert lines[0].startswith(f"unix stream {path} LISTEN, user ")
            assert f"(pid {os.getpid()}, fd {server.fileno()})" in lines[1]
            assert len(lines) == 3
        assert portside("who", f"@{abstract}", "--json") == 0
        [found] = json.loads(capsys.readouterr().out)["sockets"]
    assert (found["protocol"], found["type"], found["text"]) == ("unix", "dgram", f"@{abstract}")
    assert [owner["pid"] for owner in found["owners"]] == [os.getpid()]


@pytest.mark.linux
@pytest.mark.parametrize("what", ["unix:/x", "/run/portside-has-no-such", "@portside-has-no-such"])
def test_nobody_has_a_unix_socket_that_is_not_there(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert portside("who", what) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"nobody has {what}\n")


@pytest.mark.parametrize("what", ["0", "127.0.0.1:0", ":0", "70000"])
def test_what_is_no_port_of_anybody_is_a_sentence(what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portside", "who", what], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("portside: ")
    assert "Traceback" not in done.stderr


def test_localhost_is_what_listens_on_loopback_addresses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = hand.host(
        hand.socket("127.0.0.1:81"), hand.socket("[::1]:82"), hand.socket("0.0.0.0:83"), hand.socket("10.9.0.5:84"),
        hand.socket("127.0.0.1:85", to="127.0.0.1:9"),
    )  # fmt: skip
    assert of(snapshot, tmp_path / "s.json", "who", "localhost", "--json") == 0
    assert [each["port"] for each in json.loads(capsys.readouterr().out)["sockets"]] == [81, 82, 83]


@pytest.mark.parametrize("what", ["tcp://10.9.0.5:53", "127.0.0.1:81", "53/tcp", "localhost:82"])
def test_who_has_not_what_was_asked_for_may_have_the_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """Who has the port of another protocol, family or address is not meant, and the port is not said to be free."""
    snapshot = hand.host(
        hand.socket("0.0.0.0:53/udp"), hand.socket("[::]:81", v6only=True), hand.socket("10.9.0.5:82")
    )  # fmt: skip
    assert of(snapshot, tmp_path / "s.json", "who", what) == 1
    assert capsys.readouterr() == ("", f"nobody has {what}\n")


def test_the_name_of_a_host_stands_for_its_addresses() -> None:
    """Who has a port of this host is not who has that of another one."""

    def asked(host: Host, *arguments: str) -> int | str:
        looking = host.spawn(answer, arguments, start=1)
        network.run()
        return looking.result

    with Network(seed=1, quiet=True) as network:
        host = network.host("web", "10.0.0.1/24")
        network.host("db", "10.0.0.2/24")
        host.spawn(listen, background=True)
        for command in (("who",), ("wait", "--timeout", "1")):
            assert asked(host, *command, "web:80") == 0
            assert asked(host, *command, "db:80") == 1
            assert asked(host, *command, "localhost:80") == 1
            assert asked(host, *command, "no-such-host:80") == "no-such-host: Name or service not known"


def answer(arguments: tuple[str, ...]) -> int | str:
    try:
        return portside(*arguments)
    except Complaint as complaint:
        return str(complaint)


def listen() -> None:
    with socket.create_server(("10.0.0.1", 80)):
        time.sleep(3600)


def test_a_network_namespace_without_a_name_has_its_inode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = [hand.host(hand.socket("127.0.0.1:9600"), namespace=Namespace(inode=each)) for each in (70, 71, 72)]
    snapshot = hand.host(hand.socket("127.0.0.1:9600"), namespace=Namespace(inode=70), others=tuple(places[1:]))
    assert of(snapshot, tmp_path / "s.json", "who", "9600") == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("tcp")]
    assert [line.partition("user root")[2] for line in told] == [
        "", " in the network namespace 71", " in the network namespace 72",
    ]  # fmt: skip
    assert of(snapshot, tmp_path / "s.json", "who", "9600", "--json") == 0
    assert [each["namespace"] for each in json.loads(capsys.readouterr().out)["sockets"]] == [None, "71", "72"]


@pytest.mark.parametrize("name", ["systemd-resolved", "systemd-resolve"])
def test_a_long_name_is_known_by_what_the_kernel_keeps_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    owners = (Owner(9, 3, "systemd-resolve"),)
    local = UnixSocket(type=socket.SOCK_STREAM, state=LISTEN, path=b"/run/x", inode=7, owners=owners)
    snapshot = hand.host(hand.socket("127.0.0.53:53/udp", owners=owners), unix_sockets=(local,))
    assert of(snapshot, tmp_path / "s.json", "who", name, "--json") == 0
    assert {each["protocol"] for each in json.loads(capsys.readouterr().out)["sockets"]} == {"udp", "unix"}
    assert of(snapshot, tmp_path / "s.json", "ls", "--process", name, "--json") == 0
    assert [each["port"] for each in json.loads(capsys.readouterr().out)["listeners"]] == [53]
    assert of(snapshot, tmp_path / "s.json", "who", "systemd-resol") == 1


def test_a_process_is_told_once_for_all_its_sockets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ports = (8081, 8082, 8083)
    sockets = [hand.socket(f"0.0.0.0:{port}", owners=(Owner(9, port % 10, "web"),), inode=port) for port in ports]
    snapshot = hand.host(*sockets, processes=(hand.process(9, "web"), hand.process(1, "init", ppid=0)))
    assert of(snapshot, tmp_path / "s.json", "who", "web") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines[:3]] == [f"tcp 0.0.0.0:{port} LISTEN" for port in ports]
    assert lines[3].startswith("  web (pid 9, fd 1, 2, 3), user root")
    assert len(lines) == 5


def test_a_long_command_line_is_cut_to_the_width_of_a_terminal_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = hand.process(9, "web")
    snapshot = hand.host(
        hand.socket("0.0.0.0:8080", pid=9, command="web"),
        processes=(type(long)(pid=9, ppid=0, name="web", argv=("web", "x" * 500)),),
    )
    assert of(snapshot, tmp_path / "s.json", "who", "8080") == 0
    assert "x" * 500 in capsys.readouterr().out
    monkeypatch.setattr(who, "_width", lambda: 80)
    assert of(snapshot, tmp_path / "s.json", "who", "8080") == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert len(line) == 80
    assert line.endswith("xxx...")


@pytest.mark.linux
def test_a_plain_question_is_answered_without_the_library_of_the_command_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        plain = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "portside", "who", port],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        with_option = subprocess.run(
            [sys.executable, "-m", "portside", "who", "--", port],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert plain.returncode == with_option.returncode == 0
    assert plain.stdout == with_option.stdout
    imported = {line.rpartition("|")[2].strip() for line in plain.stderr.splitlines() if line.startswith("import time")}
    assert "portside.cli.who" in imported
    assert not imported & {"click", "rich", "asyncio", "portside.cli.main", "portside.host.stack"}


@pytest.mark.linux
def test_who_reads_no_further_and_what_has_no_room_end_a_plain_question() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with socket.create_server(("127.0.0.1", 0)) as server, open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "portside", "who", str(server.getsockname()[1])]
        try:
            broken = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        finally:
            os.close(writer)
        unwritten = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert broken.returncode == 141
    assert unwritten.returncode == 120
    assert unwritten.stderr == "portside: cannot write: No space left on device\n"
    assert "mistake" not in broken.stderr
