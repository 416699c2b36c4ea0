"""Connecting from one host to another: each cause of failure has its errno and its time (connect(2)).

The expected values are those of a real kernel in network namespaces.
"""

from __future__ import annotations

import errno
import socket
import time
from contextlib import ExitStack

import pytest

from portside import Network
from portside.sim.faults import Drop, When
from portside.wire.packet import IcmpMessage

SERVER = {4: "10.0.2.1", 6: "fd00:2::1"}
CLIENT = {4: "10.0.1.1", 6: "fd00:1::1"}
ABSENT = {4: "10.0.1.77", 6: "fd00:1::77"}  # on the client's link
ABSENT_BEYOND = {4: "10.0.2.77", 6: "fd00:2::77"}  # on the server's link
NOWHERE = {4: "192.0.2.1", 6: "2001:db8::1"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
ROUTER = {4: "10.0.1.254", 6: "fd00:1::254"}
NETWORK = {4: "10.0.2.0/24", 6: "fd00:2::/64"}


def serve():
    with socket.create_server(("", 80), family=socket.AF_INET6, dualstack_ipv6=True):
        time.sleep(3600)


class Site:
    """A client and a server on two links, and the router between them."""

    def __init__(self, network):
        self.network = network
        self.router = network.host(
            "router", "10.0.1.254/24@eth0", "fd00:1::254/64@eth0", "10.0.2.254/24@eth1", "fd00:2::254/64@eth1",
            forward=True,
        )  # fmt: skip
        self.client = network.host("client", "10.0.1.1/24", "fd00:1::1/64")
        self.server = network.host("server", "10.0.2.1/24", "fd00:2::1/64")
        self.near = network.link("client", "router", latency="1ms")
        self.far = network.link("router", "server", latency="1ms")
        for version in (4, 6):
            self.client.route(NETWORK[version], via=ROUTER[version])
            self.server.route("default", via={4: "10.0.2.254", 6: "fd00:2::254"}[version])

    def listen(self, version, address=None, port=80, backlog=5, v6only=True, device=None, listening=True):
        def program():
            with socket.socket(FAMILY[version]) as listener:
                if version == 6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
                if device is not None:
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
                listener.bind((address or "", port))
                if listening:
                    listener.listen(backlog)
                time.sleep(3600)

        return self.server.spawn(program, background=True)

    def connect(self, address, port=80, **options):
        program = self.client.spawn(attempt, address, port, start=1, kwargs=options)
        self.network.run()
        return program.result


def attempt(address, port=80, bind=None, user_timeout=0):
    """The errno of a connect and the whole seconds until it came; ("connected", source address) if it works."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as connection:
        if user_timeout:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, user_timeout)
        if bind is not None:
            connection.bind((bind, 0))
        started = time.monotonic()
        try:
            connection.connect((address, port))
        except OSError as error:
            return errno.errorcode[error.errno], round(time.monotonic() - started)
        return "connected", connection.getsockname()[0]


@pytest.fixture
def site():
    with Network(seed=1, quiet=True) as network:
        yield Site(network)


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def version(request):
    return request.param


class TestReached:
    def test_through_a_router_with_the_source_of_the_link(self, site, version):
        site.listen(version)
        assert site.connect(SERVER[version]) == ("connected", CLIENT[version])

    def test_the_source_belongs_to_the_interface_of_the_route(self, version):
        with Network(seed=1, quiet=True) as network:
            client = network.host("client", "10.0.1.1/24", "fd00:1::1/64", "10.0.2.1/24@eth1", "fd00:2::1/64@eth1")
            network.host("one", "10.0.1.9/24", "fd00:1::9/64")
            network.host("two", "10.0.2.9/24", "fd00:2::9/64")
            network.link("client", "one")
            network.link("client", "two")
            for name in ("one", "two"):
                network.hosts[name].spawn(serve, background=True)
            targets = {4: ("10.0.1.9", "10.0.2.9"), 6: ("fd00:1::9", "fd00:2::9")}[version]
            results = [client.spawn(attempt, target, start=1) for target in targets]
            network.run()
            sources = {4: ("10.0.1.1", "10.0.2.1"), 6: ("fd00:1::1", "fd00:2::1")}[version]
            assert [each.result for each in results] == [("connected", source) for source in sources]

    def test_a_route_names_its_source(self, version):
        with Network(seed=1, quiet=True) as network:
            client = network.host("client", "10.0.1.1/24", "10.0.1.2/24", "fd00:1::1/64", "fd00:1::2/64")
            network.host("server", "10.0.1.9/24", "fd00:1::9/64").spawn(serve, background=True)
            client.route({4: "10.0.1.9/32", 6: "fd00:1::9/128"}[version], interface="eth0",
                         source={4: "10.0.1.2", 6: "fd00:1::2"}[version])  # fmt: skip
            program = client.spawn(attempt, {4: "10.0.1.9", 6: "fd00:1::9"}[version], start=1)
            network.run()
            assert program.result == ("connected", {4: "10.0.1.2", 6: "fd00:1::2"}[version])


@pytest.mark.scenario("E2")
class TestRefused:
    def test_nothing_listens(self, site, version):
        assert site.connect(SERVER[version]) == ("ECONNREFUSED", 0)

    def test_on_another_address_only(self, site, version):
        site.listen(version, {4: "127.0.0.1", 6: "::1"}[version])
        assert site.connect(SERVER[version]) == ("ECONNREFUSED", 0)

    def test_v6_only_called_over_ipv4(self, site):
        site.listen(6, v6only=True)
        assert site.connect(SERVER[4]) == ("ECONNREFUSED", 0)

    def test_ipv4_only_called_over_ipv6(self, site):
        site.listen(4)
        assert site.connect(SERVER[6]) == ("ECONNREFUSED", 0)

    def test_bound_and_not_listening(self, site, version):
        site.listen(version, listening=False)
        assert site.connect(SERVER[version]) == ("ECONNREFUSED", 0)

    def test_bound_to_another_device(self, site, version):
        site.listen(version, device=b"lo\0")
        assert site.connect(SERVER[version]) == ("ECONNREFUSED", 0)

    @pytest.mark.parametrize("hook", ["input", "output", "forward"])
    @pytest.mark.parametrize("kind", ["port-unreachable", "tcp-reset"])
    def test_a_filter_rejects(self, site, version, hook, kind):
        site.listen(version)
        host = {"input": site.server, "output": site.client, "forward": site.router}[hook]
        host.firewall.reject(hook, kind, proto="tcp", dport=80)
        assert site.connect(SERVER[version]) == ("ECONNREFUSED", 0)


@pytest.mark.scenario("E3")
class TestTimedOut:
    @pytest.mark.parametrize("hook", ["input", "forward", "output"])
    def test_a_filter_drops(self, site, version, hook):
        site.listen(version)
        host = {"input": site.server, "output": site.client, "forward": site.router}[hook]
        host.firewall.drop(hook, proto="tcp", dport=80)
        result, seconds = site.connect(SERVER[version])
        assert (result, seconds) == ("ETIMEDOUT", 131)

    def test_the_syns_go_out_when_linux_sends_them(self, site, version):
        site.server.firewall.drop("input", proto="tcp")
        site.network.trace.keep()
        site.connect(SERVER[version])
        sent = [
            float(line.split()[0]) for line in site.network.trace.lines()
            if "Flags [S]" in line and line.split()[1] == "client"
        ]  # fmt: skip
        assert [round(when - sent[0]) for when in sent] == [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]

    def test_the_accept_queue_is_full(self, site, version):
        site.listen(version, backlog=0)
        first = site.client.spawn(attempt, SERVER[version], 80, start=0.5)
        assert site.connect(SERVER[version]) == ("ETIMEDOUT", 131)
        assert first.result[0] == "connected"

    def test_a_user_timeout_cuts_it_short(self, site, version):
        site.server.firewall.drop("input", proto="tcp")
        result, seconds = site.connect(SERVER[version], user_timeout=2500)
        assert result == "ETIMEDOUT"
        assert 2 <= seconds <= 3

    def test_fewer_retries_give_up_sooner(self, site, version):
        site.server.firewall.drop("input", proto="tcp")
        site.client.sysctl.update({"net.ipv4.tcp_syn_retries": 2, "net.ipv4.tcp_syn_linear_timeouts": 0})
        assert site.connect(SERVER[version]) == ("ETIMEDOUT", 1 + 2 + 4)

    def test_no_such_host_beyond_a_router_that_is_not_heard(self, site, version):
        site.near.add(When(lambda packet: Drop() if isinstance(packet, IcmpMessage) else None), sender="router")
        assert site.connect(ABSENT_BEYOND[version]) == ("ETIMEDOUT", 131)


@pytest.mark.scenario("E4")
class TestUnreachable:
    def test_no_route(self, site, version):
        assert site.connect(NOWHERE[version]) == ("ENETUNREACH", 0)

    def test_no_route_at_the_router(self, site, version):
        site.client.route({4: "default", 6: "default6"}[version], via=ROUTER[version])
        assert site.connect(NOWHERE[version]) == ("ENETUNREACH", 0)

    def test_no_neighbour(self, site, version):
        assert site.connect(ABSENT[version]) == ("EHOSTUNREACH", 3)

    def test_no_neighbour_beyond_a_router_which_tells(self, site, version):
        assert site.connect(ABSENT_BEYOND[version]) == ("EHOSTUNREACH", 3)

    @pytest.mark.parametrize("kind", ["admin-prohibited", "host-unreachable"])
    def test_a_filter_rejects_so(self, site, version, kind):
        site.server.firewall.reject("input", kind, proto="tcp")
        expected = {(6, "admin-prohibited"): "EACCES"}.get((version, kind), "EHOSTUNREACH")
        assert site.connect(SERVER[version]) == (expected, 0)

    @pytest.mark.parametrize(
        ("kind", "name"), [("unreachable", "EHOSTUNREACH"), ("blackhole", "EINVAL"), ("prohibit", "EACCES")]
    )
    def test_routes_that_refuse(self, site, version, kind, name):
        site.client.route({4: "192.0.2.0/24", 6: "2001:db8::/32"}[version], kind=kind)
        assert site.connect(NOWHERE[version]) == (name, 0)

    @pytest.mark.parametrize("address", ["10.0.1.255", "255.255.255.255", "224.0.0.1", "ff02::1%eth0", "fe80::1"])
    def test_destinations_that_are_no_host(self, site, address):
        expected = "EINVAL" if address == "fe80::1" else "ENETUNREACH"
        assert site.connect(address) == (expected, 0)

    def test_a_source_on_loopback_stays_at_home(self, site):
        assert site.connect(SERVER[4], bind="127.0.0.1") == ("EINVAL", 0)

    def test_an_interface_that_is_down(self, site, version):
        site.client.set_up("eth0", False)
        assert site.connect(SERVER[version]) == ("ENETUNREACH", 0)


@pytest.mark.scenario("B8")
@pytest.mark.parametrize(("bind_first", "name"), [(False, "EADDRNOTAVAIL"), (True, "EADDRINUSE")])
def test_the_range_used_up_towards_a_destination(site, version, bind_first, name):
    def exhaust():
        with ExitStack() as kept:
            for count in range(20):
                connection = kept.enter_context(socket.socket(FAMILY[version]))
                try:
                    if bind_first:
                        connection.bind(("", 0))
                    connection.connect((SERVER[version], 80))
                except OSError as error:
                    return count, errno.errorcode[error.errno]
        return "never"

    site.listen(version, backlog=100)
    site.client.sysctl["net.ipv4.ip_local_port_range"] = "40000 40009"
    program = site.client.spawn(exhaust, start=1)
    site.network.run()
    assert program.result == (10, name)
