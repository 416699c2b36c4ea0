"""Kinds of addresses, by the special-purpose registries (RFC 6890)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.addr import ip
from portside.addr.kind import kind_of


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("0.0.0.0", "wildcard"), ("0.0.0.1", "this-network"), ("10.255.255.255", "private"),
        ("11.0.0.0", "public"), ("100.64.0.1", "shared"), ("100.128.0.0", "public"), ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"), ("169.254.1.1", "link-local"), ("172.16.0.0", "private"),
        ("172.32.0.0", "public"), ("192.0.2.1", "documentation"), ("192.168.0.10", "private"),
        ("198.19.255.255", "benchmarking"), ("203.0.113.9", "documentation"), ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"), ("240.0.0.1", "reserved"), ("255.255.255.255", "broadcast"),
        ("8.8.8.8", "public"), ("::", "wildcard"), ("::1", "loopback"), ("::2", "unassigned"),
        ("fe80::1", "link-local"), ("fec0::1", "unassigned"), ("fd00::1", "unique local"),
        ("2001:db8::1", "documentation"), ("3fff::1", "documentation"), ("ff02::1", "multicast"),
        ("2607:fb90:1788:efbd:d3f9:555:4ddb:c8ed", "public"), ("64:ff9b::a00:1", "NAT64"), ("2002::1", "6to4"),
        ("4000::", "unassigned"), ("::ffff:10.0.0.1", "private"),
    ],
)  # fmt: skip
def test_kinds(text: str, name: str) -> None:
    assert kind_of(ip.parse(text)).name == f"{name} address"


@given(st.integers(0, 2**32 - 1))
def test_what_is_public_is_global_to_the_standard_library_too(number: int) -> None:
    if kind_of(ip.V4_PREFIX | number).name == "public address":
        address = ipaddress.IPv4Address(number)
        special = (address.is_loopback, address.is_link_local, address.is_multicast, address.is_unspecified)
        assert not any(special)
        assert address.is_global or address in ipaddress.IPv4Network("192.0.0.0/24")
