"""A packet's way through a router, and what its sender hears when it cannot go on."""

from __future__ import annotations

import errno

import pytest
from ip_world import routed

from portside.addr.abi import SECOND
from portside.addr.ip import parse, text
from portside.wire.packet import IcmpMessage


@pytest.mark.parametrize(("dst", "src"), [("10.0.2.2", "10.0.1.1"), ("2001:db8:2::2", "2001:db8:1::1")])
def test_router_forwards_and_counts_hops(dst: str, src: str) -> None:
    world, client, _, server = routed()
    assert client.udp(dst) == 0
    world.run(SECOND)
    (packet, _), = server.received
    assert (text(packet.src), packet.ttl) == (src, 63)
    client.ping(dst)
    world.run(2 * SECOND)
    reply = client.received[-1][0]
    assert isinstance(reply, IcmpMessage)
    assert (reply.type, reply.data, text(reply.src)) == (0 if "." in dst else 129, b"hello", dst)


@pytest.mark.parametrize("dst", ["10.0.2.2", "2001:db8:2::2"])
def test_a_host_that_does_not_forward_drops_silently(dst: str) -> None:
    world, client, router, server = routed(forward=False)
    client.udp(dst)
    world.run(10 * SECOND)
    assert server.received == client.received == []
    assert router.ip.drops == 1


@pytest.mark.parametrize(
    ("dst", "family", "expected", "source"),
    [("10.0.2.2", 2, (11, 0), "10.0.1.254"), ("2001:db8:2::2", 10, (3, 0), "2001:db8:1::fe")],
)
def test_time_exceeded(dst: str, family: int, expected: tuple[int, int], source: str) -> None:
    world, client, _, server = routed()
    client.udp(dst, ttl=1)
    world.run(SECOND)
    assert server.received == []
    message = client.received[0][0]
    assert (message.type, message.code, text(message.src)) == (*expected, source)
    assert client.errnos(family) == [errno.EHOSTUNREACH]
    assert message.quoted.ttl == 1
    client.udp(dst, ttl=2)
    world.run(2 * SECOND)
    assert server.received[0][0].ttl == 1


@pytest.mark.parametrize(
    ("dst", "kind", "family", "number"),
    [
        ("10.9.9.9", None, 2, errno.ENETUNREACH), ("10.9.9.9", 7, 2, errno.EHOSTUNREACH),
        ("10.9.9.9", 8, 2, errno.EHOSTUNREACH), ("10.9.9.9", 6, 2, None), ("10.0.2.77", None, 2, errno.EHOSTUNREACH),
        ("2001:db8:9::9", None, 10, errno.ENETUNREACH), ("2001:db8:9::9", 8, 10, errno.EACCES),
        ("2001:db8:9::9", 6, 10, None), ("2001:db8:2::77", None, 10, errno.EHOSTUNREACH),
    ],
)  # fmt: skip
def test_router_says_why_it_cannot(dst: str, kind: int | None, family: int, number: int | None) -> None:
    world, client, router, _ = routed()
    if kind is not None:
        assert router.ip.add_route(parse(dst), 32 if family == 2 else 128, kind=kind) == 0
    client.udp(dst)
    world.run(10 * SECOND)
    assert client.errnos(family) == ([number] if number else [])


def test_fragmentation_needed() -> None:
    world, client, _router, server = routed(mtu=1300)
    client.udp("10.0.2.2", b"x" * 1400, df=True)
    world.run(SECOND)
    assert client.errors == [(client.errors[0][0], 3, 4, 1300)]
    client.udp("10.0.2.2", b"y" * 1400)
    world.run(2 * SECOND)
    assert server.received[0][0].data == b"y" * 1400
    client.udp("2001:db8:2::2", b"z" * 1400)
    world.run(3 * SECOND)
    assert client.errors[-1][1:] == (2, 0, 1300)
    assert len(server.received) == 1
