"""Which routes the kernel takes; generated ones are held against it in test_route.py."""

from __future__ import annotations

import errno

import pytest
from ip_host import host

from portside.addr.ip import parse
from portside.ip.route import BROADCAST


@pytest.mark.parametrize(
    ("prefix", "length", "via", "number"),
    [
        ("8.0.0.0", 8, "10.0.0.254", 0), ("0.0.0.0", 0, "10.0.0.254", errno.EEXIST),
        ("8.0.0.1", 8, "10.0.0.254", errno.EINVAL),
        ("8.0.0.0", 8, "9.9.9.9", errno.ENETUNREACH), ("8.0.0.0", 8, "224.0.0.1", errno.EINVAL),
        ("8.0.0.0", 8, "10.0.0.255", errno.EINVAL), ("2001:db8:9::", 48, "2001:db8::9", 0),
        ("2001:db8:9::", 48, "fe80::9", errno.EINVAL), ("2001:db8:9::", 48, "2001:db8::1", errno.EINVAL),
        ("2001:db8:9::", 48, "2001:db8:66::1", errno.EHOSTUNREACH), ("8.0.0.0", 8, None, errno.ENODEV),
    ],
)  # fmt: skip
def test_add(prefix: str, length: int, via: str | None, number: int) -> None:
    layer = host()
    assert layer.add_route(parse(prefix), length, via=parse(via) if via else 0) == number


def test_what_else_a_route_may_not_be() -> None:
    layer = host()
    eth0 = layer.interface_named("eth0")
    prefix = parse("8.0.0.0")
    assert layer.add_route(prefix, 8, interface=eth0, kind=BROADCAST) == errno.EINVAL
    assert layer.add_route(prefix, 8, interface=eth0, source=parse("9.9.9.9")) == errno.EINVAL
    layer.set_up(eth0, False)
    assert layer.add_route(prefix, 8, interface=eth0) == errno.ENETDOWN


def test_remove() -> None:
    layer = host()
    eth0 = layer.interface_named("eth0")
    prefix = parse("8.0.0.0")
    for metric in (5, 7):
        assert layer.add_route(prefix, 8, interface=eth0, metric=metric) == 0
    assert layer.remove_route(prefix, 8, metric=6) == errno.ESRCH
    assert [layer.remove_route(prefix, 8) for _ in range(3)] == [0, 0, errno.ESRCH]
