"""Which socket gets a packet: Linux's order of preference (__inet_lookup, __udp4_lib_lookup and their IPv6 kin)."""

from __future__ import annotations

from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable


def tcp(table: SocketTable, src: int, sport: int, dst: int, dport: int, ifindex: int) -> Entry | None:
    """The socket that a TCP segment is for: a connection (request and TIME-WAIT included), else a listener.

    Args: ifindex: the interface on which it arrived, as sockets see it.
    """
    raise NotImplementedError


def tcp_connected(table: SocketTable, src: int, sport: int, dst: int, dport: int, ifindex: int) -> Entry | None:
    """The connection, request or TIME-WAIT with exactly these addresses and ports (__inet_lookup_established)."""
    raise NotImplementedError


def tcp_listener(table: SocketTable, src: int, sport: int, dst: int, dport: int, ifindex: int) -> Entry | None:
    """The listener that a SYN is for (__inet_lookup_listener)."""
    raise NotImplementedError


def udp(table: SocketTable, src: int, sport: int, dst: int, dport: int, ifindex: int) -> Entry | None:
    """The socket that a unicast datagram is for."""
    raise NotImplementedError


def udp_multicast(table: SocketTable, src: int, sport: int, dst: int, dport: int, ifindex: int) -> list[Entry]:
    """All sockets that a multicast or broadcast datagram may be for, newest first (__udp4_lib_mcast_deliver).

    The host drops those whose group memberships do not want it.
    """
    raise NotImplementedError
