"""The life of TCP connections in the table: connect(2), its failure, disconnecting, TIME-WAIT."""

from __future__ import annotations

import pytest
from tests.sockets.machine import FAR, Machine

from portside.addr.ip import V4_ANY, V4_LOOPBACK, V6_ANY, parse
from portside.facts.state import CLOSED, ESTABLISHED, FIN_WAIT_2, SYN_SENT, TIME_WAIT
from portside.sockets import connect
from portside.sockets.ephemeral import NEVER

EASY = "EADDRNOTAVAIL"


@pytest.mark.scenario("B5")
def test_connect_chooses_address_and_port() -> None:
    machine = Machine()
    entry = machine.socket()
    assert machine.connect(entry, "127.0.0.1:80") == 0
    assert (entry.state, entry.laddr, entry.raddr, entry.rport) == (SYN_SENT, V4_LOOPBACK, V4_LOOPBACK, 80)
    assert 32768 <= entry.lport <= 60999
    assert entry.lport % 2 == 0
    assert machine.arrives("tcp", f"127.0.0.1:{entry.lport}", "127.0.0.1:80") is entry


def test_connect_narrows_and_disconnect_widens() -> None:
    machine = Machine()
    entry = machine.socket()
    assert machine.bind(entry, "0.0.0.0:5000") == 0
    assert machine.bind(machine.socket(), "127.0.0.2:5000") == "EADDRINUSE"
    assert machine.connect(entry, "127.0.0.1:80") == 0
    assert machine.bind(machine.socket(), "127.0.0.2:5000") == 0
    connect.disconnect(machine.tcp, entry)
    assert (entry.state, entry.name, entry.rport) == (CLOSED, (V4_ANY, 5000), 0)
    assert machine.bind(machine.socket(), "127.0.0.3:5000") == "EADDRINUSE"


@pytest.mark.parametrize(
    ("where", "address", "port"),
    [
        ("127.0.0.1:5000", "127.0.0.1", 5000),
        ("0.0.0.0:5000", "0.0.0.0", 5000),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("", "0.0.0.0", 0),
    ],
)
def test_what_disconnect_keeps(where: str, address: str, port: int) -> None:
    machine = Machine()
    entry = machine.socket()
    if where:
        assert machine.bind(entry, where) == 0
    named = entry.sport
    assert machine.connect(entry, "127.0.0.1:80") == 0
    named = named or entry.sport
    connect.disconnect(machine.tcp, entry)
    assert (entry.laddr, entry.lport) == (parse(address), port)
    assert entry.sport == named, "the name outlives the hold on the port"
    assert (entry.lport in machine.tcp.ports) == bool(port)


def test_an_explicit_mapped_wildcard_stays_narrow() -> None:
    """bind(2) to ::ffff:0.0.0.0 counts as naming an address; to :: it does not."""
    for where, after in (("[::ffff:0.0.0.0]:5000", V4_LOOPBACK), ("[::]:5000", V6_ANY)):
        machine = Machine()
        entry = machine.socket("tcp", 6)
        assert machine.bind(entry, where) == machine.connect(entry, "[::ffff:127.0.0.1]:80") == 0
        connect.disconnect(machine.tcp, entry)
        assert entry.laddr == after


@pytest.mark.scenario("B3")
def test_five_tuples_are_unique() -> None:
    machine = Machine()
    one, two, three = (machine.socket(reuseaddr=True) for _ in range(3))
    for entry in (one, two, three):
        assert machine.bind(entry, "127.0.0.1:5000") == 0
    assert machine.connect(one, "127.0.0.1:80") == 0
    assert machine.connect(two, "127.0.0.1:80") == EASY
    assert machine.verdict.because == (one,)
    assert "TCP SYN-SENT 127.0.0.1:5000 to 127.0.0.1:80" in machine.verdict.sentence
    assert (two.state, two.name) == (CLOSED, (V4_LOOPBACK, 5000))
    assert machine.connect(three, "127.0.0.1:81") == 0


@pytest.mark.scenario("B3")
def test_one_port_serves_many_destinations() -> None:
    machine = Machine(ip_local_port_range=(40000, 40000))
    entries = [machine.socket() for _ in range(4)]
    for entry, where in zip(entries, ("127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80"), strict=False):
        assert machine.connect(entry, where) == 0
        assert entry.lport == 40000
    assert machine.connect(entries[3], "127.0.0.1:80") == EASY
    assert machine.connect(entries[3], "127.0.0.1:80", "127.0.0.9") == 0


def test_a_bound_port_is_not_shared_even_on_another_address() -> None:
    machine = Machine(ip_local_port_range=(40000, 40000))
    bound = machine.socket()
    assert machine.bind(bound, "10.0.0.1:40000") == 0
    entry = machine.socket()
    assert machine.connect(entry, "127.0.0.1:80") == EASY
    machine.tcp.remove(bound)
    assert machine.connect(entry, "127.0.0.1:80") == 0


def test_a_port_is_shared_again_when_its_binder_has_gone() -> None:
    machine = Machine(ip_local_port_range=(40000, 40000))
    client = machine.socket()
    assert machine.connect(client, "127.0.0.1:80") == 0
    binder = machine.socket()
    assert machine.bind(binder, "127.0.0.2:40000") == 0
    assert machine.connect(machine.socket(), "127.0.0.1:81") == EASY
    machine.tcp.remove(binder)
    assert machine.connect(machine.socket(), "127.0.0.1:81") == 0


def test_a_port_is_shared_again_on_the_same_address() -> None:
    machine = Machine(ip_local_port_range=(40000, 40000))
    assert machine.connect(machine.socket(reuseaddr=True), "127.0.0.1:80") == 0
    binder = machine.socket(reuseaddr=True)
    assert machine.bind(binder, "127.0.0.1:40000") == 0
    assert machine.connect(machine.socket(), "127.0.0.1:81") == EASY
    machine.tcp.remove(binder)
    assert machine.connect(machine.socket(), "127.0.0.1:81") == 0


@pytest.mark.scenario("B8")
def test_exhaustion() -> None:
    machine = Machine()
    entries = []
    while machine.connect(entry := machine.socket(), "127.0.0.1:80") == 0:
        entries.append(entry)
    assert len(entries) == 28232
    assert machine.verdict.errno == 99
    assert machine.verdict.rule.name == "no-port-to-peer"
    assert len({entry.lport for entry in entries}) == 28232
    assert all(entry.lport % 2 == 0 for entry in entries[:14116])
    assert machine.connect(entry, "127.0.0.1:81") == 0, "another destination"
    assert machine.connect(machine.socket(), "127.0.0.1:80", "127.0.0.2") == 0, "another source"
    machine.settings.ip_local_port_range = (32768, 61000)
    assert machine.connect(machine.socket(), "127.0.0.1:80") == 0, "a wider range"
    connect.closed(machine.tcp, entries[777])
    entry = machine.socket()
    assert machine.connect(entry, "127.0.0.1:80") == 0, "the server closed"
    assert entry.lport == entries[777].sport


@pytest.mark.scenario("B8")
def test_time_wait_keeps_its_port_until_it_may_be_reused() -> None:
    machine = Machine(ip_local_port_range=(40000, 40099))
    free_at: dict[object, int] = {}
    reusable = lambda entry, chosen: free_at[entry] if chosen else 0  # noqa: E731
    waiting = []
    for number in range(100):
        entry = machine.socket()
        assert machine.connect(entry, "127.0.0.1:80", reusable_at=reusable) == 0
        waiting.append(connect.time_wait(machine.tcp, entry))
        free_at[entry] = 1000 + number
    late = machine.socket()
    assert machine.connect(late, "127.0.0.1:80", reusable_at=reusable, now=999) == EASY
    assert machine.connect(late, "127.0.0.1:80", reusable_at=reusable, now=1000) == 0
    assert machine.verdict.because == (waiting[0],)
    assert late.lport == waiting[0].sport
    assert waiting[0].lport == 0
    machine.tcp.remove(waiting[50])
    assert machine.connect(machine.socket(), "127.0.0.1:80", now=0) == 0


def test_a_bound_port_takes_over_its_time_wait_at_once() -> None:
    machine = Machine()
    first = machine.socket(reuseaddr=True)
    assert machine.bind(first, "127.0.0.1:5000") == machine.connect(first, "127.0.0.1:80") == 0
    waiting = connect.time_wait(machine.tcp, first)
    second = machine.socket(reuseaddr=True)
    assert machine.bind(second, "127.0.0.1:5000") == 0
    assert machine.connect(second, "127.0.0.1:80", reusable_at=lambda *_: NEVER) == EASY
    assert machine.connect(second, "127.0.0.1:80", reusable_at=lambda _, chosen: NEVER if chosen else 0) == 0
    assert machine.verdict.because == (waiting,)
    assert machine.arrives("tcp", "127.0.0.1:5000", "127.0.0.1:80") is second


def test_time_wait_while_the_descriptor_is_open() -> None:
    machine = Machine()
    entry = machine.socket(owner="program")
    assert machine.bind(entry, "127.0.0.1:5000") == machine.connect(entry, "127.0.0.1:80") == 0
    entry.state = ESTABLISHED
    waiting = connect.time_wait(machine.tcp, entry, orphan=False)
    assert (waiting.state, waiting.owner, entry.state, entry.lport) == (TIME_WAIT, None, CLOSED, 5000)
    assert machine.arrives("tcp", "127.0.0.1:5000", "127.0.0.1:80") is waiting
    machine.tcp.remove(entry)
    assert machine.bind(machine.socket(), "127.0.0.1:5000") == "EADDRINUSE"
    machine.tcp.remove(waiting)
    assert machine.bind(machine.socket(), "127.0.0.1:5000") == 0
    assert machine.arrives("tcp", "127.0.0.1:5000", "127.0.0.1:80") is None


@pytest.mark.parametrize("orphan", [True, False])
def test_fin_wait_2_of_an_orphan_is_taken_over_like_a_time_wait(orphan: bool) -> None:
    machine = Machine()
    first = machine.socket(reuseaddr=True)
    assert machine.bind(first, "127.0.0.1:5000") == machine.connect(first, "127.0.0.1:80") == 0
    waiting = connect.time_wait(machine.tcp, first, orphan)
    waiting.state = FIN_WAIT_2  # what /proc/net/tcp shows of it
    if not orphan:
        machine.tcp.remove(first)
    second = machine.socket(reuseaddr=True)
    assert machine.bind(second, "127.0.0.1:5000") == 0
    assert machine.connect(second, "127.0.0.1:80", reusable_at=lambda *_: 0) == 0
    assert machine.verdict.because == (waiting,)
    machine.tcp.remove(waiting)  # again: no effect
    assert machine.arrives("tcp", "127.0.0.1:5000", "127.0.0.1:80") is second


def test_reset_connection_that_is_still_open() -> None:
    machine = Machine()
    listener = machine.server("127.0.0.1:80")
    child = machine.accept(listener, "127.0.0.1:80", f"{FAR}:4000")
    connect.closed(machine.tcp, child)
    assert child.name == (V4_LOOPBACK, 80)
    assert child.lport == 0
    assert machine.arrives("tcp", "127.0.0.1:80", f"{FAR}:4000") is listener
    machine.tcp.remove(child)
    machine.tcp.remove(listener)
    assert not machine.tcp.ports


def test_requests_hold_no_port() -> None:
    machine = Machine()
    listener = machine.server("127.0.0.1:80")
    request = machine.tcp.child(listener, V4_LOOPBACK, parse(FAR), 4000, 0)
    assert machine.arrives("tcp", "127.0.0.1:80", f"{FAR}:4000") is request
    machine.tcp.remove(listener)
    assert machine.bind(machine.socket(), "127.0.0.1:80") == 0
    assert not machine.tcp.inherit_port(listener, request)
    machine.tcp.remove(request)
    assert not machine.tcp.connected


@pytest.mark.scenario("C8")
def test_same_five_tuple_on_two_devices() -> None:
    """A connection bound to a device is another one; one bound to none is in everybody's way."""
    machine = Machine()
    entries = [machine.socket(reuseaddr=True) for _ in range(3)]
    for entry, device in zip(entries, (1, 2, 0), strict=True):
        machine.tcp.set_device(entry, device)
        assert machine.bind(entry, "127.0.0.1:5000") == machine.connect(entry, "127.0.0.1:80") == 0
    assert machine.arrives("tcp", "127.0.0.1:5000", "127.0.0.1:80", 1) is entries[2], "the newest"
    machine.tcp.remove(entries[2])
    assert machine.arrives("tcp", "127.0.0.1:5000", "127.0.0.1:80", 1) is entries[0]
    assert machine.arrives("tcp", "127.0.0.1:5000", "127.0.0.1:80", 2) is entries[1]
    machine.tcp.remove(entries[0])
    assert machine.arrives("tcp", "127.0.0.1:5000", "127.0.0.1:80", 1) is None


def test_shutdown_of_a_listener() -> None:
    machine = Machine()
    listener = machine.server("0.0.0.0:8080")
    connect.disconnect(machine.tcp, listener)
    assert (listener.state, listener.lport) == (CLOSED, 8080)
    assert machine.arrives("tcp", "127.0.0.1:8080") is None
    other = machine.socket(reuseaddr=True)
    listener.reuseaddr = True
    machine.tcp.option_changed(listener)
    assert machine.bind(other, "0.0.0.0:8080") == 0, "it is not listening any more"
    assert machine.listen(listener) == 0
