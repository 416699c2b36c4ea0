"""All benchmarks, one command, one run: `python -m benchmarks`; `--help` tells how to make it longer or shorter.

Sides alternate within each round, so that what else the machine does meets them alike. A ratio is theirs by ours: above
one, portside is ahead. It is given as the median of the rounds, with the least and the greatest.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.util import find_spec
from statistics import median

from benchmarks.one import PROGRAMS, SIDES

KINDS = {"blocking": "blocking sockets and threads", "aio": "asyncio streams"}
UNITS = {
    "echo": "us per round trip of 64 bytes", "connect": "us per connection", "bulk": "us per 64 KiB",
    "clients": "us per client, all at once, ten round trips each",
}  # fmt: skip
MODULES = {"uvloop": "uvloop", "async-solipsism": "async_solipsism", "simloom": "simloom"}


def measure(kind: str, side: str, name: str) -> float:
    """Microseconds per operation, in a fresh process."""
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.one", kind, side, name], check=True, capture_output=True, text=True
    )
    return float(answer.stdout) / PROGRAMS[kind][name][1] * 1e6


def installed(kind: str) -> list[str]:
    """The sides that can be measured here."""
    return [side for side in SIDES[kind] if side not in MODULES or find_spec(MODULES[side]) is not None]


def compare(kind: str, name: str, rounds: int) -> None:
    """Measure every side of one program and print a line per side."""
    sides = installed(kind)
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            times[side].append(measure(kind, side, name))
    print(f"\n{KINDS[kind]}, {name}: {UNITS[name]}")
    for side in sides:
        ratios = [theirs / ours for theirs, ours in zip(times[side], times["portside"], strict=True)]
        spread = "" if side == "portside" else (
            f"   portside is {median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})"
        )  # fmt: skip
        print(f"  {side:15} {median(times[side]):9.2f}  ({min(times[side]):.2f} to {max(times[side]):.2f}){spread}")


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each side runs (default 5)")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS),
                        help="which programs (default both; none: leave them out)")  # fmt: skip
    parser.add_argument("--hosts", type=int, nargs="*", default=[1_000, 10_000],
                        help="other hosts that sleep or wait (default 1000 10000; none: leave it out)")  # fmt: skip
    parser.add_argument("--tables", type=int, nargs="*", default=[100, 10_000, 1_000_000],
                        help="sizes of the socket table (default 100 10000 1000000; none: leave it out)")  # fmt: skip
    parser.add_argument("--memory", type=int, nargs="*", default=[100, 10_000],
                        help="idle connections (default 100 10000; none: leave it out)")  # fmt: skip
    arguments = parser.parse_args()
    for kind in arguments.kinds:
        for name in PROGRAMS[kind]:
            compare(kind, name, arguments.rounds)
        for side in set(SIDES[kind]) - set(installed(kind)):
            print(f"  {side} is not installed here: pip install '.[bench]'")
    if arguments.hosts:
        hosts = map(str, arguments.hosts)
        subprocess.run(
            [sys.executable, "-m", "benchmarks.hosts", "--rounds", str(arguments.rounds), *hosts], check=True
        )
    if arguments.tables:
        subprocess.run([sys.executable, "-m", "benchmarks.tables", *map(str, arguments.tables)], check=True)
    if arguments.memory:
        subprocess.run([sys.executable, "-m", "benchmarks.memory", *map(str, arguments.memory)], check=True)


if __name__ == "__main__":
    main()
