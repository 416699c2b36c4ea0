"""`portside why` as its users see it: on a simulated host, of a saved snapshot, and on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.explain import hand

from portside import Network
from portside.addr import ip
from portside.cli import why as reasoner
from portside.cli.main import cli
from portside.cli.source import Complaint
from portside.facts import saved
from portside.facts.process import Process
from portside.facts.snapshot import Namespace, Snapshot

SERVER = """
import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(3600)
"""


def portside(*arguments: str) -> int:
    return cli.main(list(arguments), "portside", standalone_mode=False) or 0


@pytest.fixture
def simulated(tmp_path: Path):
    """Runs `portside ARGUMENTS` on a simulated host where a server listens on 127.0.0.1:8080."""
    server = tmp_path / "server.py"
    server.write_text(SERVER)

    def run(*arguments: str) -> tuple[int, str]:
        with Network(seed=1, quiet=True) as network:
            host = network.host("web", "10.0.0.1/24", "fd00::1/64")
            host.firewall.drop("output", dst="10.0.0.9")
            host.spawn(str(server), "8080", background=True)
            looking = host.spawn(lambda: portside(*arguments), start=1)
            network.run()
        return looking.result, looking.stdout

    return run


class TestSimulated:
    @pytest.mark.scenario("E2")
    def test_what_listens_is_named(self, simulated) -> None:
        status, out = simulated("why", "127.0.0.1:8080")
        assert status == 0
        assert "would be accepted by" in out
        assert out.splitlines()[-1] == "to change: nothing: it works"

    @pytest.mark.scenario("C5")
    def test_a_server_on_loopback_is_found_when_it_is_called_from_outside(self, simulated) -> None:
        status, out = simulated("why", "10.0.0.1:8080")
        assert status == 1
        assert "listens on port 8080, but only on 127.0.0.1" in out
        assert "ECONNREFUSED" in out

    @pytest.mark.scenario("E3")
    def test_the_rule_that_drops_is_named(self, simulated) -> None:
        status, out = simulated("why", "10.0.0.9:80")
        assert status == 1
        assert "timed out (ETIMEDOUT)" in out
        assert "let chain" in out.splitlines()[-1]

    def test_what_lies_beyond_is_not_known(self, simulated) -> None:
        status, out = simulated("why", "10.0.0.7:80")
        assert status == 3
        assert "beyond this machine" in out

    def test_as_json(self, simulated) -> None:
        status, out = simulated("why", "--json", "127.0.0.1:8081")
        assert status == 1
        answer = json.loads(out)
        assert (answer["outcome"], answer["errno"], answer["protocol"]) == ("failed", "ECONNREFUSED", "tcp")
        assert answer["attempts"][0]["steps"]


class TestSaved:
    @pytest.fixture
    def file(self, tmp_path: Path) -> str:
        path = tmp_path / "machine.json"
        path.write_text(saved.dump(hand.host(hand.socket("0.0.0.0:80", pid=7, command="a\x1b[2Jb"))))
        return str(path)

    def test_a_snapshot_of_another_machine_is_asked(self, file: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert portside("why", "--snapshot", file, "192.168.1.5:80") == 0
        out = capsys.readouterr().out
        assert "pid 7" in out
        assert "\x1b" not in out

    @pytest.mark.parametrize(("arguments", "words"), [
        (("192.168.1.5",), "has no port"),
        (("unix:/run/x",), "for TCP and UDP"),
        (("127.0.0.1:80:80",), "127.0.0.1:80:80"),
        (("--from", "blue", "127.0.0.1:80"), "no namespace 'blue'"),
        (("-4", "[::1]:80"), "is no address of IPv4"),
        (("--uid", "no-such-user", "127.0.0.1:80"), "no user 'no-such-user'"),
        (("no-such-host.invalid:80",), "check the spelling"),
        (("--try", "--udp", "127.0.0.1:80"), "--try is for TCP"),
        (("--try", "--from", "here", "127.0.0.1:80"), "--try begins here"),
    ])  # fmt: skip
    def test_what_is_wrong_is_said(self, file: str, arguments: tuple[str, ...], words: str) -> None:
        with pytest.raises(Complaint, match=words):
            portside("why", "--snapshot", file, *arguments)


class TestHere:
    def test_a_real_attempt_is_made_when_asked_for(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            done = subprocess.run(
                [sys.executable, "-m", "portside", "why", "--try", f"127.0.0.1:{port}"],
                capture_output=True, text=True, timeout=60, env={**os.environ},
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "127.0.0.1: connected" in done.stdout
        assert f"(pid {os.getpid()})" in done.stdout

    def test_a_real_refusal_beyond_is_the_answer(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        path = tmp_path / "machine.json"
        path.write_text(saved.dump(hand.host(hand.socket(f"0.0.0.0:{port}"))))
        assert portside("why", "--snapshot", str(path), "--try", f"127.0.0.1:{port}") == 1
        assert capsys.readouterr().out.splitlines()[-1].startswith("to change: that host is there and refuses")


class TestFrom:
    @pytest.fixture
    def file(self, tmp_path: Path) -> str:
        """A machine whose namespace 2 has a container that listens on port 80, and one that was not read."""
        living = (
            Process(pid=70, container="4f5e6d7c8b9a", namespace=2), Process(pid=71, container="web", namespace=3),
        )  # fmt: skip
        other = Snapshot(host="here", namespace=Namespace(inode=2), interfaces=(hand.LO,),
                         sockets=(hand.socket("0.0.0.0:80"),), processes=living[:1])  # fmt: skip
        path = tmp_path / "machine.json"
        machine = replace(hand.host(), namespace=Namespace(inode=1), others=(other,), processes=living)
        path.write_text(saved.dump(machine))
        return str(path)

    @pytest.mark.parametrize(("origin", "status"), [("2", 0), ("70", 0), ("4f5e6d", 0), ("this machine", 1)])
    def test_it_begins_in_a_container_or_where_a_process_is(self, file: str, origin: str, status: int) -> None:
        assert portside("why", "--snapshot", file, "--from", origin, "127.0.0.1:80") == status

    def test_one_that_was_not_entered_needs_root(self, file: str) -> None:
        with pytest.raises(Complaint, match="can't be entered: run it as root"):
            portside("why", "--snapshot", file, "--from", "web", "127.0.0.1:80")

    def test_a_name_is_looked_up_here_or_in_the_hosts_of_the_namespace(
        self, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert portside("why", "--snapshot", file, "--from", "70", "-4", "localhost:80") == 0
        assert "localhost is 127.0.0.1 (looked up here)" in capsys.readouterr().out
        (tmp_path / "hosts").write_text("127.0.0.9 db\n::1 db  # both\n")
        monkeypatch.setattr(reasoner, "NAMED_HOSTS", str(tmp_path / "{}" / ".." / "hosts"))
        (tmp_path / "blue").mkdir()
        assert [ip.text(each) for each in reasoner._own_hosts("blue", "db", None)] == ["127.0.0.9", "::1"]
