"""Likely mistakes, made on this machine and found by its snapshot."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.live.apart import CLONE_NEWNET, apart, ip, lacking, libc, unshare

import portside
from portside.explain.listening import Listener

pytestmark = pytest.mark.linux

SHARER = """
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""


def found(port: int, *hosts: str) -> list[Listener]:
    """Those of these loopback addresses: on the others the port may be somebody else's."""
    at = [f"{host}:{port}" for host in hosts or ("127.0.0.1",)]
    return [each for each in portside.listeners() if each.protocol == "tcp" and each.address in at]


@contextmanager
def sharer(port: int) -> Iterator[int]:
    """A server that somebody started from a shell; its port."""
    command = f'"{sys.executable}" -c "$0" {port}; exit $?'
    with subprocess.Popen(
        ["sh", "-c", command, SHARER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        yield int(started.stdout.readline())


@pytest.mark.scenario("A2")
def test_a_server_that_was_left_running_shares_the_port() -> None:
    with sharer(0) as port:
        assert "reuseport-group" not in {each.name for each in found(port)[0].findings}
        with sharer(port):
            one, other = found(port)
    assert {each.name for each in one.warnings} == {each.name for each in other.warnings} == {"reuseport-group"}
    assert one.warnings[0].sentence.startswith("2 independent processes share it by SO_REUSEPORT")


@pytest.mark.scenario("D3")
def test_an_accept_queue_that_overflows() -> None:
    with ExitStack() as opened:
        server = opened.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        assert found(port)[0].warnings == ()
        opened.enter_context(socket.create_connection(("127.0.0.1", port)))
        while True:  # the handshake's end may still be on its way to the queue
            [listener] = found(port)
            if listener.socket.accept_queue:
                break
        assert [each.name for each in listener.warnings] == ["queue-full"]
        late = opened.enter_context(socket.socket())
        late.setblocking(False)
        assert late.connect_ex(("127.0.0.1", port)) == errno.EINPROGRESS  # its SYN is dropped
        server.accept()[0].close()
        [listener] = found(port)
    [warning] = listener.warnings
    assert warning.name == "connections-dropped"
    assert "its accept queue was full then (backlog 0)" in warning.sentence
    assert listener.socket.drops == 1


@pytest.mark.scenario("D3")
def test_what_was_dropped_for_want_of_a_way_back_is_not_laid_to_the_queue() -> None:
    if missing := lacking("ip"):
        pytest.skip(missing)
    assert apart(without_a_way_back) == [
        "on the way to a connection: no route led back, or a check failed; the kernel does not tell which"
    ]


def without_a_way_back() -> list[str]:
    """A SYN comes in from a network to which this machine has no route."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    ip("link set lo up")
    unshare()
    ip("link add name vb type veth peer name va", f"link set va netns /proc/{os.getpid()}/fd/{home}",
       "addr add 10.0.1.1/24 dev vb", "addr add 10.0.9.9/32 dev vb", "link set vb up")  # fmt: skip
    there = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    libc.setns(home, CLONE_NEWNET)
    ip("addr add 10.0.1.2/24 dev va", "link set va up")
    for each in ("all", "va"):
        Path(f"/proc/sys/net/ipv4/conf/{each}/rp_filter").write_text("0")
    with socket.socket() as server:
        server.bind(("10.0.1.2", 85))
        server.listen()
        libc.setns(there, CLONE_NEWNET)
        with socket.socket() as client:
            client.setblocking(False)
            client.bind(("10.0.9.9", 0))
            client.connect_ex(("10.0.1.2", 85))
            libc.setns(home, CLONE_NEWNET)
            while True:
                [listener] = [each for each in portside.listeners() if each.port == 85 and not each.namespace]
                if listener.socket.drops:
                    return [each.sentence.partition(" dropped ")[2] for each in listener.warnings]


@pytest.mark.scenario("C5")
@pytest.mark.scenario("C8")
def test_one_family_and_a_pair() -> None:
    with ExitStack() as opened:
        four, six = bound_pair(opened)
        port = six.getsockname()[1]
        six.listen()
        assert [each.name for each in found(port, "[::1]")[0].warnings] == ["only-ipv6"]
        four.listen()
        assert [each.warnings for each in found(port, "[::1]", "127.0.0.1")] == [(), ()]


def bound_pair(opened: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Two sockets on one port of the loopback addresses: one that the kernel gives for the first may be taken for the
    other, and then it is tried again."""
    while True:
        four = opened.enter_context(socket.socket())
        six = opened.enter_context(socket.socket(socket.AF_INET6))
        four.bind(("127.0.0.1", 0))
        try:
            six.bind(("::1", four.getsockname()[1]))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return four, six
