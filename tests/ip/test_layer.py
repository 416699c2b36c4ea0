"""A packet's way: to this host itself, across a link, from end to end."""

from __future__ import annotations

import errno

import pytest
from ip_world import Host, Wire, World, routed

from portside.addr.abi import MILLISECOND, SECOND
from portside.addr.ip import parse, text
from portside.ip.link import NeighborMessage
from portside.ip.route import Route
from portside.wire.packet import UdpDatagram

A4, B4, A6, B6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"


def pair(**options: bool) -> tuple[World, Host, Host, Wire]:
    world = World()
    a = Host(world, "10.0.0.1/24 2001:db8::1/64", **options)
    b = Host(world, "10.0.0.2/24 2001:db8::2/64", **options)
    return world, a, b, Wire(world, a.interfaces[0], b.interfaces[0])


# -- to this host itself --


@pytest.mark.parametrize(
    ("dst", "interface"),
    [("127.0.0.1", "lo"), ("127.3.2.1", "lo"), ("0.0.0.0", "lo"), ("::1", "lo"), ("::", "lo"),
     ("10.0.0.1", "eth0"), ("2001:db8::1", "eth0")],
)  # fmt: skip
def test_local_delivery_is_seen_on_the_owner_of_the_address(dst: str, interface: str) -> None:
    _, a, _, wire = pair()
    assert a.udp(dst) == 0
    assert [(packet.data, name) for packet, name in a.received] == [(b"x", interface)]
    assert wire.carried == []


def test_backlog_waits_for_its_turn() -> None:
    _, a, _, _ = pair()
    route = a.ip.lookup(parse("127.0.0.1"))
    assert isinstance(route, Route)
    assert route.direct
    a.ip.send(UdpDatagram(route.src, route.dst, 1, 53, b"1"), route)
    assert a.received == []
    a.ip.run_backlog()
    assert len(a.received) == 1
    assert not a.ip.backlog


def test_closed_port_on_loopback_answers_from_the_address_asked() -> None:
    _, a, _, _ = pair()
    for number in range(100):  # no rate limit on loopback
        assert a.udp("127.0.0.7", dport=9) == 0
        assert len(a.errors) == number + 1
    assert a.errnos() == [errno.ECONNREFUSED] * 100
    assert text(a.received[0][0].src) == "127.0.0.7"


def test_lo_down_loses_packets() -> None:
    _, a, _, _ = pair()
    a.ip.set_up(a.ip.lo, False)
    assert a.udp("127.0.0.1") == 0
    assert a.received == []
    assert a.udp("::1") == errno.ENETUNREACH


def test_small_mtu_of_lo_counts() -> None:
    _, a, _, _ = pair()
    a.ip.set_mtu(a.ip.lo, 1500)
    assert a.udp("127.0.0.1", b"x" * 2000, df=True) == errno.EMSGSIZE
    assert a.udp("127.0.0.1", b"x" * 2000) == 0
    assert len(a.received[0][0].data) == 2000


# -- across a link --


@pytest.mark.parametrize(("dst", "src"), [(B4, A4), (B6, A6)])
def test_neighbour_is_asked_once(dst: str, src: str) -> None:
    world, a, b, wire = pair()
    assert a.udp(dst) == 0
    assert a.udp(dst) == 0
    world.run(SECOND)
    assert [(text(packet.src), packet.data) for packet, _ in b.received] == [(src, b"x")] * 2
    assert sum(isinstance(packet, NeighborMessage) for packet in wire.carried) == 2
    assert b.udp(src) == 0  # who asked is known
    world.run(2 * SECOND)
    assert sum(isinstance(packet, NeighborMessage) for packet in wire.carried) == 2
    assert len(a.received) == 1


def test_link_local_needs_no_configuration() -> None:
    world, a, b, _ = pair()
    assert a.udp(text(b.interfaces[0].link_local()), oif=2) == 0
    world.run(SECOND)
    assert text(b.received[0][0].src) == text(a.interfaces[0].link_local())


@pytest.mark.parametrize(("dst", "family"), [("10.0.0.77", 2), ("2001:db8::77", 10)])
def test_no_neighbour_fails_after_three_seconds(dst: str, family: int) -> None:
    world, a, _, wire = pair()
    assert a.udp(dst) == 0
    assert a.udp(dst) == 0
    world.run(3 * SECOND - 1)
    assert a.errors == []
    world.run(10 * SECOND)
    assert a.errnos(family) == [errno.EHOSTUNREACH] * 2
    assert a.errors[0][0] == 3 * SECOND
    assert len(wire.carried) == 3  # requests, 1 s apart


def test_queue_for_an_unknown_neighbour_is_bounded() -> None:
    _, a, _, _ = pair()
    for number in range(1000):
        a.udp("10.0.0.77", number.to_bytes(4, "big") * 250)
    (row,) = a.ip.neighbors.rows.values()
    assert row.queued_bytes <= 212992
    assert row.queue[-1].data[:4] == (999).to_bytes(4, "big")


def test_interface_down_is_silence() -> None:
    world, a, b, _ = pair()
    b.ip.set_up(b.interfaces[0], False)
    a.udp(B4)
    world.run(10 * SECOND)
    assert b.received == []
    assert a.errnos() == [errno.EHOSTUNREACH]


@pytest.mark.parametrize("dst", ["10.0.0.255", "255.255.255.255"])
def test_broadcast_reaches_all_and_the_sender(dst: str) -> None:
    world, a, b, _ = pair()
    assert a.udp(dst, oif=2) == 0
    world.run(SECOND)
    assert len(b.received) == 1
    assert [(packet.data, name) for packet, name in a.received] == [(b"x", "eth0")]


def test_multicast_reaches_members_only() -> None:
    world, a, b, _ = pair()
    b.ip.join(b.interfaces[0], parse("239.1.2.3"))
    assert a.udp("239.1.2.3", oif=2) == 0
    assert a.udp("239.9.9.9", oif=2) == 0
    world.run(SECOND)
    assert [text(packet.dst) for packet, _ in b.received] == ["239.1.2.3"]
    b.ip.leave(b.interfaces[0], parse("239.1.2.3"))
    a.udp("239.1.2.3", oif=2)
    world.run(2 * SECOND)
    assert len(b.received) == 1


def test_no_error_about_a_broadcast() -> None:
    world, a, _, _ = pair()
    a.udp("10.0.0.255", dport=9, oif=2)
    world.run(SECOND)
    assert a.errors == []


def test_martians_are_dropped() -> None:
    world, _a, b, _ = pair()
    for src, dst in (("127.0.0.1", B4), (B4, B4), ("224.0.0.1", B4), ("0.0.0.0", B4), (A4, "127.0.0.1"), ("::1", B6)):
        b.ip.arrives(UdpDatagram(parse(src), parse(dst), 1, 53, b"x"), b.interfaces[0])
    world.run(SECOND)
    assert b.received == []
    assert b.ip.drops == 6


# -- from end to end --


def test_sender_fragments_and_receiver_reassembles() -> None:
    world, client, _, server = routed()
    for number, dst in enumerate(("10.0.2.2", "2001:db8:2::2")):
        assert client.udp(dst, b"ab" * 10000, df=True) == errno.EMSGSIZE
        assert client.udp(dst, b"ab" * 10000) == 0
        world.run((number + 1) * SECOND)
        assert server.received[number][0].data == b"ab" * 10000


def test_icmp_errors_are_limited_per_destination() -> None:
    world, client, _, _ = routed()
    for _ in range(20):
        client.udp("10.0.2.2", dport=9)
    world.run(100 * MILLISECOND)
    assert len(client.errors) == 6
    for _ in range(20):
        client.udp("2001:db8:2::2", dport=9)
    world.run(200 * MILLISECOND)
    assert len(client.errors) == 12


def test_trace_tells_the_way() -> None:
    world, client, router, server = routed()
    seen: list[tuple[str, str]] = []
    for name, host in (("client", client), ("router", router), ("server", server)):
        host.ip.trace = lambda kind, packet, interface, reason, name=name: seen.append((name, kind))
    client.udp("10.0.2.2")
    client.udp("127.0.0.1")
    world.run(SECOND)
    assert seen == [("client", "output"), ("client", "output"), ("client", "loop"), ("router", "forward"),
                    ("server", "deliver")]  # fmt: skip


def test_path_mtu_is_forgotten_after_ten_minutes() -> None:
    world, client, _, server = routed(mtu=1300)
    client.ip.learn_mtu(parse("10.0.2.2"), 1300)
    assert client.udp("10.0.2.2", b"x" * 1400, df=True) == errno.EMSGSIZE
    assert client.udp("10.0.2.2", b"x" * 1400) == 0
    world.run(600 * SECOND)
    assert len(server.received) == 1
    assert client.udp("10.0.2.2", b"x" * 1400, df=True) == 0
