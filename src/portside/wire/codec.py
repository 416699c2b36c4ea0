"""IP packets of every kind as bytes, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from portside.addr.abi import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.wire import icmp, ipv4, ipv6, tcp, udp
from portside.wire.header import Header
from portside.wire.packet import (
    QUOTE_V4,
    QUOTE_V6,
    Fragment,
    IcmpMessage,
    Packet,
    Payload,
    RawPacket,
    TcpSegment,
    UdpDatagram,
)

_MAX_PAYLOAD: Final = 0xFFFF
_UDP_PROTOCOLS: Final = (IPPROTO_UDP, IPPROTO_UDPLITE)


def encode_ip(packet: Packet) -> bytes:
    """The packet as it stands on a wire.

    Raises ValueError when it does not fit its header's fields.
    """
    header = Header(packet.src, packet.dst, packet.proto, packet.ttl, packet.tos, packet.ident)
    header.dont_fragment = packet.dont_fragment
    if isinstance(packet, Fragment):
        whole = encode_payload(packet.whole)
        payload = whole[packet.offset : packet.offset + packet.length]
        header.dont_fragment = False
        header.fragmented = True
        header.offset = packet.offset
        header.more = packet.more
    else:
        payload = encode_payload(packet)
    v4 = packet.src >> 32 == 0xFFFF
    if v4 != (packet.dst >> 32 == 0xFFFF):
        raise ValueError("a packet goes from IPv4 to IPv4 or from IPv6 to IPv6")
    return ipv4.encode(header, payload) if v4 else ipv6.encode(header, payload)


def encode_payload(packet: Packet) -> bytes:
    """What stands after the IP header.

    Raises ValueError when it does not fit its header's fields, TypeError for a kind of packet that has no
    bytes.
    """
    if isinstance(packet, TcpSegment):
        return tcp.encode(packet)
    if isinstance(packet, UdpDatagram):
        return udp.encode(packet)
    if isinstance(packet, IcmpMessage):
        return icmp.encode(packet, _quote(packet))
    if isinstance(packet, RawPacket):
        return bytes(packet.data)
    raise TypeError(f"{type(packet).__name__} has no bytes")


def _quote(message: IcmpMessage) -> bytes:
    if message.quoted is None:
        return b""
    return encode_ip(message.quoted)[: QUOTE_V4 if message.proto == IPPROTO_ICMP else QUOTE_V6]


def decode_ip(raw: Payload, verify: bool = True) -> Packet:
    """The packet that the bytes hold: a TcpSegment, UdpDatagram, IcmpMessage, Fragment, or RawPacket.

    `verify` looks at the checksums. Of a decoded fragment `whole` is a RawPacket with zeros where the other
    pieces belong. Raises ValueError when it is malformed.
    """
    if not raw:
        raise ValueError("no bytes are no packet")
    header, payload = ipv4.decode(raw, verify) if raw[0] >> 4 == 4 else ipv6.decode(raw)
    if header.fragmented:
        return _fragment(header, payload)
    packet = _decode_payload(header, payload, verify)
    if isinstance(packet, IcmpMessage) and icmp.is_error(packet.proto, packet.type):
        _take_quoted(packet)
    return _with_header(packet, header)


def _decode_payload(header: Header, payload: Payload, verify: bool) -> Packet:
    src, dst, proto = header.src, header.dst, header.proto
    if proto == IPPROTO_TCP:
        return tcp.decode(payload, src, dst, verify)
    if proto in _UDP_PROTOCOLS:
        return udp.decode(payload, src, dst, proto, verify)
    if proto == (IPPROTO_ICMP if src >> 32 == 0xFFFF else IPPROTO_ICMPV6):
        return icmp.decode(payload, src, dst, proto, verify)
    return RawPacket(src, dst, proto, bytes(payload))


def _with_header(packet: Packet, header: Header) -> Packet:
    packet.ttl = header.ttl
    packet.tos = header.tos
    packet.ident = header.ident
    packet.dont_fragment = header.dont_fragment
    return packet


def _fragment(header: Header, payload: Payload) -> Fragment:
    length = len(payload)
    if not length or (header.more and length % 8):
        raise ValueError(f"a fragment of {length} bytes: all but the last are multiples of 8")
    if header.offset + length > _MAX_PAYLOAD:
        end = header.offset + length
        raise ValueError(f"a fragment that ends at byte {end}: a datagram has {_MAX_PAYLOAD}")
    whole = RawPacket(header.src, header.dst, header.proto, bytes(header.offset) + bytes(payload))
    _with_header(whole, header)
    fragment = Fragment(whole, header.offset, length, header.more)
    fragment.ident = header.ident
    return fragment


def reassemble(fragments: Iterable[Fragment], verify: bool = True) -> Packet:
    """The packet that the fragments are the pieces of, in any order.

    Raises ValueError when a piece is missing, when two overlap (RFC 5722), or when what they make is
    malformed.
    """
    pieces = sorted(fragments, key=lambda fragment: fragment.offset)
    if not pieces or pieces[-1].more:
        raise ValueError("the last fragment is missing")
    data = b""
    for piece in pieces:
        if piece.offset != len(data):
            what = "a fragment is missing" if piece.offset > len(data) else "fragments overlap"
            raise ValueError(f"{what} at byte {len(data)}")
        data += encode_payload(piece.whole)[piece.offset : piece.offset + piece.length]
    first = pieces[0]
    header = Header(first.src, first.dst, first.proto, first.ttl, first.tos, first.ident)
    header.dont_fragment = first.src >> 32 != 0xFFFF
    payload: Payload = data if first.src >> 32 == 0xFFFF else ipv6.skip_extensions(header, data)
    if header.fragmented:
        raise ValueError("a fragment within fragments")
    packet = _decode_payload(header, payload, verify)
    if isinstance(packet, IcmpMessage) and icmp.is_error(packet.proto, packet.type):
        _take_quoted(packet)
    return _with_header(packet, header)


def _take_quoted(message: IcmpMessage) -> None:
    """Put what the error quotes into `quoted`; what cannot be read stays in `data`."""
    try:
        message.quoted = _decode_quoted(message.data)
    except ValueError:
        return
    message.data = b""


def _decode_quoted(raw: Payload) -> Packet:
    """The beginning of a packet: its checksums cannot be looked at, its lengths tell of bytes that are not
    here."""
    if not raw:
        raise ValueError("nothing is quoted")
    v4 = raw[0] >> 4 == 4
    header, payload = ipv4.decode(raw, verify=False, whole=False) if v4 else ipv6.decode(raw, whole=False)
    if header.fragmented:
        return _fragment(header, payload[: len(payload) & ~7] if header.more else payload)
    src, dst, proto = header.src, header.dst, header.proto
    packet: Packet
    if proto == IPPROTO_TCP:
        packet = tcp.decode_start(payload, src, dst)
    elif proto in _UDP_PROTOCOLS:
        packet = udp.decode_start(payload, src, dst, proto)
    else:
        # What an error within an error quotes is not looked into.
        packet = _decode_payload(header, payload, verify=False)
    return _with_header(packet, header)
