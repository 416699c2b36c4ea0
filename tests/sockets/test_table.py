"""The table as a container: nothing is left behind, order of creation, and a cost that does not grow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from random import Random
from types import FrameType

import pytest
from tests.sockets.experiments import Maker
from tests.sockets.machine import Machine
from tests.sockets.oracle import Model, placed

from portside.addr.abi import AF_INET, IPPROTO_TCP
from portside.addr.ip import V4_ANY, V4_LOOPBACK, V4_PREFIX
from portside.facts.state import ESTABLISHED
from portside.sockets import bind, connect, datagram, lookup


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of Python the call runs: its cost, without a clock."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def costs(size: int) -> dict[str, int]:
    """The cost of each operation with so many connections of one listener, and as many UDP sockets of one port."""
    machine = Machine()
    listener = machine.server("0.0.0.0:80", reuseaddr=True)
    peer = V4_PREFIX | 0x0A000000
    children = []
    for number in range(size):
        child = machine.tcp.child(listener, V4_LOOPBACK, peer + (number >> 14), 1024 + (number & 0x3FFF), 0)
        machine.tcp.inherit_port(listener, child)
        child.state = ESTABLISHED
        children.append(child)
        one = machine.socket("udp", reuseaddr=True)
        bind.bind(machine.udp, one, V4_LOOPBACK, 53, machine.world, machine.random)
        datagram.connect(machine.udp, one, peer + (number >> 14), 1024 + (number & 0x3FFF), V4_LOOPBACK)
    middle = children[size // 2]
    machine.random.seed(1)

    def bind_and_close(kind: str, where: str, **options: object) -> Callable[[], None]:
        def call() -> None:
            entry = machine.socket(kind, **options)
            machine.bind(entry, where)
            machine.table(entry).remove(entry)

        return call

    def connect_and_close() -> None:
        entry = machine.socket()
        assert machine.connect(entry, "127.0.0.1:81") == 0
        connect.closed(machine.tcp, entry)

    def accept_and_wait() -> None:
        child = machine.accept(listener, "127.0.0.1:80", "127.0.0.1:5")
        machine.tcp.remove(connect.time_wait(machine.tcp, child))

    src, sport = middle.raddr, middle.rport
    told = {
        "lookup connection": lines_run(lambda: lookup.tcp(machine.tcp, src, sport, V4_LOOPBACK, 80, 1)),
        "lookup listener": lines_run(lambda: lookup.tcp(machine.tcp, src, 1, V4_LOOPBACK, 80, 1)),
        "lookup nobody": lines_run(lambda: lookup.tcp(machine.tcp, src, 1, V4_LOOPBACK, 81, 1)),
        "lookup datagram": lines_run(lambda: lookup.udp(machine.udp, src, sport, V4_LOOPBACK, 53, 1)),
        "lookup no datagram": lines_run(lambda: lookup.udp(machine.udp, src, 1, V4_LOOPBACK, 53, 1)),
        "bind elsewhere": lines_run(bind_and_close("tcp", "0.0.0.0:81")),
        "bind refused": lines_run(bind_and_close("tcp", "0.0.0.0:80")),
        "bind refused on an address": lines_run(bind_and_close("tcp", "127.0.0.1:80")),
        "bind port 0": lines_run(bind_and_close("tcp", "0.0.0.0:0")),
        "bind datagram": lines_run(bind_and_close("udp", "0.0.0.0:53", reuseaddr=True)),
        "bind datagram refused": lines_run(bind_and_close("udp", "0.0.0.0:53")),
        "connect": lines_run(connect_and_close),
        "accept": lines_run(accept_and_wait),
        "close": lines_run(lambda: machine.tcp.remove(middle)),
    }
    machine.tcp.remove(listener)
    told["bind after restart"] = lines_run(bind_and_close("tcp", "0.0.0.0:80", reuseaddr=True))
    return told


def test_cost_does_not_grow() -> None:
    costs(1)  # what is done once, such as reading "127.0.0.1"
    assert costs(100_000) == costs(100)


@pytest.mark.parametrize("kind", ["two_or_three", "connections", "listeners", "datagrams", "crowded"])
def test_nothing_is_left_behind(kind: str) -> None:
    maker = Maker(Random(7))
    for number in range(300):
        model = Model(number)
        model.run(placed(getattr(maker, kind)(), number))
        for table in (model.tcp, model.udp):
            for entry in list(table):
                table.remove(entry)
            assert not table.ports, "everything bound is told of by iteration"
            assert not table.receivers
            assert not table.connected
            assert not list(table)


def test_iteration_in_order_of_creation() -> None:
    machine = Machine()
    last, first = machine.socket(), None
    listener = machine.server("0.0.0.0:80")
    request = machine.tcp.child(listener, V4_LOOPBACK, V4_LOOPBACK, 9, 0)
    first = machine.accept(listener, "127.0.0.1:80", "127.0.0.1:10")
    assert machine.bind(last, "127.0.0.1:5000") == 0
    assert list(machine.tcp) == [last, listener, request, first]


def test_entered_without_a_question() -> None:
    """A table read from a real machine answers as that machine would."""
    machine = Machine()
    listener, client, plain = (machine.tcp.open(AF_INET, 0) for _ in range(3))
    listener.lport = 80
    machine.tcp.add_bound(listener)
    machine.tcp.add_listener(listener)
    client.laddr, client.lport, client.raddr, client.rport = V4_LOOPBACK, 40000, V4_LOOPBACK, 80
    client.state, client.connect_bound = ESTABLISHED, True
    machine.tcp.add_bound(client)
    machine.tcp.add_connected(client)
    plain.lport = 81
    machine.tcp.add_bound(plain)
    assert machine.arrives("tcp", "127.0.0.1:80") is listener
    assert machine.arrives("tcp", "127.0.0.1:40000", "127.0.0.1:80") is client
    assert machine.bind(machine.socket(), "127.0.0.1:81") == "EADDRINUSE"
    assert machine.tcp.ports[40000].connect_only
    datagram_entry = machine.udp.open(AF_INET, 0)
    datagram_entry.lport, datagram_entry.reuseport = 53, True
    machine.udp.add_bound(datagram_entry)
    assert machine.arrives("udp", "127.0.0.1:53") is datagram_entry
    assert datagram_entry.laddr == V4_ANY
    assert machine.tcp.proto == IPPROTO_TCP
