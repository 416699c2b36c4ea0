"""The internet checksum (RFC 1071) and the pseudo-headers that it covers (RFC 9293 section 3.1, RFC 8200
section 8.1)."""

from __future__ import annotations

from portside.wire.packet import Payload


def ones_sum(data: Payload) -> int:
    """The ones' complement sum of the data's 16-bit words, an odd byte at the end counted with a zero after
    it.

    Such a sum is the value of the words as one large number modulo 2**16 - 1 (RFC 1071 section 2): one
    division does the work of a loop. It is 0 only for data that are all zero.
    """
    number = int.from_bytes(data, "big")
    if len(data) & 1:
        number <<= 8
    return number % 0xFFFF or (0xFFFF if number else 0)


def checksum(data: Payload, initial: int = 0) -> int:
    """The checksum of the data, and of what `initial` is the sum of (a pseudo-header)."""
    total = ones_sum(data) + initial
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def pseudo_header(src: int, dst: int, proto: int, length: int) -> int:
    """The sum of the pseudo-header: addresses, protocol and the length of the transport header with its data
    in bytes.

    Addresses are integers as in `addr/ip.py`; both are of one family.
    """
    if src >> 32 == 0xFFFF:
        src &= 0xFFFFFFFF
        dst &= 0xFFFFFFFF
    return src % 0xFFFF + dst % 0xFFFF + proto + (length >> 16) + (length & 0xFFFF)
