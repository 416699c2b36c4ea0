"""A packet's way through a router (RFC 1812 section 5.2; net/ipv4/ip_forward.c; ip6_forward of the kernel)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from portside.addr.ip import is_link_local
from portside.facts.verdict import Verdict
from portside.ip.interface import IPV6_MIN_MTU, Interface
from portside.wire.packet import Packet

if TYPE_CHECKING:
    from portside.ip.layer import IpLayer

UNREACHABLE_CODES_V4: Final = {errno.ENETUNREACH: 0, errno.EHOSTUNREACH: 1, errno.EACCES: 13}
"""The code of "destination unreachable" that says why there is no way (ip_error)."""


def forward(layer: IpLayer, packet: Packet, interface: Interface) -> None:
    """Pass on a packet for somebody else, or tell its sender why not; only a router does.

    Args: interface: where it came in. Source: ip_forward, ip6_forward.
    """
    v4 = packet.dst >> 32 == 0xFFFF
    forwards = layer.settings.ip_forward if v4 else layer.settings.ip6_forwarding
    if layer.validation is not None:
        forwards = layer.validation.forwards(interface, v4)
    if not v4:
        _forward_v6(layer, packet, interface, bool(forwards))
    elif forwards:
        _forward_v4(layer, packet, interface)
    else:
        layer.drop(packet, interface, "not a router")


def _forward_v4(layer: IpLayer, packet: Packet, interface: Interface) -> None:
    route = layer.routes.forward_from(packet, interface, layer.mark_of(packet))
    if isinstance(route, Verdict):
        _refuse_v4(layer, packet, interface, route)
    elif layer.refuses_source(packet, interface):
        return
    elif packet.ttl <= 1:
        layer.drop_with_error(packet, interface, 11, 0)
    else:
        too_big = 20 + packet.payload_length() > route.mtu
        if too_big and packet.dont_fragment:
            layer.drop_with_error(packet, interface, 3, 4, route.mtu)
        else:
            packet.ttl -= 1
            layer.pass_on(packet, interface, route, too_big)


def _forward_v6(layer: IpLayer, packet: Packet, interface: Interface, forwards: bool) -> None:
    """The route is looked up first: who knows none says so, though it is no router (ip6_pkt_discard)."""
    route = layer.routes.forward_from(packet, interface, layer.mark_of(packet))
    if isinstance(route, Verdict):
        _refuse_v6(layer, packet, interface, route)
    elif not forwards:
        layer.drop(packet, interface, "not a router")
    elif packet.ttl <= 1:
        layer.drop_with_error(packet, interface, 3, 0)
    elif is_link_local(packet.src) and route.interface is not interface:  # back onto its own link it may go
        layer.drop_with_error(packet, interface, 1, 2)
    elif 40 + packet.payload_length() > route.mtu:
        layer.drop_with_error(packet, interface, 2, 0, max(route.mtu, IPV6_MIN_MTU))
    else:
        packet.ttl -= 1
        layer.pass_on(packet, interface, route, too_big=False)


def _refuse_v4(layer: IpLayer, packet: Packet, interface: Interface, verdict: Verdict) -> None:
    """A router without a way tells the sender why (ip_error)."""
    code = UNREACHABLE_CODES_V4.get(verdict.errno)
    if code is None:
        layer.drop(packet, interface, verdict)
    else:
        layer.drop_with_error(packet, interface, 3, code)


def _refuse_v6(layer: IpLayer, packet: Packet, interface: Interface, verdict: Verdict) -> None:
    """The same for IPv6 (ip6_pkt_discard, ip6_pkt_prohibit)."""
    if verdict.errno == errno.EINVAL:
        layer.drop(packet, interface, verdict)
    else:
        layer.drop_with_error(packet, interface, 1, 1 if verdict.errno == errno.EACCES else 0)
