"""Socket options at the levels IPPROTO_IP and IPPROTO_IPV6 (ip(7), ipv6(7)).

Source: net/ipv4/ip_sockglue.c, net/ipv6/ipv6_sockglue.c.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from struct import pack
from typing import TYPE_CHECKING, Final

from portside.addr.abi import IPPROTO_IP, IPPROTO_IPV6, SOCK_STREAM
from portside.host.errors import fail
from portside.host.options import (
    Getter,
    Setter,
    Table,
    flag,
    int_bytes,
    int_of,
    ranged,
    small_int_of,
    stored,
)
from portside.host.processes import CAP_NET_ADMIN, CAP_NET_RAW

if TYPE_CHECKING:
    from portside.host.inet_socket import InetSocket
    from portside.host.processes import Process


IPV6_ADDR_PREFERENCES: Final = 72
PREFER_PUBTMP_DEFAULT: Final = 0x100  # <linux/in6.h>: IPV6_PREFER_SRC_PUBTMP_DEFAULT, IPV6_PREFER_SRC_HOME
PREFER_HOME: Final = 0x400
PREFER_OPPOSITES: Final = (0x103, 0x404, 0x808)  # temporary or public, care-of or home, cryptographic or not


def shorten(value: bytes, length: int) -> bytes:
    """An answer for less than an int: one byte when it fits one (copyval of do_ip_getsockopt)."""
    if 0 < length < 4 and len(value) == 4 and 0 <= int.from_bytes(value, "little", signed=True) <= 255:
        return value[:1]
    return value[:length]


def _need_a_byte(value: bytes) -> int:
    if not value:
        raise fail(errno.EINVAL)
    return small_int_of(value)


def _set_tos(sock: InetSocket, process: Process, value: bytes) -> None:
    number = small_int_of(value) & 0xFF
    if sock.type == SOCK_STREAM:  # the ECN bits are TCP's own (__ip_sock_set_tos)
        number = number & ~3 | sock.knobs.tos & 3
    sock.own_knobs().tos = number


def _set_ttl(sock: InetSocket, process: Process, value: bytes) -> None:
    number = _need_a_byte(value)
    if number != -1 and not 1 <= number <= 255:
        raise fail(errno.EINVAL)
    sock.own_knobs().ttl = number


def _get_ttl(sock: InetSocket) -> bytes:
    ttl = sock.knobs.ttl
    return int_bytes(sock.host.settings.ip_default_ttl if ttl == -1 else ttl)


def _set_multicast_ttl(sock: InetSocket, process: Process, value: bytes) -> None:
    if sock.type == SOCK_STREAM:
        raise fail(errno.EINVAL)
    number = _need_a_byte(value)
    number = 1 if number == -1 else number
    if not 0 <= number <= 255:
        raise fail(errno.EINVAL)
    sock.own_knobs().multicast_ttl = number


def _set_multicast_loop(sock: InetSocket, process: Process, value: bytes) -> None:
    sock.own_knobs().multicast_loop = bool(_need_a_byte(value))


def _entry_flag(name: str) -> tuple[Getter, Setter]:
    """A flag that the bind rules look at: it lives in the socket's table entry."""

    def get(sock: InetSocket) -> bytes:
        return int_bytes(int(getattr(sock.entry, name)))

    def put(sock: InetSocket, process: Process, value: bytes) -> None:
        setattr(sock.entry, name, bool(_need_a_byte(value)))

    return get, put


def _set_transparent(sock: InetSocket, process: Process, value: bytes) -> None:
    number = small_int_of(value)
    if number and not (process.capable(CAP_NET_RAW) or process.capable(CAP_NET_ADMIN)):
        raise fail(errno.EPERM)
    if not value:
        raise fail(errno.EINVAL)
    sock.entry.transparent = bool(number)


def _get_port_range(sock: InetSocket) -> bytes:
    chosen = sock.entry.port_range
    return pack("=HH", *chosen) if chosen else bytes(4)


def _set_port_range(sock: InetSocket, process: Process, value: bytes) -> None:
    if len(value) != 4:
        raise fail(errno.EINVAL)
    number = int_of(value) & 0xFFFFFFFF
    low, high = number & 0xFFFF, number >> 16
    if low and high and low > high:
        raise fail(errno.EINVAL)
    sock.entry.port_range = (low, high) if low or high else None


def _recverr(knob: str, parse: Callable[[bytes], int]) -> tuple[Getter, Setter]:
    """IP_RECVERR, IPV6_RECVERR: switched off, it empties the error queue."""
    get, keep = flag(knob, parse)

    def put(sock: InetSocket, process: Process, value: bytes) -> None:
        keep(sock, process, value)
        if not parse(value):
            sock.purge_errors()

    return get, put


def _get_mtu(sock: InetSocket) -> bytes:
    mtu = sock.path_mtu()
    if not mtu:
        raise fail(errno.ENOTCONN)
    return int_bytes(mtu)


def _ip_stored(name: int, default: int = 0, **how: int) -> tuple[Getter, Setter]:
    return stored(IPPROTO_IP, name, default, parse=small_int_of, **how)  # type: ignore[arg-type]


def _not_of_streams(option: tuple[Getter, Setter]) -> tuple[Getter, Setter]:
    """An option that a socket of streams can't set: EINVAL."""
    get, keep = option

    def put(sock: InetSocket, process: Process, value: bytes) -> None:
        if sock.type == SOCK_STREAM:
            raise fail(errno.EINVAL)
        keep(sock, process, value)

    return get, put


def _interface(level: int, name: int) -> tuple[Getter, Setter]:
    """An interface's index in network order, kept: EADDRNOTAVAIL for none, EINVAL when bound to a device."""
    get, keep = stored(level, name)

    def put(sock: InetSocket, process: Process, value: bytes) -> None:
        if len(value) != 4:
            raise fail(errno.EINVAL)
        index = int.from_bytes(value, "big")
        if index and index not in sock.host.ip.interfaces:
            raise fail(errno.EADDRNOTAVAIL)
        if index and sock.entry.device:
            raise fail(errno.EINVAL)
        keep(sock, process, value)

    return get, put


IP: Final[Table] = {
    1: ((lambda s: int_bytes(s.knobs.tos)), _set_tos),
    2: (_get_ttl, _set_ttl),
    3: ((lambda s: int_bytes(0)), None),  # IP_HDRINCL is for raw sockets
    4: ((lambda s: b""), None),  # IP_OPTIONS
    6: _ip_stored(6, boolean=True),  # IP_RECVOPTS
    7: _ip_stored(7, boolean=True),  # IP_RETOPTS
    8: _ip_stored(8, boolean=True),  # IP_PKTINFO
    10: ranged("mtu_discover", 0, 5, small_int_of),
    11: _recverr("recverr", small_int_of),
    12: _ip_stored(12, boolean=True),  # IP_RECVTTL
    13: _ip_stored(13, boolean=True),  # IP_RECVTOS
    14: (_get_mtu, None),
    15: _entry_flag("freebind"),
    19: ((lambda s: int_bytes(s.entry.transparent)), _set_transparent),
    20: _ip_stored(20, boolean=True),  # IP_ORIGDSTADDR
    21: _ip_stored(21, low=0, high=255),  # IP_MINTTL
    22: ((lambda s: int_bytes(0)), None),  # IP_NODEFRAG is for raw sockets
    23: _ip_stored(23, boolean=True),  # IP_CHECKSUM
    24: _entry_flag("bind_address_no_port"),
    25: _not_of_streams(_ip_stored(25, boolean=True)),  # IP_RECVFRAGSIZE
    26: _ip_stored(26, low=0, high=1),  # IP_RECVERR_RFC4884
    32: ((lambda s: bytes(4)), None),  # IP_MULTICAST_IF
    33: ((lambda s: int_bytes(s.knobs.multicast_ttl)), _set_multicast_ttl),
    34: ((lambda s: int_bytes(s.knobs.multicast_loop)), _set_multicast_loop),
    49: _ip_stored(49, 1, low=0, high=1),  # IP_MULTICAST_ALL
    50: _interface(IPPROTO_IP, 50),  # IP_UNICAST_IF
    51: (_get_port_range, _set_port_range),
}


# -- IPPROTO_IPV6 --


def _set_v6only(sock: InetSocket, process: Process, value: bytes) -> None:
    number = int_of(value)
    if sock.entry.lport:
        raise fail(errno.EINVAL)
    sock.entry.v6only = bool(number)
    sock.option_changed()


def _set_hop_limit(sock: InetSocket, process: Process, value: bytes) -> None:
    number = int_of(value)
    if not -1 <= number <= 255:
        raise fail(errno.EINVAL)
    sock.own_knobs().hop_limit = number


def _get_hop_limit(sock: InetSocket) -> bytes:
    limit = sock.knobs.hop_limit
    return int_bytes(sock.host.settings.ip6_hop_limit if limit == -1 else limit)


def _set_tclass(sock: InetSocket, process: Process, value: bytes) -> None:
    number = int_of(value)
    if not -1 <= number <= 255:
        raise fail(errno.EINVAL)
    number = 0 if number == -1 else number
    if sock.type == SOCK_STREAM:
        number &= ~3
    sock.own_knobs().tclass = number


def _set_multicast_hops(sock: InetSocket, process: Process, value: bytes) -> None:
    if sock.type == SOCK_STREAM:
        raise fail(errno.ENOPROTOOPT)
    number = int_of(value)
    if not -1 <= number <= 255:
        raise fail(errno.EINVAL)
    sock.own_knobs().multicast_hops = number


def _set_multicast_loop6(sock: InetSocket, process: Process, value: bytes) -> None:
    number = int_of(value)
    if number not in (0, 1):
        raise fail(errno.EINVAL)
    sock.own_knobs().multicast_loop6 = bool(number)


def _v6_stored(name: int, default: int = 0, **how: int) -> tuple[Getter, Setter]:
    return stored(IPPROTO_IPV6, name, default, **how)  # type: ignore[arg-type]


def _get_preferences(sock: InetSocket) -> bytes:
    """Which source addresses are preferred; of each pair one is always told (RFC 5014)."""
    chosen = sock.knobs.other.get((IPPROTO_IPV6, IPV6_ADDR_PREFERENCES), 0)
    return int_bytes(chosen | (0 if chosen & 3 else PREFER_PUBTMP_DEFAULT) | (0 if chosen & 4 else PREFER_HOME))


def _set_preferences(sock: InetSocket, process: Process, value: bytes) -> None:
    """Keep the preferences; EINVAL for opposites at once (ip6_sock_set_addr_preferences)."""
    number = int_of(value)
    if any((number & opposites).bit_count() > 1 for opposites in PREFER_OPPOSITES):
        raise fail(errno.EINVAL)
    sock.own_knobs().other[IPPROTO_IPV6, IPV6_ADDR_PREFERENCES] = number & 7


def _empty(sock: InetSocket) -> bytes:
    return b""


def _not_connected(sock: InetSocket) -> bytes:
    return _get_mtu(sock)


IPV6: Final[Table] = {
    16: (_get_hop_limit, _set_hop_limit),
    17: ((lambda s: int_bytes(0)), None),  # IPV6_MULTICAST_IF
    18: ((lambda s: int_bytes(1 if s.knobs.multicast_hops == -1 else s.knobs.multicast_hops)), _set_multicast_hops),
    19: ((lambda s: int_bytes(s.knobs.multicast_loop6)), _set_multicast_loop6),
    23: ranged("mtu_discover6", 0, 5),
    24: (_get_mtu, None),
    25: _recverr("recverr6", int_of),
    26: ((lambda s: int_bytes(s.entry.v6only)), _set_v6only),
    29: _v6_stored(29, 1, boolean=True),  # IPV6_MULTICAST_ALL
    33: _v6_stored(33, boolean=True),  # IPV6_FLOWINFO_SEND
    49: _v6_stored(49, boolean=True),  # IPV6_RECVPKTINFO
    51: _v6_stored(51, boolean=True),
    53: _v6_stored(53, boolean=True),
    54: (_empty, None),
    56: _v6_stored(56, boolean=True),
    57: (_empty, None),
    58: _v6_stored(58, boolean=True),
    59: (_empty, None),
    60: _v6_stored(60, boolean=True),
    61: (_not_connected, None),  # IPV6_PATHMTU
    62: _v6_stored(62, boolean=True),  # IPV6_DONTFRAG
    66: _v6_stored(66, boolean=True),  # IPV6_RECVTCLASS
    67: ((lambda s: int_bytes(0 if s.knobs.tclass == -1 else s.knobs.tclass)), _set_tclass),
    70: _v6_stored(70, 1, boolean=True),  # IPV6_AUTOFLOWLABEL
    72: (_get_preferences, _set_preferences),
    73: _v6_stored(73, low=0, high=255),  # IPV6_MINHOPCOUNT
    75: ((lambda s: int_bytes(s.entry.transparent)), _set_transparent),
    76: _interface(IPPROTO_IPV6, 76),  # IPV6_UNICAST_IF
    78: _entry_flag("freebind"),
}
