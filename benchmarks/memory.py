"""Ours alone: the memory of an idle established connection.

    python -m benchmarks.memory [SIZE...]

Up to 20,000 connections are made by one program on one simulated host, and both ends are counted with everything that
belongs to them: the program's two socket objects, two descriptors, the files behind them, two TCBs, two rows of the
socket table, the port of the client. More are entered straight into the table of a host, one end each, TCB and row
alone. Each size has a process of its own. Default: 100 and 10,000.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import tracemalloc

from portside import Network
from portside.addr.abi import AF_INET
from portside.addr.ip import V4_PREFIX, parse
from portside.facts.state import ESTABLISHED, LISTEN

MOST_BY_PROGRAM = 20_000


def connections(count: int) -> tuple[int, list[tuple[str, int]]]:
    """Bytes that `count` idle connections take, and where they were allocated: path and bytes, the most first."""
    found: tuple[int, list[tuple[str, int]]] = 0, []

    def program() -> None:
        nonlocal found
        import socket
        import time

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        held: list[socket.socket | None] = [None] * (2 * count + 2)

        def make(number: int) -> None:
            client = socket.socket()
            client.connect(address)
            held[2 * number], held[2 * number + 1] = client, listener.accept()[0]

        make(count)  # what is made once for all is there before
        gc.collect()
        tracemalloc.start()
        for number in range(count):
            make(number)
        time.sleep(100)  # every timer has rung
        gc.collect()
        snapshot = tracemalloc.take_snapshot()
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        places = [(line.traceback[0].filename, line.size) for line in snapshot.statistics("filename")]
        found = used, places

    network = Network(seed=1)
    network.host("here").spawn(program)
    network.run()
    return found


def rows(count: int) -> int:
    """Bytes of real memory that so many established TCBs with their rows take in the table of a host."""
    stack = Network(seed=1).host("here").machine.stack
    server, clients = parse("10.0.0.1"), V4_PREFIX | 0x0B000000
    listening = stack.tcp.open(AF_INET, 0)
    listening.laddr, listening.lport, listening.state = server, 80, LISTEN
    stack.tcp.add_bound(listening)
    gc.disable()
    before = resident()
    for number in range(count):
        tcb = stack.new_connection(None)
        tcb.laddr, tcb.lport = server, 80
        tcb.raddr, tcb.rport = clients + number // 50_000, 1024 + number % 50_000
        tcb.entry = stack.tcp.child(listening, server, tcb.raddr, tcb.rport, 0, tcb)
        stack.tcp.inherit_port(listening, tcb.entry)
        tcb.state = tcb.entry.state = ESTABLISHED
    return resident() - before


def resident() -> int:
    """Bytes of real memory that this process has (tracemalloc would take minutes here)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def measure(size: int) -> None:
    """Print a line for one size."""
    if size > MOST_BY_PROGRAM:
        print(f"{size:>9} rows with their TCBs: {rows(size) / size:7.0f} bytes each", flush=True)
        return
    used, places = connections(size)
    parts = ", ".join(f"{name(path)} {part / size:.0f}" for path, part in places[:6])
    print(f"{size:>9} idle connections: {used / size:7.0f} bytes for both ends ({parts})", flush=True)


def name(path: str) -> str:
    """The last two parts of a path."""
    return "/".join(path.split("/")[-2:])


def main() -> None:
    """One size in this process, several in one each."""
    sizes = [int(word) for word in sys.argv[1:]] or [100, 10_000]
    if len(sizes) == 1:
        measure(sizes[0])
        return
    print("\nmemory")
    for size in sizes:
        subprocess.run([sys.executable, "-m", "benchmarks.memory", str(size)], check=True)


if __name__ == "__main__":
    main()
