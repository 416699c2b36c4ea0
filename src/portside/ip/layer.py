"""The IP layer of one host: packets down to the links, packets up to the protocols (RFC 1122 section 3, RFC
1812).
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from portside.addr.abi import IPPROTO_TCP, SECOND
from portside.addr.ip import (
    V4_ANY,
    V4_BROADCAST,
    V4_LOOPBACK,
    V6_LOOPBACK,
    bits_of,
    is_any,
    is_link_local,
    is_loopback,
    is_multicast,
    is_v4,
    needs_scope,
    prefix_of,
)  # fmt: skip
from portside.facts.interface import SCOPE_GLOBAL, SCOPE_HOST, SCOPE_LINK
from portside.facts.rule import FORWARD, INPUT, OUTPUT
from portside.facts.settings import Settings
from portside.facts.verdict import Verdict
from portside.ip.conntrack import INVALID, Conntrack
from portside.ip.firewall import ACCEPT, DROP, TCP_RESET, Chain, Firewall, rejection
from portside.ip.fragment import Reassembler, split
from portside.ip.interface import (
    IPV6_MIN_MTU,
    LOOPBACK_INDEX,
    LOOPBACK_MTU,
    Interface,
    InterfaceAddress,
    make_link_address,
)  # fmt: skip
from portside.ip.link import TO_ALL, NeighborMessage
from portside.ip.neighbor import NeighborTable
from portside.ip.route import (
    BROADCAST,
    LOCAL,
    MULTICAST,
    REFUSALS,
    UNICAST,
    Route,
    RouteEntry,
    RouteTable,
)  # fmt: skip
from portside.ip.source import in_subnet, select_v4
from portside.wire.packet import Fragment, Packet

ALL_HOSTS: Final = 0xFFFFE0000001  # 224.0.0.1
ALL_NODES: Final = 0xFF02 << 112 | 1  # ff02::1
MTU_EXPIRES: Final = 600 * SECOND
V6_CONNECTED_METRIC: Final = 256  # IP6_RT_PRIO_ADDRCONF
V6_STATIC_METRIC: Final = 1024  # IP6_RT_PRIO_USER


class IpEffects(Protocol):
    """What the IP layer asks of the host that it is part of."""

    @property
    def now(self) -> int:
        """The virtual time, ns."""

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        """Call `action(*arguments)` at virtual time `when`."""

    def deliver(self, packet: Packet, interface: Interface) -> None:
        """Take a whole packet for this host, past the INPUT hook; sockets see it arrive on `interface`.

        It may send; what it sends to this host itself waits in the backlog.
        """

    def icmp_error(self, packet: Packet, interface: Interface | None, type: int, code: int, extra: int) -> None:
        """Answer a packet with an ICMP error, as `icmp.Icmp.error` does.

        Args: interface: where it came in, None when a socket of this host sent it. type, code: of ICMP for an
        IPv4 packet, of ICMPv6 for an IPv6 one. extra: the MTU of "fragmentation needed" and "packet too big".
        """

    def tcp_reset(self, packet: Packet, interface: Interface | None) -> None:
        """Answer a TCP segment as a closed port would: the filter rejects it so."""


Trace = Callable[[str, Packet, Interface, object], None]
"""`trace(kind, packet, interface, reason)`.

kind: `output`, `deliver`, `forward`, or `drop` with the reason: a word, a `Verdict` or a `FilterRule`.
"""


class IpLayer:
    """Interfaces, routes, neighbours, fragments and the filter of one host, and a packet's way through them.

    `lo` is there from the start with 127.0.0.1/8 and ::1/128. Not modelled: ICMP redirects, source routes and
    other IP options, reverse path filtering (`rp_filter` is 0, as in the kernel), policy routing, NAT.
    """

    def __init__(self, settings: Settings, effects: IpEffects, *, host_number: int = 0) -> None:
        self.settings = settings
        self.effects = effects
        self.host_number = host_number  # makes the link addresses of hosts differ
        self.interfaces: dict[int, Interface] = {}
        self.routes = RouteTable(self.interfaces)
        self.firewall = Firewall()
        self.firewall.on_change = self._look_again
        self.conntrack = Conntrack()
        self.neighbors = NeighborTable(self)
        self.reassembler = Reassembler(self)
        self.backlog: deque[tuple[Packet, Interface]] = deque()
        self.groups: dict[tuple[int, int], int] = {}  # members by interface index and multicast group
        self.drops = 0  # packets dropped on the way in or through, for any reason
        self._trace: Trace | None = None
        self.direct = True  # nothing looks at packets to this host itself
        self._rejecting = False  # what is sent now is the reset of a filter
        self._ident = 0
        self.lo = self._make_lo()

    def _make_lo(self) -> Interface:
        lo = Interface(LOOPBACK_INDEX, "lo", mtu=LOOPBACK_MTU, loopback=True)
        lo.receiver = self.arrives
        self.interfaces[LOOPBACK_INDEX] = lo
        self.add_address(lo, V4_LOOPBACK, 8)
        self.add_address(lo, V6_LOOPBACK, 128)
        return lo

    @property
    def trace(self) -> Trace | None:
        """Who is told of every packet's way, or None."""
        return self._trace

    @trace.setter
    def trace(self, trace: Trace | None) -> None:
        self._trace = trace
        self._look_again()

    @property
    def now(self) -> int:
        """The virtual time, ns."""
        return self.effects.now

    # -- configuration: ip-link(8), ip-address(8), ip-route(8) --

    def add_interface(self, name: str, *, mtu: int = 1500, link_address: int = 0) -> Interface:
        """Add an interface with the next index, up, with its IPv6 link-local address; `interface.link` plugs
        it in.

        What arrives on it goes to `arrives`, unless the host sets another `interface.receiver`.
        Raises ValueError when the name is taken.
        """
        if self.interface_named(name) is not None:
            raise ValueError(f"there is an interface {name!r} already")
        index = max(self.interfaces) + 1
        link_address = link_address or make_link_address(self.host_number, index)
        interface = Interface(index, name, mtu=mtu, link_address=link_address)
        interface.receiver = self.arrives
        self.interfaces[index] = interface
        self._begin_v6(interface)
        self.routes.changed()
        return interface

    def interface_named(self, name: str) -> Interface | None:
        """The interface of that name (if_nametoindex(3))."""
        for interface in self.interfaces.values():
            if interface.name == name:
                return interface
        return None

    def add_address(self, interface: Interface, address: int, prefix_length: int) -> int:
        """Give an interface an address and the routes that come with it (`ip address add`).

        Returns 0, or EEXIST (it has it), EINVAL (no address for a host).
        """
        if is_any(address) or is_multicast(address) or address == V4_BROADCAST:
            return errno.EINVAL
        if not 0 <= prefix_length <= bits_of(address):
            return errno.EINVAL
        if any(
            other.address == address and (other.prefix_length == prefix_length or not is_v4(address))
            for other in interface.addresses
        ):
            return errno.EEXIST
        entry = InterfaceAddress(address, prefix_length)
        entry.secondary = is_v4(address) and self._primary_of(interface, entry) is not None
        interface.addresses.insert(self._place_of(interface, entry), entry)
        self._add_local_routes(interface, entry)
        if interface.up:
            self._add_subnet_routes(interface, entry)
        return 0

    def _primary_of(self, interface: Interface, entry: InterfaceAddress) -> InterfaceAddress | None:
        """The address whose secondary this one is: the same IPv4 subnet, given earlier (__inet_insert_ifa).
        """
        for other in interface.addresses:
            same_length = is_v4(other.address) and other.prefix_length == entry.prefix_length
            if same_length and not other.secondary and in_subnet(entry.address, other):
                return other
        return None

    @staticmethod
    def _place_of(interface: Interface, entry: InterfaceAddress) -> int:
        """Primary IPv4 addresses stand before the others, the nearest scope first (__inet_insert_ifa)."""
        place = len(interface.addresses)
        if is_v4(entry.address) and not entry.secondary:
            place = 0
            for number, other in enumerate(interface.addresses):
                if is_v4(other.address) and not other.secondary and other.scope >= entry.scope:
                    place = number + 1
        return place

    def _add_local_routes(self, interface: Interface, entry: InterfaceAddress) -> None:
        """The routes that stay while the address does (fib_add_ifaddr)."""
        address = entry.address
        preferred = 0
        if is_v4(address):
            primary = self._primary_of(interface, entry) if entry.secondary else None
            preferred = primary.address if primary is not None else address
        self.routes.insert(
            RouteEntry(address, bits_of(address), interface, kind=LOCAL, source=preferred, scope=SCOPE_HOST)
        )

    def _add_subnet_routes(self, interface: Interface, entry: InterfaceAddress) -> None:
        """The routes that come when the interface goes up: to the subnet, and its broadcast address."""
        address, length = entry.address, entry.prefix_length
        if length >= bits_of(address) or entry.secondary:
            return
        prefix = prefix_of(address, length)
        if not is_v4(address):
            if not any(route.interface is interface for route in self.routes.at(prefix, length)):
                self.routes.insert(RouteEntry(prefix, length, interface, metric=V6_CONNECTED_METRIC))
            return
        if prefix != V4_ANY:
            # All of the subnet of an address of lo is local: so 127.0.0.0/8 is.
            kind, scope = (LOCAL, SCOPE_HOST) if interface.loopback else (UNICAST, SCOPE_LINK)
            self.routes.insert(RouteEntry(prefix, length, interface, kind=kind, source=address, scope=scope))
        if entry.broadcast:
            self.routes.insert(
                RouteEntry(entry.broadcast, 32, interface, kind=BROADCAST, source=address, scope=SCOPE_LINK)
            )

    def remove_address(self, interface: Interface, address: int, prefix_length: int | None = None) -> int:
        """Take an address away, with its routes and, from a primary one, its secondaries (`ip address del`).

        Args: prefix_length: None takes the first of that address. Returns 0 or EADDRNOTAVAIL.
        """
        for entry in interface.addresses:
            if entry.address == address and prefix_length in (None, entry.prefix_length):
                break
        else:
            return errno.EADDRNOTAVAIL
        gone = [entry]
        if is_v4(address) and not entry.secondary:
            gone += [other for other in interface.addresses if self._depends(other, entry)]
        interface.addresses = [other for other in interface.addresses if other not in gone]
        kept = {other.address for other in interface.addresses}
        last = is_v4(address) and not any(map(is_v4, kept))  # then IPv4 ends on the interface: fib_disable_ip
        addresses = {other.address for other in gone} - kept
        for route in tuple(self.routes.entries()):
            if route.interface is interface and (
                self._goes_with(route, entry, addresses) or (last and is_v4(route.prefix))
            ):
                self.routes.remove(route)
        self.routes.changed()
        return 0

    @staticmethod
    def _depends(other: InterfaceAddress, primary: InterfaceAddress) -> bool:
        return (
            other.secondary
            and other.prefix_length == primary.prefix_length
            and in_subnet(other.address, primary)
        )

    def _goes_with(self, route: RouteEntry, entry: InterfaceAddress, addresses: set[int]) -> bool:
        """Whether a route of the interface goes when an address does (fib_del_ifaddr, cleanup_prefix_route).

        Args: entry: the address that is removed; addresses: those that the interface has no longer.
        """
        v4 = is_v4(entry.address)
        if is_v4(route.prefix) is not v4:
            return False
        if route.source in addresses or (route.kind == LOCAL and route.prefix in addresses):
            return True
        subnet = (prefix_of(entry.address, entry.prefix_length), entry.prefix_length)
        goes = (route.prefix, route.prefix_length) == subnet or (v4 and route.prefix == entry.broadcast)
        if not goes or route.via or (route.prefix_length == bits_of(entry.address) and not entry.broadcast):
            return False
        if v4:
            return route.source == entry.address and not entry.secondary
        assert route.interface is not None
        others = (other for other in route.interface.addresses if not is_v4(other.address))
        return not any(
            (prefix_of(other.address, other.prefix_length), other.prefix_length) == subnet for other in others
        )

    def add_route(
        self, prefix: int, prefix_length: int, *, via: int = 0, interface: Interface | None = None,
        kind: int = UNICAST, metric: int | None = None, source: int = 0, mtu: int = 0,
    ) -> int:  # fmt: skip
        """Add a route (`ip route add`).

        Args: via: the gateway, whose interface is found by the routes that are there; interface: for a
        destination on the link itself. kind: UNICAST, BLACKHOLE, UNREACHABLE or PROHIBIT. metric: None for
        the kernel's default.
        Returns 0, or EEXIST, ENETUNREACH or EHOSTUNREACH (the gateway is on no link), EINVAL, ENODEV,
        ENETDOWN.
        Source: fib_create_info, fib_check_nh; ip6_route_info_create.
        """
        v4 = is_v4(prefix)
        if prefix_of(prefix, prefix_length) != prefix or not (kind == UNICAST or kind in REFUSALS):
            return errno.EINVAL
        if kind in REFUSALS:
            interface, via = None if v4 else self.lo, 0
        elif via:
            found = self._link_of_gateway(via, interface)
            if isinstance(found, int):
                return found
            interface = found
        elif interface is None:
            return errno.ENODEV
        if interface is not None and not interface.up:
            return errno.ENETDOWN
        if source and not self.is_local(source):
            return errno.EINVAL
        if metric is None:
            metric = 0 if v4 else V6_STATIC_METRIC
        if any(entry.metric == metric for entry in self.routes.at(prefix, prefix_length)):
            return errno.EEXIST
        scope = SCOPE_GLOBAL if via or not v4 or kind != UNICAST else SCOPE_LINK
        self.routes.insert(
            RouteEntry(
                prefix, prefix_length, interface, via=via, kind=kind, metric=metric, source=source, mtu=mtu,
                scope=scope,
            )
        )  # fmt: skip
        return 0

    def _link_of_gateway(self, via: int, interface: Interface | None) -> Interface | int:
        """The interface by which a gateway is a neighbour, or the errno."""
        if is_multicast(via):
            return errno.EINVAL
        if is_v4(via):
            return self._link_of_gateway_v4(via, interface)
        return self._link_of_gateway_v6(via, interface)

    def _link_of_gateway_v4(self, via: int, interface: Interface | None) -> Interface | int:
        """The route to the gateway must reach no further than the link (fib_check_nh_v4_gw)."""
        for entry in self.routes.on_link(via):
            wanted = interface is None or entry.interface is interface
            if entry.interface is None or entry.scope < SCOPE_LINK or not wanted:
                continue
            return entry.interface if entry.kind in (UNICAST, LOCAL) else errno.EINVAL
        return errno.ENETUNREACH

    def _link_of_gateway_v6(self, via: int, interface: Interface | None) -> Interface | int:
        """A link-local gateway needs the interface named; no gateway is this host's own (ip6_route_check_nh).
        """
        if self.is_local(via):
            return errno.EINVAL
        if is_link_local(via):
            return interface if interface is not None else errno.EINVAL
        for entry in self.routes.on_link(via):
            if entry.interface is None or (interface is not None and entry.interface is not interface):
                continue
            if entry.via or entry.kind != UNICAST or entry.interface.loopback:
                break
            return entry.interface
        return errno.EHOSTUNREACH

    def remove_route(self, prefix: int, prefix_length: int, *, metric: int | None = None) -> int:
        """Remove a route (`ip route del`); without `metric`, the first of that prefix. Returns 0 or ESRCH."""
        for entry in self.routes.at(prefix, prefix_length):
            if metric is None or entry.metric == metric:
                self.routes.remove(entry)
                return 0
        return errno.ESRCH

    def set_up(self, interface: Interface, up: bool) -> None:
        """Set an interface up or down (`ip link set`).

        Down, the routes by it go, and its IPv6 addresses; IPv4 addresses stay, and stay local to this host.
        Up again, only the routes of its addresses come back.
        """
        if interface.up == up:
            return
        interface.up = up
        if up:
            for entry in interface.addresses:
                self._add_subnet_routes(interface, entry)
            self._begin_v6(interface)
        else:
            self._go_down(interface)
        self.routes.changed()
        self._look_again()

    def _begin_v6(self, interface: Interface) -> None:
        """What IPv6 does when an interface comes up (addrconf_dev_config): an address, and multicast."""
        if interface.mtu < IPV6_MIN_MTU:
            return
        if interface.loopback:
            self.add_address(interface, V6_LOOPBACK, 128)
            return
        self.routes.insert(
            RouteEntry(0xFF << 120, 8, interface, kind=MULTICAST, metric=V6_CONNECTED_METRIC, scope=SCOPE_GLOBAL)
        )
        self.add_address(interface, interface.link_local(), 64)

    def _go_down(self, interface: Interface) -> None:
        interface.addresses = [entry for entry in interface.addresses if is_v4(entry.address)]
        for route in tuple(self.routes.entries()):
            stays = is_v4(route.prefix) and route.kind == LOCAL
            if route.interface is interface and not stays:
                self.routes.remove(route)
        self.neighbors.forget(interface)

    def set_mtu(self, interface: Interface, mtu: int) -> None:
        """Set the MTU of an interface, bytes of IP packet; below 1280 it has no IPv6 (RFC 8200 section 5)."""
        had_v6 = interface.mtu >= IPV6_MIN_MTU
        interface.mtu = mtu
        if had_v6 and mtu < IPV6_MIN_MTU:
            for entry in tuple(interface.addresses):
                if not is_v4(entry.address):
                    self.remove_address(interface, entry.address)
        elif not had_v6 and interface.up:
            self._begin_v6(interface)
        self.routes.changed()

    def join(self, interface: Interface, group: int) -> None:
        """Hear what is sent to a multicast group on an interface; counted, one `leave` for each `join`."""
        key = (interface.index, group)
        self.groups[key] = self.groups.get(key, 0) + 1

    def leave(self, interface: Interface, group: int) -> None:
        """End one membership of a multicast group."""
        key = (interface.index, group)
        members = self.groups.pop(key, 0) - 1
        if members > 0:
            self.groups[key] = members

    # -- questions --

    def is_local(self, address: int, device: int = 0) -> bool:
        """Whether the address is this host's (that of the interface `device`, if not 0): all of 127.0.0.0/8
        is.
        """
        return self.routes.kind_of(address, device) == LOCAL

    def kind_of(self, address: int, device: int = 0) -> int:
        """What an address is to this host: route.LOCAL, BROADCAST, MULTICAST or UNICAST (inet_addr_type)."""
        return self.routes.kind_of(address, device)

    def lookup(self, dst: int, src: int = 0, oif: int = 0) -> Route | Verdict:
        """The route to a destination, with its source address: see `RouteTable.lookup`."""
        return self.routes.lookup(dst, src, oif)

    def lookup_unscoped(self, dst: int, src: int = 0, oif: int = 0) -> Route | Verdict:
        """The route for sendto(2) of a socket that is not connected: see `RouteTable.lookup_unscoped`."""
        return self.routes.lookup_unscoped(dst, src, oif)

    def learn_mtu(self, dst: int, mtu: int) -> None:
        """Believe for ten minutes what a "fragmentation needed" or "packet too big" said of the way to `dst`.

        Args: mtu: bytes of IP packet. Source: net.ipv4.route.mtu_expires, net.ipv6.route.mtu_expires.
        """
        until = self.effects.now + MTU_EXPIRES
        self.routes.learn_mtu(dst, mtu, until)
        self.effects.at(until, self.routes.forget_mtus, until)

    def hears_group(self, interface: Interface, group: int) -> bool:
        """Whether this host listens to a multicast group on an interface: those joined, and all hosts."""
        return (interface.index, group) in self.groups or group in (ALL_HOSTS, ALL_NODES)

    # -- down --

    def send(self, packet: Packet, route: Route) -> int:
        """Send a packet of a socket of this host by the route that was looked up for it.

        `packet.src` and `packet.dst` are set. `dont_fragment` counts for IPv6 too, where it is the sender's
        choice.
        Returns 0, or EPERM (the OUTPUT filter does not let it pass), EMSGSIZE (larger than the MTU and must
        not be fragmented). A packet to this host itself waits in the backlog.
        Source: ip_local_out, ip_output; ip6_xmit, ip6_output.
        """
        if route.direct and self.direct:
            self.backlog.append((packet, route.interface))
            return 0
        return self._send(packet, route)

    def _look_again(self) -> None:
        """Something changed that the short way to this host itself depends on."""
        firewall = self.firewall
        looking = firewall.input.active or firewall.output.active or self._trace is not None
        self.direct = not looking and self.lo.up

    def _send(self, packet: Packet, route: Route) -> int:
        if self._rejecting:
            self.conntrack.attached = packet
        header = 20 if packet.dst >> 32 == 0xFFFF else 40
        too_big = header + packet.payload_length() > route.mtu
        if too_big and packet.dont_fragment:
            return errno.EMSGSIZE
        interface = self.lo if route.local else route.interface
        if self.firewall.output.active and not self._passes(OUTPUT, self.firewall.output, packet, None, interface):
            return errno.EPERM
        if self._trace is not None:
            self._trace("output", packet, interface, None)
        if route.local:
            if self.lo.up:
                self.backlog.append((packet, route.interface))
            return 0
        if route.kind != UNICAST:
            self._loop_back(packet, route)
        self._transmit(packet, route, too_big)
        return 0

    def _loop_back(self, packet: Packet, route: Route) -> None:
        """This host hears its own broadcasts, and multicasts of groups that it is in (ip_mc_output)."""
        if route.kind == BROADCAST or self.hears_group(route.interface, packet.dst):
            self.backlog.append((packet, route.interface))

    def _transmit(self, packet: Packet, route: Route, too_big: bool) -> None:
        if route.interface.loopback:
            return  # it comes back by lo, for nobody here
        if not too_big:
            self._to_neighbor(packet, route)
            return
        if not packet.ident:
            self._ident = packet.ident = self._ident % 0xFFFF + 1
        for piece in split(packet, route.mtu):
            self._to_neighbor(piece, route)

    def _to_neighbor(self, packet: Packet, route: Route) -> None:
        if route.next_hop:
            self.neighbors.send(packet, route.interface, route.next_hop)
        else:
            self.emit(packet, route.interface, TO_ALL)

    def emit(self, packet: Packet, interface: Interface, link_address: int) -> None:
        """Put a packet on the interface's link; nowhere if it is not plugged in."""
        if interface.link is not None and interface.up:
            interface.link.transmit(packet, interface, link_address)

    # -- up --

    def arrives(self, packet: Packet, interface: Interface) -> None:
        """A packet comes from a link: `receive` it, then run the backlog."""
        self.receive(packet, interface)
        if self.backlog:
            self.run_backlog()

    def receive(self, packet: Packet, interface: Interface) -> None:
        """Take a packet from a link: drop what is not valid, deliver what is for this host, forward the rest.

        Source: ip_rcv, ip_route_input_slow; ip6_rcv_core, ip6_route_input.
        """
        if not interface.up:
            return
        dst = packet.dst
        if packet.__class__ is NeighborMessage:
            assert isinstance(packet, NeighborMessage)
            mine = self.is_local(dst, interface.index if not is_v4(dst) else 0)
            self.neighbors.receive(packet, interface, mine)
            return
        if packet.src >> 32 == 0xFFFF:
            if self._is_martian_v4(packet):
                self._drop(packet, interface, "martian")
                return
            kind = self.routes.kind_of(dst)
        else:
            if is_loopback(packet.src) or is_loopback(dst) or is_multicast(packet.src):
                self._drop(packet, interface, "martian")
                return
            kind = self.routes.kind_of(dst, interface.index if needs_scope(dst) else 0)
        if kind == UNICAST:
            self._forward(packet, interface)
        elif kind != MULTICAST or self.hears_group(interface, dst):
            self._deliver(packet, interface)
        else:
            self._drop(packet, interface, "not a member")

    def _is_martian_v4(self, packet: Packet) -> bool:
        """Addresses that may not come from a link (RFC 1812 section 5.3.7; ip_route_input_slow)."""
        src, dst = packet.src, packet.dst
        if src == V4_ANY:  # who has no address yet, to 255.255.255.255
            return dst != V4_BROADCAST
        kind = self.routes.kind_of(src)
        return kind != UNICAST or is_loopback(src) or is_loopback(dst) or dst == V4_ANY

    def _deliver(self, packet: Packet, interface: Interface) -> None:
        """A packet for this host from a link (ip_local_deliver, ip6_input)."""
        if packet.__class__ is Fragment:
            assert isinstance(packet, Fragment)
            whole = self.reassembler.add(packet, interface.index)
            if whole is None:
                return
            packet = whole
        firewall = self.firewall
        if firewall.input.active and not self._passes(INPUT, firewall.input, packet, interface, None):
            return
        if self._trace is not None:
            self._trace("deliver", packet, interface, None)
        self.effects.deliver(packet, interface)

    def run_backlog(self) -> None:
        """Deliver what this host sent to itself, until nothing is left: loopback's softirq.

        Call it at the end of each system call, timer and arrival, never from within `effects.deliver`.
        """
        backlog = self.backlog
        if backlog:
            deliver = self.effects.deliver if self.direct else self._deliver_looped
            while backlog:
                packet, interface = backlog.popleft()
                deliver(packet, interface)

    def _deliver_looped(self, packet: Packet, interface: Interface) -> None:
        """A packet of this host for itself: the filter sees it come by `lo`, unless it is a broadcast of its
        own.
        """
        local = self.routes.kind_of(packet.dst) not in (BROADCAST, MULTICAST)
        firewall = self.firewall
        seen_on = self.lo if local else interface
        if firewall.input.active and not self._passes(INPUT, firewall.input, packet, seen_on, None):
            return
        if self._trace is not None:
            self._trace("deliver", packet, interface, None)
        self.effects.deliver(packet, interface)

    # -- through --

    def _forward(self, packet: Packet, interface: Interface) -> None:
        """A packet for somebody else (ip_forward, ip6_forward): only a router passes it on."""
        v4 = packet.dst >> 32 == 0xFFFF
        if not (self.settings.ip_forward if v4 else self.settings.ip6_forwarding):
            self._drop(packet, interface, "not a router")
            return
        if v4:
            self._forward_v4(packet, interface)
        else:
            self._forward_v6(packet, interface)

    def _forward_v4(self, packet: Packet, interface: Interface) -> None:
        route = self.routes.forward(packet.dst)
        if isinstance(route, Verdict):
            self._refuse_v4(packet, interface, route)
        elif packet.ttl <= 1:
            self._error(packet, interface, 11, 0)
        else:
            too_big = 20 + packet.payload_length() > route.mtu
            if too_big and packet.dont_fragment:
                self._error(packet, interface, 3, 4, route.mtu)
            else:
                packet.ttl -= 1
                self._pass_on(packet, interface, route, too_big)

    def _forward_v6(self, packet: Packet, interface: Interface) -> None:
        if packet.ttl <= 1:
            self._error(packet, interface, 3, 0)
            return
        route = self.routes.forward(packet.dst)
        if isinstance(route, Verdict):
            self._refuse_v6(packet, interface, route)
        elif needs_scope(packet.dst):
            self._drop(packet, interface, "link-local")
        elif is_link_local(packet.src):
            self._error(packet, interface, 1, 2)
        elif 40 + packet.payload_length() > route.mtu:
            self._error(packet, interface, 2, 0, max(route.mtu, IPV6_MIN_MTU))
        else:
            packet.ttl -= 1
            self._pass_on(packet, interface, route, too_big=False)

    def _pass_on(self, packet: Packet, interface: Interface, route: Route, too_big: bool) -> None:
        chain = self.firewall.forward
        if chain.active and not self._passes(FORWARD, chain, packet, interface, route.interface):
            return
        if self._trace is not None:
            self._trace("forward", packet, route.interface, None)
        self._transmit(packet, route, too_big)

    def _refuse_v4(self, packet: Packet, interface: Interface, verdict: Verdict) -> None:
        """A router without a way tells the sender why (ip_error)."""
        codes = {errno.ENETUNREACH: 0, errno.EHOSTUNREACH: 1, errno.EACCES: 13}
        code = codes.get(verdict.errno)
        if code is None:
            self._drop(packet, interface, verdict)
        else:
            self._error(packet, interface, 3, code)

    def _refuse_v6(self, packet: Packet, interface: Interface, verdict: Verdict) -> None:
        """The same for IPv6 (ip6_pkt_discard, ip6_pkt_prohibit)."""
        if verdict.errno == errno.EINVAL:
            self._drop(packet, interface, verdict)
        else:
            self._error(packet, interface, 1, 1 if verdict.errno == errno.EACCES else 0)

    # -- what goes wrong --

    def _passes(
        self, hook: str, chain: Chain, packet: Packet, iif: Interface | None, oif: Interface | None
    ) -> bool:
        """Show a packet to the filter; drop or reject it when the filter says so."""
        assert chain.active
        firewall = self.firewall
        state = 0
        if firewall.stateful:
            ours = hook == OUTPUT or iif is self.lo
            state = self.conntrack.state(packet, self.effects.now, ours=ours)
        verdict, rule = firewall.decide(
            hook, packet, "" if iif is None else iif.name, "" if oif is None else oif.name, state
        )
        if rule is not None:
            rule.packets += 1
        if verdict == ACCEPT:
            if firewall.stateful and state != INVALID:
                self.conntrack.confirm(packet, self.effects.now)
            return True
        where = iif or oif
        assert where is not None
        self._drop(packet, where, rule or chain)
        # A rejection of what a socket of this host sends is heard by that socket.
        came_by = None if hook == OUTPUT else iif
        if verdict == TCP_RESET:
            if packet.proto == IPPROTO_TCP:
                self._rejecting = True
                self.effects.tcp_reset(packet, came_by)
                self._rejecting = False
        elif verdict != DROP:
            type, code = rejection(packet, verdict)
            self.effects.icmp_error(packet, came_by, type, code, 0)
        return False

    def _error(self, packet: Packet, interface: Interface, type: int, code: int, extra: int = 0) -> None:
        self._drop(packet, interface, "error")
        self.effects.icmp_error(packet, interface, type, code, extra)

    def _drop(self, packet: Packet, interface: Interface, reason: object) -> None:
        self.drops += 1
        if self._trace is not None:
            self._trace("drop", packet, interface, reason)

    # -- for the parts --

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        """A timer of a part; what it sends to this host itself is delivered at its end."""
        self.effects.at(when, self._timer, action, arguments)

    def _timer(self, action: Callable[..., None], arguments: tuple[object, ...]) -> None:
        action(*arguments)
        if self.backlog:
            self.run_backlog()

    def asking_address(self, packet: Packet, interface: Interface) -> int:
        """Whose address asks for a neighbour: the packet's source if it is ours, else one of the interface.

        Source: arp_solicit with arp_announce 0; ndisc_solicit.
        """
        if is_v4(packet.src):
            if self.is_local(packet.src):
                return packet.src
            return select_v4(self.interfaces, interface, 0, SCOPE_LINK) or V4_ANY
        if self.is_local(packet.src, interface.index):
            return packet.src
        return interface.link_local()

    def unreachable(self, packet: Packet) -> None:
        """No neighbour answered for a packet (arp_error_report, ipv4_link_failure; ndisc_error_report)."""
        came_by = None if self.is_local(packet.src) else self._any_interface_towards(packet.src)
        if is_v4(packet.src):
            self.effects.icmp_error(packet, came_by, 3, 1, 0)
        else:
            self.effects.icmp_error(packet, came_by, 1, 3, 0)

    def _any_interface_towards(self, address: int) -> Interface | None:
        route = self.routes.forward(address)
        return route.interface if isinstance(route, Route) else None

    def reassembly_timed_out(self, first: Fragment, ifindex: int) -> None:
        """The pieces of a datagram did not all come in time (ip_expire; ip6frag_expire_frag_queue)."""
        type, code = (11, 1) if is_v4(first.src) else (3, 1)
        self.effects.icmp_error(first, self.interfaces.get(ifindex), type, code, 0)


