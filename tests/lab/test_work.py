"""What a connection and a round trip cost, counted in work and not in time: function calls, segments, timers."""

from __future__ import annotations

import asyncio
import gc
import selectors
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import pytest

from portside import Network


class Work:
    """Counts the calls of portside's own functions, in every task that calls `begin`."""

    def __init__(self) -> None:
        self.calls = 0

    def begin(self) -> None:
        sys.setprofile(self._seen)

    def end(self) -> None:
        sys.setprofile(None)

    def _seen(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "/portside/" in frame.f_code.co_filename:
            self.calls += 1


def connections(count: int, work: Work) -> None:
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        work.begin()
        for _ in range(count):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(connection.recv(64))
        work.end()

    server = threading.Thread(target=serve)
    server.start()
    work.begin()
    for _ in range(count):
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"x" * 64)
            assert client.recv(64) == b"x" * 64
            assert client.recv(64) == b""
    work.end()
    server.join()
    listener.close()


def round_trips(count: int, work: Work) -> None:
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        work.begin()
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)
        work.end()

    server = threading.Thread(target=serve)
    server.start()
    with socket.create_connection(listener.getsockname()) as client:
        work.begin()
        for _ in range(count):
            client.sendall(b"x" * 64)
            assert client.recv(4096) == b"x" * 64
        work.end()
    server.join()
    listener.close()


def work_of(program: Callable[[int, Work], None], count: int) -> tuple[int, int, int]:
    """Calls, segments and timers that are left of `count` operations."""
    network = Network(seed=1)
    host = network.host("here")
    segments = 0

    def seen(*_: object) -> None:
        nonlocal segments
        segments += 1

    work = Work()
    host.spawn(program, count, work)
    network.run()
    timers = len(network.world._heap) + len(network.world._far)
    traced = Network(seed=1)
    machine = traced.host("here")
    machine.machine.ip.trace = seen
    machine.spawn(program, count, Work())
    traced.run()
    return work.calls, segments, timers


def each(program: Callable[[int, Work], None]) -> tuple[float, float, float]:
    """What one more operation adds."""
    few, many = work_of(program, 20), work_of(program, 40)
    calls, segments, timers = ((b - a) / 20 for a, b in zip(few, many, strict=True))
    return calls, segments, timers


def test_a_connection_and_its_end() -> None:
    """Ten segments: three to begin, two with data and their ACKs, two FINs and the last ACK; each is seen as it
    leaves and as it arrives. Connections of one moment share their timers.
    """
    calls, segments, timers = each(connections)
    assert segments == 2 * 10
    assert timers < 0.2
    assert calls < 500


def test_a_round_trip() -> None:
    """Two segments, for each carries the acknowledgment of the other; no timer is set anew."""
    calls, segments, timers = each(round_trips)
    assert segments == 2 * 2
    assert timers == 0
    assert calls < 60


def work_among(others: int) -> int:
    """Calls of 20 round trips between two hosts, where others sleep, wait for connections or wait for events."""
    network = Network(seed=1)
    server, client = network.host("server", "10.0.0.1/16"), network.host("client", "10.0.0.2/16")
    for number in range(others):
        network.host(f"other{number}", f"10.0.1.{number}/16").spawn(IDLE[number % 3], background=True)
    work = Work()
    server.spawn(serve_one, background=True)
    client.spawn(talk, work, start="1s")
    network.run()
    return work.calls


def sleep() -> None:
    time.sleep(1e6)


def accept() -> None:
    with socket.create_server(("", 80)) as listener:
        listener.accept()


def poll() -> None:
    with socket.create_server(("", 80)) as listener, selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.select()


IDLE = (sleep, accept, poll)


def serve_one() -> None:
    with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
        while data := connection.recv(100):
            connection.sendall(data)


def talk(work: Work) -> None:
    with socket.create_connection(("10.0.0.1", 7)) as connection:
        work.begin()
        for _ in range(20):
            connection.sendall(b"x")
            assert connection.recv(100) == b"x"
        work.end()


def test_a_round_trip_among_hosts_that_wait() -> None:
    """Hosts that sleep or wait add nothing to what others do."""
    work_among(1)  # what is remembered from the first time on is known
    assert work_among(60) == work_among(0)


async def _streams(count: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"x")
            await reader.read()
            writer.close()
            await writer.wait_closed()


def _blocking(count: int) -> None:
    connections(count, Work())


def _asyncio(count: int) -> None:
    asyncio.run(_streams(count))


@pytest.mark.parametrize("program", [_blocking, _asyncio])
def test_connections_that_are_over_leave_nothing_to_the_garbage_collector(program):
    def garbage(count: int) -> int:
        gc.collect()
        program(count)
        return gc.collect()

    network = Network(seed=1)
    host = network.host("a")
    few, many = host.spawn(garbage, 5), host.spawn(garbage, 50, start=10)
    network.run()
    assert many.result <= few.result + 20
