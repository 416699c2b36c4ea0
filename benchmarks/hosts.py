"""Ours alone: what an event costs among many hosts that have nothing to do with it.

    python -m benchmarks.hosts [--rounds N] [OTHERS...]

Two hosts exchange 64 bytes to and fro over a link, while OTHERS more hosts stand in the same network. Each of those
runs a program: every third one sleeps, every third one waits in accept(2), every third one in epoll_wait(2) for a
listener and a datagram socket. Time is taken when all of them wait: the best of ten batches, since the machine does
other things too. Each size has a process of its own, and the sizes take turns. Default: 1,000 and 10,000 others. A
ratio is a size by none, the median of the rounds with the least and the greatest.
"""

from __future__ import annotations

import argparse
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from time import perf_counter  # held by a local name where it is used: the real clock, also in a simulated program

from portside import Network

MESSAGE = b"x" * 64
ROUND_TRIPS = 2_000
BATCHES = 10
FOR_EVER = 1e6  # s


def sleep() -> None:
    """Wait for a timer."""
    time.sleep(FOR_EVER)


def accept() -> None:
    """Wait for a connection."""
    socket.create_server(("", 80)).accept()


def poll() -> None:
    """Wait for one of two sockets."""
    with (
        socket.create_server(("", 80)) as listener,
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        select.epoll() as epoll,
    ):
        datagrams.bind(("", 53))
        for sock in (listener, datagrams):
            epoll.register(sock, select.EPOLLIN)
        epoll.poll()


IDLE = (sleep, accept, poll)


def serve() -> None:
    """Send back what one client sends."""
    connection, _ = socket.create_server(("", 7)).accept()
    while data := connection.recv(4096):
        connection.sendall(data)


def measure(others: int) -> float:
    """Microseconds per round trip among that many other hosts."""
    network = Network(seed=1)
    server, client = network.host("server", "10.0.0.1/8"), network.host("client", "10.0.0.2/8")
    for number in range(others):
        network.host(f"other{number}", f"10.1.{number >> 8}.{number & 255}/8").spawn(IDLE[number % 3], background=True)
    server.spawn(serve, background=True)
    talking = client.spawn(_talk(perf_counter), start="1s")  # by then all the others wait
    network.run()
    seconds: object = talking.result
    assert isinstance(seconds, float)
    return seconds / ROUND_TRIPS * 1e6


def _talk(clock: Callable[[], float]) -> Callable[[], float]:
    def talk() -> float:
        with socket.create_connection(("10.0.0.1", 7)) as client:
            times = []
            for _ in range(BATCHES):
                begin = clock()
                for _ in range(ROUND_TRIPS):
                    client.sendall(MESSAGE)
                    client.recv(4096)
                times.append(clock() - begin)
        return min(times)

    return talk


def apart(others: int) -> float:
    """The same, in a fresh process."""
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.hosts", "--one", str(others)], check=True, capture_output=True, text=True
    )
    return float(answer.stdout)


def main() -> None:
    """Compare the sizes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hosts", description=__doc__)
    parser.add_argument("others", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(measure(arguments.one))
        return
    print("\nround trips of 64 bytes between two hosts, among others that sleep or wait", flush=True)
    sizes = dict.fromkeys([0, *arguments.others])
    times: dict[int, list[float]] = {others: [] for others in sizes}
    for _ in range(arguments.rounds):
        for others in sizes:
            times[others].append(apart(others))
    for others, taken in times.items():
        ratios = [mine / alone for mine, alone in zip(taken, times[0], strict=True)]
        spread = f"   {median(ratios):.2f} times as long ({min(ratios):.2f} to {max(ratios):.2f})"
        line = f"{others:>9} others: {median(taken):7.2f} us  ({min(taken):.2f} to {max(taken):.2f})"
        print(line + spread if others else line, flush=True)


if __name__ == "__main__":
    main()
