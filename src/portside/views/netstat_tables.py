"""The other tables of netstat(8): routes (-r) and interfaces (-i)."""

from __future__ import annotations

from typing import Final

from portside.addr import ip
from portside.facts import interface as facts
from portside.facts.interface import Interface
from portside.facts.route import PROHIBIT, TABLE_MAIN, UNREACHABLE, Route
from portside.facts.snapshot import Snapshot
from portside.views.names import HostNames, interface
from portside.views.table import clean

_REFUSING: Final = (UNREACHABLE, PROHIBIT)
_HEADERS: Final = 40  # of IPv4 and TCP: fib_route_seq_show() adds them to what is advertised

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
        if route.table == TABLE_MAIN and ip.is_v4(route.destination) and not route.tos:
            lines.append(_route(snapshot, route, names, symbolic))
    return "\n".join(lines) + "\n"


def _route(snapshot: Snapshot, route: Route, names: HostNames, symbolic: bool) -> str:
    mask = ip.text(ip.V4_PREFIX | (0xFFFFFFFF << (32 - route.prefix_length) & 0xFFFFFFFF))
    where = "default" if symbolic and not route.prefix_length else _host(route.destination, names)
    if route.kind in _REFUSING:
        flags = "!H" if route.prefix_length == 32 else "!"
        return f"{where:<15} {'-':<15} {mask:<15} {flags:<5} {'-':>5} {'-':<5} {'-':>6} -"
    # Of several ways /proc/net/route names the first.
    gateway, index = (
        (route.hops[0].gateway, route.hops[0].interface) if route.hops else (route.gateway, route.interface)
    )
    through = ip.V4_ANY if gateway is None else gateway
    flags = "U" + ("G" if gateway is not None else "") + ("H" if route.prefix_length == 32 else "")
    size = route.advmss + _HEADERS if route.advmss else 0
    device = clean(interface(snapshot, index)) if index else "*"
    return f"{where:<15} {_host(through, names):<15} {mask:<15} {flags:<5} {size:5} {0:<5} {0:6} {device}"


def _host(address: int, names: HostNames) -> str:
    return clean(names.name(address) or ip.text(address))


def interfaces(snapshot: Snapshot, *, every: bool) -> str:
    """The interfaces with their counters; those that are down too when `every`."""
    lines = [
        "Kernel Interface table",
        "Iface             MTU    RX-OK RX-ERR RX-DRP RX-OVR    TX-OK TX-ERR TX-DRP TX-OVR Flg",
    ]
    shown = [each for each in snapshot.interfaces if every or each.flags & facts.IFF_UP]
    rows = [(each.name, _interface(each)) for each in shown]
    rows += [(label, _alias(label, each)) for each in shown for label in _labels(each)]
    lines += [row for _, row in sorted(rows)]
    return "\n".join(lines) + "\n"


def _labels(each: Interface) -> list[str]:
    """The labels of its IPv4 addresses, which pass for interfaces of their own there."""
    return list(dict.fromkeys(a.label for a in each.addresses if a.label not in ("", each.name)))


def _alias(label: str, each: Interface) -> str:
    return f"{clean(label):<15} {each.mtu:5}      - no statistics available -                        {_letters(each)}"


def _letters(each: Interface) -> str:
    return "".join(letter for bit, letter in _FLAGS if each.flags & bit)


def _interface(each: Interface) -> str:
    return (
        f"{clean(each.name):<15} {each.mtu:5} {each.received_packets:8} {0:6} {each.received_drops:6} {0:<6} "
        f"{each.sent_packets:8} {0:6} {each.sent_drops:6} {0:6} {_letters(each)}"
    )
