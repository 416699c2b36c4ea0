"""When two sockets can't have the same port: addresses overlap, devices overlap, and neither kind of reuse applies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6
from portside.addr.ip import V4_ANY, V4_PREFIX, V6_ANY
from portside.sockets.bucket import Kind, PortBucket
from portside.sockets.entry import Entry

# What an IPv6 address looks like to IPv4 code: LOOPBACK4_IPV6 of <net/ipv6.h>. A connected AF_INET6 socket is not
# v6-only, so that it holds this address in the eyes of an AF_INET one.
V6_SEEN_FROM_V4: Final = V4_PREFIX | 0x7F000006

UDP_LONG_CHAIN: Final = 10
"""With more sockets than this on a port, UDP looks at the address's own chain and the wildcard's (udp_lib_get_port)."""


def v4_view(address: int) -> int:
    """The address as IPv4 code has it (`inet_rcv_saddr`)."""
    if address >> 32 == 0xFFFF:
        return address
    return V4_ANY if address == V6_ANY else V6_SEEN_FROM_V4


def overlap(family: int, address: int, v6only: bool, other: int, other_v6only: bool) -> bool:
    """Whether some packet could be for both addresses (inet_rcv_saddr_equal with wildcards).

    Args: family, address, v6only: of the socket that asks. other, other_v6only: of the one that is there.
    """
    if family == AF_INET:
        if other_v6only:
            return False
        other = v4_view(other)
        return address in (other, V4_ANY) or other == V4_ANY
    mapped = address >> 32 == 0xFFFF
    other_mapped = other >> 32 == 0xFFFF
    if mapped and other_mapped:
        return not other_v6only and (address in (other, V4_ANY) or other == V4_ANY)
    if address == V6_ANY:
        return not (v6only and other_mapped)
    if other == V6_ANY:
        return not (other_v6only and mapped)
    return address == other


def covers(fast: tuple[int, int, int, bool], entry: Entry) -> bool:
    """Whether the SO_REUSEPORT socket that a port remembers answers wherever `entry` does (sk_reuseport_match)."""
    uid, family, address, v6only = fast
    if not entry.reuseport or uid != entry.uid:
        return False
    other = entry.laddr
    if family == AF_INET:
        return not entry.v6only and address in (v4_view(other), V4_ANY)
    mapped = address >> 32 == 0xFFFF
    other_mapped = other >> 32 == 0xFFFF
    if mapped and other_mapped:
        return not entry.v6only and address in (other, V4_ANY)
    if address == V6_ANY:
        return not (v6only and other_mapped)
    return address == other


def tcp_refuses(entry: Entry, kind: Kind, relax: bool, share: bool) -> bool:
    """Whether a TCP holder of the port keeps `entry` out (inet_bind_conflict).

    Args: relax: SO_REUSEADDR on both counts; false while a port is being chosen. share: SO_REUSEPORT on both counts.
    """
    if entry.device and kind.device and entry.device != kind.device:
        return False
    both_share = entry.reuseport and kind.reuseport and (kind.time_wait or entry.uid == kind.uid)
    if entry.reuseaddr and kind.reuseaddr and not kind.listening:
        return not relax or (not share and both_share)
    return not (share and both_share)


def tcp_in_way(bucket: PortBucket, entry: Entry, relax: bool, share: bool) -> Iterator[Kind]:
    """The holders of a port that keep a TCP socket off its address (inet_csk_bind_conflict).

    A wildcard is compared with every holder (inet_rcv_saddr_equal); a specific address only with the wildcards and with
    its own like (inet_bhash2_conflict), which is not quite the same: see `V6_SEEN_FROM_V4`.
    """
    address = entry.laddr
    if address in (V4_ANY, V6_ANY):
        for home in bucket.addresses.values():
            for kind in home.kinds.values():
                if (
                    not kind.only(entry)
                    and tcp_refuses(entry, kind, relax, share)
                    and overlap(entry.family, address, entry.v6only, home.address, kind.v6only)
                ):
                    yield kind
        return
    v4 = address >> 32 == 0xFFFF
    for place in (V6_ANY, V4_ANY, address) if v4 else (V6_ANY, address):
        holders = bucket.addresses.get(place)
        if holders is not None:
            for kind in holders.kinds.values():
                if not (v4 and kind.v6only) and not kind.only(entry) and tcp_refuses(entry, kind, relax, share):
                    yield kind


def udp_meets(entry: Entry, kind: Kind) -> bool:
    """Whether a UDP holder of the port has a say: addresses and devices overlap and not both have SO_REUSEADDR."""
    return (
        not (entry.reuseaddr and kind.reuseaddr)
        and not (entry.device and kind.device and entry.device != kind.device)
        and overlap(entry.family, entry.laddr, entry.v6only, kind.home.address, kind.v6only)
        and not kind.only(entry)
    )


def udp_shares(entry: Entry, kind: Kind) -> bool:
    """Whether a UDP holder of the port shares it: SO_REUSEPORT on both and the same uid."""
    return entry.reuseport and kind.reuseport and entry.uid == kind.uid


def udp_in_way(bucket: PortBucket, entry: Entry) -> Kind | None:
    """Who keeps a UDP socket off its port (udp_lib_lport_inuse).

    Only the newest holder that has a say is heard: if it shares, the others are not asked. On a crowded port a specific
    address asks the newest of its own address and the newest on the wildcards (udp_lib_lport_inuse2).
    """
    crowded = bucket.count > UDP_LONG_CHAIN and entry.laddr not in (V4_ANY, V6_ANY)
    own: Kind | None = None
    wild: Kind | None = None
    for home in bucket.addresses.values():
        if crowded and home.address not in (entry.laddr, V4_ANY, V6_ANY):
            continue
        aside = crowded and home.address in (V4_ANY, V6_ANY)
        for kind in home.kinds.values():
            if udp_meets(entry, kind):
                if aside:
                    wild = _newer(kind, wild)
                else:
                    own = _newer(kind, own)
    for kind_or_none in (own, wild):
        if kind_or_none is not None and not udp_shares(entry, kind_or_none):
            return kind_or_none
    return None


def udp_taken(bucket: PortBucket, entry: Entry) -> bool:
    """Whether a port that is being chosen is out of the question: any holder that has a say and does not share."""
    for home in bucket.addresses.values():
        for kind in home.kinds.values():
            if udp_meets(entry, kind) and not udp_shares(entry, kind):
                return True
    return False


def _newer(one: Kind, other: Kind | None) -> Kind:
    if other is None:
        return one
    assert one.newest is not None
    assert other.newest is not None
    return one if one.newest.hashed > other.newest.hashed else other


def families_met(family: int, address: int, v6only: bool) -> tuple[int, ...]:
    """The IP versions whose packets a socket on this address can get."""
    if family == AF_INET or address >> 32 == 0xFFFF:
        return (AF_INET,)
    return (AF_INET6,) if v6only or address != V6_ANY else (AF_INET, AF_INET6)
