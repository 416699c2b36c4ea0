"""Packets on their way, in words: what they are, by which route they go, and who would almost have them."""

from __future__ import annotations

from portside.addr.abi import IPPROTO_TCP
from portside.addr.ip import is_v4, text
from portside.explain.attempt import endpoint, owner_words
from portside.facts.snapshot import Snapshot
from portside.facts.state import NAMES
from portside.ip.link import NeighborMessage
from portside.ip.route import Route
from portside.wire.packet import ACK, RST, SYN, Fragment, IcmpMessage, Packet, TcpSegment, UdpDatagram


def route_words(route: Route) -> str:
    """A route that was found."""
    if route.local:
        return f"{text(route.dst)} is an address of this host, on {route.interface.name}"
    via = f" via {text(route.next_hop)}" if route.next_hop and route.next_hop != route.dst else ""
    return f"{text(route.dst)} is reached{via} by {route.interface.name}, from {text(route.src)}"


def packet_words(packet: Packet) -> str:
    """`SYN 10.0.0.1 > 10.0.0.2:80`; ephemeral ports are left out."""
    whole = packet.whole if isinstance(packet, Fragment) else packet
    if isinstance(whole, TcpSegment):
        flags = whole.flags
        name = "RST" if flags & RST else "SYN-ACK" if flags & SYN and flags & ACK else "SYN" if flags & SYN else "ACK"
        if name == "SYN":
            return f"SYN to {endpoint(whole.dst, whole.dport)} from {text(whole.src)}"
        return f"{name} from {endpoint(whole.src, whole.sport)} to {text(whole.dst)}"
    if isinstance(whole, UdpDatagram):
        return f"the datagram to {endpoint(whole.dst, whole.dport)} from {text(whole.src)}"
    if isinstance(whole, NeighborMessage):
        return f"the question who has {text(whole.dst)}" if whole.request else f"the answer who has {text(whole.src)}"
    if isinstance(whole, IcmpMessage):
        return f"the ICMP message {whole.type}/{whole.code} from {text(whole.src)} to {text(whole.dst)}"
    return f"the packet to {text(packet.dst)}"


def nearly(snapshot: Snapshot, packet: TcpSegment | UdpDatagram, proto: int = IPPROTO_TCP) -> str:
    """Who listens on the port, and why it is not for this packet; empty when nobody does."""
    for each in snapshot.sockets:
        if each.proto != proto or each.lport != packet.dport or each.rport:
            continue
        who = owner_words(each)
        if proto == IPPROTO_TCP and NAMES[each.state] != "LISTEN":
            return f"{who} is bound to port {each.lport}, but does not listen"
        if each.device:
            return f"{who} listens on port {each.lport}, but only on interface {each.device}"
        if is_v4(packet.dst) and not is_v4(each.laddr) and (each.v6only or each.laddr):
            return f"{who} listens on port {each.lport}, but only over IPv6"
        if not is_v4(packet.dst) and is_v4(each.laddr):
            return f"{who} listens on port {each.lport}, but only over IPv4"
        return f"{who} listens on port {each.lport}, but only on {text(each.laddr)}"
    return ""
