"""Arithmetic of sequence numbers modulo 2**32 (RFC 9293 section 3.4).

A number is before another when the way forward to it is shorter than 2**31; of two that are exactly 2**31
apart each is before the other, as on Linux (before() of <net/tcp.h>).
"""

from __future__ import annotations


def diff(a: int, b: int) -> int:
    """How far `a` is ahead of `b`: -2**31 to 2**31 - 1; less than 0 where `a` is before `b`."""
    return (a - b + 0x80000000 & 0xFFFFFFFF) - 0x80000000
