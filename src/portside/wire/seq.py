"""Arithmetic of sequence numbers modulo 2**32 (RFC 9293 section 3.4).

A number is before another when the way forward to it is shorter than 2**31; of two that are exactly 2**31
apart each is before the other in no order that means anything, as on Linux (before() of <net/tcp.h>).
"""

from __future__ import annotations

from typing import Final

MASK: Final = 0xFFFFFFFF
HALF: Final = 0x80000000


def add(number: int, count: int) -> int:
    """The number `count` further on; `count` may be negative."""
    return number + count & 0xFFFFFFFF


def diff(a: int, b: int) -> int:
    """How far `a` is ahead of `b`: -2**31 to 2**31 - 1."""
    return (a - b + 0x80000000 & 0xFFFFFFFF) - 0x80000000


def lt(a: int, b: int) -> bool:
    """Whether `a` is before `b`."""
    return a - b & 0xFFFFFFFF >= 0x80000000


def le(a: int, b: int) -> bool:
    """Whether `a` is before `b` or is it."""
    return b - a & 0xFFFFFFFF < 0x80000000


def gt(a: int, b: int) -> bool:
    """Whether `a` is after `b`."""
    return b - a & 0xFFFFFFFF >= 0x80000000


def ge(a: int, b: int) -> bool:
    """Whether `a` is after `b` or is it."""
    return a - b & 0xFFFFFFFF < 0x80000000


def between(low: int, number: int, high: int) -> bool:
    """Whether `low` =< `number` =< `high` on the way forward from `low` (between() of <net/tcp.h>)."""
    return high - low & 0xFFFFFFFF >= number - low & 0xFFFFFFFF


def latest(a: int, b: int) -> int:
    """The one of the two that is not before the other."""
    return b if a - b & 0xFFFFFFFF >= 0x80000000 else a
