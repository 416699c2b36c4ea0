"""Run one program once, on one side, in a process of its own; print the seconds it took.

    python -m benchmarks.one KIND SIDE PROGRAM [COUNT]

KIND is blocking or aio: `benchmarks/blocking.py`, `benchmarks/aio.py`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from time import perf_counter  # measured outside of the simulated world, on the real clock

from benchmarks import aio, blocking

Run = Callable[[str, int], float]


def _timed(call: Callable[[], object]) -> float:
    clock = perf_counter
    begin = clock()
    call()
    return clock() - begin


def on_threads(name: str, count: int) -> float:
    """With real threads on real loopback."""
    program, _ = blocking.PROGRAMS[name]
    return _timed(lambda: program(count))


def on_portside(name: str, count: int) -> float:
    """On a simulated host, the making and ending of the world included."""
    program, _ = blocking.PROGRAMS[name]
    return _simulated(lambda: program(count))


def on_asyncio(name: str, count: int) -> float:
    """With asyncio's own loop on real loopback."""
    program, _ = aio.PROGRAMS[name]
    return _timed(lambda: asyncio.run(program(count)))


def on_uvloop(name: str, count: int) -> float:
    """With uvloop on real loopback."""
    import uvloop

    program, _ = aio.PROGRAMS[name]
    return _timed(lambda: uvloop.run(program(count)))


def on_solipsism(name: str, count: int) -> float:
    """With the loop of async-solipsism: sockets that exist in memory, without a network."""
    import async_solipsism

    program, _ = aio.PROGRAMS[name]

    def run() -> None:
        loop = async_solipsism.EventLoop()
        try:
            loop.run_until_complete(program(count))
        finally:
            loop.close()

    return _timed(run)


def on_simloom(name: str, count: int) -> float:
    """In a world of simloom: streams between simulated hosts, in one order of the scheduler."""
    import simloom

    program, _ = aio.PROGRAMS[name]
    return _timed(lambda: simloom.run(lambda: program(count), seed=1))


def asyncio_on_portside(name: str, count: int) -> float:
    """With asyncio's own loop on a simulated host."""
    program, _ = aio.PROGRAMS[name]
    return _simulated(lambda: asyncio.run(program(count)))


def _simulated(call: Callable[[], object]) -> float:
    from portside import Network

    network = Network(seed=1)
    network.host("here", sysctls={"net.core.somaxconn": 4096}).spawn(call)
    return _timed(network.run)


SIDES: dict[str, dict[str, Run]] = {
    "blocking": {"threads": on_threads, "portside": on_portside},
    "aio": {
        "asyncio": on_asyncio, "uvloop": on_uvloop, "async-solipsism": on_solipsism, "simloom": on_simloom,
        "portside": asyncio_on_portside,
    },
}  # fmt: skip
PROGRAMS = {"blocking": blocking.PROGRAMS, "aio": aio.PROGRAMS}


def main() -> None:
    """Parse, warm up, measure, print."""
    kind, side, name = sys.argv[1:4]
    count = int(sys.argv[4]) if len(sys.argv) > 4 else PROGRAMS[kind][name][1]
    run = SIDES[kind][side]
    run(name, max(count // 20, 10))
    print(run(name, count))


if __name__ == "__main__":
    main()
