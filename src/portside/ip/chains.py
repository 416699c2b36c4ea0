"""The chains of a packet filter before any packet comes: what can be read of them, and which of them do nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from portside.facts.rule import EGRESS, INGRESS, Chain, FirewallRule, Match
from portside.ip.conditions import NEEDS_TRACKING
from portside.ip.interface import Interface

OF_FRAMES: Final = frozenset({
    "iif", "oif", "family", "saddr", "daddr", "proto", "sport", "dport", "tcp_flags", "icmp_type", "icmp_code",
})  # fmt: skip
"""What a rule may ask of a frame, as it stands in its headers."""
STATUSES: Final = frozenset({"snat", "dnat", "seen-reply", "confirmed"})
"""The parts of a connection's status that are kept."""

Name = tuple[str, str, str]
"""A chain by its family, its table and its name."""


def needs_tracking(chain: Chain) -> bool:
    """Whether connections have to be followed for a chain."""
    return chain.kind == "nat" or any(match.key in NEEDS_TRACKING for rule in chain.rules for match in rule.matches)


def sees_frames(chain: Chain) -> bool:
    """Whether a chain hangs on a device or a bridge, below IP."""
    return chain.family in ("netdev", "bridge") or chain.hook in (INGRESS, EGRESS)


def is_of(chain: Chain, device: Interface) -> bool:
    """Whether a chain hangs on a device: it may name several, and all that begin alike."""
    return any(
        device.name.startswith(name[:-1]) if name.endswith("*") else device.name == name
        for name in chain.device.split()
    )


def as_frames(chain: Chain) -> Chain:
    """A chain that sees frames, where what is known only above them can't be read."""
    if not sees_frames(chain):
        return chain
    return replace(chain, rules=tuple(
        rule if all(match.key in OF_FRAMES for match in rule.matches) else
        replace(rule, matches=tuple(match for match in rule.matches if match.key in OF_FRAMES), understood=False)
        for rule in chain.rules
    ))  # fmt: skip


def answerable(chain: Chain) -> Chain:
    """A chain, where conditions about what a host does not know can't be read."""
    if not any(_is_unknown(match) for rule in chain.rules for match in rule.matches):
        return chain
    return replace(chain, rules=tuple(map(_answerable_rule, chain.rules)))


def _answerable_rule(rule: FirewallRule) -> FirewallRule:
    kept = tuple(match for match in rule.matches if not _is_unknown(match))
    return rule if kept == rule.matches else replace(rule, matches=kept, understood=False)


def _is_unknown(match: Match) -> bool:
    """Whether it asks for the group of whoever sends, or for a connection's status that is not kept."""
    return match.key == "gid" or (match.key == "ct_status" and not STATUSES.issuperset(map(str, match.values)))


def is_idle(rule: FirewallRule, chain: Chain, idle: frozenset[Name]) -> bool:
    """Whether a rule changes nothing, may it hold or not: it counts, logs, or jumps to where that is all.

    Args: idle: the chains that are known to do nothing.
    """
    if rule.verdict == "jump":
        return (chain.family, chain.table, rule.target) in idle and rule.set_mark is None
    return rule.verdict == "continue" and rule.understood and rule.set_mark is None


def idle(chains: Iterable[Chain]) -> frozenset[Name]:
    """The chains of which no rule changes anything."""
    by_name = {(chain.family, chain.table, chain.name): chain for chain in chains}
    found: frozenset[Name] = frozenset()
    while True:
        more = frozenset(
            name
            for name, chain in by_name.items()
            if all(_only_returns(rule) or is_idle(rule, chain, found) for rule in chain.rules)
        )
        if more == found:
            return found
        found = more


def _only_returns(rule: FirewallRule) -> bool:
    return rule.verdict == "return" and rule.set_mark is None
