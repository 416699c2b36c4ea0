"""bind(2) and listen(2): who may share a port with whom, and what is asked first."""

from __future__ import annotations

import pytest
from tests.sockets.machine import Machine, endpoint

from portside.facts.state import CLOSED, LISTEN
from portside.sockets import bind, connect

BUSY = "EADDRINUSE"

TWO = [
    # first holder            second               same user  answers: plain, reuseaddr both, reuseport both
    ("tcp 4 0.0.0.0", "tcp 4 0.0.0.0", BUSY, 0, 0),
    ("tcp 4 127.0.0.1", "tcp 4 127.0.0.1", BUSY, 0, 0),
    ("tcp 4 127.0.0.1", "tcp 4 127.0.0.2", 0, 0, 0),
    ("tcp 4 0.0.0.0", "tcp 4 127.0.0.1", BUSY, 0, 0),
    ("tcp 4 127.0.0.1", "tcp 4 0.0.0.0", BUSY, 0, 0),
    ("tcp 4 0.0.0.0", "tcp 6 ::", BUSY, 0, 0),
    ("tcp 6 ::", "tcp 4 0.0.0.0", BUSY, 0, 0),
    ("tcp 6 ::", "tcp 4 127.0.0.1", BUSY, 0, 0),
    ("tcp 6 :: v6only", "tcp 4 0.0.0.0", 0, 0, 0),
    ("tcp 4 0.0.0.0", "tcp 6 :: v6only", 0, 0, 0),
    ("tcp 6 ::1", "tcp 4 0.0.0.0", 0, 0, 0),
    ("tcp 6 ::1", "tcp 6 ::", BUSY, 0, 0),
    ("tcp 6 ::1", "tcp 6 fd00::1", 0, 0, 0),
    ("tcp 6 ::ffff:127.0.0.1", "tcp 4 127.0.0.1", BUSY, 0, 0),
    ("tcp 6 ::ffff:127.0.0.1", "tcp 4 127.0.0.2", 0, 0, 0),
    ("tcp 6 ::ffff:0.0.0.0", "tcp 6 :: v6only", 0, 0, 0),
    ("tcp 6 ::ffff:0.0.0.0", "tcp 6 ::", BUSY, 0, 0),
    ("tcp 4 0.0.0.0", "udp 4 0.0.0.0", 0, 0, 0),
    ("udp 4 0.0.0.0", "udp 4 127.0.0.1", BUSY, 0, 0),
    ("udp 6 ::", "udp 4 127.0.0.1", BUSY, 0, 0),
    ("udp 6 :: v6only", "udp 4 127.0.0.1", 0, 0, 0),
    ("udp 6 ::1", "udp 6 ::", BUSY, 0, 0),
]


def make(machine: Machine, text: str, **options: object):
    kind, family, address, *only = text.split()
    entry = machine.socket(kind, int(family), **options)
    entry.v6only = entry.v6only or bool(only)
    return entry, f"[{address}]:8080" if family == "6" else f"{address}:8080"


@pytest.mark.scenario("A6")
@pytest.mark.parametrize(("first", "second", "plain", "reuseaddr", "reuseport"), TWO)
def test_two_on_a_port(first: str, second: str, plain: int | str, reuseaddr: int | str, reuseport: int | str) -> None:
    for options, expected in (({}, plain), ({"reuseaddr": True}, reuseaddr), ({"reuseport": True}, reuseport)):
        machine = Machine()
        one, where_one = make(machine, first, **options)
        two, where_two = make(machine, second, **options)
        assert machine.bind(one, where_one) == 0
        foreseen = bind.decide(machine.table(two), two, *endpoint(where_two), machine.world)
        assert machine.bind(two, where_two) == expected
        assert foreseen.errno == machine.verdict.errno
        if expected:
            assert machine.verdict.because == foreseen.because == (one,)
            assert str(one) in machine.verdict.sentence
            assert "bind(2)" in machine.verdict.rule.source
            assert (two.lport, two.laddr) == (0, two.wildcard)


@pytest.mark.scenario("A1")
def test_tcp_and_udp_do_not_meet() -> None:
    machine = Machine()
    machine.server("0.0.0.0:8080")
    assert machine.bind(machine.socket("udp"), "0.0.0.0:8080") == 0


@pytest.mark.scenario("A2")
@pytest.mark.parametrize(("first_uid", "second_uid", "expected"), [(0, 0, 0), (1000, 1000, 0), (0, 1000, BUSY)])
def test_reuseport_wants_the_same_user(first_uid: int, second_uid: int, expected: int | str) -> None:
    machine = Machine()
    machine.server("0.0.0.0:8080", reuseport=True, uid=first_uid)
    second = machine.socket(reuseport=True, uid=second_uid)
    assert machine.bind(second, "0.0.0.0:8080") == expected


@pytest.mark.scenario("A2")
@pytest.mark.parametrize("options", [({"reuseport": True}, {}), ({}, {"reuseport": True}), ({}, {})])
def test_reuseport_is_needed_on_both(options: tuple) -> None:
    machine = Machine()
    machine.server("0.0.0.0:8080", **options[0])
    assert machine.bind(machine.socket(**options[1]), "0.0.0.0:8080") == BUSY


@pytest.mark.scenario("A3")
@pytest.mark.scenario("C8")
def test_one_port_on_two_addresses() -> None:
    machine = Machine()
    one, two = machine.server("127.0.0.1:8080"), machine.server("127.0.0.2:8080")
    assert machine.arrives("tcp", "127.0.0.1:8080") is one
    assert machine.arrives("tcp", "127.0.0.2:8080") is two
    assert machine.arrives("tcp", "127.0.0.3:8080") is None


@pytest.mark.scenario("A4")
@pytest.mark.parametrize(
    ("family", "where", "options", "expected"),
    [
        (4, "192.0.2.1:80", {}, "EADDRNOTAVAIL"),
        (4, "192.0.2.1:80", {"freebind": True}, 0),
        (4, "192.0.2.1:80", {"transparent": True}, 0),
        (4, "127.255.255.254:80", {}, 0),
        (4, "127.255.255.255:80", {}, 0),
        (4, "10.0.0.255:80", {}, 0),
        (4, "255.255.255.255:80", {}, 0),
        (4, "224.0.0.1:80", {}, 0),
        (6, "[2001:db8::1]:80", {}, "EADDRNOTAVAIL"),
        (6, "[2001:db8::1]:80", {"freebind": True}, 0),
        (6, "[::ffff:192.0.2.1]:80", {}, "EADDRNOTAVAIL"),
        (6, "[ff02::1]:80", {}, "EINVAL"),
        (6, "[fe80::1]:80", {}, "EINVAL"),
        (6, "[::ffff:127.0.0.1]:80", {"v6only": True}, "EINVAL"),
    ],
)
def test_which_addresses(family: int, where: str, options: dict, expected: int | str) -> None:
    machine = Machine()
    assert machine.bind(machine.socket("tcp", family, **options), where) == expected


@pytest.mark.scenario("A4")
def test_nonlocal_bind_sysctls() -> None:
    machine = Machine(ip_nonlocal_bind=1, ip6_nonlocal_bind=1)
    assert machine.bind(machine.socket(), "192.0.2.1:80") == 0
    assert machine.bind(machine.socket("tcp", 6), "[2001:db8::1]:80") == 0


def test_link_local_takes_its_scope_for_the_device() -> None:
    machine = Machine()
    entry = machine.socket("tcp", 6)
    assert machine.bind(entry, "[fe80::1]:80", 1) == "EADDRNOTAVAIL"
    assert entry.device == 1
    assert machine.bind(entry, "[fe80::1]:80", 9) == "ENODEV"
    assert machine.bind(entry, "[fe80::1]:80", 2) == 0
    assert (entry.device, entry.v6only) == (2, True)


@pytest.mark.scenario("A7")
@pytest.mark.scenario("C8")
def test_v6only_beside_ipv4() -> None:
    machine = Machine()
    six = machine.server("[::]:8080", v6only=True)
    four = machine.server("0.0.0.0:8080")
    assert machine.arrives("tcp", "127.0.0.1:8080") is four
    assert machine.arrives("tcp", "[::1]:8080", "[::1]:9") is six


@pytest.mark.scenario("A5")
@pytest.mark.scenario("C8")
def test_dual_stack_takes_both() -> None:
    machine = Machine()
    both = machine.server("[::]:8080")
    assert machine.arrives("tcp", "127.0.0.1:8080") is both
    assert machine.arrives("tcp", "[::1]:8080", "[::1]:9") is both


@pytest.mark.scenario("A5")
def test_ipv4_does_not_take_ipv6() -> None:
    machine = Machine()
    machine.server("0.0.0.0:8080")
    assert machine.arrives("tcp", "[::1]:8080", "[::1]:9") is None


@pytest.mark.scenario("C6")
@pytest.mark.parametrize(
    ("sysctl", "option", "expected"), [(0, None, BUSY), (1, None, 0), (1, False, BUSY), (0, True, 0)]
)
def test_bindv6only_and_the_option_that_beats_it(sysctl: int, option: bool | None, expected: int | str) -> None:
    machine = Machine(bindv6only=sysctl)
    six = machine.socket("tcp", 6)
    if option is not None:
        six.v6only = option
    assert machine.bind(six, "[::]:8080") == 0
    assert machine.bind(machine.socket(), "0.0.0.0:8080") == expected


@pytest.mark.scenario("B2")
@pytest.mark.parametrize(
    ("start", "root", "family", "where", "expected"),
    [
        (1024, False, 4, "0.0.0.0:1023", "EACCES"),
        (1024, False, 4, "0.0.0.0:1024", 0),
        (1024, True, 4, "0.0.0.0:1", 0),
        (0, False, 4, "0.0.0.0:1", 0),
        (80, False, 6, "[::]:79", "EACCES"),
        (80, False, 6, "[::]:80", 0),
        (1024, False, 4, "192.0.2.1:80", "EADDRNOTAVAIL"),  # IPv4 asks for the address first
        (1024, False, 6, "[2001:db8::1]:80", "EACCES"),  # IPv6 for the port
        (1024, False, 4, "0.0.0.0:0", 0),
    ],
)
def test_privileged_ports(start: int, root: bool, family: int, where: str, expected: int | str) -> None:
    machine = Machine(ip_unprivileged_port_start=start)
    machine.world.root = root
    assert machine.bind(machine.socket("tcp", family), where) == expected


def test_second_bind() -> None:
    machine = Machine()
    entry = machine.socket()
    assert machine.bind(entry, "127.0.0.1:8080") == 0
    assert machine.bind(entry, "127.0.0.1:8081") == "EINVAL"
    assert machine.verdict.rule.name == "already-bound"


def test_bind_after_refusal() -> None:
    machine = Machine()
    machine.server("[::]:8080")
    entry = machine.socket("tcp", 6)
    assert machine.bind(entry, "[::1]:8080") == BUSY
    assert not entry.v6only
    assert machine.bind(entry, "[::1]:8081") == 0
    assert entry.v6only


def test_listen_asks_again() -> None:
    machine = Machine()
    one, two = machine.socket(reuseaddr=True), machine.socket(reuseaddr=True)
    assert machine.bind(one, "0.0.0.0:8080") == machine.bind(two, "0.0.0.0:8080") == 0
    assert machine.listen(one) == 0
    assert bind.decide_listen(machine.tcp, two).errno
    assert machine.listen(two) == BUSY
    assert (one.state, two.state) == (LISTEN, CLOSED)
    assert machine.verdict.rule.name == "listen-in-use"
    assert "TCP LISTEN 0.0.0.0:8080" in machine.verdict.sentence
    connect.disconnect(machine.tcp, one)
    assert machine.listen(two) == 0


def test_second_listen() -> None:
    machine = Machine()
    entry = machine.server("0.0.0.0:8080")
    assert machine.listen(entry) == 0
    assert machine.tcp.receivers == {(0, 8080): [entry]}


@pytest.mark.scenario("B10")
def test_port_zero() -> None:
    machine = Machine()
    one, two = machine.socket(), machine.socket()
    assert machine.bind(one, "0.0.0.0:0") == machine.bind(two, "0.0.0.0:0") == 0
    assert one.name[1] != two.name[1]
    assert {one.name[1], two.name[1]} < set(range(32769, 61000, 2))


@pytest.mark.scenario("B5")
@pytest.mark.parametrize(("server", "again", "expected"), [(True, True, 0), (True, False, BUSY), (False, True, BUSY)])
def test_time_wait_in_the_way(server: bool, again: bool, expected: int | str) -> None:
    machine = Machine()
    listener = machine.server("0.0.0.0:8080", reuseaddr=server)
    waiting = connect.time_wait(machine.tcp, machine.accept(listener, "127.0.0.1:8080", "127.0.0.1:40000"))
    machine.tcp.remove(listener)
    second = machine.socket(reuseaddr=again)
    assert machine.bind(second, "0.0.0.0:8080") == expected
    if expected:
        assert machine.verdict.because == (waiting,)
        assert "TIME-WAIT" in machine.verdict.sentence
        machine.tcp.remove(waiting)
        assert machine.bind(second, "0.0.0.0:8080") == 0


@pytest.mark.scenario("B5")
def test_reuseport_passes_a_time_wait_of_another_user() -> None:
    machine = Machine()
    listener = machine.server("0.0.0.0:8080", reuseport=True, uid=1000)
    waiting = connect.time_wait(machine.tcp, machine.accept(listener, "127.0.0.1:8080", "127.0.0.1:40000"))
    machine.tcp.remove(listener)
    assert machine.bind(machine.socket(reuseport=True, uid=0), "0.0.0.0:8080") == 0
    machine.tcp.remove(waiting)


def test_connections_keep_the_port() -> None:
    machine = Machine()
    listener = machine.server("0.0.0.0:8080")
    child = machine.accept(listener, "127.0.0.1:8080", "127.0.0.1:40000")
    machine.tcp.remove(listener)
    assert machine.bind(machine.socket(), "127.0.0.2:8080") == 0
    assert machine.bind(machine.socket(), "127.0.0.1:8080") == BUSY
    assert machine.verdict.because == (child,)


def test_devices_apart_share_a_port() -> None:
    machine = Machine()
    one, two, three = machine.socket(), machine.socket(), machine.socket()
    machine.tcp.set_device(one, 1)
    machine.tcp.set_device(two, 2)
    assert machine.bind(one, "0.0.0.0:8080") == machine.bind(two, "0.0.0.0:8080") == 0
    assert machine.bind(three, "0.0.0.0:8080") == BUSY


def test_every_kind_in_the_way_is_told() -> None:
    machine = Machine()
    one, two = machine.server("127.0.0.1:8080"), machine.server("[::1]:8080")
    asking = machine.socket("tcp", 6)
    assert set(bind.decide(machine.tcp, asking, 0, 8080, machine.world).because) == {one, two}
    assert asking.lport == 0


def test_a_socket_seen_from_ipv4() -> None:
    """A connected AF_INET6 socket is in the way of 0.0.0.0: it is not v6-only, and to IPv4 it looks like 127.0.0.6."""
    machine = Machine()
    machine.server("[::1]:9")
    entry = machine.socket("tcp", 6)
    assert machine.bind(entry, "[::]:8080") == machine.connect(entry, "[::1]:9") == 0
    assert machine.bind(machine.socket(), "127.0.0.6:8080") == 0
    assert machine.bind(machine.socket(), "0.0.0.0:8080") == BUSY


def test_a_datagram_socket_seen_from_ipv4() -> None:
    machine = Machine()
    entry = machine.socket("udp", 6)
    assert machine.bind(entry, "[::]:8080") == machine.connect(entry, "[::1]:9") == 0
    assert machine.bind(machine.socket("udp"), "127.0.0.7:8080") == 0
    assert machine.bind(machine.socket("udp"), "127.0.0.6:8080") == BUSY


@pytest.mark.parametrize(("others", "expected"), [(10, 0), (11, BUSY)])
def test_udp_on_a_crowded_port(others: int, expected: int | str) -> None:
    """Up to ten holders the newest that overlaps is heard; with more, one on the address and one on the wildcard."""
    machine = Machine()
    for number in range(others - 1):
        holder = machine.socket("udp", reuseaddr=True)
        assert machine.bind(holder, f"127.0.0.{number + 1}:5000") == 0
    assert machine.bind(machine.socket("udp", reuseaddr=True, reuseport=True), "0.0.0.0:5000") == 0
    assert machine.bind(machine.socket("udp", reuseport=True), "127.0.0.1:5000") == expected


def test_a_port_remembers_the_socket_that_shared() -> None:
    """Clearing SO_REUSEPORT afterwards does not matter to those whom the first one would have let in."""
    machine = Machine()
    first = machine.socket(reuseport=True)
    assert machine.bind(first, "127.0.0.1:8080") == 0
    first.reuseport = False
    machine.tcp.option_changed(first)
    assert machine.bind(machine.socket(reuseport=True), "0.0.0.0:8080") == BUSY
    assert machine.bind(machine.socket(reuseport=True, uid=5), "127.0.0.1:8080") == BUSY
    assert machine.bind(machine.socket(reuseport=True), "127.0.0.1:8080") == 0


def test_a_port_left_to_connections_forgets_who_shared() -> None:
    machine = Machine(ip_local_port_range=(40000, 40000))
    client = machine.socket(reuseport=True)
    assert machine.connect(client, "127.0.0.1:80") == 0
    sharer = machine.socket(reuseport=True)
    assert machine.bind(sharer, "0.0.0.0:40000") == 0
    client.reuseport = False
    machine.tcp.option_changed(client)
    machine.tcp.remove(sharer)
    assert machine.bind(machine.socket(reuseport=True), "127.0.0.1:40000") == BUSY


def test_udp_hears_only_the_newest() -> None:
    """With SO_REUSEPORT the newest that overlaps decides, and those before it are not asked."""
    for order, expected in ((("plain", "sharing"), 0), (("sharing", "plain"), BUSY)):
        machine = Machine()
        for name in order:
            entry = machine.socket("udp", reuseport=name == "sharing")
            assert machine.bind(entry, "127.0.0.1:5000" if name == "plain" else "127.0.0.2:5000") == 0
        assert machine.bind(machine.socket("udp", reuseport=True), "0.0.0.0:5000") == expected
