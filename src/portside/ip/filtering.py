"""A packet's way through the ruleset of a host, where it changes the packet's way: NAT, marks, rejections."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from portside.facts.verdict import Verdict
from portside.ip.firewall import TCP_RESET, rejection
from portside.ip.interface import Interface
from portside.ip.route import Route
from portside.ip.ruleset import REJECT, Ruleset, Ruling
from portside.wire.packet import Packet

if TYPE_CHECKING:
    from portside.ip.layer import IpLayer


def output(layer: IpLayer, ruleset: Ruleset, packet: Packet, route: Route) -> Route | int:
    """Show a packet of this host to the ruleset: the way that it takes then, or the errno.

    Source: ip_local_out, ip_output.
    """
    oif = layer.lo if route.local else route.interface
    ways = [route]

    def route_again(packet: Packet, mark: int) -> Verdict | None:
        """The way that a packet takes with its new names (ip_route_me_harder)."""
        source = packet.src if layer.is_local(packet.src) else 0
        layer.routes.mark = mark
        found = layer.routes.lookup_unscoped(packet.dst, source, 0)
        layer.routes.mark = 0
        if isinstance(found, Verdict):
            return found
        ways.append(found)
        return None

    ruling = ruleset.output(packet, oif, route_again)
    if isinstance(ruling, Verdict):
        layer.drop(packet, oif, ruling)
        ruleset.answered(packet)
        return ruling.errno
    if ruling is not None:
        rule_out(layer, ruleset, packet, None, oif, ruling)
        return errno.EPERM
    route = ways[-1]
    oif = layer.lo if route.local else route.interface
    ruling = ruleset.postrouting(packet, None, oif, stays=route.local)
    if ruling is not None:
        rule_out(layer, ruleset, packet, None, oif, ruling)
        return errno.EPERM
    return route


def rule_out(
    layer: IpLayer, ruleset: Ruleset, packet: Packet, iif: Interface | None, where: Interface, ruling: Ruling
) -> None:
    """The ruleset does not let a packet pass: drop it, and tell its sender where the rule says so.

    Args: iif: where it came in, None for a packet of this host; where: the interface to name as that of the drop.
    """
    layer.drop(packet, where, ruling)
    rule = ruling.rule
    if ruling.verdict == REJECT and rule is not None:
        ruleset.reject(packet)
        if rule.reject_with == TCP_RESET:
            layer.effects.tcp_reset(packet, iif)
        else:
            type, code = rejection(packet, rule.reject_with)
            layer.effects.icmp_error(packet, iif, type, code, 0)
    ruleset.answered(packet)
