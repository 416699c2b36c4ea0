"""The numbered scenarios as people look at them: ss, netstat, lsof, fuser and ip on simulated hosts."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator

import pytest

from portside import Network
from portside.lab.host import Host
from portside.views.table import Misuse

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(seed=1, quiet=True) as network:
        yield network


def listen(address: str, port: int, *, v6only: bool | None = None, reuseport: bool = False, backlog: int = 5) -> None:
    """A server that accepts nobody."""
    with socket.socket(V6 if ":" in address else V4) as server:
        if v6only is not None:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        if reuseport:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((address, port))
        server.listen(backlog)
        time.sleep(1000)


def rows(text: str) -> list[str]:
    """The lines under the heading, blanks made one."""
    return [" ".join(line.split()) for line in text.splitlines()[1:]]


def look(network: Network, until: float = 1) -> None:
    """Let the programs run so long."""
    network.run(until=until, check=False)


@pytest.mark.scenario("A2")
def test_two_that_share_a_port_are_two_rows_of_lsof(network: Network) -> None:
    host = network.host("web", "10.0.0.1/24")
    for name in ("one", "two"):
        host.spawn(listen, "", 8080, kwargs={"reuseport": True}, name=name)
    look(network)
    assert rows(host.lsof("-i:8080")) == [
        f"{name} {pid} root 3u IPv4 {inode} 0t0 TCP *:http-alt (LISTEN)"
        for name, pid, inode in re.findall(r"^(\w+) +(\d+).*IPv4 +(\d+)", host.lsof("-i:8080"), re.MULTILINE)
    ]
    assert [row.split()[0] for row in rows(host.lsof("-i :8080"))] == ["one", "two"]
    assert len(rows(host.ss("-tln"))) == 2


@pytest.mark.scenario("A5")
@pytest.mark.scenario("C3")
def test_the_dual_stack_socket(network: Network) -> None:
    host = network.host("web", "10.0.0.1/24", "fd00::1/64")
    host.spawn(listen, "::", 8080, kwargs={"v6only": False}, name="server")
    host.spawn(listen, "::", 80, kwargs={"v6only": True}, name="other")

    def client() -> None:
        with socket.create_connection(("127.0.0.1", 8080)):
            time.sleep(1000)

    host.spawn(client, name="client")
    look(network)
    assert rows(host.ss("-tln")) == ["LISTEN 1 5 *:8080 *:*", "LISTEN 0 5 [::]:80 [::]:*"]
    assert [row.split()[3] for row in rows(host.netstat("-tln"))[1:]] == [":::8080", ":::80"]
    assert all(row.startswith("tcp6 ") for row in rows(host.netstat("-tln"))[1:])
    [row] = rows(host.lsof("-i :8080 -a -c server"))
    assert re.fullmatch(r"server \d+ root 3u IPv6 \d+ 0t0 TCP \*:http-alt \(LISTEN\)", row)
    assert "[::ffff:127.0.0.1]:8080 [::ffff:127.0.0.1]:" in " ".join(rows(host.ss("-6tn")))


@pytest.mark.scenario("A7")
def test_an_ipv4_and_a_v6_only_one_are_two_rows_of_lsof(network: Network) -> None:
    host = network.host("web", "10.0.0.1/24", "fd00::1/64")
    host.spawn(listen, "0.0.0.0", 80, name="four")
    host.spawn(listen, "::", 80, kwargs={"v6only": True}, name="six")
    look(network)
    shown = rows(host.lsof("-i :80"))
    assert [(row.split()[0], row.split()[4]) for row in shown] == [("four", "IPv4"), ("six", "IPv6")]
    assert rows(host.ss("-tln")) == ["LISTEN 0 5 0.0.0.0:80 0.0.0.0:*", "LISTEN 0 5 [::]:80 [::]:*"]


@pytest.mark.scenario("B6")
def test_every_state_on_the_way_is_seen_in_ss(network: Network) -> None:
    """The life of a connection as a drawing: who was in which state when."""
    server = network.host("server", "10.0.0.1/24")
    client = network.host("client", "10.0.0.2/24")

    def serve() -> None:
        with socket.create_server(("", 80)) as listener:
            time.sleep(1)
            accepted, _ = listener.accept()
            accepted.recv(100)
            accepted.recv(100)  # until the end of file
            time.sleep(2)
            accepted.close()
            time.sleep(1000)

    def call() -> None:
        time.sleep(0.5)
        with socket.create_connection(("10.0.0.1", 80)) as s:
            s.send(b"hello")
            time.sleep(1.5)
            s.shutdown(socket.SHUT_WR)
            time.sleep(1000)

    server.spawn(serve)
    client.spawn(call)

    def states(host: Host) -> list[str]:
        return [row.split()[0] for row in rows(host.ss("-tan"))]

    drawing = []
    for second in (0.2, 0.8, 1.5, 3, 5, 100):
        look(network, second)
        drawing.append((second, states(server), states(client)))
    assert drawing == [
        (0.2, ["LISTEN"], []),
        (0.8, ["LISTEN", "ESTAB"], ["ESTAB"]),
        (1.5, ["LISTEN", "ESTAB"], ["ESTAB"]),
        (3, ["LISTEN", "CLOSE-WAIT"], ["FIN-WAIT-2"]),
        (5, ["LISTEN"], ["TIME-WAIT"]),
        (100, ["LISTEN"], []),
    ]


@pytest.mark.scenario("B6")
def test_the_states_of_an_opening_that_nobody_answers_and_of_a_closing_that_is_lost(network: Network) -> None:
    host = network.host("host", "10.0.0.1/24")
    peer = network.host("peer", "10.0.0.2/24")
    network.link(host, peer).cut(1)

    def call(port: int) -> None:
        with socket.socket() as s:
            s.setblocking(False)
            s.connect_ex(("10.0.0.2", port))
            time.sleep(1.1)
        time.sleep(1000)

    peer.firewall.drop(proto="tcp", dport=9)
    peer.spawn(listen, "", 80)
    host.spawn(call, 80)
    look(network, 0.5)
    host.spawn(call, 9)
    look(network, 0.9)
    [row] = rows(host.ss("-tno state syn-sent"))
    assert re.fullmatch(r"0 1 10.0.0.1:\d+ 10.0.0.2:9 timer:\(on,\d+ms,0\)", row)
    look(network, 1.5)
    assert {row.split()[0] for row in rows(host.ss("-tan"))} == {"SYN-SENT", "FIN-WAIT-1"}


@pytest.mark.scenario("B11")
def test_the_commands_of_linux_and_of_windows(network: Network) -> None:
    host = network.host("web", "10.0.0.1/24")
    host.spawn(listen, "10.0.0.1", 80, name="nginx")
    look(network)
    assert host.ss("-tlnp") == (
        "State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess\n"
        'LISTEN 0      5           10.0.0.1:80        0.0.0.0:*    users:(("nginx",pid=100,fd=3))\n'
    )
    assert host.netstat("-tlnp") == (
        "Active Internet connections (only servers)\n"
        "Proto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name    \n"
        "tcp        0      0 10.0.0.1:80             0.0.0.0:*               LISTEN      100/listen          \n"
    )
    assert host.netstat("-anp").startswith(
        "Active Internet connections (servers and established)\nProto Recv-Q Send-Q "
    )
    assert host.lsof("-nP", "-i", ":80") == (
        "COMMAND PID USER   FD   TYPE DEVICE SIZE/OFF NODE NAME\n"
        "nginx   100 root    3u  IPv4   4098      0t0  TCP 10.0.0.1:80 (LISTEN)\n"
    )
    assert host.netstat("-an", "--windows") == (
        "\nActive Connections\n\n"
        "  Proto  Local Address          Foreign Address        State\n"
        "  TCP    10.0.0.1:80            0.0.0.0:0              LISTENING\n"
    )
    assert host.netstat("-ano", "--windows") == (
        "\nActive Connections\n\n"
        "  Proto  Local Address          Foreign Address        State           PID\n"
        "  TCP    10.0.0.1:80            0.0.0.0:0              LISTENING       100\n"
    )


@pytest.mark.scenario("C4")
def test_ip_address_show(network: Network) -> None:
    host = network.host("web", "10.0.0.1/24", "fd00::1/64")
    mac = host.interface("eth0").link_address.to_bytes(6, "big").hex(":")
    assert host.ip("addr show dev eth0").splitlines()[0:4] == [
        "2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000",
        f"    link/ether {mac} brd ff:ff:ff:ff:ff:ff",
        "    inet 10.0.0.1/24 brd 10.0.0.255 scope global eth0",
        "       valid_lft forever preferred_lft forever",
    ]
    assert "    inet6 ::1/128 scope host \n" in host.ip("-6 addr")
    host.set_up("eth0", False)
    assert "2: eth0: <BROADCAST,MULTICAST> mtu 1500 qdisc noqueue state DOWN" in host.ip("a")
    assert host.ip("addr show dev wlan0") == 'Device "wlan0" does not exist.\n'


@pytest.mark.scenario("D1")
def test_one_row_for_the_listener_and_one_for_each_connection_mirrored_at_the_client(network: Network) -> None:
    server = network.host("server", "10.0.0.1/24")
    clients = [network.host(f"client{n}", f"10.0.0.{n}/24") for n in (2, 3)]

    def serve() -> None:
        with socket.create_server(("", 80)) as listener:
            kept = [listener.accept() for _ in range(2)]
            time.sleep(1000)
            kept.clear()

    def call() -> None:
        with socket.create_connection(("10.0.0.1", 80)):
            time.sleep(1000)

    server.spawn(serve)
    for client in clients:
        client.spawn(call)
    look(network)
    first, *rest = [row.split() for row in rows(server.ss("-tan"))]
    assert first == ["LISTEN", "0", "128", "0.0.0.0:80", "0.0.0.0:*"]
    assert len(rest) == 2
    mirrored = [row.split() for client in clients for row in rows(client.ss("-tan"))]
    assert sorted((row[3], row[4]) for row in rest) == sorted((row[4], row[3]) for row in mirrored)
    assert {row[3] for row in rest} == {"10.0.0.1:80"}


@pytest.mark.scenario("D3")
def test_what_waits_shows_in_the_queues(network: Network) -> None:
    """Bytes before `recv` in Recv-Q; a listener's Recv-Q is its accept queue, Send-Q its backlog; when it is full the
    next ones stay in SYN-SENT.
    """
    server = network.host("server", "10.0.0.1/24")
    client = network.host("client", "10.0.0.2/24")

    def serve() -> None:
        with socket.create_server(("", 80), backlog=1) as listener:
            accepted, _ = listener.accept()
            time.sleep(1000)
            accepted.close()

    def call(data: bytes) -> None:
        with socket.create_connection(("10.0.0.1", 80)) as s:
            s.send(data)
            time.sleep(1000)

    server.spawn(serve)
    client.spawn(call, b"x" * 1234)
    look(network)
    assert [row.split()[0] for row in rows(server.ss("-tn state established"))] == ["1234"]
    for second in (1.2, 1.4, 1.6):
        client.spawn(call, b"")
        look(network, second)
    assert rows(server.ss("-tln")) == ["LISTEN 2 1 0.0.0.0:80 0.0.0.0:*"]
    assert len(rows(client.ss("-tn state syn-sent"))) == 1
    [listening] = [row.split() for row in rows(server.netstat("-tln"))[1:]]
    assert listening[1:3] == ["2", "0"]


@pytest.mark.scenario("E1")
def test_who_holds_the_port(network: Network) -> None:
    host = network.host("web", "10.0.0.1/24")
    host.spawn(listen, "", 8080, name="holder")
    host.spawn(listen, "", 8080, name="late")
    look(network)
    assert 'users:(("holder",pid=100,fd=3))' in host.ss("-tlnp sport = :8080")
    assert [row.split()[:2] for row in rows(host.lsof("-i :8080"))] == [["holder", "100"]]
    assert host.fuser("8080/tcp") == "8080/tcp:              100\n"
    assert host.fuser("-v", "8080/tcp") == (
        "                     USER        PID ACCESS COMMAND\n8080/tcp:            root        100 F.... holder\n"
    )
    assert host.fuser("8081/tcp") == ""


def test_names_of_the_hosts_file_are_used_without_n(network: Network) -> None:
    host = network.host("web", "10.0.0.1/24")
    host.hosts["db.internal"] = "10.0.0.1"
    host.spawn(listen, "10.0.0.1", 5432)
    look(network)
    assert "TCP web:postgresql (LISTEN)" in host.lsof("-i")
    assert " web:postgresql " in host.netstat("-tl")
    assert rows(host.ss("-tlr"))[0].split()[3] == "web:postgresql"
    assert rows(host.ss("-tln src db.internal"))


def test_routes_and_interfaces(network: Network) -> None:
    host = network.host("web", "10.0.0.1/24")
    host.route("default", via="10.0.0.254")
    assert rows(host.netstat("-rn"))[1:] == [
        "0.0.0.0 10.0.0.254 0.0.0.0 UG 0 0 0 eth0",
        "10.0.0.0 0.0.0.0 255.255.255.0 U 0 0 0 eth0",
    ] or rows(host.netstat("-rn"))[1:] == [
        "10.0.0.0 0.0.0.0 255.255.255.0 U 0 0 0 eth0",
        "0.0.0.0 10.0.0.254 0.0.0.0 UG 0 0 0 eth0",
    ]
    assert [row.split()[0] for row in rows(host.netstat("-i"))[1:]] == ["eth0", "lo"]


@pytest.mark.parametrize("tool", ["ss", "netstat", "lsof", "fuser", "ip"])
def test_what_is_not_understood_is_a_value_error_with_a_sentence(network: Network, tool: str) -> None:
    host = network.host("web", "10.0.0.1/24")
    with pytest.raises(Misuse):
        getattr(host, tool)("-Q!")
