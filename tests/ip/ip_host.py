"""One configured host without a network: what the tests of routes and addresses ask."""

from __future__ import annotations

import ip_cases

from portside.addr.ip import V4_ANY, parse
from portside.facts.settings import Settings
from portside.ip.layer import IpLayer
from portside.ip.route import BLACKHOLE, PROHIBIT, UNREACHABLE


def host() -> IpLayer:
    """lo; eth0 with two subnets, a secondary and IPv6; eth1; a default route; and routes that refuse."""
    layer = IpLayer(Settings(), ip_cases.Nothing())
    eth0, eth1 = layer.add_interface("eth0"), layer.add_interface("eth1")
    for interface, address, length in (
        (eth0, "10.0.0.1", 24), (eth0, "10.0.0.2", 24), (eth0, "10.1.0.1", 16), (eth1, "192.168.7.7", 24),
        (eth0, "2001:db8::1", 64), (eth0, "fd00::1", 64), (eth1, "2001:db8:7::7", 64),
    ):  # fmt: skip
        assert layer.add_address(interface, parse(address), length) == 0
    assert layer.add_route(V4_ANY, 0, via=parse("10.1.0.254")) == 0
    assert layer.add_route(0, 0, via=parse("fe80::1"), interface=eth0) == 0
    for prefix, length, kind in (
        ("172.16.0.0", 12, UNREACHABLE), ("172.17.0.0", 16, PROHIBIT), ("172.18.0.0", 16, BLACKHOLE),
        ("2001:db8:66::", 48, UNREACHABLE), ("2001:db8:67::", 48, PROHIBIT), ("2001:db8:68::", 48, BLACKHOLE),
    ):  # fmt: skip
        assert layer.add_route(parse(prefix), length, kind=kind) == 0
    return layer
