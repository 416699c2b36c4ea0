"""Route and source decisions: tables by hand, and generated ones held against the kernel."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import ip_cases
import ip_kernel
import pytest
from ip_host import host

from portside.addr.ip import parse, text
from portside.facts.settings import Settings
from portside.facts.verdict import Verdict
from portside.ip.layer import IpLayer
from portside.ip.route import BROADCAST, LOCAL, MULTICAST, UNICAST, Route

RECORDED = Path(__file__).parent / "recorded" / "routes.json"
DEEP = bool(os.environ.get("PORTSIDE_DEEP"))
FAST_SEEDS = 40


@pytest.mark.parametrize(
    ("dst", "src", "interface", "next_hop", "kind"),
    [
        ("10.0.0.9", "10.0.0.1", "eth0", "10.0.0.9", UNICAST),
        ("10.1.2.3", "10.1.0.1", "eth0", "10.1.2.3", UNICAST),
        ("192.168.7.1", "192.168.7.7", "eth1", "192.168.7.1", UNICAST),
        ("8.8.8.8", "10.1.0.1", "eth0", "10.1.0.254", UNICAST),  # the gateway's subnet chooses the source
        ("10.0.0.2", "10.0.0.1", "eth0", None, LOCAL),  # a secondary address is not a source
        ("127.0.0.1", "127.0.0.1", "lo", None, LOCAL),
        ("127.9.9.9", "127.0.0.1", "lo", None, LOCAL),
        ("0.0.0.0", "127.0.0.1", "lo", None, LOCAL),
        ("10.0.0.255", "10.0.0.1", "eth0", None, BROADCAST),
        ("127.255.255.255", "127.0.0.1", "lo", None, BROADCAST),
        ("255.255.255.255", "10.1.0.1", "eth0", None, BROADCAST),
        ("224.0.0.5", "10.1.0.1", "eth0", None, MULTICAST),
        ("::", "::1", "lo", None, LOCAL),
        ("2001:db8::1", "2001:db8::1", "eth0", None, LOCAL),
        ("2001:db8::9", "2001:db8::1", "eth0", "2001:db8::9", UNICAST),
        ("2001:db8:7::9", "2001:db8:7::7", "eth1", "2001:db8:7::9", UNICAST),
        ("fd00:9::9", "fd00::1", "eth0", "fe80::1", UNICAST),  # RFC 6724 rule 6: the same label
        ("2a00::1", "2001:db8::1", "eth0", "fe80::1", UNICAST),
    ],
)
def test_route_and_source(dst: str, src: str, interface: str, next_hop: str | None, kind: int) -> None:
    route = host().lookup(parse(dst))
    assert isinstance(route, Route)
    assert (text(route.src), route.interface.name, route.kind) == (src, interface, kind)
    assert route.next_hop == (parse(next_hop) if next_hop else 0)
    assert route.local is (kind == LOCAL)


@pytest.mark.parametrize(
    ("dst", "src", "number", "rule"),
    [
        ("172.16.0.1", "", errno.EHOSTUNREACH, "unreachable"),
        ("172.17.0.1", "", errno.EACCES, "prohibit"),
        ("172.18.0.1", "", errno.EINVAL, "blackhole"),
        ("2001:db8:66::1", "", errno.EHOSTUNREACH, "unreachable"),
        ("2001:db8:67::1", "", errno.EACCES, "prohibit"),
        ("2001:db8:68::1", "", errno.EINVAL, "blackhole"),
        ("10.0.0.9", "127.0.0.1", errno.EINVAL, "loopback-source"),
        ("10.0.0.9", "10.0.0.77", errno.ENETUNREACH, "bad-source"),
        ("fe80::1", "", errno.EINVAL, "no-scope"),
        ("ff02::1", "", errno.EINVAL, "no-scope"),
    ],
)
def test_refusals_say_why(dst: str, src: str, number: int, rule: str) -> None:
    verdict = host().lookup(parse(dst), parse(src) if src else 0)
    assert isinstance(verdict, Verdict)
    assert (verdict.errno, verdict.rule.name) == (number, rule)
    assert dst in verdict.sentence


def test_no_route() -> None:
    layer = IpLayer(Settings(), ip_cases.Nothing())
    for dst in ("10.0.0.1", "255.255.255.255", "224.0.0.1", "2001:db8::1", "ff0e::1"):
        assert layer.lookup(parse(dst)).errno == errno.ENETUNREACH


def test_no_scope_is_connects_rule_only() -> None:
    layer = host()
    assert isinstance(layer.lookup_unscoped(parse("ff02::1")), Route)
    assert layer.lookup(parse("ff02::1")).errno == errno.EINVAL
    assert isinstance(layer.lookup(parse("ff02::1"), 0, 2), Route)


def test_generation_tells_of_changes() -> None:
    layer = host()
    before = layer.lookup(parse("8.8.8.8"))
    assert layer.lookup(parse("8.8.8.8")) is before
    assert layer.add_route(parse("8.0.0.0"), 8, via=parse("10.0.0.254")) == 0
    assert before.generation != layer.routes.generation
    assert text(layer.lookup(parse("8.8.8.8")).next_hop) == "10.0.0.254"
    assert layer.remove_route(parse("8.0.0.0"), 8) == 0
    assert text(layer.lookup(parse("8.8.8.8")).next_hop) == "10.1.0.254"


def test_learned_path_mtu_ends() -> None:
    layer = host()
    dst = parse("8.8.8.8")
    layer.routes.learn_mtu(dst, 1200, until=100)
    assert layer.lookup(dst).mtu == 1200
    assert layer.lookup(parse("8.8.4.4")).mtu == 1500
    layer.routes.forget_mtus(99)
    assert layer.lookup(dst).mtu == 1200
    layer.routes.forget_mtus(100)
    assert layer.lookup(dst).mtu == 1500
    layer.routes.learn_mtu(dst, 68, until=200)
    assert layer.lookup(dst).mtu == 552


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.255.254", "10.0.0.1", "10.0.0.2", "::1", "fd00::1"])
def test_local_addresses(address: str) -> None:
    assert host().is_local(parse(address))


def test_device_matters_for_link_local_only() -> None:
    layer = host()
    eth0, eth1 = layer.interface_named("eth0"), layer.interface_named("eth1")
    assert layer.is_local(eth0.link_local(), eth0.index)
    assert not layer.is_local(eth0.link_local(), eth1.index)
    assert layer.is_local(parse("2001:db8::1"), eth1.index)
    assert layer.is_local(parse("10.0.0.1"), eth1.index)


def test_lookup_cost_does_not_grow_with_the_cache() -> None:
    layer = host()
    for number in range(70000):
        layer.lookup(parse("10.1.0.0") + number % 60000 + 2, parse("10.1.0.1"))
    assert len(layer.routes._cache) <= 65536


def seeds() -> range:
    return range(2000) if DEEP else range(FAST_SEEDS)


@pytest.mark.linux
@pytest.mark.skipif(not ip_kernel.available(), reason="needs root and network namespaces; the recording stands in")
def test_generated_tables_as_on_linux() -> None:
    for seed in seeds():
        case = ip_cases.generate(seed)
        assert_same(case, ip_cases.linux(case), f"seed {seed}")


def test_generated_tables_as_recorded() -> None:
    for number, entry in enumerate(json.loads(RECORDED.read_text())):
        assert_same(entry["case"], entry["linux"], f"recorded {number}")


def assert_same(case: dict, expected: dict, label: str) -> None:
    answered = ip_cases.model(case)
    steps = zip(case["steps"], answered["done"], expected["done"], strict=True)
    assert [step for step in steps if step[1] != step[2]] == [], label
    questions = zip(case["questions"], answered["answers"], expected["answers"], strict=True)
    differing = [question for question in questions if question[1] != question[2]]
    assert differing == [], f"{label}: (question, portside, linux); steps: {case['steps']}"
