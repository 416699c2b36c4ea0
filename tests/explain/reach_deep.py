"""`python -m tests.explain.reach_deep --machines 40 --seed 1`: from where listeners are said to be reached, and tried.

A server with two networks, a client on each, random listeners and a random packet filter, in namespaces of their own.
Each client, and the server itself, calls every address and port; the doors of `explain.exposure` must say what becomes
of it. The exit code is 1 if one of them was wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.explain import machines
from tests.explain.parts import Listener, Machine, Space, Target
from tests.explain.real import run
from tests.live.apart import apart

from portside.addr import ip
from portside.addr.abi import IPPROTO_TCP
from portside.explain.exposure import PARTLY, Door, exposures
from portside.explain.packet_filter import DIVERTED, DROPPED, REJECTED, UNKNOWN
from portside.facts.snapshot import Snapshot

SOURCES = {1: ("10.0.1.2", "fd00:1::2"), 2: ("10.0.2.2", "fd00:2::2")}


def generate(seed: int) -> Machine:
    """A machine from a seed: the server is the first of its namespaces."""
    draw = random.Random(seed)
    machine = Machine(seed)
    machine.spaces = [Space(number) for number in range(3)]
    server = machine.spaces[0]
    for client in machine.spaces[1:]:
        machines._pair(machine, server, client)
        net = client.number
        for space, host in ((server, 1), (client, 2)):
            for address in (f"10.0.{net}.{host}/24", f"fd00:{net}::{host}/64"):
                space.commands.append(
                    f"address add {address} dev {space.links[-1]}{' nodad' if ':' in address else ''}"
                )
                space.addresses.append((address.split("/")[0], space.links[-1]))
        client.commands += [f"route add default via 10.0.{net}.1", f"route add default via fd00:{net}::1"]
    machines._listeners(server, draw)
    server.listeners = [each for each in server.listeners if each.kind != "full" and not each.udp]
    server.listeners += [Listener("dual", 7000), Listener("v4", 7001)]
    if draw.random() < 0.9:
        machines._filter(machine, server, draw)
    ports = sorted({listener.port for listener in server.listeners})
    addresses = [address for address, _ in server.addresses]
    for space in machine.spaces:
        places = [*addresses, "127.0.0.1", "::1"] if space is server else addresses
        machine.targets += [Target(space.number, address, port) for address in places for port in ports]
    return machine


def doors_of(facts: Snapshot) -> dict[tuple[str, int, int], list[tuple[int, Door]]]:
    """By interface, address and port: the listeners with a door there."""
    found: dict[tuple[str, int, int], list[tuple[int, Door]]] = {}
    for each in exposures(facts):
        for door in each.doors if each.socket.proto == IPPROTO_TCP else ():
            found.setdefault((door.interface, door.address, each.socket.lport), []).append((each.socket.inode, door))
    return found


def said(door: Door, target: Target) -> str:
    """What the door says to this caller: PARTLY is resolved by its address."""
    if door.verdict != PARTLY:
        return door.verdict
    source = ip.parse(SOURCES[target.space][":" in target.address]) if target.space else door.address
    return "open" if any(first <= source <= last for first, last in door.sources) else "shut"


def compare(seed: int) -> tuple[Counter[str], list[str]]:
    """Build a machine, and hold every attempt against its door."""
    machine = generate(seed)
    facts, results = apart(run, machine)
    doors = doors_of(facts)
    counts: Counter[str] = Counter()
    wrong = []
    for target, outcome, inode in results:
        interface = "lo" if not target.space else machine.spaces[0].links[target.space - 1]
        here = doors.get((interface, ip.parse(target.address), target.port), [])
        words = {said(door, target) for _, door in here} or {"none"}
        counts[f"{'/'.join(sorted(words))} {outcome}"] += 1
        if words & {UNKNOWN, DIVERTED} or ("nat" in machine.spaces[0].ruleset and words != {"open"}):
            continue  # a redirection may make of it what it likes
        if words == {"open"}:
            right = outcome == "accepted" and inode in {number for number, _ in here}
        elif words & {DROPPED, REJECTED, "shut", "none"}:
            right = outcome != "accepted" or not inode  # connected for the client alone: the last ACK was dropped
        else:
            right = False
        if not right:
            wrong.append(f"seed {seed}: {target} by {interface}: said {words}, met {outcome} {inode}\n"
                         f"{[door for _, door in here][:1]}\n{machine.spaces[0].ruleset}")  # fmt: skip
    return counts, wrong


def several(count: int, seed: int) -> list[tuple[Counter[str], list[str]]]:
    """Compare so many machines. Most of the time is spent waiting for what times out: several wait at once."""
    with ProcessPoolExecutor(8, mp_context=get_context("spawn")) as pool:
        return list(pool.map(compare, range(seed * 100_003, seed * 100_003 + count)))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for more, different in several(options.machines, options.seed):
        counts += more
        wrong += different
    print(json.dumps(dict(counts)))
    print(f"{len(wrong)} wrong" + (f", such as {min(wrong, key=len)}" if wrong else ""))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
