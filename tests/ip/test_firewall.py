"""The packet filter: its decisions, what sockets hear of them, and generated rule sets held against nft."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import ip_filter_cases
import ip_kernel
import pytest
from ip_world import Host, Wire, World

from portside.addr.abi import SECOND
from portside.addr.ip import parse
from portside.ip.firewall import ACCEPT, DROP, Firewall, parse_ports, parse_prefix
from portside.wire.packet import ACK, SYN, Fragment, IcmpMessage, TcpSegment, UdpDatagram

RECORDED = Path(__file__).parent / "recorded" / "filters.json"
DEEP = bool(os.environ.get("PORTSIDE_DEEP"))

SEGMENT = TcpSegment(parse("10.0.0.2"), parse("10.0.0.1"), 40000, 80, 1, 0, SYN, 1000)
DATAGRAM = UdpDatagram(parse("2001:db8::2"), parse("2001:db8::1"), 40000, 53, b"x")
PING = IcmpMessage(parse("10.0.0.2"), parse("10.0.0.1"), 1, 8, 0)
LATER_FRAGMENT = Fragment(UdpDatagram(parse("10.0.0.2"), parse("10.0.0.1"), 40000, 53, b"x" * 3000), 1480, 1480, True)


@pytest.mark.parametrize(
    ("rule", "matching"),
    [
        ({}, "segment datagram ping fragment"),
        ({"proto": "tcp"}, "segment"),
        ({"proto": "udp"}, "datagram fragment"),
        ({"proto": "tcp", "dport": 80}, "segment"),
        ({"proto": "tcp", "dport": "1-79,81"}, ""),
        ({"dport": 53}, "datagram"),  # a later fragment has no ports
        ({"sport": "40000-40001"}, "segment datagram"),
        ({"src": "10.0.0.0/24"}, "segment ping fragment"),
        ({"src": "10.0.1.0/24, 10.0.0.2"}, "segment ping fragment"),
        ({"dst": "2001:db8::/32"}, "datagram"),
        ({"src": "::/0"}, "datagram"),
        ({"src": "0.0.0.0/0"}, "segment ping fragment"),
        ({"family": "ip6"}, "datagram"),
        ({"iif": "eth0"}, "segment datagram ping fragment"),
        ({"iif": "eth*"}, "segment datagram ping fragment"),
        ({"iif": "eth"}, ""),
        ({"oif": "eth0"}, ""),
        ({"proto": "icmp", "icmp_type": 8}, "ping"),
        ({"icmp_type": 0}, ""),
        ({"state": "new"}, "segment datagram ping fragment"),
        ({"state": "established,related"}, ""),
    ],
)
def test_conditions(rule: dict, matching: str) -> None:
    firewall = Firewall()
    firewall.add("input", DROP, **rule)
    packets = {"segment": SEGMENT, "datagram": DATAGRAM, "ping": PING, "fragment": LATER_FRAGMENT}
    found = [name for name, each in packets.items() if firewall.decide("input", each, "eth0", "", 1)[0] == DROP]
    assert " ".join(found) == matching


def test_the_first_rule_that_matches_decides_then_the_policy() -> None:
    firewall = Firewall()
    assert firewall.empty
    first = firewall.add("input", ACCEPT, proto="tcp")
    firewall.add("input", DROP)
    assert firewall.decide("input", SEGMENT, "eth0", "", 1) == (ACCEPT, first)
    assert firewall.decide("input", DATAGRAM, "eth0", "", 1)[0] == DROP
    firewall.flush()
    assert firewall.empty
    firewall.set_policy("output", DROP)
    assert not firewall.empty
    assert firewall.decide("output", SEGMENT, "", "eth0", 1) == (DROP, None)


@pytest.mark.parametrize(
    "wrong",
    [{"proto": "tpc"}, {"state": "fresh"}, {"src": "10.0.0.300"}, {"dport": "9-1"}, {"dport": "70000"},
     {"src": "10.0.0.0/33"}, {"family": "ipx"}],
)  # fmt: skip
def test_mistakes_are_refused(wrong: dict) -> None:
    firewall = Firewall()
    with pytest.raises(ValueError):  # noqa: PT011
        firewall.add("input", DROP, **wrong)
    with pytest.raises(ValueError, match="verdict"):
        firewall.add("input", "refuse")
    assert firewall.empty


def test_notations() -> None:
    assert parse_prefix("10.1.2.3/8") == (parse("10.0.0.0"), 8)
    assert parse_prefix("::1") == (1, 128)
    assert parse_ports("80") == (80, 80)
    assert parse_ports("1-65535") == (1, 65535)


def test_output_drop_is_eperm() -> None:
    host = Host(World(), "10.0.0.1/24")
    host.ip.firewall.add("output", DROP, proto="udp", dport=53)
    assert host.udp("127.0.0.1") == errno.EPERM
    assert host.udp("10.0.0.9") == errno.EPERM
    assert host.received == []


@pytest.mark.parametrize(
    ("verdict", "v4", "v6"),
    [
        ("port-unreachable", errno.ECONNREFUSED, errno.ECONNREFUSED),
        ("admin-prohibited", errno.EHOSTUNREACH, errno.EACCES),
        ("host-unreachable", errno.EHOSTUNREACH, errno.EHOSTUNREACH),
        ("no-route", errno.ENETUNREACH, errno.ENETUNREACH),
        ("net-unreachable", errno.ENETUNREACH, errno.ENETUNREACH),
        ("prot-unreachable", errno.ENOPROTOOPT, errno.ECONNREFUSED),
    ],
)
@pytest.mark.parametrize("hook", ["input", "output"])
def test_rejections_are_heard(hook: str, verdict: str, v4: int, v6: int) -> None:
    host = Host(World())
    host.ip.firewall.add(hook, verdict)
    for dst, family, number in (("127.0.0.1", 2, v4), ("::1", 10, v6)):
        host.errors.clear()
        host.ip.firewall.flush()
        host.ip.firewall.add(hook, verdict, proto="udp")
        assert host.udp(dst) == (errno.EPERM if hook == "output" else 0)
        assert host.errnos(family) == [number]


@pytest.mark.parametrize("verdict", ["drop", "port-unreachable"])
def test_forward_hook_of_a_router(verdict: str) -> None:
    world = World()
    client = Host(world, "10.0.1.1/24")
    router = Host(world, "10.0.1.254/24", "10.0.2.254/24", forward=True)
    server = Host(world, "10.0.2.2/24")
    Wire(world, client.interfaces[0], router.interfaces[0])
    Wire(world, router.interfaces[1], server.interfaces[0])
    client.ip.add_route(parse("0.0.0.0"), 0, via=parse("10.0.1.254"))
    rule = router.ip.firewall.add("forward", verdict, iif="eth0", oif="eth1", proto="udp", dport=53)
    assert client.udp("10.0.2.2") == 0
    world.run(SECOND)
    assert server.received == []
    assert client.errnos() == ([] if verdict == "drop" else [errno.ECONNREFUSED])
    assert rule.packets == 1


def test_stateful_host_lets_answers_in_and_nothing_else() -> None:
    world = World()
    a, b = Host(world, "10.0.0.1/24"), Host(world, "10.0.0.2/24")
    Wire(world, a.interfaces[0], b.interfaces[0])
    a.ip.firewall.add("input", ACCEPT, state="established,related")
    a.ip.firewall.set_policy("input", DROP)
    b.udp("10.0.0.1")
    b.segment("10.0.0.1", SYN)
    b.segment("10.0.0.1", SYN | ACK)
    world.run(SECOND)
    assert a.received == []
    a.segment("10.0.0.2", SYN, sport=1, dport=2)
    a.udp("10.0.0.2", dport=9)
    world.run(2 * SECOND)
    b.segment("10.0.0.1", SYN | ACK, sport=2, dport=1)
    world.run(3 * SECOND)
    assert [type(packet).__name__ for packet, _ in a.received] == ["IcmpMessage", "TcpSegment"]
    assert a.errnos() == [errno.ECONNREFUSED]


@pytest.mark.linux
@pytest.mark.skipif(not ip_kernel.available(), reason="needs root and network namespaces; the recording stands in")
def test_generated_rules_as_on_linux() -> None:
    for seed in range(3000 if DEEP else 40):
        case = ip_filter_cases.generate(seed)
        assert_same(case, ip_filter_cases.linux(case), f"seed {seed}")


def test_generated_rules_as_recorded() -> None:
    for number, entry in enumerate(json.loads(RECORDED.read_text())):
        assert_same(entry["case"], entry["linux"], f"recorded {number}")


def assert_same(case: dict, expected: list, label: str) -> None:
    answers = zip(case["packets"], ip_filter_cases.model(case), expected, strict=True)
    differing = [answer for answer in answers if answer[1] != answer[2]]
    assert differing == [], f"{label}: (packet, portside, linux) under\n{ip_filter_cases.nft(case)}"
