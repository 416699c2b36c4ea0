"""Every example says the same on the real machine, in a network namespace of its own, and with `portside run`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

PROGRAMS = {
    "A1": ["a1_tcp_and_udp_on_one_port.py"],
    "A2": ["a2_two_listeners_with_reuseport.py"],
    "A3": ["a3_one_port_on_two_addresses.py"],
    "A4": ["a4_addresses_that_can_be_bound.py"],
    "A5": ["a5_dual_stack.py"],
    "A6": ["a6_all_of_ipv6_against_all_of_ipv4.py"],
    "A7": ["a7_ipv6_only.py"],
    "B3": ["b3_one_server_many_clients.py"],
    "D1": ["b3_one_server_many_clients.py", "30"],
    "B4": ["b4_streams_and_datagrams.py"],
    "B5": ["b5_restart_in_time_wait.py"],
    "B8": ["b8_port_exhaustion.py", "40000", "40009"],  # few ports here: each closed one costs the real kernel a walk
}

# Gives itself a network namespace, then becomes the program.
IN_A_NAMESPACE = """
import os, sys
from tests.dialogue import worker
try:
    if os.geteuid() != 0:
        worker.become_root_of_a_namespace()
    worker.fresh_namespace()
except OSError as error:
    sys.exit(f"no namespace: {error}")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=120)


def on_linux(*words: str) -> subprocess.CompletedProcess[str]:
    done = run("-c", IN_A_NAMESPACE, *words)
    if done.stderr.startswith("no namespace"):
        pytest.skip(done.stderr.strip())
    return done


def told(output: str) -> list[str]:
    """The lines without file descriptors and ephemeral ports, which are left to chance."""
    output = re.sub(r"fd=\d+", "fd=N", output)
    return re.sub(r"\b(3[2-9]|[45]\d|60)\d{3}\b(?=[,)])", "EPHEMERAL", output).splitlines()


def check(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return told(done.stdout)


@pytest.mark.linux
@pytest.mark.parametrize(
    "words", [pytest.param(words, id=name, marks=pytest.mark.scenario(name)) for name, words in PROGRAMS.items()]
)
def test_an_example_says_the_same_here_and_there(words: list[str]) -> None:
    script, *arguments = words
    path = str(EXAMPLES / script)
    linux = check(on_linux(path, *arguments))
    assert linux
    assert check(run("-m", "portside", "run", path, *arguments)) == linux


def test_every_example_is_run() -> None:
    run_alone = {words[0] for words in PROGRAMS.values()} | {"echo_server.py", "echo_client.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == run_alone


@pytest.mark.scenario("B4")
@pytest.mark.scenario("B5")
def test_the_echo_server_and_its_client_on_two_hosts() -> None:
    done = run("-m", "portside", "run", str(EXAMPLES / "echo.toml"))
    assert done.returncode == 0, done.stderr
    lines = [line.partition("|")[::2] for line in done.stdout.splitlines()]
    by_host = {host.strip(): [text.strip() for name, text in lines if name == host] for host, _ in lines}
    assert by_host == {
        "server": [
            "listening on ('0.0.0.0', 7000)", "connection from 10.0.0.2", "the client has closed after 100005 bytes",
        ],
        "laptop": [
            "connected to ('10.0.0.1', 7000) from the ephemeral range: True",
            "echo of 5 bytes is the same: True", "echo of 100000 bytes is the same: True",
        ],
    }  # fmt: skip


@pytest.mark.linux
@pytest.mark.scenario("B5")
def test_the_echo_server_and_its_client_on_the_real_machine() -> None:
    both = (
        "import subprocess, sys\n"
        "server = subprocess.Popen([sys.executable, sys.argv[1]], stdout=subprocess.PIPE, text=True)\n"
        "first = server.stdout.readline()\n"
        "client = subprocess.run([sys.executable, sys.argv[2]], stdout=subprocess.PIPE, text=True)\n"
        "print(first + server.communicate()[0] + client.stdout, end='')\n"
        "sys.exit(server.returncode or client.returncode)\n"
    )
    lines = check(on_linux("-c", both, str(EXAMPLES / "echo_server.py"), str(EXAMPLES / "echo_client.py")))
    assert lines == [
        "listening on ('127.0.0.1', 7000)", "connection from 127.0.0.1", "the client has closed after 100005 bytes",
        "connected to ('127.0.0.1', 7000) from the ephemeral range: True",
        "echo of 5 bytes is the same: True", "echo of 100000 bytes is the same: True",
    ]  # fmt: skip


@pytest.mark.scenario("B8")
def test_all_of_the_default_range_is_used_up_in_a_simulation() -> None:
    lines = check(run("-m", "portside", "run", str(EXAMPLES / "b8_port_exhaustion.py")))
    assert lines[0] == "28232 connections to 127.0.0.1:8080, all that 32768-60999 has: True"
    assert lines[1] == "the next: [Errno 99] Cannot assign requested address True"
