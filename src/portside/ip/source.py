"""Which of its addresses a host sends from when the socket has not said (RFC 1122 section 3.3.4.3, RFC 6724)."""

from __future__ import annotations

from typing import Final

from portside.addr.ip import is_multicast, is_v4, prefix_of
from portside.facts.interface import SCOPE_LINK
from portside.ip.interface import Interface, InterfaceAddress

# Scopes of RFC 4007 section 5 by their number in a multicast address.
LINK_LOCAL: Final = 2
SITE_LOCAL: Final = 5
GLOBAL: Final = 14

LABELS: Final = (
    (0x00000000000000000000000000000001, 128, 0),
    (0x00000000000000000000FFFF00000000, 96, 4),
    (0x00000000000000000000000000000000, 96, 3),
    (0x20010000 << 96, 32, 6),
    (0x20010010 << 96, 28, 7),
    (0x2002 << 112, 16, 2),
    (0xFC00 << 112, 7, 5),
    (0, 0, 1),
)
"""Prefix, length, label: ip_addrlabel_init_table[] of the kernel, the longest match first."""


def select_v4(interfaces: dict[int, Interface], device: Interface, gateway: int, scope: int) -> int:
    """The IPv4 source for what leaves by `device`, or 0 when the host has none.

    The first primary address of the device in the gateway's subnet, or else its first primary one; or else
    the first of any interface. Args: scope: addresses that reach less far than this are not taken.
    Source: inet_select_addr.
    """
    first = 0
    for entry in device.addresses:
        if entry.secondary or entry.scope > scope or not is_v4(entry.address):
            continue
        if not gateway or in_subnet(gateway, entry):
            return entry.address
        first = first or entry.address
    return first or _from_any_interface(interfaces, scope)


def _from_any_interface(interfaces: dict[int, Interface], scope: int) -> int:
    for interface in interfaces.values():
        for entry in interface.addresses:
            usable = not entry.secondary and entry.scope != SCOPE_LINK and entry.scope <= scope
            if usable and is_v4(entry.address):
                return entry.address
    return 0


def in_subnet(address: int, entry: InterfaceAddress) -> bool:
    """Whether an address of the same family is in the subnet of an interface's address."""
    length = entry.prefix_length
    return prefix_of(address, length) == prefix_of(entry.address, length)


def select_v6(interfaces: dict[int, Interface], device: Interface, dst: int) -> int:
    """The IPv6 source for what leaves by `device` for `dst`, or 0 when there is none (RFC 6724 section 5).

    For a destination that needs a scope only the device's own addresses are candidates. Of equals, the newest
    wins, as in the kernel's list. Deprecated, temporary and home addresses are not modelled (rules 3, 4 and
    7).
    Source: ipv6_dev_get_saddr, ipv6_get_saddr_eval.
    """
    scope = scope_v6(dst)
    only_device = is_multicast(dst) or scope <= LINK_LOCAL
    best: tuple[int, ...] = ()
    chosen = 0
    for interface in (device,) if only_device else interfaces.values():
        if not interface.up:
            continue
        for entry in candidates(interface):
            score = _score(entry, interface is device, dst, scope)
            if score > best:
                best, chosen = score, entry.address
    return chosen


def candidates(interface: Interface) -> list[InterfaceAddress]:
    """The IPv6 addresses of an interface in the kernel's order: the widest scope first, then the newest."""
    entries = [entry for entry in interface.addresses if not is_v4(entry.address)]
    entries.reverse()
    entries.sort(key=lambda entry: -scope_v6(entry.address))
    return entries


def _score(entry: InterfaceAddress, on_device: bool, dst: int, scope: int) -> tuple[int, ...]:
    """The rules of RFC 6724 section 5 in order, each as a number of which more is better."""
    address = entry.address
    own = scope_v6(address)
    common = min(128 - (address ^ dst).bit_length(), entry.prefix_length)
    return (
        int(address == dst),  # 1: prefer same address
        -own if own >= scope else own - 128,  # 2: prefer appropriate scope
        int(on_device),  # 5: prefer outgoing interface
        int(label(address) == label(dst)),  # 6: prefer matching label
        int(is_orchid(address) == is_orchid(dst)),
        common,  # 8: longest matching prefix, not counted beyond the subnet's
    )


def scope_v6(address: int) -> int:
    """The scope of an IPv6 address as a multicast scope number; loopback counts as link-local (RFC 4007
    section 4).
    """
    if address >> 120 == 0xFF:
        return address >> 112 & 0xF
    if address == 1 or address >> 118 == 0x3FA:
        return LINK_LOCAL
    if address >> 118 == 0x3FB:
        return SITE_LOCAL
    return GLOBAL


def is_orchid(address: int) -> bool:
    """Whether the address is in 2001:10::/28 (RFC 4843)."""
    return address >> 100 == 0x2001001


def label(address: int) -> int:
    """The label of an address in the policy table (RFC 6724 section 2.1)."""
    for prefix, length, number in LABELS:
        if address >> (128 - length) == prefix >> (128 - length):
            return number
    return 1
