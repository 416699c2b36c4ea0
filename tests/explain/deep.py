"""Prediction against reality on many machines: `python -m tests.explain.deep --machines 500 --seed 1`."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.explain.compare import compare
from tests.explain.machines import XTABLES_FROM, generate
from tests.live.apart import lacking


def one(seed: int, targets: int) -> tuple[int, int, int, int, list[str], dict[str, int]]:
    """The comparison of one machine, in words."""
    try:
        found = compare(seed, targets)
    except BaseException:
        return seed, 0, 0, 0, [f"seed {seed}:\n{traceback.format_exc()}"], {}
    differences = [str(each) for each in found.differences]
    return seed, found.compared, found.unknown, found.disturbed, differences, found.outcomes


def describe(seed: int) -> None:
    """Print a machine."""
    machine = generate(seed)
    print(f"seed {seed}: {machine.pairs}")
    for space in machine.spaces:
        print(f"-- s{space.number} {space.sysctls}", *space.commands, sep="\n   ")
        print(*space.listeners, space.ruleset, space.iptables, space.ip6tables, sep="\n   ")


def main() -> int:
    """Compare, and tell of each difference. The exit status says whether there was one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--machines", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--targets", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=3 * (os.cpu_count() or 1))
    parser.add_argument("--describe", action="store_true", help="print the machines of the seeds, and do nothing else")
    parser.add_argument("--show", type=int, default=3, help="differences to show of a machine")
    options = parser.parse_args()
    if options.describe:
        for seed in range(options.seed, options.seed + options.machines):
            describe(seed)
        return 0
    if options.seed + options.machines > XTABLES_FROM and lacking("iptables-nft"):
        parser.error(f"for machines from seed {XTABLES_FROM} on: {lacking('iptables-nft')}")
    began = time.monotonic()
    compared = unknown = disturbed = wrong = machines = 0
    outcomes: Counter[str] = Counter()
    with ProcessPoolExecutor(options.jobs) as pool:
        seeds = range(options.seed, options.seed + options.machines)
        for seed, count, open_, apart, differences, ends in pool.map(one, seeds, [options.targets] * len(seeds)):
            compared, unknown, wrong = compared + count, unknown + open_, wrong + len(differences)
            disturbed += apart
            outcomes.update(ends)
            machines += bool(differences)
            for difference in differences[: options.show]:
                print(difference, flush=True)
            if len(differences) > options.show:
                print(f"   ... and {len(differences) - options.show} more of seed {seed}")
    seconds = time.monotonic() - began
    print(f"{options.machines} machines in {seconds:.0f} s, {compared} attempts, {wrong} wrong (on {machines})")
    print(f"{unknown} not foreseeable, {disturbed} disturbed by others, {dict(outcomes.most_common())}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
