"""Rows of /proc/net as Linux 6.18 wrote them; whole files of a namespace and of a simulated host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from portside import Network
from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket, TcpInfo, UnixSocket
from portside.facts.state import (
    CLOSE_WAIT,
    CLOSED,
    ESTABLISHED,
    FIN_WAIT_2,
    LISTEN,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)
from portside.views import proc_net

MS = 1_000_000
LO = ip.V4_LOOPBACK


def tcp4(**fields: object) -> Socket:
    base: dict[str, object] = {
        "family": AF_INET, "proto": IPPROTO_TCP, "laddr": LO, "lport": 8080, "raddr": ip.V4_ANY,
    }  # fmt: skip
    return Socket(**{**base, **fields})  # type: ignore[arg-type]


def tcp6(**fields: object) -> Socket:
    return tcp4(**{"family": AF_INET6, "laddr": ip.V6_ANY, "raddr": ip.V6_ANY, **fields})


def rows(text: str) -> list[str]:
    return text.split("\n")[1:-1]


def test_tcp_rows_as_the_kernel_wrote_them() -> None:
    sockets = [
        tcp4(state=LISTEN, accept_queue=1, backlog=5, inode=307402, references=2, pointer=0x64FA5A76,
             tcp=TcpInfo()),
        tcp4(raddr=LO, rport=38276, state=ESTABLISHED, inode=307404, pointer=0x20193BBD,
             tcp=TcpInfo(rto=200 * MS, cwnd=11)),
        tcp4(raddr=LO, rport=38300, state=CLOSE_WAIT, receive_queue=1, pointer=0xFBD76849,
             tcp=TcpInfo(rto=200 * MS, ato=40 * MS)),
        tcp4(lport=43818, raddr=LO, rport=22, state=ESTABLISHED, timer=2, timer_left=7199680 * MS,
             inode=307409, references=3, pointer=0x481E8F62, tcp=TcpInfo(rto=200 * MS)),
        tcp4(lport=38276, raddr=LO, rport=8080, state=ESTABLISHED, receive_queue=5, inode=307403, references=2,
             pointer=0xD44C29C1, tcp=TcpInfo(rto=200 * MS, ato=40 * MS, quick=15)),
        tcp4(lport=38292, raddr=LO, rport=8080, state=TIME_WAIT, timer=3, timer_left=59840 * MS, references=3,
             pointer=0xC8AEC8ED, uid=1000),
        tcp4(lport=38300, raddr=LO, rport=8080, state=FIN_WAIT_2, timer=3, timer_left=59840 * MS, references=3,
             pointer=0xE2F7B679),
        tcp4(lport=37664, raddr=LO + 76, rport=99, state=SYN_SENT, send_queue=1, timer=1, timer_left=690 * MS,
             inode=307424, references=2, pointer=0xC259A23F, tcp=TcpInfo()),
    ]  # fmt: skip
    expected = """\
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000001 00:00000000 00000000     0        0 307402 2 0000000064fa5a76 100 0 0 10 0
   1: 0100007F:1F90 0100007F:9584 01 00000000:00000000 00:00000000 00000000     0        0 307404 1 0000000020193bbd 20 0 0 11 -1
   2: 0100007F:1F90 0100007F:959C 08 00000000:00000001 00:00000000 00000000     0        0 0 1 00000000fbd76849 20 4 0 10 -1
   3: 0100007F:AB2A 0100007F:0016 01 00000000:00000000 02:000AFC60 00000000     0        0 307409 3 00000000481e8f62 20 0 0 10 -1
   4: 0100007F:9584 0100007F:1F90 01 00000000:00000005 00:00000000 00000000     0        0 307403 2 00000000d44c29c1 20 4 30 10 -1
   5: 0100007F:9594 0100007F:1F90 06 00000000:00000000 03:00001760 00000000     0        0 0 3 00000000c8aec8ed
   6: 0100007F:959C 0100007F:1F90 05 00000000:00000000 03:00001760 00000000     0        0 0 3 00000000e2f7b679
   7: 0100007F:9320 4D00007F:0063 02 00000001:00000000 01:00000045 00000000     0        0 307424 2 00000000c259a23f 100 0 0 10 -1"""  # noqa: E501
    assert rows(proc_net.tcp(sockets)) == [line.ljust(149) for line in expected.split("\n")]


def test_the_header_of_tcp_is_padded_and_that_of_tcp6_is_not() -> None:
    header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
    assert proc_net.tcp([]) == header.ljust(149) + "\n"
    assert proc_net.tcp6([]).endswith(" inode\n")


def test_tcp6_rows_as_the_kernel_wrote_them() -> None:
    mapped = tcp6(laddr=LO, lport=22, raddr=LO, rport=43818, state=ESTABLISHED, inode=307410,
                  pointer=0x9A3E5D45, tcp=TcpInfo(rto=200 * MS))  # fmt: skip
    waiting = tcp6(laddr=1, lport=56020, raddr=1, rport=22, state=TIME_WAIT, timer=3, timer_left=59680 * MS,
                   references=3, pointer=0xB481026E)  # fmt: skip
    listener = tcp6(lport=22, state=LISTEN, inode=307406, pointer=0xBE74B198, tcp=TcpInfo())
    # The listener is made last and shown first.
    assert rows(proc_net.tcp6([mapped, waiting, listener])) == [
        "   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 "
        "00:00000000 00000000     0        0 307406 1 00000000be74b198 100 0 0 10 0",
        "   1: 0000000000000000FFFF00000100007F:0016 0000000000000000FFFF00000100007F:AB2A 01 00000000:00000000 "
        "00:00000000 00000000     0        0 307410 1 000000009a3e5d45 20 0 0 10 -1",
        "   2: 00000000000000000000000001000000:DAD4 00000000000000000000000001000000:0016 06 00000000:00000000 "
        "03:00001750 00000000     0        0 0 3 00000000b481026e",
    ]


def test_a_connection_request_has_no_inode_and_no_tail() -> None:
    request = tcp4(raddr=LO, rport=5, state=SYN_RECEIVED, timer=1, timer_left=990 * MS, references=0, uid=7)
    [row] = rows(proc_net.tcp([request]))
    assert row.rstrip() == (
        "   0: 0100007F:1F90 0100007F:0005 03 00000000:00000000 01:00000063 00000000     7        0 0 0 " + "0" * 16
    )


def test_a_bound_socket_that_does_not_listen_is_not_shown() -> None:
    assert rows(proc_net.tcp([tcp4(state=CLOSED)])) == []


def test_udp_rows_stand_in_the_order_of_their_buckets() -> None:
    bound = Socket(family=AF_INET, proto=IPPROTO_UDP, laddr=LO, lport=5353, raddr=ip.V4_ANY, receive_queue=0x680,
                   slot=12175, inode=307426, references=2, pointer=0x68963894)  # fmt: skip
    connected = Socket(family=AF_INET, proto=IPPROTO_UDP, state=ESTABLISHED, laddr=LO, lport=43778, raddr=LO,
                       rport=5353, slot=1448, inode=307427, references=2, pointer=0x97840353)  # fmt: skip
    unbound = Socket(family=AF_INET, proto=IPPROTO_UDP, laddr=ip.V4_ANY, lport=0, raddr=ip.V4_ANY)
    expected = """\
 1448: 0100007F:AB02 0100007F:14E9 01 00000000:00000000 00:00000000 00000000     0        0 307427 2 0000000097840353 0
12175: 0100007F:14E9 00000000:0000 07 00000000:00000680 00:00000000 00000000     0        0 307426 2 0000000068963894 0"""  # noqa: E501
    text = proc_net.udp([bound, unbound, connected])
    assert rows(text) == [line.ljust(127) for line in expected.split("\n")]
    assert {len(line) for line in text.split("\n")[:-1]} == {127}


def test_udp6_and_udplite() -> None:
    six = Socket(family=AF_INET6, proto=IPPROTO_UDP, laddr=0, lport=5354, raddr=0, receive_queue=0x340,
                 slot=12176, inode=307428, references=2, pointer=0xE205F411)  # fmt: skip
    lite = Socket(family=AF_INET, proto=IPPROTO_UDPLITE, laddr=ip.V4_ANY, lport=9, raddr=ip.V4_ANY, slot=6831,
                  inode=307440, references=2, pointer=0x7BC26039, drops=3)  # fmt: skip
    snapshot = Snapshot(host="a", sockets=(lite, six))
    zeros = "0" * 32
    assert rows(proc_net.FILES["udp6"](snapshot)) == [
        f"12176: {zeros}:14EA {zeros}:0000 07 00000000:00000340 00:00000000 00000000     0        0 307428 2 "
        "00000000e205f411 0"
    ]
    [row] = rows(proc_net.FILES["udplite"](snapshot))
    assert row.rstrip().endswith("307440 2 000000007bc26039 3")
    assert rows(proc_net.FILES["udp"](snapshot)) == []


def test_unix_rows_as_the_kernel_wrote_them() -> None:
    path = b"/tmp/ab/x.sock"
    sockets = [
        UnixSocket(type=1, state=ESTABLISHED, path=path, inode=307433, references=3, pointer=0x3815F4F),
        UnixSocket(type=1, state=LISTEN, path=path, inode=307430, pointer=0x27A547D4),
        UnixSocket(type=2, state=ESTABLISHED, inode=307439, references=3, pointer=0xBDEAB89F),
        UnixSocket(type=1, state=ESTABLISHED, path=path, attached=False, references=3, pointer=0x63EF7032),
        UnixSocket(type=5, inode=307435, pointer=0x3D09D369),
        UnixSocket(type=2, path=b"\0abs\0tract", inode=307434, pointer=0xA1833092),
    ]
    assert proc_net.unix(sockets) == (
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000000003815f4f: 00000003 00000000 00000000 0001 03 307433 /tmp/ab/x.sock\n"
        "0000000027a547d4: 00000002 00000000 00010000 0001 01 307430 /tmp/ab/x.sock\n"
        "00000000bdeab89f: 00000003 00000000 00000000 0002 03 307439\n"
        "0000000063ef7032: 00000003 00000000 00000000 0001 02     0 /tmp/ab/x.sock\n"
        "000000003d09d369: 00000002 00000000 00000000 0005 01 307435\n"
        "00000000a1833092: 00000002 00000000 00000000 0002 01 307434 @abs@tract\n"
    )


def test_a_path_that_is_no_utf8_comes_back_as_its_bytes() -> None:
    [row] = rows(proc_net.unix([UnixSocket(type=1, path=b"/run/\xff")]))
    assert row.encode(errors="surrogateescape").endswith(b" /run/\xff")


# The files of a fresh namespace: read field by field and written again, and beside those of a simulated host.

_PROGRAM = """
import os, socket, sys, time
keep = []
def connected(family, address, port):
    client = socket.socket(family); client.bind((address, port)); client.connect((address, 8080))
    return client
def stream(family, address, pairs):
    listener = socket.socket(family)
    listener.bind((address, 8080)); listener.listen(3)
    keep.append(listener)
    for i in range(pairs):
        client = connected(family, address, 9000 + i)
        server, _ = listener.accept(); keep.extend((client, server))
        if i == 0: client.send(b"x" * 70000)
        if i == 1: client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if i == 2: client.close(); server.close()
        if i == 3: client.close()
    keep.append(connected(family, address, 9999))
stream(socket.AF_INET, "127.0.0.1", 5)
stream(socket.AF_INET6, "::1", 5)
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    for proto in (socket.IPPROTO_UDP, 136):
        os.seteuid(1000 if proto == 136 else 0)
        bound = socket.socket(family, socket.SOCK_DGRAM, proto); bound.bind((address, 5353))
        peer = socket.socket(family, socket.SOCK_DGRAM, proto); peer.bind((address, 5354))
        peer.connect((address, 5353)); peer.send(b"datagram"); keep.extend((bound, peer))
os.seteuid(0)
a = socket.socket(socket.AF_UNIX); a.bind("\\0one\\0two"); a.listen()
b = socket.socket(socket.AF_UNIX); b.connect("\\0one\\0two")
keep.extend((a, b, *socket.socketpair()))
def passing():  # data or a FIN whose acknowledgment is delayed
    rows = [line.split() for name in ("tcp", "tcp6") for line in open("/proc/net/" + name).readlines()[1:]]
    return any(row[3] == "04" or row[4][:8] != "0" * 8 for row in rows)
for _ in range(1000):
    if not passing(): break
    time.sleep(0.001)
for name in sys.argv[1:]:
    text = open("/proc/net/" + name, "rb").read()
    sys.stdout.buffer.write(b"%d\\n" % len(text) + text)
"""
_NAMES = ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "unix")


def _address(text: str) -> int:
    words = [int(text[i : i + 8], 16).to_bytes(4, "little") for i in range(0, len(text), 8)]
    number = int.from_bytes(b"".join(words), "big")
    return ip.V4_PREFIX | number if len(text) == 8 else number


def _socket_of(line: str, name: str) -> Socket:
    fields = line.replace(":", " ").split()
    slot, laddr, lport, raddr, rport, state, tx, rx, timer, left, retransmits = fields[:11]
    uid, probes, inode, references, pointer, *tail = fields[11:]
    listening = int(state, 16) == LISTEN
    info = None
    if name.startswith("tcp") and tail:
        rto, ato, quick, cwnd, last = map(int, tail)
        info = TcpInfo(rto=rto * 10 * MS, ato=ato * 10 * MS, quick=quick >> 1, pingpong=bool(quick & 1),
                       cwnd=cwnd, ssthresh=last if last > 0 else 0x7FFFFFFF)  # fmt: skip
    return Socket(
        family=AF_INET6 if name.endswith("6") else AF_INET,
        proto={"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP, "udplite": IPPROTO_UDPLITE}[name.removesuffix("6")],
        state=int(state, 16), laddr=_address(laddr), lport=int(lport, 16), raddr=_address(raddr),
        rport=int(rport, 16), uid=int(uid), inode=int(inode), send_queue=int(tx, 16),
        receive_queue=0 if listening else int(rx, 16), accept_queue=int(rx, 16) if listening else 0,
        timer=int(timer, 16), timer_left=int(left, 16) * 10 * MS, retransmits=int(retransmits, 16),
        probes=int(probes), references=int(references), pointer=int(pointer, 16), slot=int(slot),
        drops=0 if name.startswith("tcp") else int(tail[0]), tcp=info,
    )  # fmt: skip


def _unix_of(line: str) -> UnixSocket:
    pointer, references, _, flags, kind, state, inode, *path = re.split(r":? +", line, maxsplit=7)
    shown = path[0].encode() if path else None
    return UnixSocket(
        type=int(kind, 16), pointer=int(pointer, 16), references=int(references, 16), inode=int(inode),
        state=LISTEN if flags == "00010000" else ESTABLISHED if int(state) in (2, 3) else CLOSED,
        attached=int(state) in (1, 3), path=shown.replace(b"@", b"\0") if shown else None,
    )  # fmt: skip


def _split(told: bytes) -> dict[str, str]:
    files = {}
    for name in _NAMES:
        length, _, told = told.partition(b"\n")
        files[name], told = told[: int(length)].decode(), told[int(length) :]
    return files


@pytest.fixture(scope="module")
def real() -> dict[str, str]:
    """The files that the program finds in a namespace of the real kernel."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("a network namespace of one's own takes Linux, root and unshare(1)")
    inside = f"ip link set lo up && exec {sys.executable} -c '{_PROGRAM}' {' '.join(_NAMES)}"
    done = subprocess.run(["unshare", "-n", "sh", "-c", inside], capture_output=True, check=False)
    if done.returncode and b"unshare" in done.stderr:
        pytest.skip("no network namespace can be had here")
    assert done.returncode == 0, done.stderr.decode()
    return _split(done.stdout)


@pytest.mark.linux
@pytest.mark.parametrize("name", _NAMES)
def test_the_files_of_a_real_namespace_byte_for_byte(real: dict[str, str], name: str) -> None:
    text = real[name]
    lines = rows(text)
    assert len(lines) >= 2
    if name == "unix":
        assert proc_net.unix(map(_unix_of, lines)) == text
    else:
        snapshot = Snapshot(host="here", sockets=tuple(_socket_of(line, name) for line in lines))
        assert proc_net.FILES[name](snapshot) == text


@pytest.fixture(scope="module")
def simulated() -> dict[str, str]:
    """The files that the same program finds on a simulated host."""
    with Network(quiet=True) as network:
        program = network.bare_host("machine").spawn(*_NAMES, code=_PROGRAM)
        network.run()
    return _split(program.output.encode())


def _masked(text: str, name: str) -> list[str]:
    """The rows without what differs from run to run: their order, addresses of memory, inodes but for none at all,
    when a timer fires, which timers hold a connection's reference, and how TCP judges the path.
    """
    header, *lines = text.split("\n")[:-1]
    told = []
    for line in lines:
        fields = line.split()
        if name == "unix":
            kept = [*fields[1:6], "no inode" if fields[6] == "0" else "inode", *fields[7:]]
        else:
            timer = fields[5].partition(":")[0]
            tail = fields[12:] if name.startswith("udp") else []
            kept = [*fields[1:5], timer, *fields[6:9], "no inode" if fields[9] == "0" else "inode", *tail]
            if fields[3] in ("0A", "06"):
                kept.append(f"{fields[10]} references")
            kept.append(f"{len(line)} characters" if not name.endswith("6") else f"{len(fields)} fields")
        told.append(" ".join(kept))
    return [header, *sorted(told)]


@pytest.mark.linux
@pytest.mark.parametrize("name", _NAMES)
def test_a_simulated_host_has_the_same_sockets_in_its_files(
    real: dict[str, str], simulated: dict[str, str], name: str
) -> None:
    assert _masked(simulated[name], name) == _masked(real[name], name)
