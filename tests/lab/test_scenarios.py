"""The numbered scenarios between several hosts, by unmodified programs."""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import ExitStack

import pytest

from portside import Network

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


@pytest.fixture
def network():
    with Network(seed=1, quiet=True) as network:
        yield network


def code(error):
    return errno.errorcode[error.errno]


def reach(address, port=80, kind=TCP):
    """Whether a connection, or a datagram and its answer, comes about."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as s:
        s.settimeout(10)
        try:
            s.connect((address, port))
            if kind == UDP:
                s.send(b"?")
                s.recv(10)
        except OSError as error:
            return code(error) if error.errno else "timed out"
        return "reached"


def serve(address="", port=80, family=socket.AF_INET, kind=TCP, v6only=None, seconds=100):
    with socket.socket(family, kind) as s:
        if v6only is not None:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        s.bind((address, port))
        if kind == TCP:
            s.listen()
            time.sleep(seconds)
        while kind == UDP:
            s.sendto(*s.recvfrom(100))


def proc_net(name="tcp"):
    """The rows of /proc/net/tcp and the like: local address, remote address, state, send queue, receive queue."""
    rows = []
    with open(f"/proc/net/{name}") as file:
        next(file)
        for line in file:
            words = line.split()
            send, receive = (int(number, 16) for number in words[4].split(":"))
            local, remote = (_address(word) for word in words[1:3])
            rows.append((local, remote, int(words[3], 16), send, receive))
    return sorted(rows)


def _address(word):
    number, port = word.split(":")
    packed = b"".join(bytes.fromhex(number[at : at + 8])[::-1] for at in range(0, len(number), 8))
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed), int(port, 16)


ESTABLISHED, SYN_SENT, TIME_WAIT, LISTEN = 1, 2, 6, 10


class TestReach:
    """B9: a host with lo, eth0 and eth1, and who can reach what on it."""

    ADDRESSES = ("127.0.0.1", "10.0.1.1", "10.0.2.1")
    ADDRESSES6 = ("::1", "fd00:1::1", "fd00:2::1")

    @pytest.fixture
    def hosts(self, network):
        network.host("server", "10.0.1.1/24", "fd00:1::1/64", "10.0.2.1/24@eth1", "fd00:2::1/64@eth1")
        network.host("one", "10.0.1.2/24", "fd00:1::2/64")  # on the server's eth0
        network.host("two", "10.0.2.2/24", "fd00:2::2/64")  # on its eth1
        network.link("server@eth0", "one")
        network.link("server@eth1", "two")
        network.hosts["two"].route("default", via="10.0.2.1")
        network.hosts["two"].route("default", via="fd00:2::1")
        return network.hosts

    @pytest.mark.scenario("B9")
    @pytest.mark.parametrize("kind", [TCP, UDP], ids=["TCP", "UDP"])
    @pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
    @pytest.mark.parametrize("bound", [0, 1, 2, 3], ids=["wildcard", "lo", "eth0", "eth1"])
    def test_the_table(self, network, hosts, kind, version, bound):
        addresses = self.ADDRESSES if version == 4 else self.ADDRESSES6
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        address = ("", *addresses)[bound]
        hosts["server"].spawn(serve, address, 80, family, kind, background=True)
        programs = {
            (name, target): hosts[name].spawn(reach, target, 80, kind, start=1)
            for name in ("server", "one", "two")
            for target in addresses
        }
        network.run()
        reached = {key for key, program in programs.items() if program.result == "reached"}
        on_the_server = {("server", target) for target in addresses if address in ("", target)}
        # From outside: never lo; the address of the link one is on; through `two`'s default route the other one, too,
        # for an address belongs to the host and not to the interface.
        outside = {("one", addresses[1]), ("two", addresses[1]), ("two", addresses[2])}
        if kind == UDP and address == "":
            # The answer of a wildcard socket leaves with the address of the link by which it leaves: for others.
            outside.remove(("two", addresses[1]))
        assert reached == on_the_server | {(name, target) for name, target in outside if address in ("", target)}
        refused = {program.result for key, program in programs.items() if key not in reached}
        assert refused <= {"ECONNREFUSED", "ENETUNREACH", "timed out"}
        assert ("timed out" in refused) == (kind == UDP and address == "")
        assert programs["one", addresses[2]].result == "ENETUNREACH"

    @pytest.mark.scenario("B9")
    def test_a_device_keeps_the_other_link_out(self, network, hosts):
        def listener():
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth1\0")
                s.bind(("", 80))
                s.listen()
                time.sleep(100)

        hosts["server"].spawn(listener, background=True)
        one = hosts["one"].spawn(reach, "10.0.1.1", start=1)
        two = hosts["two"].spawn(reach, "10.0.2.1", start=1)
        around = hosts["two"].spawn(reach, "10.0.1.1", start=1)
        network.run()
        assert (one.result, two.result, around.result) == ("ECONNREFUSED", "reached", "reached")

    @pytest.mark.scenario("A5")
    @pytest.mark.scenario("C5")
    @pytest.mark.parametrize(
        ("family", "v6only", "expected"),
        [
            (socket.AF_INET, None, ["reached", "ECONNREFUSED"]),
            (socket.AF_INET6, False, ["reached", "reached"]),
            (socket.AF_INET6, True, ["ECONNREFUSED", "reached"]),
        ],
    )
    def test_families(self, network, hosts, family, v6only, expected):
        hosts["server"].spawn(serve, "", 80, family, TCP, v6only, background=True)
        programs = [hosts["one"].spawn(reach, address, start=1) for address in ("10.0.1.1", "fd00:1::1")]
        network.run()
        assert [program.result for program in programs] == expected

    @pytest.mark.scenario("C6")
    def test_bindv6only(self, network, hosts):
        hosts["server"].sysctl["net.ipv6.bindv6only"] = 1
        hosts["server"].spawn(serve, "", 80, socket.AF_INET6, background=True)
        hosts["server"].spawn(serve, "", 81, socket.AF_INET6, TCP, False, background=True)
        programs = [hosts["one"].spawn(reach, "10.0.1.1", port, start=1) for port in (80, 81)]
        network.run()
        assert [program.result for program in programs] == ["ECONNREFUSED", "reached"]

    @pytest.mark.scenario("C7")
    def test_a_proxy_on_ipv6_for_a_daemon_on_ipv4(self, network, hosts):
        def daemon():
            with socket.socket(socket.AF_INET, UDP) as s:
                s.bind(("127.0.0.1", 5300))
                data, peer = s.recvfrom(100)
                s.sendto(data.upper(), peer)
                return peer[0]

        def proxy():
            with socket.socket(socket.AF_INET6, UDP) as front, socket.socket(socket.AF_INET, UDP) as back:
                front.bind(("::", 53))
                back.connect(("127.0.0.1", 5300))
                data, peer = front.recvfrom(100)
                back.send(data)
                front.sendto(back.recv(100), peer)
                return peer[0]

        def client():
            with socket.socket(socket.AF_INET6, UDP) as s:
                s.connect(("fd00:1::1", 53))
                s.send(b"who?")
                return s.recv(100)

        programs = [hosts["server"].spawn(daemon), hosts["server"].spawn(proxy), hosts["one"].spawn(client, start=1)]
        network.run()
        assert [program.result for program in programs] == ["127.0.0.1", "fd00:1::2", b"WHO?"]


class TestEphemeralPorts:
    @pytest.mark.scenario("B7")
    def test_a_program_reads_and_sets_the_range(self, network):
        path = "/proc/sys/net/ipv4/ip_local_port_range"

        def program():
            with open(path) as file:
                before = file.read()
            with open(path, "w") as file:
                file.write("50000 50003\n")
            ports = set()
            with ExitStack() as stack:
                for _ in range(4):
                    s = stack.enter_context(socket.socket())
                    s.bind(("", 0))
                    ports.add(s.getsockname()[1])
                with pytest.raises(OSError, match="Address already in use"):
                    stack.enter_context(socket.socket()).bind(("", 0))
            return before, ports

        def other():
            with open(path) as file:
                return file.read().split()

        changed = network.host("a").spawn(program)
        unchanged = network.host("b").spawn(other, start=1)
        network.run()
        assert changed.result == ("32768\t60999\n", {50000, 50001, 50002, 50003})
        assert unchanged.result == ["32768", "60999"]

    @pytest.mark.scenario("B7")
    def test_who_may_set_it_and_to_what(self, network):
        def program():
            errors = []
            for value in ("1 2 3", "9 5", "x", "70000 80000", "50000 50003"):
                try:
                    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
                        file.write(value)
                    errors.append("ok")
                except OSError as error:
                    errors.append(code(error))
            return errors

        host = network.host("a")
        programs = [host.spawn(program, user=user) for user in ("root", "alice")]
        network.run()
        assert programs[0].result[1:] == ["EINVAL", "EINVAL", "EINVAL", "ok"]
        assert programs[1].result == ["EACCES"] * 5

    @staticmethod
    def connect_and_close(address, count, pause=0.0, who_closes="client"):
        """How many of `count` connections in a row came about, and what the next one said."""
        for number in range(count):
            with socket.socket() as s:
                try:
                    s.connect((address, 80))
                except OSError as error:
                    return number, code(error)
                if who_closes == "server":
                    s.recv(1)
            time.sleep(pause)
        return count, None

    @staticmethod
    def accept_all(close_first):
        with socket.create_server(("", 80), backlog=1000) as listener:
            while True:
                connection, _ = listener.accept()
                with connection:
                    if not close_first:
                        connection.recv(1)

    def exhausted(self, network, *, count=30, close_first=False, sysctls=(), client=None, targets=("10.0.0.1",)):
        server = network.host("server", "10.0.0.1/24", "10.0.0.2/24")
        host = network.host("client", "10.0.0.10/24", "10.0.0.11/24")
        host.sysctl["net.ipv4.ip_local_port_range"] = "40000 40009"
        host.sysctl.update(dict(sysctls))
        server.spawn(self.accept_all, close_first, background=True)

        def program():
            who = "server" if close_first else "client"
            return [self.connect_and_close(target, count, 0.2, who) for target in targets]

        spawned = host.spawn(client or program, start=1)
        network.run()
        return spawned.result

    @pytest.mark.scenario("B8")
    def test_connections_closed_by_the_client_keep_their_port(self, network):
        assert self.exhausted(network, sysctls={"net.ipv4.tcp_tw_reuse": 0}) == [(10, "EADDRNOTAVAIL")]

    @pytest.mark.scenario("B8")
    def test_the_default_of_tw_reuse_is_for_loopback_only(self, network):
        assert self.exhausted(network) == [(10, "EADDRNOTAVAIL")]

    @pytest.mark.scenario("B8")
    def test_the_port_is_free_again_after_a_minute(self, network):
        def program():
            first = self.connect_and_close("10.0.0.1", 11)
            time.sleep(59)
            second = self.connect_and_close("10.0.0.1", 1)
            time.sleep(1.5)
            return first, second, self.connect_and_close("10.0.0.1", 11)

        result = self.exhausted(network, client=program, sysctls={"net.ipv4.tcp_tw_reuse": 0})
        assert result == ((10, "EADDRNOTAVAIL"), (0, "EADDRNOTAVAIL"), (10, "EADDRNOTAVAIL"))

    @pytest.mark.scenario("B8")
    def test_remedy_a_wider_range(self, network):
        assert self.exhausted(network, sysctls={"net.ipv4.ip_local_port_range": "40000 40099"}) == [(30, None)]

    @pytest.mark.scenario("B8")
    def test_remedy_tw_reuse(self, network):
        # Ports can be taken again after a second, and the ten last two seconds here.
        assert self.exhausted(network, sysctls={"net.ipv4.tcp_tw_reuse": 1}) == [(30, None)]

    @pytest.mark.scenario("B8")
    def test_remedy_another_destination(self, network):
        targets = ("10.0.0.1", "10.0.0.2")
        assert self.exhausted(network, targets=targets) == [(10, "EADDRNOTAVAIL"), (10, "EADDRNOTAVAIL")]

    @pytest.mark.scenario("B8")
    def test_remedy_another_source_address(self, network):
        ip_bind_address_no_port = 24

        def program():
            counts = []
            with ExitStack() as stack:
                for source in ("10.0.0.10", "10.0.0.11"):
                    for number in range(20):
                        s = stack.enter_context(socket.socket())
                        s.setsockopt(socket.IPPROTO_IP, ip_bind_address_no_port, 1)
                        s.bind((source, 0))
                        try:
                            s.connect(("10.0.0.1", 80))
                        except OSError as error:
                            counts.append((number, code(error)))
                            break
            return counts

        assert self.exhausted(network, client=program) == [(10, "EADDRNOTAVAIL"), (10, "EADDRNOTAVAIL")]

    @pytest.mark.scenario("B8")
    def test_remedy_pooling(self, network):
        def program():
            with socket.create_connection(("10.0.0.1", 80)) as s:
                return [s.send(b"") for _ in range(30)]

        assert len(self.exhausted(network, client=program)) == 30

    @pytest.mark.scenario("B8")
    def test_remedy_the_server_closes(self, network):
        assert self.exhausted(network, close_first=True) == [(30, None)]


class TestTableRows:
    @pytest.mark.scenario("D1")
    def test_one_row_listens_and_one_per_connection_with_its_mirror_image(self, network):
        def server():
            with socket.create_server(("", 7000)) as listener, ExitStack() as stack:
                for _ in range(2):
                    stack.enter_context(listener.accept()[0])
                rows = proc_net()
                time.sleep(10)
                return rows

        def client():
            with socket.create_connection(("10.0.0.1", 7000)) as s:
                time.sleep(5)
                return proc_net(), s.getsockname()

        listening = network.host("server", "10.0.0.1/24").spawn(server)
        clients = [network.host(name, address).spawn(client, start=1)
                   for name, address in (("one", "10.0.0.2/24"), ("two", "10.0.0.3/24"))]  # fmt: skip
        network.run()
        here = ("10.0.0.1", 7000)
        names = sorted(program.result[1] for program in clients)
        assert listening.result == sorted([
            (("0.0.0.0", 7000), ("0.0.0.0", 0), LISTEN, 0, 0),
            *((here, name, ESTABLISHED, 0, 0) for name in names),
        ])  # fmt: skip
        for program in clients:
            assert program.result[0] == [(program.result[1], here, ESTABLISHED, 0, 0)]

    @pytest.mark.scenario("D2")
    @pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
    def test_a_segment_for_no_socket_and_a_datagram_for_no_socket(self, network, address):
        network.host("server", "10.0.0.1/24", "fd00::1/64")
        client = network.host("client", "10.0.0.2/24", "fd00::2/64")
        network.trace.keep()
        programs = [client.spawn(reach, address, 9, kind, start=1) for kind in (TCP, UDP)]
        network.run()
        assert [program.result for program in programs] == ["ECONNREFUSED"] * 2
        answers = [line for line in network.trace.lines() if line.split()[1:4] == ["server", "eth0", "Out"]]
        assert [line for line in answers if "Flags [R.]" in line]
        assert [line for line in answers if "unreachable" in line]

    @pytest.mark.scenario("D2")
    def test_an_unconnected_socket_does_not_hear_of_it(self, network):
        def client():
            with socket.socket(socket.AF_INET, UDP) as s:
                s.settimeout(5)
                s.sendto(b"x", ("10.0.0.1", 9))
                with pytest.raises(TimeoutError):
                    s.recv(10)

        network.host("server", "10.0.0.1/24")
        program = network.host("client", "10.0.0.2/24").spawn(client)
        network.run()
        assert program.exit_code == 0

    @pytest.mark.scenario("D3")
    def test_bytes_wait_in_the_receive_queue(self, network):
        def server():
            with socket.create_server(("", 7000), backlog=2) as listener:
                time.sleep(2)
                waiting = [row[3:] for row in proc_net() if row[2] == LISTEN]
                connection, peer = listener.accept()
                with connection:
                    queued = [row[3:] for row in proc_net() if row[1] == peer]
                    received = connection.recv(100)
                    left = [row[3:] for row in proc_net() if row[1] == peer]
                return waiting, queued, received, left

        def client():
            with socket.create_connection(("10.0.0.1", 7000)) as s:
                s.sendall(b"early")
                time.sleep(5)

        program = network.host("server", "10.0.0.1/24").spawn(server)
        network.host("client", "10.0.0.2/24").spawn(client, start=1)
        network.run()
        assert program.result == ([(0, 1)], [(0, 5)], b"early", [(0, 0)])

    @pytest.mark.scenario("D3")
    @pytest.mark.parametrize(
        ("sysctls", "expected"),
        [
            ({}, ["connected", "connected", "SYN-SENT"]),
            ({"net.core.somaxconn": 0}, ["connected", "SYN-SENT", "SYN-SENT"]),
        ],
    )
    def test_a_full_accept_queue(self, network, sysctls, expected):
        def server():
            with socket.create_server(("", 7000), backlog=1):
                time.sleep(60)

        def client():
            with socket.socket() as s:
                s.setblocking(False)
                s.connect_ex(("10.0.0.1", 7000))
                time.sleep(2)
                [row] = [row for row in proc_net() if row[0] == s.getsockname()]
                time.sleep(10)
                return {ESTABLISHED: "connected", SYN_SENT: "SYN-SENT"}[row[2]]

        network.host("server", "10.0.0.1/24", sysctls=sysctls).spawn(server, background=True)
        host = network.host("client", "10.0.0.2/24")
        programs = [host.spawn(client, start=1 + 0.1 * number) for number in range(3)]
        network.run()
        assert [program.result for program in programs] == expected

    @pytest.mark.scenario("D3")
    def test_a_waiting_client_gets_in_when_there_is_room(self, network):
        def server():
            with socket.create_server(("", 7000), backlog=0) as listener, ExitStack() as stack:
                time.sleep(5.5)
                for _ in range(2):
                    stack.enter_context(listener.accept()[0])
                time.sleep(5)

        def client():
            started = time.monotonic()
            with socket.create_connection(("10.0.0.1", 7000)):
                return round(time.monotonic() - started)

        network.host("server", "10.0.0.1/24").spawn(server)
        host = network.host("client", "10.0.0.2/24")
        programs = [host.spawn(client, start=1 + 0.1 * number) for number in range(2)]
        network.run()
        assert [program.result for program in programs] == [0, 5]  # SYNs after 1, 2, 3, 4 and 5 s

    @pytest.mark.scenario("B3")
    def test_one_port_serves_many_clients_each_with_its_own_bytes(self, network):
        def server(count):
            with socket.create_server(("", 7000), backlog=1000) as listener, ExitStack() as stack:
                connections = [listener.accept() for _ in range(count)]
                for connection, _ in connections:
                    stack.enter_context(connection)
                for connection, peer in connections:
                    connection.sendall(repr(peer).encode())
                return len({(connection.getsockname(), peer) for connection, peer in connections})

        def client(count):
            with ExitStack() as stack:
                mine = [stack.enter_context(socket.create_connection(("10.0.0.1", 7000))) for _ in range(count)]
                return all(s.recv(100) == repr(s.getsockname()).encode() for s in mine)

        program = network.host("server", "10.0.0.1/24").spawn(server, 900)
        clients = [network.host(name).spawn(client, 300, start=1) for name in ("a", "b", "c")]
        network.run()
        assert program.result == 900
        assert [each.result for each in clients] == [True] * 3


class TestSysctlsAct:
    @pytest.mark.scenario("D3")
    def test_abort_on_overflow(self, network):
        def server():
            with socket.create_server(("", 7000), backlog=1):
                time.sleep(60)

        def client():
            with socket.create_connection(("10.0.0.1", 7000)) as s:
                s.settimeout(5)
                try:
                    return s.recv(1)
                except OSError as error:
                    return type(error).__name__

        host = network.host("server", "10.0.0.1/24", sysctls={"net.ipv4.tcp_abort_on_overflow": 1})
        host.spawn(server, background=True)
        peer = network.host("client", "10.0.0.2/24")
        network.link("server", "client", latency="50ms")
        # The last two SYNs find room; of the two ACKs that follow the second finds the queue full: a reset answers it.
        programs = [peer.spawn(client, start=start) for start in (1, 2, 2.01)]
        network.run()
        assert [program.result for program in programs] == ["TimeoutError", "TimeoutError", "ConnectionResetError"]

    def test_values_are_per_host_and_for_every_program_of_it(self, network):
        def write():
            with open("/proc/sys/net/core/somaxconn", "w") as file:
                file.write("7")

        def read():
            with open("/proc/sys/net/core/somaxconn") as file:
                return int(file.read())

        a, b = network.host("a"), network.host("b")
        a.spawn(write)
        programs = [a.spawn(read, start=1), b.spawn(read, start=1)]
        network.run()
        assert [program.result for program in programs] == [7, 4096]
        assert a.sysctl["net.core.somaxconn"] == "7"

    def test_a_default_ttl_by_sysctl_is_seen_by_the_receiver(self, network):
        ip_recvttl = 12

        def receive():
            with socket.socket(socket.AF_INET, UDP) as s:
                s.setsockopt(socket.IPPROTO_IP, ip_recvttl, 1)
                s.bind(("", 5000))
                return s.recvmsg(10, 100)[1][0][2][0]

        def send():
            with socket.socket(socket.AF_INET, UDP) as s:
                s.sendto(b"x", ("10.0.0.1", 5000))

        program = network.host("a", "10.0.0.1/24").spawn(receive)
        sender = network.host("b", "10.0.0.2/24", sysctls={"net.ipv4.ip_default_ttl": 17})
        sender.spawn(send, start=1)
        network.run()
        assert program.result == 17

    def test_what_is_not_there(self, network):
        def program():
            with pytest.raises(FileNotFoundError), open("/proc/sys/net/ipv4/no_such_setting"):
                pass
            return "ip_local_port_range" in os.listdir("/proc/sys/net/ipv4")

        result = network.host("a").spawn(program)
        network.run()
        assert result.result is True


class TestOneClock:
    def test_hosts_and_programs_share_it_and_sleeping_costs_nothing(self, network):
        def sleeper(seconds):
            time.sleep(seconds)
            return time.time(), time.monotonic()

        programs = [network.host(name).spawn(sleeper, seconds) for name, seconds in (("a", 86_400), ("b", 10 * 86_400))]
        network.run()
        (a_wall, a_time), (b_wall, b_time) = (program.result for program in programs)
        assert (b_wall - a_wall, b_time - a_time) == (9 * 86_400, 9 * 86_400)
        assert network.now == 10 * 86_400
