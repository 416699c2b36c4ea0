"""What is true of the packet filter: tables, chains and rules, as `nft list ruleset` shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

INPUT: Final = "input"
OUTPUT: Final = "output"
FORWARD: Final = "forward"
PREROUTING: Final = "prerouting"
POSTROUTING: Final = "postrouting"
INGRESS: Final = "ingress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One condition of a rule: all of a rule's matches must hold.

    `key` is what is looked at: `iif`, `oif` (interface names, a trailing `*` for any ending), `saddr`,
    `daddr` (pairs of first and last address), `proto` (pairs of numbers), `sport`, `dport` (pairs of first
    and last port), `state` (`new`, `established`, `related`, `invalid`, `untracked`), `icmp_type`, `family`,
    `mark`, `uid`. `negated` turns it around.
    """

    key: str
    values: tuple[str, ...] | tuple[tuple[int, int], ...]
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallRule:
    """A rule of a chain: when its matches hold, its verdict applies.

    `verdict` is `accept`, `drop`, `reject`, `jump`, `goto`, `return`, `continue`, `dnat`, `snat`,
    `masquerade`, `redirect` or `queue`. `target` is the chain to go to; `reject_with` is `tcp-reset`,
    `port-unreachable`, `admin-prohibited`, `host-unreachable`, `net-unreachable` ...; `to_address` and
    `to_port` are what NAT puts in. `understood` is false when the rule holds something that portside cannot
    read: then what it decides is not known. `text` is the rule as its own tool prints it.
    """

    verdict: str = "continue"
    matches: tuple[Match, ...] = ()
    target: str = ""
    reject_with: str = ""
    to_address: tuple[int, int] | None = None  # first and last
    to_port: tuple[int, int] | None = None
    understood: bool = True
    text: str = ""
    handle: int = 0
    packets: int | None = None
    octets: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain of rules. A base chain has a `hook`, a `priority` (lower is asked first) and a `policy`; others
    are jumped to."""

    family: str  # ip, ip6, inet, arp, bridge, netdev
    table: str
    name: str
    kind: str = "filter"  # filter, nat, route
    hook: str | None = None
    priority: int = 0
    policy: str = "accept"
    device: str = ""
    rules: tuple[FirewallRule, ...] = ()
