"""TCP options: bytes in Linux's own order and padding, and back.

Linux writes them in this order, each aligned to four bytes: maximum segment size (RFC 9293 section 3.7.1),
timestamps (RFC 7323) preceded by SACK-permitted (RFC 2018) or two NOPs, SACK-permitted by itself where there
are no timestamps, window scale after a NOP, SACK blocks after two NOPs (tcp_options_write() in
net/ipv4/tcp_output.c). `TcpSegment.header_length()` counts the same.
"""

from __future__ import annotations

from struct import pack, unpack_from
from typing import Final

from portside.wire.packet import SYN, Payload, TcpSegment

_END: Final = 0
_NOP: Final = 1
_MSS: Final = 2
_WINDOW_SCALE: Final = 3
_SACK_PERMITTED: Final = 4
_SACK: Final = 5
_TIMESTAMPS: Final = 8

MAX_LENGTH: Final = 40
"""Bytes of options that the data offset field leaves room for."""
MAX_WINDOW_SCALE: Final = 14
"""RFC 7323 section 2.3."""


def encode(segment: TcpSegment) -> bytes:
    """The segment's options.

    Raises ValueError when they do not fit into 40 bytes.
    """
    out = b"" if segment.mss is None else pack("!BBH", _MSS, 4, segment.mss)
    if segment.timestamps is not None:
        before = (_SACK_PERMITTED, 2) if segment.sack_permitted else (_NOP, _NOP)
        out += pack("!BBBBII", *before, _TIMESTAMPS, 10, *segment.timestamps)
    elif segment.sack_permitted:
        out += bytes((_NOP, _NOP, _SACK_PERMITTED, 2))
    if segment.window_scale is not None:
        out += bytes((_NOP, _WINDOW_SCALE, 3, segment.window_scale))
    if segment.sack:
        out += bytes((_NOP, _NOP, _SACK, 2 + 8 * len(segment.sack)))
        out += b"".join(pack("!II", left, right) for left, right in segment.sack)
    if len(out) > MAX_LENGTH:
        raise ValueError(f"TCP options of {len(out)} bytes: there is room for {MAX_LENGTH}")
    return out


def decode(options: Payload, segment: TcpSegment) -> None:
    """Set the segment's option fields from the bytes after its header.

    As Linux does, what is not known or has a wrong length is passed over, what does not fit ends the options,
    and those that belong to a SYN count only there (tcp_parse_options() in net/ipv4/tcp_input.c).
    """
    at = 0
    end = len(options)
    while at < end:
        kind = options[at]
        if kind == _END:
            return
        if kind == _NOP:
            at += 1
            continue
        length = options[at + 1] if at + 1 < end else 0
        if length < 2 or at + length > end:
            return
        _take(segment, kind, options[at + 2 : at + length])
        at += length


def _take(segment: TcpSegment, kind: int, value: Payload) -> None:
    length = len(value)
    if kind == _TIMESTAMPS and length == 8:
        segment.timestamps = unpack_from("!II", value)
    elif kind == _SACK and length >= 8 and length % 8 == 0:
        segment.sack = tuple(unpack_from("!II", value, i) for i in range(0, length, 8))
    elif segment.flags & SYN:
        _take_of_syn(segment, kind, value)


def _take_of_syn(segment: TcpSegment, kind: int, value: Payload) -> None:
    length = len(value)
    if kind == _MSS and length == 2:
        segment.mss = int.from_bytes(value, "big") or None  # Linux ignores an MSS of zero
    elif kind == _WINDOW_SCALE and length == 1:
        segment.window_scale = min(value[0], MAX_WINDOW_SCALE)
    elif kind == _SACK_PERMITTED and length == 0:
        segment.sack_permitted = True
