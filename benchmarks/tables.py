"""Ours alone: the cost of a lookup and of a bind, and the memory of a connection, in tables of growing size.

    python -m benchmarks.tables [SIZE...]

Each size has a process of its own. The table is a server's: a listener and its accepted connections. `bind` is one of a
fresh port that is then given back.

`lookup` finds the same 100 connections, spread over the table, again and again: the work that it does. In brackets it
finds connections anywhere in the table, each for the first time: a table of a million is larger than the processor's
caches, and the rest is what its memory takes to answer.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from random import Random
from statistics import median
from time import perf_counter_ns

from benchmarks.memory import resident

from portside.addr.abi import AF_INET, IPPROTO_TCP
from portside.addr.ip import V4_PREFIX, parse
from portside.facts.settings import Settings
from portside.facts.state import ESTABLISHED
from portside.sockets import bind, lookup
from portside.sockets.table import SocketTable

SERVER = parse("10.0.0.1")
CLIENTS = V4_PREFIX | 0x0B000000
SAMPLES = 2_000
FEW = 100
MOST_TRACED = 10_000  # tracemalloc would take minutes for a million


class Anywhere:
    """A host that has every address, and a process that may do everything."""

    def is_local_address(self, address: int, device: int) -> bool:
        """It has."""
        return True

    def has_interface(self, index: int) -> bool:
        """There is."""
        return True

    def capable(self, capability: int) -> bool:
        """It may."""
        return True


def fill(size: int) -> SocketTable:
    """A table with one listener on port 80 and `size` connections of it."""
    table = SocketTable(IPPROTO_TCP, Settings())
    listener = table.open(AF_INET, 0)
    assert bind.bind(table, listener, SERVER, 80, Anywhere(), Random(1))
    assert bind.listen(table, listener, Random(1))
    for number in range(size):
        child = table.child(listener, SERVER, CLIENTS + number // 50_000, 1024 + number % 50_000, 0)
        table.inherit_port(listener, child)
        child.state = ESTABLISHED
    return table


def measure(size: int) -> None:
    """Print a line for one size."""
    gc.disable()
    before = resident()
    if size <= MOST_TRACED:
        tracemalloc.start()
    table = fill(size)
    memory = (tracemalloc.get_traced_memory()[0] if size <= MOST_TRACED else resident() - before) // size
    tracemalloc.stop()
    gc.enable()
    gc.freeze()
    random = Random(2)
    few = random.sample(range(size), FEW)
    same = median(_lookup(table, few) for _ in range(SAMPLES // FEW))
    anywhere = _lookup(table, random.choices(range(size), k=SAMPLES))
    print(
        f"{size:>9} sockets: lookup {same:5.2f} us ({anywhere:5.2f} where memory is cold)"
        f"   bind {_bind(table, random):5.2f} us   {memory} bytes per row of the table",
        flush=True,
    )


def _lookup(table: SocketTable, rows: list[int]) -> float:
    """Microseconds per lookup of these connections, one after the other."""
    peers = [(CLIENTS + row // 50_000, 1024 + row % 50_000) for row in rows]
    begin = perf_counter_ns()
    for source, port in peers:
        found = lookup.tcp(table, source, port, SERVER, 80, 1)
    spent = perf_counter_ns() - begin
    assert found is not None
    assert found.rport == port
    return spent / len(rows) / 1000


def _bind(table: SocketTable, random: Random) -> float:
    times = []
    here = Anywhere()
    for number in range(SAMPLES):
        entry = table.open(AF_INET, 0)
        begin = perf_counter_ns()
        allowed = bind.bind(table, entry, SERVER, 2_000 + number, here, random)
        times.append(perf_counter_ns() - begin)
        assert allowed
        table.remove(entry)
    return median(times) / 1000


def main() -> None:
    """One size in this process, several in one each."""
    sizes = [int(word) for word in sys.argv[1:]] or [100, 10_000, 1_000_000]
    if len(sizes) == 1:
        measure(sizes[0])
        return
    print("\nthe socket table")
    for size in sizes:
        subprocess.run([sys.executable, "-m", "benchmarks.tables", str(size)], check=True)


if __name__ == "__main__":
    main()
