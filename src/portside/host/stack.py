"""Where ip, sockets, tcp, udp and icmp of one host meet: who gets a packet, and how what they say is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portside.addr.abi import (
    AF_INET,
    AF_INET6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPPROTO_UDPLITE,
)
from portside.addr.ip import V6_LOOPBACK, is_loopback, is_multicast, is_v4, needs_scope
from portside.facts.state import CLOSED, ESTABLISHED, LISTEN, SYN_RECEIVED
from portside.facts.verdict import Verdict
from portside.host.file import World
from portside.host.signal_io import SIGURG
from portside.icmp import (
    DEST_UNREACH,
    FRAG_NEEDED,
    PORT_UNREACH,
    PROT_UNREACH,
    V6_DEST_UNREACH,
    V6_PACKET_TOO_BIG,
    V6_PARAMETER_PROBLEM,
    V6_PORT_UNREACH,
    Icmp,
    errno_for,
)
from portside.ip.interface import LOOPBACK_INDEX, Interface
from portside.ip.layer import IpLayer
from portside.ip.route import BROADCAST, MULTICAST, Route
from portside.sockets import bind, connect, datagram, lookup
from portside.sockets.crowd import NEVER
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable
from portside.tcp import arrives, listen, timeouts, timewait
from portside.tcp.arrives import segment_arrives
from portside.tcp.listen import Listener
from portside.tcp.tcb import Tcb
from portside.tcp.timewait import TimeWait
from portside.wire.packet import Fragment, IcmpMessage, Packet, TcpSegment, UdpDatagram

if TYPE_CHECKING:
    from collections.abc import Callable

    from portside.host.kernel import Host
    from portside.host.options import Knobs
    from portside.host.processes import Process
    from portside.host.tcp_socket import TcpSocket
    from portside.host.udp_socket import Held, UdpSocket

DEFAULT_TTL: Final = 64  # what a packet has unless told otherwise


SLOT: Final = 1 << 20
"""ns: timers of so long a time share one of the world. Measured: a tenth of what a short connection costs."""


class Connection(Tcb):
    """A Tcb on a host: with its row in the socket table, the route that it sends by, and its TTL and TOS.

    `owner` is the file that programs hold, None before accept(2). `replaced`: a TimeWait has its 4-tuple. `mapped`: the
    socket is one of IPv6 that was connected to an IPv4-mapped address, and has the operations of IPv4 ever since
    (icsk_af_ops): nothing that it sends to an IPv6 address leaves the host.
    """

    __slots__ = ("entry", "mapped", "replaced", "route", "tos", "ttl")

    entry: Entry
    route: Route | None
    mapped: bool
    replaced: bool
    tos: int
    ttl: int


class BindEnvironment:
    """What the bind rules ask: of the host, and of the process that calls (`sockets.bind.Environment`)."""

    __slots__ = ("ip", "process")

    def __init__(self, ip: IpLayer, process: Process) -> None:
        self.ip = ip
        self.process = process

    def is_local_address(self, address: int, device: int) -> bool:
        """Whether the host has the address; an IPv4 one whatever the device."""
        return self.ip.is_local(address, 0 if is_v4(address) else device)

    def is_broadcast_address(self, address: int) -> bool:
        """Whether it is a broadcast address of this host."""
        return self.ip.kind_of(address) == BROADCAST

    def has_interface(self, index: int) -> bool:
        """Whether there is an interface of that index."""
        return index in self.ip.interfaces

    def capable(self, capability: int) -> bool:
        """Whether the process has the capability in effect."""
        return self.process.capable(capability)


class Stack:
    """The network stack of one host: it is what ip, icmp and tcp know as their effects."""

    __slots__ = (
        "_alarms", "_ring_later", "_secret", "arriving", "host", "icmp", "ip", "ports", "tcp", "udp", "udplite",
        "world",
    )  # fmt: skip

    def __init__(self, host: Host) -> None:
        self.host = host
        self.arriving = 0  # index of the interface by which the segment came that is being dealt with
        self.world: World = host.world
        self.ip = IpLayer(host.settings, self, host_number=host.number)
        self.icmp = Icmp(host.settings, self)
        # Sequence numbers and ports are drawn from streams of the host's own: another host's draws don't move them.
        sequence = self.world.stream(f"{host.name}/sequence")
        self.ports = self.world.stream(f"{host.name}/ports")
        seed = sequence.getrandbits(32)
        self._secret = sequence.getrandbits(64)
        self.tcp = SocketTable(IPPROTO_TCP, host.settings, seed)
        self.udp = SocketTable(IPPROTO_UDP, host.settings, seed)
        self.udplite = SocketTable(IPPROTO_UDPLITE, host.settings, seed)
        # Whose timers ring, by time: that of one, of several, or of nobody any more.
        self._alarms: dict[int, Tcb | TimeWait | dict[Tcb | TimeWait, None] | None] = {}
        self._ring_later = self._ring  # one bound method for all of them

    # -- what ip, icmp and tcp ask for alike --

    @property
    def now(self) -> int:
        """The virtual time, ns."""
        return self.world.now

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        """Call `action(*arguments)` at a virtual time, and then deliver what it sent to this host itself."""
        self.world.at(when, self._run, action, arguments)

    def _run(self, action: Callable[..., None], arguments: tuple[object, ...]) -> None:
        action(*arguments)
        self.settle()

    def settle(self) -> None:
        """Deliver what this host has sent to itself: the end of each system call, timer and arrival."""
        if self.ip.backlog:
            self.ip.run_backlog()

    def table(self, proto: int) -> SocketTable:
        """The socket table of TCP, UDP or UDP-Lite."""
        if proto == IPPROTO_TCP:
            return self.tcp
        return self.udp if proto == IPPROTO_UDP else self.udplite

    def bind(self, process: Process, entry: Entry, address: int, port: int, scope: int) -> Verdict:
        """bind(2) of a socket of this host."""
        environment = BindEnvironment(self.ip, process)
        return bind.bind(self.table(entry.proto), entry, address, port, environment, self.ports, scope)

    def autobind(self, entry: Entry) -> Verdict:
        """The port that a UDP socket gets when it sends without one."""
        return datagram.autobind(self.table(entry.proto), entry, self.ports)

    # -- from ip: a packet for this host (IpEffects) --

    def deliver(self, packet: Packet, interface: Interface) -> None:
        """Hand a packet to the protocol that it is for; ICMP answers for one that is not there."""
        if packet.__class__ is TcpSegment:
            # The connection, if it is bound to no device, is found at once; `lookup.tcp` looks for all else.
            segment: TcpSegment = packet
            entry = self.tcp.connected.get((segment.dst, segment.dport, segment.src, segment.sport))
            if entry is None or entry.device:
                self._deliver_tcp(segment, interface)
            else:
                self.arriving = interface.index
                segment_arrives(entry.owner, segment, self.world.now)  # type: ignore[arg-type]
        elif isinstance(packet, UdpDatagram):
            self._deliver_udp(packet, interface)
        elif isinstance(packet, IcmpMessage):
            self.icmp.receive(packet, interface.index)
        elif is_v4(packet.src):
            self.icmp.error(packet, interface.index, DEST_UNREACH, PROT_UNREACH)
        else:
            self.icmp.error(packet, interface.index, V6_PARAMETER_PROBLEM, 1)

    def _deliver_tcp(self, segment: TcpSegment, interface: Interface) -> None:
        self.arriving = index = interface.index
        entry = lookup.tcp(self.tcp, segment.src, segment.sport, segment.dst, segment.dport, index)
        if entry is not None:
            segment_arrives(entry.owner, segment, self.world.now)  # type: ignore[arg-type]
        elif self.is_unicast(segment.dst):  # tcp_v4_rcv: what is not for this host alone is dropped
            self._refuse(segment, interface)

    def _deliver_udp(self, packet: UdpDatagram, interface: Interface) -> None:
        table = self.udp if packet.proto == IPPROTO_UDP else self.udplite
        index = interface.index
        if self._is_for_many(packet.dst):
            for entry in lookup.udp_multicast(table, packet.src, packet.sport, packet.dst, packet.dport, index):
                self._udp_owner(entry).arrives(packet, index)
            return
        found = lookup.udp(table, packet.src, packet.sport, packet.dst, packet.dport, index)
        if found is not None:
            self._udp_owner(found).arrives(packet, index)
        elif is_v4(packet.src):
            # What went to another host by lo would be answered in that host's name, which no route allows.
            if not interface.loopback or self.ip.is_local(packet.dst):
                self.icmp.error(packet, index, DEST_UNREACH, PORT_UNREACH)
        else:
            self.icmp.error(packet, index, V6_DEST_UNREACH, V6_PORT_UNREACH)

    def _is_for_many(self, address: int) -> bool:
        if is_multicast(address):
            return True
        return is_v4(address) and self.ip.kind_of(address) == BROADCAST

    def icmp_error(self, packet: Packet, interface: Interface | None, type: int, code: int, extra: int) -> None:
        """Answer a packet with an ICMP error."""
        self.icmp.error(packet, interface.index if interface is not None else 0, type, code, extra)

    def released(self, packet: Packet) -> None:
        """A packet no longer waits for its neighbour: the socket that sent it has room again (sock_wfree)."""
        whole = packet.whole if isinstance(packet, Fragment) else packet
        if isinstance(whole, UdpDatagram) and whole.sender is not None:
            sender: UdpSocket | Held = whole.sender  # type: ignore[assignment]
            if sender.host is self.host:
                sender.datagram_left()

    def tcp_reset(self, packet: Packet, send: Callable[[Packet, Route], object]) -> None:
        """Reject a segment with a reset, if there is any way for it (nf_send_reset, nf_send_reset6)."""
        assert isinstance(packet, TcpSegment)
        reset = arrives.reset_for(packet)
        if reset is not None:
            self._send(reset, 0, send)

    def _refuse(self, segment: TcpSegment, interface: Interface | None) -> None:
        """Answer a segment for no socket with a reset (RFC 9293 section 3.10.7.1)."""
        reset = arrives.reset_for(segment)
        if reset is not None:
            self._respond(reset, interface)

    def _respond(self, segment: TcpSegment, arrived: Interface | None) -> None:
        """Send a segment that no connection sends (tcp_v6_send_response, ip_send_unicast_reply)."""
        anywhere = arrived is None or (arrived.loopback and not needs_scope(segment.dst))
        self._send(segment, 0 if anywhere or arrived is None else arrived.index)

    def _send(self, packet: Packet, oif: int = 0, send: Callable[[Packet, Route], object] | None = None) -> None:
        """Send a packet that no socket has a route for; one that has none is dropped.

        Args: send: what sends it, if not the IP layer.
        """
        # What a filter rejects in the name of another host is routed like the rest (FLOWI_FLAG_ANYSRC).
        source = packet.src if self.ip.is_local(packet.src) else 0
        # ::1 has no way by the interface of arrival, unless a default route is one (rt6_need_strict).
        strict = needs_scope(packet.dst) or packet.dst == V6_LOOPBACK
        route = self.ip.lookup_unscoped(packet.dst, source, oif if strict else 0)
        if isinstance(route, Route):
            packet.src = packet.src or route.src
            (send or self.ip.send)(packet, route)

    # -- from icmp (IcmpEffects) --

    def send_from(self, message: IcmpMessage, oif: int) -> None:
        """Route an ICMP message and send it; a source of 0 is for the route to choose."""
        self._send(message, oif)

    def is_local(self, address: int, device: int = 0) -> bool:
        """Whether the address is one of this host's, and of that interface if `device` is not 0."""
        return self.ip.is_local(address, device)

    def is_unicast(self, address: int) -> bool:
        """Whether the address is neither broadcast nor multicast to this host."""
        return self.ip.kind_of(address) not in (BROADCAST, MULTICAST)

    def hears(self, quoted: Packet, message: IcmpMessage, ifindex: int) -> None:
        """An ICMP error about a packet of this host: tell the socket that sent it."""
        packet = quoted.whole if isinstance(quoted, Fragment) else quoted
        family = AF_INET if message.proto == IPPROTO_ICMP else AF_INET6
        number, hard = errno_for(family, message.type, message.code)
        mtu = message.extra if _is_too_big(message) else 0
        if mtu:
            self.ip.learn_mtu(packet.dst, mtu)
        if isinstance(packet, TcpSegment):
            if family == AF_INET6 and self._loops(message, ifindex):
                ifindex = LOOPBACK_INDEX  # tcp_v6_err looks at skb->dev, not at the address's interface
            entry = lookup.tcp(self.tcp, packet.dst, packet.dport, packet.src, packet.sport, ifindex)
            if entry is not None and entry.state != LISTEN:
                arrives.icmp_error(entry.owner, number, hard, packet, mtu, self.world.now)  # type: ignore[arg-type]
        elif isinstance(packet, UdpDatagram) and number:
            table = self.udp if packet.proto == IPPROTO_UDP else self.udplite
            if message.proto == IPPROTO_ICMP and self._loops(message, 0):
                ifindex = LOOPBACK_INDEX  # __udp4_lib_err looks at skb->dev, not at the address's interface
            entry = lookup.udp(table, packet.dst, packet.dport, packet.src, packet.sport, ifindex)
            if entry is not None:
                self._udp_owner(entry).icmp_error(number, hard, message, packet)

    def _loops(self, message: IcmpMessage, ifindex: int) -> bool:
        """Whether this host sent itself a message. Where there is NAT, its source does not tell."""
        if self.ip.ruleset is not None:
            return message is not self.ip.arrived
        return self.ip.is_local(message.src, ifindex)

    # -- from tcp (tcp.effects.Effects) --

    def transmit(self, tcb: Tcb | TimeWait, segment: TcpSegment) -> None:
        """Send a segment of a connection by its route, which is looked up again when routes have changed."""
        if tcb.__class__ is not Connection:
            self._respond(segment, self.ip.interfaces.get(self.arriving))
            return
        connection: Connection = tcb
        route = connection.route
        ip = self.ip
        if route is None or route.generation != ip.routes.generation:
            route = self._route(connection)
            if route is None:
                return
        if connection.ttl != DEFAULT_TTL:
            segment.ttl = connection.ttl
        if connection.tos:
            segment.tos = connection.tos
        connection.segs_out += 1
        length = len(segment.data)
        if length:
            if segment.gso_size:
                more = (length - 1) // segment.gso_size
                connection.segs_out += more
                connection.data_segs_out += more
            connection.data_segs_out += 1
            connection.bytes_sent += length
        if ip.direct and route.direct:
            ip.backlog.append((segment, route.interface))  # what `send` does, without the call
        else:
            ip.send(segment, route)

    def _route(self, connection: Connection) -> Route | None:
        if connection.mapped and not is_v4(connection.raddr):
            return None
        route = self.ip.lookup(connection.raddr, connection.laddr, connection.entry.device)
        if isinstance(route, Verdict):
            connection.soft_error = connection.soft_error or route.errno
            return None
        connection.route = route
        return route

    def changed(self, tcb: Tcb, events: int) -> None:
        """Wake who waits on the socket."""
        file: TcpSocket | None = tcb.owner  # type: ignore[assignment]
        if file is not None:
            waiters = file.waiters
            if len(waiters) == 1:
                waiters[0].notify(file, events)  # as `wake`, one call less
            elif waiters:
                file.wake(events)

    def urged(self, tcb: Tcb) -> None:
        """Signal whoever has asked to hear of urgent data."""
        file: TcpSocket | None = tcb.owner  # type: ignore[assignment]
        if file is not None and file.signal_owner is not None:
            file.signal_owner.send(SIGURG)

    def peer_keeps(self, tcb: Tcb) -> bool:
        """Whether the other end is on this host and keeps what `tcb` has received, for want of the acknowledgment."""
        entry = self.tcp.connected.get((tcb.raddr, tcb.rport, tcb.laddr, tcb.lport))
        peer = entry.owner if entry is not None else None
        return isinstance(peer, Connection) and peer.snd_una != tcb.rcv_nxt

    def arm(self, tcb: Tcb | TimeWait, when: int) -> None:
        """Look at the timers of a connection at a virtual time.

        Connections of one slot share a timer of the world, and wait for their own moment when the slot has begun: most
        timers are not wanted any more by then. Mostly one alone is left, so only several have a dictionary.
        """
        if tcb.armed:
            self._withdraw(tcb)
        slot = when & -SLOT
        if slot > self.world.now:
            when = slot
        alarms = self._alarms
        if when not in alarms:
            alarms[when] = tcb
            self.world.at(when, self._ring_later, when)
            return
        same = alarms[when]
        if same is None:
            alarms[when] = tcb
        elif isinstance(same, dict):
            same[tcb] = None
        elif same is not tcb:
            alarms[when] = {same: None, tcb: None}

    def _ring(self, when: int) -> None:
        """The timers of a moment, in the order in which they were armed; of a slot, those that are still wanted."""
        same = self._alarms.pop(when)
        if same is None:
            return
        for tcb in same if isinstance(same, dict) else (same,):
            if tcb.armed > when:
                self.arm(tcb, tcb.armed)
                continue
            timeouts.expire(tcb, self.world.now)
            if self.ip.backlog:
                self.ip.run_backlog()

    def _withdraw(self, tcb: Tcb | TimeWait) -> None:
        """What was armed before shall not ring, and hold nobody till then."""
        for when in (tcb.armed & -SLOT, tcb.armed):
            same = self._alarms.get(when)
            if same is tcb:
                self._alarms[when] = None
                return
            if isinstance(same, dict) and tcb in same:
                del same[tcb]
                return

    def _disarm(self, tcb: Tcb) -> None:
        """A connection that is over needs no timer."""
        if tcb.armed:
            self._withdraw(tcb)
            tcb.armed = 0

    def entered(self, tcb: Tcb, old: int) -> None:
        """Let the socket table follow the state of a connection."""
        connection: Connection = tcb  # type: ignore[assignment]
        state = tcb.state
        if state == CLOSED:
            self._closed(connection)
            return
        entry = connection.entry
        entry.state = state
        if state == ESTABLISHED and old == SYN_RECEIVED and tcb.listener is not None:
            parent: Connection = tcb.listener.tcb  # type: ignore[assignment]
            self.tcp.inherit_port(parent.entry, entry)
            if parent.mapped:  # the SYN,ACK got through
                connection.mapped = True
                connection.route = None

    def _closed(self, connection: Connection) -> None:
        self._disarm(connection)
        if not connection.replaced:
            if connection.owner is None or connection.orphan:
                self.tcp.remove(connection.entry)
            else:
                connect.closed(self.tcp, connection.entry)
        file: TcpSocket | None = connection.owner  # type: ignore[assignment]
        if connection.orphan:
            if file is not None and file.waiters:
                file.wake(-1)  # close(2) may linger
            self.part(connection)

    def part(self, connection: Connection) -> None:
        """A connection is over and its file closed: they hold each other no more, nor does its row in the table.

        Otherwise they stay until the garbage collector comes by, and the next connections get memory that no cache has.
        """
        connection.owner = None
        entry = connection.entry
        if entry.home is None and entry.owner is connection:
            entry.owner = None

    def time_wait(self, tcb: Tcb, heir: TimeWait) -> None:
        """The 4-tuple goes from a connection to its TIME-WAIT."""
        connection: Connection = tcb  # type: ignore[assignment]
        entry = connect.time_wait(self.tcp, connection.entry, tcb.orphan)
        connection.replaced = True
        entry.owner = heir
        entry.state = heir.state
        heir.owner = entry

    def forget(self, heir: TimeWait) -> None:
        """A TIME-WAIT is over."""
        self.tcp.remove(heir.owner)  # type: ignore[arg-type]

    def reopen(self, heir: TimeWait, segment: TcpSegment, isn: int) -> bool:
        """A SYN reaches a TIME-WAIT: a listener, if there is one, takes it."""
        entry = lookup.tcp_listener(self.tcp, segment.src, segment.sport, segment.dst, segment.dport, self.arriving)
        if entry is None:
            return False
        timewait.kill(heir)
        listening: Connection = entry.owner  # type: ignore[assignment]
        assert listening.listener is not None
        listen.segment_arrives(listening.listener, segment, self.world.now, isn)
        return True

    def child(self, listener: Listener, segment: TcpSegment, now: int, isn: int) -> Tcb | None:
        """The connection that a SYN asks a listener for."""
        parent: Connection = listener.tcb  # type: ignore[assignment]
        device = self.arriving if needs_scope(segment.src) else parent.entry.device
        route = self.ip.lookup(segment.src, segment.dst, device)
        if isinstance(route, Verdict):
            return None
        tcb = self.new_connection(None)
        tcb.laddr, tcb.lport = segment.dst, segment.dport
        tcb.raddr, tcb.rport = segment.src, segment.sport
        tcb.entry = self.tcp.child(parent.entry, segment.dst, segment.src, segment.sport, device, tcb)
        tcb.route = route
        listening: TcpSocket = parent.owner  # type: ignore[assignment]
        self.mark(tcb, listening.knobs)
        tcb.inherit(parent)
        tcb.path_mtu = route.mtu
        tcb.ts_offset = self.timestamp_offset(tcb)
        tcb.iss = isn or self.new_isn(tcb)
        return tcb

    def new_connection(self, owner: TcpSocket | None) -> Connection:
        """A Tcb of this host, not yet in any table."""
        tcb = Connection(self, self.host.settings, owner=owner)
        tcb.route = None
        tcb.mapped = False
        tcb.replaced = False
        tcb.ttl = DEFAULT_TTL
        tcb.tos = 0
        return tcb

    def mark(self, tcb: Connection, knobs: Knobs) -> None:
        """Set TTL and type of service (hop limit and traffic class) of what a connection sends from now on."""
        settings = self.host.settings
        if is_v4(tcb.raddr):
            tcb.ttl = knobs.ttl if knobs.ttl != -1 else settings.ip_default_ttl
            tcb.tos = knobs.tos
        else:
            tcb.ttl = knobs.hop_limit if knobs.hop_limit != -1 else settings.ip6_hop_limit
            tcb.tos = max(knobs.tclass, 0)

    def new_isn(self, tcb: Tcb) -> int:
        """The initial sequence number of a connection whose 4-tuple is known: ISN = M + F(4-tuple, secret).

        M is a clock of 64 ns, so that a successor begins past what its predecessor used; F keeps others from guessing.
        Source: RFC 9293 section 3.4.1; secure_tcp_seq().
        """
        mixed = hash((tcb.laddr, tcb.lport, tcb.raddr, tcb.rport, self._secret))
        return (mixed + (self.world.now >> 6)) & 0xFFFFFFFF

    def cookie(self, segment: TcpSegment, seq: int, period: int) -> int:
        """What a SYN cookie is made of (cookie_hash())."""
        mixed = hash((segment.dst, segment.dport, segment.src, segment.sport, seq, period, self._secret))
        return mixed & 0xFFFFFFFF

    def timestamp_offset(self, tcb: Tcb) -> int:
        """What a connection adds to its timestamps: the same for one pair of addresses, none with `tcp_timestamps` 2.

        Source: RFC 7323 section 5.4; secure_tcp_ts_off().
        """
        if self.host.settings.tcp_timestamps != 1:
            return 0
        return hash((tcb.laddr, tcb.raddr, self._secret)) & 0xFFFFFFFF

    def reusable_at(self, entry: Entry, chosen: bool) -> int:
        """From when a connect(2) may take over a TIME-WAIT (`sockets.connect.TimeWaitReuse`)."""
        heir = entry.owner
        if not isinstance(heir, TimeWait):
            return NEVER
        loopback = is_loopback(heir.laddr) or is_loopback(heir.raddr)
        when = timewait.reusable_from(heir, loopback=loopback, bound=not chosen)
        return NEVER if when is None else when

    def _udp_owner(self, entry: Entry) -> UdpSocket:
        return entry.owner  # type: ignore[return-value]


def _is_too_big(message: IcmpMessage) -> bool:
    if message.proto == IPPROTO_ICMPV6:
        return message.type == V6_PACKET_TOO_BIG
    return message.type == DEST_UNREACH and message.code == FRAG_NEEDED
