"""Internet addresses as integers.

Every address is one integer of 128 bits; an IPv4 address is its v4-mapped form `::ffff:a.b.c.d` (RFC 4291 section
2.5.5.2), as Linux keeps it in a dual-stack socket. One kind of key serves every table, and a dual-stack socket needs no
conversion.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6

V4_PREFIX: Final = 0xFFFF << 32
V4_ANY: Final = V4_PREFIX
V6_ANY: Final = 0
V4_LOOPBACK: Final = V4_PREFIX | 0x7F000001
V6_LOOPBACK: Final = 1
V4_BROADCAST: Final = V4_PREFIX | 0xFFFFFFFF


def is_v4(address: int) -> bool:
    """Whether the address is an IPv4 one (in its v4-mapped form)."""
    return address >> 32 == 0xFFFF


def family_of(address: int) -> int:
    """AF_INET or AF_INET6."""
    return AF_INET if address >> 32 == 0xFFFF else AF_INET6


def is_any(address: int) -> bool:
    """Whether the address is a wildcard: `0.0.0.0` or `::`."""
    return address in (V4_ANY, V6_ANY)


def is_loopback(address: int) -> bool:
    """Whether the address is in 127.0.0.0/8 (RFC 1122 section 3.2.1.3) or is `::1` (RFC 4291 section 2.5.3)."""
    return address >> 24 == 0xFFFF7F or address == V6_LOOPBACK


def is_multicast(address: int) -> bool:
    """Whether the address is in 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291 section 2.7)."""
    return address >> 28 == 0xFFFFE or address >> 120 == 0xFF


def is_link_local(address: int) -> bool:
    """Whether the address is in 169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291 section 2.5.6)."""
    return address >> 16 == 0xFFFFA9FE or address >> 118 == 0x3FA


def needs_scope(address: int) -> bool:
    """Whether the address means nothing without an interface: IPv6 link-local unicast and multicast (RFC 4007)."""
    return address >> 118 == 0x3FA or (address >> 120 == 0xFF and address >> 112 & 0xF in (1, 2))


@lru_cache(maxsize=65536)
def parse(text: str) -> int:
    """The address that a plain notation stands for: dotted quad or RFC 4291 section 2.2, without a zone.

    Raises ValueError that says what is wrong. `addr/endpoint.py` takes every other notation.
    """
    try:
        if ":" in text:
            return int(IPv6Address(text))
        return V4_PREFIX | int(IPv4Address(text))
    except AddressValueError as error:
        raise ValueError(f"{text!r} is not an IP address: {error}") from None


@lru_cache(maxsize=65536)
def text(address: int) -> str:
    """The address as a dotted quad, or as RFC 5952 says for IPv6."""
    if address >> 32 == 0xFFFF:
        return str(IPv4Address(address & 0xFFFFFFFF))
    return str(IPv6Address(address))


@lru_cache(maxsize=65536)
def text_v6(address: int) -> str:
    """The address as inet_ntop(3) of glibc prints an AF_INET6 one, and so a program sees it.

    An IPv4 address is `::ffff:a.b.c.d`; an IPv4-compatible one (RFC 4291 section 2.5.5.1) ends in a dotted quad too.
    """
    if address >> 32 == 0xFFFF:
        return "::ffff:" + str(IPv4Address(address & 0xFFFFFFFF))
    if 0xFFFF < address <= 0xFFFFFFFF:
        return "::" + str(IPv4Address(address))
    return str(IPv6Address(address))


def prefix_of(address: int, length: int) -> int:
    """The first `length` bits of the address, the rest zero; for IPv4 `length` counts from the dotted quad's start."""
    bits = 32 - length if address >> 32 == 0xFFFF else 128 - length
    return address >> bits << bits


def bits_of(address: int) -> int:
    """32 for IPv4, 128 for IPv6."""
    return 32 if address >> 32 == 0xFFFF else 128
