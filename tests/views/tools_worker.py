"""Runs in network, PID and mount namespaces of its own: makes sockets of every kind, has the real tools and portside
look at them, and tells both.

Usage: tools_worker.py SEED COMMANDS, the latter a JSON list of command lines. Prints a JSON object: `snapshot`, the
text of `facts/saved.py`, `outputs` by command line, and `cgroups`, the paths by inode.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shlex
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from portside.facts import saved
from portside.facts.snapshot import Snapshot
from portside.live import machine, rtnetlink
from portside.wire.checksum import checksum

PR_SET_NAME = 15
SO_REUSEPORT, SO_BINDTODEVICE, SO_ATTACH_FILTER = 15, 25, 26
UDPLITE = 136
V4, V6 = socket.AF_INET, socket.AF_INET6
LOCAL = {V4: ("127.0.0.1", "10.99.0.2", "127.3.2.1"), V6: ("::1", "2001:db8::2")}
NAMES = ["nginx", "sshd", "node", "a b", 'q"uote', "fifteen-chars-x", "kworker/0:1"]


def network() -> None:
    """lo and a veth pair with addresses of both families; addresses are usable at once, without DAD."""
    for name in ("default", "all"):
        with open(f"/proc/sys/net/ipv6/conf/{name}/accept_dad", "w") as file:
            file.write("0")
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as file:
        file.write("0")
    for command in (
        "link set lo up",
        "link add ve0 type veth peer name ve1",
        "link set ve0 up",
        "link set ve1 up",
        "address add 10.99.0.2/24 brd + dev ve0",
        "address add 10.99.0.3/24 dev ve0",
        "address add 10.98.0.1 peer 10.98.0.9/30 dev ve0 label ve0:p",
        "address add 2001:db8::2/64 dev ve0 nodad",
        "address add 2001:db8::3/64 dev ve0 nodad preferred_lft 0",
        "route add default via 10.99.0.1",
        "route add 10.50.0.0/16 via 10.99.0.1 advmss 1000",
        "route add 10.50.7.7 via 10.99.0.1",
        "route add unreachable 10.60.0.0/16",
        "neighbour add 10.99.0.1 lladdr 02:00:00:00:00:01 dev ve0",
    ):
        subprocess.run(["ip", *command.split()], check=True)


class Maker:
    """Sockets by chance. Each process keeps its own list; a forked one those of its parent as well."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.kept: list[socket.socket] = []
        self.port = 1000

    def next_port(self) -> int:
        """A port that nothing else has."""
        self.port += self.random.choice((1, 1, 7))
        return self.port

    def listener(self, family: int) -> socket.socket:
        """One that listens: by chance on the wildcard, dual-stack or not, on an interface, with a group."""
        made = socket.socket(family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.random.random() < 0.3:
            made.setsockopt(socket.SOL_SOCKET, SO_REUSEPORT, 1)
        if family == V6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self.random.randrange(2))
        if self.random.random() < 0.2:
            made.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo\0")
        address = self.random.choice(("", *LOCAL[family]))
        if made.getsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, 16):
            address = self.random.choice(("", LOCAL[family][0]))
        made.bind((address, self.next_port()))
        made.listen(self.random.choice((0, 5, 128, 9999)))
        self.kept.append(made)
        return made

    def connect(self, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
        """A connection to it: the client's end and the accepted one."""
        address, port = listener.getsockname()[:2]
        family = listener.family
        if family == V6 and address == "::" and not listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
            family = self.random.choice((V4, V6))  # a mapped peer
        target = LOCAL[family][0] if address in ("::", "0.0.0.0") else address
        client = socket.socket(family)
        client.connect((target, port))
        accepted, _ = listener.accept()
        self.kept += (client, accepted)
        return client, accepted

    def connection(self) -> None:
        """A connection, and by chance what happens on it."""
        client, accepted = self.connect(self.listener(self.random.choice((V4, V6))))
        one, other = self.random.sample((client, accepted), 2)
        what = self.random.randrange(8)
        if what == 0:
            one.send(b"x" * self.random.randrange(1, 3000))
        elif what == 1:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, self.random.choice((70, 599, 660, 7200)))
        elif what == 2:
            one.shutdown(socket.SHUT_WR)
        elif what == 3:
            one.close()
        elif what == 4:
            one.close()
            other.close()
        elif what == 5:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
        elif what == 6:
            one.shutdown(socket.SHUT_RD)
        self.kept = [each for each in self.kept if each.fileno() != -1]

    def waiting(self) -> None:
        """Connections that nobody accepts yet."""
        listener = self.listener(V4)
        listener.listen(5)
        address, port = listener.getsockname()
        for _ in range(2):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex((LOCAL[V4][0] if address == "0.0.0.0" else address, port))
            self.kept.append(client)

    def datagrams(self, proto: int = 0) -> None:
        """Two that are bound, one of them connected to the other, with a datagram that waits."""
        family = self.random.choice((V4, V6))
        bound = socket.socket(family, socket.SOCK_DGRAM, proto)
        address = self.random.choice(("", *LOCAL[family]))
        bound.bind((address, self.next_port()))
        peer = socket.socket(family, socket.SOCK_DGRAM, proto)
        peer.connect((address or LOCAL[family][0], bound.getsockname()[1]))
        if self.random.random() < 0.5:
            peer.send(b"d" * self.random.randrange(1, 900))
        self.kept += (bound, peer, socket.socket(family, socket.SOCK_DGRAM, proto))

    def unix(self, directory: str) -> None:
        """UNIX sockets of all types, with names of all kinds and without."""
        kind = self.random.choice((socket.SOCK_STREAM, socket.SOCK_SEQPACKET))
        name = self.random.choice(("/s{}", "/a.longer-name_{}", "\0abstract{}")).format(self.next_port())
        listener = socket.socket(socket.AF_UNIX, kind)
        listener.bind(name if name.startswith("\0") else directory + name)
        listener.listen(self.random.choice((1, 7)))
        client = socket.socket(socket.AF_UNIX, kind)
        client.connect(listener.getsockname())
        self.kept += (listener, client)
        if self.random.random() < 0.7:
            self.kept.append(listener.accept()[0])
        pair = socket.socketpair(socket.AF_UNIX, self.random.choice((socket.SOCK_STREAM, socket.SOCK_DGRAM)))
        pair[0].send(b"u" * self.random.randrange(1, 100))
        alone = socket.socket(socket.AF_UNIX, self.random.choice((socket.SOCK_DGRAM, socket.SOCK_STREAM)))
        if self.random.random() < 0.5:
            alone.bind(f"{directory}/d{self.next_port()}")
        self.kept += (*pair, alone)

    def odd(self) -> None:
        """Raw sockets, one that tries to connect to a host that is silent, one that is bound and no more."""
        trying = socket.socket()
        trying.setblocking(False)
        trying.connect_ex(("10.99.0.1", self.next_port()))
        bound = socket.socket()
        bound.bind(("127.0.0.1", self.next_port()))
        raw4 = socket.socket(V4, socket.SOCK_RAW, self.random.choice((1, 47, 89)))
        raw6 = socket.socket(V6, socket.SOCK_RAW, 58)
        self.kept += (trying, bound, raw4, raw6, socket.socket(), socket.socket(V6))
        device = socket.socket(V6)
        device.bind((link_local(), self.next_port(), 0, socket.if_nametoindex("ve0")))
        device.listen(1)
        spaced = socket.socket(socket.AF_UNIX)
        spaced.bind(SPACED)
        spaced.listen(7)
        half_open = socket.socket()
        half_open.bind(("10.99.0.2", self.next_port()))
        half_open.listen(5)
        send_syn("10.99.0.1", half_open.getsockname())
        self.kept += (device, spaced, half_open)

    def groups(self) -> None:
        """Sockets that share an address by SO_REUSEPORT."""
        for family, kind in ((V4, socket.SOCK_STREAM), (V6, socket.SOCK_STREAM), (V4, socket.SOCK_DGRAM)):
            port = self.next_port()
            for _ in range(3):
                made = socket.socket(family, kind)
                made.setsockopt(socket.SOL_SOCKET, SO_REUSEPORT, 1)
                made.bind((self.random.choice(LOCAL[family]) if kind == socket.SOCK_DGRAM else "", port))
                if kind == socket.SOCK_STREAM:
                    made.listen(3)
                self.kept.append(made)

    def further(self) -> None:
        """Raw sockets with an address, a peer, a device; datagrams on a link and to a group; UNIX ones with a peer;
        what is half closed."""
        for family in (V4, V6):
            one, _ = self.connect(self.listener(family))
            one.shutdown(socket.SHUT_WR)
            peer = socket.socket(family, socket.SOCK_DGRAM)
            peer.connect((LOCAL[family][0], 9))
            self.kept.append(peer)
        raw = [socket.socket(V4, socket.SOCK_RAW, number) for number in (2, 103, 255, 99)]
        raw[0].bind(("127.0.0.1", 0))
        raw[1].connect(("127.3.2.1", 0))
        raw[2].setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"ve0\0")
        raw.append(socket.socket(V6, socket.SOCK_RAW, 89))
        raw[-1].bind(("::1", 0))
        index = socket.if_nametoindex("ve0")
        link = socket.socket(V6, socket.SOCK_DGRAM)
        link.bind((link_local(), self.next_port(), 0, index))
        joined = socket.socket(V4, socket.SOCK_DGRAM)
        joined.bind(("224.0.0.251", self.next_port()))
        bound = socket.socket(V4, socket.SOCK_DGRAM)
        bound.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"ve0\0")
        bound.bind(("", self.next_port()))
        mapped = socket.socket(V6, socket.SOCK_DGRAM)
        mapped.connect(("::ffff:127.0.0.1", 9))
        to, by = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        to.bind(f"\0datagrams{self.next_port()}")
        by.connect(to.getsockname())
        by.send(b"u")
        self.kept += (*raw, link, joined, bound, mapped, to, by)

    def stuck(self) -> None:
        """Connections that hang in the midst of their end, for what the client sends is thrown away at the other."""
        self.port = STUCK[0]
        for family in (V4, V6):
            for state in ("FIN-WAIT-1", "CLOSING", "LAST-ACK"):
                with socket.socket(family) as listener:
                    listener.bind((LOCAL[family][0], self.next_port()))
                    listener.listen()
                    client = socket.create_connection(listener.getsockname()[:2])
                    accepted, _ = listener.accept()
                if state == "LAST-ACK":
                    accepted.shutdown(socket.SHUT_WR)
                    client.recv(1)
                deafen(accepted)
                if state == "LAST-ACK":
                    client.close()
                else:
                    client.shutdown(socket.SHUT_WR)
                if state == "CLOSING":
                    accepted.shutdown(socket.SHUT_WR)
                self.kept += (client, accepted)


def deafen(made: socket.socket) -> None:
    """Let a socket hear nothing more: SO_ATTACH_FILTER (socket(7)) with a program that takes no byte of anything."""
    program = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0), 8)  # BPF_RET of <linux/bpf_common.h>
    made.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))


def send_syn(source: str, target: tuple[str, int]) -> None:
    """A SYN from a host that is silent: the connection stays half open."""
    addresses = socket.inet_aton(source) + socket.inet_aton(target[0])
    segment = bytearray(struct.pack("!HHIIBBHHH", 40000, target[1], 1, 0, 5 << 4, 2, 1000, 0, 0))
    struct.pack_into("!H", segment, 16, checksum(addresses + struct.pack("!HH", 6, len(segment)) + segment))
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0) + addresses
    with socket.socket(V4, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(header + segment, (target[0], 0))


def link_local() -> str:
    """ve0's address in fe80::/64."""
    with open("/proc/net/if_inet6") as file:
        found = next(line.split()[0] for line in file if line.split()[3] == "20" and line.split()[5] == "ve0")
    return socket.inet_ntop(V6, bytes.fromhex(found))


def process(name: str, uid: int, make: Callable[[], None]) -> None:
    """A process of that name and user that makes sockets and keeps them."""
    here, there = os.pipe()
    if os.fork() == 0:
        with open("/proc/self/comm", "wb") as file:
            file.write(name.encode())
        if uid:
            os.setresuid(uid, uid, uid)
        make()
        os.write(there, b"!")
        os.close(there)
        os.read(BLOCK, 1)  # until the parent ends
        os._exit(0)
    os.close(there)
    assert os.read(here, 1) == b"!", f"{name} could not make its sockets"
    os.close(here)


ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
STUCK = range(4000, 4100)
"""The ports of connections that hang in the midst of their end."""
SPACED = "\0two words"
BLOCK, BLOCKING = os.pipe()


def make_all(seed: int, directory: str) -> None:
    """Several processes with sockets of every kind; some share theirs."""
    maker = Maker(seed)

    def some() -> None:
        for _ in range(4):
            maker.connection()
        maker.listener(V4)
        maker.listener(V6)
        maker.waiting()
        maker.datagrams()
        maker.datagrams(UDPLITE)
        maker.unix(directory)

    def shared() -> None:
        maker.listener(V4)
        maker.connection()
        for _ in range(3):  # the others end when this one does
            if os.fork() == 0:
                break

    def strange() -> None:
        maker.odd()
        maker.groups()
        maker.further()
        some()
        maker.stuck()

    for number, name in enumerate(maker.random.sample(NAMES, 4)):
        maker.port = 1000 + 700 * number
        make = (some, shared, strange, some)[number]
        process(name, 0 if make is strange else maker.random.choice((0, 1000, 4321)), make)


def settled() -> None:
    """Wait until nothing is on its way: data and FINs are acknowledged, but for what nobody answers; of that, what is
    stuck has been sent again."""
    for _ in range(5000):
        lines = [line for name in ("tcp", "tcp6") for line in Path("/proc/net/" + name).read_text().splitlines()[1:]]
        rows = [line.split() for line in lines]
        sent = [row for row in rows if row[3] in ("04", "0B", "09") or (row[4][:8] != "0" * 8 and row[3] != "02")]
        if all(is_stuck(row) and int(row[6], 16) for row in sent):
            return
        time.sleep(0.001)
    raise SystemExit("the connections do not settle")


def is_stuck(row: list[str]) -> bool:
    """Whether a row of /proc/net/tcp is of a connection that will not end."""
    return any(int(end.rpartition(":")[2], 16) in STUCK for end in row[1:3])


def look() -> Snapshot:
    """The machine as portside reads it."""
    found = machine.read(want=machine.EVERYTHING, namespaces=False)
    if not found.interfaces:
        found = replace(found, interfaces=rtnetlink.interfaces(), routes=rtnetlink.routes())
    return found


def cgroups() -> dict[int, str]:
    """The paths of the control groups by inode."""
    with open("/proc/self/mountinfo") as file:
        roots = [line.split()[4] for line in file if " - cgroup2 " in line]
    root = roots[0] if roots else "/nowhere"
    return {os.stat(path).st_ino: path[len(root) :] or "/" for path, _, _ in os.walk(root)}


def main() -> None:
    """Make, settle, look with both."""
    seed, commands = int(sys.argv[1]), json.loads(sys.argv[2])
    network()
    with tempfile.TemporaryDirectory(prefix="ps-views-") as directory:
        os.chmod(directory, 0o777)
        make_all(seed, directory)
        settled()
        look()  # the first dump gives sockets their cookies
        outputs = {}
        for command in commands:
            done = subprocess.run(shlex.split(command), capture_output=True, check=False, env=ENVIRONMENT)
            outputs[command] = (done.returncode, done.stdout.decode(), done.stderr.decode())
        told = {"snapshot": saved.dump(look()), "outputs": outputs, "cgroups": cgroups()}
    print(json.dumps(told))
    sys.stdout.flush()
    os._exit(0)  # init of the PID namespace: all processes end


if __name__ == "__main__":
    main()
