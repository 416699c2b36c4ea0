"""UDP (RFC 768) and UDP-Lite (RFC 3828) datagrams as bytes."""

from __future__ import annotations

from struct import pack, unpack_from
from typing import Final

from portside.addr.abi import IPPROTO_UDP, IPPROTO_UDPLITE
from portside.wire.checksum import checksum, pseudo_header
from portside.wire.packet import Payload, UdpDatagram

_HEADER: Final = "!HHHH"
_LENGTH: Final = 8
_MAX: Final = 0xFFFF


def encode(datagram: UdpDatagram) -> bytes:
    """The header and the data, with the checksum.

    A UDP-Lite datagram whose `coverage` is None is covered wholly. Raises ValueError when it is longer than
    the length field can say, or covers what it does not have.
    """
    length = _LENGTH + len(datagram.data)
    if length > _MAX:
        raise ValueError(f"UDP datagram of {length} bytes: the length field says at most {_MAX}")
    lite = datagram.proto == IPPROTO_UDPLITE
    covered = _covered(datagram.coverage, length) if lite else length
    field = datagram.coverage if lite and datagram.coverage is not None else length
    raw = pack(_HEADER, datagram.sport, datagram.dport, field, 0) + bytes(datagram.data)
    pseudo = pseudo_header(datagram.src, datagram.dst, datagram.proto, length)
    # Zero says "no checksum"; a sum that comes out as zero is sent as all ones.
    total = checksum(raw[:covered], pseudo) or 0xFFFF
    return raw[:6] + total.to_bytes(2, "big") + raw[8:]


def _covered(coverage: int | None, length: int) -> int:
    """The bytes that a UDP-Lite checksum covers (RFC 3828 section 3.1): 0 stands for all."""
    if not coverage:
        return length
    if not _LENGTH <= coverage <= length:
        raise ValueError(f"UDP-Lite checksum coverage of {coverage} bytes in a datagram of {length}")
    return coverage


def decode(raw: Payload, src: int, dst: int, proto: int = IPPROTO_UDP, verify: bool = True) -> UdpDatagram:
    """The datagram that the payload of an IP datagram from `src` to `dst` holds.

    `verify` looks at the checksum. Raises ValueError when it is malformed.
    """
    if len(raw) < _LENGTH:
        raise ValueError(f"UDP header of {len(raw)} bytes: it has {_LENGTH}")
    sport, dport, field, total = unpack_from(_HEADER, raw)
    lite = proto == IPPROTO_UDPLITE
    length = len(raw) if lite else field
    if not _LENGTH <= length <= len(raw):
        raise ValueError(f"UDP length of {length} bytes in a payload of {len(raw)}")
    covered = _covered(field, length) if lite else length
    if verify:
        _verify(raw, src, dst, proto, length, covered, total)
    datagram = UdpDatagram(src, dst, sport, dport, bytes(raw[_LENGTH:length]), proto)
    datagram.coverage = field if lite else None
    return datagram


def _verify(raw: Payload, src: int, dst: int, proto: int, length: int, covered: int, total: int) -> None:
    if total == 0:
        # RFC 768 lets IPv4 senders go without one; RFC 8200 section 8.1 and RFC 3828 section 3.1 do not.
        if proto == IPPROTO_UDP and src >> 32 == 0xFFFF:
            return
        raise ValueError("UDP checksum is missing")
    if checksum(raw[:covered], pseudo_header(src, dst, proto, length)):
        raise ValueError("UDP checksum is wrong")


def decode_start(raw: Payload, src: int, dst: int, proto: int = IPPROTO_UDP) -> UdpDatagram:
    """The beginning of a datagram, as an ICMP error quotes it.

    A checksum of UDP-Lite that covers more than is quoted covers all that is. Raises ValueError when the header is not
    whole, or the coverage is less than it.
    """
    if len(raw) < _LENGTH:
        raise ValueError(f"UDP header of {len(raw)} bytes: it has {_LENGTH}")
    sport, dport, field, _ = unpack_from(_HEADER, raw)
    datagram = UdpDatagram(src, dst, sport, dport, bytes(raw[_LENGTH:]), proto)
    if proto == IPPROTO_UDPLITE:
        datagram.coverage = 0 if field > len(raw) else field
        _covered(datagram.coverage, len(raw))
    return datagram
