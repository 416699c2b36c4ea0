"""Routes of all tables, and the rules that choose a table, by rtnetlink(7)."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6
from portside.addr.ip import V4_PREFIX
from portside.facts.route import TABLE_LOCAL, NextHop, PolicyRule, Route
from portside.live.netlink import NETLINK_ROUTE, Netlink, address_of, attributes, number_of, text_of

RTM_GETROUTE: Final = 26
RTM_GETRULE: Final = 34

# struct rtmsg: family, destination and source prefix length, tos, table, protocol, scope, type, flags.
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
RTA_DST: Final = 1
RTA_SRC: Final = 2
RTA_OIF: Final = 4
RTA_GATEWAY: Final = 5
RTA_PRIORITY: Final = 6
RTA_PREFSRC: Final = 7
RTA_METRICS: Final = 8
RTA_MULTIPATH: Final = 9
RTA_TABLE: Final = 15
RTA_VIA: Final = 18
RTAX_MTU: Final = 2
RTAX_ADVMSS: Final = 8
RTM_F_CLONED: Final = 0x200
RTNH_F_DEAD: Final = 1
RTNH_F_ONLINK: Final = 4
RTNH_F_LINKDOWN: Final = 16

# struct rtnexthop: length, flags, hops, index.
_HOP: Final = struct.Struct("=HBBi")

# struct fib_rule_hdr: family, destination and source prefix length, tos, table, action, flags.
_RULE: Final = struct.Struct("=BBBBBxxBI")
FRA_DST: Final = 1
FRA_SRC: Final = 2
FRA_IIFNAME: Final = 3
FRA_GOTO: Final = 4
FRA_PRIORITY: Final = 6
FRA_FWMARK: Final = 10
FRA_SUPPRESS_PREFIXLEN: Final = 14
FRA_TABLE: Final = 15
FRA_FWMASK: Final = 16
FRA_OIFNAME: Final = 17
FRA_L3MDEV: Final = 19
FRA_UID_RANGE: Final = 20
FRA_IP_PROTO: Final = 22
FRA_SPORT_RANGE: Final = 23
FRA_DPORT_RANGE: Final = 24
FIB_RULE_INVERT: Final = 2

ACTIONS: Final = {1: "lookup", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
"""<linux/fib_rules.h>"""


def routes() -> tuple[Route, ...]:
    """The routes of all tables, `local` included, IPv4 first; in the order of the kernel. Raises OSError.

    What the kernel found for one destination and remembers (`ip route show cache`) is none of them.
    """
    found: list[Route] = []
    with Netlink(NETLINK_ROUTE, strict=True) as netlink:
        for family in (AF_INET, AF_INET6):
            messages = netlink.whole(RTM_GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0))
            found += _routes(body for _, body in messages)
    return tuple(found)


def has_local_table() -> bool:
    """Whether IPv4 has the table `local` here: the kernel makes it for the first address or route (fib_new_table).

    Raises OSError.
    """
    with Netlink(NETLINK_ROUTE, strict=True) as netlink:
        try:
            netlink.whole(RTM_GETROUTE, _ROUTE.pack(AF_INET, 0, 0, 0, TABLE_LOCAL, 0, 0, 0, 0))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return False
    return True


def _routes(bodies: Iterable[memoryview]) -> Iterator[Route]:
    for body in bodies:
        family, length, source_length, tos, table, protocol, scope, kind, flags = _ROUTE.unpack_from(body)
        if flags & RTM_F_CLONED or family not in (AF_INET, AF_INET6):
            continue
        found = dict(attributes(body, _ROUTE.size))
        anywhere = V4_PREFIX if family == AF_INET else 0
        metrics = {key: number_of(value) for key, value in attributes(found.get(RTA_METRICS, memoryview(b"")))}
        source = found.get(RTA_PREFSRC)
        from_prefix = found.get(RTA_SRC)
        yield Route(
            destination=address_of(found[RTA_DST]) if RTA_DST in found else anywhere,
            prefix_length=length,
            kind=kind,
            gateway=_gateway(found),
            interface=number_of(found.get(RTA_OIF)),
            source=address_of(source) if source is not None else None,
            metric=number_of(found.get(RTA_PRIORITY)),
            table=number_of(found.get(RTA_TABLE)) or table,
            scope=scope,
            protocol=protocol,
            from_prefix=(address_of(from_prefix), source_length) if from_prefix is not None else None,
            tos=tos,
            mtu=metrics.get(RTAX_MTU, 0),
            advmss=metrics.get(RTAX_ADVMSS, 0),
            hops=tuple(_hops(found.get(RTA_MULTIPATH, memoryview(b"")))),
            onlink=bool(flags & RTNH_F_ONLINK),
            dead=bool(flags & RTNH_F_DEAD),
            link_down=bool(flags & RTNH_F_LINKDOWN),
        )


def _gateway(found: dict[int, memoryview]) -> int | None:
    if RTA_GATEWAY in found:
        return address_of(found[RTA_GATEWAY])
    if RTA_VIA in found:  # struct rtvia: the gateway is of another family than the route (RFC 5549)
        return address_of(found[RTA_VIA][2:])
    return None


def _hops(body: memoryview) -> Iterator[NextHop]:
    """The ways of a route that has several (RTA_MULTIPATH)."""
    at = 0
    while at + _HOP.size <= len(body):
        length, flags, weight, index = _HOP.unpack_from(body, at)
        if length < _HOP.size:
            return
        found = dict(attributes(body[at : at + length], _HOP.size))
        yield NextHop(
            gateway=_gateway(found), interface=index, weight=weight + 1, onlink=bool(flags & RTNH_F_ONLINK),
            dead=bool(flags & RTNH_F_DEAD),
        )  # fmt: skip
        at += (length + 3) & ~3


def policy_rules() -> tuple[PolicyRule, ...]:
    """The rules that choose a routing table, IPv4 first, in the order in which they are asked. Raises OSError."""
    found: list[PolicyRule] = []
    with Netlink(NETLINK_ROUTE, strict=True) as netlink:
        for family in (AF_INET, AF_INET6):
            messages = netlink.whole(RTM_GETRULE, _RULE.pack(family, 0, 0, 0, 0, 0, 0))
            found += (_rule(body) for _, body in messages)
    return tuple(found)


def _rule(body: memoryview) -> PolicyRule:
    family, length, source_length, tos, table, action, flags = _RULE.unpack_from(body)
    found = dict(attributes(body, _RULE.size))
    suppressed = found.get(FRA_SUPPRESS_PREFIXLEN)
    shortest = struct.unpack_from("=i", suppressed)[0] if suppressed is not None else -1
    name = ACTIONS.get(action, str(action))
    if FRA_L3MDEV in found and found[FRA_L3MDEV][0]:
        name = "l3mdev"
    return PolicyRule(
        priority=number_of(found.get(FRA_PRIORITY)),
        family=family,
        table=number_of(found.get(FRA_TABLE)) or table,
        action=name,
        target=number_of(found.get(FRA_GOTO)),
        source=(address_of(found[FRA_SRC]), source_length) if FRA_SRC in found else None,
        destination=(address_of(found[FRA_DST]), length) if FRA_DST in found else None,
        input_interface=text_of(found.get(FRA_IIFNAME)),
        output_interface=text_of(found.get(FRA_OIFNAME)),
        mark=_mark(found),
        uids=_pair("=II", found.get(FRA_UID_RANGE)),
        tos=tos,
        proto=found[FRA_IP_PROTO][0] if FRA_IP_PROTO in found else 0,
        source_ports=_pair("=HH", found.get(FRA_SPORT_RANGE)),
        destination_ports=_pair("=HH", found.get(FRA_DPORT_RANGE)),
        inverted=bool(flags & FIB_RULE_INVERT),
        suppress_prefix_length=shortest if shortest >= 0 else None,
    )


def _mark(found: dict[int, memoryview]) -> tuple[int, int] | None:
    """The mark asked for and its mask. A rule without a mark has neither."""
    if FRA_FWMARK not in found and FRA_FWMASK not in found:
        return None
    mask = number_of(found[FRA_FWMASK]) if FRA_FWMASK in found else 0xFFFFFFFF
    return number_of(found.get(FRA_FWMARK)), mask


def _pair(form: str, value: memoryview | None) -> tuple[int, int] | None:
    if value is None:
        return None
    first, last = struct.unpack_from(form, value)
    return first, last
