"""TCP segments as bytes (RFC 9293 section 3.1)."""

from __future__ import annotations

from struct import pack, unpack_from
from typing import Final

from portside.addr.abi import IPPROTO_TCP
from portside.wire import tcp_options
from portside.wire.checksum import checksum, pseudo_header
from portside.wire.packet import Payload, TcpSegment

_HEADER: Final = "!HHIIHHHH"
_LENGTH: Final = 20


def encode(segment: TcpSegment) -> bytes:
    """The header, the options and the data, with the checksum.

    Raises ValueError when the options do not fit.
    """
    options = tcp_options.encode(segment)
    offset_and_flags = (_LENGTH + len(options)) // 4 << 12 | segment.flags
    header = pack(
        _HEADER, segment.sport, segment.dport, segment.seq, segment.ack, offset_and_flags, segment.window, 0,
        segment.urgent,
    )  # fmt: skip
    raw = b"".join((header, options, segment.data))
    total = checksum(raw, pseudo_header(segment.src, segment.dst, IPPROTO_TCP, len(raw)))
    return raw[:16] + total.to_bytes(2, "big") + raw[18:]


def decode(raw: Payload, src: int, dst: int, verify: bool = True) -> TcpSegment:
    """The segment that the payload of an IP datagram from `src` to `dst` holds.

    `verify` looks at the checksum. Raises ValueError when it is malformed.
    """
    if len(raw) < _LENGTH:
        raise ValueError(f"TCP header of {len(raw)} bytes: it has at least {_LENGTH}")
    sport, dport, seq, ack, offset_and_flags, window, _, urgent = unpack_from(_HEADER, raw)
    offset = (offset_and_flags >> 12) * 4
    if not _LENGTH <= offset <= len(raw):
        raise ValueError(f"TCP data offset of {offset} bytes in a segment of {len(raw)}")
    if verify and checksum(raw, pseudo_header(src, dst, IPPROTO_TCP, len(raw))):
        raise ValueError("TCP checksum is wrong")
    flags = offset_and_flags & 0xFF
    segment = TcpSegment(src, dst, sport, dport, seq, ack, flags, window, bytes(raw[offset:]))
    segment.urgent = urgent
    tcp_options.decode(raw[_LENGTH:offset], segment)
    return segment


def decode_start(raw: Payload, src: int, dst: int) -> TcpSegment:
    """The beginning of a segment, as an ICMP error quotes it: at least the ports and the sequence number.

    Raises ValueError when fewer than 8 bytes are left of it (RFC 792 promises as many).
    """
    if len(raw) < 8:
        raise ValueError(f"the beginning of a TCP header of {len(raw)} bytes: 8 are quoted at least")
    offset = (raw[12] >> 4) * 4 if len(raw) > 12 else 0
    if _LENGTH <= offset <= len(raw):
        return decode(raw, src, dst, verify=False)
    sport, dport, seq = unpack_from("!HHI", raw)
    padded = bytes(raw[:_LENGTH]).ljust(_LENGTH, b"\0")
    ack, offset_and_flags, window, _, urgent = unpack_from("!IHHHH", padded, 8)
    segment = TcpSegment(src, dst, sport, dport, seq, ack, offset_and_flags & 0xFF, window)
    segment.urgent = urgent
    return segment
