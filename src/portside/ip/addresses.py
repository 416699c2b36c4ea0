"""The addresses of an interface, and the routes that come and go with them (ip-address(8), ip-link(8)).

The kernel does this in net/ipv4/devinet.c and fib_frontend.c, and in net/ipv6/addrconf.c.
"""

from __future__ import annotations

import errno
from typing import Final

from portside.addr.ip import (
    V4_ANY,
    V4_BROADCAST,
    V6_LOOPBACK,
    bits_of,
    is_any,
    is_multicast,
    is_v4,
    prefix_of,
)  # fmt: skip
from portside.facts.interface import SCOPE_GLOBAL, SCOPE_HOST, SCOPE_LINK
from portside.ip.interface import IPV6_MIN_MTU, Interface, InterfaceAddress
from portside.ip.route import BROADCAST, LOCAL, MULTICAST, UNICAST, RouteEntry, RouteTable
from portside.ip.source import in_subnet

CONNECTED_METRIC_V6: Final = 256  # IP6_RT_PRIO_ADDRCONF


# -- ip address add --


def add(routes: RouteTable, interface: Interface, address: int, prefix_length: int) -> int:
    """Give an interface an address and the routes that come with it.

    Returns 0, or EEXIST (it has it), EINVAL (no address for a host).
    """
    if is_any(address) or is_multicast(address) or address == V4_BROADCAST:
        return errno.EINVAL
    if not 0 <= prefix_length <= bits_of(address):
        return errno.EINVAL
    if any(
        other.address == address and (other.prefix_length == prefix_length or not is_v4(address))
        for other in interface.addresses
    ):
        return errno.EEXIST
    entry = InterfaceAddress(address, prefix_length)
    entry.secondary = is_v4(address) and _primary_of(interface, entry) is not None
    interface.addresses.insert(_place_of(interface, entry), entry)
    _add_local_route(routes, interface, entry)
    if interface.up:
        _add_subnet_routes(routes, interface, entry)
    return 0


def _primary_of(interface: Interface, entry: InterfaceAddress) -> InterfaceAddress | None:
    """The address whose secondary this one is: the same IPv4 subnet, given earlier (__inet_insert_ifa)."""
    for other in interface.addresses:
        same_length = is_v4(other.address) and other.prefix_length == entry.prefix_length
        if same_length and not other.secondary and in_subnet(entry.address, other):
            return other
    return None


def _place_of(interface: Interface, entry: InterfaceAddress) -> int:
    """Primary IPv4 addresses stand before the others, the nearest scope first (__inet_insert_ifa)."""
    place = len(interface.addresses)
    if is_v4(entry.address) and not entry.secondary:
        place = 0
        for number, other in enumerate(interface.addresses):
            if is_v4(other.address) and not other.secondary and other.scope >= entry.scope:
                place = number + 1
    return place


def _add_local_route(routes: RouteTable, interface: Interface, entry: InterfaceAddress) -> None:
    """The route that stays while the address does (fib_add_ifaddr)."""
    address = entry.address
    preferred = 0
    if is_v4(address):
        primary = _primary_of(interface, entry) if entry.secondary else None
        preferred = primary.address if primary is not None else address
    routes.insert(RouteEntry(address, bits_of(address), interface, kind=LOCAL, source=preferred, scope=SCOPE_HOST))


def _add_subnet_routes(routes: RouteTable, interface: Interface, entry: InterfaceAddress) -> None:
    """The routes that come when the interface goes up: to the subnet, and its broadcast address."""
    address, length = entry.address, entry.prefix_length
    if length >= bits_of(address) or entry.secondary:
        return
    prefix = prefix_of(address, length)
    if not is_v4(address):
        if not any(route.interface is interface for route in routes.at(prefix, length)):
            routes.insert(RouteEntry(prefix, length, interface, metric=CONNECTED_METRIC_V6))
        return
    if prefix != V4_ANY:
        # All of the subnet of an address of lo is local: so 127.0.0.0/8 is.
        kind, scope = (LOCAL, SCOPE_HOST) if interface.loopback else (UNICAST, SCOPE_LINK)
        routes.insert(RouteEntry(prefix, length, interface, kind=kind, source=address, scope=scope))
    if entry.broadcast:
        routes.insert(RouteEntry(entry.broadcast, 32, interface, kind=BROADCAST, source=address, scope=SCOPE_LINK))


# -- ip address del --


def remove(routes: RouteTable, interface: Interface, address: int, prefix_length: int | None = None) -> int:
    """Take an address away, with its routes and, from a primary one, its secondaries.

    Args: prefix_length: None takes the first of that address. Returns 0 or EADDRNOTAVAIL.
    """
    for entry in interface.addresses:
        if entry.address == address and prefix_length in (None, entry.prefix_length):
            break
    else:
        return errno.EADDRNOTAVAIL
    gone = [entry]
    if is_v4(address) and not entry.secondary:
        gone += [other for other in interface.addresses if _depends(other, entry)]
    interface.addresses = [other for other in interface.addresses if other not in gone]
    kept = {other.address for other in interface.addresses}
    last = is_v4(address) and not any(map(is_v4, kept))  # then IPv4 ends on the interface: fib_disable_ip
    addresses = {other.address for other in gone} - kept
    for route in tuple(routes.entries()):
        if route.interface is interface and (_goes_with(route, entry, addresses) or (last and is_v4(route.prefix))):
            routes.remove(route)
    routes.changed()
    return 0


def _depends(other: InterfaceAddress, primary: InterfaceAddress) -> bool:
    return other.secondary and other.prefix_length == primary.prefix_length and in_subnet(other.address, primary)


def _goes_with(route: RouteEntry, entry: InterfaceAddress, addresses: set[int]) -> bool:
    """Whether a route of the interface goes when an address does (fib_del_ifaddr, cleanup_prefix_route).

    Args: entry: the address that is removed; addresses: those that the interface has no longer.
    """
    v4 = is_v4(entry.address)
    if is_v4(route.prefix) is not v4:
        return False
    if route.source in addresses or (route.kind == LOCAL and route.prefix in addresses):
        return True
    subnet = (prefix_of(entry.address, entry.prefix_length), entry.prefix_length)
    goes = (route.prefix, route.prefix_length) == subnet or (v4 and route.prefix == entry.broadcast)
    if not goes or route.via or (route.prefix_length == bits_of(entry.address) and not entry.broadcast):
        return False
    if v4:
        return route.source == entry.address and not entry.secondary
    assert route.interface is not None
    others = (other for other in route.interface.addresses if not is_v4(other.address))
    return not any((prefix_of(other.address, other.prefix_length), other.prefix_length) == subnet for other in others)


# -- ip link set --


def begin_v6(routes: RouteTable, interface: Interface) -> None:
    """What IPv6 does when an interface comes up (addrconf_dev_config): an address, and multicast."""
    if interface.mtu < IPV6_MIN_MTU:
        return
    if interface.loopback:
        add(routes, interface, V6_LOOPBACK, 128)
        return
    routes.insert(RouteEntry(0xFF << 120, 8, interface, kind=MULTICAST, metric=CONNECTED_METRIC_V6, scope=SCOPE_GLOBAL))
    add(routes, interface, interface.link_local(), 64)


def end_v6(routes: RouteTable, interface: Interface) -> None:
    """Take away every IPv6 address, with its routes."""
    for entry in tuple(interface.addresses):
        if not is_v4(entry.address):
            remove(routes, interface, entry.address)


def come_up(routes: RouteTable, interface: Interface) -> None:
    """The routes of the interface's addresses come back, and IPv6 begins."""
    for entry in interface.addresses:
        _add_subnet_routes(routes, interface, entry)
    begin_v6(routes, interface)


def go_down(routes: RouteTable, interface: Interface) -> None:
    """The routes by the interface go, and its IPv6 addresses; IPv4 addresses stay, and stay local to this host."""
    interface.addresses = [entry for entry in interface.addresses if is_v4(entry.address)]
    for route in tuple(routes.entries()):
        stays = is_v4(route.prefix) and route.kind == LOCAL
        if route.interface is interface and not stays:
            routes.remove(route)
