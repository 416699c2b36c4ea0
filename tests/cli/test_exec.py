"""`portside exec`: a server is started and followed, and what it listens on is reported, or why it does not."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portside import Network
from portside.cli import exec as executor
from portside.cli.main import cli
from portside.cli.source import Complaint

pytestmark = pytest.mark.linux

# Each server ends when the pipe with that number is closed.
DAEMON = """
import os, socket, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.close(1), os.close(2)
os.read(int(sys.argv[2]), 1)
"""
FOREGROUND = """
import os, socket, sys, threading
def listen():
    held.append(socket.create_server(("::1", 0), family=socket.AF_INET6))
held = [socket.create_server(("127.0.0.1", 0))]
thread = threading.Thread(target=listen)
thread.start()
thread.join()
held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
held[-1].bind(("127.0.0.1", 0))
os.read(int(sys.argv[2]), 1)
sys.exit(7)
"""


class Running:
    """`portside exec` with a server that ends when `end` is called."""

    def __init__(self, path: Path, port: int, *options: str) -> None:
        reader, self._writer = os.pipe()
        command = [sys.executable, "-m", "portside", "exec", *options, "--", sys.executable, str(path), str(port)]
        self.process = subprocess.Popen(
            [*command, str(reader)], stderr=subprocess.PIPE, text=True, pass_fds=[reader], stdin=subprocess.DEVNULL
        )
        os.close(reader)

    def told(self, words: str) -> str:
        """The next line that holds these words."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if words in line:
                return line
        raise AssertionError(f"it never said {words!r}")

    def end(self) -> int:
        """Let the server end; the exit code, when portside has ended."""
        os.close(self._writer)
        self._writer = -1
        return self.process.wait(60)

    def close(self) -> None:
        if self._writer >= 0:
            os.close(self._writer)
        self.process.communicate(timeout=60)


@contextmanager
def execute(path: Path, program: str, port: int = 0, *options: str) -> Iterator[Running]:
    path.write_text(program)
    running = Running(path, port, *options)
    try:
        yield running
    finally:
        running.close()


@pytest.mark.scenario("C2")
@pytest.mark.scenario("E1")
@pytest.mark.parametrize("options", [(), ("--no-trace",)], ids=["traced", "not traced"])
def test_a_server_that_daemonizes_and_says_nothing(tmp_path: Path, options: tuple[str, ...]) -> None:
    with execute(tmp_path / "daemon.py", DAEMON, 0, *options) as first:
        line = first.told("reached from this machine only")
        found = re.search(r"tcp 127\.0\.0\.1:(\d+), python", line)
        assert found is not None, line
        port = found[1]
        assert first.told("  type ").strip() == f"portside:   type 127.0.0.1:{port}"
        found = re.search(r"background: \S+ \((\d+)\)$", first.told("goes on"))
        assert found is not None
        daemon = found[1]
        assert first.process.wait(60) == 0  # the daemon is up, and goes on
        with execute(tmp_path / "daemon.py", DAEMON, int(port), *options) as second:
            words = "is taken" if options else "in the way"
            assert re.search(rf"TCP.*:{port}.*\(.*\b{daemon}\b.*\)", second.told(words), re.IGNORECASE)
            assert "has listened on nothing" in second.told("ended") if not options else True
            assert second.process.wait(60) == 1


@pytest.mark.scenario("C2")
def test_every_address_of_a_server_in_the_foreground_is_reported(tmp_path: Path) -> None:
    with execute(tmp_path / "server.py", FOREGROUND) as running:
        lines = [running.told("reached from") for _ in range(3)]
        assert sorted(re.findall(r"(tcp|udp) (\S+):\d+", "".join(lines))) == [
            ("tcp", "127.0.0.1"), ("tcp", "[::1]"), ("udp", "127.0.0.1"),
        ]  # fmt: skip
        assert running.end() == 7


@pytest.mark.parametrize("options", [(), ("--no-trace",)], ids=["traced", "not traced"])
@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (("sh", "-c", "exit 3"), 3, "sh has ended with status 3, and has listened on nothing"),
        (("sh", "-c", "kill -9 $$"), 137, "ended with status 137"),
        (("no-such-program",), 127, "cannot run no-such-program: No such file or directory"),
        (("/etc/passwd",), 126, "cannot run /etc/passwd: Permission denied"),
        (("true",), 0, "true has ended with status 0"),
    ],
)  # fmt: skip
def test_the_exit_code_is_the_commands(
    command: tuple[str, ...], status: int, words: str, options: tuple[str, ...]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portside", "exec", *options, "--", *command],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PATH": os.defpath},  # a directory of it that nobody may enter would be another reason
    )  # fmt: skip
    assert done.returncode == status
    assert words in done.stderr


def test_a_signal_is_passed_on(tmp_path: Path) -> None:
    with execute(tmp_path / "server.py", FOREGROUND) as running:
        running.told("reached from")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 128 + signal.SIGTERM


@pytest.mark.scenario("B2")
def test_an_address_that_the_machine_does_not_have() -> None:
    program = "import socket; socket.create_server(('192.0.2.99', 8080))"
    done = subprocess.run(
        [sys.executable, "-m", "portside", "exec", "--", sys.executable, "-c", program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "EADDRNOTAVAIL" in done.stderr
    assert "would work: every address: 0.0.0.0:8080" in done.stderr


def test_on_a_simulated_host_there_is_nothing_to_start() -> None:
    def command() -> str:
        try:
            cli.main(["exec", "--", "true"], "portside", standalone_mode=False)
        except Complaint as complaint:
            return complaint.message
        return ""

    with Network(seed=1, quiet=True) as network:
        program = network.host("web").spawn(command)
        network.run()
    assert program.result.startswith("exec starts processes of this machine")


UNIX = """
import os, socket, sys
os.chdir(os.path.dirname(sys.argv[0]))  # the whole path may be too long for an address
server = socket.socket(socket.AF_UNIX)
server.bind("unix.sock")
server.listen()
os.read(int(sys.argv[2]), 1)
"""


def test_a_unix_socket_that_the_server_listens_on_is_reported(tmp_path: Path) -> None:
    with execute(tmp_path / "server.py", UNIX) as running:
        line = running.told("reached from")
        assert re.fullmatch(
            r"portside: unix unix.sock, python\S* \(\d+\): reached from programs of this machine only\n", line
        )
        assert running.end() == 0


NOBODY = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
libc.prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
read = 1 << 2  # CAP_DAC_READ_SEARCH: Python itself may be where nobody may look; it ends with execve(2)
libc.capset(struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", read, read, 0, 0, 0, 0))
libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, as after any other execve(2): it may be traced
from portside.cli.main import main
main(["exec", *sys.argv[1:]])
"""


@pytest.fixture
def giving() -> Iterator[Path]:
    """A copy of id(1) that whoever runs it runs as root, in a directory that everybody may enter."""
    if os.geteuid():
        pytest.skip("a set-user-ID program of root's takes root")
    with tempfile.TemporaryDirectory(prefix="ps-exec-") as directory:
        os.chmod(directory, 0o755)
        if os.statvfs(directory).f_flag & os.ST_NOSUID:
            pytest.skip("set-user-ID programs give nothing on this file system")
        copy = Path(directory) / "id"
        shutil.copy(shutil.which("id") or "/usr/bin/id", copy)
        copy.chmod(0o4755)
        yield copy


@pytest.mark.parametrize("where", ["{0}", "sh -c 'cd {1}; ./id'", "sh -c 'PATH={1}; id'", "sh -c '{0} & wait'"])
def test_a_program_that_gives_rights_gives_them_though_its_start_is_watched(giving: Path, where: str) -> None:
    command = shlex.split(where.format(giving, giving.parent))
    done = subprocess.run(
        [sys.executable, "-c", NOBODY, "--", *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert " euid=0(root)" in done.stdout


def test_what_only_another_user_may_see_is_not_said_to_be_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for childless, said in (
        (True, "server has ended with status 0, what it listened on can't be seen by this user"),
        (False, "server runs in the background, what it listens on can't be seen by this user"),
    ):
        program = Dying()
        program.childless = childless
        watch = executor._Watch(program, 1.0)  # type: ignore[arg-type]
        watch.unseen.add(1)
        assert watch._end() == 0
        assert capsys.readouterr().err == f"portside: {said}: run portside itself as root\n"


class Dying:
    """A program that has ended, whose child is about to: it has no number any more, and has not been waited for."""

    command = ("server",)
    status = 0
    not_run = ""
    childless = False

    def living(self) -> tuple[int, ...]:
        return ()


def test_nobody_goes_on_in_the_background_when_all_are_about_to_end(capsys: pytest.CaptureFixture[str]) -> None:
    watch = executor._Watch(Dying(), 1.0)  # type: ignore[arg-type]
    watch.inodes.add(1)
    assert watch._end() == 0
    assert capsys.readouterr().err == ""


def test_it_is_not_up_before_its_rest_has_had_time_to_end_too() -> None:
    watch = executor._Watch(Dying(), 1000.0)  # type: ignore[arg-type]
    watch.inodes.add(1)
    now = watch.changed
    watch.changed = now - 1000
    assert not watch._is_up(now + 1000)
    assert watch._is_up(now - 1000)
