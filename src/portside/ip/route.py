"""Routes, the kinds of addresses, and the choice of a source address (ip-route(8); RFC 1122 section 3.3.1).

Two tables, as on Linux: `local` has the addresses of the host itself, `main` the rest. For IPv6 `local` is
asked first. For IPv4 both are one table, in which the longest prefix wins and `local` is first only at equal
length: so Linux keeps them while there are no routing rules (fib_trie_unmerge, since 4.1).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from portside.addr.ip import (
    V4_ANY,
    V4_BROADCAST,
    V4_LOOPBACK,
    V6_LOOPBACK,
    is_loopback,
    is_multicast,
    is_v4,
    needs_scope,
    text,
)  # fmt: skip
from portside.facts.interface import SCOPE_GLOBAL, SCOPE_HOST, SCOPE_LINK
from portside.facts.route import (
    BLACKHOLE,
    BROADCAST,
    KIND_NAMES,
    LOCAL,
    MULTICAST,
    PROHIBIT,
    UNICAST,
    UNREACHABLE,
)  # fmt: skip
from portside.facts.verdict import Rule, Verdict
from portside.ip import source
from portside.ip.interface import LOOPBACK_INDEX, Interface

if TYPE_CHECKING:
    from portside.wire.packet import Packet

__all__ = [
    "BLACKHOLE", "BROADCAST", "LOCAL", "MULTICAST", "PROHIBIT", "UNICAST", "UNREACHABLE", "Route",
    "RouteEntry", "RouteTable",
]  # fmt: skip

KERNEL_V4: Final = "net/ipv4/route.c ip_route_output_key_hash_rcu"

NO_ROUTE = Rule("no-route", "no route leads to {subject}", "ip-route(8); fib_table_lookup, ip6_null_entry")
UNREACHABLE_ROUTE = Rule("unreachable", "the route {0} says that {subject} is unreachable", "ip-route(8)")
PROHIBIT_ROUTE = Rule("prohibit", "the route {0} prohibits {subject}", "ip-route(8)")
BLACKHOLE_ROUTE = Rule("blackhole", "the route {0} throws away what is for {subject}", "ip-route(8)")
NO_SCOPE = Rule("no-scope", "the link-local address {subject} needs an interface", "RFC 4007 section 6")
NO_DEVICE = Rule("no-device", "there is no interface with index {0}", KERNEL_V4)
DEVICE_DOWN = Rule("device-down", "the interface {0} is down", KERNEL_V4)
BAD_SOURCE = Rule("bad-source", "{0} is no address of this host: nothing for {subject} can come from it", KERNEL_V4)
LOOPBACK_SOURCE = Rule(
    "loopback-source", "from the loopback address {0} nothing may leave for {subject}", "RFC 1122 section 3.2.1.3"
)
NO_SOURCE = Rule("no-source", "no address of this host can be the source for {subject}", "RFC 6724 section 4")

REFUSALS: Final = {
    UNREACHABLE: (errno.EHOSTUNREACH, UNREACHABLE_ROUTE),
    PROHIBIT: (errno.EACCES, PROHIBIT_ROUTE),
    BLACKHOLE: (errno.EINVAL, BLACKHOLE_ROUTE),
}
"""fib_props[] and ip6_rt_type_to_error()."""

LOCAL_KINDS: Final = (LOCAL, BROADCAST, MULTICAST)
"""What stands in the `local` table."""

CACHE_SIZE: Final = 65536
MAX_PACKET: Final = 65535  # the largest IPv4 packet (RFC 791 section 3.1)


class RouteEntry:
    """One line of `ip route`: where packets for a prefix go.

    `via` is the gateway, 0 when the destination is on the link. `source` is the preferred source, 0 for none.
    `mtu` is 0 for the interface's. For `local` and `broadcast` entries the interface is the one that has the
    address.
    """

    __slots__ = (
        "interface", "kind", "metric", "mtu", "order", "prefix", "prefix_length", "scope", "source", "via",
    )  # fmt: skip

    def __init__(
        self, prefix: int, prefix_length: int, interface: Interface | None, *, via: int = 0, kind: int = UNICAST,
        metric: int = 0, source: int = 0, mtu: int = 0, scope: int = SCOPE_GLOBAL,
    ) -> None:  # fmt: skip
        self.prefix = prefix
        self.prefix_length = prefix_length
        self.interface = interface
        self.via = via
        self.kind = kind
        self.metric = metric
        self.source = source
        self.mtu = mtu
        self.scope = scope
        self.order = (kind not in LOCAL_KINDS, metric)

    def __str__(self) -> str:
        words = [] if self.kind == UNICAST else [KIND_NAMES[self.kind]]
        words.append("default" if self.prefix_length == 0 else f"{text(self.prefix)}/{self.prefix_length}")
        if self.via:
            words += ["via", text(self.via)]
        if self.interface is not None:
            words += ["dev", self.interface.name]
        return " ".join(words)


class Route:
    """How packets from `src` to `dst` leave the host: what a lookup answers, and what a socket may keep.

    It may be kept while `generation` is that of the table. `dst` differs from what was asked where that was a
    wildcard. `interface` is the one that packets leave by; for a `local` route it is the one that has the
    address and on which sockets see the packet arrive (inet_iif), though the packet filter sees `lo`.
    `next_hop` is the IP address of the neighbour: the gateway or the destination; 0 for `local`, multicast
    and broadcast, which need none. `kind` is UNICAST, LOCAL, BROADCAST or MULTICAST.
    """

    __slots__ = ("direct", "dst", "entry", "generation", "interface", "kind", "local", "mtu", "next_hop", "src")

    def __init__(
        self, dst: int, src: int, interface: Interface, kind: int, *, next_hop: int = 0, mtu: int = 0,
        entry: RouteEntry | None = None, generation: int = 0,
    ) -> None:  # fmt: skip
        self.dst = dst
        self.src = src
        self.interface = interface
        self.next_hop = next_hop
        self.mtu = mtu
        self.kind = kind
        self.local = kind == LOCAL
        self.direct = self.local and mtu >= MAX_PACKET  # no packet is too large for it
        self.entry = entry
        self.generation = generation


class PrefixTable:
    """Entries of one family by prefix; those of one prefix in the order of their metric, then of their age."""

    __slots__ = ("by_length", "lengths", "whole")

    def __init__(self, whole: int) -> None:
        self.whole = whole  # bits of an address
        self.by_length: dict[int, dict[int, list[RouteEntry]]] = {}
        self.lengths: list[int] = []  # that occur, the longest first

    def insert(self, entry: RouteEntry) -> None:
        """Add an entry behind those of the same prefix, table and metric."""
        prefixes = self.by_length.get(entry.prefix_length)
        if prefixes is None:
            prefixes = self.by_length[entry.prefix_length] = {}
            self.lengths = sorted(self.by_length, reverse=True)
        entries = prefixes.setdefault(entry.prefix, [])
        at = len(entries)
        while at and entries[at - 1].order > entry.order:
            at -= 1
        entries.insert(at, entry)

    def remove(self, entry: RouteEntry) -> None:
        """Take an entry out that is in the table."""
        prefixes = self.by_length[entry.prefix_length]
        prefixes[entry.prefix].remove(entry)
        if not prefixes[entry.prefix]:
            del prefixes[entry.prefix]
        if not prefixes:
            del self.by_length[entry.prefix_length]
            self.lengths = sorted(self.by_length, reverse=True)

    def at(self, prefix: int, length: int) -> list[RouteEntry]:
        """The entries of exactly that prefix."""
        return self.by_length.get(length, {}).get(prefix, [])

    def matches(self, address: int) -> Iterator[RouteEntry]:
        """The entries that cover an address, the longest prefix first."""
        for length in self.lengths:
            bits = self.whole - length
            entries = self.by_length[length].get(address >> bits << bits)
            if entries is not None:
                yield from entries

    def __iter__(self) -> Iterator[RouteEntry]:
        for length in self.lengths:
            for prefix in sorted(self.by_length[length]):
                yield from self.by_length[length][prefix]


class RouteTable:
    """The routes of one host. `generation` grows with every change of routes, addresses or interfaces.

    Args: interfaces: those of the host by index, shared with the layer and in order of index.
    """

    def __init__(self, interfaces: dict[int, Interface]) -> None:
        self.interfaces = interfaces
        self.generation = 0
        self.localnet: frozenset[int] = frozenset()  # indexes of interfaces with `route_localnet`
        self.mark = 0  # of the packet that is looked up for, where routing rules ask
        self.v4 = PrefixTable(32)
        self.v6_local = PrefixTable(128)
        self.v6_main = PrefixTable(128)
        self._cache: dict[tuple[int, int, int], Route | Verdict] = {}
        self._kinds: dict[tuple[int, int], int] = {}
        self._onward: dict[int, Route | Verdict] = {}
        self._learned: dict[int, tuple[int, int]] = {}  # destination -> path MTU, until when

    # -- changes --

    def changed(self) -> None:
        """Routes, addresses or interfaces are not what they were: forget what was looked up."""
        self.generation += 1
        self._cache.clear()
        self._kinds.clear()
        self._onward.clear()

    def insert(self, entry: RouteEntry) -> None:
        """Add an entry to the table that its kind belongs to."""
        self._table_of(entry).insert(entry)
        self.changed()

    def remove(self, entry: RouteEntry) -> None:
        """Take out an entry."""
        self._table_of(entry).remove(entry)
        self.changed()

    def _table_of(self, entry: RouteEntry) -> PrefixTable:
        if is_v4(entry.prefix):
            return self.v4
        return self.v6_local if entry.kind in LOCAL_KINDS else self.v6_main

    def at(self, prefix: int, length: int) -> list[RouteEntry]:
        """The entries of table `main` for exactly that prefix, the best first."""
        table = self.v4 if is_v4(prefix) else self.v6_main
        return [entry for entry in table.at(prefix, length) if entry.kind not in LOCAL_KINDS]

    def covering(self, address: int) -> Iterator[RouteEntry]:
        """The entries that cover an address, the longest prefix first: of both tables for IPv4, of `main` for IPv6."""
        return (self.v4 if is_v4(address) else self.v6_main).matches(address)

    def learn_mtu(self, dst: int, mtu: int, until: int) -> None:
        """Believe "fragmentation needed" or "packet too big" about `dst` until a time, ns (RFC 1191, RFC
        8201).

        `forget_mtus` ends it; the smallest that is believed is 552 for IPv4 (min_pmtu) and 1280 for IPv6.
        """
        if len(self._learned) >= CACHE_SIZE:
            self._learned.clear()
        self._learned[dst] = max(mtu, 552 if is_v4(dst) else 1280), until
        self.changed()

    def forget_mtus(self, now: int) -> None:
        """Forget what was learned of paths and is too old by now."""
        old = [dst for dst, (_, until) in self._learned.items() if until <= now]
        for dst in old:
            del self._learned[dst]
        if old:
            self.changed()

    # -- questions --

    def entries(self) -> Iterable[RouteEntry]:
        """All routes, IPv4 first, the longest prefix first."""
        yield from self.v4
        yield from self.v6_local
        yield from self.v6_main

    def kind_of(self, address: int, device: int = 0) -> int:
        """What an address is to this host: LOCAL, BROADCAST, MULTICAST or UNICAST.

        Args: device: the index of an interface, 0 for any: an IPv6 link-local address or ::1 must be its own;
        others may be any interface's.
        Source: inet_addr_type_table; ipv6_chk_addr.
        """
        key = (address, device)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= CACHE_SIZE:
                self._kinds.clear()
            kind = self._kinds[key] = self._kind_of(address, device)
        return kind

    def _kind_of(self, address: int, device: int) -> int:
        if is_multicast(address):
            return MULTICAST
        if is_v4(address):
            return self._kind_of_v4(address)
        if address != V6_LOOPBACK and not needs_scope(address):
            device = 0
        for entry in self.v6_local.matches(address):
            if not device or (entry.interface is not None and entry.interface.index == device):
                return entry.kind
        return UNICAST

    def _kind_of_v4(self, address: int) -> int:
        if address in (V4_BROADCAST, V4_ANY):
            return BROADCAST  # as __inet_dev_addr_type says of both
        for entry in self.v4.matches(address):
            return entry.kind if entry.kind in LOCAL_KINDS else UNICAST
        return UNICAST

    def lookup(self, dst: int, src: int = 0, oif: int = 0) -> Route | Verdict:
        """The route to `dst`, as connect(2) and sendto(2) look it up; what was found is remembered.

        Args: dst: the destination; `::` and 0.0.0.0 mean this host. src: the source to use, a wildcard (0 or
        0.0.0.0) to have it chosen. oif: the index of the interface to leave by (bound device, scope id), 0
        for any.
        Returns: a Route, or a Verdict with ENETUNREACH (no route; a source that is not this host's),
        EHOSTUNREACH (unreachable), EACCES (prohibit), EINVAL (blackhole; loopback source to another host; a
        source that is not this host's; link-local without an interface), EADDRNOTAVAIL (no IPv6 source),
        ENODEV.
        Source: ip_route_output_key_hash_rcu and ip6_route_output_flags, ip6_dst_lookup_tail.
        """
        key = (dst, src, oif)
        found = self._cache.get(key)
        if found is None:
            if not oif and is_link_scope(dst):
                return Verdict(errno.EINVAL, NO_SCOPE, (), text(dst))
            if dst == V4_ANY:
                dst = src = self.this_host(src or V4_ANY, oif)  # ip_route_connect asks again with what it got
            found = self.lookup_unscoped(dst, src, oif)
        return found

    def lookup_again(self, packet: Packet, src: int, oif: int, mark: int) -> Route | Verdict:
        """The same for a packet of this host that NAT has renamed, or whose mark is another (ip_route_me_harder)."""
        self.mark = mark
        found = self.lookup_unscoped(packet.dst, src, oif)
        self.mark = 0
        return found

    def lookup_unscoped(self, dst: int, src: int = 0, oif: int = 0) -> Route | Verdict:
        """The same for sendto(2) of a socket that is not connected.

        Link-local leaves by the first interface, and for 0.0.0.0 no table is asked.
        """
        key = (dst, src, oif)
        if not oif and is_link_scope(dst):
            return self._lookup_v6(dst, src, oif)  # not remembered: `lookup` has another answer
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            find = self._lookup_v4 if is_v4(dst) else self._lookup_v6
            found = self._cache[key] = find(dst, 0 if src == V4_ANY else src, oif)
        return found

    def forward(self, dst: int) -> Route | Verdict:
        """The route by which a router passes on what is for `dst`; its `src` is not set. Remembered.

        Source: ip_route_input_slow, ip6_route_input.
        """
        found = self._onward.get(dst)
        if found is None:
            if len(self._onward) >= CACHE_SIZE:
                self._onward.clear()
            found = self._onward[dst] = self._forward(dst)
        return found

    def forward_from(self, packet: Packet, interface: Interface, _mark: int) -> Route | Verdict:
        """The route by which a router passes on a packet that came in by an interface, with a mark of the filter.

        What is for a link-local address goes back onto its own link (ip6_route_input_lookup).
        """
        if needs_scope(packet.dst):
            return self._forward(packet.dst, interface.index)
        return self.forward(packet.dst)

    def leads_back(
        self, src: int, _dst: int, interface: Interface, _packet: Packet | None = None, _mark: int = 0
    ) -> bool | None:
        """Whether the way to the source of what came in by an interface leads out by that; None: there is no way.

        Source: fib_validate_source.
        """
        found = self.forward(src)
        return found.interface is interface if isinstance(found, Route) and not found.local else None

    def _forward(self, dst: int, oif: int = 0) -> Route | Verdict:
        entry = self._match_v4(dst, None) if is_v4(dst) else self._match_v6(dst, oif)
        if entry is None or entry.kind in REFUSALS:
            return _refusal(dst, entry)
        assert entry.interface is not None
        return self._route(dst, 0, entry.interface, entry.kind, entry.via, entry)

    # -- IPv4 --

    def _lookup_v4(self, dst: int, src: int, oif: int) -> Route | Verdict:
        device: Interface | None = None
        if src:
            refusal = self._check_source_v4(dst, src)
            if refusal is not None:
                return refusal
        if oif:
            device = self.interfaces.get(oif)
            if device is None:
                return Verdict(errno.ENODEV, NO_DEVICE, (oif,), text(dst))
            if not device.up:
                return Verdict(errno.ENETUNREACH, DEVICE_DOWN, (device.name,), text(dst))
        if dst == V4_ANY:
            return self._to_this_host_v4(src, device)
        if dst == V4_BROADCAST or is_multicast(dst):
            device = device or (self._owner(src) if src else None)
        if device is not None and (dst == V4_BROADCAST or dst >> 8 == 0xFFFFE00000):
            # Limited broadcast and 224.0.0.0/24 never leave the link: no route is asked.
            return self._finish_v4(dst, src or source.select_v4(self.interfaces, device, 0, SCOPE_LINK), device, None)
        if device is not None and not src and is_multicast(dst):
            src = source.select_v4(self.interfaces, device, 0, SCOPE_GLOBAL)
        return self._by_table_v4(dst, src, device)

    def _check_source_v4(self, dst: int, src: int) -> Verdict | None:
        """Whether a source given by the socket can be one at all."""
        if is_multicast(src) or src == V4_BROADCAST:
            return Verdict(errno.EINVAL, BAD_SOURCE, (text(src),), text(dst))
        if self._owner(src) is not None:
            return None
        return Verdict(errno.ENETUNREACH, BAD_SOURCE, (text(src),), text(dst))

    def _owner(self, address: int) -> Interface | None:
        """The interface that has a local IPv4 address (__ip_dev_find)."""
        for entry in self.v4.matches(address):
            return entry.interface if entry.kind == LOCAL else None
        return None

    def this_host(self, src: int, oif: int) -> int:
        """What 0.0.0.0 means as a destination: this host.

        Args: src: the socket's own address, or 0.0.0.0. oif: index of the interface it is bound to, or 0.
        Returns: the source itself; without one the interface's first address; without a device, 127.0.0.1.
        Source: ip_route_output_key_hash_rcu.
        """
        device = self.interfaces.get(oif)
        if src == V4_ANY and device is not None and device.up:
            src = source.select_v4(self.interfaces, device, 0, SCOPE_HOST) or V4_ANY
        return src if src != V4_ANY else V4_LOOPBACK

    def _to_this_host_v4(self, src: int, device: Interface | None) -> Route:
        """The route to 0.0.0.0, for which no table is asked: what goes there comes from the device that it goes to."""
        dst = self.this_host(src or V4_ANY, device.index if device is not None else 0)
        lo = self.interfaces[LOOPBACK_INDEX]
        return Route(dst, dst, device or lo, LOCAL, mtu=lo.mtu, generation=self.generation)

    def _by_table_v4(self, dst: int, src: int, device: Interface | None) -> Route | Verdict:
        entry = self._match_v4_from(dst, src, device)
        if isinstance(entry, Verdict) and device is None:
            return entry
        if entry is None or isinstance(entry, Verdict) or entry.kind in REFUSALS:
            if device is not None:
                # "Apparently, routing tables are wrong. Assume, that the destination is on link."
                src = src or source.select_v4(self.interfaces, device, 0, SCOPE_LINK)
                return self._finish_v4(dst, src, device, None)
            return entry if isinstance(entry, Verdict) else _refusal(dst, entry)
        assert entry.interface is not None
        if not src:
            src = entry.source or (
                dst if entry.kind == LOCAL
                else source.select_v4(self.interfaces, entry.interface, entry.via, entry.scope)
            )  # fmt: skip
            refusal = self._check_source_v4(dst, src) if src else None
            if refusal is not None:
                return refusal  # ip_route_connect asks again with the source that it got
        return self._finish_v4(dst, src, entry.interface, entry)

    def _match_v4_from(self, dst: int, _src: int, device: Interface | None) -> RouteEntry | Verdict | None:
        """The entry for what is sent from a source, 0 for one that is yet to be chosen; or what forbids it."""
        return self._match_v4(dst, device)

    def _match_v4(self, dst: int, device: Interface | None) -> RouteEntry | None:
        for entry in self.v4.matches(dst):
            if entry.kind in REFUSALS or device is None or entry.interface is device:
                return entry
        return None

    def _finish_v4(self, dst: int, src: int, interface: Interface, entry: RouteEntry | None) -> Route | Verdict:
        """The rules of __mkroute_output."""
        kind = entry.kind if entry is not None else UNICAST
        outside = kind != LOCAL and not interface.loopback
        if outside and is_loopback(src) and interface.index not in self.localnet:
            return Verdict(errno.EINVAL, LOOPBACK_SOURCE, (text(src),), text(dst))
        # A gateway of scope host, one of lo, serves to choose the source only (rt_set_nexthop).
        via = entry.via if entry is not None and not interface.loopback else 0
        if dst == V4_BROADCAST:
            kind = BROADCAST
        elif is_multicast(dst):
            kind = MULTICAST
            if entry is not None and entry.prefix_length < 4:
                via = 0  # "If multicast route do not exist use default one, but do not gateway in this case."
        route = self._route(dst, src or V4_ANY, interface, kind, via, entry)
        if kind == UNICAST and not via and self._kind_of_v4(dst) == BROADCAST:
            route.next_hop = 0  # that of another interface: nobody is asked for its link address (arp_constructor)
        return route

    # -- IPv6 --

    def _lookup_v6(self, dst: int, src: int, oif: int) -> Route | Verdict:
        dst = dst or V6_LOOPBACK
        if oif and oif not in self.interfaces:
            return Verdict(errno.ENETUNREACH, NO_DEVICE, (oif,), text(dst))
        entry = self._match_v6_from(dst, src, oif)
        if entry is None or isinstance(entry, Verdict) or entry.kind in REFUSALS:
            if not src and not any(source.candidates(each) for each in self.interfaces.values() if each.up):
                return Verdict(errno.EADDRNOTAVAIL, NO_SOURCE, (), text(dst))  # that is asked first
            return entry if isinstance(entry, Verdict) else _refusal(dst, entry)
        interface = entry.interface
        assert interface is not None
        if not src:
            src = entry.source or source.select_v6(self.interfaces, interface, dst)
            if not src:
                return Verdict(errno.EADDRNOTAVAIL, NO_SOURCE, (), text(dst))
        kind = MULTICAST if is_multicast(dst) else entry.kind
        return self._route(dst, src, interface, kind, entry.via, entry)

    def _match_v6_from(self, dst: int, _src: int, oif: int) -> RouteEntry | Verdict | None:
        return self._match_v6(dst, oif)

    def _match_v6(self, dst: int, oif: int) -> RouteEntry | None:
        for table in (self.v6_local, self.v6_main):
            for entry in table.matches(dst):
                # A route that refuses stands on lo, and is not seen from a socket bound to another device.
                if not oif or (entry.interface is not None and entry.interface.index == oif):
                    return entry
        return None

    # -- both --

    def _route(self, dst: int, src: int, interface: Interface, kind: int, via: int, entry: RouteEntry | None) -> Route:
        if kind == LOCAL:
            mtu = self.interfaces[LOOPBACK_INDEX].mtu
        else:
            mtu = entry.mtu if entry is not None and entry.mtu else interface.mtu
            learned = self._learned.get(dst)
            if learned is not None and learned[0] < mtu:
                mtu = learned[0]
        next_hop = via or dst if kind == UNICAST else via if kind == MULTICAST else 0
        return Route(dst, src, interface, kind, next_hop=next_hop, mtu=mtu, entry=entry, generation=self.generation)


def is_link_scope(address: int) -> bool:
    """Whether an IPv6 address, unicast or multicast, is of link-local scope (RFC 4007): connect(2) needs a
    scope id.
    """
    return address >> 118 == 0x3FA or (address >> 120 == 0xFF and address >> 112 & 0xF == 2)


def _refusal(dst: int, entry: RouteEntry | None) -> Verdict:
    if entry is None:
        return Verdict(errno.ENETUNREACH, NO_ROUTE, (), text(dst))
    number, rule = REFUSALS[entry.kind]
    return Verdict(number, rule, (entry,), text(dst))
