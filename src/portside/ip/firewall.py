"""The packet filter of a host: three chains of rules (nft(8), iptables(8)).

Hooks are where Linux has them: `input` for what is delivered to this host, `output` for what its sockets
send, `forward` for what it passes on as a router. A packet to an address of the same host passes `output`
with `lo` as the outgoing interface, and then `input` with `lo` as the incoming one. Neighbour discovery is
not filtered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP
from portside.addr.ip import bits_of, is_v4, parse, prefix_of
from portside.facts.rule import FORWARD, INPUT, OUTPUT
from portside.ip.conntrack import STATE_NAMES
from portside.wire.packet import Fragment, IcmpMessage, Packet, TcpSegment, UdpDatagram

ACCEPT: Final = "accept"
DROP: Final = "drop"

# What a reject sends back, for IPv4 and IPv6 alike (nft "icmpx", and the ICMP codes that IPv4 has besides).
PORT_UNREACHABLE: Final = "port-unreachable"
HOST_UNREACHABLE: Final = "host-unreachable"
NET_UNREACHABLE: Final = "net-unreachable"
PROT_UNREACHABLE: Final = "prot-unreachable"
NO_ROUTE: Final = "no-route"
ADMIN_PROHIBITED: Final = "admin-prohibited"
NET_PROHIBITED: Final = "net-prohibited"
HOST_PROHIBITED: Final = "host-prohibited"
TCP_RESET: Final = "tcp-reset"

REJECT_V4: Final = {
    NET_UNREACHABLE: (3, 0), NO_ROUTE: (3, 0), HOST_UNREACHABLE: (3, 1), PROT_UNREACHABLE: (3, 2),
    PORT_UNREACHABLE: (3, 3), NET_PROHIBITED: (3, 9), HOST_PROHIBITED: (3, 10), ADMIN_PROHIBITED: (3, 13),
}  # fmt: skip
"""ICMP type and code (RFC 1812 section 5.2.7.1)."""

REJECT_V6: Final = {
    NET_UNREACHABLE: (1, 0), NO_ROUTE: (1, 0), HOST_UNREACHABLE: (1, 3), PROT_UNREACHABLE: (1, 4),
    PORT_UNREACHABLE: (1, 4), NET_PROHIBITED: (1, 1), HOST_PROHIBITED: (1, 1), ADMIN_PROHIBITED: (1, 1),
}  # fmt: skip
"""ICMPv6 type and code (RFC 4443 section 3.1)."""

REJECT_V6_ALONE: Final = {"addr-unreachable": (1, 3), "policy-fail": (1, 5), "reject-route": (1, 6)}
"""What nft(8) has for IPv6 besides."""

VERDICTS: Final = frozenset({ACCEPT, DROP, TCP_RESET, *REJECT_V4})
PROTOCOLS: Final = {
    "tcp": IPPROTO_TCP, "udp": IPPROTO_UDP, "icmp": IPPROTO_ICMP, "icmpv6": IPPROTO_ICMPV6,
}  # fmt: skip
FAMILIES: Final = {"ip": AF_INET, "ip6": AF_INET6}

Prefix = tuple[int, int]
"""An address and a length in bits."""
Ports = tuple[int, int]
"""First and last port."""


class FilterRule:
    """One rule: when every condition that is given holds, `verdict` is what happens.

    `verdict` is ACCEPT, DROP or the name of a rejection. `iif` and `oif` are interface names; a trailing `*`
    matches any rest. Of `src` and `dst` (prefixes), and of `sports` and `dports` (ranges), any one may match.
    `states` is a sum of conntrack.NEW, ESTABLISHED, RELATED and INVALID, 0 for any; `family` AF_INET,
    AF_INET6 or 0.
    """

    __slots__ = (
        "comment", "dports", "dst", "family", "icmp_type", "iif", "oif", "packets", "proto", "sports", "src",
        "states", "verdict",
    )  # fmt: skip

    def __init__(
        self, verdict: str, *, iif: str = "", oif: str = "", src: Iterable[Prefix] = (),
        dst: Iterable[Prefix] = (), proto: int = 0, sports: Iterable[Ports] = (), dports: Iterable[Ports] = (),
        states: int = 0, family: int = 0, icmp_type: int = -1, comment: str = "",
    ) -> None:  # fmt: skip
        if verdict not in VERDICTS:
            raise ValueError(f"{verdict!r} is not a verdict: one of {', '.join(sorted(VERDICTS))}")
        self.verdict = verdict
        self.iif = iif
        self.oif = oif
        self.src = tuple(src)
        self.dst = tuple(dst)
        # A reset answers TCP only: nft adds the condition by itself.
        self.proto = IPPROTO_TCP if verdict == TCP_RESET else proto
        self.sports = tuple(sports)
        self.dports = tuple(dports)
        self.states = states
        self.family = family
        self.icmp_type = icmp_type
        self.comment = comment
        self.packets = 0  # how many packets it decided about

    def matches(self, packet: Packet, iif: str, oif: str, state: int) -> bool:
        """Whether every condition holds for a packet."""
        if self.proto and packet.proto != self.proto:
            return False
        if self.states and not state & self.states:
            return False
        if (self.iif and not _same_name(self.iif, iif)) or (self.oif and not _same_name(self.oif, oif)):
            return False
        if self.family and (self.family == AF_INET) is not is_v4(packet.src):
            return False
        if (self.src and not _in_any(packet.src, self.src)) or (self.dst and not _in_any(packet.dst, self.dst)):
            return False
        if self.sports or self.dports or self.icmp_type >= 0:
            return self._matches_transport(packet)
        return True

    def _matches_transport(self, packet: Packet) -> bool:
        if isinstance(packet, Fragment):
            if packet.offset:
                return False
            packet = packet.whole
        if isinstance(packet, IcmpMessage):
            return not self.sports and not self.dports and packet.type == self.icmp_type
        if self.icmp_type >= 0 or not isinstance(packet, TcpSegment | UdpDatagram):
            return False
        return _in_range(packet.sport, self.sports) and _in_range(packet.dport, self.dports)

    def __str__(self) -> str:
        return self.comment or self.verdict


def _same_name(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _in_any(address: int, prefixes: tuple[Prefix, ...]) -> bool:
    v4 = is_v4(address)
    for prefix, length in prefixes:
        if v4 is is_v4(prefix) and prefix_of(address, length) == prefix_of(prefix, length):
            return True
    return False


def _in_range(port: int, ranges: tuple[Ports, ...]) -> bool:
    if not ranges:
        return True
    return any(first <= port <= last for first, last in ranges)


class Chain:
    """The rules of one hook in order, and what happens to a packet that none of them decides about.

    `active` is false while the chain lets everything pass: then no packet is shown to it.
    """

    __slots__ = ("active", "hook", "policy", "rules")

    def __init__(self, hook: str) -> None:
        self.hook = hook
        self.policy = ACCEPT
        self.rules: list[FilterRule] = []
        self.active = False


class Firewall:
    """The three chains of a host. While `empty`, no packet pays anything for it.

    `generation` grows with every change; `stateful` says whether some rule asks for a connection's state.
    """

    def __init__(self) -> None:
        self.input = Chain(INPUT)
        self.output = Chain(OUTPUT)
        self.forward = Chain(FORWARD)
        self.chains = {chain.hook: chain for chain in (self.input, self.output, self.forward)}
        self.empty = True
        self.stateful = False
        self.generation = 0
        self.on_change: Callable[[], None] | None = None  # who keeps what follows from the rules

    # -- changes --

    def append(self, hook: str, rule: FilterRule) -> None:
        """Add a rule at the end of a hook's chain (`nft add rule`)."""
        self.chains[hook].rules.append(rule)
        self._changed()

    def add(
        self, hook: str, verdict: str, *, src: str = "", dst: str = "", proto: str = "", sport: int | str = "",
        dport: int | str = "", state: str = "", family: str = "", iif: str = "", oif: str = "", icmp_type: int = -1,
    ) -> FilterRule:  # fmt: skip
        """Add a rule in the words of nft(8): `add("input", "drop", proto="tcp", dport="1-1023",
        src="10.0.0.0/8")`.

        Args: src, dst: addresses or prefixes, separated by commas; sport, dport: ports or ranges, likewise;
        state: `new`, `established`, `related`, `invalid`, likewise; family: `ip` or `ip6`.
        Raises ValueError that says what is not understood.
        """
        if (proto and proto not in PROTOCOLS) or (family and family not in FAMILIES) or hook not in self.chains:
            raise ValueError(f"not understood: hook {hook!r}, proto {proto!r}, family {family!r}")
        states = 0
        for name in _words(state):
            if name not in STATE_NAMES:
                raise ValueError(f"{name!r} is not a connection state: one of {', '.join(STATE_NAMES)}")
            states |= STATE_NAMES[name]
        rule = FilterRule(
            verdict, iif=iif, oif=oif, src=map(parse_prefix, _words(src)), dst=map(parse_prefix, _words(dst)),
            proto=PROTOCOLS.get(proto, 0), sports=map(parse_ports, _words(str(sport))),
            dports=map(parse_ports, _words(str(dport))), states=states, family=FAMILIES.get(family, 0),
            icmp_type=icmp_type,
        )  # fmt: skip
        self.append(hook, rule)
        return rule

    def set_policy(self, hook: str, verdict: str) -> None:
        """Set what happens to packets that no rule of the chain decides about: ACCEPT or DROP."""
        if verdict not in (ACCEPT, DROP):
            raise ValueError(f"a policy is {ACCEPT!r} or {DROP!r}, not {verdict!r}")
        self.chains[hook].policy = verdict
        self._changed()

    def replace(self, hook: str, rules: Sequence[FilterRule], policy: str = ACCEPT) -> None:
        """Set a whole chain."""
        self.chains[hook].rules = list(rules)
        self.set_policy(hook, policy)

    def remove(self, hook: str, rule: FilterRule) -> None:
        """Take a rule out (`nft delete rule`)."""
        self.chains[hook].rules.remove(rule)
        self._changed()

    def flush(self) -> None:
        """Remove all rules and set every policy to accept (`nft flush ruleset`)."""
        for chain in self.chains.values():
            chain.rules.clear()
            chain.policy = ACCEPT
        self._changed()

    def _changed(self) -> None:
        self.generation += 1
        chains = self.chains.values()
        # With one rule that asks for a state, connections are followed in all hooks.
        self.stateful = any(rule.states for chain in chains for rule in chain.rules)
        for chain in chains:
            chain.active = self.stateful or chain.policy != ACCEPT or bool(chain.rules)
        self.empty = not any(chain.active for chain in chains)
        if self.on_change is not None:
            self.on_change()

    # -- decisions --

    def decide(self, hook: str, packet: Packet, iif: str, oif: str, state: int) -> tuple[str, FilterRule | None]:
        """What the filter says of a packet: the verdict, and the rule that decided (None: the policy). Pure.

        Args: iif, oif: interface names, empty where the hook has none; state: its conntrack state bit, or 0.
        """
        chain = self.chains[hook]
        for rule in chain.rules:
            if rule.matches(packet, iif, oif, state):
                return rule.verdict, rule
        return chain.policy, None


def rejection(packet: Packet, verdict: str) -> tuple[int, int]:
    """The ICMP type and code by which a packet is rejected, of its own family."""
    if is_v4(packet.src):
        return REJECT_V4[verdict]
    return REJECT_V6[verdict] if verdict in REJECT_V6 else REJECT_V6_ALONE[verdict]


def parse_prefix(text: str) -> Prefix:
    """The prefix that `10.0.0.0/8`, `2001:db8::/32` or a single address stands for. Raises ValueError."""
    address_text, _, length_text = text.partition("/")
    address = parse(address_text)
    length = int(length_text) if length_text else bits_of(address)
    if not 0 <= length <= bits_of(address):
        raise ValueError(f"{text!r}: a prefix has 0 to {bits_of(address)} bits")
    return prefix_of(address, length), length


def parse_ports(text: str) -> Ports:
    """The ports that `80` or `1024-65535` stands for. Raises ValueError."""
    first, _, last = text.partition("-")
    ports = int(first), int(last or first)
    if not 0 <= ports[0] <= ports[1] <= 65535:
        raise ValueError(f"{text!r} is no range of ports")
    return ports


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
