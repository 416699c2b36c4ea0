"""What portside says of a bind, and what the kernel then does: in a network namespace of its own."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest
from tests.live.apart import apart, ip, lacking

from portside.addr.endpoint import parse
from portside.cli.bind import WANT
from portside.explain.binding import DEPENDS, FAILS, WORKS, Answer, attempt_of, would_bind
from portside.live import machine

pytestmark = pytest.mark.linux

Bound = tuple[str, tuple[str, ...], str]


@pytest.fixture(autouse=True)
def namespaces() -> None:
    if missing := lacking("ip"):
        pytest.skip(missing)


def foretold(where: str, **options: object) -> Answer:
    endpoint = parse(where).with_port
    assert endpoint is not None
    snapshot = machine.read(want=WANT, namespaces=False)
    return would_bind(snapshot, attempt_of(endpoint, snapshot, **options))


def bound(where: tuple[str, int], *, reuseaddr: bool = False, reuseport: bool = False) -> str:
    """What the kernel answers: the name of an errno, or nothing."""
    with socket.socket(socket.AF_INET6 if ":" in where[0] else socket.AF_INET) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuseaddr)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuseport)
        try:
            one.bind(where)
            one.listen()
        except OSError as error:
            return errno.errorcode[error.errno or 0]
    return ""


def with_lo(what: Callable[[], Any]) -> Any:
    def inside() -> Any:
        ip("link set lo up")
        return what()

    return apart(inside)


@pytest.mark.scenario("E1")
@pytest.mark.parametrize("had", [True, False])
def test_a_server_is_restarted(had: bool) -> None:
    def restart() -> tuple[Any, ...]:
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, had)
            server.bind(("127.0.0.1", 8080))
            server.listen()
            with socket.create_connection(("127.0.0.1", 8080)) as client:
                server.accept()[0].close()
                client.recv(1)
        plain, shared = foretold("127.0.0.1:8080"), foretold("127.0.0.1:8080", reuseaddr=True)
        told = [(each.outcome, {one.name: one.sentence for one in each.remedies}) for each in (plain, shared)]
        where = ("127.0.0.1", 8080)
        return told, bound(where), bound(where, reuseaddr=True)

    [(first, offered), (second, later)], plain, shared = with_lo(restart)
    assert (first, second, plain) == (FAILS, DEPENDS, "EADDRINUSE")
    assert shared == ("" if had else "EADDRINUSE")
    assert offered["reuseaddr"] == (
        "the same with SO_REUSEADDR, if who left the connections in TIME-WAIT had it set too: most servers do"
    )
    *words, seconds, unit = offered["wait"].split()
    assert (" ".join(words), unit) == ("the same, once TIME-WAIT is over: wait", "s")
    assert 50 <= int(seconds) <= 60
    assert "wait" in later
    assert "reuseaddr" not in later


@pytest.mark.scenario("E1")
@pytest.mark.parametrize(
    ("host", "v6only", "reuseport", "where"),
    [("::", True, False, ("0.0.0.0", 81)), ("0.0.0.0", False, True, ("0.0.0.0", 81))],
)
def test_a_connection_in_a_queue_has_the_options_of_its_listener(
    host: str, v6only: bool, reuseport: bool, where: tuple[str, int]
) -> None:
    def queue() -> tuple[str, str]:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
            if v6only:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuseport)
            server.bind((host, 81))
            server.listen()
            socket.create_connection(("::1" if v6only else "127.0.0.1", 81)).close()
            with socket.create_connection(("::1" if v6only else "127.0.0.1", 81)):
                return foretold(f"{where[0]}:81", reuseport=reuseport).outcome, bound(where, reuseport=reuseport)

    assert with_lo(queue) == (WORKS, "")


@pytest.mark.scenario("E1")
def test_a_connection_that_nobody_accepted_waits_in_a_queue() -> None:
    def queue() -> list[str]:
        with socket.create_server(("127.0.0.1", 82)):
            socket.create_connection(("127.0.0.1", 82)).close()
            return [each.who for each in foretold("127.0.0.1:82").in_way if each.socket.rport]

    said = "no process yet: it waits in the accept queue of TCP LISTEN 127.0.0.1:82"
    assert with_lo(queue) == [said]


@pytest.mark.scenario("E1")
@pytest.mark.parametrize("raised", [False, True])
@pytest.mark.parametrize(
    "where", [("127.0.0.1", 80), ("9.9.9.9", 99), ("0.1.2.3", 80), ("::ffff:9.9.9.9", 80), ("::1", 9)]
)
def test_before_the_first_address_every_one_of_ipv4_may_be_bound(where: tuple[str, int], raised: bool) -> None:
    """The kernel has no table `local` yet, and takes each for a broadcast address."""

    def fresh() -> tuple[str, str]:
        if raised:
            ip("link set lo up")
        host = f"[{where[0]}]" if ":" in where[0] else where[0]
        answer = foretold(f"{host}:{where[1]}")
        return (errno.errorcode[answer.errno] if answer.errno else ""), bound(where)

    told, done = apart(fresh)
    assert told == done
