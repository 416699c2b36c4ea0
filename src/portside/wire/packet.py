"""Packets as objects: what travels between simulated hosts.

Bytes are made of them only at the edge (`wire/ipv4.py` and its neighbours encode and decode; `wire/pcapng.py` writes a
capture). An address is an integer as in `addr/ip.py`; a payload is `bytes` or a `memoryview`, passed on and never
copied by a host that only forwards it.
"""

from __future__ import annotations

from typing import Final

from portside.addr.abi import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP
from portside.addr.compiled import mypyc_attr

# TCP control bits, RFC 9293 section 3.1.
FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20
ECE: Final = 0x40
CWR: Final = 0x80

QUOTE_V4: Final = 548
"""Bytes that an ICMP error quotes: as much as fits 576 with the headers (RFC 1812 section 4.3.2.3)."""
QUOTE_V6: Final = 1232
"""As much as fits the minimum MTU of 1280 (RFC 4443 section 2.4)."""

Payload = bytes | memoryview


@mypyc_attr(acyclic=True)
class Packet:
    """An IP datagram without its payload: the fields of RFC 791 and RFC 8200 that hosts and routers decide by.

    `ttl` is the hop limit for IPv6. `dont_fragment` is always true for IPv6, where only the sender may fragment.
    `ident` is the identification field, used when fragmented or encoded.
    """

    __slots__ = ("dont_fragment", "dst", "ident", "proto", "src", "tos", "ttl")

    def __init__(self, src: int, dst: int, proto: int) -> None:
        self.src = src
        self.dst = dst
        self.proto = proto
        self.ttl = 64
        self.tos = 0
        self.dont_fragment = True
        self.ident = 0

    def payload_length(self) -> int:
        """Bytes after the IP header: the transport header with its options, and its data."""
        raise NotImplementedError

    def copy(self) -> Packet:
        """Another packet with the same fields: what a second receiver gets, whose router counts its own TTL down."""
        raise NotImplementedError

    def _same_header(self, of: Packet) -> None:
        self.ttl = of.ttl
        self.tos = of.tos
        self.dont_fragment = of.dont_fragment
        self.ident = of.ident


@mypyc_attr(acyclic=True)
class TcpSegment(Packet):
    """A TCP segment (RFC 9293 section 3.1), with the options that are modelled as fields; absent options are None.

    `window` is the field as sent: not scaled. `timestamps` is (TSval, TSecr) of RFC 7323. `sack` holds the blocks of
    RFC 2018 as (left edge, right edge). `sack_permitted` and `window_scale` and `mss` stand on SYN segments only.
    `gso_size`: it stands for several segments with so many bytes of data each, which were not taken apart because the
    device takes them so, as loopback does; 0 for a segment that is one.
    """

    __slots__ = (
        "ack", "data", "dport", "flags", "gso_size", "mss", "sack", "sack_permitted", "seq", "sport",
        "timestamps", "urgent", "window", "window_scale",
    )  # fmt: skip

    def __init__(
        self, src: int, dst: int, sport: int, dport: int, seq: int, ack: int, flags: int, window: int,
        data: Payload = b"",
    ) -> None:  # fmt: skip
        # The fields of Packet are set here and not by super(): this is the constructor that runs for every segment.
        self.src = src
        self.dst = dst
        self.proto = IPPROTO_TCP
        self.ttl = 64
        self.tos = 0
        self.dont_fragment = True
        self.ident = 0
        self.sport = sport
        self.dport = dport
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.window = window
        self.data = data
        self.urgent = 0
        self.gso_size = 0
        self.mss: int | None = None
        self.window_scale: int | None = None
        self.sack_permitted = False
        self.timestamps: tuple[int, int] | None = None
        self.sack: tuple[tuple[int, int], ...] = ()

    def header_length(self) -> int:
        """Bytes of the TCP header with its options, as Linux lays them out (padded to a multiple of four)."""
        length = 20
        if self.mss is not None:
            length += 4
        if self.timestamps is not None:
            length += 12
        elif self.sack_permitted:
            length += 4
        if self.window_scale is not None:
            length += 4
        if self.sack:
            length += 4 + 8 * len(self.sack)
        return length

    def payload_length(self) -> int:
        """Bytes after the IP header: the transport header with its options, and its data."""
        return self.header_length() + len(self.data)

    def sequence_length(self) -> int:
        """SEG.LEN: the octets occupied in sequence space, counting SYN and FIN (RFC 9293 section 3.4)."""
        return len(self.data) + (self.flags & 1) + (self.flags >> 1 & 1)

    def copy(self) -> TcpSegment:
        """Another segment with the same fields."""
        other = TcpSegment(
            self.src, self.dst, self.sport, self.dport, self.seq, self.ack, self.flags, self.window, self.data
        )
        other._same_header(self)
        other.urgent = self.urgent
        other.gso_size = self.gso_size
        other.mss = self.mss
        other.window_scale = self.window_scale
        other.sack_permitted = self.sack_permitted
        other.timestamps = self.timestamps
        other.sack = self.sack
        return other


class UdpDatagram(Packet):
    """A UDP datagram (RFC 768), or a UDP-Lite one (RFC 3828) when `proto` says so and `coverage` is not None.

    `sender` is the socket whose send buffer it takes room of while it waits on its own host; nobody else looks at it.
    """

    __slots__ = ("coverage", "data", "dport", "joined", "sender", "sport")

    def __init__(
        self, src: int, dst: int, sport: int, dport: int, data: Payload, proto: int = IPPROTO_UDP
    ) -> None:
        self.src = src
        self.dst = dst
        self.proto = proto
        self.ttl = 64
        self.tos = 0
        self.dont_fragment = False
        self.ident = 0
        self.sport = sport
        self.dport = dport
        self.data = data
        self.coverage: int | None = None
        self.sender: object = None
        self.joined = 0  # bytes that the sender added later (MSG_MORE): they take less of the receiver's memory

    def payload_length(self) -> int:
        """Bytes after the IP header: the transport header with its options, and its data."""
        return 8 + len(self.data)

    def copy(self) -> UdpDatagram:
        """Another datagram with the same fields."""
        other = UdpDatagram(self.src, self.dst, self.sport, self.dport, self.data, self.proto)
        other._same_header(self)
        other.coverage = self.coverage
        other.joined = self.joined
        return other


class IcmpMessage(Packet):
    """An ICMP (RFC 792) or ICMPv6 (RFC 4443) message, by `proto`.

    An error carries the packet it is about in `quoted`; `extra` is the MTU of a "fragmentation needed" or "packet too
    big", the pointer of a parameter problem, and identifier << 16 | sequence of an echo. `data` is an echo's payload.
    """

    __slots__ = ("code", "data", "extra", "quoted", "type")

    def __init__(self, src: int, dst: int, proto: int, type: int, code: int, *, extra: int = 0,
                 quoted: Packet | None = None, data: Payload = b"") -> None:  # fmt: skip
        super().__init__(src, dst, proto)
        self.dont_fragment = False
        self.type = type
        self.code = code
        self.extra = extra
        self.quoted = quoted
        self.data = data

    def payload_length(self) -> int:
        """Bytes after the IP header: the ICMP header and what it carries."""
        if self.quoted is None:
            return 8 + len(self.data)
        v4 = self.proto == IPPROTO_ICMP
        whole = self.quoted.payload_length() + (20 if v4 else 40)
        return 8 + min(whole, QUOTE_V4 if v4 else QUOTE_V6)

    def copy(self) -> IcmpMessage:
        """Another message with the same fields, about the same packet."""
        other = IcmpMessage(
            self.src, self.dst, self.proto, self.type, self.code, extra=self.extra, quoted=self.quoted, data=self.data
        )
        other._same_header(self)
        return other


class Fragment(Packet):
    """A piece of an IP datagram: bytes `offset` to `offset + length` of `whole`'s payload (RFC 791 section 3.2)."""

    __slots__ = ("length", "more", "offset", "whole")

    def __init__(self, whole: Packet, offset: int, length: int, more: bool) -> None:
        super().__init__(whole.src, whole.dst, whole.proto)
        self.ttl = whole.ttl
        self.tos = whole.tos
        self.ident = whole.ident
        self.dont_fragment = False
        self.whole = whole
        self.offset = offset
        self.length = length
        self.more = more

    def payload_length(self) -> int:
        """Bytes after the IP header (and, for IPv6, after the fragment header of 8 bytes, which is counted)."""
        return self.length + (8 if self.src >> 32 != 0xFFFF else 0)

    def copy(self) -> Fragment:
        """Another piece of the same datagram."""
        other = Fragment(self.whole, self.offset, self.length, self.more)
        other._same_header(self)
        return other


class RawPacket(Packet):
    """An IP datagram whose payload is not looked into: of another protocol, or a piece put together so far."""

    __slots__ = ("data",)

    def __init__(self, src: int, dst: int, proto: int, data: Payload) -> None:
        super().__init__(src, dst, proto)
        self.dont_fragment = False
        self.data = data

    def payload_length(self) -> int:
        """Bytes after the IP header."""
        return len(self.data)

    def copy(self) -> RawPacket:
        """Another packet with the same fields."""
        other = RawPacket(self.src, self.dst, self.proto, self.data)
        other._same_header(self)
        return other
