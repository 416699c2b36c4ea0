"""The packet filter of a host: three chains of rules (nft(8), iptables(8)).

Hooks are where Linux has them: `input` for what is delivered to this host, `output` for what its sockets send,
`forward` for what it passes on as a router. A packet to an address of the same host passes `output` with `lo` as the
outgoing interface, and then `input` with `lo` as the incoming one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from portside.wire.packet import Packet

INPUT: Final = "input"
OUTPUT: Final = "output"
FORWARD: Final = "forward"

ACCEPT: Final = "accept"
DROP: Final = "drop"

# What a reject sends back; the names of nft(8), each for IPv4 and IPv6 alike ("icmpx").
REJECT_PORT: Final = "port-unreachable"
REJECT_HOST: Final = "host-unreachable"
REJECT_NET: Final = "net-unreachable"
REJECT_PROTOCOL: Final = "prot-unreachable"
REJECT_ADMIN: Final = "admin-prohibited"
REJECT_NO_ROUTE: Final = "no-route"
REJECT_TCP_RESET: Final = "tcp reset"

Prefix = tuple[int, int]
"""An address and a length in bits."""


class FilterRule:
    """One rule: every condition that is given must hold; then `verdict` is what happens.

    `verdict` is ACCEPT, DROP or one of the REJECT_ kinds. `iif` and `oif` are interface names, and a trailing `*`
    matches any rest. `src` and `dst` are prefixes, any of which may match; `sports` and `dports` are (first, last)
    ranges; `states` is a sum of conntrack.NEW, ESTABLISHED, RELATED and INVALID, 0 for any.
    """

    __slots__ = (
        "comment", "dports", "dst", "family", "icmp_type", "iif", "oif", "packets", "proto", "sports", "src", "states",
        "verdict",
    )  # fmt: skip

    def __init__(
        self, verdict: str, *, iif: str = "", oif: str = "", src: Iterable[Prefix] = (), dst: Iterable[Prefix] = (),
        proto: int = 0, sports: Iterable[tuple[int, int]] = (), dports: Iterable[tuple[int, int]] = (),
        states: int = 0, family: int = 0, icmp_type: int = -1, comment: str = "",
    ) -> None:  # fmt: skip
        self.verdict = verdict
        self.iif = iif
        self.oif = oif
        self.src = tuple(src)
        self.dst = tuple(dst)
        self.proto = proto
        self.sports = tuple(sports)
        self.dports = tuple(dports)
        self.states = states
        self.family = family
        self.icmp_type = icmp_type
        self.comment = comment
        self.packets = 0  # how many packets it decided about


class Chain:
    """The rules of one hook in order, and what happens to a packet that none of them decides about."""

    __slots__ = ("hook", "policy", "rules")

    def __init__(self, hook: str) -> None:
        self.hook = hook
        self.policy = ACCEPT
        self.rules: list[FilterRule] = []


class Firewall:
    """The three chains of a host. While `empty`, no packet pays anything for it."""

    def __init__(self) -> None:
        self.input = Chain(INPUT)
        self.output = Chain(OUTPUT)
        self.forward = Chain(FORWARD)
        self.empty = True

    def append(self, hook: str, rule: FilterRule) -> None:
        """Add a rule at the end of a hook's chain (`nft add rule`)."""
        raise NotImplementedError

    def set_policy(self, hook: str, verdict: str) -> None:
        """Set what happens to packets that no rule of the chain decides about: ACCEPT or DROP."""
        raise NotImplementedError

    def flush(self) -> None:
        """Remove all rules and set every policy to accept (`nft flush ruleset`)."""
        raise NotImplementedError

    def replace(self, hook: str, rules: Sequence[FilterRule], policy: str = ACCEPT) -> None:
        """Set a whole chain."""
        raise NotImplementedError

    def decide(self, hook: str, packet: Packet, iif: str, oif: str, state: int) -> tuple[str, FilterRule | None]:
        """What the filter says of a packet: (verdict, the rule that decided; None for the policy). Pure.

        Args: iif, oif: interface names, empty where the hook has none. state: its conntrack state bit.
        """
        raise NotImplementedError
