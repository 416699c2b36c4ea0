"""Sockets of every kind that a test makes in a namespace of its own: each field is what the test knows."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct

import pytest

from portside.addr import ip
from portside.addr.abi import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.facts.socket import TIMER_KEEPALIVE, TIMER_RETRANSMIT, TIMER_TIME_WAIT
from portside.facts.state import CLOSE_WAIT, CLOSED, ESTABLISHED, FIN_WAIT_2, LISTEN, SYN_RECEIVED, SYN_SENT, TIME_WAIT
from portside.live import inet_diag, machine, tables
from portside.live.sock_diag import Link, Refused

pytestmark = [pytest.mark.linux, pytest.mark.usefixtures("fresh")]

V4, V6 = socket.AF_INET, socket.AF_INET6
ENDPOINTS = {
    "v4": (V4, "127.0.0.1", None),
    "every v4": (V4, "0.0.0.0", None),
    "v6": (V6, "::1", None),
    "dual": (V6, "::", False),
    "v6 only": (V6, "::", True),
    "mapped": (V6, "::ffff:127.0.0.1", None),
}
TRANSPORTS = {
    "tcp": (socket.SOCK_STREAM, 0, IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, 0, IPPROTO_UDP),
    "udplite": (socket.SOCK_DGRAM, socket.IPPROTO_UDPLITE, IPPROTO_UDPLITE),
}


def inode(one):
    return os.fstat(one.fileno()).st_ino


def read(*want):
    return {each.inode: each for each in machine.read(want={"sockets", *want}, namespaces=False).sockets}


def made(keep, endpoint="v4", transport="tcp"):
    family, address, v6only = ENDPOINTS[endpoint]
    type, proto, _ = TRANSPORTS[transport]
    one = socket.socket(family, type, proto)
    keep.append(one)
    if v6only is not None:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    one.bind((address, 0))
    return one


def eventually(look):
    """What `look()` returns as soon as it returns something: the kernel may finish a packet's work a little later."""
    for _ in range(100_000):
        if found := look():
            return found
    raise AssertionError("it never came")


def connected(keep, family=V4, backlog=8):
    """A listener, a client, and the socket that the listener accepted."""
    address = "127.0.0.1" if family == V4 else "::1"
    listener = socket.create_server((address, 0), family=family, backlog=backlog)
    client = socket.create_connection(listener.getsockname()[:2])
    accepted, _ = listener.accept()
    keep += [listener, client, accepted]
    return listener, client, accepted


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_bound(keep, endpoint, transport):
    one = made(keep, endpoint, transport)
    found = read()[inode(one)]
    family, address, v6only = ENDPOINTS[endpoint]
    type, _, proto = TRANSPORTS[transport]
    assert (found.family, found.type, found.proto, found.state) == (family, type, proto, CLOSED)
    assert (found.laddr, found.lport) == (ip.parse(address), one.getsockname()[1])
    assert (found.raddr, found.rport) == (ip.V4_ANY if family == V4 else ip.V6_ANY, 0)
    mapped = endpoint == "mapped"
    assert found.v6only is (endpoint == "v6" or bool(v6only) if family == V6 and not mapped else False)
    assert (found.uid, found.bound, found.device, found.scope) == (0, True, 0, 0)
    assert found.memory.rcvbuf == one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert found.memory.sndbuf == one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    assert found.cookie == struct.unpack("=Q", one.getsockopt(socket.SOL_SOCKET, 57, 8))[0]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_listening(keep, endpoint):
    one = made(keep, endpoint)
    one.listen(3)
    found = read()[inode(one)]
    assert (found.state, found.accept_queue, found.backlog) == (LISTEN, 0, 3)
    assert (found.receive_queue, found.send_queue) == (0, 0)


def test_an_accept_queue_that_is_full(keep):
    listener = socket.create_server(("127.0.0.1", 0), backlog=1)
    keep.append(listener)
    for _ in range(2):
        keep.append(socket.create_connection(listener.getsockname()))
    late = socket.socket()
    keep.append(late)
    late.setblocking(False)
    assert late.connect_ex(listener.getsockname()) == 115
    found = eventually(lambda: (rows := read())[inode(listener)].drops and rows)
    one, waiting = found[inode(listener)], found[inode(late)]
    assert (one.accept_queue, one.backlog) == (2, 1)
    assert one.drops >= 1
    assert one.memory.drops == one.drops
    assert (waiting.state, waiting.timer, waiting.rport) == (SYN_SENT, TIMER_RETRANSMIT, listener.getsockname()[1])
    assert 0 < waiting.timer_left <= 2_000_000_000
    nobodys = [each for each in machine.read(namespaces=False).sockets if each.lport == one.lport and each.rport]
    assert [(each.state, each.inode, each.owners) for each in nobodys] == [(ESTABLISHED, 0, ())] * 2


@pytest.mark.parametrize("family", [V4, V6])
def test_established(keep, family):
    listener, client, accepted = connected(keep, family)
    found = read("owners")
    one, other = found[inode(client)], found[inode(accepted)]
    assert (one.state, one.lport, one.rport) == (ESTABLISHED, client.getsockname()[1], listener.getsockname()[1])
    assert (other.laddr, other.lport, other.raddr, other.rport) == (one.raddr, one.rport, one.laddr, one.lport)
    assert [owner.fd for owner in one.owners] == [client.fileno()]
    assert one.v6only is (False if family == V4 else None)  # the kernel does not tell it of a connection
    assert one.tcp is None


def test_dual_stack_peers_are_mapped(keep):
    listener = socket.create_server(("::", 0), family=V6, dualstack_ipv6=True)
    client = socket.create_connection(("127.0.0.1", listener.getsockname()[1]))
    accepted, _ = listener.accept()
    keep += [listener, client, accepted]
    found = read()
    assert found[inode(listener)].v6only is False
    one = found[inode(accepted)]
    assert (one.family, one.raddr, one.laddr, one.v6only) == (V6, ip.V4_LOOPBACK, ip.V4_LOOPBACK, False)


def test_queues(keep):
    _, client, accepted = connected(keep)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(b"x" * 300)
    found = eventually(lambda: (rows := read())[inode(accepted)].receive_queue and rows)
    assert found[inode(accepted)].receive_queue == 300
    client.setblocking(False)
    sent = 300
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += client.send(b"y" * 65536)
    found = read()
    one, other = found[inode(client)], found[inode(accepted)]
    assert one.send_queue > 0
    assert one.send_queue + other.receive_queue >= sent


def test_datagrams_wait_and_are_dropped(keep):
    one = made(keep, transport="udp")
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    sender = made(keep, transport="udp")
    for _ in range(50):
        sender.sendto(b"x" * 500, one.getsockname())
    found = eventually(lambda: (row := read()[inode(one)]).drops and row)
    assert 0 < found.drops < 50
    assert found.receive_queue == found.memory.rmem_alloc > 0


def test_a_connected_datagram_socket(keep):
    one, other = made(keep, "v6", "udp"), made(keep, "v6", "udp")
    one.connect(other.getsockname())
    found = read()[inode(one)]
    assert (found.state, found.raddr, found.rport) == (ESTABLISHED, ip.V6_LOOPBACK, other.getsockname()[1])


def test_half_closed_and_shut_down(keep):
    _, client, accepted = connected(keep)
    client.shutdown(socket.SHUT_WR)
    found = eventually(lambda: (rows := read())[inode(client)].state == FIN_WAIT_2 and rows)
    assert found[inode(client)].shutdown == 2
    assert (found[inode(accepted)].state, found[inode(accepted)].shutdown) == (CLOSE_WAIT, 1)


def test_time_wait(keep):
    _, client, accepted = connected(keep)
    name, peer = client.getsockname(), client.getpeername()
    client.close()
    assert accepted.recv(1) == b""
    accepted.close()

    def look():
        rows = machine.read(want={"sockets", "owners"}, namespaces=False).sockets
        return [each for each in rows if each.state == TIME_WAIT]

    (one,) = eventually(look)
    assert (ip.text(one.laddr), one.lport, ip.text(one.raddr), one.rport) == (*name, *peer)
    assert (one.inode, one.owners, one.timer) == (0, (), TIMER_TIME_WAIT)
    assert 0 < one.timer_left <= 61_000_000_000


def test_a_keepalive_timer(keep):
    _, client, _ = connected(keep)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 7)
    found = read()[inode(client)]
    assert (found.timer, found.keepalive) == (TIMER_KEEPALIVE, True)
    assert 0 < found.timer_left <= 7_000_000_000


def test_a_connection_half_open(keep):
    """A SYN that nobody follows up: the listener has a request, which is no socket yet."""
    if not shutil.which("nft"):
        pytest.skip("nft(8) is needed to lose the SYN-ACK")
    listener = socket.create_server(("127.0.0.1", 0))
    raw = socket.socket(V4, socket.SOCK_RAW, socket.IPPROTO_TCP)
    keep += [listener, raw]
    port = listener.getsockname()[1]
    # The kernel has no socket at the sender's port, and would reset what it does not know: the sender is elsewhere.
    segment = struct.pack("!HHIIBBHHH", 9, port, 1, 0, 5 << 4, 2, 1000, 0, 0)
    pseudo = socket.inet_aton("127.0.0.2") + socket.inet_aton("127.0.0.1") + struct.pack("!BBH", 0, 6, len(segment))
    total = sum(struct.unpack(f"!{len(pseudo + segment) // 2}H", pseudo + segment))
    total = (total & 0xFFFF) + (total >> 16)
    segment = segment[:16] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + segment[18:]
    with open("/proc/sys/net/ipv4/tcp_syncookies", "w") as file:
        file.write("0")
    os.system("nft add table t; nft add chain t o '{type filter hook output priority 0;}';"
              " nft add rule t o ip saddr 127.0.0.1 tcp flags '& (syn|ack) == (syn|ack)' drop")  # fmt: skip
    raw.setsockopt(socket.IPPROTO_IP, 3, 0)
    raw.bind(("127.0.0.2", 0))
    raw.sendto(segment, ("127.0.0.1", 0))

    def look():
        rows = machine.read(want={"sockets", "owners"}, namespaces=False).sockets
        return [each for each in rows if each.state == SYN_RECEIVED]

    (one,) = eventually(look)
    assert (one.lport, ip.text(one.raddr), one.rport, one.inode) == (port, "127.0.0.2", 9, 0)
    assert one.references == 0


@pytest.mark.parametrize("family", [V4, V6])
def test_raw(keep, family):
    one = socket.socket(family, socket.SOCK_RAW, 89)
    keep.append(one)
    found = read("owners")[inode(one)]
    assert (found.family, found.type, found.proto, found.lport) == (family, socket.SOCK_RAW, 89, 89)
    assert [owner.fd for owner in found.owners] == [one.fileno()]


def test_ping_without_privileges(keep):
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
        file.write("0 0")
    one = socket.socket(V4, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    keep.append(one)
    one.bind(("127.0.0.1", 7))
    found = read("owners")[inode(one)]
    assert (found.type, found.proto, found.lport) == (socket.SOCK_DGRAM, IPPROTO_ICMP, 7)


def test_bound_to_a_device_and_marked(keep):
    one = made(keep, "every v4", "udp")
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
    one.setsockopt(socket.SOL_SOCKET, 36, 77)
    found = read()[inode(one)]
    assert (found.device, found.mark, found.scope) == (1, 77, 0)


def test_a_link_local_address_has_a_scope(keep):
    assert os.system("ip address add fe80::1/64 dev lo nodad") == 0
    one = socket.socket(V6, socket.SOCK_DGRAM)
    keep.append(one)
    one.bind(("fe80::1", 0, 0, 1))
    assert read()[inode(one)].scope == 1


def test_the_inside_of_a_connection(keep):
    _, client, accepted = connected(keep)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    client.sendall(b"x" * 1000)
    assert accepted.recv(2000) == b"x" * 1000
    found = eventually(lambda: (rows := read("tcp_info"))[inode(client)].tcp.bytes_acked > 1000 and rows)
    one, other = found[inode(client)].tcp, found[inode(accepted)].tcp
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    rto, ato, mss, rcv_mss = struct.unpack_from("=4I", info, 8)
    assert (one.rto, one.ato, one.mss, one.received_mss) == (rto * 1000, ato * 1000, mss, rcv_mss)
    pmtu, _, rtt, rttvar, ssthresh, cwnd, advmss = struct.unpack_from("=7I", info, 60)
    assert (one.path_mtu, one.rtt, one.rttvar) == (pmtu, rtt * 1000, rttvar * 1000)
    assert (one.ssthresh, one.cwnd, one.advertised_mss) == (ssthresh, cwnd, advmss)
    assert (one.congestion, one.bytes_sent, one.bytes_acked) == ("reno", 1000, 1001)  # the SYN counts
    assert other.bytes_received == 1000
    assert (one.timestamps, one.sack, one.snd_wscale is not None) == (True, True, True)
    assert (one.snd_wscale, one.rcv_wscale) == (other.rcv_wscale, other.snd_wscale)
    assert one.data_segments_out == other.data_segments_in == 1


def test_names_of_unix_sockets(keep, tmp_path):
    names = {
        "stream": (socket.SOCK_STREAM, os.fsencode(tmp_path / "s")),
        "datagram": (socket.SOCK_DGRAM, b"\0abstract\0\xff\n \x1b[31m"),
        "packets": (socket.SOCK_SEQPACKET, b"\0@"),
        "hostile": (socket.SOCK_DGRAM, os.fsencode(tmp_path) + b"/\xfe\r\n0000: 00000002 00000000"),
        "unnamed": (socket.SOCK_DGRAM, None),
    }
    sockets = {}
    for what, (type, name) in names.items():
        sockets[what] = one = socket.socket(socket.AF_UNIX, type)
        keep.append(one)
        if name is not None:
            one.bind(name)
    sockets["stream"].listen(5)
    client = socket.socket(socket.AF_UNIX)
    keep.append(client)
    client.connect(names["stream"][1])
    rows = machine.read(want={"unix", "owners"}, namespaces=False).unix_sockets
    found = {each.inode: each for each in rows}
    for what, (type, name) in names.items():
        one = found[inode(sockets[what])]
        assert (one.type, one.path, one.attached) == (type, name, True)
        assert [owner.fd for owner in one.owners] == [sockets[what].fileno()]
    listener = found[inode(sockets["stream"])]
    assert (listener.state, listener.accept_queue, listener.backlog) == (LISTEN, 1, 5)
    assert listener.file_inode == os.stat(names["stream"][1]).st_ino
    assert found[inode(client)].state == ESTABLISHED
    assert [(each.inode, each.path) for each in rows if not each.attached] == [(0, names["stream"][1])]


def test_a_pair_of_unix_sockets(keep):
    one, other = socket.socketpair()
    keep += [one, other]
    one.send(b"12345")
    one.shutdown(socket.SHUT_WR)
    rows = {each.inode: each for each in machine.read(want={"unix"}, namespaces=False).unix_sockets}
    left, right = rows[inode(one)], rows[inode(other)]
    assert (left.peer, right.peer) == (inode(other), inode(one))
    assert (left.shutdown, right.shutdown, right.receive_queue) == (2, 1, 5)


def test_sockets_that_share_a_port(keep):
    group = []
    for _ in range(3):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", group[0].getsockname()[1] if group else 0))
        one.listen()
        group.append(one)
    keep += group
    found = read("options", "owners")
    assert [(found[inode(one)].reuseport, found[inode(one)].reuseaddr) for one in group] == [(True, False)] * 3
    assert len({found[inode(one)].lport for one in group}) == 1
    # The kernel's own lookup names one of the group, and it is the one that then gets the connection.
    with Link() as link:
        for port in range(40000, 40020):
            client = socket.socket()
            client.bind(("127.0.0.1", port))
            place = (ip.V4_LOOPBACK, group[0].getsockname()[1])
            predicted = inet_diag.reached(link, IPPROTO_TCP, place, (ip.V4_LOOPBACK, port))
            client.connect(group[0].getsockname())
            (got,) = (one for one in group if _accepts(one, keep))
            assert predicted.inode == inode(got)
            keep.append(client)


def _accepts(listener, keep):
    listener.setblocking(False)
    try:
        keep.append(listener.accept()[0])
    except BlockingIOError:
        return False
    return True


def test_which_socket_a_packet_reaches(keep):
    everywhere = made(keep, "dual")
    everywhere.listen()
    port = everywhere.getsockname()[1]
    exact = socket.socket()
    keep.append(exact)
    exact.bind(("127.0.0.5", 0))
    exact.listen()
    datagrams, connected_one = made(keep, "every v4", "udp"), made(keep, "v4", "udp")
    connected_one.connect(("127.0.0.9", 53))
    here, there = ip.V4_LOOPBACK, ip.parse("127.0.0.9")
    with Link() as link:
        reached = inet_diag.reached(link, IPPROTO_TCP, (here, port), (there, 1234))
        assert reached.inode == inode(everywhere)
        place = (ip.parse("127.0.0.5"), exact.getsockname()[1])
        assert inet_diag.reached(link, IPPROTO_TCP, place, (there, 1)).inode == inode(exact)
        assert inet_diag.reached(link, IPPROTO_TCP, (here, exact.getsockname()[1]), (there, 1)) is None
        place = (here, datagrams.getsockname()[1])
        assert inet_diag.reached(link, IPPROTO_UDP, place, (there, 9)).inode == inode(datagrams)
        place = (here, connected_one.getsockname()[1])
        assert inet_diag.reached(link, IPPROTO_UDP, place, (there, 53)).inode == inode(connected_one)
        assert inet_diag.reached(link, IPPROTO_UDP, place, (there, 54)) is None
        six = (ip.V6_LOOPBACK, port)
        assert inet_diag.reached(link, IPPROTO_TCP, six, (ip.V6_LOOPBACK, 7)).inode == inode(everywhere)


def test_the_kernel_filters_by_port_and_state(keep):
    one, other = made(keep), made(keep)
    one.listen()
    other.listen()
    bound, datagrams = made(keep), made(keep, transport="udp")
    for each in (one, other, bound, datagrams):
        port = each.getsockname()[1]
        found = machine.at_port(port, namespaces=False)
        assert {row.inode for row in found.sockets} == {inode(x) for x in keep if x.getsockname()[1] == port}
        assert {owner.pid for row in found.sockets for owner in row.owners} == {os.getpid()}
        assert os.getpid() in {process.pid for process in found.processes}
        assert os.getppid() in {process.pid for process in found.processes}
    assert machine.at_port(1, namespaces=False).sockets == ()


def test_connections_at_a_port_are_told_on_request(keep):
    listener, _, accepted = connected(keep)
    port = listener.getsockname()[1]
    assert [row.inode for row in machine.at_port(port, namespaces=False).sockets] == [inode(listener)]
    found = {row.inode for row in machine.at_port(port, connections=True, namespaces=False).sockets}
    assert found == {inode(listener), inode(accepted)}


def test_a_protocol_without_a_module_is_refused():
    with Link() as link, pytest.raises(Refused):
        list(inet_diag.dump(link, V4, 132 if not os.path.exists("/proc/net/sctp") else 33))


def test_the_text_stands_in_where_netlink_is_refused(keep, monkeypatch):
    connected(keep)
    made(keep, "dual", "udp")
    local = socket.socket(socket.AF_UNIX)
    keep.append(local)
    local.bind(b"\0name")
    full = machine.read(namespaces=False)
    assert not [one for one in full.missing if "v6only" in one.what]

    def refuse(self):
        raise Refused(1, "Operation not permitted")

    monkeypatch.setattr(Link, "__init__", refuse)
    poor = machine.read(want={"sockets", "unix", "owners"}, namespaces=False)
    rows = {each.inode: each for each in poor.sockets}
    for each in full.sockets:
        other = rows.pop(each.inode)
        for name in ("family", "proto", "type", "state", "laddr", "lport", "raddr", "rport", "uid", "owners", "timer",
                     "accept_queue", "receive_queue", "send_queue"):  # fmt: skip
            assert getattr(other, name) == getattr(each, name), name
    assert rows == {}
    assert {each.inode: each.path for each in poor.unix_sockets}[inode(local)] == b"\0name"
    assert [one.what for one in poor.missing if "v6only" in one.what] != []
    assert tables.PINGS  # ping sockets have no other source anyway
