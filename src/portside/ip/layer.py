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
    is_loopback,
    is_multicast,
    is_v4,
    needs_scope,
)  # fmt: skip
from portside.facts.interface import SCOPE_LINK
from portside.facts.rule import FORWARD, INPUT, OUTPUT
from portside.facts.settings import Settings
from portside.facts.verdict import Verdict
from portside.ip import addresses, filtering, static_routes
from portside.ip.conntrack import INVALID, Conntrack
from portside.ip.firewall import ACCEPT, DROP, TCP_RESET, Chain, Firewall, rejection
from portside.ip.forward import forward
from portside.ip.fragment import Reassembler, split
from portside.ip.interface import IPV6_MIN_MTU, LOOPBACK_INDEX, LOOPBACK_MTU, Interface, make_link_address
from portside.ip.link import TO_ALL, NeighborMessage
from portside.ip.neighbor import NeighborTable
from portside.ip.route import BROADCAST, LOCAL, MULTICAST, UNICAST, Route, RouteTable
from portside.ip.ruleset import Ruleset
from portside.ip.source import select_v4
from portside.ip.validation import Validation
from portside.wire.packet import Fragment, Packet, TcpSegment

ALL_HOSTS: Final = 0xFFFFE0000001  # 224.0.0.1
ALL_NODES: Final = 0xFF02 << 112 | 1  # ff02::1
MTU_EXPIRES: Final = 600 * SECOND


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

    def tcp_reset(self, packet: Packet, send: Callable[[Packet, Route], object]) -> None:
        """Answer a TCP segment as a closed port would: the filter rejects it so.

        Args: send: what sends the reset, if there is a way for it.
        """

    def released(self, packet: Packet) -> None:
        """A packet, or a piece of one, waits no longer for the address of a neighbour: it has left, or failed."""


Trace = Callable[[str, Packet, Interface, object], None]
"""`trace(kind, packet, interface, reason)`.

kind: `output`, `deliver`, `loop` (delivered to the host that sent it: by lo, though `interface` has the address),
`forward`, or `drop` with the reason: a word, a `Verdict`, a `FilterRule`, a `Chain` whose policy it was, or a `Ruling`
of the ruleset.
"""


class IpLayer:
    """Interfaces, routes, neighbours, fragments and the filter of one host, and a packet's way through them.

    `lo` is there from the start with 127.0.0.1/8 and ::1/128. Not modelled: ICMP redirects, source routes and
    other IP options. `ruleset` and `validation` are set where a host is to be as a real machine: the packet
    filter of that machine with its NAT, and what its interfaces do not take in (`rp_filter` is 0 without).
    `routes` may be a `policy.PolicyRoutes`.
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
        self.ruleset: Ruleset | None = None
        self.arrived: Packet | None = None  # the last one that the ruleset let in from a link
        self.validation: Validation | None = None
        self.neighbors = NeighborTable(self)
        self.detours: dict[int, Callable[[int], None]] = {}  # packets by identity that go another way to a neighbour
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

    def use_ruleset(self, ruleset: Ruleset | None) -> None:
        """Ask a ruleset about every packet from now on, besides the firewall."""
        self.ruleset = ruleset
        self._look_again()

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
        addresses.begin_v6(self.routes, interface)
        self.routes.changed()
        return interface

    def interface_named(self, name: str) -> Interface | None:
        """The interface of that name (if_nametoindex(3))."""
        for interface in self.interfaces.values():
            if interface.name == name:
                return interface
        return None

    def add_address(self, interface: Interface, address: int, prefix_length: int) -> int:
        """Give an interface an address (`ip address add`): see `addresses.add`."""
        return addresses.add(self.routes, interface, address, prefix_length)

    def remove_address(self, interface: Interface, address: int, prefix_length: int | None = None) -> int:
        """Take an address away (`ip address del`): see `addresses.remove`."""
        return addresses.remove(self.routes, interface, address, prefix_length)

    def add_route(
        self, prefix: int, prefix_length: int, *, via: int = 0, interface: Interface | None = None,
        kind: int = UNICAST, metric: int | None = None, source: int = 0, mtu: int = 0,
    ) -> int:  # fmt: skip
        """Add a route (`ip route add`): see `static_routes.add`."""
        return static_routes.add(
            self.routes, prefix, prefix_length,
            via=via, interface=interface, kind=kind, metric=metric, source=source, mtu=mtu,
        )  # fmt: skip

    def remove_route(self, prefix: int, prefix_length: int, *, metric: int | None = None) -> int:
        """Remove a route (`ip route del`): see `static_routes.remove`."""
        return static_routes.remove(self.routes, prefix, prefix_length, metric=metric)

    def set_up(self, interface: Interface, up: bool) -> None:
        """Set an interface up or down (`ip link set`).

        Down, the routes by it go, and its IPv6 addresses; IPv4 addresses stay, and stay local to this host.
        Up again, only the routes of its addresses come back.
        """
        if interface.up == up:
            return
        interface.up = up
        if up:
            addresses.come_up(self.routes, interface)
        else:
            addresses.go_down(self.routes, interface)
            self.neighbors.forget(interface)
        self.routes.changed()
        self._look_again()

    def set_mtu(self, interface: Interface, mtu: int) -> None:
        """Set the MTU of an interface, bytes of IP packet; below 1280 it has no IPv6 (RFC 8200 section 5)."""
        had_v6 = interface.mtu >= IPV6_MIN_MTU
        interface.mtu = mtu
        if had_v6 and mtu < IPV6_MIN_MTU:
            addresses.end_v6(self.routes, interface)
        elif not had_v6 and interface.up:
            addresses.begin_v6(self.routes, interface)
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
        self.direct = not looking and self.lo.up and self.ruleset is None

    def _send(self, packet: Packet, route: Route) -> int:
        if self._rejecting:
            self.conntrack.attached = packet
        header = 20 if packet.dst >> 32 == 0xFFFF else 40
        too_big = header + packet.payload_length() > route.mtu
        if too_big and isinstance(packet, TcpSegment) and packet.gso_size:
            # Each of the segments that it stands for must fit, not all together (skb_gso_validate_network_len()).
            too_big = header + packet.header_length() + packet.gso_size > route.mtu
        if too_big and packet.dont_fragment:
            return errno.EMSGSIZE
        if self.ruleset is not None:
            changed = filtering.output(self, self.ruleset, packet, route)
            if isinstance(changed, int):
                return changed
            route = changed
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

    def pass_on(self, packet: Packet, interface: Interface, route: Route, too_big: bool) -> None:
        """Send on, as a router, a packet that came in by `interface`: in pieces when it is `too_big`."""
        chain = self.firewall.forward
        if chain.active and not self._passes(FORWARD, chain, packet, interface, route.interface):
            return
        ruleset = self.ruleset
        if ruleset is not None:
            ruling = ruleset.forward(packet, interface, route.interface)
            if ruling is None:
                ruling = ruleset.postrouting(packet, interface, route.interface)
            if ruling is not None:
                filtering.rule_out(self, ruleset, packet, interface, interface, ruling)
                return
        if self._trace is not None:
            self._trace("forward", packet, route.interface, None)
        self._transmit(packet, route, too_big)

    def _transmit(self, packet: Packet, route: Route, too_big: bool) -> None:
        if route.interface.loopback:
            # It comes back by lo, and whatever its address it is for this host (see __mkroute_output). But TCP
            # can't answer in the name of another one.
            if (
                route.kind == UNICAST
                and is_v4(packet.dst)
                and (packet.proto != IPPROTO_TCP or self.is_local(packet.dst))
            ):
                self.backlog.append((packet, route.interface))
            return
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
        if self.detours and (detour := self.detours.pop(id(packet), None)) is not None:
            detour(link_address)
            return
        if interface.link is None or not interface.up:
            return
        ruleset = self.ruleset if isinstance(packet, NeighborMessage) else None
        if ruleset is not None and not filtering.neighbor_passes(self, ruleset, packet, None, interface):
            self.drop(packet, interface, "neighbour discovery is filtered")
            return
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
        if packet.__class__ is NeighborMessage:
            assert isinstance(packet, NeighborMessage)
            self._hear_neighbor(packet, interface)
            return
        if self.ruleset is not None:
            ruling = self.ruleset.prerouting(packet, interface)
            if ruling is not None:
                filtering.rule_out(self, self.ruleset, packet, interface, interface, ruling)
                return
        dst = packet.dst
        if packet.src >> 32 == 0xFFFF:
            if self._is_martian_v4(packet, interface):
                self.drop(packet, interface, "martian")
                return
            kind = self.routes.kind_of(dst)
        else:
            if is_loopback(packet.src) or is_loopback(dst) or is_multicast(packet.src):
                self.drop(packet, interface, "martian")
                return
            kind = self.routes.kind_of(dst, interface.index if needs_scope(dst) else 0)
        if kind == UNICAST:
            forward(self, packet, interface)
        elif self.refuses_source(packet, interface):
            return
        elif kind != MULTICAST or self.hears_group(interface, dst):
            self._deliver(packet, interface)
        else:
            self.drop(packet, interface, "not a member")

    def _hear_neighbor(self, message: NeighborMessage, interface: Interface) -> None:
        """A neighbour asks or answers; who asks must be where the way to it leads (arp_process), if that counts."""
        if self.validation is not None and message.request and self.validation.refuses(message, interface):
            return
        if self.ruleset is not None and not filtering.neighbor_passes(self, self.ruleset, message, interface, None):
            self.drop(message, interface, "neighbour discovery is filtered")
            return
        dst = message.dst
        mine = self.is_local(dst, 0 if is_v4(dst) else interface.index)
        if mine and self.validation is not None and not self.validation.answers(message, interface):
            mine = False
        self.neighbors.receive(message, interface, mine)

    def _is_martian_v4(self, packet: Packet, interface: Interface) -> bool:
        """Addresses that may not come from a link, whatever the way (RFC 1812 section 5.3.7; ip_route_input_slow)."""
        src, dst = packet.src, packet.dst
        if src == V4_ANY:  # who has no address yet, to 255.255.255.255
            return dst != V4_BROADCAST
        if is_multicast(src) or src == V4_BROADCAST or dst == V4_ANY:
            return True
        if not is_loopback(src) and not is_loopback(dst):
            return False
        return self.validation is None or not self.validation.takes_loopback(interface)

    def refuses_source(self, packet: Packet, interface: Interface) -> bool:
        """Drop a packet whose source can't be beyond the interface that it came by (fib_validate_source).

        It is asked once there is a way for the packet: who has none for it says so even then.
        """
        src = packet.src
        if src >> 32 != 0xFFFF or src == V4_ANY:
            return False
        validation = self.validation
        kind = self.routes.kind_of(src)
        if kind != UNICAST and (kind != LOCAL or validation is None or not validation.takes_own(interface, src)):
            self.drop(packet, interface, "martian")
            return True
        if validation is not None and validation.refuses(packet, interface):
            self.drop(packet, interface, "rp_filter")
            return True
        return False

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
        if self.ruleset is not None:
            ruling = self.ruleset.input(packet, interface)
            if ruling is not None:
                filtering.rule_out(self, self.ruleset, packet, interface, interface, ruling)
                return
            self.arrived = packet
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
        if self.ruleset is not None:
            ruling = self.ruleset.prerouting(packet, seen_on)
            if ruling is None:
                ruling = self.ruleset.input(packet, seen_on)
            if ruling is not None:
                # Of a link-local address it is known whose it is, though it came by lo (icmp6_iif).
                came_by = interface if needs_scope(packet.src) else seen_on
                filtering.rule_out(self, self.ruleset, packet, came_by, seen_on, ruling)
                return
        if self._trace is not None:
            self._trace("loop" if local else "deliver", packet, interface, None)
        self.effects.deliver(packet, interface)

    # -- the filter, and what goes wrong --

    def _passes(self, hook: str, chain: Chain, packet: Packet, iif: Interface | None, oif: Interface | None) -> bool:
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
        self.drop(packet, where, rule or chain)
        # A rejection of what a socket of this host sends is heard by that socket.
        came_by = None if hook == OUTPUT else iif
        if verdict == TCP_RESET:
            if packet.proto == IPPROTO_TCP:
                self._rejecting = True
                self.effects.tcp_reset(packet, self.send)
                self._rejecting = False
        elif verdict != DROP:
            type, code = rejection(packet, verdict)
            self.effects.icmp_error(packet, came_by, type, code, 0)
        return False

    def drop_with_error(self, packet: Packet, interface: Interface, type: int, code: int, extra: int = 0) -> None:
        """Drop a packet that came in by `interface`, and tell its sender: see `IpEffects.icmp_error`."""
        self.drop(packet, interface, "error")
        if self.ruleset is not None:
            self.ruleset.reject(packet)  # the error is of the packet's connection (icmp_glue_bits)
        self.effects.icmp_error(packet, interface, type, code, extra)
        if self.ruleset is not None:
            self.ruleset.answered(packet)

    def drop(self, packet: Packet, interface: Interface, reason: object) -> None:
        """Drop a packet for a reason that the trace is told: see `Trace`."""
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

    def asking_address(self, packet: Packet, interface: Interface, target: int) -> int:
        """Whose address asks for a neighbour: the packet's source if it is ours, else one of the interface.

        Source: arp_solicit; ndisc_solicit.
        """
        if is_v4(packet.src):
            announces = self.validation is None or self.validation.announces(packet.src, interface, target)
            if announces and self.is_local(packet.src):
                return packet.src
            return select_v4(self.interfaces, interface, target, SCOPE_LINK) or V4_ANY
        if self.is_local(packet.src, interface.index):
            return packet.src
        return interface.link_local()

    def unreachable(self, packet: Packet, interface: Interface) -> None:
        """No neighbour answered for a packet (arp_error_report, ipv4_link_failure; ndisc_error_report)."""
        self.detours.pop(id(packet), None)
        came_by = None
        if not self.is_local(packet.src, interface.index if needs_scope(packet.src) else 0):
            # Who has a link-local address is told where it would have gone: it came from there (icmp6_iif).
            came_by = interface if needs_scope(packet.src) else self._any_interface_towards(packet.src)
        if self.ruleset is not None:
            self.ruleset.regard(packet)
        if is_v4(packet.src):
            self.effects.icmp_error(packet, came_by, 3, 1, 0)
        else:
            self.effects.icmp_error(packet, came_by, 1, 3, 0)
        if self.ruleset is not None:
            self.ruleset.answered(packet)

    def released(self, packet: Packet) -> None:
        """A packet no longer waits for its neighbour."""
        self.effects.released(packet)

    def mark_of(self, packet: Packet) -> int:
        """The mark that the ruleset has given a packet on its way."""
        return self.ruleset.mark_of(packet) if self.ruleset is not None else 0

    def _any_interface_towards(self, address: int) -> Interface | None:
        route = self.routes.forward(address)
        return route.interface if isinstance(route, Route) else None

    def reassembly_timed_out(self, first: Fragment, ifindex: int) -> None:
        """The pieces of a datagram did not all come in time (ip_expire; ip6frag_expire_frag_queue)."""
        type, code = (11, 1) if is_v4(first.src) else (3, 1)
        self.effects.icmp_error(first, self.interfaces.get(ifindex), type, code, 0)
