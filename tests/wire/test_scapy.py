"""scapy judges both ways: what we encode it decodes to equal fields, what it builds we decode."""

from __future__ import annotations

import warnings
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6, in6_chksum
    from scapy.packet import Raw
    from scapy.utils import checksum

from portside.addr import ip
from portside.addr.abi import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_UDP
from portside.wire import codec
from portside.wire.packet import Fragment, IcmpMessage, Packet, TcpSegment, UdpDatagram

from .support import (
    families,
    fields,
    fragment_lists,
    icmp_echoes,
    icmp_errors,
    payloads,
    tcp_segments,
    u8,
    u16,
    u32,
    udp_datagrams,
    v4,
    v6,
)


def dissect(raw: bytes) -> Any:
    return IP(raw) if raw[0] >> 4 == 4 else IPv6(raw)


def rebuilt(judged: Any) -> bytes:
    """The bytes again, with every length and checksum computed by scapy."""
    again = judged.copy()
    layer = again
    while layer is not None:
        for name in ("chksum", "cksum", "len", "plen", "ihl", "dataofs"):
            if name in getattr(layer, "fields", {}):
                layer.delfieldval(name)
        layer = layer.payload or None
    return bytes(again)


def check_ip(judged: Any, packet: Packet) -> None:
    assert ip.parse(judged.src) == packet.src
    assert ip.parse(judged.dst) == packet.dst
    if ip.is_v4(packet.src):
        assert (judged.ttl, judged.tos, judged.id) == (packet.ttl, packet.tos, packet.ident)
        assert bool(judged.flags.DF) == packet.dont_fragment
    else:
        assert (judged.hlim, judged.tc, judged.fl) == (packet.ttl, packet.tos, 0)


def options_of(judged: Any) -> dict[str, Any]:
    return {name: value for name, value in judged[TCP].options if name not in ("NOP", "EOL")}


@given(tcp_segments())
def test_scapy_reads_our_segments(segment: TcpSegment) -> None:
    raw = codec.encode_ip(segment)
    judged = dissect(raw)
    check_ip(judged, segment)
    tcp = judged[TCP]
    assert (tcp.sport, tcp.dport, tcp.seq, tcp.ack) == (segment.sport, segment.dport, segment.seq, segment.ack)
    assert (int(tcp.flags), tcp.window, tcp.urgptr) == (segment.flags, segment.window, segment.urgent)
    assert bytes(tcp.payload) == segment.data
    options = options_of(judged)
    assert options.get("MSS") == segment.mss
    assert options.get("WScale") == segment.window_scale
    assert options.get("Timestamp") == segment.timestamps
    assert ("SAckOK" in options) == segment.sack_permitted
    flat = tuple(edge for block in segment.sack for edge in block)
    assert tuple(options.get("SAck", ())) == flat
    assert rebuilt(judged) == raw


@given(udp_datagrams())
def test_scapy_reads_our_datagrams(datagram: UdpDatagram) -> None:
    raw = codec.encode_ip(datagram)
    judged = dissect(raw)
    check_ip(judged, datagram)
    if datagram.proto != IPPROTO_UDP:
        return  # scapy has no UDP-Lite
    udp = judged[UDP]
    assert (udp.sport, udp.dport, udp.len) == (datagram.sport, datagram.dport, 8 + len(datagram.data))
    assert raw[-len(datagram.data) or len(raw) :] == datagram.data
    expected = udp.chksum
    del udp.chksum
    assert dissect(bytes(judged))[UDP].chksum == expected


@given(icmp_echoes())
def test_scapy_reads_our_messages(message: IcmpMessage) -> None:
    raw = codec.encode_ip(message)
    judged = dissect(raw)
    check_ip(judged, message)
    body = bytearray(bytes(judged.payload))
    assert (body[0], body[1]) == (message.type, message.code)
    if message.type in (0, 8, 128, 129):
        icmp = judged.payload
        assert (icmp.id << 16 | icmp.seq) == message.extra
        assert bytes(icmp)[8:] == message.data
        assert rebuilt(judged) == raw
    total = int.from_bytes(body[2:4], "big")
    body[2:4] = b"\0\0"
    assert _icmp_sum(message, bytes(body)) == total


@given(icmp_errors())
def test_scapy_reads_our_errors(message: IcmpMessage) -> None:
    raw = codec.encode_ip(message)
    judged = dissect(raw)
    check_ip(judged, message)
    icmp = judged.payload
    assert (icmp.type, icmp.code) == (message.type, message.code)
    v4_message = message.proto == IPPROTO_ICMP
    if v4_message and (message.type, message.code) == (3, 4):
        assert icmp.nexthopmtu == message.extra
    if v4_message and message.type == 12:
        assert icmp.ptr == message.extra
    if v4_message and message.type == 5:
        assert ip.parse(icmp.gw) == ip.V4_PREFIX | message.extra
    if not v4_message and message.type == 2:
        assert icmp.mtu == message.extra
    if not v4_message and message.type == 4:
        assert icmp.ptr == message.extra
    quoted = message.quoted
    assert quoted is not None
    inner = icmp.payload
    assert (ip.parse(inner.src), ip.parse(inner.dst)) == (quoted.src, quoted.dst)
    if isinstance(quoted, TcpSegment):
        assert (inner.payload.sport, inner.payload.dport, inner.payload.seq) == (
            quoted.sport, quoted.dport, quoted.seq,
        )  # fmt: skip
    # The checksum over what was quoted, cut short or not.
    name = "chksum" if v4_message else "cksum"
    expected = getattr(icmp, name)
    body = bytearray(bytes(icmp))
    body[2:4] = b"\0\0"
    assert _icmp_sum(message, bytes(body)) == expected


def _icmp_sum(message: IcmpMessage, body: bytes) -> int:
    if message.proto == IPPROTO_ICMP:
        return int(checksum(body))
    under = IPv6(src=ip.text(message.src), dst=ip.text(message.dst))
    return int(in6_chksum(IPPROTO_ICMPV6, under, body))


@given(fragment_lists())
def test_scapy_reads_our_fragments(case: tuple[Packet, list[Fragment]]) -> None:
    whole, parts = case
    payload = codec.encode_payload(whole)
    for part in parts:
        judged = dissect(codec.encode_ip(part))
        if ip.is_v4(part.src):
            assert (judged.frag * 8, bool(judged.flags.MF), judged.flags.DF) == (part.offset, part.more, 0)
            body = bytes(judged)[20:]
        else:
            extension = judged[IPv6ExtHdrFragment]
            assert (extension.offset * 8, bool(extension.m)) == (part.offset, part.more)
            assert (extension.id, extension.nh) == (part.ident, part.proto)
            body = bytes(judged)[48:]
        assert body == payload[part.offset : part.offset + part.length]


# what scapy builds


@st.composite
def scapy_ip(draw: st.DrawFn) -> Any:
    if draw(families) == 4:
        return IP(
            src=ip.text(draw(v4)), dst=ip.text(draw(v4)), ttl=draw(u8), tos=draw(u8), id=draw(u16),
            flags=draw(st.sampled_from(("", "DF"))),
        )  # fmt: skip
    return IPv6(src=ip.text(draw(v6)), dst=ip.text(draw(v6)), hlim=draw(u8), tc=draw(u8))


_SCAPY_OPTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("MSS"), st.integers(1, 0xFFFF)),
        st.tuples(st.just("WScale"), st.integers(0, 14)),
        st.just(("SAckOK", b"")),
        st.tuples(st.just("Timestamp"), st.tuples(u32, u32)),
        st.just(("NOP", None)),
    ),
    max_size=4,
    unique_by=lambda option: option[0],
)


@given(scapy_ip(), u16, u16, u32, u32, u8, u16, u16, _SCAPY_OPTIONS, payloads)
def test_we_read_segments_that_scapy_builds(
    under: Any, sport: int, dport: int, seq: int, ack: int, flags: int, window: int, urgent: int,
    options: list[tuple[str, Any]], data: bytes,
) -> None:  # fmt: skip
    built = under / TCP(
        sport=sport, dport=dport, seq=seq, ack=ack, flags=flags, window=window, urgptr=urgent, options=options
    ) / Raw(data)  # fmt: skip
    packet = codec.decode_ip(bytes(built))
    assert isinstance(packet, TcpSegment)
    check_ip(dissect(bytes(built)), packet)
    assert (packet.sport, packet.dport, packet.seq, packet.ack) == (sport, dport, seq, ack)
    assert (packet.flags, packet.window, packet.urgent, packet.data) == (flags, window, urgent, data)
    said = dict(options)
    assert packet.timestamps == said.get("Timestamp")
    syn = bool(flags & 2)
    assert packet.mss == (said.get("MSS") if syn else None)
    assert packet.window_scale == (said.get("WScale") if syn else None)
    assert packet.sack_permitted == (syn and "SAckOK" in said)


@given(scapy_ip(), u32, u32, st.lists(st.tuples(u32, u32), min_size=1, max_size=4))
def test_we_read_sack_blocks_that_scapy_builds(
    under: Any, seq: int, ack: int, blocks: list[tuple[int, int]]
) -> None:
    flat = tuple(edge for block in blocks for edge in block)
    built = under / TCP(flags="A", seq=seq, ack=ack, options=[("SAck", flat)])
    packet = codec.decode_ip(bytes(built))
    assert isinstance(packet, TcpSegment)
    assert packet.sack == tuple(blocks)


@given(scapy_ip(), u16, u16, payloads)
def test_we_read_datagrams_that_scapy_builds(under: Any, sport: int, dport: int, data: bytes) -> None:
    built = under / UDP(sport=sport, dport=dport) / Raw(data)
    packet = codec.decode_ip(bytes(built))
    assert isinstance(packet, UdpDatagram)
    check_ip(dissect(bytes(built)), packet)
    assert (packet.sport, packet.dport, packet.data, packet.coverage) == (sport, dport, data, None)


@given(v4, v4, u16, u16, payloads)
def test_we_read_echoes_that_scapy_builds(src: int, dst: int, ident: int, seq: int, data: bytes) -> None:
    built = IP(src=ip.text(src), dst=ip.text(dst)) / ICMP(type=8, id=ident, seq=seq) / Raw(data)
    packet = codec.decode_ip(bytes(built))
    assert isinstance(packet, IcmpMessage)
    assert (packet.type, packet.extra, packet.data) == (8, ident << 16 | seq, data)
    assert packet.quoted is None


@given(u16, u16, payloads)
def test_we_read_errors_that_scapy_builds(sport: int, dport: int, data: bytes) -> None:
    about = IP(src="10.0.0.2", dst="10.0.0.1") / UDP(sport=sport, dport=dport) / Raw(data)
    built = IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(type=3, code=4, nexthopmtu=1400) / about
    packet = codec.decode_ip(bytes(built))
    assert isinstance(packet, IcmpMessage)
    assert (packet.code, packet.extra) == (4, 1400)
    assert isinstance(packet.quoted, UdpDatagram)
    assert fields(packet.quoted) == fields(codec.decode_ip(bytes(about)))


@given(u16, u16, st.integers(1500, 4000), st.sampled_from((576, 1280, 1500)))
def test_we_put_fragments_of_scapy_together(sport: int, dport: int, length: int, mtu: int) -> None:
    data = bytes(i * 7 & 0xFF for i in range(length))
    four = IP(src="10.0.0.1", dst="10.0.0.2", id=7) / UDP(sport=sport, dport=dport) / Raw(data)
    six = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(id=9)
    six = six / UDP(sport=sport, dport=dport) / Raw(data)
    parts4 = [codec.decode_ip(bytes(part)) for part in fragment(four, (mtu - 20) // 8 * 8)]
    parts6 = [codec.decode_ip(bytes(part)) for part in fragment6(six, 1280)]
    for parts in (parts4, parts6):
        assert len(parts) > 1
        packet = codec.reassemble(reversed(parts))  # type: ignore[arg-type]
        assert isinstance(packet, UdpDatagram)
        assert (packet.sport, packet.dport, packet.data) == (sport, dport, data)
