"""Which packets belong to a connection seen before: for the packet filter only (nft(8), "ct state")."""

from __future__ import annotations

from typing import Final

from portside.addr.abi import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, SECOND
from portside.wire.packet import ACK, FIN, RST, SYN, Fragment, IcmpMessage, Packet, TcpSegment, UdpDatagram

# States as bits, so that a rule can name several.
NEW: Final = 1
ESTABLISHED: Final = 2
RELATED: Final = 4
INVALID: Final = 8

STATE_NAMES: Final = {"new": NEW, "established": ESTABLISHED, "related": RELATED, "invalid": INVALID}

MAX_ENTRIES: Final = 65536  # net.netfilter.nf_conntrack_max

# How long an entry lives without a packet: net.netfilter.nf_conntrack_*_timeout*, ns.
TCP_SYN_SENT: Final = 120 * SECOND
TCP_ESTABLISHED: Final = 432000 * SECOND
TCP_CLOSING: Final = 120 * SECOND
TCP_CLOSE: Final = 10 * SECOND
UDP: Final = 30 * SECOND
UDP_STREAM: Final = 120 * SECOND
ICMP: Final = 30 * SECOND
GENERIC: Final = 600 * SECOND

Key = tuple[int, int, int, int, int]
"""Protocol, source, source port, destination, destination port; an echo has its identifier for both ports."""


class Connection:
    """One tracked connection (struct nf_conn), by the direction of its first packet."""

    __slots__ = ("closed", "expires", "fins", "key", "renamed", "replied", "reply_key")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.reply_key: Key = (key[0], key[3], key[4], key[1], key[2])
        self.replied = False  # a packet came the other way (IPS_SEEN_REPLY)
        self.closed = False  # TCP: reset, or FIN from both sides
        self.fins = 0  # TCP: 1 original direction, 2 reply direction
        self.expires = 0
        self.renamed = 0  # what NAT has decided about: nat.SOURCE, nat.DESTINATION


class Conntrack:
    """The connections that pass one host, noticed from the first rule on that asks for a state.

    `state` says what a packet is, `confirm` remembers it once the filter has let it pass. TCP is followed by
    its flags; sequence numbers are not checked (as with nf_conntrack_tcp_be_liberal).
    """

    def __init__(self) -> None:
        self.connections: dict[Key, Connection] = {}  # by both keys
        self.attached: Packet | None = None  # the latest reset by which a filter rejected

    def state(self, packet: Packet, now: int, *, ours: bool = False) -> int:
        """The state bit of a packet: NEW, ESTABLISHED, RELATED or INVALID. Changes nothing (nf_conntrack_in).

        Args: ours: this host made the packet. Then an ICMP error is related also to a packet that was
        rejected and so began no connection (nf_ct_attach), and so is the reset of a filter.
        """
        if isinstance(packet, IcmpMessage) and packet.quoted is not None:
            known = self._find(key_of(packet.quoted), now) is not None or (ours and may_begin(packet.quoted))
            return RELATED if known else INVALID
        if packet is self.attached:
            return RELATED
        key = key_of(packet)
        connection = self._find(key, now)
        if connection is None:
            return NEW if may_begin(packet) else INVALID
        if isinstance(packet, TcpSegment) and reopens(packet, connection):
            return NEW
        if connection.replied or key != connection.key:
            return ESTABLISHED
        return NEW

    def confirm(self, packet: Packet, now: int) -> None:
        """The filter let a packet pass: remember its connection, and what the packet did to it."""
        if packet is self.attached or (isinstance(packet, IcmpMessage) and packet.quoted is not None):
            return
        key = key_of(packet)
        connection = self._find(key, now)
        if isinstance(packet, TcpSegment) and connection is not None and reopens(packet, connection):
            self._forget(connection)
            connection = None
        if connection is None:
            if not may_begin(packet):
                return
            connection = self._remember(key, now)
            if connection is None:
                return
        if key != connection.key:
            connection.replied = True
        connection.expires = now + lifetime(packet, connection)

    def _find(self, key: Key, now: int) -> Connection | None:
        connection = self.connections.get(key)
        if connection is not None and connection.expires <= now:
            self._forget(connection)
            return None
        return connection

    def _remember(self, key: Key, now: int) -> Connection | None:
        if len(self.connections) >= 2 * MAX_ENTRIES:
            for old in [each for each in self.connections.values() if each.expires <= now]:
                self._forget(old)
            if len(self.connections) >= 2 * MAX_ENTRIES:
                return None
        connection = Connection(key)
        # The reply first: of a connection to itself (key equal to reply key) one entry is left.
        self.connections[connection.reply_key] = connection
        self.connections[key] = connection
        return connection

    def _forget(self, connection: Connection) -> None:
        self.connections.pop(connection.key, None)
        self.connections.pop(connection.reply_key, None)


def key_of(packet: Packet) -> Key:
    """What identifies the connection of a packet, in the packet's direction."""
    if isinstance(packet, Fragment):
        packet = packet.whole
    if isinstance(packet, TcpSegment | UdpDatagram):
        return packet.proto, packet.src, packet.sport, packet.dst, packet.dport
    if isinstance(packet, IcmpMessage):
        identifier = packet.extra >> 16
        return packet.proto, packet.src, identifier, packet.dst, identifier
    return packet.proto, packet.src, 0, packet.dst, 0


def may_begin(packet: Packet) -> bool:
    """Whether a packet of no known connection begins one.

    TCP: a SYN does, and an ACK of a connection that began unseen (nf_conntrack_tcp_loose); SYN-ACK, FIN and
    RST do not. ICMP: an echo request does, an echo reply does not.
    """
    if isinstance(packet, TcpSegment):
        flags = packet.flags & (SYN | ACK | RST | FIN)
        return flags in (SYN, ACK)
    if isinstance(packet, IcmpMessage):
        return packet.type in (8, 128)
    return True


def reopens(segment: TcpSegment, connection: Connection) -> bool:
    """Whether a SYN begins a new connection in the place of one that is over."""
    return connection.closed and segment.flags & (SYN | ACK | RST) == SYN


def lifetime(packet: Packet, connection: Connection) -> int:
    """How long the connection is remembered after this packet, ns."""
    if isinstance(packet, TcpSegment):
        return _tcp_lifetime(packet, connection)
    if packet.proto in (IPPROTO_ICMP, IPPROTO_ICMPV6):
        return ICMP
    if isinstance(packet, UdpDatagram):
        return UDP_STREAM if connection.replied else UDP
    return GENERIC


def _tcp_lifetime(segment: TcpSegment, connection: Connection) -> int:
    assert segment.proto == IPPROTO_TCP
    if segment.flags & RST:
        connection.closed = True
        return TCP_CLOSE
    if segment.flags & FIN:
        connection.fins |= 1 if segment.src == connection.key[1] and segment.sport == connection.key[2] else 2
        connection.closed = connection.fins == 3
    if connection.fins:
        return TCP_CLOSING
    return TCP_ESTABLISHED if connection.replied and not segment.flags & SYN else TCP_SYN_SENT
