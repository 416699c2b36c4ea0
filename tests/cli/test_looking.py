"""`portside ls`, `who` and `bind` as their users see them, on a simulated host and on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.explain import hand

from portside import Network
from portside.cli.main import cli
from portside.cli.source import Complaint
from portside.facts import saved
from portside.facts.snapshot import ONLY_ROOT_ENTERS, UNENTERED, Missing, Namespace
from portside.lab.errors import ProgramFailed

SERVER = """
import socket, sys, time
s = socket.create_server(("", int(sys.argv[1])))
time.sleep(3600)
"""


def portside(*arguments: str) -> int:
    return cli.main(list(arguments), "portside", standalone_mode=False) or 0


@pytest.fixture
def simulated(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Runs `portside ARGUMENTS` on a simulated host where a server listens on port 8080; what it said and returned."""
    server = tmp_path / "server.py"
    server.write_text(SERVER)

    def run(*arguments: str, user: str = "root") -> tuple[int, str, str]:
        with Network(seed=1, quiet=True) as network:
            host = network.host("web", "10.0.0.1/24", "fd00::1/64")
            host.firewall.drop(src="10.0.0.0/25")
            host.spawn(str(server), "8080", background=True)

            def command() -> int:
                return portside(*arguments)

            looking = host.spawn(command, start=1, user=user)
            network.run()
        return looking.result, looking.stdout, looking.stderr

    return run


class TestSimulated:
    @pytest.mark.scenario("C4")
    def test_who_listens(self, simulated) -> None:
        status, out, _ = simulated("ls", "--no-color")
        assert status == 0
        assert out.splitlines()[0].split() == ["PROTO", "ADDRESS", "PROCESS", "USER", "FAMILIES", "FROM", "WHERE"]
        assert "tcp    0.0.0.0:8080" in out
        assert "everywhere, but for 10.0.0.0/25 (saddr 10.0.0.0-10.0.0.127 drop)" in out

    @pytest.mark.scenario("C4")
    def test_alone_it_is_ls(self, simulated) -> None:
        assert simulated() == simulated("ls")

    def test_json(self, simulated) -> None:
        _, out, _ = simulated("ls", "--json")
        [listener] = json.loads(out)["listeners"]
        assert (listener["text"], listener["reach"], listener["but_for"]) == (
            "0.0.0.0:8080", "everywhere", ["10.0.0.0/25"],
        )  # fmt: skip

    def test_json_alone_is_ls(self, simulated) -> None:
        assert simulated("--json") == simulated("ls", "--json")
        with pytest.raises(ProgramFailed, match="portside who --json"):
            simulated("--json", "who", "8080")

    @pytest.mark.parametrize(
        ("arguments", "count"),
        [
            (("--port", "8080"), 1), (("--port", "8000-8079"), 0), (("--port", "http-alt"), 1),
            (("--user", "root"), 1), (("--user", "nobody"), 0), (("--process", "nosuch"), 0),
            (("--state", "listen"), 1), (("--state", "estab"), 0),
        ],
    )  # fmt: skip
    def test_filters(self, simulated, arguments: tuple[str, ...], count: int) -> None:
        _, out, _ = simulated("ls", "--json", *arguments)
        assert len(json.loads(out)["listeners"]) == count

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("ls", "--port", "99999"), "port 99999 is more than 65535"),
            (("ls", "--port", "83-80"), "'83-80' holds no port: it ends before it begins"),
            (("ls", "--state", "foo"), "'foo' is no state; there are established, "),
            (("ls", "--user", "nosuch"), "there is no user 'nosuch' in what was looked at"),
            (("free", "3", "--from", "90", "--to", "80"), "--from 90 --to 80 holds no port: it ends before it begins"),
        ],
    )
    def test_a_filter_that_means_nothing(self, simulated, arguments: tuple[str, ...], sentence: str) -> None:
        with pytest.raises(ProgramFailed, match=re.escape(sentence)) as failed:
            simulated(*arguments)
        assert isinstance(failed.value.__cause__, Complaint)
        assert failed.value.__cause__.exit_code == 2

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("--port", "1"), "nothing like that listens"), (("--user", "nobody"), "nothing like that listens"),
            (("--state", "estab"), "no socket is like that"), (("--all", "--port", "1"), "no socket is like that"),
        ],
    )  # fmt: skip
    def test_an_empty_list_is_a_sentence(self, simulated, arguments: tuple[str, ...], sentence: str) -> None:
        status, out, errors = simulated("ls", *arguments)
        assert (status, errors) == (0, f"portside: {sentence}\n")
        assert out.split()[0] == "PROTO"
        assert out.count("\n") == 1

    @pytest.mark.parametrize("state", ["listen", "LISTEN", "listening"])
    def test_a_state_by_each_of_its_names(self, simulated, state: str) -> None:
        assert "0.0.0.0:8080" in simulated("ls", "--state", state)[1]

    @pytest.mark.scenario("B9")
    def test_the_matrix(self, simulated) -> None:
        _, out, _ = simulated("ls", "--matrix")
        heading, row = out.splitlines()
        assert "this machine" in heading
        assert "eth0 10.0.0.0/24 fd00::/64" in heading
        assert row.split() == ["tcp", "0.0.0.0:8080", "yes", "some"]

    def test_again_and_again(self) -> None:
        def late() -> None:
            time.sleep(3.5)
            with socket.create_server(("", 80)):
                time.sleep(2)

        with Network(seed=1, quiet=True) as network:
            host = network.host("web", "10.0.0.1/24")
            host.spawn(late, background=True)
            looking = host.spawn(lambda: portside("ls", "--watch", "1"), background=True)
            network.run(until=7.5)
        tables = looking.stdout.split("PROTO")[1:]
        assert ["0.0.0.0:80" in each for each in tables] == [False] * 4 + [True] * 2 + [False] * 2

    @pytest.mark.scenario("E1")
    def test_who_has_a_port(self, simulated) -> None:
        status, out, _ = simulated("who", "8080")
        assert status == 0
        assert out.startswith("tcp 0.0.0.0:8080 LISTEN, user root\n")
        assert "(pid " in out
        assert simulated("who", "8081")[0] == 1

    @pytest.mark.scenario("E1")
    @pytest.mark.scenario("B2")
    @pytest.mark.parametrize(
        ("arguments", "status", "words"),
        [
            (("127.0.0.1:8080",), 1, "EADDRINUSE"),
            (("10.0.0.1:8081",), 0, "bind and listen would work"),
            (("0.0.0.0:80", "--user", "1000"), 1, "EACCES"),
            (("10.0.0.2:80",), 1, "EADDRNOTAVAIL"),
            (("localhost:8080",), 1, "EADDRINUSE"),
            (("8080", "--udp"), 0, "UDP [::]:8080: bind would work"),
        ],
    )
    def test_bind(self, simulated, arguments: tuple[str, ...], status: int, words: str) -> None:
        answer, out, _ = simulated("bind", *arguments)
        assert answer == status
        assert words in out


@pytest.mark.linux
@pytest.mark.scenario("E1")
def test_who_has_a_port_of_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, descriptor = str(server.getsockname()[1]), server.fileno()
        assert portside("who", port) == 0
        assert portside("who", f"127.0.0.1:{port}", "--json") == 0
        assert portside("bind", f"127.0.0.1:{port}") == 1
        assert portside("bind", f"0.0.0.0:{port}", "--json") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"tcp 127.0.0.1:{port} LISTEN, user ")
    assert f"(pid {os.getpid()}, fd {descriptor})" in lines[1]
    [found] = json.loads(next(line for line in lines if line.startswith('{"asked": "127')))["sockets"]
    assert [owner["pid"] for owner in found["owners"]] == [os.getpid()]
    assert json.loads(lines[-1])["answers"][0]["in_way"][0]["owners"][0]["pid"] == os.getpid()
    assert portside("who", port) == 1


@pytest.mark.linux
def test_ls_of_this_machine_names_all_owners() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        holder = subprocess.Popen(
            [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[server.fileno()],
        )  # fmt: skip
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            done = subprocess.run(
                [sys.executable, "-m", "portside", "ls", "--json", "--port", str(port)],
                capture_output=True, text=True, timeout=60, check=True,
            )  # fmt: skip
        finally:
            holder.communicate(b"")
    [found] = json.loads(done.stdout)["listeners"]
    assert {owner["pid"] for owner in found["owners"]} == {os.getpid(), holder.pid}
    assert found["reach"] == "machine"


@pytest.mark.parametrize(
    "arguments",
    [("who", "no such:thing:"), ("ls", "--port", "x-y"), ("bind", "localhost"), ("bind", "unix:/x"),
     ("bind", "0.0.0.0:80", "--device", "nope"), ("bind", "0.0.0.0:80", "--user", "nobody-of-that-name")],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portside", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("portside: ")


@pytest.mark.parametrize("where", ["unix:/x", "/run/x.sock", "@x"])
def test_a_unix_socket_has_no_port_to_bind(where: str) -> None:
    with pytest.raises(Complaint, match="a UNIX socket has no port"):
        cli.main(["bind", where], "portside", standalone_mode=False)


HOSTILE = "x\x1b[2J\n\u202e\udcff"


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        ("ls", "--notes", "--all"),
        ("ls", "--matrix"),
        ("who", "8080"),
        ("bind", "0.0.0.0:8080"),
        ("who", "127.0.0.1:8080"),
    ],
)
def test_hostile_names_move_no_terminal_and_break_no_json(
    arguments: tuple[str, ...], as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listener = hand.socket("0.0.0.0:8080", pid=9, command=HOSTILE, user="ann")
    inner = hand.host(hand.socket("127.0.0.1:8080", pid=9, command=HOSTILE), namespace=Namespace(inode=7, name=HOSTILE))
    snapshot = hand.host(
        listener, hand.socket("127.0.0.1:8080", to="127.0.0.1:5", pid=9, command=HOSTILE), others=(inner,),
        processes=(hand.process(9, HOSTILE, unit=HOSTILE), hand.process(1, HOSTILE, ppid=0)),
        users=((0, HOSTILE), (1000, HOSTILE)), interfaces=(hand.LO, hand.interface(2, "e\x1b", "10.0.0.1/8")),
    )  # fmt: skip
    file = tmp_path / "hostile.json"
    file.write_text(saved.dump(snapshot), "utf-8")
    portside(*arguments, *(["--json"] if as_json else []), "--snapshot", str(file))
    out = capsys.readouterr().out
    assert out.isascii() if as_json else True
    assert all(character.isprintable() or character == "\n" for character in out)
    if as_json:
        assert HOSTILE in list(_texts(json.loads(out)))
    else:
        assert "\\x1b" in out


def _texts(value: object) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


@pytest.mark.parametrize("arguments", ["ls", "bind 0.0.0.0:0", "explain :22", "ephemeral", "free 3"])
def test_who_reads_no_further_breaks_nothing(arguments: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-u", "-m", "portside", *arguments.split()],
            stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert "mistake" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 141


@pytest.mark.linux
@pytest.mark.parametrize(
    "arguments",
    ["ls", "ls --json", "ls --all", "ls --matrix", "who localhost", "bind 0.0.0.0:0", "why 127.0.0.1:1", "ephemeral",
     "free", "explain :22", "snapshot", "ss -tan", "netstat -an", "lsof -i", "fuser 1/tcp", "ip addr", "--help"],
)  # fmt: skip
def test_standard_output_may_be_closed(arguments: str) -> None:
    shell = f"{sys.executable} -m portside {arguments}"
    with socket.create_server(("127.0.0.1", 0)):  # there is something to see
        open_, closed = (
            subprocess.run(["sh", "-c", f"{shell} {to}"], capture_output=True, text=True, timeout=60, check=False)
            for to in (">/dev/null", ">&-")
        )
    assert closed.returncode == open_.returncode
    assert "mistake" not in closed.stderr
    assert "Traceback" not in closed.stderr


@pytest.mark.linux
@pytest.mark.parametrize("arguments", ["ls", "ls --json", "explain :22", "ephemeral", "free 3", "ss -tan"])
def test_what_has_no_room_is_a_sentence(arguments: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "portside", *arguments.split()],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "portside: cannot write: No space left on device"
    assert "mistake" not in done.stderr
    assert done.returncode == 120


@pytest.mark.linux
def test_watching_ends_with_an_interrupt() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "portside", "ls", "--watch", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as watching:
        assert watching.stdout is not None
        watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert b"Traceback" not in errors


@pytest.fixture
def with_others(tmp_path: Path) -> str:
    """A machine with a network namespace that has no name, and one that was only looked at from outside."""
    missing = (Missing(what=UNENTERED, why=ONLY_ROOT_ENTERS),)
    nameless = hand.host(hand.socket("0.0.0.0:81"), hand.socket("0.0.0.0:81", to="10.0.0.1:9"),
                         namespace=Namespace(inode=7))  # fmt: skip
    closed = hand.host(hand.socket("127.0.0.1:82"), interfaces=(), namespace=Namespace(name="pid 9"), missing=missing)
    mine = hand.host(hand.socket("0.0.0.0:80"), namespace=Namespace(inode=6, name="mine"), others=(nameless, closed))
    file = tmp_path / "others.json"
    file.write_text(saved.dump(mine), "utf-8")
    return str(file)


def test_a_namespace_is_looked_at_alone(with_others: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert portside("ls", "--snapshot", with_others, "--namespace", "mine", "--json") == 0
    assert [each["port"] for each in json.loads(capfd.readouterr().out)["listeners"]] == [80]


def test_sockets_and_listeners_call_a_namespace_the_same(with_others: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert portside("ls", "--snapshot", with_others, "--all", "--json") == 0
    answer = json.loads(capfd.readouterr().out)
    assert [(each["port"], each["namespace"]) for each in answer["listeners"]] == [
        (80, None), (81, "7"), (82, "pid 9"),
    ]  # fmt: skip
    assert [each["namespace"] for each in answer["sockets"]] == ["7"]


@pytest.mark.scenario("B9")
def test_a_matrix_of_what_was_not_entered_says_so(with_others: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert portside("ls", "--snapshot", with_others, "--matrix", "-p", "82", "--no-color") == 0
    assert capfd.readouterr().out.split("\n")[-2].split() == ["tcp", "127.0.0.1:82", "unknown"]
