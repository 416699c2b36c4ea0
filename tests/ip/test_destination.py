"""RFC 6724 section 6, rule by rule; whole lists are held against glibc in tests/runtime/test_names.py."""

from __future__ import annotations

import pytest

from portside.addr.ip import parse
from portside.ip.destination import Destination, compare
from portside.ip.interface import Interface, InterfaceAddress

ETH0 = Interface(2, "eth0")
ETH0.addresses = [InterfaceAddress(parse("10.0.0.1"), 24), InterfaceAddress(parse("fd00::1"), 64)]


def place(address, source):
    return Destination(parse(address), parse(source) if source else 0, [ETH0])


@pytest.mark.parametrize(("first", "second"), [
    (("10.0.0.2", "10.0.0.1"), ("fd00::2", "")),  # 1: reachable
    (("10.0.0.2", "10.0.0.1"), ("fe80::2", "fd00::1")),  # 2: matching scope
    (("10.0.0.2", "10.0.0.1"), ("2001:db8::2", "fd00::1")),  # 5: matching label
    (("fd00::2", "fd00::1"), ("10.0.0.2", "10.0.0.1")),  # 6: precedence
    (("2001:db8::2", ""), ("2002:a00:1::1", "")),
    (("fe80::2", "fe80::1"), ("fd00::2", "fd00::1")),  # 8: smaller scope
    (("127.0.0.5", "127.0.0.1"), ("10.0.0.2", "10.0.0.1")),
    (("fd00::9", "fd00::1"), ("fd01::9", "fd00::1")),  # 9: longest prefix
    (("10.0.0.9", "10.0.0.1"), ("10.0.0.130", "10.0.0.1")),
    (("10.0.0.130", "10.0.0.1"), ("10.0.1.9", "10.0.0.1")),
])  # fmt: skip
def test_the_first_is_tried_before_the_second(first, second):
    assert compare(place(*first), place(*second)) < 0
    assert compare(place(*second), place(*first)) > 0


@pytest.mark.parametrize(("one", "other"), [
    (("10.0.1.9", "10.0.0.1"), ("203.0.113.1", "10.0.0.1")),  # prefixes say nothing outside the subnet
    (("10.0.0.9", ""), ("10.0.1.9", "")),
    (("fd00::9", "fd00::1"), ("fd00::8", "fd00::1")),
])  # fmt: skip
def test_no_rule_says(one, other):
    assert compare(place(*one), place(*other)) == 0
