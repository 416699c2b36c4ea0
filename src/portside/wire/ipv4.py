"""IPv4 headers as bytes (RFC 791)."""

from __future__ import annotations

from struct import pack, unpack_from
from typing import Final

from portside.wire.checksum import checksum
from portside.wire.header import Header
from portside.wire.packet import Payload

_V4_PREFIX: Final = 0xFFFF << 32
_LENGTH: Final = 20
_MAX: Final = 0xFFFF
_DONT_FRAGMENT: Final = 0x4000
_MORE_FRAGMENTS: Final = 0x2000


def encode(header: Header, payload: Payload) -> bytes:
    """The datagram, without options, with the header's checksum.

    Raises ValueError when it is longer than the length field can say.
    """
    length = _LENGTH + len(payload)
    if length > _MAX:
        raise ValueError(f"IPv4 datagram of {length} bytes: the length field says at most {_MAX}")
    fragment = header.offset >> 3
    if header.dont_fragment:
        fragment |= _DONT_FRAGMENT
    if header.more:
        fragment |= _MORE_FRAGMENTS
    raw = pack(
        "!BBHHHBBHII", 0x45, header.tos, length, header.ident & 0xFFFF, fragment, header.ttl, header.proto, 0,
        header.src & 0xFFFFFFFF, header.dst & 0xFFFFFFFF,
    )  # fmt: skip
    return b"".join((raw[:10], checksum(raw).to_bytes(2, "big"), raw[12:], payload))


def decode(raw: Payload, verify: bool = True, whole: bool = True) -> tuple[Header, Payload]:
    """The header and the payload of the datagram; options are passed over, so are bytes after its end.

    `verify` looks at the header's checksum; `whole` is false for one of which only the beginning is there.
    Raises ValueError when it is malformed.
    """
    if len(raw) < _LENGTH:
        raise ValueError(f"IPv4 header of {len(raw)} bytes: it has at least {_LENGTH}")
    first, tos, length, ident, fragment, ttl, proto, _, src, dst = unpack_from("!BBHHHBBHII", raw)
    start = (first & 0xF) * 4
    if first >> 4 != 4:
        raise ValueError(f"IP version {first >> 4} is not 4")
    if not _LENGTH <= start <= len(raw) or length < start:
        here = f"{length}, of which {len(raw)} are here"
        raise ValueError(f"IPv4 header of {start} bytes in a datagram of {here}")
    if whole and length > len(raw):
        raise ValueError(f"IPv4 datagram of {length} bytes, of which {len(raw)} are here")
    if verify and checksum(raw[:start]):
        raise ValueError("IPv4 header checksum is wrong")
    header = Header(_V4_PREFIX | src, _V4_PREFIX | dst, proto, ttl, tos, ident)
    header.dont_fragment = bool(fragment & _DONT_FRAGMENT)
    header.more = bool(fragment & _MORE_FRAGMENTS)
    header.offset = (fragment & 0x1FFF) * 8
    header.fragmented = header.more or header.offset > 0
    return header, raw[start:length]
