"""The other tables of netstat(8): routes (-r) and interfaces (-i)."""

from __future__ import annotations

from typing import Final

from portside.addr import ip
from portside.facts import interface as facts
from portside.facts.interface import Interface
from portside.facts.route import BLACKHOLE, PROHIBIT, TABLE_MAIN, UNREACHABLE, Route
from portside.facts.snapshot import Snapshot
from portside.views.names import HostNames, interface
from portside.views.table import clean

_REFUSING: Final = (UNREACHABLE, PROHIBIT, BLACKHOLE)

# Letters of the column Flg, in their order.
_FLAGS: Final = (
    (facts.IFF_BROADCAST, "B"),
    (facts.IFF_LOOPBACK, "L"),
    (facts.IFF_PROMISC, "P"),
    (facts.IFF_MULTICAST, "M"),
    (facts.IFF_NOARP, "O"),
    (facts.IFF_POINTOPOINT, "P"),
    (facts.IFF_RUNNING, "R"),
    (facts.IFF_UP, "U"),
)


def routes(snapshot: Snapshot, names: HostNames, *, symbolic: bool) -> str:
    """The IPv4 routes of the main table, as route(8) prints them.

    Args:
        names: what to call addresses.
        symbolic: `default` for 0.0.0.0/0 (without -n).
    """
    lines = [
        "Kernel IP routing table",
        "Destination     Gateway         Genmask         Flags   MSS Window  irtt Iface",
    ]
    for route in snapshot.routes:
        if route.table != TABLE_MAIN or not ip.is_v4(route.destination) or route.from_prefix is not None:
            continue
        mask = ip.V4_PREFIX | (0xFFFFFFFF << (32 - route.prefix_length) & 0xFFFFFFFF)
        where = "default" if symbolic and not route.prefix_length else _host(route.destination, names)
        gateway = ip.V4_ANY if route.gateway is None else route.gateway
        through = "-" if route.kind in _REFUSING else _host(gateway, names)
        device = clean(interface(snapshot, route.interface)) if route.interface else "*"
        lines.append(
            f"{where:<15} {through:<15} {ip.text(mask):<15} {_route_flags(route):<6}{route.advmss:5} {0:<5}  {0:4} "
            f"{device}"
        )
    return "\n".join(lines) + "\n"


def _host(address: int, names: HostNames) -> str:
    return clean(names.name(address) or ip.text(address))


def _route_flags(route: Route) -> str:
    if route.kind in _REFUSING:
        return "!H" if route.prefix_length == 32 else "!"
    return "U" + ("G" if route.gateway is not None else "") + ("H" if route.prefix_length == 32 else "")


def interfaces(snapshot: Snapshot, *, every: bool) -> str:
    """The interfaces with their counters; those that are down too when `every`."""
    lines = [
        "Kernel Interface table",
        "Iface             MTU    RX-OK RX-ERR RX-DRP RX-OVR    TX-OK TX-ERR TX-DRP TX-OVR Flg",
    ]
    shown = [each for each in snapshot.interfaces if every or each.flags & facts.IFF_UP]
    lines += [_interface(each) for each in sorted(shown, key=lambda each: each.name)]
    return "\n".join(lines) + "\n"


def _interface(each: Interface) -> str:
    flags = "".join(letter for bit, letter in _FLAGS if each.flags & bit)
    return (
        f"{clean(each.name):<15} {each.mtu:5} {each.received_packets:8} {0:6} {each.received_drops:6} {0:<6} "
        f"{each.sent_packets:8} {0:6} {each.sent_drops:6} {0:6} {flags}"
    )
