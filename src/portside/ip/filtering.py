"""A packet's way through the ruleset of a host, where it changes the packet's way: NAT, marks, rejections."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from portside.addr.abi import IPPROTO_ICMPV6
from portside.addr.ip import is_multicast, is_v4, needs_scope, text
from portside.facts.rule import FORWARD
from portside.facts.verdict import Rule, Verdict
from portside.ip.firewall import TCP_RESET, rejection
from portside.ip.interface import Interface
from portside.ip.link import NeighborMessage
from portside.ip.route import Route
from portside.ip.ruleset import REJECT, Ruleset, Ruling
from portside.wire.packet import IcmpMessage, Packet

if TYPE_CHECKING:
    from portside.ip.layer import IpLayer

SOLICITED_NODE: Final = 0xFF02 << 112 | 0x1FF000000  # ff02::1:ff00:0/104, RFC 4291 section 2.7.1
NEIGHBOR_SOLICITATION: Final = 135
NEIGHBOR_ADVERTISEMENT: Final = 136
OFF_LINK: Final = Rule(
    "neighbour-off-link", "the way to {subject} is {0}: an answer to a neighbour is lost there", "RFC 4861 section 7.1"
)


def output(layer: IpLayer, ruleset: Ruleset, packet: Packet, route: Route) -> Route | int:
    """Show a packet of this host to the ruleset: the way that it takes then, or the errno.

    Source: ip_local_out, ip_output.
    """
    oif = layer.lo if route.local else route.interface
    ways = [route]

    def route_again(packet: Packet, mark: int, device: int) -> Verdict | None:
        """The way that a packet takes with its new names (ip_route_me_harder)."""
        source = packet.src if layer.is_local(packet.src) else 0
        by = device or (oif.index if needs_scope(packet.dst) else 0)
        found = layer.routes.lookup_again(packet, source, by, mark)
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
            layer.effects.tcp_reset(packet, _resetter(layer, ruleset, packet))
        else:
            type, code = rejection(packet, rule.reject_with)
            layer.effects.icmp_error(packet, iif, type, code, 0)
    ruleset.answered(packet)


def _resetter(layer: IpLayer, ruleset: Ruleset, packet: Packet) -> Callable[[Packet, Route], object]:
    """What sends the reset for a packet that is rejected: the IP layer, by whatever way there is.

    For what br_netfilter has seen it is the port of the bridge that the packet came in by, straight back to the link
    address that it came from, past all hooks of IP and of the bridge. There has to be a way nevertheless.
    Source: nf_send_reset, nf_send_reset6.
    """
    back = ruleset.came_by_port(packet)
    return layer.send if back is None else lambda reset, _route: back(reset)


def neighbor_passes(
    layer: IpLayer, ruleset: Ruleset, message: Packet, iif: Interface | None, oif: Interface | None
) -> bool:
    """Whether the ruleset lets a neighbour solicitation or advertisement pass: ICMPv6 like any other to it.

    Args: iif: where it came in; oif: where it leaves. ARP is not IP, and passes. Source: ndisc_send_skb, ip6_input.
    """
    assert isinstance(message, NeighborMessage)

    def route_again(packet: Packet, mark: int, _device: int) -> Verdict | None:
        """A chain has marked it: it may be routed now, which it was not before (ip6_route_me_harder)."""
        assert oif is not None
        strict = needs_scope(packet.dst) or is_multicast(packet.dst)
        found = layer.routes.lookup_again(packet, packet.src, oif.index if strict else 0, mark)
        if isinstance(found, Verdict):
            return found
        on_link = strict or (found.interface is oif and found.next_hop == packet.dst)
        return None if on_link else Verdict(errno.EHOSTUNREACH, OFF_LINK, (found,), text(packet.dst))

    return is_v4(message.dst) or ruleset.neighbor(as_icmp(message), iif, oif, route_again) is None


def as_icmp(message: NeighborMessage) -> IcmpMessage:
    """Neighbour discovery as ICMPv6 (RFC 4861 section 4.3)."""
    dst = SOLICITED_NODE | message.dst & 0xFFFFFF if message.request else message.dst
    kind = NEIGHBOR_SOLICITATION if message.request else NEIGHBOR_ADVERTISEMENT
    return IcmpMessage(message.src, dst, IPPROTO_ICMPV6, kind, 0)


def bridge(
    layer: IpLayer, packet: Packet, device: Interface, sender: int, to_host: bool, crosses: Callable[[], bool],
    back: Callable[[Packet], None],
) -> bool:  # fmt: skip
    """Whether a bridge is to carry a packet on as it is, with br_netfilter: the ruleset of its host sees it first.

    NAT may give the packet another destination. If that is on the bridge too, it goes there without being routed; else
    the host takes it in.

    Args: sender: the link address that it came from; to_host: it is for the bridge itself, not from port to port.
    crosses: whether the chains of the bridge let it go on, that see it in between; back: sends an answer straight back
    by the port that the packet came in by.
    Source: br_nf_pre_routing_finish, br_nf_forward_ip, br_nf_post_routing.
    """
    ruleset = layer.ruleset
    if ruleset is None:
        return crosses()
    if isinstance(packet, NeighborMessage):
        return crosses() and (to_host or neighbor_passes(layer, ruleset, packet, device, device))
    before = packet.dst
    ruling = ruleset.prerouting(packet, device)
    renamed = ruling is None and packet.dst != before
    next_hop = _renamed_way(layer, ruleset, packet, device) if renamed else 0
    if next_hop is None or (ruling is None and not renamed and not crosses()):
        return False
    if ruling is None and not next_hop and (to_host or renamed):
        ruleset.expect(packet, back)
        layer.arrives(packet, device)
        return False
    if ruling is not None or not next_hop:
        return _goes_on(layer, ruleset, packet, device, ruling, back)

    def found(link_address: int) -> None:
        """Go on to the neighbour, by the port that it is behind (br_nf_pre_routing_finish_bridge)."""
        if link_address == sender:
            layer.drop(packet, device, "a bridge sends nothing back by the port that it came from")
            ruleset.answered(packet)
        elif _goes_on(layer, ruleset, packet, device, None, back) and device.link is not None:
            device.link.transmit(packet, device, link_address)

    layer.detours[id(packet)] = found
    layer.neighbors.send(packet, device, next_hop)
    return False


def _goes_on(
    layer: IpLayer, ruleset: Ruleset, packet: Packet, device: Interface, ruling: Ruling | None,
    back: Callable[[Packet], None],
) -> bool:  # fmt: skip
    """Whether the ruleset lets a packet go on to another port of a bridge. Args: ruling: what it has said so far."""
    if ruling is None:
        ruling = ruleset.forward(packet, device, device)
    if ruling is None:
        ruling = ruleset.postrouting(packet, device, device)
    if ruling is None:
        return True
    ruleset.expect(packet, back)
    if _is_told_ahead(packet, ruling):
        layer.drop(packet, device, ruling)
        ruleset.answered(packet)
    else:
        rule_out(layer, ruleset, packet, device, device, ruling)
        layer.run_backlog()
    return False


def _is_told_ahead(packet: Packet, ruling: Ruling) -> bool:
    """Whether the ICMP error about what a bridge does not pass on gets lost: a link-local address is looked for by the
    port ahead (icmp6_iif), behind which the sender is not."""
    rule = ruling.rule
    if rule is None or ruling.hook != FORWARD or ruling.verdict != REJECT:
        return False
    return rule.reject_with != TCP_RESET and needs_scope(packet.src)


def _renamed_way(layer: IpLayer, ruleset: Ruleset, packet: Packet, device: Interface) -> int | None:
    """The neighbour on a bridge to which a packet goes that NAT has renamed; 0: none, the host is to route it.

    None: it is dropped, and nobody is told (br_nf_pre_routing_finish_ipv6).
    """
    route = layer.routes.forward_from(packet, device, ruleset.mark_of(packet))
    v4 = is_v4(packet.dst)
    if not v4 and isinstance(route, Verdict):
        layer.drop(packet, device, route)
        ruleset.answered(packet)
        return None
    forwards = not v4 or layer.validation is None or layer.validation.forwards(device, v4)
    return route.next_hop if forwards and isinstance(route, Route) and route.interface is device else 0
