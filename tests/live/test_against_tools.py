"""Generated sockets in a namespace of their own: what we read is what ss(8), lsof(8) and netstat(8) show of them."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess

import pytest

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP
from portside.facts.socket import TIMER_NAMES
from portside.facts.state import CLOSED, ESTABLISHED, LISTEN, NAMES
from portside.live import machine

pytestmark = [pytest.mark.linux, pytest.mark.usefixtures("fresh")]

SEEDS = range(100) if os.environ.get("PORTSIDE_DEEP") == "1" else range(4)
PLACES = {AF_INET: ("127.0.0.1", "0.0.0.0", "127.0.0.7"), AF_INET6: ("::1", "::", "::ffff:127.0.0.1", "fd00::1")}


def needs(tool):
    if not shutil.which(tool):
        pytest.skip(f"{tool} is needed")


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False, errors="surrogateescape").stdout


class Crowd:
    """A random set of sockets of every kind and state."""

    def __init__(self, seed, keep):
        self.random = random.Random(seed)
        self.keep = keep
        assert os.system("ip address add fd00::1/128 dev lo nodad; ip address add 10.9.8.7/32 dev lo") == 0
        self.wait_for_route()
        for _ in range(40):
            self.random.choice((self.datagrams, self.datagrams, self.bound, self.listener, self.listener, self.queue))()

    @staticmethod
    def wait_for_route():
        """An IPv6 address becomes our own a little after it is there (addrconf_dad_work); a local route tells."""
        for _ in range(100_000):
            with open("/proc/thread-self/net/ipv6_route") as file:
                rows = [line.split() for line in file]
            if any(row[0] == "fd" + "1".zfill(30) and int(row[8], 16) & 0x80000000 for row in rows):  # RTF_LOCAL
                return
        raise AssertionError("the address never becomes ours")

    def one(self, type, proto=0):
        family = self.random.choice((AF_INET, AF_INET6))
        made = socket.socket(family, type, proto)
        self.keep.append(made)
        chance = self.random.random
        if family == AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        address = self.random.choice(PLACES[family])
        if address == "::" and chance() < 0.5:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if chance() < 0.2:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        if chance() < 0.3:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.random.randrange(3000, 50000))
        if chance() < 0.3:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if chance() < 0.2:
            os.fchown(made.fileno(), self.random.choice((1, 33, 54321)), 0)
        made.bind((address, 0))
        if chance() < 0.2:
            self.keep.append(made.dup())
        return made

    def peer_of(self, name):
        """Where to connect to for a socket with this name."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name[0], name[0])
        return (host, *name[1:])

    def bound(self):
        self.one(socket.SOCK_STREAM)

    def datagrams(self):
        proto = self.random.choice((0, 0, socket.IPPROTO_UDPLITE))
        one = self.one(socket.SOCK_DGRAM, proto)
        for _ in range(self.random.randrange(4)):
            sender = socket.socket(one.family, socket.SOCK_DGRAM, proto)
            sender.sendto(b"x" * self.random.randrange(2000), self.peer_of(one.getsockname()))
            sender.close()
        if self.random.random() < 0.4:
            one.connect(self.peer_of(one.getsockname()))

    def listener(self):
        one = self.one(socket.SOCK_STREAM)
        one.listen(self.random.randrange(1, 50))
        for _ in range(self.random.randrange(4)):
            client = socket.create_connection(self.peer_of(one.getsockname())[:2])
            self.keep.append(client)
            what = self.random.randrange(5)
            if what:
                accepted, _ = one.accept()
                self.keep.append(accepted)
            if what == 2:
                client.sendall(b"x" * self.random.randrange(1, 5000))
            elif what == 3:
                self.random.choice((client, accepted)).shutdown(socket.SHUT_WR)
            elif what == 4:
                first, second = self.random.sample((client, accepted), 2)
                first.close()
                second.close()

    def queue(self):
        """A listener that is full, and one that keeps on trying."""
        one = self.one(socket.SOCK_STREAM)
        one.listen(0)
        for _ in range(2):
            client = socket.socket(one.family)
            self.keep.append(client)
            client.setblocking(False)
            client.connect_ex(self.peer_of(one.getsockname()))


def read(*want):
    return machine.read(want={"sockets", "owners", *want}, namespaces=False).sockets


def twice(look, ask):
    """What we and the tool see of the same: asked again until two of our own readings around the tool's are equal."""
    for _ in range(200):
        before = look()
        shown = ask()
        if look() == before:
            return before, shown
    raise AssertionError("the sockets never come to rest")


# -- ss --

SS_STATES = {"LISTEN": "LISTEN", "UNCONN": "CLOSED", "ESTAB": "ESTABLISHED", "SYN-RECV": "SYN-RECEIVED"}
SS_STATES |= {"FIN-WAIT-1": "FIN-WAIT-1", "FIN-WAIT-2": "FIN-WAIT-2"}


def end_in_ss(address, port, one, remote=False):
    number = str(port) if port else "*"
    host = ip.text(address)
    if address == ip.V4_ANY and one.family == AF_INET:
        host = "0.0.0.0"
    if address == ip.V6_ANY:
        # What answers both families is `*`, and so is the unknown peer of what listens for IPv6.
        host = "[::]" if one.v6only or (remote and one.v6only is not False) else "*"
    elif one.family == AF_INET6:
        host = f"[{ip.text_v6(address)}]"
    return f"{host}{'%lo' if one.device and not remote else ''}:{number}"


def row_of_ss(one):
    listening = one.state == LISTEN
    row = {
        "netid": "tcp" if one.proto == IPPROTO_TCP else "udp",
        "state": NAMES[one.state],
        "recvq": one.accept_queue if listening else one.receive_queue,
        "sendq": one.backlog if listening else one.send_queue,
        "local": end_in_ss(one.laddr, one.lport, one),
        "peer": end_in_ss(one.raddr, one.rport, one, True),
        "owners": {(owner.pid, owner.fd) for owner in one.owners},
        "uid": one.uid,
        "inode": one.inode,
        "cookie": one.cookie,
        "timer": TIMER_NAMES[one.timer],
    }
    if one.v6only is not None and one.family == AF_INET6 and one.state in (CLOSED, LISTEN):
        row["v6only"] = one.v6only
    if one.memory is not None:
        m = one.memory
        row["skmem"] = (m.rmem_alloc, m.rcvbuf, m.wmem_alloc, m.sndbuf, m.fwd_alloc, m.wmem_queued, m.optmem,
                        m.backlog, m.drops)  # fmt: skip
    return row


def rows_in_ss(text):
    rows = {}
    for line in text.splitlines():
        netid, state, recvq, sendq, local, peer, rest = line.split(None, 6)
        found = re.search(r"users:\((.*?)\)\)", rest)
        row = {
            "netid": netid,
            "state": SS_STATES.get(state, state),
            "recvq": int(recvq),
            "sendq": int(sendq),
            "local": local,
            "peer": peer,
            "owners": {(int(p), int(f)) for p, f in re.findall(r"pid=(\d+),fd=(\d+)", found[1])} if found else set(),
            "uid": int(m[1]) if (m := re.search(r"uid:(\d+)", rest)) else 0,
            "inode": int(re.search(r"ino:(\d+)", rest)[1]),
            "cookie": int(re.search(r"sk:([0-9a-f]+)", rest)[1], 16),
            "timer": m[1] if (m := re.search(r"timer:\((\w+)", rest)) else "off",
        }
        if found := re.search(r"v6only:(\d)", rest):
            row["v6only"] = found[1] == "1"
        if found := re.search(r"skmem:\(r(\d+),rb(\d+),t(\d+),tb(\d+),f(\d+),w(\d+),o(\d+),bl(\d+),d(\d+)\)", rest):
            row["skmem"] = tuple(map(int, found.groups()))
        rows[row["cookie"]] = row
    return rows


@pytest.mark.parametrize("seed", SEEDS)
def test_ss(seed, keep):
    needs("ss")
    Crowd(seed, keep)

    def ours():
        rows = [one for one in read() if one.proto in (IPPROTO_TCP, IPPROTO_UDP)]
        # What is bound and does nothing yet is not shown by this ss.
        return {o.cookie: row_of_ss(o) for o in rows if not (o.proto == IPPROTO_TCP and o.state == CLOSED)}

    rows, text = twice(ours, lambda: run("ss", "-H", "-O", "-n", "-a", "-t", "-u", "-e", "-m", "-p", "-o"))
    assert len(rows) > 20
    assert rows == rows_in_ss(text)


def local_sockets(rng, keep, directory):
    """A random set of AF_UNIX sockets: paths, abstract names and none; waiting, connected, in pairs; some shared."""
    for number in range(30):
        type = rng.choice((socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET))
        what = rng.randrange(4)
        if what == 0:
            pair = socket.socketpair(type=type)
            pair[0].send(b"x" * rng.randrange(1, 100))
            keep += pair
            continue
        one = socket.socket(socket.AF_UNIX, type)
        keep.append(one)
        if what > 1:
            one.bind(rng.choice((str(directory / f"s{number}"), f"\0name{number}")))
            if type != socket.SOCK_DGRAM:
                one.listen(rng.randrange(1, 9))
            for _ in range(rng.randrange(2)):
                client = socket.socket(socket.AF_UNIX, type)
                client.connect(one.getsockname())
                keep.append(client)
        if rng.random() < 0.3:
            keep.append(one.dup())


def row_of_local(one):
    """As ss(8) has it: queue and limit of a listener, bytes that wait in the others."""
    names = {socket.SOCK_STREAM: "u_str", socket.SOCK_DGRAM: "u_dgr", socket.SOCK_SEQPACKET: "u_seq"}
    listening = one.state == LISTEN
    path = "*" if one.path is None else os.fsdecode(one.path).replace("\0", "@")
    return (
        names[one.type],
        {LISTEN: "LISTEN", ESTABLISHED: "ESTAB", CLOSED: "UNCONN"}[one.state],
        one.accept_queue if listening else one.receive_queue,
        one.backlog if listening else one.send_queue,
        path,
        one.inode,
        one.peer,
        frozenset((owner.pid, owner.fd) for owner in one.owners),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_ss_of_local_sockets(seed, keep, tmp_path):
    needs("ss")
    local_sockets(random.Random(seed), keep, tmp_path)

    def ours():
        rows = machine.read(want={"unix", "owners"}, namespaces=False).unix_sockets
        return sorted(row_of_local(one) for one in rows if one.attached)

    def row(line):
        netid, state, recvq, sendq, path, inode, _, peer, *rest = line.split()
        owners = re.findall(r"pid=(\d+),fd=(\d+)", " ".join(rest))
        held = frozenset((int(pid), int(fd)) for pid, fd in owners)
        return netid, state, int(recvq), int(sendq), path, int(inode), int(peer), held

    rows, text = twice(ours, lambda: run("ss", "-H", "-O", "-x", "-a", "-n", "-p"))
    assert len(rows) > 20
    assert rows == sorted(row(line) for line in text.splitlines())


# -- netstat --


def end_in_netstat(address, port):
    return f"{ip.text(address)}:{port or '*'}"


def row_of_netstat(one):
    tcp = one.proto == IPPROTO_TCP
    proto = {IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp"}.get(one.proto, "udpl")
    names = {"SYN-SENT": "SYN_SENT", "FIN-WAIT-1": "FIN_WAIT1", "FIN-WAIT-2": "FIN_WAIT2", "SYN-RECEIVED": "SYN_RECV"}
    state = NAMES[one.state]
    return (
        proto + ("6" if one.family == AF_INET6 else ""),
        one.accept_queue if one.state == LISTEN else one.receive_queue,
        0 if one.state == LISTEN else one.send_queue,
        end_in_netstat(one.laddr, one.lport),
        end_in_netstat(one.raddr, one.rport),
        names.get(state, state.replace("-", "_")) if tcp or one.state == ESTABLISHED else "",
        one.uid,
        one.inode,
    )


def rows_in_netstat(text):
    """netstat has no state for a UDP socket without a peer."""
    form = re.compile(
        r"(tcp6?|udp6?|udpl6?)\s+(\d+)\s+(\d+)\s+(\S+)\s+(\S+)\s+([A-Z]\S+)?\s+(\d+)\s+(\d+)\s+(?:(\d+)/|-)"
    )
    for line in text.splitlines()[2:]:
        found = form.match(line)
        assert found, line
        proto, recvq, sendq, local, foreign, state, uid, inode, pid = found.groups()
        yield (proto, int(recvq), int(sendq), local, foreign, state or "", int(uid), int(inode)), pid


@pytest.mark.parametrize("seed", SEEDS)
def test_netstat(seed, keep):
    needs("netstat")
    Crowd(seed, keep)

    def ours():
        rows = [one for one in read() if not (one.proto == IPPROTO_TCP and one.state == CLOSED)]
        return sorted((row_of_netstat(one), {str(owner.pid) for owner in one.owners}) for one in rows)

    rows, text = twice(ours, lambda: run("netstat", "-t", "-u", "-U", "-n", "-a", "-e", "-p", "-W"))
    shown = sorted(rows_in_netstat(text))
    assert len(shown) > 20
    assert [row for row, _ in rows] == [row for row, _ in shown]
    # It shows one owner at most; which of them matters not.
    assert [bool(pids) for _, pids in rows] == [pid is not None for _, pid in shown]
    assert all(pid in pids for (_, pids), (_, pid) in zip(rows, shown, strict=True) if pid)


# -- lsof --


def name_in_lsof(one):
    def end(address, port):
        host = ip.text(address)
        if address in (ip.V4_ANY, ip.V6_ANY):
            host = "*"
        elif not ip.is_v4(address):
            host = f"[{host}]"
        return f"{host}:{port}"

    local = end(one.laddr, one.lport)
    return f"{local}->{end(one.raddr, one.rport)}" if one.rport else local


@pytest.mark.parametrize("seed", SEEDS)
def test_lsof(seed, keep):
    needs("lsof")
    Crowd(seed, keep)

    def ours():
        rows = [one for one in read() if not (one.proto == IPPROTO_TCP and one.state == CLOSED)]
        rows = [one for one in rows if one.proto in (IPPROTO_TCP, IPPROTO_UDP)]
        return sorted(
            (
                owner.pid, owner.fd, "TCP" if one.proto == IPPROTO_TCP else "UDP",
                "IPv4" if one.family == AF_INET else "IPv6", str(one.inode),
                name_in_lsof(one), "LISTEN" if one.state == LISTEN else "",
            )
            for one in rows for owner in one.owners
        )  # fmt: skip

    rows, text = twice(ours, lambda: run("lsof", "-nP", "-i", "TCP", "-i", "UDP", "-a", "-F", "pfPtdnT"))
    shown = []
    for line in text.splitlines():
        if line[0] == "p":
            pid = int(line[1:])
        elif line[0] == "f":
            shown.append({"pid": pid, "f": int(line[1:])})
        elif line.startswith("TST=") or line[0] != "T":
            shown[-1][line[0]] = line[1:]
    listed = sorted(
        (one["pid"], one["f"], one["P"], one["t"], one["d"], one["n"], "LISTEN" if one.get("T") == "ST=LISTEN" else "")
        for one in shown
    )
    assert len(rows) > 20
    assert rows == listed


@pytest.mark.parametrize("tool", ["ss", "netstat", "lsof"])
def test_where_they_show_less(tool, keep):
    """A listener that four processes share has four owners; a dual-stack listener and a v6-only one differ."""
    needs(tool)
    dual, only = socket.socket(AF_INET6), socket.socket(AF_INET6)
    keep += [dual, only]
    only.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    dual.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    for one in keep:
        one.bind(("::", 0))
        one.listen()
    told, tell = os.pipe()
    children = []
    for _ in range(3):
        children.append(os.fork())
        if not children[-1]:
            os.close(tell)
            os.read(told, 1)  # until the test has ended
            os._exit(0)
    try:
        rows = {one.inode: one for one in read()}
        flags = {"ss": ("-ltnpH",), "netstat": ("-ltnp",), "lsof": ("-nP", "-iTCP")}[tool]
        text = run(tool, *flags)
    finally:
        os.close(tell)
        for child in children:
            os.waitpid(child, 0)
    one, other = (rows[os.fstat(each.fileno()).st_ino] for each in keep)
    assert [{owner.pid for owner in each.owners} for each in (one, other)] == [{os.getpid(), *children}] * 2
    assert (one.v6only, other.v6only) == (False, True)
    lines = [[line for line in text.splitlines() if f":{each.lport} " in line] for each in (one, other)]
    assert len(lines[0]) == len(lines[1]) == (4 if tool == "lsof" else 1)
    if tool == "netstat":
        assert [line[0].replace(str(each.lport), "") for line, each in zip(lines, (one, other), strict=True)] == [
            lines[0][0].replace(str(one.lport), "")
        ] * 2
