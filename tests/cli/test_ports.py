"""`portside ephemeral`, `free` and `wait` as their users see them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.apart import lacking, unshare

from portside import Network
from portside.cli.main import cli
from portside.cli.source import Complaint

SERVER = """
import os, socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], os.stat("/proc/self/ns/net").st_ino, flush=True)
    sys.stdin.read()
"""


def portside(*arguments: str) -> int:
    return cli.main(list(arguments), "portside", standalone_mode=False) or 0


def here(command: Callable[[], object], beside: Callable[[], object] | None = None) -> tuple[object, str, str]:
    """What a function returns and prints on a simulated host, where another may run."""
    with Network(seed=1, quiet=True) as network:
        host = network.host("web", "10.0.0.1/24")
        host.sysctl["net.ipv4.ip_local_port_range"] = "40000 40009"
        if beside is not None:
            host.spawn(beside, background=True)
        program = host.spawn(command)
        network.run()
    return program.result, program.stdout, program.stderr


class TestEphemeral:
    @staticmethod
    def exhaust() -> int:
        with socket.create_server(("127.0.0.1", 80), backlog=100):
            held = [socket.create_connection(("127.0.0.1", 80)) for _ in range(10)]
            status = portside("ephemeral", "--json")
            status += portside("ephemeral")
            for each in held:
                each.close()
            return status

    @pytest.mark.scenario("B8")
    def test_exhausted(self) -> None:
        status, out, _ = here(self.exhaust)
        assert status == 2
        told, *lines = out.splitlines()
        [way] = json.loads(told)["destinations"]
        assert (way["address"], way["port"], way["used"], way["left"]) == ("127.0.0.1", 80, 10, 0)
        assert lines[0].startswith("range 40000-40009: 10 ports, 0 of them reserved")
        assert "127.0.0.1 to 127.0.0.1:80: 10 used, 0 of them in TIME-WAIT; 0 left (100% taken)" in lines

    @pytest.mark.scenario("B7")
    def test_idle(self) -> None:
        status, out, _ = here(lambda: portside("ephemeral"))
        assert status == 0
        assert len(out.splitlines()) == 3


class TestFree:
    def test_as_many_as_asked_for(self) -> None:
        def command() -> int:
            with socket.create_server(("127.0.0.1", 10001)):
                return portside("free", "2")

        assert here(command)[:2] == (0, "10002\n10003\n")

    def test_too_few(self) -> None:
        assert here(lambda: portside("free", "3", "--from", "10001", "--to", "10002"))[:2] == (1, "10001\n10002\n")

    @pytest.mark.linux
    def test_they_are_free_on_this_machine(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert portside("free", "3", "--from", "30000") == 0
        for port in capsys.readouterr().out.split():
            with socket.create_server(("", int(port))):
                pass


class TestWait:
    @staticmethod
    def late() -> None:
        time.sleep(30)
        with socket.create_server(("10.0.0.1", 80)):
            time.sleep(100)

    @pytest.mark.parametrize("where", ["80", "10.0.0.1:80", "tcp://10.0.0.1:80"])
    def test_until_somebody_listens(self, where: str) -> None:
        def command() -> tuple[int, float]:
            began = time.monotonic()
            return portside("wait", where), time.monotonic() - began

        (status, seconds), out, _ = here(command, self.late)
        assert status == 0
        assert 30 <= seconds < 31
        assert out.startswith("tcp 10.0.0.1:80 ")

    @pytest.mark.parametrize("where", ["80", "127.0.0.1:80", "80/udp"])
    def test_not_in_time_or_elsewhere(self, where: str) -> None:
        status, out, err = here(lambda: portside("wait", where, "--timeout", "20"), self.late)
        assert (status, out, err) == (1, "", f"nobody listens on {where} after 20 s\n")

    @pytest.mark.linux
    def test_on_this_machine(self) -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))  # bound is not listening
            port = server.getsockname()[1]
            waiter = subprocess.Popen(
                [sys.executable, "-m", "portside", "wait", str(port), "--timeout", "60"],
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert portside("wait", str(port), "--timeout", "0.05", "--quiet") == 1
            server.listen()
            out, _ = waiter.communicate(timeout=60)
        assert waiter.returncode == 0
        assert out.startswith(f"tcp 127.0.0.1:{port} ")

    @pytest.mark.linux
    @pytest.mark.parametrize("abstract", [False, True])
    def test_at_a_unix_socket(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], abstract: bool
    ) -> None:
        monkeypatch.chdir(tmp_path)  # a whole path may be too long to be bound
        name = f"\0portside-wait-{os.getpid()}" if abstract else "x.sock"
        where = name.replace("\0", "@") if abstract else str(tmp_path / name)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)  # bound is not listening
            assert portside("wait", where, "--timeout", "0") == 1
            assert capsys.readouterr().err == f"nobody listens on {where} after 0 s\n"
            server.listen()
            assert portside("wait", where, "--timeout", "60") == 0
            assert f"({os.getpid()})" in capsys.readouterr().out
        with pytest.raises(Complaint, match="a UNIX socket has no port"):
            portside("wait", "--udp", where)

    @pytest.mark.linux
    @pytest.mark.skipif(bool(lacking()), reason="no network namespace of our own can be made here")
    def test_a_path_is_reached_from_every_network_namespace(self, tmp_path: Path) -> None:
        code = """
import socket, sys
server, other = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
server.bind("x.sock")
other.bind("\\0portside-elsewhere")
server.listen()
other.listen()
print(flush=True)
sys.stdin.read()
"""
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=unshare,
            cwd=tmp_path,
        ) as server:
            assert server.stdout is not None
            server.stdout.readline()
            assert portside("wait", str(tmp_path / "x.sock"), "--timeout", "60") == 0
            assert portside("wait", "@portside-elsewhere", "--timeout", "0") == 1  # an abstract name is not
            server.communicate(b"")

    def test_at_a_unix_socket_of_a_simulated_host(self) -> None:
        def late() -> None:
            time.sleep(30)
            with socket.socket(socket.AF_UNIX) as server:
                server.bind("\0late")
                server.listen()
                time.sleep(100)

        status, out, err = here(lambda: portside("wait", "@late", "--timeout", "60"), late)
        assert (status, err) == (0, "")
        assert out.startswith("unix @late ")
        assert here(lambda: portside("wait", "@late", "--timeout", "20"), late)[0] == 1

    @pytest.mark.linux
    @pytest.mark.skipif(bool(lacking()), reason="no network namespace of our own can be made here")
    def test_in_another_network_namespace(self, capsys: pytest.CaptureFixture[str]) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=unshare
        ) as server:
            assert server.stdout is not None
            port, namespace = server.stdout.readline().split()
            assert portside("wait", port, "--namespace", namespace, "--timeout", "60") == 0
            assert portside("wait", port, "--timeout", "0", "--quiet") == 1
            server.communicate("")
        assert capsys.readouterr().out.startswith(f"tcp 127.0.0.1:{port} python")

    @pytest.mark.linux
    def test_there_is_no_such_network_namespace(self) -> None:
        with pytest.raises(Complaint, match="there is no network namespace 'nope'; there are "):
            portside("wait", "80", "--namespace", "nope")

    def test_what_is_no_port(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "portside", "wait", "localhost"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("portside: 'localhost' has no port to wait for")
