"""UDP sockets (udp(7); net/ipv4/udp.c, net/ipv6/udp.c)."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from portside.addr.abi import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    IPPROTO_ICMP,
    IPPROTO_UDP,
    MSG_CTRUNC,
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_OOB,
    MSG_PEEK,
    MSG_PROBE,
    MSG_TRUNC,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRBAND,
    POLLWRNORM,
    RCV_SHUTDOWN,
    SEND_SHUTDOWN,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
    SOCK_DGRAM,
)
from portside.addr.ip import V4_ANY, V4_LOOPBACK, V6_ANY, V6_LOOPBACK, is_any, is_multicast, is_v4, needs_scope
from portside.facts.sockaddr import SockAddr
from portside.facts.state import CLOSED, ESTABLISHED
from portside.facts.verdict import Verdict
from portside.host import socket_control, udp_control
from portside.host.errors import fail
from portside.host.inet_socket import IP_MAX_MTU, InetSocket, describe, refuse
from portside.host.options import Table, int_of, stored
from portside.host.socket_file import MIN_RCVBUF, MIN_SNDBUF, Ancillary, Received
from portside.host.udp_control import Chosen, QueuedError
from portside.host.udp_pieces import Pieces
from portside.ip.interface import IPV6_MIN_MTU
from portside.ip.route import BROADCAST, MULTICAST, Route
from portside.sockets import datagram
from portside.udp import UdpQueue
from portside.wire.packet import Fragment, IcmpMessage, Payload, UdpDatagram
from portside.wire.skbuff import EMPTY_COST, cost_of

if TYPE_CHECKING:
    from portside.host.kernel import Host
    from portside.host.processes import Process

BUFFER: Final = 212992
LARGE_BUFFER: Final = 1 << 17
"""A send buffer of so many bytes has room for the largest datagram, in pieces for an MTU of 1280 or more."""
WRITABLE: Final = POLLOUT | POLLWRNORM | POLLWRBAND

UDP_CORK: Final = 1
UDP_SEGMENT: Final = 103
UDP_MAX_SEGMENTS: Final = 128

_get_cork, _keep_cork = stored(IPPROTO_UDP, UDP_CORK, boolean=True)


def _set_cork(sock: InetSocket, process: Process, value: bytes) -> None:
    """UDP_CORK: switched off, it lets go of what was held back."""
    _keep_cork(sock, process, value)
    if not int_of(value):
        assert isinstance(sock, UdpSocket)
        sock.push_corked()


UDP_OPTIONS: Table = {
    UDP_CORK: (_get_cork, _set_cork),
    101: stored(IPPROTO_UDP, 101, boolean=True),  # UDP_NO_CHECK6_TX
    102: stored(IPPROTO_UDP, 102, boolean=True),  # UDP_NO_CHECK6_RX
    UDP_SEGMENT: stored(IPPROTO_UDP, UDP_SEGMENT, low=0, high=0xFFFF),
    104: stored(IPPROTO_UDP, 104, boolean=True),  # UDP_GRO
}


END: Final = UdpDatagram(0, 0, 0, 0, b"")
"""What is received after shutdown(2), when nothing else is: no data, from nobody."""


class Corked:
    """A datagram that grows until MSG_MORE and UDP_CORK let it go, and where it will go to."""

    __slots__ = ("chosen", "data", "joined", "pieces", "port", "remote", "route")

    def __init__(
        self, data: bytes, pieces: Pieces, remote: int, port: int, route: Route, chosen: Chosen | None = None
    ) -> None:
        self.data = data
        self.chosen = chosen
        self.joined = 0  # bytes of it that came after the first piece
        self.pieces = pieces
        self.remote = remote
        self.port = port
        self.route = route


class Held:
    """The sender of packets that take other buffers than they would each by itself: those that they were made in.

    Such are the datagrams that UDP_SEGMENT makes of one send, of which the first has it as its sender and the others
    have none, and a datagram whose data came by and by. `memory` is what they take together, in bytes.
    """

    __slots__ = ("host", "memory", "socket")

    def __init__(self, socket: UdpSocket, memory: int) -> None:
        self.host = socket.host
        self.socket = socket
        self.memory = memory

    def datagram_left(self) -> None:
        """See `UdpSocket.datagram_left`."""
        self.socket.datagram_left()


class UdpSocket(InetSocket):
    """A UDP or UDP-Lite socket.

    `queue` holds what arrived, `closed_ways` the directions that shutdown(2) closed, `route` the last one used,
    `misled` the address and port to which a connect(2) failed, or something was held back that had one of its own.
    """

    __slots__ = ("closed_ways", "corked", "errors", "misled", "queue", "route", "send_buffer")

    level = IPPROTO_UDP
    level_options = UDP_OPTIONS

    def __init__(self, host: Host, family: int, proto: int, uid: int) -> None:
        entry = host.stack.table(proto).open(family, uid, self)
        super().__init__(host, family, SOCK_DGRAM, proto, entry)
        self.queue = UdpQueue(BUFFER)
        self.send_buffer = BUFFER
        self.closed_ways = 0
        self.corked: Corked | None = None
        self.errors: list[QueuedError] = []  # sk_error_queue, for sockets with IP_RECVERR
        self.route: Route | None = None
        self.misled: tuple[int, int] | None = None

    # -- names --

    def bind(self, process: Process, address: SockAddr) -> None:
        """Give the socket an address and a port, any free one for port 0 (bind(2), udp(7))."""
        value, port, scope = self.target(address)
        verdict = self.host.stack.bind(process, self.entry, value, port, scope)
        if not verdict:
            raise refuse(verdict)
        self.route = None

    def _autobind(self) -> None:
        """A socket that sends without a name gets a port (inet_autobind): EAGAIN when there is none."""
        if not self.entry.lport and not self.host.stack.autobind(self.entry):
            raise fail(errno.EAGAIN)

    def connect(self, process: Process, address: SockAddr, deadline: int | None = None) -> None:
        """Set the default destination, and hear only from there (connect(2), udp(7)).

        EACCES: a broadcast address without SO_BROADCAST. ENETUNREACH and its neighbours: no route. EAGAIN: no port
        left. AF_UNSPEC dissolves the association.
        """
        if address[0] == AF_UNSPEC:
            self._disconnect()
            return
        self._autobind()
        remote, port, scope = self.destination(address)
        remote = self.this_host(remote)  # ip_route_connect looks twice, and the second time for what it found
        entry = self.entry
        if needs_scope(remote):
            self._take_scope(scope)
        route = self._route_to_v4(remote, port) if is_v4(remote) else self._route(remote)
        datagram.connect(self.host.stack.table(self.proto), entry, route.dst, port, route.src)
        self.route = route

    def _route_to_v4(self, remote: int, port: int) -> Route:
        """The route of a connect(2) over IPv4, which leads astray what was said before (__ip4_datagram_connect).

        Linux looks for it in the place (inet->cork.fl) that has the destination of what is held back, and of what a
        connected socket sends by a route that it has used before. A connect(2) that fails leaves its address there.
        """
        self.route = None
        try:
            route = self._route(remote)
            if route.kind == BROADCAST and not self.knobs.broadcast:
                raise fail(errno.EACCES)
        except OSError:
            self.misled = (remote, port)
            self._mislead_corked(remote, port, self.entry.saddr)
            raise
        self.misled = None
        self._mislead_corked(route.dst, port, route.src)
        if self.corked is not None and self.corked.route.kind == MULTICAST:
            self.corked.route = route  # that of a group does not reach a peer here
        return route

    def _mislead_corked(self, remote: int, port: int, source: int) -> None:
        corked = self.corked
        if corked is not None:
            corked.remote, corked.port = remote, port
            corked.route = _redirected(corked.route, remote, source)

    def _take_scope(self, scope: int) -> None:
        """A link-local peer binds the socket to the interface that its scope names (__ip6_datagram_connect)."""
        device = self.entry.device
        if device and scope and scope != device:
            raise fail(errno.EINVAL)
        if not device and not scope:
            raise fail(errno.EINVAL)
        if scope:
            self.host.stack.table(self.proto).set_device(self.entry, scope)

    def _disconnect(self) -> None:
        """connect(2) with AF_UNSPEC: an automatic port is given back, an explicit one kept (__udp_disconnect)."""
        datagram.disconnect(self.host.stack.table(self.proto), self.entry)
        self.route = None

    def getpeername(self) -> SockAddr:
        """The default destination; ENOTCONN without one."""
        entry = self.entry
        if not entry.rport:
            raise fail(errno.ENOTCONN)
        return self.sockaddr(entry.raddr, entry.rport)

    def destination(self, address: SockAddr) -> tuple[int, int, int]:
        """Where a destination leads: `::` is this host's loopback (udpv6_sendmsg); of 0.0.0.0 the route says it."""
        remote, port, scope = self.target(address)
        if self.family == AF_INET:
            return remote, port, 0
        if address[0] != AF_INET6:
            raise fail(errno.EAFNOSUPPORT)
        local = self.entry.saddr
        if remote == 0:
            remote = V4_LOOPBACK if local and is_v4(local) else V6_LOOPBACK
        if is_v4(remote):
            if self.entry.v6only:
                raise fail(errno.ENETUNREACH)
            return remote, port, 0
        return remote, port, scope

    def _route(self, remote: int, scope: int = 0, connected: bool = True, chosen: Chosen | None = None) -> Route:
        # A socket that was connected over the other family keeps its name, and sends from what the route says.
        entry = self.entry
        own = is_v4(entry.saddr) == is_v4(remote) and not entry.transparent
        source = entry.saddr if own else wildcard(remote)
        device = scope if scope and needs_scope(remote) else entry.device
        if chosen is not None:
            source, device = self._chosen_source(chosen, source, device)
        lookup = self.host.ip.lookup if connected else self.host.ip.lookup_unscoped
        route = lookup(remote, source, device)
        if isinstance(route, Verdict):
            raise refuse(route)
        if self.family == AF_INET6 and is_v4(self.entry.saddr) and not is_v4(remote):
            raise fail(errno.EAFNOSUPPORT)  # ip6_dst_lookup_tail asks this after the route
        return route

    def _chosen_source(self, chosen: Chosen, source: int, device: int) -> tuple[int, int]:
        """Source address and interface as IP_PKTINFO and IPV6_PKTINFO choose them.

        ENODEV for an interface that this host has not; EINVAL for such an address, ENETUNREACH over IPv4.
        """
        if chosen.interface:
            if chosen.interface not in self.host.ip.interfaces:
                raise fail(errno.ENODEV)
            device = chosen.interface
        if chosen.source:
            if not self.host.ip.is_local(chosen.source):
                raise fail(errno.ENETUNREACH if is_v4(chosen.source) else errno.EINVAL)
            source = chosen.source
        return source, device

    # -- data --

    def sendmsg(
        self, process: Process, data: Payload, ancillary: list[Ancillary], flags: int = 0,
        address: SockAddr | None = None, deadline: int | None = None,
    ) -> int:  # fmt: skip
        """As `send`, with control messages: EINVAL for what is wrong with those, EPERM (ip(7), ipv6(7), socket(7))."""
        socket_control.check_rights(process, ancillary)
        return self.send(data, flags, address, deadline, ancillary)

    def send(
        self, data: Payload, flags: int = 0, address: SockAddr | None = None, deadline: int | None = None,
        control: Sequence[Ancillary] = (),
    ) -> int:  # fmt: skip
        """Send one datagram to `address`, or to the default destination (udp_sendmsg).

        EDESTADDRREQ: no destination. EMSGSIZE: too long. EACCES: broadcast without SO_BROADCAST. EPIPE: after
        SHUT_WR. EPERM: the filter drops it. ECONNREFUSED and its neighbours: an error that arrived before.
        """
        if len(data) > 0xFFFF:
            raise fail(errno.EMSGSIZE)
        if flags & MSG_OOB and self._over_v4(address):
            raise fail(errno.EOPNOTSUPP)
        self._autobind()
        if self.corked is not None:
            return self._append(data, flags, address)
        if address is None:
            remote, port, route, chosen = self._way_to_peer(flags, control)
        else:
            remote, port, scope = self.destination(address)
            if port == 0:
                raise fail(errno.EINVAL)
            chosen = udp_control.chosen(self.family, control, is_v4(remote)) if control else None
            route = self._route(remote, scope, False, chosen)
        if route.kind == BROADCAST and not self.knobs.broadcast:
            raise fail(errno.EACCES)
        if flags & MSG_PROBE:
            return len(data)  # the way there was looked up, and that was all
        corks = self._corks(flags)
        if corks:
            self.misled = None if address is None else (route.dst, port)  # in inet->cork.fl: see `_route_to_v4`
        self._may_send(len(data), route)
        if self.host.ip.neighbors.held:
            self._wait_for_room(flags, deadline)
        if corks:
            pieces = self._pieces(len(data), remote, route, chosen)
            self.corked = Corked(bytes(data), pieces, remote, port, route, chosen)
            return len(data)
        if len(data) + 48 > route.mtu and (self.send_buffer < LARGE_BUFFER or route.mtu < IPV6_MIN_MTU):
            self._pieces(len(data), remote, route, chosen)
        return self._transmit(data, remote, port, route, chosen)

    def _wait_for_room(self, flags: int, deadline: int | None) -> None:
        """Let what waits to be sent leave until it is less than SO_SNDBUF (sock_alloc_send_pskb).

        EAGAIN: it is not, and the call may not wait (any longer).
        """
        limit: int | None = -1
        while self.send_memory() >= self.send_buffer:
            if limit == -1:
                limit = self.write_limit(flags, deadline)
            if not self.wait(POLLOUT, limit, "send"):
                raise fail(errno.EAGAIN)
            self._check_sending()

    def _pieces(self, length: int, remote: int, route: Route, chosen: Chosen | None) -> Pieces:
        """The buffers of a datagram; ENOBUFS when those of its fragments are more than twice SO_SNDBUF."""
        segmented = self._segment_size(chosen) > 0
        pieces = Pieces(is_v4(remote), IP_MAX_MTU if segmented else route.mtu, segmented)
        if not pieces.add(length, self._room()):
            raise fail(errno.ENOBUFS)
        return pieces

    def _room(self) -> int:
        """How much a datagram may take before a piece that is not its first is refused."""
        return 2 * self.send_buffer - self._memory_waiting()

    def _over_v4(self, address: SockAddr | None) -> bool:
        return self.family == AF_INET or is_v4(self.entry.raddr if address is None else self.destination(address)[0])

    def _way_to_peer(self, flags: int, control: Sequence[Ancillary]) -> tuple[int, int, Route, Chosen | None]:
        """Where a send without an address goes, and the route there: the one used last, if it still holds."""
        entry = self.entry
        if entry.state != ESTABLISHED:
            raise fail(errno.EDESTADDRREQ)
        remote, port, route = entry.raddr, entry.rport, self.route
        if not port and self.family == AF_INET6 and is_v4(remote):
            raise fail(errno.EINVAL)  # udpv6_sendmsg passes it on as an address that was given
        chosen: Chosen | None = None
        if control:
            chosen = udp_control.chosen(self.family, control, is_v4(remote))
            route = self._route(remote, chosen=chosen)
        elif route is None or route.generation != self.host.ip.routes.generation:
            self.route = route = self._route(remote)
        elif self.misled is not None and self.family == AF_INET and not self._corks(flags):
            remote, port = self.misled
            route = _redirected(route, remote, route.src)
        return remote, port, route, chosen

    def _append(self, data: Payload, flags: int, address: SockAddr | None) -> int:
        """Add to the datagram that MSG_MORE or UDP_CORK holds back; it goes where its first part was to go."""
        corked = self.corked
        assert corked is not None
        if address is not None and not is_v4(corked.remote) and is_v4(self.destination(address)[0]):
            raise fail(errno.EINVAL)  # udp_sendmsg: what is held back is of the other family
        if flags & MSG_PROBE:
            return len(data)
        if len(corked.data) + len(data) > _limit(corked.route):
            self.corked = None  # udp_flush_pending_frames: all of it is lost
            raise fail(errno.EMSGSIZE)
        if not corked.pieces.add(len(data), self._room()):
            self.corked = None
            raise fail(errno.ENOBUFS)
        corked.data += bytes(data)
        corked.joined += len(data)
        if not self._corks(flags):
            self.push_corked()
        return len(data)

    def _corks(self, flags: int) -> bool:
        """Whether more is to come before the datagram is sent."""
        return bool(flags & MSG_MORE or self.knobs.other.get((IPPROTO_UDP, UDP_CORK)))

    def push_corked(self) -> None:
        """Send what was held back (udp_push_pending_frames)."""
        corked, self.corked = self.corked, None
        if corked is not None:
            sender = Held(self, corked.pieces.memory) if corked.joined else self
            self._transmit(
                corked.data, corked.remote, corked.port, corked.route, corked.chosen, corked.joined, sender
            )

    def _may_send(self, length: int, route: Route) -> None:
        """What sock_alloc_send_pskb and ip_append_data refuse."""
        if length > _limit(route):
            raise fail(errno.EMSGSIZE)
        self._check_sending()

    def _check_sending(self) -> None:
        error = self.take_error()
        if error:
            raise fail(error)
        if self.closed_ways & SEND_SHUTDOWN:
            raise fail(errno.EPIPE)

    def _transmit(
        self, data: Payload, remote: int, port: int, route: Route, chosen: Chosen | None = None, joined: int = 0,
        sender: object = None,
    ) -> int:  # fmt: skip
        size = self._segment_size(chosen)
        if size:
            if min(len(data), size) + (28 if is_v4(remote) else 48) > route.mtu:
                raise fail(errno.EMSGSIZE)
            if len(data) > size:
                return self._transmit_segments(data, size, remote, port, route, chosen)
        return self._transmit_one(data, remote, port, route, chosen, joined, sender or self)

    def _segment_size(self, chosen: Chosen | None) -> int:
        """UDP_SEGMENT: how large the datagrams are that what is sent is cut into, 0 for one (udp(7))."""
        if chosen is not None and chosen.segment >= 0:
            return chosen.segment
        return self.knobs.other.get((IPPROTO_UDP, UDP_SEGMENT), 0) if self.proto == IPPROTO_UDP else 0

    def _transmit_segments(
        self, data: Payload, size: int, remote: int, port: int, route: Route, chosen: Chosen | None
    ) -> int:
        """Send several datagrams (udp_send_skb, __udp_gso_segment). EINVAL for more than UDP_MAX_SEGMENTS."""
        if len(data) > size * UDP_MAX_SEGMENTS:
            raise fail(errno.EINVAL)
        view = memoryview(bytes(data))
        sender: object = Held(self, EMPTY_COST + len(view))
        for start in range(0, len(view), size):
            self._transmit_one(view[start : start + size], remote, port, route, chosen, 0, sender)
            sender = None
        return len(view)

    def _transmit_one(
        self, data: Payload, remote: int, port: int, route: Route, chosen: Chosen | None, joined: int, sender: object
    ) -> int:
        entry, knobs = self.entry, self.knobs
        source = entry.saddr if entry.transparent and not is_any(entry.saddr) else route.src
        packet = UdpDatagram(source, route.dst, entry.lport, port, bytes(data), self.proto)
        packet.sender = sender
        packet.joined = joined
        if is_v4(remote):
            packet.tos = knobs.tos
            ttl = knobs.multicast_ttl if is_multicast(remote) else knobs.ttl
            packet.ttl = ttl if ttl != -1 else self.host.settings.ip_default_ttl
            packet.dont_fragment = _dont_fragment(knobs.mtu_discover, len(data) + 28, route.mtu)
        else:
            limit = knobs.multicast_hops if is_multicast(remote) else knobs.hop_limit
            packet.ttl = limit if limit != -1 else (1 if is_multicast(remote) else self.host.settings.ip6_hop_limit)
            packet.tos = max(knobs.tclass, 0)
            packet.dont_fragment = knobs.mtu_discover6 in (2, 3)
        if chosen is not None:
            self._choose(packet, chosen)
        stack = self.host.stack
        error = stack.ip.send(packet, route)
        stack.settle()
        if error:
            raise fail(error)
        return len(data)

    def _choose(self, packet: UdpDatagram, chosen: Chosen) -> None:
        """Give a datagram what its control messages chose."""
        if chosen.source and not self.entry.transparent:
            packet.src = chosen.source
        if chosen.ttl != -1:
            packet.ttl = chosen.ttl
        if chosen.tos != -1:
            packet.tos = chosen.tos
        if chosen.dont_fragment:
            packet.dont_fragment = True

    def arrives(self, packet: UdpDatagram, ifindex: int) -> None:
        """A datagram for this socket: queue it, or drop it when the receive buffer is full."""
        if self.queue.deliver(packet, ifindex):
            self.wake(POLLIN | POLLRDNORM)

    def icmp_error(self, number: int, hard: bool, message: IcmpMessage, sent: UdpDatagram) -> None:
        """An ICMP error about a datagram that this socket sent (__udp4_lib_err).

        A connected socket hears the hard ones; with IP_RECVERR (for ICMPv6 with IPV6_RECVERR) every socket hears all,
        and each waits in the error queue.
        """
        if self.knobs.recverr if message.proto == IPPROTO_ICMP else self.knobs.recverr6:
            self.errors.append(QueuedError(number, message, sent))
        elif not hard or self.entry.state != ESTABLISHED:
            return
        self.queue.set_error(number)
        self.wake(POLLERR)

    def recv(self, length: int, flags: int = 0, deadline: int | None = None) -> Received:
        """Take the oldest datagram, cut to `length` (udp_recvmsg). A pending error is reported first.

        With MSG_TRUNC the whole datagram is returned: its length is what the call answers. EAGAIN: nothing there and
        may not wait (any longer).
        """
        if flags & MSG_ERRQUEUE:
            data, _, answer, sender = self._recv_error(length)
            return data, sender, answer
        packet, ifindex = self._take(flags, deadline)
        data = bytes(packet.data)
        answer = MSG_TRUNC if len(data) > length else 0
        if answer and not flags & MSG_TRUNC:
            data = data[:length]
        return data, self._sender(packet, ifindex), answer

    def recvmsg(
        self, process: Process, length: int, ancillary_length: int, flags: int = 0, deadline: int | None = None
    ) -> tuple[bytes, list[Ancillary], int, SockAddr | None]:
        """As `recv`, with the control messages that were asked for; MSG_CTRUNC where they do not fit (put_cmsg)."""
        if flags & MSG_ERRQUEUE:
            data, control, answer, sender = self._recv_error(length)
        else:
            packet, ifindex = self._take(flags, deadline)
            control = udp_control.describe(self.family, self.knobs, packet, ifindex) if packet is not END else []
            data = bytes(packet.data[:length])
            answer = MSG_TRUNC if len(packet.data) > length else 0
            sender = self._sender(packet, ifindex)
        fitting: list[Ancillary] = []
        room = ancillary_length
        for level, kind, content in control:
            if room < 16 + len(content):
                answer |= MSG_CTRUNC
                break
            fitting.append((level, kind, content))
            room -= 16 + (len(content) + 7 & ~7)
        return data, fitting, answer, sender

    def _recv_error(self, length: int) -> tuple[bytes, list[Ancillary], int, SockAddr | None]:
        """MSG_ERRQUEUE: the oldest error, the datagram it is about and whither that was sent (ip_recv_error)."""
        if not self.errors:
            raise fail(errno.EAGAIN)
        oldest = self.errors.pop(0)
        self.queue.error = self.errors[0].number if self.errors else 0
        data = bytes(oldest.datagram.data[:length])
        answer = MSG_ERRQUEUE | (MSG_TRUNC if len(oldest.datagram.data) > length else 0)
        control = [oldest.control(self.family)]
        return data, control, answer, udp_control.destination(self.family, oldest.datagram)

    def _take(self, flags: int, deadline: int | None) -> tuple[UdpDatagram, int]:
        """The oldest datagram and the interface it came by, waiting for one; MSG_PEEK leaves it (__skb_recv_udp)."""
        queue = self.queue
        limit: int | None = -1
        while True:
            if queue.error:
                raise fail(queue.take_error())
            got = queue.receive(bool(flags & MSG_PEEK))
            if got is not None:
                return got
            if limit == -1:
                limit = self.read_limit(flags, deadline)
            if limit is not None and limit <= self.host.world.now:
                raise fail(errno.EAGAIN)
            if self.closed_ways & RCV_SHUTDOWN:
                return END, 0
            if not self.wait(POLLIN, limit, "recv"):
                raise fail(errno.EAGAIN)

    def _sender(self, packet: UdpDatagram, ifindex: int) -> SockAddr | None:
        if packet is END:
            return None
        source = packet.src
        if self.family == AF_INET:
            return AF_INET, source, packet.sport
        return AF_INET6, source, packet.sport, 0, ifindex if needs_scope(source) else 0

    # -- the end --

    def shutdown(self, how: int) -> None:
        """Close a direction (inet_shutdown): ENOTCONN when unconnected, and yet it is closed."""
        if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
            raise fail(errno.EINVAL)
        self.closed_ways |= how + 1
        self.wake(POLLIN | POLLOUT | POLLHUP)
        if self.entry.state == CLOSED:
            raise fail(errno.ENOTCONN)

    def release(self) -> None:
        """Give the port back; what was not read is gone."""
        self.queue.clear()
        self.host.stack.table(self.proto).remove(self.entry)

    def poll(self) -> int:
        """What is true now (udp_poll, datagram_poll). It can be written to while half of the send buffer is free."""
        events = self.queue.poll()
        if (self.corked is not None or self.host.ip.neighbors.held) and self.send_memory() + 1 >= self.send_buffer >> 1:
            events &= ~WRITABLE
        if self.errors:
            events |= POLLERR
        ways = self.closed_ways
        if ways & RCV_SHUTDOWN:
            events |= POLLRDHUP | POLLIN | POLLRDNORM
        if ways == RCV_SHUTDOWN | SEND_SHUTDOWN:
            events |= POLLHUP
        return events

    def describe(self) -> str:
        """`udp 10.0.0.1:53`, with the peer when connected."""
        return describe(self.entry)

    # -- options --

    def take_error(self) -> int:
        """The pending error, which is then forgotten: SO_ERROR."""
        return self.queue.take_error()

    def sndbuf(self) -> int:
        """SO_SNDBUF as it is shown."""
        return self.send_buffer

    def rcvbuf(self) -> int:
        """SO_RCVBUF as it is shown."""
        return self.queue.rcvbuf

    def set_sndbuf(self, asked: int) -> None:
        """Set the send buffer to twice what was asked for, at least SOCK_MIN_SNDBUF."""
        self.send_buffer = max(asked * 2, MIN_SNDBUF)

    def set_rcvbuf(self, asked: int) -> None:
        """Set the receive buffer to twice what was asked for, at least SOCK_MIN_RCVBUF."""
        self.queue.rcvbuf = max(asked * 2, MIN_RCVBUF)

    def set_device(self, index: int) -> None:
        """Bind to the interface of that index, 0 for none: SO_BINDTODEVICE."""
        self.host.stack.table(self.proto).set_device(self.entry, index)
        self.route = None

    def purge_errors(self) -> None:
        """IP_RECVERR was switched off: the error queue is emptied."""
        self.errors.clear()

    def path_mtu(self) -> int:
        """The MTU of the path to the peer; 0 when not connected."""
        if self.route is None:
            return 0
        return min(self.route.mtu, IP_MAX_MTU) if is_v4(self.route.dst) else self.route.mtu

    def received_memory(self) -> int:
        """Bytes of receive buffer that datagrams and errors take which nobody has read (udp_rqueue_get)."""
        memory = self.queue.memory - self.queue.owed
        for error in self.errors:
            memory += error.memory()
        return memory

    def ioctl_inq(self) -> int:
        """FIONREAD: bytes of the oldest datagram (udp(7))."""
        return self.queue.head_size()

    def ioctl_outq(self) -> int:
        """SIOCOUTQ: what is not sent yet, with its buffers."""
        return self.send_memory()

    def send_memory(self) -> int:
        """The buffers of datagrams that MSG_MORE or UDP_CORK holds back, or that wait for a neighbour's address, in
        bytes (sk_wmem_alloc)."""
        corked = self.corked
        return self._memory_waiting() + (0 if corked is None else corked.pieces.memory)

    def _memory_waiting(self) -> int:
        memory = 0
        neighbors = self.host.ip.neighbors
        for packet in neighbors.waiting() if neighbors.held else ():
            whole = packet.whole if isinstance(packet, Fragment) else packet
            if not isinstance(whole, UdpDatagram):
                continue
            sender = whole.sender
            if isinstance(sender, Held):
                if sender.socket is self and (packet is whole or (isinstance(packet, Fragment) and not packet.offset)):
                    memory += sender.memory
            elif sender is self:
                memory += cost_of(packet)
        return memory

    def datagram_left(self) -> None:
        """Something of this socket waits no longer: who waits for room is told when half of it is free
        (sock_def_write_space)."""
        if 2 * self.send_memory() <= self.send_buffer:
            self.wake(WRITABLE)


def _redirected(route: Route, remote: int, source: int) -> Route:
    """The same way for packets to another address."""
    return Route(
        remote, source, route.interface, route.kind, next_hop=route.next_hop, mtu=route.mtu, entry=route.entry,
        generation=route.generation,
    )  # fmt: skip


def _limit(route: Route) -> int:
    """The most data in one datagram: what the length fields of IPv4 and of UDP can tell."""
    return 65507 if is_v4(route.dst) else 65527


def wildcard(address: int) -> int:
    """`0.0.0.0` or `::`, whichever is of the address's family."""
    return V4_ANY if is_v4(address) else V6_ANY


def _dont_fragment(discover: int, size: int, mtu: int) -> bool:
    """IP_MTU_DISCOVER: by default (WANT) what fits is sent unfragmentable, what does not is cut (ip_dont_fragment)."""
    return discover in (2, 3) or (discover == 1 and size <= mtu)
