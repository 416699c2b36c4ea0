"""The packet filter of a simulated host as facts: what `nft list ruleset` would show of it."""

from __future__ import annotations

from typing import Final

from portside.addr.abi import IPPROTO_ICMPV6
from portside.addr.ip import bits_of, text
from portside.facts import rule as facts
from portside.facts.rule import FirewallRule, Match
from portside.ip import firewall
from portside.ip.conntrack import STATE_NAMES
from portside.ip.firewall import ACCEPT, DROP, FilterRule, Firewall, Prefix

FAMILY_NAMES: Final = {number: name for name, number in firewall.FAMILIES.items()}
TABLE: Final = "filter"
DISCOVERY: Final = FirewallRule(
    verdict="accept",
    matches=(Match(key="proto", values=((IPPROTO_ICMPV6,) * 2,)), Match(key="icmp_type", values=((133, 137),))),
    text="icmpv6 type 133-137 accept",
)
"""Neighbour discovery passes: the filter of a simulated host does not see it."""


def chains(filter: Firewall) -> tuple[facts.Chain, ...]:
    """The chains that have anything to say; none while the filter is empty."""
    return tuple(
        facts.Chain(
            family="inet",
            table=TABLE,
            name=hook,
            hook=hook,
            policy=chain.policy,
            rules=(DISCOVERY, *map(_rule, chain.rules)),
        )
        for hook, chain in filter.chains.items()
        if chain.rules or chain.policy != ACCEPT
    )


def _rule(rule: FilterRule) -> FirewallRule:
    rejects = rule.verdict not in (ACCEPT, DROP)
    return FirewallRule(
        verdict="reject" if rejects else rule.verdict,
        reject_with=rule.verdict if rejects else "",
        matches=_matches(rule),
        text=_text(rule),
        packets=rule.packets,
    )


def _matches(rule: FilterRule) -> tuple[Match, ...]:
    found = [
        Match(key="iif", values=(rule.iif,)) if rule.iif else None,
        Match(key="oif", values=(rule.oif,)) if rule.oif else None,
        Match(key="family", values=(FAMILY_NAMES[rule.family],)) if rule.family else None,
        Match(key="saddr", values=tuple(map(_ends, rule.src))) if rule.src else None,
        Match(key="daddr", values=tuple(map(_ends, rule.dst))) if rule.dst else None,
        Match(key="proto", values=((rule.proto, rule.proto),)) if rule.proto else None,
        Match(key="sport", values=rule.sports) if rule.sports else None,
        Match(key="dport", values=rule.dports) if rule.dports else None,
        Match(key="state", values=_states(rule)) if rule.states else None,
        Match(key="icmp_type", values=((rule.icmp_type,) * 2,)) if rule.icmp_type >= 0 else None,
    ]
    return tuple(match for match in found if match is not None)


def _ends(prefix: Prefix) -> tuple[int, int]:
    """The first and the last address of a prefix."""
    first, length = prefix
    return first, first | (1 << bits_of(first) - length) - 1


def _states(rule: FilterRule) -> tuple[str, ...]:
    return tuple(name for name, bit in STATE_NAMES.items() if rule.states & bit)


_WORDS: Final = {
    "iif": "iifname", "oif": "oifname", "family": "meta nfproto", "saddr": "saddr", "daddr": "daddr",
    "proto": "meta l4proto", "sport": "th sport", "dport": "th dport", "state": "ct state", "icmp_type": "icmp type",
}  # fmt: skip


def _text(rule: FilterRule) -> str:
    """The rule about as nft(8) prints it."""
    words = []
    for match in _matches(rule):
        values = []
        for value in match.values:
            if isinstance(value, tuple):
                first, last = (text(each) if "addr" in match.key else str(each) for each in value)
                values.append(first if first == last else f"{first}-{last}")
            else:
                values.append(str(value))
        words += [_WORDS[match.key], ", ".join(values)]
    words.append(rule.verdict if rule.verdict in (ACCEPT, DROP) else f"reject with {rule.verdict}")
    return " ".join(words) + (f' comment "{rule.comment}"' if rule.comment else "")
