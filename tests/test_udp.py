"""One UDP socket's queue: what fits the receive buffer and when it is given back, held against real sockets."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "ip"))

import ip_kernel

from portside.addr.abi import POLLERR, POLLIN, POLLOUT
from portside.addr.ip import V4_LOOPBACK, V6_LOOPBACK
from portside.udp import UdpQueue
from portside.wire.packet import UdpDatagram

RECORDED = Path(__file__).parent / "ip" / "recorded" / "udp.json"
SIZES = [0, 1, 100, 184, 185, 197, 198, 632, 633, 645, 646, 1000, 1472, 1669, 1670, 3717, 3718, 7000, 10000,
         15991, 15992, 16004, 16005, 20000, 40000, 65000]  # fmt: skip
SCRIPTS = [
    "s300 r300", "s100 r10 s300 r300", "p1 s300 r300", "s1 p1 s300 r300", "s10 r10 s300 r100 s300 r300",
    "s256 r63 s10 r1 s100 r400", "s50 r49 s300 r1 s10 r400",
]  # fmt: skip
BUFFERS = [1, 2048, 2304, 5000, 20000]


def play(script: str, send, receive) -> list[list[int]]:
    """Sends (s), receives (r) and peeks (p); after each step how many worked, and the memory in use."""
    rows = []
    for step in script.split():
        count, done = int(step[1:]), 0
        for _ in range(count):
            done += send() if step[0] == "s" else receive(step[0] == "p")
        rows.append([step, done])
    return rows


def linux() -> dict[str, object]:
    """What real sockets do on loopback."""
    return ip_kernel.in_namespace(_linux)


def _linux() -> dict[str, object]:
    fits = {}
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        for size in SIZES:
            fits[f"{host} {size}"] = _fill(family, host, size, 0)
    small = {f"{rcvbuf} {size}": _fill(socket.AF_INET, "127.0.0.1", size, rcvbuf) for rcvbuf in BUFFERS
             for size in (1, 300, 1000, 5000, 20000)}  # fmt: skip
    return {"fits": fits, "small": small, "scripts": [_script(script) for script in SCRIPTS]}


def _memory(sock: socket.socket) -> list[int]:
    """sk_rmem_alloc, sk_rcvbuf and drops (SO_MEMINFO)."""
    values = struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, 55, 36))
    return [values[0], values[1], values[8]]


def _fill(family: int, host: str, size: int, rcvbuf: int) -> list[int]:
    with socket.socket(family, socket.SOCK_DGRAM) as sink, socket.socket(family, socket.SOCK_DGRAM) as source:
        if rcvbuf:
            sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sink.bind((host, 0))
        for _ in range(300):
            source.sendto(bytes(size), sink.getsockname())
        return _memory(sink)


def _script(script: str) -> list[list[int]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source,
    ):
        sink.bind(("127.0.0.1", 0))
        sink.setblocking(False)

        def send() -> int:
            before = _memory(sink)[2]
            source.sendto(b"x", sink.getsockname())
            return 1 - (_memory(sink)[2] - before)

        def receive(peek: bool) -> int:
            return int(not isinstance(ip_kernel.outcome(sink.recv, 1, socket.MSG_PEEK if peek else 0), str))

        return [*play(script, send, receive), _memory(sink)]


def model() -> dict[str, object]:
    fits = {}
    for address, host in ((V4_LOOPBACK, "127.0.0.1"), (V6_LOOPBACK, "::1")):
        for size in SIZES:
            fits[f"{host} {size}"] = fill(address, size, 212992)
    small = {f"{rcvbuf} {size}": fill(V4_LOOPBACK, size, max(2304, 2 * rcvbuf)) for rcvbuf in BUFFERS
             for size in (1, 300, 1000, 5000, 20000)}  # fmt: skip
    return {"fits": fits, "small": small, "scripts": [script_of_model(script) for script in SCRIPTS]}


def fill(address: int, size: int, rcvbuf: int) -> list[int]:
    queue = UdpQueue(rcvbuf)
    for _ in range(300):
        queue.deliver(UdpDatagram(address, address, 1, 2, bytes(size)), 1)
    return [queue.memory, queue.rcvbuf, queue.drops]


def script_of_model(script: str) -> list[list[int]]:
    queue = UdpQueue()
    rows = play(
        script, lambda: int(queue.deliver(datagram(b"x"), 1)), lambda peek: int(queue.receive(peek) is not None)
    )
    return [*rows, [queue.memory, queue.rcvbuf, queue.drops]]


def datagram(data: bytes) -> UdpDatagram:
    return UdpDatagram(V4_LOOPBACK, V4_LOOPBACK, 1, 2, data)


@pytest.mark.linux
@pytest.mark.skipif(not ip_kernel.available(), reason="needs root and network namespaces; the recording stands in")
def test_receive_buffer_as_on_linux() -> None:
    expected = linux()
    if os.environ.get("PORTSIDE_RECORD"):
        RECORDED.write_text(json.dumps(expected, indent=1) + "\n")
    assert model() == expected


def test_receive_buffer_as_recorded() -> None:
    assert model() == json.loads(RECORDED.read_text())


def test_order_boundaries_and_interfaces() -> None:
    queue = UdpQueue()
    for number in range(5):
        assert queue.deliver(datagram(bytes([number]) * number), number)
    assert queue.head_size() == 0
    for number in range(5):
        peeked = queue.receive(peek=True)
        assert queue.receive() == peeked
        assert (peeked[0].data, peeked[1]) == (bytes([number]) * number, number)
    assert queue.receive() is None
    assert queue.receive(peek=True) is None
    assert queue.memory == 0


def test_head_size_is_the_next_datagrams() -> None:
    queue = UdpQueue()
    queue.deliver(datagram(b"abc"), 1)
    queue.deliver(datagram(b"defgh"), 1)
    assert queue.head_size() == 3
    queue.receive()
    assert queue.head_size() == 5


def test_an_error_is_told_once() -> None:
    queue = UdpQueue()
    assert queue.poll() & (POLLIN | POLLERR | POLLOUT) == POLLOUT
    queue.set_error(errno.ECONNREFUSED)
    queue.set_error(errno.EHOSTUNREACH)
    assert queue.poll() & POLLERR
    assert queue.poll() & POLLERR  # looking does not consume it
    assert queue.take_error() == errno.EHOSTUNREACH
    assert queue.take_error() == 0
    assert not queue.poll() & POLLERR


def test_poll_tells_of_data() -> None:
    queue = UdpQueue()
    queue.deliver(datagram(b""), 1)
    assert queue.poll() & POLLIN
    queue.receive(peek=True)
    assert queue.poll() & POLLIN
    queue.receive()
    assert not queue.poll() & POLLIN


def test_clear_gives_everything_back() -> None:
    queue = UdpQueue()
    for _ in range(300):
        queue.deliver(datagram(b"x"), 1)
    assert (queue.drops, queue.memory) == (44, 212992)
    queue.receive()
    queue.clear()
    assert queue.memory == 0
    assert queue.receive() is None
    assert queue.deliver(datagram(b"x"), 1)
