"""Ephemeral ports: what is said to be left is what connect(2) then gets, and each remedy gains what it is said to."""

from __future__ import annotations

import select
import socket as sockets
import time
from contextlib import ExitStack

import pytest
from tests.explain.hand import host, socket

from portside import Network
from portside.addr import ip
from portside.addr.abi import IPPROTO_TCP, IPPROTO_UDP
from portside.explain.ephemeral import Destination, Usage, free_ports
from portside.facts.settings import Settings
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket
from portside.facts.state import CLOSED, TIME_WAIT
from portside.host.snapshot import snapshot

NARROW = Settings(ip_local_port_range=(40000, 40009))
SERVER = "10.9.0.9:443"


def connection(port: int, **more: object) -> Socket:
    """One of this host's own, from 10.9.0.5."""
    return socket(f"10.9.0.5:{port}", to=str(more.pop("to", SERVER)), **more)


def waiting(port: int, seconds_ago: int = 10, **more: object) -> Socket:
    """What is left of one that this host closed first."""
    left = (60 - seconds_ago) * 1_000_000_000
    return connection(port, state=TIME_WAIT, inode=0, timer_left=left, **more)


def only(usage: Usage) -> Destination:
    [way] = usage.destinations
    return way


def gains(way: Destination) -> dict[str, int]:
    return {each.name: each.gain for each in way.remedies}


@pytest.mark.scenario("B7")
def test_the_range_is_that_of_the_host() -> None:
    usage = Usage(host())
    assert usage.range == (32768, 60999)
    assert (len(usage.ports), usage.reserved, usage.held) == (28232, 0, 0)
    reserved = Settings(ip_local_reserved_ports=frozenset({40000, 50000, 80}))
    assert (Usage(host(settings=reserved)).reserved, len(Usage(host(settings=reserved)).ports)) == (2, 28230)
    assert usage.lines[0] == (
        "range 32768-60999: 28232 ports, 0 of them reserved "
        "(usual: 32768-60999 on Linux, 49152-65535 on Windows, 49152-65535 on macOS)"
    )


@pytest.mark.scenario("B8")
def test_what_is_used_and_left_on_each_way() -> None:
    usage = Usage(host(
        connection(40000), connection(40001), waiting(40002), connection(40000, to="10.9.0.8:443"),
        socket("0.0.0.0:40003"), socket("10.9.0.5:40003", to="10.9.0.7:5555"), socket("0.0.0.0:22"),
        settings=NARROW,
    ))  # fmt: skip
    assert [(each.text, each.used, each.time_wait, each.left) for each in usage.destinations] == [
        ("10.9.0.5 to 10.9.0.9:443", 3, 1, 6),
        ("10.9.0.5 to 10.9.0.8:443", 1, 0, 8),
    ]
    assert usage.held == 1  # the listener, and what it accepted: no connection of this host goes out from there
    assert usage.free_to_bind(IPPROTO_TCP) == 6
    assert usage.free_to_bind(IPPROTO_UDP) == 10


@pytest.mark.scenario("B8")
def test_each_remedy_says_how_much_it_gains() -> None:
    taken = [connection(port) for port in range(40000, 40006)]
    old, new = [waiting(port) for port in (40006, 40007)], [waiting(port, 0) for port in (40008, 40009)]
    way = only(Usage(host(*taken, *old, *new, settings=NARROW)))
    assert way.left == 0
    assert gains(way) == {
        "range": 65535 - 1024 + 1 - 10, "tw_reuse": 2, "source": 10, "destination": 10, "server-closes": 4, "pool": 10,
    }  # fmt: skip
    lines = Usage(host(*taken, *old, *new, settings=NARROW)).lines
    assert lines[3] == "10.9.0.5 to 10.9.0.9:443: 10 used, 4 of them in TIME-WAIT; 0 left (100% taken)"
    assert "  would help: net.ipv4.tcp_tw_reuse = 1: 2 in TIME-WAIT could be taken over now" in lines
    assert "  would help: from another address of this host, 192.168.1.5: 10 more" in lines


@pytest.mark.scenario("B8")
def test_time_wait_of_loopback_is_taken_over_as_it_is() -> None:
    def local(port: int) -> Socket:
        return socket(f"127.0.0.1:{port}", to="127.0.0.1:80", state=TIME_WAIT, inode=0, timer_left=50_000_000_000)

    assert only(Usage(host(local(40000), settings=NARROW))).left == 10
    never = Settings(ip_local_port_range=(40000, 40009), tcp_tw_reuse=0)
    way = only(Usage(host(local(40000), settings=never)))
    assert (way.left, gains(way)["source"]) == (9, 10)


def client(count: int, closed: int) -> tuple[int, int]:
    """Makes connections and closes some of them itself; later makes as many as it can. How many that were, and how it
    ended."""
    with ExitStack() as opened:

        def connect() -> sockets.socket:
            return opened.enter_context(sockets.create_connection(("10.0.0.2", 80)))

        for each in [connect() for _ in range(count)][:closed]:
            each.close()
        time.sleep(5)
        more = 0
        while True:
            try:
                connect()
            except OSError as error:
                return more, error.errno or 0
            more += 1


def server() -> None:
    """Accepts, and closes what its client has closed."""
    with ExitStack() as opened:
        listener = opened.enter_context(sockets.create_server(("", 80), backlog=100))
        held = [listener]
        while True:
            for each in select.select(held, [], [])[0]:
                if each is listener:
                    held.append(opened.enter_context(listener.accept()[0]))
                else:
                    each.close()
                    held.remove(each)


@pytest.mark.scenario("B7")
@pytest.mark.scenario("B8")
@pytest.mark.parametrize(
    ("sysctls", "count", "closed"),
    [
        ({}, 10, 0),
        ({}, 10, 6),
        ({"net.ipv4.tcp_tw_reuse": 1}, 10, 6),
        ({"net.ipv4.tcp_tw_reuse": 0}, 10, 6),
        ({"net.ipv4.tcp_tw_reuse": 1, "net.ipv4.tcp_timestamps": 0}, 10, 6),
        ({"net.ipv4.ip_local_reserved_ports": "40003,40004"}, 5, 2),
        ({"net.ipv4.ip_local_port_range": "40000 40020"}, 10, 1),
    ],
)
def test_as_many_connections_as_are_said_to_be_left(sysctls: dict[str, int | str], count: int, closed: int) -> None:
    told: list[Snapshot] = []
    with Network(seed=1, quiet=True) as network:
        here = network.host("here", "10.0.0.1/24")
        network.host("there", "10.0.0.2/24").spawn(server, background=True)
        here.sysctl["net.ipv4.ip_local_port_range"] = "40000 40009"
        here.sysctl.update(sysctls)
        program = here.spawn(client, count, closed, start=1)
        network.at(5.9, lambda: told.append(snapshot(here.machine)))
        network.run()
    more, code = program.result
    assert code == 99
    [way] = [each for each in Usage(told[0]).destinations if each.address == ip.parse("10.0.0.2")]
    assert (way.used, way.left) == (count, more)


# -- free ports --


def first(found: Snapshot, count: int, **more: int) -> list[int]:
    ports = free_ports(found, **more)
    return [next(ports) for _ in range(count)]


def test_free_ports_are_those_that_could_be_bound_on_every_address() -> None:
    found = host(socket("127.0.0.1:10001"), socket("10.9.0.5:10002", state=CLOSED), socket("[::1]:10003"),
                 connection(10004), socket("0.0.0.0:10005/udp"))  # fmt: skip
    assert first(found, 2) == [10005, 10006]
    assert first(found, 3, proto=IPPROTO_UDP) == [10001, 10002, 10003]


def test_reserved_ports_and_those_of_services_are_left_out() -> None:
    settings = Settings(ip_local_reserved_ports=frozenset({8081}), ip_local_port_range=(8082, 8085))
    assert first(host(settings=settings), 3, first=8079, last=8090) == [8079, 8087, 8090]
    assert list(free_ports(host(settings=settings), first=8079, last=8090))[-1] in range(8082, 8086)


@pytest.mark.scenario("B2")
def test_a_user_gets_no_low_port() -> None:
    assert first(host(), 1, first=1000, uid=1000) == [1024]
