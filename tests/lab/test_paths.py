"""What lies between two hosts: routers, small MTUs, slow and bad links, as unmodified programs see it."""

from __future__ import annotations

import errno
import socket
import struct
import time
from itertools import pairwise

import pytest

from portside import Network
from portside.sim.faults import DropNth, Duplicate, Loss, Reorder
from portside.wire.packet import TcpSegment

IP_RECVERR, IPV6_RECVERR = 11, 25
IP_RECVTTL = 12
SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6 = 2, 3
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


@pytest.fixture
def network():
    with Network(seed=1, quiet=True) as network:
        yield network


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def version(request):
    return request.param


def chain(network, routers, **options):
    """Hosts `first` and `last` with that many routers between them; what each link is called: 1, 2, ..."""
    names = ["first", *(f"r{number}" for number in range(1, routers + 1)), "last"]
    for number, name in enumerate(names):
        addresses = []
        if number:
            addresses += [f"10.0.{number}.2/24@eth0", f"fd00:{number}::2/64@eth0"]
        if name != "last":
            addresses += [f"10.0.{number + 1}.1/24@eth1", f"fd00:{number + 1}::1/64@eth1"]
        network.host(name, *addresses, forward=0 < number <= routers)
    links = [network.link(f"{one}@eth1", f"{other}@eth0", **options) for one, other in pairwise(names)]
    last = len(names) - 1
    for number, name in enumerate(names):
        for subnet in range(1, last + 1):
            if subnet > number + 1:
                network.hosts[name].route(f"10.0.{subnet}.0/24", via=f"10.0.{number + 1}.2")
                network.hosts[name].route(f"fd00:{subnet}::/64", via=f"fd00:{number + 1}::2")
            elif subnet < number:
                network.hosts[name].route(f"10.0.{subnet}.0/24", via=f"10.0.{number}.1")
                network.hosts[name].route(f"fd00:{subnet}::/64", via=f"fd00:{number}::1")
    return network.hosts["first"], network.hosts["last"], links


def last_address(version, routers):
    return {4: f"10.0.{routers + 1}.2", 6: f"fd00:{routers + 1}::2"}[version]


def traceroute(version, destination, most=8, port=33434):
    """What traceroute(8) does: datagrams with a growing TTL, and the error queue tells who could not pass them on."""
    level, ttl, errors = (
        (socket.IPPROTO_IP, socket.IP_TTL, IP_RECVERR)
        if version == 4
        else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, IPV6_RECVERR)
    )
    path = []
    for hops in range(1, most + 1):
        with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as probe:
            probe.setsockopt(level, ttl, hops)
            probe.setsockopt(level, errors, 1)
            probe.settimeout(5)
            probe.connect((destination, port + hops))
            probe.send(b"probe")
            try:
                probe.recv(100)
            except OSError as error:
                if isinstance(error, TimeoutError):
                    path.append(("*", "", 0, 0))
                    continue
                name = errno.errorcode[error.errno]
            _, ancillary, flags, _ = probe.recvmsg(100, 1000, socket.MSG_ERRQUEUE)
            assert flags & socket.MSG_ERRQUEUE
            [(_, _, data)] = [each for each in ancillary if each[1] == errors]
            _, origin, kind, code = struct.unpack_from("=IBBB", data)
            assert origin == {4: SO_EE_ORIGIN_ICMP, 6: SO_EE_ORIGIN_ICMP6}[version]
            offender = socket.inet_ntop(FAMILY[version], data[20:24] if version == 4 else data[24:40])
            path.append((offender, name, kind, code))
            if name == "ECONNREFUSED":
                break
    return path


class TestRouters:
    def test_traceroute_names_every_router_of_the_way(self, network, version):
        first, _, _ = chain(network, 3)
        program = first.spawn(traceroute, version, last_address(version, 3))
        network.run()
        if version == 4:
            routers = [(f"10.0.{number}.2", "EHOSTUNREACH", 11, 0) for number in (1, 2, 3)]
            assert program.result == [*routers, ("10.0.4.2", "ECONNREFUSED", 3, 3)]
        else:
            routers = [(f"fd00:{number}::2", "EHOSTUNREACH", 3, 0) for number in (1, 2, 3)]
            assert program.result == [*routers, ("fd00:4::2", "ECONNREFUSED", 1, 4)]

    @pytest.mark.scenario("E3")
    def test_traceroute_shows_where_the_path_ends(self, network, version):
        first, _, _ = chain(network, 2)
        network.hosts["r2"].firewall.drop("forward")
        program = first.spawn(traceroute, version, last_address(version, 2), 4)
        network.run()
        assert [hop[0] for hop in program.result] == [
            {4: f"10.0.{number}.2", 6: f"fd00:{number}::2"}[version] for number in (1, 2)
        ] + ["*", "*"]

    def test_a_host_that_does_not_forward_is_no_router(self, network, version):
        first, _, _ = chain(network, 1)
        network.hosts["r1"].sysctl.update({"net.ipv4.ip_forward": 0, "net.ipv6.conf.all.forwarding": 0})
        program = first.spawn(traceroute, version, last_address(version, 1), 2)
        network.run()
        assert [hop[0] for hop in program.result] == ["*", "*"]

    def test_the_ttl_that_a_program_sees_counts_the_routers(self, network, version):
        level, option, kind = (
            (socket.IPPROTO_IP, IP_RECVTTL, socket.IP_TTL)
            if version == 4
            else (socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, socket.IPV6_HOPLIMIT)
        )

        def receiver():
            with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as s:
                s.setsockopt(level, option, 1)
                s.bind(("", 5000))
                _, ancillary, _, _ = s.recvmsg(100, 100)
                [(where, what, data)] = ancillary
                assert (where, what) == (level, kind)
                return struct.unpack("=i", data)[0]

        def sender(address):
            with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as s:
                s.sendto(b"x", (address, 5000))

        first, last, _ = chain(network, 3)
        program = last.spawn(receiver)
        first.spawn(sender, last_address(version, 3), start=1)
        network.run()
        assert program.result == 61


def receive_datagrams(version, count, size=65535):
    with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        s.bind(("", 5000))
        s.settimeout(60)
        received = []
        try:
            while len(received) < count:
                received.append(s.recv(size))
        except TimeoutError:
            pass
        return received


def send_datagrams(version, address, datagrams):
    with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as s:
        results = []
        for data in datagrams:
            try:
                results.append(s.sendto(data, (address, 5000)))
            except OSError as error:
                results.append(errno.errorcode[error.errno])
            time.sleep(0.1)
        return results


def pattern(length):
    return bytes(number * 7 % 251 for number in range(length))


class TestSizes:
    def test_a_large_datagram_crosses_a_small_mtu_in_fragments(self, network, version):
        a, b = network.host("a", "10.0.0.1", "fd00::1"), network.host("b", "10.0.0.2", "fd00::2")
        network.link(a, b, mtu=1280)
        network.trace.keep()
        program = b.spawn(receive_datagrams, version, 2)
        address = {4: "10.0.0.2", 6: "fd00::2"}[version]
        sent = a.spawn(send_datagrams, version, address, [pattern(60_000), b"small"], start=1)
        network.run()
        assert sent.result == [60_000, 5]
        assert program.result == [pattern(60_000), b"small"]
        sends = [line for line in network.trace.lines() if line.split()[1:4] == ["a", "eth0", "Out"]]
        fragments = [line for line in sends if "frag" in line]
        assert len(fragments) > 60_000 / 1280

    def test_a_router_fragments_for_ipv4_and_tells_a_sender_of_ipv6(self, network, version):
        first, last, _ = chain(network, 1)
        for interface in (network.hosts["r1"].interface("eth1"), last.interface("eth0")):
            network.hosts["r1"].machine.ip.set_mtu(interface, 1280)
        if version == 4:

            def send(address):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                    s.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT: routers may fragment
                    return s.sendto(pattern(1400), (address, 5000))
        else:

            def send(address):
                return send_datagrams(6, address, [pattern(1400), pattern(1400)])

        program = last.spawn(receive_datagrams, version, 1)
        sent = first.spawn(send, last_address(version, 1), start=1)
        network.run()
        # IPv6: the first is lost and teaches the sender the path's MTU (RFC 8201), the second goes in fragments.
        assert sent.result == (1400 if version == 4 else [1400, 1400])
        assert program.result == [pattern(1400)]

    def test_one_lost_fragment_loses_the_datagram(self, network, version):
        a, b = network.host("a", "10.0.0.1", "fd00::1"), network.host("b", "10.0.0.2", "fd00::2")
        link = network.link(a, b)
        link.add(DropNth(2, match=lambda packet: packet.payload_length() > 400), sender=a)
        program = b.spawn(receive_datagrams, version, 2)
        address = {4: "10.0.0.2", 6: "fd00::2"}[version]
        a.spawn(send_datagrams, version, address, [pattern(5000), b"after"], start=1)
        network.run()
        assert program.result == [b"after"]

    def test_a_datagram_that_must_not_be_fragmented(self, network):
        def send():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
                s.connect(("10.0.0.2", 5000))
                try:
                    s.send(pattern(1473))
                except OSError as error:
                    return errno.errorcode[error.errno], s.send(pattern(1472))

        a = network.host("a", "10.0.0.1")
        network.link(a, network.host("b", "10.0.0.2"), mtu=1500)
        program = a.spawn(send)
        network.run()
        assert program.result == ("EMSGSIZE", 1472)

    def test_a_connection_over_a_small_mtu_sends_no_segment_that_is_larger(self, network, version):
        a, b = network.host("a", "10.0.0.1", "fd00::1"), network.host("b", "10.0.0.2", "fd00::2")
        link = network.link(a, b, mtu=1280)
        sizes = set()

        class Watch:
            def decide(self, packet, now, random):
                if isinstance(packet, TcpSegment):
                    sizes.add({4: 20, 6: 40}[version] + packet.payload_length())

        link.add(DropNth(1000000, match=lambda packet: Watch().decide(packet, 0, None)))
        server = b.spawn(sink, version)
        a.spawn(pour, {4: "10.0.0.2", 6: "fd00::2"}[version], pattern(50_000), start=1)
        network.run()
        assert server.result[0] == pattern(50_000)
        assert max(sizes) == 1280


def sink(version=4, port=7000):
    """Take all of one connection: the data and when the last of it came."""
    with socket.create_server(("", port), family=FAMILY[version]) as listener:
        connection, _ = listener.accept()
        with connection:
            data = b"".join(iter(lambda: connection.recv(65536), b""))
            return data, time.monotonic()


def pour(address, data, port=7000):
    with socket.create_connection((address, port)) as connection:
        started = time.monotonic()
        connection.sendall(data)
        return started


@pytest.mark.scenario("B4")
class TestBadLinks:
    @pytest.mark.parametrize("seed", range(4))
    def test_a_stream_arrives_whole_and_in_order(self, version, seed):
        with Network(seed=seed, quiet=True) as network:
            a, b = network.host("a", "10.0.0.1", "fd00::1"), network.host("b", "10.0.0.2", "fd00::2")
            link = network.link(a, b, latency="5ms")
            for fault in (Loss(0.05), Reorder(0.1, "12ms"), Duplicate(0.1, "3ms")):
                link.add(fault)
            server = b.spawn(sink, version)
            a.spawn(pour, {4: "10.0.0.2", 6: "fd00::2"}[version], pattern(100_000), start=1)
            network.run()
            assert server.result[0] == pattern(100_000)

    def test_datagrams_are_lost_doubled_and_out_of_order_and_keep_their_boundaries(self, version):
        with Network(seed=3, quiet=True) as network:
            a, b = network.host("a", "10.0.0.1", "fd00::1"), network.host("b", "10.0.0.2", "fd00::2")
            link = network.link(a, b, latency="5ms")
            for fault in (Loss(0.1), Reorder(0.2, "250ms"), Duplicate(0.2)):
                link.add(fault)
            sent = [b"%03d" % number + bytes(number) for number in range(100)]
            program = b.spawn(receive_datagrams, version, 1000)
            a.spawn(send_datagrams, version, {4: "10.0.0.2", 6: "fd00::2"}[version], sent, start=1)
            network.run()
            received = program.result
            assert set(received) < set(sent)
            assert len(received) > len(set(received)) < 100
            assert received != sorted(received)

    def test_a_small_buffer_truncates_a_datagram_and_the_rest_is_gone(self, network, version):
        a, b = network.host("a", "10.0.0.1", "fd00::1"), network.host("b", "10.0.0.2", "fd00::2")
        program = b.spawn(receive_datagrams, version, 2, 4)
        a.spawn(send_datagrams, version, {4: "10.0.0.2", 6: "fd00::2"}[version], [b"abcdefgh", b"ij"], start=1)
        network.run()
        assert program.result == [b"abcd", b"ij"]


class TestTime:
    def test_each_direction_has_its_latency(self, network, version):
        a, b = network.host("a", "10.0.0.1", "fd00::1"), network.host("b", "10.0.0.2", "fd00::2")
        link = network.link(a, b, latency="10ms")
        link.shape(b, latency="50ms")

        def ask(address):
            with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as s:
                s.connect((address, 5000))
                times = []
                for _ in range(2):  # the first has to find the neighbour
                    started = time.monotonic()
                    s.send(b"x")
                    s.recv(10)
                    times.append(round(time.monotonic() - started, 6))
                return times

        def answer():
            with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as s:
                s.bind(("", 5000))
                for _ in range(2):
                    s.sendto(*s.recvfrom(10))

        b.spawn(answer)
        program = a.spawn(ask, {4: "10.0.0.2", 6: "fd00::2"}[version], start=1)
        network.run()
        assert program.result[1] == 0.060
        assert program.result[0] >= 0.120

    def test_a_stream_takes_the_bandwidth_and_no_more(self, network, version):
        a, b = network.host("a", "10.0.0.1", "fd00::1"), network.host("b", "10.0.0.2", "fd00::2")
        network.link(a, b, latency="1ms", bandwidth="10Mbit")
        server = b.spawn(sink, version)
        client = a.spawn(pour, {4: "10.0.0.2", 6: "fd00::2"}[version], bytes(2_500_000), start=1)
        network.run()
        seconds = server.result[1] - client.result
        # 2.5 MB at 10 Mbit/s are 2 s, with headers of at least 52 in 1500 bytes 2.07 s.
        assert 2.05 < seconds < 2.4

    def test_a_datagram_waits_for_those_before_it(self, network):
        a, b = network.host("a", "10.0.0.1"), network.host("b", "10.0.0.2")
        network.link(a, b, latency="0ms", bandwidth="8kbit")  # one byte takes a millisecond

        def receive():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind(("", 5000))
                times = []
                for _ in range(3):
                    s.recv(2000)
                    times.append(time.monotonic())
                return [round(later - earlier, 3) for earlier, later in pairwise(times)]

        def send():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                for size in (10, 100, 1000):
                    s.sendto(bytes(size), ("10.0.0.2", 5000))

        program = b.spawn(receive)
        a.spawn(send, start=1)
        network.run()
        between = [size + 28 for size in (100, 1000)]
        overheads = {round(1000 * seconds) - size for seconds, size in zip(program.result, between, strict=True)}
        assert overheads in ({0}, {14}, {18}), "IP packets, with or without an Ethernet header"
