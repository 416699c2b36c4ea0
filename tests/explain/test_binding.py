"""Would this bind and listen succeed: on hand-made snapshots, each with its answer in words."""

from __future__ import annotations

from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EINVAL

import pytest
from tests.explain.hand import host, interface, socket

from portside.addr.abi import IPPROTO_TCP
from portside.addr.endpoint import parse
from portside.explain.binding import DEPENDS, FAILS, WORKS, Answer, attempt_of, would_bind
from portside.explain.load import on_port
from portside.explain.place import Caller
from portside.facts.settings import Settings
from portside.facts.snapshot import Namespace, Snapshot
from portside.facts.state import CLOSED, TIME_WAIT

WEB = socket("0.0.0.0:8080", user="www", pid=811, command="nginx")


def ask(snapshot: Snapshot, where: str, uid: int = 0, **options: object) -> Answer:
    endpoint = parse(where).with_port
    assert endpoint is not None
    return would_bind(snapshot, attempt_of(endpoint, snapshot, **options), Caller.user(uid))


@pytest.mark.scenario("E1")
@pytest.mark.parametrize(
    ("snapshot", "where", "options", "call", "code"),
    [
        (host(), "0.0.0.0:8080", {}, "", 0),
        (host(WEB), "0.0.0.0:8080", {}, "bind", EADDRINUSE),
        (host(WEB), "127.0.0.1:8080", {}, "bind", EADDRINUSE),
        (host(WEB), "0.0.0.0:8080/udp", {}, "", 0),
        (host(WEB), "[::]:8080", {}, "bind", EADDRINUSE),
        (host(WEB), "[::]:8080", {"v6only": True}, "", 0),
        (host(WEB), "[::1]:8080", {}, "", 0),
        (host(socket("127.0.0.1:8080")), "127.0.0.2:8080", {}, "", 0),
        (host(socket("127.0.0.1:8080")), "192.168.1.5:8080", {}, "", 0),
        (host(socket("127.0.0.1:8080")), "0.0.0.0:8080", {"reuseaddr": True}, "bind", EADDRINUSE),
        (host(socket("[::]:8080")), "0.0.0.0:8080", {}, "bind", EADDRINUSE),
        (host(socket("[::]:8080", v6only=True)), "0.0.0.0:8080", {}, "", 0),
        (host(socket("0.0.0.0:53/udp")), "0.0.0.0:53/udp", {}, "bind", EADDRINUSE),
        (host(socket("0.0.0.0:53/udp", reuseaddr=True)), "0.0.0.0:53/udp", {"reuseaddr": True}, "", 0),
        # an address that the machine does not have
        (host(), "192.168.1.6:8080", {}, "bind", EADDRNOTAVAIL),
        (host(), "192.168.1.6:8080", {"freebind": True}, "", 0),
        (host(settings=Settings(ip_nonlocal_bind=1)), "192.168.1.6:8080", {}, "", 0),
        (host(), "127.9.9.9:8080", {}, "", 0),
        (host(), "[fd00:1::6]:8080", {}, "bind", EADDRNOTAVAIL),
        (host(), "[fe80::5]:8080", {}, "bind", EINVAL),
        (host(), "[fe80::5%eth0]:8080", {}, "", 0),
        (host(), "[fe80::5%eth1]:8080", {}, "bind", EADDRNOTAVAIL),
        # SO_REUSEPORT, and the user it needs
        (host(socket("0.0.0.0:80", reuseport=True)), "0.0.0.0:80", {"reuseport": True}, "", 0),
        (host(socket("0.0.0.0:80", reuseport=True, user="www")), "0.0.0.0:80", {"reuseport": True}, "bind", EADDRINUSE),
        # what only fails at listen
        (host(socket("0.0.0.0:80", reuseaddr=True, state=CLOSED)), "0.0.0.0:80", {"reuseaddr": True}, "", 0),
    ],
)  # fmt: skip
def test_bind_and_listen(snapshot: Snapshot, where: str, options: dict[str, object], call: str, code: int) -> None:
    answer = ask(snapshot, where, **options)
    assert (answer.call, answer.errno) == (call, code)
    assert answer.outcome == (FAILS if code else WORKS)


@pytest.mark.scenario("E1")
def test_it_says_who_has_the_port_by_which_rule_and_what_would_work() -> None:
    answer = ask(host(WEB), "0.0.0.0:8080")
    assert answer.lines == (
        "TCP 0.0.0.0:8080: bind would fail: [Errno 98] EADDRINUSE: Address already in use",
        "  rule: TCP LISTEN 0.0.0.0:8080 has the port on an overlapping address; both need SO_REUSEADDR with that one "
        "not listening, or both SO_REUSEPORT and the same user "
        "(bind(2) EADDRINUSE; socket(7); inet_csk_bind_conflict())",
        "  in the way: TCP LISTEN 0.0.0.0:8080, nginx (pid 811), user www",
        "  would work: the next free port: 0.0.0.0:8081",
        "  would work: the same, once process 811 (nginx) let go of the port",
    )


def remedies(answer: Answer) -> list[str]:
    return [each.name for each in answer.remedies]


@pytest.mark.scenario("E1")
@pytest.mark.parametrize(
    ("snapshot", "where", "names"),
    [
        (host(WEB), "127.0.0.1:8080", ["port", "stop"]),
        (host(socket("127.0.0.1:8080", pid=9)), "127.0.0.1:8080", ["address", "port", "stop"]),
        (host(WEB), "[::]:8080", ["v6only", "address", "port", "stop"]),
        (host(socket("0.0.0.0:80", reuseport=True, pid=9)), "0.0.0.0:80", ["reuseport", "port", "stop"]),
        (host(socket("0.0.0.0:8080", reuseport=True, user="ann", pid=9)), "0.0.0.0:8080", ["user", "port", "stop"]),
        (host(socket("192.168.1.5:80", to="10.9.0.9:7777", state=TIME_WAIT, reuseaddr=True, inode=0)), "0.0.0.0:80",
         ["reuseaddr", "address", "port"]),
    ],
)  # fmt: skip
def test_the_nearest_thing_that_would_work(snapshot: Snapshot, where: str, names: list[str]) -> None:
    assert remedies(ask(snapshot, where)) == names


@pytest.mark.scenario("B2")
def test_a_user_without_the_capability_gets_no_low_port() -> None:
    answer = ask(host(), "0.0.0.0:80", uid=1000)
    assert (answer.call, answer.errno) == ("bind", EACCES)
    assert remedies(answer) == ["user", "sysctl", "port"]
    assert answer.remedies[-1].sentence == "the next free port: 0.0.0.0:8080"
    assert ask(host(settings=Settings(ip_unprivileged_port_start=80)), "0.0.0.0:80", uid=1000)
    assert would_bind(host(), answer.attempt, Caller(1000, 1 << 10))


@pytest.mark.scenario("E1")
def test_a_bind_that_works_proves_nothing_while_another_is_bound_there() -> None:
    other = socket("0.0.0.0:80", reuseaddr=True, state=CLOSED, pid=9, command="slow")
    answer = ask(host(other), "0.0.0.0:80", reuseaddr=True)
    assert answer
    assert answer.lines == (
        "TCP 0.0.0.0:80: bind and listen would work.",
        "  but bind alone proves nothing: if TCP 0.0.0.0:80 (slow (pid 9)) listens in between, listen fails with "
        "EADDRINUSE",
    )
    shared = socket("0.0.0.0:80", reuseport=True, state=CLOSED)
    assert ask(host(shared), "0.0.0.0:80", reuseport=True).rivals == ()


@pytest.mark.scenario("E1")
def test_what_could_not_be_read_is_what_it_depends_on() -> None:
    left = socket("192.168.1.5:80", to="10.9.0.9:7777", state=TIME_WAIT, inode=0, reuseaddr=None, reuseport=None)
    assert ask(host(left), "0.0.0.0:80").outcome == FAILS  # without the option it fails whatever the old one had
    answer = ask(host(left), "0.0.0.0:80", reuseaddr=True)
    assert answer.outcome == DEPENDS
    assert not answer
    assert answer.depends_on == (
        "whether TCP TIME-WAIT 192.168.1.5:80 to 10.9.0.9:7777 has SO_REUSEADDR set, which could not be read",
    )


def test_a_listener_whose_options_are_unknown_is_no_uncertainty_where_they_do_not_matter() -> None:
    unknown = socket("0.0.0.0:80", reuseaddr=None, reuseport=None)
    assert ask(host(unknown), "0.0.0.0:80", reuseaddr=True).outcome == FAILS
    assert ask(host(unknown), "0.0.0.0:80", reuseport=True).outcome == DEPENDS
    assert ask(host(unknown), "[::1]:80").outcome == WORKS


@pytest.mark.scenario("A4")
def test_an_address_of_another_namespace_is_named() -> None:
    inner = host(interfaces=(interface(2, "eth0", "192.168.1.77/24"),), namespace=Namespace(inode=7, name="shop"))
    answer = ask(host(others=(inner,)), "192.168.1.77:80")
    assert answer.rule is not None
    assert answer.rule.name == "address-not-local"
    assert remedies(answer) == ["namespace", "address", "wildcard", "freebind"]
    assert answer.remedies[0].sentence == "the same within the network namespace shop, whose address it is"
    assert answer.remedies[1].sentence == "an address that the machine has: 192.168.1.5:80"


def test_port_0_is_left_to_the_system() -> None:
    assert ask(host(), "0.0.0.0:0")
    settings = Settings(ip_local_port_range=(40000, 40001))
    full = host(socket("0.0.0.0:40000"), socket("0.0.0.0:40001"), settings=settings)
    answer = ask(full, "0.0.0.0:0")
    assert (answer.call, answer.errno) == ("bind", EADDRINUSE)
    assert remedies(answer) == ["port-range"]


def test_json_holds_the_same() -> None:
    answer = ask(host(WEB), "0.0.0.0:8080").json()
    assert answer["outcome"] == "fails"
    assert answer["errno"] == "EADDRINUSE"
    assert answer["rule"] == "in-use"
    assert answer["in_way"] == [
        {"socket": "TCP LISTEN 0.0.0.0:8080", "user": "www", "inode": 5811,
         "owners": [{"pid": 811, "fd": 3, "command": "nginx"}]}
    ]  # fmt: skip


@pytest.mark.scenario("B3")
def test_a_crowded_port_is_asked_about_as_fast_as_another() -> None:
    crowd = [socket("192.168.1.5:80", to=f"10.9.{i >> 8}.{i & 255}:4000", reuseaddr=None) for i in range(5000)]
    found = host(WEB, socket("0.0.0.0:80", reuseaddr=True), *crowd)
    assert len(on_port(found, IPPROTO_TCP, 80)) == 2
    answer = ask(found, "0.0.0.0:80", reuseaddr=True)
    assert (answer.outcome, len(answer.in_way)) == (FAILS, 2)
