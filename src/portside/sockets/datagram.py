"""The UDP side: autobind, connect(2) and disconnecting.

Since 6.13 Linux finds a connected UDP socket by its four-tuple (hash4) before it compares scores. It computes the
place of a socket there at its first connect(2) and hardly ever again: a socket connected to a second peer is not
found at the new place and has to win by score, where a SO_REUSEPORT group that is met before it takes the datagram
(udp_lib_hash4, udp_lib_rehash). `Entry.place` is that place.
"""

from __future__ import annotations

from random import Random

from portside.addr.abi import AF_INET6
from portside.addr.ip import V4_ANY, V6_ANY
from portside.facts.state import CLOSED, ESTABLISHED
from portside.facts.verdict import ALLOWED, Verdict
from portside.sockets import rules
from portside.sockets.bind import get_datagram_port
from portside.sockets.entry import Entry
from portside.sockets.table import NOWHERE, SocketTable


def autobind(table: SocketTable, entry: Entry, random: Random) -> Verdict:
    """Give a UDP socket without a port one, as send(2) and connect(2) do before all else (inet_autobind).

    Errors: EAGAIN, when no port is left.
    """
    if entry.lport:
        return ALLOWED
    if get_datagram_port(table, entry, 0, random).errno:
        return rules.REFUSE_NO_PORT_LEFT_UDP
    entry.sport = entry.lport
    return ALLOWED


def connect(table: SocketTable, entry: Entry, raddr: int, rport: int, source: int) -> None:
    """Connect a UDP socket that has a port to a peer: it hears only the peer from now on (__ip4_datagram_connect).

    Call `autobind` first, then ask the route. A connected socket may be connected again. Args: source: the address
    that the route uses; taken when the socket is bound to none.
    """
    if entry.state == ESTABLISHED and entry.raddr == raddr and entry.rport == rport:
        return  # it keeps its place among equals
    table.drop_datagram(entry)
    if entry.saddr in (V4_ANY, V6_ANY):
        entry.saddr = source
    if entry.laddr in (V4_ANY, V6_ANY):
        _rehash(table, entry, source)
    entry.stale_peer = 0
    entry.raddr = raddr
    entry.rport = rport
    entry.state = ESTABLISHED
    if entry.group is not None:
        entry.group.has_connections = True
    if entry.place is None:
        entry.place = (entry.laddr, entry.lport, raddr, rport)
    table.restore_datagram(entry)


def disconnect(table: SocketTable, entry: Entry) -> None:
    """connect(2) to AF_UNSPEC (__udp_disconnect): the peer and the device are forgotten.

    What bind(2) did not name is given back: the address becomes the wildcard, and the port is no longer held. An
    AF_INET6 socket goes on hearing IPv6 datagrams from the old peer's address alone: Linux does not clear
    `sk_v6_daddr`.
    """
    table.drop_datagram(entry)
    if entry.state == ESTABLISHED and entry.family == AF_INET6:
        entry.stale_peer = entry.raddr
    entry.state = CLOSED
    entry.rport = 0
    entry.raddr = entry.wildcard
    if entry.device:
        entry.device = 0
        table.option_changed(entry)
    if not entry.address_explicit:
        entry.saddr = entry.wildcard
        if entry.port_explicit:
            _rehash(table, entry, entry.wildcard)
        else:
            entry.laddr = entry.wildcard
    if entry.port_explicit:
        table.restore_datagram(entry)
        return
    if entry.group is not None:
        entry.group.leave(entry)
    table.give_back_port(entry)
    entry.place = None
    entry.sport = 0


def _rehash(table: SocketTable, entry: Entry, address: int) -> None:
    """Move to another local address: out of the SO_REUSEPORT group, and first among those there (udp_lib_rehash)."""
    if entry.group is not None:
        entry.group.leave(entry)
    if entry.place is not None:
        entry.place = NOWHERE
    if entry.laddr == address:
        return
    table.move(entry, address)
    chain = table.receivers.get((V6_ANY if address == V4_ANY else address, entry.lport))
    entry.order = chain[0].order + 1 if chain else 0
