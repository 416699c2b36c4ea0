"""What the facts leave open about a connection: it is tried in every way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from portside.explain.attempt import Attempt
from portside.facts.rule import Chain, FirewallRule
from portside.ip.policy import Flow
from portside.ip.route import RouteEntry
from portside.wire.packet import ACK, FIN, RST, SYN, Fragment, IcmpMessage, Packet, TcpSegment

MOST_RUNS: Final = 64
MOST_ADDRESSES: Final = 16


class Choices:
    """What the facts leave open, decided one way or the other; `in_every_way` goes through all ways.

    `made` has the decisions of this run in the order in which they came up: what it is about, what was chosen, how many
    there were to choose from. `by_packet`: a rule that can't be read may hold for one packet and not for another.
    """

    def __init__(self, script: tuple[int, ...] = (), by_packet: bool = False) -> None:
        self.script = script
        self.by_packet = by_packet
        self.made: list[tuple[object, int, int]] = []
        self.dark: list[object] = []  # beyond these nothing is known
        self._known: dict[tuple[int, str, Flow], int] = {}

    def choose(self, about: object, count: int, what: str = "", flow: Flow = ()) -> int:
        """One of `count`; the same for the same question about a thing, and the same flow where it counts."""
        key = id(about), what, flow
        known = self._known.get(key)
        if known is not None and known < count:
            return known
        place = len(self.made)
        chosen = self.script[place] if place < len(self.script) else 0
        self.made.append((about, chosen, count))
        self._known[key] = chosen
        return chosen

    # -- ip.ruleset.Doubts, ip.policy.Ways --

    def holds(self, rule: FirewallRule, chain: Chain, packet: Packet) -> bool:
        """Whether a rule holds that can't be read whole."""
        return self.choose(rule, 2, "holds", _kind_of(packet) if self.by_packet else ()) == 1

    def which(self, rule: FirewallRule, count: int, between: tuple[int, int]) -> int:
        """Which of a range of addresses NAT takes, by a hash of those that it finds: of a great many, not foreseen."""
        if count > MOST_ADDRESSES:
            self.unforeseen(rule)
        return self.choose(rule, min(count, MOST_ADDRESSES), "which", between)

    def unforeseen(self, about: object) -> None:
        """Something happens that is not modelled: the attempt's end is not known."""
        self.dark.append(about)

    def way(self, entry: RouteEntry, flow: Flow, count: int) -> int:
        """Which of several ways the packets of a flow take."""
        return self.choose(entry, count, "way", flow)


def _kind_of(packet: Packet) -> Flow:
    """What tells the packets of one attempt apart: a SYN, what answers it, an ICMP error."""
    whole = packet.whole if isinstance(packet, Fragment) else packet
    if isinstance(whole, TcpSegment):
        return whole.proto, whole.flags & (SYN | ACK | RST | FIN)
    return (whole.proto, whole.type) if isinstance(whole, IcmpMessage) else (whole.proto,)


@dataclass
class Explored:
    """What came of all ways: the ends that differ, and what is left open. `complete`: every way was tried."""

    ends: list[Attempt] = field(default_factory=list)
    open: list[object] = field(default_factory=list)
    complete: bool = False


def in_every_way(attempt: Callable[[Choices], Attempt], by_packet: bool = False) -> Explored:
    """Make an attempt in all ways that the facts leave open, each as a run of its own."""
    scripts: list[tuple[int, ...]] = [()]
    ends: dict[object, Attempt] = {}
    open_: dict[int, object] = {}
    runs = 0
    while scripts and runs < MOST_RUNS:
        script = scripts.pop()
        runs += 1
        choices = Choices(script, by_packet)
        end = attempt(choices)
        open_ |= {id(about): about for about in choices.dark}
        ends.setdefault((end.outcome, end.errno, end.by), end)
        taken = tuple(chosen for _, chosen, _ in choices.made)
        for place in range(len(script), len(choices.made)):
            about, _, count = choices.made[place]
            open_[id(about)] = about
            scripts += [(*taken[:place], other) for other in range(1, count)]
    return Explored(list(ends.values()), list(open_.values()), not scripts)
