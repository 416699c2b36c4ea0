"""`portside ss`, `netstat`, `lsof`, `fuser` and `ip` as their users see them: on this machine, on the simulated host
that they are run on, of a saved snapshot; exit codes, and one sentence for what is wrong.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from portside import Network
from portside.addr.abi import SOCK_STREAM
from portside.facts import saved
from portside.facts.process import Process
from portside.facts.snapshot import Namespace, Snapshot
from portside.facts.socket import Owner, Socket, UnixSocket
from portside.facts.state import LISTEN


class Done(NamedTuple):
    """What a command did."""

    status: int
    text: str
    errors: str


def portside(*arguments: str, stdin: str = "", **environment: str) -> Done:
    command = [sys.executable, "-m", "portside", *arguments]
    done = subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=60, check=False,
                          env={**os.environ, **environment})  # fmt: skip
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def listener() -> Iterator[int]:
    """The port of a real listener of this process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class TestThisMachine:
    def test_ss_shows_a_listener_and_its_owner(self, listener: int) -> None:
        done = portside("ss", "-tlnp", f"sport = :{listener}")
        assert done.status == 0
        [_, row] = done.text.splitlines()
        assert f"127.0.0.1:{listener} " in row
        assert f"pid={os.getpid()},fd=" in row

    def test_netstat_lsof_and_fuser_name_the_process(self, listener: int) -> None:
        pid = os.getpid()
        rows = portside("netstat", "-tlnp").text.splitlines()
        assert f" {pid}/" in next(row for row in rows if f":{listener} " in row)
        assert portside("lsof", "-t", f"-iTCP:{listener}", "-sTCP:LISTEN").text == f"{pid}\n"
        done = portside("fuser", f"{listener}/tcp")
        assert (done.status, done.text) == (0, f"{pid:6}")
        assert done.errors.startswith(f"{listener}/tcp:")

    def test_nothing_found_is_1_for_lsof_and_fuser_and_0_for_ss(self, listener: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        assert portside("lsof", "-i", f":{port}")[:2] == (1, "")
        assert portside("fuser", f"{port}/tcp")[:2] == (1, "")
        assert portside("ss", "-tlnH", f"sport = :{port}")[:2] == (0, "")

    def test_json_has_the_same_sockets_with_all_their_fields(self, listener: int) -> None:
        done = portside("ss", "--json", "-tlnp", f"sport = :{listener}")
        [one] = json.loads(done.text)["sockets"]
        assert (one["laddr"], one["lport"], one["state"]) == ("127.0.0.1", listener, LISTEN)
        assert [owner["pid"] for owner in one["owners"]] == [os.getpid()]
        assert saved.read(Socket, one) == saved.read(Socket, json.loads(json.dumps(one)))

    def test_ip_shows_the_loopback(self) -> None:
        assert "link/loopback" in portside("ip", "addr", "show", "dev", "lo").text

    def test_a_reader_that_goes_is_no_mistake(self) -> None:
        command = f"{sys.executable} -m portside ss -an | true; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""
        assert done.stdout.strip() in ("0", "120", "141")


class TestSimulatedHost:
    PROGRAM = """
import socket, sys
server = socket.create_server(("", 8080))
sys.argv[0] = "portside"
from portside.cli.main import main
main()
"""

    def run(self, *arguments: str) -> Done:
        return portside("run", "-c", self.PROGRAM, *arguments)

    @pytest.mark.scenario("B11")
    def test_each_tool_shows_the_host_that_it_runs_on(self) -> None:
        assert self.run("ss", "-tlnH").text.split() == ["LISTEN", "0", "128", "0.0.0.0:8080", "0.0.0.0:*"]
        assert "0.0.0.0:8080            0.0.0.0:*               LISTEN      100/" in self.run("netstat", "-tlnp").text
        assert "TCP *:http-alt (LISTEN)" in self.run("lsof", "-i", ":8080").text
        assert self.run("fuser", "8080/tcp")[:2] == (0, "   100")
        assert "inet 10.0.0.1/24" in self.run("ip", "addr").text
        assert json.loads(self.run("ss", "-tl", "--json").text)["host"] == "host"

    def test_exit_codes(self) -> None:
        assert self.run("lsof", "-i", ":9").status == 1
        assert self.run("fuser", "9/tcp").status == 1
        assert self.run("ss", "--strange").status == 2
        assert portside("run", "-m", "portside", "ss", "-tlnH") == Done(0, "", "")


HOSTILE = "ev\x1b[2J\udcffil"


def machine() -> Snapshot:
    """One with names that somebody chose who means ill, and another namespace."""
    owners = (Owner(pid=7, fd=3, command=HOSTILE),)
    web = Socket(family=2, proto=6, type=1, state=LISTEN, laddr=0xFFFF_00000000, lport=80, raddr=0xFFFF_00000000,
                 owners=owners)  # fmt: skip
    dns = Socket(family=2, proto=17, type=2, laddr=0xFFFF_00000000, lport=53, raddr=0xFFFF_00000000, owners=owners)
    return Snapshot(
        host="else\x1b[31mwhere",
        namespace=Namespace(inode=1, name=""),
        sockets=(web,),
        unix_sockets=(UnixSocket(type=SOCK_STREAM, state=LISTEN, inode=9, path=b"/run/\xff\x1b[2J", owners=owners),),
        processes=(Process(pid=7, name=HOSTILE, argv=(HOSTILE,)),),
        others=(Snapshot(host="elsewhere", namespace=Namespace(inode=4026532000, name="blue"), sockets=(dns,)),),
    )


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "snapshot.json"
    path.write_text(saved.dump(machine()), encoding="utf-8")
    return str(path)


class TestSavedSnapshot:
    def test_each_tool_shows_it(self, file: str) -> None:
        assert "0.0.0.0:80" in portside("ss", "-tln", "--snapshot", file).text
        assert "0.0.0.0:80" in portside("netstat", f"--snapshot={file}", "-tln").text
        assert "TCP *:http (LISTEN)" in portside("lsof", "-i", ":80", "--snapshot", file).text
        assert portside("fuser", "--snapshot", file, "80/tcp").text == "     7"
        assert portside("ss", "-tlnH", "--snapshot", "-", stdin=saved.dump(machine())).text.split()[3] == "0.0.0.0:80"

    def test_that_of_a_simulated_host_is_read_as_well(self, tmp_path: Path) -> None:
        with Network(quiet=True) as network:
            host = network.host("web", "10.0.0.1/24")
            host.spawn(code="import socket, time; s = socket.create_server(('', 80)); time.sleep(9)", name="nginx")
            network.run(until=1, check=False)
            path = tmp_path / "web.json"
            path.write_text(saved.dump(host.snapshot()), encoding="utf-8")
            assert portside("ss", "-tlnp", "--snapshot", str(path)).text == host.ss("-tlnp")

    def test_another_namespace(self, file: str) -> None:
        for name in ("blue", "4026532000"):
            assert portside("ss", "-tlnH", "--snapshot", file, "--namespace", name) == Done(0, "", "")
            row = portside("lsof", "-i", ":53", "-P", "--snapshot", file, "--namespace", name).text.splitlines()[1]
            assert row.split()[2:] == ["0", "3u", "IPv4", "0", "0t0", "UDP", "*:53"]  # its process lives in the other
        done = portside("ss", "-tlnH", "--snapshot", file, "--namespace", "green")
        assert done == Done(2, "", "portside: there is no network namespace 'green'; there are 1, blue\n")

    @pytest.mark.parametrize("tool", ["ss -anp", "netstat -anp", "lsof -i -U +c 0", "fuser -v 80/tcp"])
    def test_hostile_names_neither_move_the_terminal_nor_break_the_output(self, file: str, tool: str) -> None:
        for locale in ("C", "C.UTF-8"):
            done = portside(*tool.split(), "--snapshot", file, LC_ALL=locale, PYTHONIOENCODING="")
            assert done.status == 0, done.errors
            assert r"ev\x1b[2J\xff" in done.text + done.errors
            assert "\x1b" not in done.text + done.errors

    def test_json_of_hostile_names_is_ascii_and_gives_the_bytes_back(self, file: str) -> None:
        done = portside("ss", "-anp", "--snapshot", file, "--json")
        assert done.text.isascii()
        assert "\x1b" not in done.text
        told = json.loads(done.text)
        assert saved.read(UnixSocket, told["unix_sockets"][0]) == machine().unix_sockets[0]
        assert saved.read(Socket, told["sockets"][0]) == machine().sockets[0]

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [("{", "this is no JSON"), ("{}", "this is no snapshot"), (None, "cannot read"), ("\udcff", "utf-8")],
    )
    def test_a_file_that_is_none(self, tmp_path: Path, text: str | None, sentence: str) -> None:
        path = tmp_path / "broken"
        if text is not None:
            path.write_bytes(text.encode(errors="surrogateescape"))
        done = portside("ss", "--snapshot", str(path))
        assert done.status == 2
        assert sentence in done.errors
        assert done.errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("ss -Q", "ss: option -Q not recognized"),
        ("ss state nonsense", "ss: 'nonsense' is no state"),
        ("ss -K dst 10.0.0.1", "portside only looks"),
        ("netstat --foo", "netstat: option --foo not recognized"),
        ("netstat extra", "'extra' is no flag"),
        ("lsof -Q", "lsof: there is no flag -Q"),
        ("lsof -i :nonexist", "lsof: 'nonexist' is no port"),
        ("lsof /etc/passwd", "files are not looked at"),
        ("lsof -i @nowhere.invalid", "is no address"),
        ("fuser -k 80/tcp", "fuser: -k kills, and portside only looks"),
        ("fuser", "fuser: which port or socket?"),
        ("fuser -Z 80/tcp", "there is no flag -Z"),
        ("ip route", "is not understood"),
    ],
)
def test_what_is_not_understood_is_one_sentence_and_2(arguments: str, sentence: str) -> None:
    done = portside(*arguments.split())
    assert (done.status, done.text) == (2, "")
    assert done.errors.startswith("portside: ")
    assert sentence in done.errors
    assert done.errors.count("\n") == 1


@pytest.mark.parametrize("tool", ["ss", "netstat", "lsof", "fuser", "ip"])
def test_help(tool: str) -> None:
    for flag in ("-h", "--help"):
        done = portside(tool, flag)
        assert done.status == 0
        assert done.text.startswith(f"Usage: portside {tool} ")


def test_rich_is_not_imported_where_nobody_looks() -> None:
    code = (
        "import sys; from portside.cli.views import run; from portside.cli.source import HERE; run('ss', ['-tl'], HERE)"
    )
    check = "; print([name for name in ('rich', 'greenlet', 'portside.runtime') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
