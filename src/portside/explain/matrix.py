"""Listeners against networks: who is reached from where, as a table with a column for each interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from portside.addr import ip
from portside.explain.exposure import PARTLY, Door
from portside.explain.listening import Listener
from portside.explain.packet_filter import DIVERTED, DROPPED, OPEN, REJECTED, UNKNOWN
from portside.facts.interface import IFF_LOOPBACK, IFF_UP, Interface
from portside.facts.snapshot import Snapshot

WORDS: Final = {
    OPEN: "yes", PARTLY: "some", DROPPED: "dropped", REJECTED: "rejected", DIVERTED: "elsewhere", UNKNOWN: "unknown",
}  # fmt: skip
"""What a cell says, from the best to the worst of its doors."""
NO: Final = "no"
BY_ROUTE: Final = "by route"
"""Nobody on that network has the address on its link: only whoever sends it by way of this machine reaches it."""


def matrix(rows: Sequence[Listener], snapshot: Snapshot) -> tuple[list[str], list[list[str]]]:
    """Heading and cells: a row for each listener, a column for this machine and for each interface that is up.

    Args: rows: of one network namespace. snapshot: of that namespace.
    """
    outer = [each for each in snapshot.interfaces if each.flags & IFF_UP and not each.flags & IFF_LOOPBACK]
    heading = ["PROTO", "ADDRESS", "this machine", *(_title(each) for each in outer)]
    cells = []
    for row in rows:
        if not snapshot.entered:
            cells.append([row.protocol, row.address, WORDS[UNKNOWN]])
            continue
        doors = row.exposure.doors
        here = [_cell([door for door in doors if door.interface == name]) for name in ("lo", *(e.name for e in outer))]
        cells.append([row.protocol, row.address, *here])
    return heading, cells


def _title(interface: Interface) -> str:
    networks = {
        f"{ip.text(ip.prefix_of(each.address, each.prefix_length))}/{each.prefix_length}"
        for each in interface.addresses
        if not ip.needs_scope(each.address)
    }
    return " ".join([interface.name, *sorted(networks)])


def _cell(doors: list[Door]) -> str:
    direct = [door.verdict for door in doors if door.direct]
    for verdict, word in WORDS.items():
        if verdict in direct:
            return word
    return BY_ROUTE if any(door.passes for door in doors) else NO
