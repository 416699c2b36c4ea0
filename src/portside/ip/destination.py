"""In which order to try the addresses of a name (RFC 6724 section 6), as the C library sorts them.

Deprecated and home addresses and tunnels (rules 3, 4 and 7) are not modelled.
Source: rfc3484_sort of glibc.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cmp_to_key
from typing import Final

from portside.addr.ip import is_link_local, is_loopback, is_v4
from portside.ip.interface import Interface
from portside.ip.layer import IpLayer
from portside.ip.route import Route
from portside.ip.source import GLOBAL, LINK_LOCAL, scope_v6

LABELS: Final = (
    (1, 128, 0),
    (0x2002 << 112, 16, 2),
    (0, 96, 3),
    (0xFFFF << 32, 96, 4),
    (0xFEC0 << 112, 10, 5),
    (0xFC00 << 112, 7, 6),
    (0x20010000 << 96, 32, 7),
    (0, 0, 1),
)
"""Prefix, length, label: default_labels[] of glibc, which are not the kernel's."""

PRECEDENCES: Final = (
    (1, 128, 50),
    (0x2002 << 112, 16, 30),
    (0, 96, 20),
    (0xFFFF << 32, 96, 10),
    (0, 0, 40),
)
"""Prefix, length, precedence: default_precedence[] of glibc."""


class Destination:
    """An address with what the rules ask of it; `source` is 0 when it can't be reached."""

    __slots__ = ("address", "label_matches", "precedence", "prefix", "scope", "scope_matches", "source")

    def __init__(self, address: int, source: int, interfaces: Iterable[Interface]) -> None:
        self.address = address
        self.source = source
        self.scope = scope(address)
        self.precedence = _of_table(PRECEDENCES, address)
        self.scope_matches = source != 0 and self.scope == scope(source)
        self.label_matches = source != 0 and _of_table(LABELS, address) == _of_table(LABELS, source)
        self.prefix = _common_prefix(address, source, interfaces) if source else 0


def order(ip: IpLayer, addresses: list[int], scope_id: int = 0) -> list[int]:
    """The indexes of `addresses` in the order in which a program should try them."""
    interfaces = list(ip.interfaces.values())
    places = []
    for address in addresses:
        route = ip.lookup(address, 0, scope_id)
        places.append(Destination(address, route.src if isinstance(route, Route) else 0, interfaces))
    by_rules = cmp_to_key(compare)
    return sorted(range(len(places)), key=lambda index: by_rules(places[index]))


def compare(one: Destination, other: Destination) -> int:
    """Negative when `one` is to be tried before `other`, 0 when no rule says."""
    if bool(one.source) != bool(other.source):  # 1: avoid unusable destinations
        return -1 if one.source else 1
    if one.scope_matches != other.scope_matches:  # 2: prefer matching scope
        return -1 if one.scope_matches else 1
    if one.label_matches != other.label_matches:  # 5: prefer matching label
        return -1 if one.label_matches else 1
    if one.precedence != other.precedence:  # 6: prefer higher precedence
        return other.precedence - one.precedence
    if one.scope != other.scope:  # 8: prefer smaller scope
        return one.scope - other.scope
    if is_v4(one.address) == is_v4(other.address):  # 9: use longest matching prefix
        return other.prefix - one.prefix
    return 0


def scope(address: int) -> int:
    """The scope of an address as a multicast scope number (RFC 6724 sections 3.1 and 3.2)."""
    if is_v4(address):
        return LINK_LOCAL if is_link_local(address) or is_loopback(address) else GLOBAL
    return scope_v6(address)


def _of_table(table: tuple[tuple[int, int, int], ...], address: int) -> int:
    for prefix, length, value in table:
        if address >> (128 - length) == prefix >> (128 - length):
            return value
    return 0


def _common_prefix(address: int, source: int, interfaces: Iterable[Interface]) -> int:
    """How many bits the two have in common; of IPv4 addresses only within a subnet."""
    common = 128 - (address ^ source).bit_length()
    if not is_v4(address):
        return common
    if is_loopback(source):
        length = 8
    else:
        length = next((entry.prefix_length for interface in interfaces for entry in interface.addresses
                       if entry.address == source), 32)  # fmt: skip
    return common if common - 96 >= length else 0
