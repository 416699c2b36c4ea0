"""What the rules of the packet filter ask of a packet (`facts.rule.Match`), and of the host that it passes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from portside.addr.ip import is_v4, needs_scope
from portside.facts.route import BROADCAST, KIND_NAMES, MULTICAST
from portside.facts.rule import OUTPUT, FirewallRule, Match
from portside.facts.verdict import Verdict
from portside.ip import nat
from portside.ip.conntrack import STATE_NAMES
from portside.ip.interface import Interface
from portside.ip.link import NEIGHBOR_PROTOCOL
from portside.ip.nat import UNTRACKED, Passage
from portside.wire.packet import Fragment, IcmpMessage, Packet, TcpSegment, UdpDatagram

LARGE: Final = 16  # a set of more elements is searched by halves
NEEDS_TRACKING: Final = frozenset(
    {"state", "ct_status", "direction", "original_saddr", "original_daddr", "original_sport", "original_dport"}
)
STATES: Final = {**STATE_NAMES, "untracked": UNTRACKED}

Pairs = tuple[tuple[int, int], ...]


class Surroundings(Protocol):
    """What rules ask of the host."""

    @property
    def now(self) -> int:
        """The virtual time, ns."""

    @property
    def routes_by_mark(self) -> bool:
        """Whether the ways of packets depend on their marks."""

    def kind_of(self, address: int, device: int = 0) -> int:
        """What an address is to this host: a route kind."""

    def comes_back(self, address: int, interface: Interface) -> bool | None:
        """Whether the way to an address leads out by that interface; None: it is not known how the rule asks."""

    def masquerade_as(self, destination: int, interface: Interface) -> int:
        """The address that MASQUERADE puts in for what leaves by an interface; 0 for none."""

    def redirect_to(self, interface: Interface | None, destination: int) -> int:
        """The address of this host that REDIRECT puts in for another; no interface: the packet is this host's own."""


RouteAgain = Callable[[Packet, int, int], Verdict | None]
"""Finds a new way for a packet with a mark, by an interface if it is not 0; a Verdict when there is none."""


class Unsure(Enum):
    """That it is not known whether a condition holds."""

    UNSURE = 0


UNSURE: Final = Unsure.UNSURE


class View:
    """A packet at a hook. `route_again` finds it another way, where it may need one; `unroutable`: there is none."""

    __slots__ = ("hook", "iif", "oif", "packet", "passage", "route_again", "unroutable", "whole")

    def __init__(self, hook: str, passage: Passage, iif: Interface | None, oif: Interface | None) -> None:
        self.hook = hook
        self.passage = passage
        self.packet = packet = passage.packet
        self.whole = packet.whole if isinstance(packet, Fragment) else packet
        self.iif = iif
        self.oif = oif
        self.route_again: RouteAgain | None = None
        self.unroutable: Verdict | None = None


class Conditions:
    """Whether rules hold for packets."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self._sorted: dict[int, tuple[Pairs, list[int]]] = {}

    def hold(self, rule: FirewallRule, view: View) -> bool | None:
        """Whether all conditions of a rule hold that could be read; None: that is not known."""
        holds: bool | None = True
        for match in rule.matches:
            answer = self._meets(match, view)
            if answer is UNSURE:
                holds = None
            elif answer is None or answer is match.negated:
                return False
        return holds

    def _meets(self, match: Match, view: View) -> bool | Unsure | None:
        """Whether one of the values is there; None: the packet has nothing of the kind, and the rule does not hold."""
        key, passage = match.key, view.passage
        if key in ("iif", "oif"):
            interface = view.iif if key == "iif" else view.oif
            return _is_named("" if interface is None else interface.name, match)
        if key == "state":
            return any(STATES.get(str(name)) == passage.state for name in match.values)
        if key == "mark":
            return _has_bits(passage.mark, match) if passage.marked_by is None else UNSURE
        if key == "uid":
            return None if passage.uid is None else self._within(passage.uid, match)
        if key == "owner":
            return passage.uid is None
        if key == "packet_type":
            return self._packet_type(view) in match.values
        if key.startswith(("saddr_type", "daddr_type")):
            return self._has_kind(match, view)
        if key == "reverse_path":
            if view.iif is None:
                return None
            back = self.surroundings.comes_back(view.packet.src, view.iif)
            if back is None:
                return UNSURE
            return ("exists" if back else "missing") in match.values
        if key in NEEDS_TRACKING:
            return self._meets_connection(match, passage)
        return self._meets_headers(match, view)

    def _has_kind(self, match: Match, view: View) -> bool | None:
        """What an address is to this host, or to the interface by which the packet comes or goes.

        A link-local address is looked for where the packet is, but by `_anywhere` (nft_fib6_flowi_init).
        """
        address = view.packet.src if match.key.startswith("saddr") else view.packet.dst
        device = 0
        if match.key.endswith("_type") and needs_scope(address) and view.hook != OUTPUT:
            interface = view.iif or view.oif
            device = interface.index if interface is not None else 0
        elif match.key.endswith("if"):
            interface = view.iif if match.key.endswith("_iif") else view.oif
            if interface is None:
                return None
            device = interface.index
        return KIND_NAMES[self.surroundings.kind_of(address, device)] in match.values

    def _packet_type(self, view: View) -> str:
        """To whom a packet is sent on the link: what is not for this host does not come so far."""
        kind = self.surroundings.kind_of(view.packet.dst)
        return KIND_NAMES[kind] if kind in (BROADCAST, MULTICAST) else "host"

    def _meets_headers(self, match: Match, view: View) -> bool | None:
        key, packet, whole = match.key, view.packet, view.whole
        if packet.proto == NEIGHBOR_PROTOCOL:
            return None  # ARP has no IP header
        if key == "family":
            return ("ip" if is_v4(packet.dst) else "ip6") in match.values
        if key in ("saddr", "daddr"):
            return self._within(packet.src if key == "saddr" else packet.dst, match)
        if key == "proto":
            return self._within(packet.proto, match)
        if key in ("sport", "dport") and isinstance(whole, TcpSegment | UdpDatagram):
            return self._within(whole.sport if key == "sport" else whole.dport, match)
        if key == "tcp_flags" and isinstance(whole, TcpSegment):
            return _has_bits(whole.flags, match)
        if key in ("icmp_type", "icmp_code") and isinstance(whole, IcmpMessage):
            return self._within(whole.type if key == "icmp_type" else whole.code, match)
        return None

    def _meets_connection(self, match: Match, passage: Passage) -> bool | None:
        connection = passage.connection
        if connection is None:
            return None
        key, names = match.key, connection.key
        if key == "direction":
            return ("reply" if passage.reply else "original") in match.values
        if key == "ct_status":
            has = {
                "snat": nat.has_source_nat(connection), "dnat": nat.has_destination_nat(connection),
                "seen-reply": connection.replied, "confirmed": bool(connection.expires),
            }  # fmt: skip
            return any(has.get(str(name), False) for name in match.values)
        places = {"original_saddr": 1, "original_sport": 2, "original_daddr": 3, "original_dport": 4}
        return self._within(names[places[key]], match) if key in places else None

    def _within(self, number: int, match: Match) -> bool:
        values: Pairs = match.values  # type: ignore[assignment]
        if len(values) <= LARGE:
            return any(first <= number <= last for first, last in values)
        cached = self._sorted.get(id(match))
        if cached is None:
            ordered = tuple(sorted(values))
            cached = self._sorted[id(match)] = ordered, [first for first, _ in ordered]
        place = bisect_right(cached[1], number) - 1
        return place >= 0 and number <= cached[0][place][1]


def _is_named(name: str, match: Match) -> bool:
    for value in match.values:
        pattern = str(value)
        if name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern:
            return True
    return False


def _has_bits(number: int, match: Match) -> bool:
    values: Pairs = match.values  # type: ignore[assignment]
    return any(number & mask == value for value, mask in values)
