"""What the TCP core costs by itself: two connections, a list for a wire, no host and no scheduler.

Run `python benchmarks/tcp_core.py`. Prints microseconds per echo round trip of 64 bytes (2 sends, 2 segments, 2
receives), megabytes per second of bulk data, microseconds per connect-accept-close, and bytes of memory per idle
connection.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "tcp"))

from pair import ALICE, BOB, World, connected

from portside.tcp import arrives, calls, listen


def best(of: int, run: Callable[[], float]) -> float:
    """The best of several runs: the others were disturbed."""
    return min(run() for _ in range(of))


def echo(rounds: int = 20_000) -> float:
    """Microseconds per round trip, in which the network is a list that is emptied by hand."""
    world, client, server = connected(mtu=65536)
    segments: list = []
    for tcb in (client, server):
        tcb.effects.transmit = lambda _, segment: segments.append(segment)
        tcb.effects.changed = lambda *_: None
    data = bytes(64)
    send, receive, arrive = calls.send, calls.receive, arrives.segment_arrives
    now = world.now
    start = perf_counter()
    for _ in range(rounds):
        send(client, data, now)
        for segment in segments:
            arrive(server, segment, now)
        segments.clear()
        receive(server, 4096, now)
        send(server, data, now)
        for segment in segments:
            arrive(client, segment, now)
        segments.clear()
        receive(client, 4096, now)
        now += 20_000
    return (perf_counter() - start) / rounds * 1e6


def bulk(total: int = 1 << 28) -> float:
    """Megabytes per second through both sides, 64 KiB a call."""
    world, client, server = connected(mtu=65536)
    data = bytes(65536)
    sent = received = 0
    start = perf_counter()
    while received < total:
        while sent < total:
            taken = calls.send(client, data, world.now)
            world.settle()
            sent += taken
            if taken < len(data):
                break
            if calls.inq(server) > 65536:
                break
        while (got := calls.receive(server, 65536, world.now)) is not None:
            received += len(got)  # type: ignore[arg-type]
            world.settle()
        world.log.clear()
    return received / (perf_counter() - start) / 1e6


def connect(rounds: int = 2_000) -> float:
    """Microseconds for connect, accept, close on both sides."""
    world = World()
    alice, bob = world.host(ALICE), world.host(BOB)
    listener = bob.listen(80, 100)
    start = perf_counter()
    for _ in range(rounds):
        client = alice.connect(BOB, 80)
        world.settle()
        server = listen.accept(listener)
        assert server is not None
        calls.close(client, world.now)
        world.settle()
        calls.close(server, world.now)
        world.settle()
        world.log.clear()
    return (perf_counter() - start) / rounds * 1e6


def memory(count: int = 2_000) -> float:
    """Bytes per idle connection, its two ends counted as two."""
    world = World()
    alice, bob = world.host(ALICE), world.host(BOB)
    listener = bob.listen(80, 10)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    ends = []
    for _ in range(count):
        ends.append(alice.connect(BOB, 80))
        world.settle()
        ends.append(listen.accept(listener))
        world.log.clear()
        for host in (alice, bob):
            host.events.clear()
            host.history.clear()
            host.connections.clear()
        world.alarms.clear()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / (2 * count)


if __name__ == "__main__":
    print(f"echo round trip     {best(5, echo):8.2f} us")
    print(f"bulk                {-best(3, lambda: -bulk()):8.0f} MB/s")
    print(f"connect and close   {best(3, connect):8.1f} us")
    print(f"idle connection     {memory():8.0f} bytes")
