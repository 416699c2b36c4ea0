"""What comes and goes with an interface's addresses; generated tables are held against the kernel in test_route.py."""

from __future__ import annotations

import errno

import pytest
from ip_host import host

from portside.addr.ip import parse
from portside.ip.route import Route


@pytest.mark.parametrize(
    ("address", "length", "number"),
    [
        ("10.0.0.1", 24, errno.EEXIST), ("fd00::1", 48, errno.EEXIST), ("10.0.0.1", 25, 0),
        ("10.0.0.3", 33, errno.EINVAL),
        ("0.0.0.0", 8, errno.EINVAL), ("::", 64, errno.EINVAL), ("224.0.0.1", 4, errno.EINVAL),
        ("255.255.255.255", 32, errno.EINVAL), ("ff02::1", 64, errno.EINVAL),
    ],
)  # fmt: skip
def test_add(address: str, length: int, number: int) -> None:
    layer = host()
    assert layer.add_address(layer.interface_named("eth0"), parse(address), length) == number


def test_a_primary_takes_its_secondaries_along() -> None:
    layer = host()
    eth0 = layer.interface_named("eth0")
    assert [str(entry) for entry in eth0.addresses if entry.secondary] == ["10.0.0.2/24"]
    assert layer.remove_address(eth0, parse("10.0.0.1")) == 0
    assert not layer.is_local(parse("10.0.0.2"))
    assert layer.remove_address(eth0, parse("10.0.0.2")) == errno.EADDRNOTAVAIL


def test_no_ipv6_below_its_least_mtu() -> None:
    layer = host()
    eth0 = layer.interface_named("eth0")
    layer.set_mtu(eth0, 1279)
    assert [str(entry) for entry in eth0.addresses] == ["10.0.0.1/24", "10.1.0.1/16", "10.0.0.2/24"]
    layer.set_mtu(eth0, 1280)
    assert eth0.addresses[-1].address == eth0.link_local()


def test_down_takes_routes_and_ipv6_addresses() -> None:
    layer = host()
    layer.set_up(layer.interface_named("eth0"), False)
    assert layer.lookup(parse("10.0.0.9")).errno == errno.ENETUNREACH
    assert layer.is_local(parse("10.0.0.1"))
    assert not layer.is_local(parse("2001:db8::1"))
    layer.set_up(layer.interface_named("eth0"), True)
    assert isinstance(layer.lookup(parse("10.0.0.9")), Route)
    assert layer.lookup(parse("8.8.8.8")).errno == errno.ENETUNREACH  # static routes are gone
