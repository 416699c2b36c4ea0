"""Hosts on one segment: link-local addresses, broadcasts, groups, and two that call each other at once."""

from __future__ import annotations

import errno
import socket
import time

import pytest

from portside import Network


@pytest.fixture
def network():
    with Network(seed=1, quiet=True) as network:
        yield network


def code(error):
    return errno.errorcode[error.errno]


def receive(address="", port=5000, family=socket.AF_INET, seconds=5):
    """What one datagram socket hears, with the senders."""
    heard = []
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind((address, port))
        s.settimeout(seconds)
        try:
            while True:
                data, peer = s.recvfrom(100)
                heard.append((data, peer[0]))
        except TimeoutError:
            return heard


def send(address, port=5000, broadcast=True):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, broadcast)
        where = socket.getaddrinfo(address, port, family, socket.SOCK_DGRAM)[0][4]
        try:
            return s.sendto(b"all", where)
        except OSError as error:
            return code(error)


class TestBroadcast:
    @pytest.mark.parametrize("address", ["10.0.0.255", "255.255.255.255"])
    def test_everybody_on_the_segment_hears_it_and_the_sender_too(self, network, address):
        hosts = [network.host(name, f"10.0.0.{number}/24") for number, name in enumerate("abc", 1)]
        other = network.host("d", "10.0.1.1/24")
        network.segment("office", *hosts)
        hosts[0].route("default", interface="eth0")
        programs = [host.spawn(receive) for host in (*hosts, other)]
        hosts[0].spawn(send, address, start=1)
        network.run()
        assert [program.result for program in programs] == [[(b"all", "10.0.0.1")]] * 3 + [[]]

    def test_a_socket_on_one_address_does_not_hear_it(self, network):
        a, b = network.host("a", "10.0.0.1/24"), network.host("b", "10.0.0.2/24")
        program = b.spawn(receive, "10.0.0.2")
        a.spawn(send, "10.0.0.255", start=1)
        network.run()
        assert program.result == []

    def test_it_takes_permission(self, network):
        program = network.host("a", "10.0.0.1/24").spawn(send, "10.0.0.255")
        network.run()
        assert program.result == 3
        refused = network.hosts["a"].spawn(send, "10.0.0.255", 5000, False)
        network.run()
        assert refused.result == "EACCES"

    def test_a_router_does_not_pass_it_on(self, network):
        network.host("r", "10.0.1.254/24", "10.0.2.254/24@eth1", forward=True)
        a, b = network.host("a", "10.0.1.1/24"), network.host("b", "10.0.2.1/24")
        network.link("r", a)
        network.link("r", b)
        a.route("default", via="10.0.1.254")
        program = b.spawn(receive)
        a.spawn(send, "255.255.255.255", start=1)
        a.spawn(send, "10.0.2.255", start=2)
        network.run()
        assert program.result == []

    def test_all_hosts(self, network):
        a, b = network.host("a", "10.0.0.1/24", "fd00::1/64"), network.host("b", "10.0.0.2/24", "fd00::2/64")
        four, six = b.spawn(receive), b.spawn(receive, "", 5001, socket.AF_INET6)
        a.route("default", interface="eth0")
        a.spawn(send, "224.0.0.1", start=1)
        a.spawn(send, "ff02::1%eth0", 5001, start=1)
        network.run()
        assert [data for data, _ in four.result] == [b"all"]
        assert [(data, peer.startswith("fe80::")) for data, peer in six.result] == [(b"all", True)]


class TestLinkLocal:
    def test_a_connection_needs_the_interface(self, network):
        def server():
            with socket.create_server(("::", 7000), family=socket.AF_INET6) as listener:
                connection, peer = listener.accept()
                with connection:
                    return peer[0], peer[3], connection.getsockname()[3]

        def client(address):
            with socket.socket(socket.AF_INET6) as s:
                try:
                    s.connect((address, 7000))
                except OSError as error:
                    without = code(error)
            with socket.socket(socket.AF_INET6) as s:
                s.connect((address, 7000, 0, socket.if_nametoindex("eth0")))
                return without, s.getsockname()[0], s.getpeername()[3]

        a, b = network.host("a", "10.0.0.1/24", "fd00::1/64"), network.host("b", "10.0.0.2/24", "fd00::2/64")
        [address] = [
            socket.inet_ntop(socket.AF_INET6, each.address.to_bytes(16, "big"))
            for each in a.interface("eth0").addresses
            if each.address >> 112 == 0xFE80
        ]
        accepted = a.spawn(server)
        program = b.spawn(client, address, start=1)
        network.run()
        without, mine, scope = program.result
        assert (without, scope) == ("EINVAL", 2)
        assert mine.startswith("fe80::")
        assert accepted.result == (f"{mine}%eth0" if "%" in accepted.result[0] else mine, 2, 2)


class TestBothCall:
    @pytest.mark.parametrize("version", [4, 6])
    def test_simultaneous_open(self, network, version):
        family = {4: socket.AF_INET, 6: socket.AF_INET6}[version]
        addresses = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}[version]

        def call(mine, theirs):
            with socket.socket(family) as s:
                s.bind((mine, 7000))
                s.connect((theirs, 7000))
                s.sendall(mine.encode())
                return s.recv(100).decode(), s.getpeername()[:2]

        for number, name in enumerate("ab", 1):
            network.host(name, f"10.0.0.{number}/24", f"fd00::{number}/64")
        network.link("a", "b", latency="20ms")
        one = network.hosts["a"].spawn(call, *addresses, start=1)
        two = network.hosts["b"].spawn(call, *reversed(addresses), start=1)
        network.run()
        assert one.result == (addresses[1], (addresses[1], 7000))
        assert two.result == (addresses[0], (addresses[0], 7000))


class TestOneAddressIsTakenAway:
    def test_an_interface_that_goes_down_and_comes_back(self, network):
        def server():
            with socket.create_server(("", 7000)) as listener:
                connection, _ = listener.accept()
                with connection:
                    return connection.recv(100)

        def client():
            with socket.create_connection(("10.0.0.1", 7000)) as s:
                time.sleep(5)
                s.sendall(b"later")

        a, b = network.host("a", "10.0.0.1/24"), network.host("b", "10.0.0.2/24")
        network.at(2, a.set_up, "eth0", False)
        network.at(20, a.set_up, "eth0", True)
        program = a.spawn(server)
        b.spawn(client, start=1)
        network.run()
        assert program.result == b"later"
