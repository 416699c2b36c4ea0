"""Packets in the words of tcpdump(1)."""

from __future__ import annotations

from typing import Final

from portside.addr.abi import IPPROTO_ICMP, IPPROTO_UDP
from portside.addr.ip import is_v4, text
from portside.ip.link import NeighborMessage
from portside.wire.packet import (
    ACK,
    CWR,
    ECE,
    FIN,
    PSH,
    RST,
    SYN,
    URG,
    Fragment,
    IcmpMessage,
    Packet,
    TcpSegment,
    UdpDatagram,
)  # fmt: skip

_FLAGS: Final = tuple(zip((FIN, SYN, RST, PSH, ACK, URG, ECE, CWR), "FSRP.UEW", strict=True))
_MASK: Final = 0xFFFFFFFF


class Describer:
    """Packets in the words of tcpdump(1), with sequence numbers relative to the SYNs that it has seen."""

    __slots__ = ("_isn",)

    def __init__(self) -> None:
        self._isn: dict[tuple[int, int, int, int], int] = {}

    def __call__(self, packet: Packet) -> str:
        """One line on one packet."""
        if isinstance(packet, NeighborMessage):
            return _neighbor(packet)
        family = "IP" if is_v4(packet.src) else "IP6"
        if isinstance(packet, TcpSegment):
            return f"{family} {_ends(packet, packet.sport, packet.dport)}: {self._tcp(packet)}"
        if isinstance(packet, UdpDatagram):
            name = "UDP" if packet.proto == IPPROTO_UDP else "UDP-Lite"
            return f"{family} {_ends(packet, packet.sport, packet.dport)}: {name}, length {len(packet.data)}"
        both = f"{family} {text(packet.src)} > {text(packet.dst)}: "
        if isinstance(packet, IcmpMessage):
            return both + _icmp(packet)
        if isinstance(packet, Fragment):
            more = "+" if packet.more else ""
            return f"{both}frag (proto {packet.proto}, {packet.length}@{packet.offset}{more})"
        return f"{both}ip-proto-{packet.proto} {packet.payload_length()}"

    def _tcp(self, segment: TcpSegment) -> str:
        flags = "".join(letter for bit, letter in _FLAGS if segment.flags & bit) or "none"
        key = (segment.src, segment.sport, segment.dst, segment.dport)
        length = len(segment.data)
        seq, ack = segment.seq, segment.ack
        if segment.flags & SYN:
            self._isn[key] = seq
        else:
            seq = seq - self._isn.get(key, 0) & _MASK
        parts = [f"Flags [{flags}]"]
        if length:
            parts.append(f"seq {seq}:{seq + length & _MASK}")
        elif segment.flags & (FIN | SYN | RST):
            parts.append(f"seq {seq}")
        if segment.flags & ACK:
            back = self._isn.get((segment.dst, segment.dport, segment.src, segment.sport), 0)
            parts.append(f"ack {ack - back & _MASK}")
        parts.append(f"win {segment.window}")
        if segment.flags & URG:
            parts.append(f"urg {segment.urgent}")
        options = self._options(segment)
        if options:
            parts.append(f"options [{','.join(options)}]")
        parts.append(f"length {length}")
        return ", ".join(parts)

    def _options(self, segment: TcpSegment) -> list[str]:
        options = []
        if segment.mss is not None:
            options.append(f"mss {segment.mss}")
        if segment.sack_permitted:
            options.append("sackOK")
        if segment.timestamps is not None:
            options.append("TS val {} ecr {}".format(*segment.timestamps))
        if segment.window_scale is not None:
            options.append(f"wscale {segment.window_scale}")
        if segment.sack:
            back = self._isn.get((segment.dst, segment.dport, segment.src, segment.sport), 0)
            blocks = (f"{{{left - back & _MASK}:{right - back & _MASK}}}" for left, right in segment.sack)
            options.append(f"sack {len(segment.sack)} {''.join(blocks)}")
        return options


def _ends(packet: Packet, sport: int, dport: int) -> str:
    return f"{text(packet.src)}.{sport} > {text(packet.dst)}.{dport}"


def _neighbor(message: NeighborMessage) -> str:
    length = message.payload_length() + 20
    address = ":".join(f"{byte:02x}" for byte in message.link_address.to_bytes(6, "big"))
    if is_v4(message.src):
        if message.request:
            return f"ARP, Request who-has {text(message.dst)} tell {text(message.src)}, length {length}"
        return f"ARP, Reply {text(message.src)} is-at {address}, length {length}"
    what = f"who has {text(message.dst)}" if message.request else f"tgt is {text(message.src)}"
    kind = "solicitation" if message.request else "advertisement"
    return f"IP6 {text(message.src)} > {text(message.dst)}: ICMP6, neighbor {kind}, {what}, length 32"


_UNREACHABLE: Final = {
    0: "net {dst} unreachable", 1: "host {dst} unreachable", 2: "{dst} protocol {proto} unreachable",
    3: "{dst} {name} port {port} unreachable", 4: "{dst} unreachable - need to frag (mtu {extra})",
    9: "net {dst} unreachable - admin prohibited", 10: "host {dst} unreachable - admin prohibited",
    13: "host {dst} unreachable - admin prohibited filter",
}  # fmt: skip
_UNREACHABLE6: Final = {
    0: "unreachable route {dst}", 1: "unreachable prohibited {dst}", 3: "unreachable address {dst}",
    4: "unreachable port, {dst} {name} port {port}", 5: "source address {dst} failed policy",
    6: "reject route {dst}",
}  # fmt: skip


def _icmp(message: IcmpMessage) -> str:
    v4 = message.proto == IPPROTO_ICMP
    name = "ICMP" if v4 else "ICMP6,"
    echo = {8: "request", 0: "reply"} if v4 else {128: "request", 129: "reply"}
    length = message.payload_length()
    if message.type in echo:
        ident, number = message.extra >> 16, message.extra & 0xFFFF
        return f"{name} echo {echo[message.type]}, id {ident}, seq {number}, length {length}"
    about = _about(message)
    known: dict[int, str] = {}
    if message.type == (3 if v4 else 1):
        known = _UNREACHABLE if v4 else _UNREACHABLE6
    words = known.get(message.code)
    if words is None and message.type == (11 if v4 else 3):
        words = "time exceeded in-transit" if message.code == 0 else "ip reassembly time exceeded"
    elif words is None and message.type == 2 and not v4:
        words = "packet too big, mtu {extra}"
    elif words is None:
        words = f"type {message.type} code {message.code}"
    return f"{name} {words.format(**about)}, length {length}"


def _about(message: IcmpMessage) -> dict[str, object]:
    quoted = message.quoted
    about: dict[str, object] = {"dst": "?", "proto": "?", "name": "?", "port": "?", "extra": message.extra}
    if quoted is not None:
        about.update(dst=text(quoted.dst), proto=quoted.proto)
    if isinstance(quoted, TcpSegment | UdpDatagram):
        about.update(name="tcp" if isinstance(quoted, TcpSegment) else "udp", port=quoted.dport)
    return about
