"""Prediction against reality on many machines: `python -m tests.explain.deep --machines 500 --seed 1`."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.explain.compare import Comparison, compare
from tests.explain.machines import XTABLES_FROM, generate
from tests.live.apart import lacking


def one(seed: int, targets: int) -> Comparison:
    """The comparison of one machine; one that could not be made is a difference."""
    try:
        return compare(seed, targets)
    except Exception:
        return Comparison(differences=[f"seed {seed}:\n{traceback.format_exc()}"])


def describe(seed: int) -> None:
    """Print a machine."""
    machine = generate(seed)
    print(f"seed {seed}: {machine.pairs}")
    for space in machine.spaces:
        print(f"-- s{space.number} {space.sysctls}", *space.commands, sep="\n   ")
        print(*space.listeners, space.ruleset, space.iptables, space.ip6tables, sep="\n   ")


def show(found: Comparison, most: int, disturbed: bool) -> None:
    """Print what was wrong of one machine."""
    for difference in found.differences[:most]:
        print(difference, flush=True)
    if len(found.differences) > most:
        print(f"   ... and {len(found.differences) - most} more", flush=True)
    for each in found.disturbed if disturbed else ():
        print(f"disturbed: {each}", flush=True)


def main() -> int:
    """Compare, and tell of each difference. The exit status says whether there was one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--machines", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--targets", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=3 * (os.cpu_count() or 1))
    parser.add_argument("--describe", action="store_true", help="print the machines of the seeds, and do nothing else")
    parser.add_argument("--show", type=int, default=3, help="differences to show of a machine")
    parser.add_argument("--disturbed", action="store_true", help="show what went otherwise among other attempts only")
    options = parser.parse_args()
    if options.describe:
        for seed in range(options.seed, options.seed + options.machines):
            describe(seed)
        return 0
    if options.seed + options.machines > XTABLES_FROM and lacking("iptables-nft"):
        parser.error(f"for machines from seed {XTABLES_FROM} on: {lacking('iptables-nft')}")
    began = time.monotonic()
    compared = wrong = disturbed = machines = 0
    outcomes: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    with ProcessPoolExecutor(options.jobs) as pool:
        seeds = range(options.seed, options.seed + options.machines)
        for found in pool.map(one, seeds, [options.targets] * len(seeds)):
            compared, wrong = compared + found.compared, wrong + len(found.differences)
            disturbed += len(found.disturbed)
            outcomes += found.outcomes
            unknown += found.unknown
            machines += bool(found.differences)
            show(found, options.show, options.disturbed)
    print(f"{options.machines} machines in {time.monotonic() - began:.0f} s, {compared} attempts, {wrong} wrong "
          f"(on {machines})")  # fmt: skip
    for number, what in ((unknown.total(), "not foreseeable"), (disturbed, "disturbed by others")):
        print(f"{number} {what} ({100 * number / max(compared, 1):.2f} %)")
    for what, number in unknown.most_common(12):
        print(f"   {number} for {what}")
    print(dict(outcomes.most_common()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
