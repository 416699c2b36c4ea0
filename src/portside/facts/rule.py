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
EGRESS: Final = "egress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One condition of a rule: all of a rule's matches must hold.

    `key` is what is looked at, and `values` are those of which one must be there:

    * names: `iif`, `oif` (interfaces, a trailing `*` for any ending), `state` (`new`, `established`, `related`,
      `invalid`, `untracked`), `family` (`ip`, `ip6`), `ct_status` (`dnat`, `snat`, `confirmed` ...), `direction`
      (`original`, `reply`), `saddr_type`, `daddr_type` (`local`, `unicast`, `broadcast`, `multicast`: what the address
      is to this host; with `_iif` or `_oif` behind it: to that interface of it; with `_anywhere`: to any, if it is
      link-local), `packet_type` (`host`, `broadcast`, `multicast`, `other`: to whom it is sent on the link), `owner`
      (`none`: no program sent it), `reverse_path` (`missing`: no route to the source leads out by where the packet came
      in; `exists`);
    * pairs of first and last: `saddr`, `daddr`, `original_saddr`, `original_daddr` (addresses), `proto`, `sport`,
      `dport`, `original_sport`, `original_dport`, `icmp_type`, `icmp_code` (numbers), `uid`, `gid`;
    * pairs of value and mask: `mark`, `tcp_flags`.

    `negated` turns it around. The `original_` ones are those that the connection had before NAT.
    """

    key: str
    values: tuple[str, ...] | tuple[tuple[int, int], ...]
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallRule:
    """A rule of a chain: when its matches hold, its verdict applies.

    `verdict` is `accept`, `drop`, `reject`, `jump`, `goto`, `return`, `continue`, `dnat`, `snat`,
    `masquerade`, `redirect`, `notrack`, `queue`, or `unknown`
    where portside can't read what it decides. `target` is the chain to go to; `reject_with` is `tcp-reset`,
    `port-unreachable`, `admin-prohibited`, `host-unreachable`, `net-unreachable` ...; `to_address` and
    `to_port` are what NAT puts in; `set_mark` is the value that the packet's mark gets, and which bits of it. One
    rule of nft(8) with a map of verdicts is several here, with one handle. `understood` is false when the rule
    holds something that portside cannot read: then what it decides about a packet is not known, unless the packet
    fails one of `matches`. `text` is the rule as its own tool prints it.
    """

    verdict: str = "continue"
    matches: tuple[Match, ...] = ()
    target: str = ""
    reject_with: str = ""
    to_address: tuple[int, int] | None = None  # first and last
    to_port: tuple[int, int] | None = None
    set_mark: tuple[int, int] | None = None  # value, mask
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
