"""Routes, the kinds of addresses, and the choice of a source address (ip-route(8); RFC 1122 section 3.3.1; RFC 6724).

One table holds what Linux keeps in `local` and `main`: the addresses of the host itself come first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from portside.facts.verdict import Verdict
from portside.ip.interface import Interface

# Kinds of routes, and of addresses, with the numbers of <linux/rtnetlink.h> (RTN_*).
UNICAST: Final = 1
LOCAL: Final = 2
BROADCAST: Final = 3
MULTICAST: Final = 5
BLACKHOLE: Final = 6
UNREACHABLE: Final = 7
PROHIBIT: Final = 8


class RouteEntry:
    """One line of `ip route`: where packets for a prefix go.

    `via` is the gateway, 0 when the destination is on the link. `source` is the preferred source, 0 for none. `mtu` is
    0 for the interface's. For `local` and `broadcast` entries the interface is the one that has the address.
    """

    __slots__ = ("interface", "kind", "metric", "mtu", "prefix", "prefix_length", "scope", "source", "via")

    def __init__(
        self, prefix: int, prefix_length: int, interface: Interface | None, *, via: int = 0, kind: int = UNICAST,
        metric: int = 0, source: int = 0, mtu: int = 0, scope: int = 0,
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


class Route:
    """How packets from `src` to `dst` leave the host: what a lookup answers, and what a socket may keep.

    It may be kept while `generation` is that of the table. `interface` is the one that packets leave by; for a `local`
    route it is the one that has the address and on which sockets see the packet arrive (inet_iif), though the packet
    filter sees `lo`. `next_hop` is the IP address of the neighbour: the gateway or the destination; 0 for `local` ones,
    and for multicast and broadcast, which need no neighbour. `kind` is UNICAST, LOCAL, BROADCAST or MULTICAST.
    """

    __slots__ = ("dst", "entry", "generation", "interface", "kind", "local", "mtu", "next_hop", "src")

    def __init__(
        self, dst: int, src: int, interface: Interface, next_hop: int, mtu: int, kind: int, entry: RouteEntry | None,
        generation: int,
    ) -> None:  # fmt: skip
        self.dst = dst
        self.src = src
        self.interface = interface
        self.next_hop = next_hop
        self.mtu = mtu
        self.kind = kind
        self.local = kind == LOCAL
        self.entry = entry
        self.generation = generation


class RouteTable:
    """The routes of one host. `generation` grows with every change of routes, addresses or interfaces."""

    def __init__(self) -> None:
        self.generation = 0
        self.interfaces: dict[int, Interface] = {}

    def lookup(self, dst: int, src: int = 0, oif: int = 0) -> Route | Verdict:
        """The route to `dst`, as connect(2) and sendto(2) look it up; what was found is remembered.

        Args: dst: the destination; 0.0.0.0 and `::` mean this host's loopback. src: the source to use, a wildcard
        (0 or 0.0.0.0) to have it chosen. oif: the index of the interface to leave by (bound device, scope), 0 for any.
        Returns: a Route, or a Verdict with ENETUNREACH (no route), EHOSTUNREACH (unreachable), EACCES (prohibit),
        EINVAL (blackhole; loopback source to another host; a source that is not this host's; link-local without an
        interface), EADDRNOTAVAIL (no IPv6 source), ENODEV.
        Source: ip_route_output_key_hash_rcu and ip6_route_output_flags.
        """
        raise NotImplementedError

    def kind_of(self, address: int, device: int = 0) -> int:
        """What an address is to this host: LOCAL, BROADCAST, MULTICAST or UNICAST (inet_addr_type_dev_table)."""
        raise NotImplementedError

    def entries(self) -> Iterable[RouteEntry]:
        """All routes in the order of `ip route show table all`: longest prefix first, then metric."""
        raise NotImplementedError

    def learn_mtu(self, dst: int, mtu: int, until: int) -> None:
        """Believe a "fragmentation needed" or "packet too big" about `dst` until the time `until` (RFC 1191, RFC 8201)."""
        raise NotImplementedError
