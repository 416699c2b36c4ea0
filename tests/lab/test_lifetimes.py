"""How connections end: the link is cut, a program ends or is killed, a timer runs out; with errno and virtual time."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from itertools import pairwise
from typing import ClassVar

import pytest

from portside import Deadlock, Network

SERVER = "10.0.0.1"


class Pair:
    """A server and a client on a link of 1 ms."""

    def __init__(self, network):
        self.network = network
        self.server = network.host("server", SERVER, "fd00::1")
        self.client = network.host("client", "10.0.0.2", "fd00::2")
        self.link = network.link("server", "client", latency="1ms")

    def cut(self, at):
        self.network.at(at, setattr, self.link, "up", False)

    def run(self, **options):
        self.network.run(**options)


@pytest.fixture
def pair():
    with Network(seed=1, quiet=True) as network:
        yield Pair(network)


def code(error):
    return errno.errorcode[error.errno]


def accepting(body, port=7000):
    """A server of one connection, which it gives to `body`."""

    def server():
        with socket.create_server(("", port)) as listener:
            connection, _ = listener.accept()
            with connection:
                return body(connection)

    return server


def hold(connection):
    time.sleep(100_000)


def hold_for_ever(connection):
    signal.pause()


def proc_net_tcp():
    with open("/proc/net/tcp") as file:
        return [line.split() for line in file][1:]


STATES = {1: "ESTABLISHED", 4: "FIN-WAIT-1", 5: "FIN-WAIT-2", 6: "TIME-WAIT", 8: "CLOSE-WAIT", 10: "LISTEN"}


def states(port=7000):
    """The states of the sockets of one port, as /proc/net/tcp has them."""
    rows = [
        (int(row[1].split(":")[1], 16), int(row[2].split(":")[1], 16), STATES.get(int(row[3], 16), row[3]))
        for row in proc_net_tcp()
    ]
    return sorted(state for local, remote, state in rows if port in (local, remote))


class TestALinkThatIsCut:
    def connected(self, pair, body, options=(), cut=2):
        def client():
            with socket.create_connection((SERVER, 7000)) as connection:
                for level, name, value in options:
                    connection.setsockopt(level, name, value)
                started = time.monotonic()
                try:
                    return body(connection)
                except OSError as error:
                    return code(error), time.monotonic() - started

        pair.server.spawn(accepting(hold), background=True)
        pair.cut(cut)
        program = pair.client.spawn(client, start=1)
        pair.run()
        return program.result

    def test_keepalive_finds_out(self, pair):
        tcp = socket.IPPROTO_TCP
        result, seconds = self.connected(
            pair, lambda connection: connection.recv(1),
            [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (tcp, socket.TCP_KEEPIDLE, 60),
             (tcp, socket.TCP_KEEPINTVL, 10), (tcp, socket.TCP_KEEPCNT, 3)],
        )  # fmt: skip
        assert result == "ETIMEDOUT"
        assert seconds == pytest.approx(60 + 3 * 10, abs=1)

    def test_keepalive_by_the_sysctls(self, pair):
        pair.client.sysctl.update({"net.ipv4.tcp_keepalive_time": 600})
        result, seconds = self.connected(
            pair, lambda connection: connection.recv(1), [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        )
        assert result == "ETIMEDOUT"
        assert seconds == pytest.approx(600 + 9 * 75, abs=1)

    def test_keepalive_keeps_a_connection_that_lives(self, pair):
        def client():
            with socket.create_connection((SERVER, 7000)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
                connection.settimeout(10_000)
                try:
                    return connection.recv(1)
                except TimeoutError:
                    return states()

        pair.server.spawn(accepting(hold), background=True)
        program = pair.client.spawn(client, start=1)
        pair.run()
        assert program.result == ["ESTABLISHED"]

    def test_without_keepalive_nobody_notices(self, pair):
        def body(connection):
            connection.settimeout(100_000)
            connection.recv(1)

        def client():
            with socket.create_connection((SERVER, 7000)) as connection:
                connection.settimeout(90_000)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
                return states()

        pair.server.spawn(accepting(hold), background=True)
        pair.cut(2)
        program = pair.client.spawn(client, start=1)
        pair.run()
        assert program.result == ["ESTABLISHED"]

    @staticmethod
    def send_and_wait(connection):
        time.sleep(5)
        connection.sendall(b"into the void")
        connection.recv(1)

    def test_data_is_sent_again_until_tcp_retries2_is_used_up(self, pair):
        network = pair.network
        network.trace.keep()
        result, seconds = self.connected(pair, self.send_and_wait)
        sent = [
            float(line.split()[0]) for line in network.trace.lines()
            if line.split()[1] == "client" and "Out" in line and "length 13" in line
        ]  # fmt: skip
        assert len(sent) == 1 + 15
        pauses = [later - earlier for earlier, later in pairwise(sent)]
        assert 0.2 <= pauses[0] <= 0.25
        for shorter, longer in pairwise(pauses):
            assert longer == pytest.approx(min(2 * shorter, 120), rel=0.02)
        assert seconds == pytest.approx(5 + 924.6, rel=0.03)  # ip-sysctl.rst of tcp_retries2, with an RTO of 0.2 s
        assert result in ("ETIMEDOUT", "EHOSTUNREACH")

    def test_fewer_retries_by_sysctl(self, pair):
        pair.client.sysctl["net.ipv4.tcp_retries2"] = 3
        result, seconds = self.connected(pair, self.send_and_wait)
        assert result == "ETIMEDOUT"
        # Three seconds (0.2 times 15) since the first time that it was sent again are over at the fifth time-out.
        assert seconds == pytest.approx(5 + 0.2 + 0.4 + 0.8 + 1.6 + 3.2, abs=0.2)

    def test_a_user_timeout_ends_it_sooner(self, pair):
        result, seconds = self.connected(
            pair, self.send_and_wait, [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000)]
        )
        assert result == "ETIMEDOUT"
        assert seconds == pytest.approx(5 + 10, abs=0.5)

    def test_a_link_that_comes_back_delivers(self, pair):
        def body(connection):
            time.sleep(5)
            connection.sendall(b"hello")
            return connection.recv(100)

        def client():
            with socket.create_connection((SERVER, 7000)) as connection:
                return body(connection)

        pair.server.spawn(accepting(lambda connection: connection.sendall(connection.recv(100).upper())))
        pair.cut(2)
        pair.network.at(30, setattr, pair.link, "up", True)
        program = pair.client.spawn(client, start=1)
        pair.run()
        assert program.result == b"HELLO"

    def test_a_firewall_that_begins_to_drop_is_the_same(self, pair):
        def client():
            with socket.create_connection((SERVER, 7000)) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 3000)
                try:
                    self.send_and_wait(connection)
                except OSError as error:
                    return code(error)

        pair.server.spawn(accepting(hold), background=True)
        pair.network.at(2, pair.server.firewall.drop)
        program = pair.client.spawn(client, start=1)
        pair.run()
        assert program.result == "ETIMEDOUT"


class TestAReaderThatDoesNotRead:
    """The window closes, the sender waits; what happens then depends on what becomes of the reader."""

    @staticmethod
    def pour(connection):
        started = time.monotonic()
        connection.sendall(bytes(20_000_000))
        return time.monotonic() - started

    def poured(self, pair, reader, cut=None):
        def client():
            with socket.create_connection((SERVER, 7000)) as connection:
                started = time.monotonic()
                try:
                    return "sent", self.pour(connection)
                except OSError as error:
                    return code(error), time.monotonic() - started

        server = pair.server.spawn(accepting(reader), check=False, background=cut is not None)
        if cut is not None:
            pair.cut(cut)
        program = pair.client.spawn(client, start=1)
        pair.run()
        return program.result, server.result

    def test_the_sender_goes_on_when_it_reads_again(self, pair):
        def reader(connection):
            time.sleep(300)
            total = 0
            while data := connection.recv(1 << 20):
                total += len(data)
            return total

        (result, seconds), total = self.poured(pair, reader)
        assert (result, total) == ("sent", 20_000_000)
        # It was asked again and again meanwhile; what it says when it has room goes out at once, and is heard.
        assert 298 < seconds < 310

    def test_it_ends_and_the_sender_hears_a_reset(self, pair):
        (result, seconds), _ = self.poured(pair, lambda connection: time.sleep(300))
        assert result == "ECONNRESET"
        assert 298 < seconds < 301

    def test_the_link_is_cut_meanwhile(self, pair):
        pair.client.sysctl["net.ipv4.tcp_retries2"] = 5
        (result, seconds), _ = self.poured(pair, hold, cut=100)
        assert result in ("ETIMEDOUT", "EHOSTUNREACH")
        assert 100 < seconds < 1000

    def test_it_lives_and_never_reads(self, pair):
        def client():
            with socket.create_connection((SERVER, 7000)) as connection:
                connection.settimeout(50_000)
                try:
                    self.pour(connection)
                except TimeoutError:
                    return states()

        pair.server.spawn(accepting(hold), background=True)
        program = pair.client.spawn(client, start=1)
        pair.run()
        # Probes that are answered keep a connection for ever (RFC 9293 section 3.8.6.1).
        assert program.result == ["ESTABLISHED"]

    def test_it_lives_and_never_reads_and_the_sender_waits_for_ever(self, pair):
        def client():
            with socket.create_connection((SERVER, 7000)) as connection:
                self.pour(connection)

        pair.server.spawn(accepting(hold_for_ever), background=True)
        pair.client.spawn(client, start=1)
        with pytest.raises(Deadlock, match=r"client \(pid 100\) on client: send on tcp .* ESTABLISHED"):
            pair.run()

    def test_keepalive_keeps_no_world_alive(self, pair):
        def client():
            with socket.create_connection((SERVER, 7000)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                connection.recv(1)

        pair.server.spawn(accepting(hold_for_ever), background=True)
        pair.client.spawn(client, start=1)
        with pytest.raises(Deadlock, match=r"client .* on client: recv on tcp"):
            pair.run()


class TestTimers:
    def test_time_wait_lasts_a_minute_and_is_the_clients_that_closed_first(self, pair):
        def client():
            socket.create_connection((SERVER, 7000)).close()
            seen = []
            for pause in (1, 58, 2):
                time.sleep(pause)
                seen.append(states())
            return seen

        def server_states():
            return states()

        pair.server.spawn(accepting(lambda connection: connection.recv(1)))
        program = pair.client.spawn(client, start=1)
        other = pair.server.spawn(server_states, start=3)
        pair.run()
        assert program.result == [["TIME-WAIT"], ["TIME-WAIT"], []]
        assert other.result == []

    def test_an_orphaned_fin_wait_2_ends_after_a_minute(self, pair):
        def client():
            socket.create_connection((SERVER, 7000)).close()
            seen = []
            for pause in (1, 58, 2):
                time.sleep(pause)
                seen.append(states())
            return seen

        pair.server.spawn(accepting(hold), background=True)
        program = pair.client.spawn(client, start=1)
        pair.run()
        assert program.result == [["FIN-WAIT-2"], ["FIN-WAIT-2"], []]

    def test_a_fin_wait_2_that_is_still_open_stays(self, pair):
        def client():
            with socket.create_connection((SERVER, 7000)) as connection:
                connection.shutdown(socket.SHUT_WR)
                time.sleep(3600)
                return states()

        pair.server.spawn(accepting(hold), background=True)
        program = pair.client.spawn(client, start=1)
        pair.run()
        assert program.result == ["FIN-WAIT-2"]

    def test_fin_timeout_by_sysctl(self, pair):
        pair.client.sysctl["net.ipv4.tcp_fin_timeout"] = 5

        def client():
            socket.create_connection((SERVER, 7000)).close()
            seen = []
            for pause in (4, 2):
                time.sleep(pause)
                seen.append(states())
            return seen

        pair.server.spawn(accepting(hold), background=True)
        program = pair.client.spawn(client, start=1)
        pair.run()
        assert program.result == [["FIN-WAIT-2"], []]


@pytest.mark.scenario("E4")
class TestProgramsThatEnd:
    """What the peer hears when a program ends, by whichever way."""

    @staticmethod
    def peer():
        with socket.create_connection((SERVER, 7000)) as connection:
            connection.sendall(b"request")
            heard = []
            for _ in range(2):
                try:
                    heard.append(connection.recv(100))
                except OSError as error:
                    heard.append(code(error))
            time.sleep(1)
            for _ in range(2):
                try:
                    heard.append(connection.send(b"x"))
                except OSError as error:
                    heard.append(code(error))
                time.sleep(1)
            return heard

    def heard(self, pair, server, kill=None):
        program = pair.server.spawn(server, check=False)
        if kill is not None:
            pair.network.at(5, program.kill, kill)
        client = pair.client.spawn(self.peer, start=1)
        pair.run()
        return client.result, program.exit_code

    ORDERLY: ClassVar = [b"", b"", 1, "EPIPE"]
    RESET: ClassVar = ["ECONNRESET", b"", "EPIPE", "EPIPE"]

    def test_ends_after_it_has_read_all(self, pair):
        def read(connection):
            connection.recv(100)
            os._exit(3)

        assert self.heard(pair, accepting(read)) == (self.ORDERLY, 3)

    def test_ends_with_unread_data(self, pair):
        def wait(connection):
            time.sleep(5)
            os._exit(3)

        assert self.heard(pair, accepting(wait)) == (self.RESET, 3)

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_is_killed_after_it_has_read_all(self, pair, number):
        def read(connection):
            connection.recv(100)
            time.sleep(100)

        assert self.heard(pair, accepting(read), number) == (self.ORDERLY, -number)

    def test_is_killed_with_unread_data(self, pair):
        assert self.heard(pair, accepting(hold), signal.SIGKILL) == (self.RESET, -signal.SIGKILL)

    def test_is_killed_before_it_accepted(self, pair):
        def server():
            with socket.create_server(("", 7000)):
                time.sleep(100)

        assert self.heard(pair, server, signal.SIGKILL) == (self.RESET, -signal.SIGKILL)

    def test_dies_of_an_exception(self, pair):
        def fail(connection):
            connection.recv(100)
            raise RuntimeError("broken")

        pair.server.spawn(accepting(fail), check=False)
        client = pair.client.spawn(self.peer, start=1)
        pair.run()
        assert client.result == self.ORDERLY

    def test_is_killed_by_another_program_of_its_host(self, pair):
        server = pair.server.spawn(accepting(hold), check=False)
        assert server.pid is not None
        killer = pair.server.spawn(lambda: os.kill(server.pid, signal.SIGKILL), start=5)
        client = pair.client.spawn(self.peer, start=1)
        pair.run()
        assert (server.exit_code, killer.exit_code) == (-signal.SIGKILL, 0)
        assert client.result == self.RESET

    def test_nobody_kills_what_is_another_users(self, pair):
        def kill(pid):
            for number in (0, signal.SIGKILL):
                try:
                    os.kill(pid, number)
                except OSError as error:
                    yield code(error)

        server = pair.server.spawn(accepting(lambda connection: connection.recv(100)))
        killer = pair.server.spawn(lambda: list(kill(server.pid)), user="alice")
        pair.client.spawn(self.peer, start=1)
        pair.run()
        assert killer.result == ["EPERM", "EPERM"]
        assert server.exit_code == 0

    def test_a_duplicate_keeps_the_connection(self, pair):
        def keep(connection):
            other = os.dup(connection.fileno())
            connection.close()
            time.sleep(10)
            os.write(other, b"still here")
            os.read(other, 100)
            os.close(other)

        def client():
            with socket.create_connection((SERVER, 7000)) as connection:
                connection.sendall(b"x")
                return connection.recv(100), connection.recv(100)

        pair.server.spawn(accepting(keep))
        program = pair.client.spawn(client, start=1)
        pair.run()
        assert program.result == (b"still here", b"")

    def test_the_port_is_free_when_the_program_is_gone(self, pair):
        def bind():
            with socket.socket() as s:
                try:
                    s.bind(("", 7000))
                except OSError as error:
                    return code(error)
                return "ok"

        server = pair.server.spawn(accepting(hold), check=False)
        before = pair.server.spawn(bind, start=1)
        pair.network.at(2, server.kill, signal.SIGKILL)
        after = pair.server.spawn(bind, start=3)
        pair.run()
        assert (before.result, after.result) == ("EADDRINUSE", "ok")


class TestIdentity:
    @pytest.mark.scenario("B2")
    def test_seteuid_takes_the_privilege_and_gives_it_back(self, pair):
        def bind():
            results = []
            for uid in (1000, 0):
                os.seteuid(uid)
                with socket.socket() as s:
                    try:
                        s.bind(("", 80))
                        results.append("ok")
                    except OSError as error:
                        results.append(str(error))
            return results, os.getuid(), os.geteuid()

        program = pair.server.spawn(bind)
        pair.run()
        assert program.result == (["[Errno 13] Permission denied", "ok"], 0, 0)

    @pytest.mark.scenario("B2")
    def test_setuid_is_for_good(self, pair):
        def drop():
            with socket.create_server(("", 80)) as listener:
                os.setuid(1000)
                errors = []
                for call in (lambda: os.seteuid(0), lambda: os.setuid(0), lambda: socket.create_server(("", 81))):
                    try:
                        call()
                    except OSError as error:
                        errors.append(code(error))
                return errors, os.getresuid(), listener.getsockname()

        program = pair.server.spawn(drop)
        pair.run()
        assert program.result == (["EPERM", "EPERM", "EACCES"], (1000, 1000, 1000), ("0.0.0.0", 80))

    @pytest.mark.scenario("B2")
    def test_a_lowered_start_of_the_unprivileged_ports(self, pair):
        def bind():
            socket.create_server(("", 80)).close()
            with pytest.raises(PermissionError):
                socket.create_server(("", 79))

        pair.server.sysctl["net.ipv4.ip_unprivileged_port_start"] = 80
        program = pair.server.spawn(bind, user="alice")
        pair.run()
        assert program.exit_code == 0

    @pytest.mark.scenario("A2")
    def test_reuseport_asks_for_the_same_owner(self, pair):
        def listen(seconds):
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                try:
                    s.bind(("", 7000))
                except OSError as error:
                    return code(error)
                s.listen()
                time.sleep(seconds)
                return os.getuid()

        first = pair.server.spawn(listen, 10, user="alice")
        others = [pair.server.spawn(listen, 0, user=user, start=1) for user in ("alice", "bob", "root")]
        pair.run()
        assert first.result == others[0].result
        assert [other.result for other in others[1:]] == ["EADDRINUSE", "EADDRINUSE"]

    def test_the_owner_is_who_made_the_socket(self, pair):
        def program():
            os.seteuid(1234)
            with socket.create_server(("", 7000)):
                os.seteuid(0)
                return [row[7] for row in proc_net_tcp()]

        result = pair.server.spawn(program)
        pair.run()
        assert result.result == ["1234"]
