"""Routes that somebody adds and removes by hand (ip-route(8)): what the kernel takes, and by which interface.

The kernel does this in net/ipv4/fib_semantics.c and in ip6_route_info_create() of net/ipv6/route.c.
"""

from __future__ import annotations

import errno
from typing import Final

from portside.addr.ip import is_link_local, is_multicast, is_v4, prefix_of
from portside.facts.interface import SCOPE_GLOBAL, SCOPE_LINK
from portside.ip.interface import LOOPBACK_INDEX, Interface
from portside.ip.route import LOCAL, REFUSALS, UNICAST, RouteEntry, RouteTable

DEFAULT_METRIC_V6: Final = 1024  # IP6_RT_PRIO_USER


def add(
    routes: RouteTable, prefix: int, prefix_length: int, *, via: int = 0, interface: Interface | None = None,
    kind: int = UNICAST, metric: int | None = None, source: int = 0, mtu: int = 0,
) -> int:  # fmt: skip
    """Add a route (`ip route add`).

    Args: via: the gateway, whose interface is found by the routes that are there; interface: for a
    destination on the link itself. kind: UNICAST, BLACKHOLE, UNREACHABLE or PROHIBIT. metric: None for
    the kernel's default.
    Returns 0, or EEXIST, ENETUNREACH or EHOSTUNREACH (the gateway is on no link), EINVAL, ENODEV, ENETDOWN.
    Source: fib_create_info, fib_check_nh; ip6_route_info_create.
    """
    v4 = is_v4(prefix)
    if prefix_of(prefix, prefix_length) != prefix or not (kind == UNICAST or kind in REFUSALS):
        return errno.EINVAL
    if kind in REFUSALS:
        interface, via = None if v4 else routes.interfaces[LOOPBACK_INDEX], 0
    elif via:
        found = _link_of_gateway(routes, via, interface)
        if isinstance(found, int):
            return found
        interface = found
    elif interface is None:
        return errno.ENODEV
    if interface is not None and not interface.up:
        return errno.ENETDOWN
    if source and routes.kind_of(source) != LOCAL:
        return errno.EINVAL
    if metric is None:
        metric = 0 if v4 else DEFAULT_METRIC_V6
    if any(entry.metric == metric for entry in routes.at(prefix, prefix_length)):
        return errno.EEXIST
    scope = SCOPE_GLOBAL if via or not v4 or kind != UNICAST else SCOPE_LINK
    entry = RouteEntry(
        prefix, prefix_length, interface, via=via, kind=kind, metric=metric, source=source, mtu=mtu, scope=scope
    )
    routes.insert(entry)
    return 0


def _link_of_gateway(routes: RouteTable, via: int, interface: Interface | None) -> Interface | int:
    """The interface by which a gateway is a neighbour, or the errno."""
    if is_multicast(via):
        return errno.EINVAL
    if is_v4(via):
        return _link_of_gateway_v4(routes, via, interface)
    return _link_of_gateway_v6(routes, via, interface)


def _link_of_gateway_v4(routes: RouteTable, via: int, interface: Interface | None) -> Interface | int:
    """The route to the gateway must reach no further than the link (fib_check_nh_v4_gw)."""
    for entry in routes.covering(via):
        wanted = interface is None or entry.interface is interface
        if entry.interface is None or entry.scope < SCOPE_LINK or not wanted:
            continue
        return entry.interface if entry.kind in (UNICAST, LOCAL) else errno.EINVAL
    return errno.ENETUNREACH


def _link_of_gateway_v6(routes: RouteTable, via: int, interface: Interface | None) -> Interface | int:
    """A link-local gateway needs the interface named; no gateway is this host's own (ip6_route_check_nh)."""
    if routes.kind_of(via) == LOCAL:
        return errno.EINVAL
    if is_link_local(via):
        return interface if interface is not None else errno.EINVAL
    for entry in routes.covering(via):
        if entry.interface is None or (interface is not None and entry.interface is not interface):
            continue
        if entry.via or entry.kind != UNICAST or entry.interface.loopback:
            break
        return entry.interface
    return errno.EHOSTUNREACH


def remove(routes: RouteTable, prefix: int, prefix_length: int, *, metric: int | None = None) -> int:
    """Remove a route (`ip route del`); without `metric`, the first of that prefix. Returns 0 or ESRCH."""
    for entry in routes.at(prefix, prefix_length):
        if metric is None or entry.metric == metric:
            routes.remove(entry)
            return 0
    return errno.ESRCH
