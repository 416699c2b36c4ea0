"""Connections as the packet filter follows them, and the addresses and ports that NAT gives them.

A connection is known by the packets of its first direction as they were made, `key`, and by the packets that answer
them as they will come, `reply_key`. Without NAT one is the other turned around; NAT changes `reply_key`, and every
packet is given the names that follow from the key of the other direction (nf_conntrack_core.c, nf_nat_core.c).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from portside.facts.rule import FirewallRule
from portside.ip.conntrack import (
    ESTABLISHED,
    INVALID,
    NEW,
    RELATED,
    Connection,
    Key,
    key_of,
    lifetime,
    may_begin,
    reopens,
)  # fmt: skip
from portside.wire.packet import RST, Fragment, IcmpMessage, Packet, TcpSegment, UdpDatagram

UNTRACKED: Final = 16

SOURCE: Final = 1  # what NAT changes: NF_NAT_MANIP_SRC, NF_NAT_MANIP_DST
DESTINATION: Final = 2


class Passage:
    """What the kernel keeps with a packet on its way through the filter (the fields nfct and mark of struct sk_buff).

    `reply`: it goes the other way than the packet that began its connection. `uid`: whose socket it is of, if any;
    `device`: the interface that this is bound to, or 0. `marked_by`: a rule that set the mark to what is not known.
    """

    __slots__ = ("back", "connection", "device", "mark", "marked_by", "packet", "reply", "state", "uid")

    def __init__(self, packet: Packet) -> None:
        self.packet = packet
        self.connection: Connection | None = None
        self.state = INVALID
        self.reply = False
        self.mark = 0
        self.marked_by: FirewallRule | None = None
        self.uid: int | None = None
        self.device = 0
        self.back: Callable[[Packet], None] | None = None  # sends by the bridge's port where br_netfilter has seen it


class Tracker:
    """The connections that pass one host, with their NAT."""

    def __init__(self) -> None:
        self.connections: dict[Key, Connection] = {}  # by both keys
        self.attached: Passage | None = None  # what is sent now answers this packet, which was rejected

    def attach(self, passage: Passage) -> None:
        """Make what answers a rejected packet part of the same connection (nf_conntrack_attach)."""
        rejected, self.attached = self.attached, None
        if rejected is not None and rejected.connection is not None:
            passage.connection = rejected.connection
            passage.reply = not rejected.reply
            passage.state = RELATED

    def regard(self, packet: Packet, now: int) -> None:
        """What is sent next is about a packet that has left, with the names that NAT gave it."""
        key = key_of(packet)
        connection = self._find(inverted(key), now)
        if connection is not None:
            self.attached = passage = Passage(packet)
            passage.connection = connection
            passage.reply = key != translated(connection)

    def track(self, passage: Passage, now: int) -> None:
        """Say whose connection a packet is of, or that it begins one (nf_conntrack_in)."""
        if passage.state == RELATED:
            return  # it was made so
        packet = passage.packet
        if isinstance(packet, IcmpMessage) and packet.quoted is not None:
            known = self._find(inverted(key_of(packet.quoted)), now)
            if known is not None:
                passage.connection = known
                passage.reply = inverted(key_of(packet.quoted)) != known.key
                passage.state = RELATED
            return
        key = key_of(packet)
        connection = self._find(key, now)
        if connection is not None and isinstance(packet, TcpSegment) and reopens(packet, connection):
            self._forget(connection)
            connection = None
        if connection is None:
            if may_begin(packet):
                passage.connection = Connection(key)
                passage.state = NEW
            return
        passage.connection = connection
        passage.reply = key != connection.key
        if passage.reply:
            if not connection.replied and isinstance(packet, TcpSegment) and packet.flags & RST:
                self._forget(connection)  # "if only reply is a RST, we can consider ourselves not to have" one
            connection.replied = True
        passage.state = ESTABLISHED if connection.replied else NEW

    def confirm(self, passage: Passage, now: int) -> None:
        """The filter let a packet pass: remember its connection, and what the packet did to it."""
        connection = passage.connection
        if connection is None or passage.state == RELATED:
            return
        if self.connections.get(connection.key) is not connection:
            if passage.reply:
                return  # it was forgotten meanwhile
            self.connections[connection.reply_key] = connection
            self.connections[connection.key] = connection
        connection.expires = now + lifetime(passage.packet, connection)

    def taken(self, key: Key, connection: Connection, now: int) -> bool:
        """Whether answers with that key would be of another connection (nf_nat_used_tuple)."""
        other = self._find(key, now)
        return other is not None and other is not connection

    def _find(self, key: Key, now: int) -> Connection | None:
        connection = self.connections.get(key)
        if connection is not None and connection.expires <= now:
            self._forget(connection)
            return None
        return connection

    def _forget(self, connection: Connection) -> None:
        for key in (connection.key, connection.reply_key):
            if self.connections.get(key) is connection:
                del self.connections[key]


def inverted(key: Key) -> Key:
    """The key of what goes the other way."""
    return key[0], key[3], key[4], key[1], key[2]


def translated(connection: Connection) -> Key:
    """The names of the connection's first packets after NAT."""
    return inverted(connection.reply_key)


def has_source_nat(connection: Connection) -> bool:
    """Whether the source of its first packets is another after NAT (IPS_SRC_NAT)."""
    return translated(connection)[1:3] != connection.key[1:3]


def has_destination_nat(connection: Connection) -> bool:
    """Whether the destination of its first packets is another after NAT (IPS_DST_NAT)."""
    return translated(connection)[3:5] != connection.key[3:5]


def rename(connection: Connection, what: int, address: int, port: int) -> None:
    """Give the connection's first packets another source or destination."""
    proto, src, sport, dst, dport = translated(connection)
    names = (proto, address, port, dst, dport) if what == SOURCE else (proto, src, sport, address, port)
    connection.reply_key = inverted(names)


def apply(passage: Passage, what: int) -> bool:
    """Give a packet the source or the destination that it has after NAT; whether that is another (nf_nat_packet)."""
    connection = passage.connection
    if connection is None:
        return False
    changes = has_source_nat(connection) if (what == SOURCE) is not passage.reply else has_destination_nat(connection)
    if not changes:
        return False
    names = inverted(connection.key) if passage.reply else translated(connection)
    packet = passage.packet
    address, port = (names[1], names[2]) if what == SOURCE else (names[3], names[4])
    if isinstance(packet, IcmpMessage) and packet.quoted is not None:
        _rename_quoted(packet.quoted, what, address, port)
        port = 0
    return _rename(packet, what, address, port)


def _rename(packet: Packet, what: int, address: int, port: int) -> bool:
    whole = packet.whole if isinstance(packet, Fragment) else packet
    changed = (packet.src if what == SOURCE else packet.dst) != address
    if what == SOURCE:
        packet.src = whole.src = address
    else:
        packet.dst = whole.dst = address
    if isinstance(whole, TcpSegment | UdpDatagram) and port:
        changed = changed or (whole.sport if what == SOURCE else whole.dport) != port
        if what == SOURCE:
            whole.sport = port
        else:
            whole.dport = port
    return changed


def _rename_quoted(quoted: Packet, what: int, address: int, port: int) -> None:
    """The packet in an ICMP error goes the other way than the error (nf_nat_icmp_reply_translation)."""
    _rename(quoted, DESTINATION if what == SOURCE else SOURCE, address, port)


Free = Callable[[Key], bool]
"""Whether no other connection's answers have that key."""


def unique_port(connection: Connection, what: int, address: int, ports: tuple[int, int] | None, free: Free) -> int:
    """The port beside a new address: the old one if it may stay, else the first that makes the connection unique.

    Source: get_unique_tuple, nf_nat_l4proto_unique_tuple, whose choice in a range is by chance.
    """
    names = translated(connection)
    old = names[2] if what == SOURCE else names[4]
    if ports is None:
        if _is_free(names, what, address, old, free):
            return old
        low, high = (1, 511) if old < 512 else (600, 1023) if old < 1024 else (1024, 65535)
    else:
        low, high = ports
        if low <= old <= high and (low == high or _is_free(names, what, address, old, free)):
            return old
    return next((port for port in range(low, high + 1) if _is_free(names, what, address, port, free)), low)


def _is_free(names: Key, what: int, address: int, port: int, free: Free) -> bool:
    proto, src, sport, dst, dport = names
    renamed = (proto, address, port, dst, dport) if what == SOURCE else (proto, src, sport, address, port)
    return free(inverted(renamed))
