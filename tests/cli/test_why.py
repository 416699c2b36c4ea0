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

import portside as portside_api
from portside import Network
from portside.addr import ip
from portside.cli.main import cli
from portside.cli.source import Complaint
from portside.facts import saved
from portside.facts.process import Process
from portside.facts.snapshot import ONLY_ROOT_ENTERS, UNENTERED, Missing, Namespace, Snapshot

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
        """A machine whose namespace 2 has a container that listens on port 80, one that was not read, and one, blue,
        of which nothing is known but that it is there."""
        living = (
            Process(pid=70, container="4f5e6d7c8b9a", namespace=2), Process(pid=71, container="web", namespace=3),
            Process(pid=72, namespace=4),
        )  # fmt: skip
        other = Snapshot(host="here", namespace=Namespace(inode=2), interfaces=(hand.LO,),
                         sockets=(hand.socket("0.0.0.0:80"),), processes=living[:1])  # fmt: skip
        lacks = (Missing(what=UNENTERED, why=ONLY_ROOT_ENTERS),)
        closed = Snapshot(host="here", namespace=Namespace(inode=4, name="blue"), missing=lacks)
        path = tmp_path / "machine.json"
        machine = replace(hand.host(), namespace=Namespace(inode=1), others=(other, closed), processes=living)
        path.write_text(saved.dump(machine))
        return str(path)

    @pytest.mark.parametrize(("origin", "status"), [("2", 0), ("70", 0), ("4f5e6d", 0), ("this machine", 1)])
    def test_it_begins_in_a_container_or_where_a_process_is(self, file: str, origin: str, status: int) -> None:
        assert portside("why", "--snapshot", file, "--from", origin, "127.0.0.1:80") == status

    @pytest.mark.parametrize(("origin", "called"), [("web", "of web"), ("72", "of 72"), ("blue", "blue"), ("4", "4")])
    def test_one_that_was_not_entered_needs_root(self, file: str, origin: str, called: str) -> None:
        with pytest.raises(Complaint, match=f"^the network namespace {called} can't be entered: run it as root$"):
            portside("why", "--snapshot", file, "--from", origin, "127.0.0.1:80")

    def test_of_a_saved_one_a_name_is_looked_up_here(self, file: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert portside("why", "--snapshot", file, "--from", "70", "-4", "localhost:80") == 0
        assert "localhost is 127.0.0.1 (looked up here)" in capsys.readouterr().out

    @pytest.mark.linux
    @pytest.mark.skipif(os.geteuid() != 0, reason="to live in another namespace needs root")
    def test_a_name_is_looked_up_where_the_connection_begins(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "hosts").write_text("127.0.0.9 db\n")
        script = f"ip link set lo up; mount --bind {tmp_path}/hosts /etc/hosts; echo ready; exec sleep 60"
        with subprocess.Popen(["unshare", "-n", "-m", "sh", "-c", script], stdout=subprocess.PIPE, text=True) as living:
            try:
                assert living.stdout is not None
                if living.stdout.readline() != "ready\n":
                    pytest.skip("no namespaces can be had here")
                assert portside("why", "--from", str(living.pid), "db:80") == 1
                answer = portside_api.why("db:80", source=str(living.pid))
            finally:
                living.kill()
        out = capsys.readouterr().out
        assert f"db is 127.0.0.9 (looked up as in {living.pid})" in out
        assert "nobody listens on port 80 here" in out
        assert (answer.outcome, [each.address for each in answer.attempts]) == ("failed", [ip.parse("127.0.0.9")])

    def test_a_program_may_name_them_as_the_command_does(self, file: str) -> None:
        machine = portside_api.snapshot(file)
        for origin in ("2", "70", "4f5e6d"):
            assert portside_api.why("127.0.0.1:80", source=origin, of=machine)
        assert not portside_api.why("127.0.0.1:80", source="this machine", of=machine)
        for origin in ("web", "72", "blue", "4"):
            with pytest.raises(ValueError, match="can't be entered"):
                portside_api.why("127.0.0.1:80", source=origin, of=machine)


class TestMissing:
    """Of what could not be read, what bears on the answer is said."""

    OWNERS = Missing(what="the sockets that 3 processes may hold", why="only root may look")
    FILTER = Missing(what="the packet filter", why="only root may read its rules")
    OPTIONS = Missing(what="SO_REUSEADDR, SO_REUSEPORT and other options of 2 sockets", why="only root may look")

    @pytest.mark.parametrize(("pid", "said"), [(7, ["filter"]), (0, ["filter", "may hold"])])
    def test_why(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], pid: int, said: list[str]) -> None:
        path = tmp_path / "machine.json"
        missing = (self.FILTER, self.OWNERS, self.OPTIONS)
        path.write_text(saved.dump(hand.host(hand.socket("0.0.0.0:80", pid=pid), missing=missing)))
        assert portside("why", "--snapshot", str(path), "192.168.1.5:80") == 0
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == len(said)
        assert all(word in line for word, line in zip(said, lines, strict=True))

    def test_ephemeral(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "machine.json"
        bound = Missing(what="v6only, backlogs and those that are only bound", why="not permitted")
        path.write_text(saved.dump(hand.host(missing=(self.FILTER, self.OWNERS, self.OPTIONS, bound))))
        assert portside("ephemeral", "--snapshot", str(path)) == 0
        assert [line.count("only bound") for line in capsys.readouterr().err.splitlines()] == [1]


@pytest.mark.parametrize("command", [("why", "--uid"), ("bind", "--user")])
def test_the_users_of_a_saved_machine_are_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, str]
) -> None:
    path = tmp_path / "machine.json"
    path.write_text(saved.dump(hand.host(hand.socket("0.0.0.0:80"))))
    name, option = command
    asked = [name, "--snapshot", str(path), option]
    assert portside(*asked, "ann", "127.0.0.1:8080") in (0, 1)
    assert portside(*asked, "4711", "127.0.0.1:8080") in (0, 1)
    with pytest.raises(Complaint, match="no user 'daemon' in what was looked at: give the number"):
        portside(*asked, "daemon", "127.0.0.1:8080")  # this machine has one


@pytest.mark.linux
def test_bind_in_another_namespace_asks_what_may_be_done_there() -> None:
    """Root of a user namespace may do nothing in the network of the machine, and all in one that it made."""
    script = """
        inode() { stat -Lc %i /proc/$1/ns/net; }
        unshare -n sleep 60 &
        until [ $(inode $!) != $(inode self) ]; do :; done
        "$0" -m portside bind 0.0.0.0:81; echo $?
        "$0" -m portside bind --namespace $(inode $!) 0.0.0.0:81; echo $?
        kill $!
    """
    if subprocess.run(["unshare", "-Ur", "unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces can be had here")
    done = subprocess.run(["unshare", "-Ur", "sh", "-c", script, sys.executable], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert "EACCES" in lines[0], done.stderr
    assert [line for line in lines if line in ("0", "1")] == ["1", "0"]
    assert "bind and listen would work" in lines[-2]
