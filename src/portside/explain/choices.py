"""What the facts leave open about a connection: it is tried in every way."""

from __future__ import annotations

from portside.facts.rule import Chain, FirewallRule
from portside.ip.policy import Flow
from portside.ip.route import RouteEntry


class Choices:
    """What the facts leave open, decided one way or the other; `explore` goes through all ways.

    `made` has the decisions of this run in the order in which they came up: what it is about, what was chosen, how many
    there were to choose from.
    """

    def __init__(self, script: tuple[int, ...] = ()) -> None:
        self.script = script
        self.made: list[tuple[object, int, int]] = []
        self.dark: list[object] = []  # beyond these nothing is known
        self._known: dict[tuple[int, Flow], int] = {}

    def choose(self, about: object, count: int, flow: Flow = ()) -> int:
        """One of `count`; the same for the same thing, and the same flow where it counts, within one run."""
        key = id(about), flow
        known = self._known.get(key)
        if known is not None and known < count:
            return known
        place = len(self.made)
        chosen = self.script[place] if place < len(self.script) else 0
        self.made.append((about, chosen, count))
        self._known[key] = chosen
        return chosen

    # -- ip.ruleset.Doubts, ip.policy.Ways --

    def holds(self, rule: FirewallRule, chain: Chain) -> bool:
        """Whether a rule holds that can't be read whole."""
        return self.choose(rule, 2) == 1

    def which(self, rule: FirewallRule, count: int) -> int:
        """Which of a range of addresses NAT takes: of many, the ends stand for all."""
        return (0, count - 1)[self.choose(rule, 2)]

    def unforeseen(self, about: object) -> None:
        """Something happens that is not modelled: the attempt's end is not known."""
        self.dark.append(about)

    def way(self, entry: RouteEntry, flow: Flow, count: int) -> int:
        """Which of several ways the packets of a flow take."""
        return self.choose(entry, count, flow)
