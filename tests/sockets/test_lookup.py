"""Which socket gets a packet, and what is said of the others."""

from __future__ import annotations

import pytest
from tests.sockets.machine import Machine

from portside.addr.ip import parse
from portside.sockets import lookup
from portside.sockets.explain import explain


def bound(machine: Machine, kind: str, where: str, device: int = 0, **options: object):
    entry = machine.socket(kind, 6 if "[" in where else 4, **options)
    if device:
        machine.table(entry).set_device(entry, device)
    assert machine.bind(entry, where) == 0
    if kind == "tcp":
        assert machine.listen(entry) == 0
    return entry


def test_connection_before_listener() -> None:
    machine = Machine()
    listener = machine.server("0.0.0.0:80")
    child = machine.accept(listener, "127.0.0.1:80", "127.0.0.1:4000")
    assert machine.arrives("tcp", "127.0.0.1:80", "127.0.0.1:4000") is child
    assert machine.arrives("tcp", "127.0.0.1:80", "127.0.0.1:4001") is listener


@pytest.mark.scenario("A3")
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_exact_address_before_wildcard(kind: str) -> None:
    machine = Machine()
    wild = bound(machine, kind, "0.0.0.0:80", reuseport=True)
    exact = bound(machine, kind, "127.0.0.1:80", reuseport=True)
    assert machine.arrives(kind, "127.0.0.1:80") is exact
    assert machine.arrives(kind, "127.0.0.2:80") is wild


@pytest.mark.scenario("A4")
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_wildcard_answers_on_every_address_without_a_row_for_each(kind: str) -> None:
    machine = Machine()
    wild = bound(machine, kind, "0.0.0.0:80")
    for address in ("127.0.0.0", "127.0.0.1", "127.1.2.3", "127.255.255.254", "10.0.0.1"):
        assert machine.arrives(kind, f"{address}:80") is wild
    assert machine.table(wild).receivers == {(0, 80): [wild]}


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_device_and_family_rank(kind: str) -> None:
    machine = Machine()
    on_lo = bound(machine, kind, "0.0.0.0:80", device=1)
    on_eth = bound(machine, kind, "0.0.0.0:80", device=2)
    assert machine.arrives(kind, "127.0.0.1:80") is on_lo
    assert machine.arrives(kind, "10.0.0.1:80") is on_eth
    machine = Machine()
    four = bound(machine, kind, "0.0.0.0:80", device=2)
    six = bound(machine, kind, "[::]:80", device=1)
    assert machine.arrives(kind, "127.0.0.1:80") is six
    assert machine.arrives(kind, "10.0.0.1:80") is four


def test_udp_ties_go_to_the_newest() -> None:
    machine = Machine()
    entries = [bound(machine, "udp", "0.0.0.0:80", reuseaddr=True) for _ in range(3)]
    assert machine.arrives("udp", "127.0.0.1:80") is entries[2]
    machine.udp.remove(entries[2])
    assert machine.arrives("udp", "127.0.0.1:80") is entries[1]
    six = bound(machine, "udp", "[::]:80", reuseaddr=True)
    assert machine.arrives("udp", "127.0.0.1:80") is entries[1], "AF_INET ranks higher for IPv4"
    assert machine.arrives("udp", "[::1]:80", "[::1]:9") is six


@pytest.mark.scenario("A2")
@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("where", ["0.0.0.0:80", "127.0.0.1:80", "[::]:80"])
def test_group_shares_and_the_rest_take_over(kind: str, where: str) -> None:
    machine = Machine()
    entries = [bound(machine, kind, where, reuseport=True) for _ in range(3)]
    peers = [f"127.0.0.1:{port}" for port in range(1000, 4000)]

    def got() -> list[int]:
        winners = [machine.arrives(kind, "127.0.0.1:80", peer) for peer in peers]
        return [winners.count(entry) for entry in entries]

    assert all(800 < count < 1200 for count in got())
    machine.table(entries[0]).remove(entries[0])
    assert got()[0] == 0
    assert all(1300 < count < 1700 for count in got()[1:])
    machine.table(entries[1]).remove(entries[1])
    assert got() == [0, 0, 3000]


@pytest.mark.scenario("A2")
def test_group_choice_is_the_same_for_the_same_peer() -> None:
    def winners() -> list[int]:
        machine = Machine()
        entries = [bound(machine, "tcp", "0.0.0.0:80", reuseport=True) for _ in range(3)]
        return [
            entries.index(machine.arrives("tcp", "127.0.0.1:80", f"127.0.0.1:{port}")) for port in range(1000, 1100)
        ]

    assert winners() == winners()


def test_groups_are_of_one_user() -> None:
    machine = Machine()
    one = bound(machine, "tcp", "127.0.0.1:80", reuseport=True, uid=1)
    other = bound(machine, "tcp", "0.0.0.0:80", reuseport=True, uid=1)
    assert one.group is not other.group
    assert one.group.members == [one]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_groups_are_of_one_device_and_one_v6only(kind: str) -> None:
    machine = Machine()
    on_lo, on_eth = (bound(machine, kind, "0.0.0.0:80", device=device, reuseport=True) for device in (1, 2))
    both, only = (bound(machine, kind, "[::]:81", reuseport=True, v6only=only) for only in (False, True))
    groups = {entry.group for entry in (on_lo, on_eth, both, only)}
    assert len(groups) == 4
    assert machine.arrives(kind, "127.0.0.1:80") is on_lo
    assert machine.arrives(kind, "127.0.0.1:81") is both


def test_group_beats_a_device() -> None:
    """The first SO_REUSEPORT listener met hands over to its group: a device does not rank above it."""
    machine = Machine()
    on_lo = bound(machine, "tcp", "0.0.0.0:80", device=1, reuseport=True)
    newer = bound(machine, "tcp", "0.0.0.0:80", reuseport=True)
    assert machine.arrives("tcp", "127.0.0.1:80") is newer
    machine.tcp.remove(newer)
    assert machine.arrives("tcp", "127.0.0.1:80") is on_lo


def test_broadcast_goes_to_all_who_want_it() -> None:
    machine = Machine()
    everyone = [bound(machine, "udp", "0.0.0.0:80", reuseaddr=True) for _ in range(2)]
    here = bound(machine, "udp", "127.255.255.255:80", reuseaddr=True)
    six = bound(machine, "udp", "[::]:80", reuseaddr=True)
    bound(machine, "udp", "127.0.0.1:80", reuseaddr=True)
    bound(machine, "udp", "0.0.0.0:80", device=2, reuseaddr=True)
    connected = bound(machine, "udp", "0.0.0.0:80", reuseaddr=True)
    machine.connect(connected, "127.0.0.1:9")
    src, dst = parse("127.0.0.1"), parse("127.255.255.255")
    assert lookup.udp_multicast(machine.udp, src, 5, dst, 80, 1) == [six, here, *reversed(everyone)]
    assert lookup.udp_multicast(machine.udp, src, 5, dst, 81, 1) == []


WHY = [
    # holders                                            packet to           winner, rule             the losers' rules
    (["tcp 0.0.0.0:80"], "127.0.0.1:80", 0, "wildcard", []),
    (["tcp 127.0.0.1:80", "tcp 127.0.0.2:80"], "127.0.0.2:80", 1, "exact-address", ["other-address"]),
    (["tcp 127.0.0.1:80"], "10.0.0.1:80", None, "nobody", ["other-address"]),
    (["tcp [::]:80 v6only", "tcp 0.0.0.0:80"], "127.0.0.1:80", 1, "wildcard", ["v6only"]),
    (["tcp [::]:80 v6only"], "127.0.0.1:80", None, "nobody", ["v6only"]),
    (["tcp 0.0.0.0:80"], "[::1]:80", None, "nobody", ["v4-socket"]),
    (["tcp 0.0.0.0:80 device"], "127.0.0.1:80", None, "nobody", ["other-device"]),
    (["tcp 0.0.0.0:80 bound"], "127.0.0.1:80", None, "nobody", ["not-listening"]),
    (["tcp 0.0.0.0:80 share", "tcp 0.0.0.0:80 share"], "127.0.0.1:80", "any", "reuseport-group", ["other-member"]),
    (["udp 0.0.0.0:80 reuse", "udp 127.0.0.1:80 reuse"], "127.0.0.1:80", 1, "exact-address", ["less-specific"]),
    (["udp 127.0.0.1:80 connect"], "127.0.0.1:80", None, "nobody", ["other-peer"]),
]


@pytest.mark.parametrize(("holders", "to", "winner", "rule", "losers"), WHY)
def test_explanations(holders: list[str], to: str, winner: object, rule: str, losers: list[str]) -> None:
    machine = Machine()
    entries = []
    for text in holders:
        kind, where, *words = text.split()
        entry = machine.socket(kind, 6 if "[" in where else 4, reuseaddr="reuse" in words, reuseport="share" in words)
        entry.v6only = "v6only" in words
        if "device" in words:
            machine.table(entry).set_device(entry, 2)
        assert machine.bind(entry, where) == 0
        if kind == "tcp" and "bound" not in words:
            assert machine.listen(entry) == 0
        if "connect" in words:
            machine.connect(entry, "127.0.0.1:9")
        entries.append(entry)
    address, port = to.rsplit(":", 1)
    source = "::1" if "[" in to else "127.0.0.1"
    device = machine.world.device_of(parse(address.strip("[]")))
    told = explain(machine.table(entries[0]), parse(source), 4000, parse(address.strip("[]")), int(port), device)
    assert told.rule.name == rule
    assert [loser_rule.name for _, loser_rule in told.losers] == losers
    assert told.winner is (None if winner is None else machine.arrives(kind, to, f"[{source}]:4000"))
    if isinstance(winner, int):
        assert told.winner is entries[winner]
        assert str(entries[winner]) in told.sentence
