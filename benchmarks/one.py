"""Run one program once, on one side, in a process of its own; print the seconds it took.

    python -m benchmarks.one SIDE PROGRAM [COUNT]
"""

from __future__ import annotations

import sys
from time import perf_counter  # measured outside of the simulated world, on the real clock

from benchmarks.programs import PROGRAMS


def on_threads(name: str, count: int) -> float:
    """Seconds for the program with real threads on real loopback."""
    program, _ = PROGRAMS[name]
    begin = perf_counter()
    program(count)
    return perf_counter() - begin


def on_portside(name: str, count: int) -> float:
    """Seconds for the program on a simulated host, the making and ending of the world included."""
    from portside import Network

    program, _ = PROGRAMS[name]
    network = Network(seed=1)
    network.host("here").spawn(program, count)
    clock = perf_counter
    begin = clock()
    network.run()
    return clock() - begin


SIDES = {"threads": on_threads, "portside": on_portside}


def main() -> None:
    """Parse, warm up, measure, print."""
    side, name = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else PROGRAMS[name][1]
    SIDES[side](name, max(count // 20, 10))
    print(SIDES[side](name, count))


if __name__ == "__main__":
    main()
