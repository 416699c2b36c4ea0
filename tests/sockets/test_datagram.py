"""UDP: autobind, connect(2), connecting again, and AF_UNSPEC."""

from __future__ import annotations

from tests.sockets.machine import Machine

from portside.addr.ip import V4_ANY, V4_LOOPBACK, parse
from portside.facts.state import CLOSED, ESTABLISHED
from portside.sockets import datagram


def test_connected_hears_only_its_peer() -> None:
    machine = Machine()
    entry = machine.socket("udp")
    assert machine.bind(entry, "0.0.0.0:5000") == machine.connect(entry, "127.0.0.1:9") == 0
    assert (entry.state, entry.laddr) == (ESTABLISHED, V4_LOOPBACK)
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:9") is entry
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:10") is None
    assert machine.arrives("udp", "127.0.0.2:5000", "127.0.0.1:9") is None


def test_connected_before_unconnected() -> None:
    machine = Machine()
    one, two = machine.socket("udp", reuseaddr=True), machine.socket("udp", reuseaddr=True)
    assert machine.bind(one, "127.0.0.1:5000") == machine.connect(one, "127.0.0.1:9") == 0
    assert machine.bind(two, "127.0.0.1:5000") == 0
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:9") is one
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:10") is two


def test_disconnect_gives_back_what_was_automatic() -> None:
    machine = Machine()
    entry = machine.socket("udp")
    assert machine.connect(entry, "127.0.0.1:9") == 0
    assert entry.lport
    datagram.disconnect(machine.udp, entry)
    assert (entry.state, entry.name) == (CLOSED, (V4_ANY, 0))
    assert not machine.udp.ports
    assert not machine.udp.connected


def test_disconnect_keeps_what_bind_named_and_drops_the_device() -> None:
    machine = Machine()
    entry = machine.socket("udp")
    machine.udp.set_device(entry, 1)
    assert machine.bind(entry, "127.0.0.1:5000") == machine.connect(entry, "127.0.0.1:9") == 0
    datagram.disconnect(machine.udp, entry)
    assert (entry.name, entry.device) == ((V4_LOOPBACK, 5000), 0)
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:10", 2) is entry


def test_disconnected_v6_still_hears_only_the_old_peers_address() -> None:
    machine = Machine()
    entry = machine.socket("udp", 6)
    assert machine.bind(entry, "[::]:5000") == machine.connect(entry, "[::1]:9") == 0
    datagram.disconnect(machine.udp, entry)
    assert machine.arrives("udp", "[fd00::1]:5000", "[::1]:10") is entry
    assert machine.arrives("udp", "[fd00::1]:5000", "[fd00::1]:9") is None
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:9") is entry


def test_reconnected_loses_to_a_newer_group() -> None:
    machine = Machine()
    one, two = machine.socket("udp", reuseaddr=True), machine.socket("udp", reuseaddr=True, reuseport=True)
    assert machine.bind(one, "127.0.0.1:5000") == machine.bind(two, "127.0.0.1:5000") == 0
    assert machine.connect(one, "127.0.0.1:9") == 0
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:9") is one
    assert machine.connect(one, "127.0.0.1:10") == 0
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:10") is two
    machine.udp.remove(two)
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:10") is one
    assert machine.connect(one, "127.0.0.1:9") == 0
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:9") is one


def test_disconnected_and_reconnected_loses_to_a_newer_group() -> None:
    machine = Machine()
    one, two = machine.socket("udp", reuseaddr=True), machine.socket("udp", reuseaddr=True, reuseport=True)
    assert machine.bind(one, "0.0.0.0:5000") == machine.connect(one, "127.0.0.1:9") == 0
    assert machine.bind(two, "127.0.0.1:5000") == 0
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:9") is one
    datagram.disconnect(machine.udp, one)
    machine.connect(one, "127.0.0.1:9")
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:9") is one, "it is the newest there now"
    machine.udp.remove(two)
    two = machine.socket("udp", reuseaddr=True, reuseport=True)
    assert machine.bind(two, "127.0.0.1:5000") == 0
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:9") is two
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:8") is two


def test_a_reconnected_socket_outranks_a_device() -> None:
    machine = Machine()
    one, two = machine.socket("udp", reuseaddr=True), machine.socket("udp", reuseaddr=True)
    machine.udp.set_device(two, 1)
    assert machine.bind(one, "127.0.0.1:5000") == machine.bind(two, "127.0.0.1:5000") == 0
    machine.connect(one, "127.0.0.1:9")
    machine.connect(one, "127.0.0.1:10")
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:10") is one
    assert machine.arrives("udp", "127.0.0.1:5000", "127.0.0.1:9") is two


def test_a_group_with_a_connected_member_goes_on_competing() -> None:
    machine = Machine()
    on_lo = machine.socket("udp", reuseaddr=True)
    machine.udp.set_device(on_lo, 1)
    members = [machine.socket("udp", reuseaddr=True, reuseport=True) for _ in range(2)]
    for entry in (on_lo, *members):
        assert machine.bind(entry, "127.0.0.1:5000") == 0
    assert machine.arrives("udp", "127.0.0.1:5000") in members
    machine.connect(members[0], "127.0.0.1:9")
    assert machine.arrives("udp", "127.0.0.1:5000") is on_lo


def test_autobind_twice_changes_nothing() -> None:
    machine = Machine()
    entry = machine.socket("udp")
    datagram.autobind(machine.udp, entry, machine.random)
    port = entry.lport
    assert datagram.autobind(machine.udp, entry, machine.random).errno == 0
    assert entry.lport == port


def test_autobind_without_ports() -> None:
    machine = Machine(ip_local_port_range=(40000, 40000))
    assert machine.connect(machine.socket("udp"), "127.0.0.1:9") == 0
    assert machine.connect(machine.socket("udp"), "127.0.0.1:9") == "EAGAIN"
    assert machine.bind(machine.socket("udp"), "0.0.0.0:0") == "EADDRINUSE"
    assert "every port" in machine.verdict.sentence


def test_connected_member_leaves_the_choice_to_scores() -> None:
    machine = Machine()
    members = [machine.socket("udp", reuseport=True) for _ in range(3)]
    for member in members:
        assert machine.bind(member, "127.0.0.1:5000") == 0
    assert machine.connect(members[0], "127.0.0.1:9") == 0
    assert members[0].group.has_connections
    heard = {machine.arrives("udp", "127.0.0.1:5000", f"127.0.0.1:{port}") for port in range(100, 200)}
    assert heard == {members[1], members[2]}


def test_mapped_peer_on_an_ipv6_socket() -> None:
    machine = Machine()
    entry = machine.socket("udp", 6)
    assert machine.connect(entry, "[::ffff:127.0.0.1]:9") == 0
    assert entry.laddr == parse("127.0.0.1")
    assert machine.arrives("udp", f"127.0.0.1:{entry.lport}", "127.0.0.1:9") is entry
