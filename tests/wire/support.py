"""What the tests of the wire format share: Hypothesis strategies for packets, and comparison field by field."""

from __future__ import annotations

from inspect import isdatadescriptor

from hypothesis import strategies as st

from portside.addr import ip
from portside.addr.abi import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.wire.packet import Fragment, IcmpMessage, Packet, RawPacket, TcpSegment, UdpDatagram

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
payloads = st.one_of(st.binary(max_size=64), st.binary(min_size=500, max_size=1600))
v4 = u32.map(lambda number: ip.V4_PREFIX | number)
v6 = st.integers(0, (1 << 128) - 1).filter(lambda number: not ip.is_v4(number))
families = st.sampled_from((4, 6))


def fields(packet: Packet) -> dict[str, object]:
    """Every slot of the packet by name; packets within it as their own fields."""
    # Data descriptors are what slots and a compiled class's attributes have in common.
    names = [name for kind in type(packet).__mro__[:-1] for name, it in vars(kind).items() if isdatadescriptor(it)]
    assert "src" in names
    found: dict[str, object] = {"kind": type(packet).__name__}
    for name in names:
        value = getattr(packet, name)
        found[name] = fields(value) if isinstance(value, Packet) else value
        if isinstance(value, memoryview):
            found[name] = bytes(value)
    return found


@st.composite
def ends(draw: st.DrawFn, family: int | None = None) -> tuple[int, int]:
    """Source and destination of one family."""
    addresses = v4 if (family or draw(families)) == 4 else v6
    return draw(addresses), draw(addresses)


def _finish(draw: st.DrawFn, packet: Packet) -> None:
    packet.ttl = draw(u8)
    packet.tos = draw(u8)
    if ip.is_v4(packet.src):
        packet.ident = draw(u16)
        packet.dont_fragment = draw(st.booleans())
    else:
        packet.dont_fragment = True


@st.composite
def tcp_segments(draw: st.DrawFn, family: int | None = None) -> TcpSegment:
    src, dst = draw(ends(family))
    segment = TcpSegment(
        src, dst, draw(u16), draw(u16), draw(u32), draw(u32), draw(u8), draw(u16), draw(payloads)
    )
    segment.urgent = draw(u16)
    if segment.flags & 2:
        segment.mss = draw(st.none() | st.integers(1, 0xFFFF))
        segment.window_scale = draw(st.none() | st.integers(0, 14))
        segment.sack_permitted = draw(st.booleans())
    segment.timestamps = draw(st.none() | st.tuples(u32, u32))
    room = (40 - (segment.header_length() - 20) - 4) // 8
    segment.sack = tuple(draw(st.lists(st.tuples(u32, u32), max_size=max(0, room))))
    _finish(draw, segment)
    return segment


@st.composite
def udp_datagrams(draw: st.DrawFn, family: int | None = None) -> UdpDatagram:
    src, dst = draw(ends(family))
    proto = draw(st.sampled_from((IPPROTO_UDP, IPPROTO_UDPLITE)))
    datagram = UdpDatagram(src, dst, draw(u16), draw(u16), draw(payloads), proto)
    if proto == IPPROTO_UDPLITE:
        datagram.coverage = draw(st.just(0) | st.integers(8, 8 + len(datagram.data)))
    _finish(draw, datagram)
    return datagram


@st.composite
def icmp_echoes(draw: st.DrawFn, family: int | None = None) -> IcmpMessage:
    src, dst = draw(ends(family))
    v4_message = ip.is_v4(src)
    proto = IPPROTO_ICMP if v4_message else IPPROTO_ICMPV6
    kind = draw(st.sampled_from((0, 8, 13, 14) if v4_message else (128, 129, 133, 135)))
    message = IcmpMessage(src, dst, proto, kind, draw(u8), extra=draw(u32), data=draw(payloads))
    _finish(draw, message)
    return message


@st.composite
def raw_packets(draw: st.DrawFn, family: int | None = None) -> RawPacket:
    src, dst = draw(ends(family))
    packet = RawPacket(src, dst, draw(st.sampled_from((2, 50, 89, 132, 253))), draw(payloads))
    _finish(draw, packet)
    return packet


@st.composite
def icmp_errors(draw: st.DrawFn, family: int | None = None) -> IcmpMessage:
    src, dst = draw(ends(family))
    v4_message = ip.is_v4(src)
    family = 4 if v4_message else 6
    quoted = draw(st.one_of(tcp_segments(family), udp_datagrams(family), icmp_echoes(family), fragments(family)))
    proto = IPPROTO_ICMP if v4_message else IPPROTO_ICMPV6
    kind, code, extra = draw(
        st.sampled_from(
            ((3, 3, 0), (3, 4, 1400), (5, 1, 0x0A000001), (11, 0, 0), (12, 0, 20))
            if v4_message
            else ((1, 4, 0), (2, 0, 1280), (3, 0, 0), (4, 1, 40))
        )
    )
    message = IcmpMessage(src, dst, proto, kind, code, extra=extra, quoted=quoted)
    _finish(draw, message)
    return message


def pieces(whole: Packet, size: int) -> list[Fragment]:
    """The fragments of a packet, each of `size` bytes (a multiple of 8) but the last."""
    length = whole.payload_length()
    return [
        Fragment(whole, offset, min(size, length - offset), offset + size < length)
        for offset in range(0, length, size)
    ]


@st.composite
def fragment_lists(draw: st.DrawFn, family: int | None = None) -> tuple[Packet, list[Fragment]]:
    """A packet and two or more fragments of it."""
    whole: Packet = draw(st.one_of(tcp_segments(family), udp_datagrams(family), icmp_echoes(family)))
    whole.ident = draw(u16 if ip.is_v4(whole.src) else u32)
    length = whole.payload_length()
    if length < 16:
        whole = RawPacket(whole.src, whole.dst, 253, bytes(24))
        length = 24
    size = draw(st.integers(1, (length - 1) // 8)) * 8
    return whole, pieces(whole, size)


@st.composite
def fragments(draw: st.DrawFn, family: int | None = None) -> Fragment:
    _, parts = draw(fragment_lists(family))
    return draw(st.sampled_from(parts))


packets: st.SearchStrategy[Packet] = st.one_of(
    tcp_segments(), udp_datagrams(), icmp_echoes(), icmp_errors(), raw_packets(), fragments()
)
