"""Every kind of packet survives the way to bytes and back; what is malformed is refused in words."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portside.addr import ip
from portside.addr.abi import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.wire import codec, ipv4
from portside.wire.checksum import checksum
from portside.wire.packet import (
    ACK,
    SYN,
    Fragment,
    IcmpMessage,
    Packet,
    RawPacket,
    TcpSegment,
    UdpDatagram,
)

from .support import (
    fields,
    fragment_lists,
    icmp_echoes,
    icmp_errors,
    packets,
    pieces,
    raw_packets,
    tcp_segments,
    udp_datagrams,
)

A, B = ip.parse("10.0.0.1"), ip.parse("10.0.0.2")
A6, B6 = ip.parse("2001:db8::1"), ip.parse("2001:db8::2")


@given(st.one_of(tcp_segments(), udp_datagrams(), icmp_echoes(), raw_packets()))
def test_a_packet_comes_back_equal(packet: Packet) -> None:
    raw = codec.encode_ip(packet)
    assert fields(codec.decode_ip(raw)) == fields(packet)


@given(packets)
def test_lengths_are_known_without_encoding(packet: Packet) -> None:
    header = 20 if ip.is_v4(packet.src) else 40
    assert len(codec.encode_ip(packet)) == header + packet.payload_length()


@given(packets)
def test_what_is_decoded_encodes_to_the_same_bytes(packet: Packet) -> None:
    raw = codec.encode_ip(packet)
    if isinstance(packet, IcmpMessage) and packet.quoted is not None:
        return  # what is quoted is cut short; see below
    assert codec.encode_ip(codec.decode_ip(raw)) == raw


@given(packets)
def test_bytes_after_the_datagram_are_padding(packet: Packet) -> None:
    raw = codec.encode_ip(packet)
    assert fields(codec.decode_ip(raw + b"\0" * 7)) == fields(codec.decode_ip(raw))


@given(packets)
def test_a_memoryview_is_as_good_as_bytes(packet: Packet) -> None:
    raw = codec.encode_ip(packet)
    assert fields(codec.decode_ip(memoryview(raw))) == fields(codec.decode_ip(raw))


@given(icmp_errors())
def test_an_error_comes_back_with_what_it_quotes(message: IcmpMessage) -> None:
    decoded = codec.decode_ip(codec.encode_ip(message))
    assert isinstance(decoded, IcmpMessage)
    assert (decoded.type, decoded.code, decoded.extra) == (message.type, message.code, message.extra)
    quoted, original = decoded.quoted, message.quoted
    assert quoted is not None
    assert original is not None
    assert decoded.payload_length() == message.payload_length()
    assert (quoted.src, quoted.dst, quoted.proto, quoted.ttl) == (
        original.src, original.dst, original.proto, original.ttl,
    )  # fmt: skip
    if isinstance(original, TcpSegment):
        assert isinstance(quoted, TcpSegment)
        names = ("sport", "dport", "seq", "ack", "flags", "window", "timestamps", "mss", "sack")
        assert [getattr(quoted, n) for n in names] == [getattr(original, n) for n in names]
    if isinstance(original, TcpSegment | UdpDatagram):
        assert isinstance(quoted, TcpSegment | UdpDatagram)
        assert (quoted.sport, quoted.dport) == (original.sport, original.dport)
        assert bytes(original.data).startswith(bytes(quoted.data))
    if isinstance(original, Fragment):
        assert isinstance(quoted, Fragment)
        assert (quoted.offset, quoted.more, quoted.ident) == (original.offset, original.more, original.ident)


@given(fragment_lists(), st.randoms(use_true_random=False))
def test_fragments_come_back_and_make_the_packet_again(
    case: tuple[Packet, list[Fragment]], order: random.Random
) -> None:
    whole, parts = case
    decoded = [codec.decode_ip(codec.encode_ip(part)) for part in parts]
    for part, back in zip(parts, decoded, strict=True):
        assert isinstance(back, Fragment)
        assert (back.offset, back.length, back.more, back.ident) == (
            part.offset, part.length, part.more, part.ident,
        )  # fmt: skip
        assert codec.encode_ip(back) == codec.encode_ip(part)
    order.shuffle(decoded)
    again = fields(codec.reassemble(decoded))  # type: ignore[arg-type]
    expected = fields(whole)
    del again["dont_fragment"], expected["dont_fragment"]  # a fragment says that it may be fragmented
    assert again == expected


def test_reassembly_refuses_what_is_not_whole() -> None:
    first, second, third = pieces(UdpDatagram(A, B, 1, 2, bytes(50)), 24)
    with pytest.raises(ValueError, match="last fragment is missing"):
        codec.reassemble([first, second])
    with pytest.raises(ValueError, match="missing at byte 24"):
        codec.reassemble([first, third])
    with pytest.raises(ValueError, match="missing at byte 0"):
        codec.reassemble([second, third])
    with pytest.raises(ValueError, match="overlap at byte 24"):
        codec.reassemble([first, Fragment(first.whole, 16, 32, True), third])
    with pytest.raises(ValueError, match="last fragment is missing"):
        codec.reassemble([])


def test_a_fragmented_error_is_read_with_what_it_quotes() -> None:
    error = IcmpMessage(A, B, IPPROTO_ICMP, 3, 3, quoted=UdpDatagram(B, A, 7, 8, bytes(400)))
    packet = codec.reassemble(pieces(error, 200))
    assert isinstance(packet, IcmpMessage)
    assert isinstance(packet.quoted, UdpDatagram)
    assert (packet.quoted.sport, packet.quoted.dport) == (7, 8)


def test_a_fragment_within_fragments_is_refused() -> None:
    inner = bytes((IPPROTO_UDP, 0, 0, 1)) + bytes(28)
    with pytest.raises(ValueError, match="a fragment within fragments"):
        codec.reassemble(pieces(RawPacket(A6, B6, 44, inner), 16))


# arbitrary bytes


def _decode_or_refuse(raw: bytes) -> None:
    for verify in (True, False):
        try:
            packet = codec.decode_ip(raw, verify)
        except ValueError:
            continue
        else:
            assert packet.payload_length() >= 0
            codec.encode_ip(packet)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_decode_or_are_refused(raw: bytes) -> None:
    _decode_or_refuse(raw)


@given(st.sampled_from((0x45, 0x46, 0x4F, 0x60)), st.binary(max_size=120))
def test_arbitrary_bytes_behind_a_version_decode_or_are_refused(first: int, rest: bytes) -> None:
    _decode_or_refuse(bytes((first,)) + rest)


@given(packets, st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6), st.integers(0, 2000))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_mutated_packets_decode_or_are_refused(
    packet: Packet, changes: list[tuple[int, int]], end: int
) -> None:
    raw = bytearray(codec.encode_ip(packet))
    for place, value in changes:
        raw[place % len(raw)] = value
    _decode_or_refuse(bytes(raw))
    _decode_or_refuse(bytes(raw[: end % (len(raw) + 1)]))


@pytest.mark.parametrize(("coverage", "quoted"), [(0, 0), (8, 8), (528, 528), (529, 0), (600, 0)])
def test_a_quote_of_udp_lite_covers_no_more_than_is_quoted(coverage: int, quoted: int) -> None:
    lite = UdpDatagram(A, B, 1, 2, bytes(592), IPPROTO_UDPLITE)
    lite.coverage = coverage
    error = IcmpMessage(B, A, IPPROTO_ICMP, 3, 3, quoted=lite)
    decoded = codec.decode_ip(codec.encode_ip(error))
    assert isinstance(decoded, IcmpMessage)
    assert isinstance(decoded.quoted, UdpDatagram)
    assert (decoded.quoted.coverage, len(decoded.quoted.data)) == (quoted, 520)
    codec.encode_ip(decoded)


@given(packets, st.data())
def test_one_flipped_bit_under_a_checksum_is_noticed(packet: Packet, data: st.DataObject) -> None:
    if isinstance(packet, Fragment | RawPacket) or packet.proto == IPPROTO_UDPLITE:
        return
    raw = bytearray(codec.encode_ip(packet))
    start = 20 if ip.is_v4(packet.src) else 40
    place = data.draw(st.integers(start, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    if packet.proto == IPPROTO_UDP and raw[start + 6 : start + 8] == b"\0\0":
        return  # such a datagram claims to have no checksum
    with pytest.raises(ValueError, match=r"checksum|UDP length|data offset"):
        codec.decode_ip(bytes(raw))


def _v4(proto: int, payload: bytes, **changes: int) -> bytes:
    """An IPv4 datagram by hand."""
    header = {"first": 0x45, "length": 20 + len(payload), "fragment": 0, **changes}
    raw = bytearray(20)
    raw[0] = header["first"]
    raw[2:4] = header["length"].to_bytes(2, "big")
    raw[6:8] = header["fragment"].to_bytes(2, "big")
    raw[8:10] = bytes((64, proto))
    raw[12:20] = bytes((10, 0, 0, 1, 10, 0, 0, 2))
    raw[10:12] = checksum(bytes(raw)).to_bytes(2, "big")
    return bytes(raw) + payload


def _v6(proto: int, payload: bytes, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return bytes((0x60, 0, 0, 0)) + size.to_bytes(2, "big") + bytes((proto, 64)) + (
        A6.to_bytes(16, "big") + B6.to_bytes(16, "big") + payload
    )  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no bytes"),
        (b"\x45", "IPv4 header of 1 bytes"),
        (b"\x60", "IPv6 header of 1 bytes"),
        (bytes((0x75,)) * 40, "IP version 7 is not 6"),
        (_v4(17, b"", first=0x44), "IPv4 header of 16 bytes"),
        (_v4(17, b"", first=0x4F), "IPv4 header of 60 bytes"),
        (_v4(17, b"", length=19), "in a datagram of 19"),
        (_v4(17, b"", length=21), "IPv4 datagram of 21 bytes, of which 20 are here"),
        (_v4(17, b"")[:-1] + b"\x09", "IPv4 header checksum"),
        (_v4(17, bytes(9), fragment=0x2000), "a fragment of 9 bytes"),
        (_v4(17, b"", fragment=0x2000), "a fragment of 0 bytes"),
        (_v4(17, bytes(16), fragment=0x1FFF), "ends at byte 65544"),
        (_v4(6, bytes(19)), "TCP header of 19 bytes"),
        (_v4(6, bytes(12) + b"\x40" + bytes(7)), "TCP data offset of 16 bytes"),
        (_v4(6, bytes(12) + b"\x60" + bytes(7)), "TCP data offset of 24 bytes"),
        (_v4(6, bytes(12) + b"\x50" + bytes(7)), "TCP checksum"),
        (_v4(17, bytes(7)), "UDP header of 7 bytes"),
        (_v4(17, bytes(4) + b"\0\x07\0\0"), "UDP length of 7 bytes"),
        (_v4(17, bytes(4) + b"\0\x09\0\0"), "UDP length of 9 bytes in a payload of 8"),
        (_v4(17, bytes(4) + b"\0\x08\0\x01"), "UDP checksum is wrong"),
        (_v4(136, bytes(4) + b"\0\x07\0\x01"), "coverage of 7 bytes"),
        (_v4(136, bytes(4) + b"\0\x09\0\x01"), "coverage of 9 bytes"),
        (_v4(136, bytes(8)), "UDP checksum is missing"),
        (_v4(1, bytes(7)), "ICMP header of 7 bytes"),
        (_v4(1, bytes(8)), "ICMP checksum"),
        (_v6(17, bytes(8), length=9), "IPv6 payload of 9 bytes, of which 8 are here"),
        (_v6(17, bytes(4) + b"\0\x08\0\0"), "UDP checksum is missing"),
        (_v6(0, bytes(7)), "extension header of 7 bytes"),
        (_v6(60, b"\x11\x01" + bytes(6)), "extension header of 16 bytes, of which 8 are here"),
        (_v6(43, b"\x11\x00\x00\x01" + bytes(4)), "routing header"),
        (bytes((0x60,)) + bytes(7) + A.to_bytes(16, "big") + B6.to_bytes(16, "big"), "IPv4-mapped"),
        (bytes((0x60,)) + bytes(7) + A6.to_bytes(16, "big") + B.to_bytes(16, "big"), "IPv4-mapped"),
    ],
)
def test_what_is_malformed_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        codec.decode_ip(raw)


def test_what_does_not_fit_its_fields_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="UDP datagram of 65536 bytes"):
        codec.encode_ip(UdpDatagram(A, B, 1, 2, bytes(65528)))
    with pytest.raises(ValueError, match="IPv4 datagram of 65536 bytes"):
        codec.encode_ip(RawPacket(A, B, 253, bytes(65516)))
    with pytest.raises(ValueError, match="IPv6 payload of 65536 bytes"):
        codec.encode_ip(RawPacket(A6, B6, 253, bytes(65536)))
    with pytest.raises(ValueError, match="from IPv4 to IPv4"):
        codec.encode_ip(UdpDatagram(A, B6, 1, 2, b""))
    with pytest.raises(TypeError, match="Packet has no bytes"):
        codec.encode_ip(Packet(A, B, IPPROTO_TCP))
    crowded = TcpSegment(A, B, 1, 2, 3, 4, ACK, 5)
    crowded.timestamps = (1, 2)
    crowded.sack = ((1, 2),) * 4
    with pytest.raises(ValueError, match="TCP options of 48 bytes"):
        codec.encode_ip(crowded)
    lite = UdpDatagram(A, B, 1, 2, b"abc", IPPROTO_UDPLITE)
    lite.coverage = 12
    with pytest.raises(ValueError, match="coverage of 12 bytes"):
        codec.encode_ip(lite)


def test_ipv4_options_and_ipv6_extension_headers_are_passed_over() -> None:
    plain = codec.encode_ip(UdpDatagram(A, B, 1, 2, b"abc"))
    with_options = bytearray(b"\x46" + plain[1:20] + b"\x01\x01\x01\x00" + plain[20:])
    with_options[2:4] = (len(with_options)).to_bytes(2, "big")
    with_options[10:12] = b"\0\0"
    with_options[10:12] = checksum(bytes(with_options[:24])).to_bytes(2, "big")
    assert fields(codec.decode_ip(bytes(with_options))) == fields(codec.decode_ip(plain))

    plain = codec.encode_ip(UdpDatagram(A6, B6, 1, 2, b"abc"))
    hop_by_hop = b"\x3c\x00" + bytes(6)  # then destination options
    destination = b"\x2b\x01" + bytes(14)  # then a routing header that is at its end
    routing = b"\x11\x00\x02\x00" + bytes(4)
    longer = bytearray(plain[:40] + hop_by_hop + destination + routing + plain[40:])
    longer[4:6] = (len(longer) - 40).to_bytes(2, "big")
    longer[6] = 0
    assert fields(codec.decode_ip(bytes(longer))) == fields(codec.decode_ip(plain))


def test_a_lone_ipv6_fragment_is_no_fragment() -> None:
    whole = UdpDatagram(A6, B6, 1, 2, b"abc")
    whole.ident = 77
    packet = codec.decode_ip(codec.encode_ip(Fragment(whole, 0, whole.payload_length(), False)))
    assert isinstance(packet, UdpDatagram)
    assert (packet.data, packet.ident) == (b"abc", 77)


@pytest.mark.parametrize("quote", [b"", b"rubbish", _v4(6, bytes(7)), _v4(17, bytes(7)), _v6(6, bytes(7))])
def test_an_error_that_quotes_too_little_keeps_it_as_data(quote: bytes) -> None:
    raw = codec.encode_ip(IcmpMessage(A, B, IPPROTO_ICMP, 3, 1, data=quote))
    packet = codec.decode_ip(raw)
    assert isinstance(packet, IcmpMessage)
    assert packet.quoted is None
    assert packet.data == quote


def test_an_error_that_quotes_eight_bytes_of_a_segment_tells_its_ports() -> None:
    segment = TcpSegment(B, A, 1234, 80, 0xDEADBEEF, 0, SYN, 64240)
    short = codec.encode_ip(segment)[:28]
    packet = codec.decode_ip(codec.encode_ip(IcmpMessage(A, B, IPPROTO_ICMP, 3, 3, data=short)))
    assert isinstance(packet, IcmpMessage)
    quoted = packet.quoted
    assert isinstance(quoted, TcpSegment)
    assert (quoted.sport, quoted.dport, quoted.seq, quoted.flags) == (1234, 80, 0xDEADBEEF, 0)


def test_an_error_within_an_error_is_not_followed() -> None:
    message = IcmpMessage(A6, B6, IPPROTO_ICMPV6, 1, 4, quoted=UdpDatagram(B6, A6, 1, 2, b"x"))
    for _ in range(3):
        message = IcmpMessage(A6, B6, IPPROTO_ICMPV6, 1, 4, quoted=message)
    packet = codec.decode_ip(codec.encode_ip(message))
    assert isinstance(packet, IcmpMessage)
    assert isinstance(packet.quoted, IcmpMessage)
    assert packet.quoted.quoted is None


def test_a_quote_ends_where_the_error_would_be_too_long() -> None:
    long = UdpDatagram(B, A, 1, 2, bytes(1400))
    error = IcmpMessage(A, B, IPPROTO_ICMP, 3, 3, quoted=long)
    assert len(codec.encode_ip(error)) == 576
    long6 = UdpDatagram(B6, A6, 1, 2, bytes(1400))
    error6 = IcmpMessage(A6, B6, IPPROTO_ICMPV6, 1, 4, quoted=long6)
    assert len(codec.encode_ip(error6)) == 1280


def test_a_header_alone_tells_its_version() -> None:
    with pytest.raises(ValueError, match="IP version 6 is not 4"):
        ipv4.decode(_v6(17, b""))


def test_udp_over_ipv4_may_go_without_a_checksum() -> None:
    raw = bytearray(codec.encode_ip(UdpDatagram(A, B, 1, 2, b"abc")))
    raw[26:28] = b"\0\0"
    packet = codec.decode_ip(bytes(raw))
    assert isinstance(packet, UdpDatagram)
    assert packet.data == b"abc"


# Packets that Linux 6.18 sent over its loopback interface. A transport checksum is left to the network card there, so
# that its place holds the pseudo-header's sum alone; the reset and the UDP-Lite datagram have theirs.
_SYN = "4500003c785d40004006c45c7f0000017f000001dd12e61fa451e1a000000000a002fbe0fe300000020404d80402080acab30b1c000000000103030a"  # noqa: E501
_SYN_ACK = "4500003c0000400040063cba7f0000017f000001e61fdd127b33f46ca451e1a1a012fe3cfe300000020404d80402080ae0b757c4cab30b1c0103030a"  # noqa: E501
_DATA = "45000039785f40004006c45d7f0000017f000001dd12e61fa451e1a17b33f46d8018003ffe2d00000101080acab30b1de0b757c468656c6c6f"  # noqa: E501
_RESET6 = "60000000001406400000000000000000000000000000000100000000000000000000000000000001" + (
    "0009df7a000000002e9b82af501400001f010000"
)
_LITE6 = "60000000000d88400000000000000000000000000000000100000000000000000000000000000001" + (
    "d360d360000b78326c69746532"
)


@pytest.mark.parametrize("recorded", [_SYN, _SYN_ACK, _DATA])
def test_segments_of_linux_are_encoded_as_linux_does(recorded: str) -> None:
    raw = bytes.fromhex(recorded)
    again = codec.encode_ip(codec.decode_ip(raw, verify=False))
    assert (again[:36], again[38:]) == (raw[:36], raw[38:])


@pytest.mark.parametrize("recorded", [_RESET6, _LITE6])
def test_packets_of_linux_with_their_checksums_are_encoded_to_the_same_bytes(recorded: str) -> None:
    raw = bytes.fromhex(recorded)
    assert codec.encode_ip(codec.decode_ip(raw)) == raw


def test_a_syn_of_linux_is_understood() -> None:
    syn = codec.decode_ip(bytes.fromhex(_SYN), verify=False)
    assert isinstance(syn, TcpSegment)
    assert (syn.mss, syn.window_scale, syn.sack_permitted) == (1240, 10, True)
    assert syn.timestamps == (0xCAB30B1C, 0)
