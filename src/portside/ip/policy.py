"""Routes in many tables, and the rules that choose between them (ip-rule(8); net/core/fib_rules.c).

For machines that have more than the tables `local` and `main`; `route.RouteTable` is the same without rules, faster.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from portside.addr.abi import AF_INET, AF_INET6
from portside.addr.ip import V4_ANY, V4_BROADCAST, family_of, is_multicast, is_v4, needs_scope, prefix_of, text
from portside.facts.route import ANYCAST, MULTICAST, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN, THROW, PolicyRule
from portside.facts.verdict import Rule, Verdict
from portside.ip.interface import LOOPBACK_INDEX, Interface
from portside.ip.route import (
    BROADCAST,
    LOCAL,
    NO_ROUTE,
    REFUSALS,
    UNICAST,
    PrefixTable,
    Route,
    RouteEntry,
    RouteTable,
)  # fmt: skip
from portside.wire.packet import Fragment, Packet, TcpSegment, UdpDatagram

RULE_REFUSES: Final = Rule(
    "rule-refuses", "the routing rule {0} says that {subject} is not for this host", "ip-rule(8)"
)

DEFAULT_RULES: Final = (
    PolicyRule(priority=0, family=AF_INET, table=TABLE_LOCAL),
    PolicyRule(priority=32766, family=AF_INET, table=TABLE_MAIN),
    PolicyRule(priority=32767, family=AF_INET, table=TABLE_DEFAULT),
    PolicyRule(priority=0, family=AF_INET6, table=TABLE_LOCAL),
    PolicyRule(priority=32766, family=AF_INET6, table=TABLE_MAIN),
)
"""What a machine begins with."""

Flow = tuple[int, ...]
Avoid = set[tuple[int, int]]
NONE_FAILED: Final[Avoid] = set()
OWN_KINDS: Final = (LOCAL, BROADCAST, ANYCAST, MULTICAST)
RULE_ERRORS: Final = {"blackhole": errno.EINVAL, "unreachable": errno.ENETUNREACH, "prohibit": errno.EACCES}
"""fib4_rule_action, fib6_rule_action."""


class Asked:
    """What a lookup is for, as rules see it (struct flowi). Ports are 0 where they are not known yet."""

    __slots__ = ("dport", "dst", "iif", "mark", "oif", "proto", "sport", "src", "tos", "uid")

    def __init__(self, dst: int, src: int, *, iif: str = "lo", oif: str = "") -> None:
        self.dst = dst
        self.src = src
        self.iif = iif  # of what this host sends, lo
        self.oif = oif
        self.mark = 0
        self.uid = 0
        self.tos = 0
        self.proto = 0
        self.sport = 0
        self.dport = 0

    @property
    def flow(self) -> Flow:
        """What the hash that chooses between several ways may take in (fib_multipath_hash, rt6_multipath_hash).

        Of what this host sends, the destination only: it keeps its way while its source and ports are being chosen.
        """
        if self.iif == "lo":
            return (self.dst,)
        return self.dst, self.src, self.proto, self.sport, self.dport


class Ways(Protocol):
    """Who chooses where a route has several ways."""

    def way(self, entry: RouteEntry, flow: Flow, count: int) -> int:
        """Which of `count` ways of a route the packets of a flow take: a hash decides, with a secret.

        One that NAT has changed and that comes by again is another flow, and may go another way.
        """


class PolicyRoutes(RouteTable):
    """The routes of one host in all their tables.

    `uid`, `proto` and `dport` are those of the socket whose routes are asked for. `ways` has the further ways of the
    entries that have several.
    """

    def __init__(self, interfaces: dict[int, Interface], rules: Iterable[PolicyRule], chooser: Ways) -> None:
        super().__init__(interfaces)
        self.rules = tuple(sorted(rules, key=lambda rule: rule.priority))
        self.chooser = chooser
        self.ways: dict[RouteEntry, list[RouteEntry]] = {}
        self.from_prefix: dict[RouteEntry, tuple[int, int]] = {}
        self.tables: dict[tuple[int, int], PrefixTable] = {}
        self.failed: set[tuple[int, int]] = set()  # neighbours that do not answer: `NeighborTable.failed`
        self.uid = 0
        self.proto = 0
        self.dport = 0

    # -- changes --

    def insert_into(self, table: int, entry: RouteEntry) -> None:
        """Add an entry to a table."""
        self.table_of(family_of(entry.prefix), table).insert(entry)
        self.changed()

    def table_of(self, family: int, number: int) -> PrefixTable:
        """The table of that number, made when it is not there."""
        table = self.tables.get((family, number))
        if table is None:
            table = self.tables[family, number] = PrefixTable(32 if family == AF_INET else 128)
        return table

    def entries(self) -> Iterable[RouteEntry]:
        """All routes of all tables."""
        for table in self.tables.values():
            yield from table

    # -- rules --

    def _look(self, asked: Asked, device: Interface | None) -> RouteEntry | Verdict | None:
        """The way that the rules lead to; IPv6 takes a gateway that does not answer last (rt6_check_neigh)."""
        found: RouteEntry | Verdict | None = None
        if self.failed and not is_v4(asked.dst):
            found = self._by_rules(asked, device, self.failed)
        if found is None:
            found = self._by_rules(asked, device, NONE_FAILED)
        return self._one_way(found, asked, device) if isinstance(found, RouteEntry) else found

    def _by_rules(self, asked: Asked, device: Interface | None, avoid: Avoid) -> RouteEntry | Verdict | None:
        """The entry that the rules lead to (fib_rules_lookup)."""
        family = family_of(asked.dst)
        goto = -1
        for rule in self.rules:
            if rule.family != family or rule.priority < goto or not self._applies(rule, asked):
                continue
            if rule.action == "goto":
                goto = rule.target
            elif rule.action in RULE_ERRORS:
                because = (f"{rule.priority}: {rule.action}",)
                return Verdict(RULE_ERRORS[rule.action], RULE_REFUSES, because, text(asked.dst))
            elif rule.action == "lookup":
                found = self._in_table(rule, asked, device, avoid)
                if found is not None:
                    return found
        return None

    def _in_table(self, rule: PolicyRule, asked: Asked, device: Interface | None, avoid: Avoid) -> RouteEntry | None:
        table = self.tables.get((family_of(asked.dst), rule.table))
        if table is None:
            return None
        for entry in self._matching(table, asked, device):
            if entry.interface is not None and (entry.interface.index, entry.via) in avoid:
                continue
            if entry.kind == THROW:
                return None
            if rule.suppress_prefix_length is not None and entry.prefix_length <= rule.suppress_prefix_length:
                return None
            return entry
        return None

    def _matching(self, table: PrefixTable, asked: Asked, device: Interface | None) -> Iterator[RouteEntry]:
        for entry in table.matches(asked.dst):
            prefix = self.from_prefix.get(entry)
            if prefix is not None and (not asked.src or prefix_of(asked.src, prefix[1]) != prefix[0]):
                continue
            if not self._leads_by(entry, device):
                continue
            yield entry

    def _leads_by(self, entry: RouteEntry, device: Interface | None) -> bool:
        if device is None:
            return True
        if is_v4(entry.prefix) and (entry.kind in REFUSALS or entry.kind == THROW):
            return True
        return any(way.interface is device for way in self.ways.get(entry, (entry,)))

    def _one_way(self, entry: RouteEntry, asked: Asked, device: Interface | None) -> RouteEntry:
        ways = self.ways.get(entry)
        if ways is None:
            return entry
        fitting = [way for way in ways if device is None or way.interface is device]
        return fitting[self.chooser.way(entry, asked.flow, len(fitting))] if len(fitting) > 1 else fitting[0]

    def _applies(self, rule: PolicyRule, asked: Asked) -> bool:
        return self._selects(rule, asked) is not rule.inverted

    def _selects(self, rule: PolicyRule, asked: Asked) -> bool:
        if rule.input_interface and rule.input_interface != asked.iif:
            return False
        if rule.output_interface and rule.output_interface != asked.oif:
            return False
        if rule.mark is not None and (asked.mark ^ rule.mark[0]) & rule.mark[1]:
            return False
        if rule.uids is not None and not rule.uids[0] <= asked.uid <= rule.uids[1]:
            return False
        if rule.tos and rule.tos != asked.tos:
            return False
        if not _in_prefix(asked.src, rule.source) or not _in_prefix(asked.dst, rule.destination):
            return False
        if rule.proto and rule.proto != asked.proto:
            return False
        if rule.source_ports is not None and not _between(asked.sport, rule.source_ports):
            return False
        return rule.destination_ports is None or _between(asked.dport, rule.destination_ports)

    def _asked(self, dst: int, src: int, device: Interface | None) -> Asked:
        asked = Asked(dst, src, oif=device.name if device is not None else "")
        asked.mark = self.mark
        asked.uid, asked.proto, asked.dport = self.uid, self.proto, self.dport
        return asked

    # -- what RouteTable asks of its own two tables --

    def lookup(self, dst: int, src: int = 0, oif: int = 0) -> Route | Verdict:
        """As `RouteTable.lookup`; once a source is chosen the rules are asked again (ip_route_connect)."""
        self._cache.clear()
        found = super().lookup(dst, src, oif)
        if isinstance(found, Route) and src in (0, V4_ANY) and not found.local:
            return super().lookup(found.dst, found.src, oif)
        return found

    def lookup_unscoped(self, dst: int, src: int = 0, oif: int = 0) -> Route | Verdict:
        """As `RouteTable.lookup_unscoped`; nothing is remembered, for a mark may change the answer."""
        self._cache.clear()
        return super().lookup_unscoped(dst, src, oif)

    def lookup_again(self, packet: Packet, src: int, oif: int, mark: int) -> Route | Verdict:
        """As `RouteTable.lookup_again`: rules see its ports as they are now, and over IPv4 no user."""
        asked_for = self.uid, self.proto, self.dport
        whole = packet.whole if isinstance(packet, Fragment) else packet
        self.proto = packet.proto
        if is_v4(packet.dst):
            self.uid = 0
        if isinstance(whole, TcpSegment | UdpDatagram):
            self.dport = whole.dport
        found = super().lookup_again(packet, src, oif, mark)
        self.uid, self.proto, self.dport = asked_for
        return found

    def _match_v4_from(self, dst: int, src: int, device: Interface | None) -> RouteEntry | Verdict | None:
        return self._look(self._asked(dst, src, device), device)

    def _match_v6_from(self, dst: int, src: int, oif: int) -> RouteEntry | Verdict | None:
        device = self.interfaces.get(oif)
        return self._look(self._asked(dst, src, device), device)

    def forward_from(self, packet: Packet, interface: Interface, mark: int) -> Route | Verdict:
        """As `RouteTable.forward_from`."""
        asked = Asked(packet.dst, packet.src, iif=interface.name)
        whole = packet.whole if isinstance(packet, Fragment) else packet
        asked.proto, asked.mark, asked.tos = packet.proto, mark, packet.tos & 0x1C
        if isinstance(whole, TcpSegment | UdpDatagram):
            asked.sport, asked.dport = whole.sport, whole.dport
        return self._onwards(asked, interface if needs_scope(packet.dst) else None)

    def leads_back(
        self, src: int, dst: int, interface: Interface, packet: Packet | None = None, mark: int = 0
    ) -> bool | None:
        """As `RouteTable.leads_back`: of several ways any may be by the interface (fib_info_nh_uses_dev).

        Args: packet: rules see its ports turned around; mark: and this.
        """
        asked = Asked(src, dst)
        asked.mark = mark
        whole = packet.whole if isinstance(packet, Fragment) else packet
        if isinstance(whole, TcpSegment | UdpDatagram):
            asked.proto, asked.sport, asked.dport = whole.proto, whole.dport, whole.sport
        elif whole is not None:
            asked.proto = whole.proto
        found = self._by_rules(asked, None, NONE_FAILED)
        if not isinstance(found, RouteEntry) or found.kind != UNICAST:
            return None
        return any(way.interface is interface for way in self.ways.get(found, (found,)))

    def leads_by(self, dst: int, interface: Interface) -> bool:
        """Whether a route as exact as the best one to a destination is by an interface, whatever their metrics are."""
        found = self._by_rules(Asked(dst, 0), None, NONE_FAILED)
        if not isinstance(found, RouteEntry):
            return False
        for table in self.tables.values():
            alike = [each for each in table.matches(dst) if each.prefix_length == found.prefix_length]
            if found in alike:
                return any(each.interface is interface and each.kind == UNICAST for each in alike)
        return False

    def _forward(self, dst: int, oif: int = 0) -> Route | Verdict:
        return self._onwards(Asked(dst, 0), self.interfaces.get(oif))

    def _onwards(self, asked: Asked, device: Interface | None = None) -> Route | Verdict:
        found = self._look(asked, device)
        if isinstance(found, Verdict):
            return found
        if found is None:
            return Verdict(errno.ENETUNREACH, NO_ROUTE, (), text(asked.dst))
        if found.kind in REFUSALS:
            number, rule = REFUSALS[found.kind]
            return Verdict(number, rule, (found,), text(asked.dst))
        assert found.interface is not None
        return self._route(asked.dst, 0, found.interface, found.kind, found.via, found)

    # -- kinds of addresses: the table `local` alone knows --

    def _kind_of(self, address: int, device: int = 0) -> int:
        if is_multicast(address):
            return MULTICAST
        if is_v4(address):
            return self._kind_of_v4(address, device)
        for entry in self.table_of(AF_INET6, TABLE_LOCAL).matches(address):
            if entry.kind not in OWN_KINDS:
                continue
            if not device or (entry.interface is not None and entry.interface.index in (device, LOOPBACK_INDEX)):
                return entry.kind
        return UNICAST

    def _kind_of_v4(self, address: int, device: int = 0) -> int:
        if address in (V4_BROADCAST, V4_ANY) or (address >> 24) == 0xFFFF00:
            return BROADCAST
        for entry in self.table_of(AF_INET, TABLE_LOCAL).matches(address):
            there = not device or (entry.interface is not None and entry.interface.index == device)
            return entry.kind if there and entry.kind in OWN_KINDS else UNICAST
        return UNICAST

    def _owner(self, address: int) -> Interface | None:
        for entry in self.table_of(AF_INET, TABLE_LOCAL).matches(address):
            return entry.interface if entry.kind == LOCAL else None
        return None


def _in_prefix(address: int, prefix: tuple[int, int] | None) -> bool:
    if prefix is None:
        return True
    if address in (0, V4_ANY) and prefix[1]:
        return False
    return prefix_of(address, prefix[1]) == prefix[0]


def _between(number: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= number <= bounds[1]
