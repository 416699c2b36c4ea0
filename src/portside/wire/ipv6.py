"""IPv6 headers as bytes, with the extension headers that a host passes over and the fragment header (RFC
8200)."""

from __future__ import annotations

from struct import pack, unpack_from
from typing import Final

from portside.wire.header import Header
from portside.wire.packet import Payload

_LENGTH: Final = 40
_MAX: Final = 0xFFFF

HOP_BY_HOP: Final = 0
ROUTING: Final = 43
FRAGMENT: Final = 44
NO_NEXT: Final = 59
DESTINATION: Final = 60


def encode(header: Header, payload: Payload) -> bytes:
    """The datagram, with a fragment header where `fragmented` says so.

    Raises ValueError when it is longer than the length field can say.
    """
    proto = header.proto
    extension = b""
    if header.fragmented:
        extension = pack("!BBHI", proto, 0, header.offset | header.more, header.ident & 0xFFFFFFFF)
        proto = FRAGMENT
    length = len(extension) + len(payload)
    if length > _MAX:
        raise ValueError(f"IPv6 payload of {length} bytes: the length field says at most {_MAX}")
    raw = pack("!IHBB", 6 << 28 | header.tos << 20, length, proto, header.ttl)
    addresses = header.src.to_bytes(16, "big") + header.dst.to_bytes(16, "big")
    return b"".join((raw, addresses, extension, payload))


def decode(raw: Payload, whole: bool = True) -> tuple[Header, Payload]:
    """The header and the payload after the extension headers; bytes after the datagram's end are passed over.

    `whole` is false for one of which only the beginning is there. Raises ValueError when it is malformed, and
    for an IPv4-mapped address, which must not be seen in a header (RFC 4942 section 2.2; ip6_rcv_core() of
    Linux drops it).
    """
    if len(raw) < _LENGTH:
        raise ValueError(f"IPv6 header of {len(raw)} bytes: it has {_LENGTH}")
    first, length, proto, hops = unpack_from("!IHBB", raw)
    if first >> 28 != 6:
        raise ValueError(f"IP version {first >> 28} is not 6")
    if whole and _LENGTH + length > len(raw):
        raise ValueError(f"IPv6 payload of {length} bytes, of which {len(raw) - _LENGTH} are here")
    src = int.from_bytes(raw[8:24], "big")
    dst = int.from_bytes(raw[24:40], "big")
    if src >> 32 == 0xFFFF or dst >> 32 == 0xFFFF:
        raise ValueError("an IPv4-mapped address stands in an IPv6 header")
    header = Header(src, dst, proto, hops, first >> 20 & 0xFF, 0)
    header.dont_fragment = True
    return header, skip_extensions(header, raw[_LENGTH : _LENGTH + length], first=True)


def skip_extensions(header: Header, payload: Payload, first: bool = False) -> Payload:
    """What follows the extension headers at the start of the payload; the header's `proto` becomes what that
    is.

    A fragment header ends the search when it belongs to a piece. `first` says that a hop-by-hop header may
    come, which stands nowhere but at the start. Raises ValueError when an extension header is malformed.
    """
    while header.proto in (ROUTING, DESTINATION, FRAGMENT) or (header.proto == HOP_BY_HOP and first):
        first = False
        if len(payload) < 8:
            raise ValueError(f"IPv6 extension header of {len(payload)} bytes: it has at least 8")
        if header.proto == FRAGMENT:
            payload = _take_fragment(header, payload)
            if header.fragmented:
                return payload
            continue
        length = 8 + payload[1] * 8
        if length > len(payload):
            raise ValueError(f"IPv6 extension header of {length} bytes, of which {len(payload)} are here")
        if header.proto == ROUTING and payload[3]:
            raise ValueError("an IPv6 routing header that is not at its end is for routers")
        header.proto = payload[0]
        payload = payload[length:]
    return payload


def _take_fragment(header: Header, payload: Payload) -> Payload:
    """Read the fragment header. One that is alone, first and last, makes no fragment (RFC 6946)."""
    header.proto, _, offset, header.ident = unpack_from("!BBHI", payload)
    header.offset = offset & 0xFFF8
    header.more = bool(offset & 1)
    header.fragmented = header.more or header.offset > 0
    return payload[8:]
