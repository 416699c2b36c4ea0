"""Which socket gets a packet: Linux's order of preference (__inet_lookup, __udp4_lib_lookup and their IPv6 kin)."""

from __future__ import annotations

from portside.addr.abi import AF_INET
from portside.addr.ip import V4_ANY, V6_ANY
from portside.facts.state import ESTABLISHED
from portside.sockets.entry import Entry
from portside.sockets.reuseport import four_tuple_hash
from portside.sockets.table import SocketTable


def tcp(table: SocketTable, src: int, sport: int, dst: int, dport: int, ifindex: int) -> Entry | None:
    """The socket that a TCP segment is for: a connection (request and TIME-WAIT included), else a listener.

    Args: ifindex: the interface on which it arrived, as sockets see it.
    """
    entry = table.connected.get((dst, dport, src, sport))
    while entry is not None:
        if not entry.device or entry.device == ifindex:
            return entry
        entry = entry.twin
    return tcp_listener(table, src, sport, dst, dport, ifindex)


def tcp_listener(table: SocketTable, src: int, sport: int, dst: int, dport: int, ifindex: int) -> Entry | None:
    """The listener that a SYN is for: on its very address first, then on a wildcard (__inet_lookup_listener)."""
    chain = table.receivers.get((dst, dport))
    if chain is not None:
        found = _best_listener(table, chain, src, sport, dst, dport, ifindex)
        if found is not None:
            return found
    chain = table.receivers.get((V6_ANY, dport))
    if chain is not None:
        return _best_listener(table, chain, src, sport, dst, dport, ifindex)
    return None


def _best_listener(
    table: SocketTable, chain: list[Entry], src: int, sport: int, dst: int, dport: int, ifindex: int
) -> Entry | None:
    """The highest score, the first of equals; but the first SO_REUSEPORT listener met hands over to its group."""
    v4 = dst >> 32 == 0xFFFF
    best = 0
    result: Entry | None = None
    for entry in chain:
        if (entry.device and entry.device != ifindex) or (entry.v6only if v4 else entry.laddr == V4_ANY):
            continue
        score = 2 if entry.device else 1
        if v4 and entry.family == AF_INET:
            score += 1
        if score > best:
            if entry.reuseport and entry.group is not None:
                member = entry.group.select(four_tuple_hash(table.seed, dst, dport, src, sport))
                if member is not None:
                    return member
            best = score
            result = entry
    return result


def udp(table: SocketTable, src: int, sport: int, dst: int, dport: int, ifindex: int) -> Entry | None:
    """The socket that a unicast datagram is for: connected to this peer, else on the address, else on a wildcard."""
    if table.connected:
        entry = table.connected.get((dst, dport, src, sport))
        while entry is not None:
            if not entry.device or entry.device == ifindex:
                return entry
            entry = entry.twin
    chain = table.receivers.get((dst, dport))
    if chain is not None:
        found = _best_datagram(table, chain, src, sport, dst, dport, ifindex)
        if found is not None:
            return found
    chain = table.receivers.get((V6_ANY, dport))
    if chain is not None:
        return _best_datagram(table, chain, src, sport, dst, dport, ifindex)
    return None


def _best_datagram(
    table: SocketTable, chain: list[Entry], src: int, sport: int, dst: int, dport: int, ifindex: int
) -> Entry | None:
    """As for listeners with UDP's scores (compute_score), and a group that has a connected member goes on competing."""
    v4 = dst >> 32 == 0xFFFF
    best = -1
    result: Entry | None = None
    for entry in chain:
        if (entry.device and entry.device != ifindex) or (entry.v6only if v4 else entry.laddr == V4_ANY):
            continue
        score = 4 if entry.device and v4 else 1 if entry.device else 0
        if v4:
            score += 2 if entry.family == AF_INET else 1
        elif entry.stale_peer:
            if entry.stale_peer != src:
                continue
            score += 1
        if entry.state == ESTABLISHED:
            if entry.raddr != src or (entry.rport and entry.rport != sport):
                continue
            score += (4 if v4 else 1) * (2 if entry.rport else 1)
        if score > best:
            best = score
            result = entry
            if entry.state == ESTABLISHED:
                continue
            if entry.reuseport and entry.group is not None:
                group = entry.group
                member = group.select(four_tuple_hash(table.seed, dst, dport, src, sport))
                if member is not None:
                    if not group.has_connections:
                        return member
                    result = member
    return result


def udp_multicast(table: SocketTable, src: int, sport: int, dst: int, dport: int, ifindex: int) -> list[Entry]:
    """All sockets that a multicast or broadcast datagram is for, newest first (__udp4_lib_mcast_deliver).

    The host leaves out those whose group memberships do not want it.
    """
    port_bucket = table.ports.get(dport)
    if port_bucket is None:
        return []
    v4 = dst >> 32 == 0xFFFF
    found = []
    for address in (dst, V4_ANY, V6_ANY) if v4 else (dst, V6_ANY):
        home = port_bucket.addresses.get(address)
        if home is None:
            continue
        for kind in home.kinds.values():
            if (v4 and kind.v6only) or (kind.device and kind.device != ifindex):
                continue
            entry = kind.newest
            while entry is not None:
                if _wants(entry, src, sport, v4):
                    found.append(entry)
                entry = entry.older
    found.sort(key=lambda entry: -entry.hashed)
    return found


def _wants(entry: Entry, src: int, sport: int, v4: bool) -> bool:
    """Whether a UDP socket hears that peer."""
    if entry.state == ESTABLISHED:
        return entry.raddr == src and entry.rport in (0, sport)
    return v4 or entry.stale_peer in (0, src)
