"""Ranges of addresses, both ends included: put together, taken out of one another, and written."""

from __future__ import annotations

from collections.abc import Iterable

from portside.addr import ip

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Those that overlap or touch as one, sorted."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def without(ranges: Iterable[Range], less: Iterable[Range]) -> tuple[Range, ...]:
    """What is in the ranges and not in the others. Args: less: sorted, without overlaps."""
    found = []
    less = tuple(less)
    for start, last in ranges:
        first = start
        for low, high in less:
            if high < first or low > last:
                continue
            if low > first:
                found.append((first, low - 1))
            first = high + 1
        if first <= last:
            found.append((first, last))
    return tuple(found)


def size(ranges: Iterable[Range]) -> int:
    """How many addresses."""
    return sum(last - first + 1 for first, last in ranges)


def ranges_text(ranges: Iterable[Range]) -> list[str]:
    """Ranges of addresses as people write them: a prefix, an address, or first and last."""
    found = []
    for first, last in ranges:
        count = last - first + 1
        bits = count.bit_length() - 1
        if count == 1:
            found.append(ip.text(first))
        elif count == 1 << bits and first % count == 0:
            found.append(f"{ip.text(first)}/{ip.bits_of(first) - bits}")
        else:
            found.append(f"{ip.text(first)}-{ip.text(last)}")
    return found
