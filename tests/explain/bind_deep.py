"""`python -m tests.explain.bind_deep --cases 5000 --seed 1`: predicted against a real bind and listen.

Each case makes a few sockets of random kinds in a network namespace of its own, reads them as a Snapshot, asks
`explain.binding` what one more server would meet, and then tries it. The exit code is 1 if a prediction was wrong, 2
where no namespace can be had. It prints one line of JSON: how many cases, how many of them were said to be uncertain,
and the first of those that differ.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import socket
import struct
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random

from tests.sockets import kernel_worker
from tests.sockets.kernel_worker import OPTIONS, SO_BINDTODEVICE

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP
from portside.explain.binding import DEPENDS, WORKS, Answer, Attempt, would_bind
from portside.explain.load import on_port, unknown_options
from portside.explain.place import Caller
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket
from portside.live import machine as live

DEVICES = {"lo": [], "eth0": ["10.0.0.1/24", "10.0.0.2/24", "fd00::1/64", "fe80::1/64"]}
V4 = ("0.0.0.0", "127.0.0.1", "127.0.0.2", "10.0.0.1", "10.0.0.2", "10.0.0.255", "192.0.2.1", "127.255.255.255")
V6 = ("::", "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1", "::ffff:0.0.0.0", "::ffff:127.0.0.1", "fd00::9")
USERS = (0, 0, 0, 1001, 1002)
PORTS = (2001, 2001, 2001, 2002, 0)
FAMILIES = {4: AF_INET, 6: AF_INET6}
LINK_SCOPE = 2


@dataclass
class Server:
    """One server's calls."""

    family: int
    kind: str
    address: str
    port: int
    uid: int = 0
    options: dict[str, int] = field(default_factory=dict)
    device: str = ""
    scope: int = 0
    what: str = "listen"  # bind, listen, accept, close

    def open(self) -> socket.socket:
        os.seteuid(self.uid)
        try:
            one = socket.socket(kernel_worker.FAMILIES[self.family], kernel_worker.TYPES[self.kind])
        finally:
            os.seteuid(0)
        try:
            for name, value in self.options.items():
                one.setsockopt(*OPTIONS[name], value)
            if self.device:
                one.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, self.device.encode())
        except OSError:
            one.close()
            raise
        return one

    def bind(self, one: socket.socket) -> None:
        where = (self.address, self.port) if self.family == 4 else (self.address, self.port, 0, self.scope)
        os.seteuid(self.uid)
        try:
            one.bind(where)
        finally:
            os.seteuid(0)

    @property
    def attempt(self) -> Attempt:
        address = ip.parse(self.address)
        return Attempt(
            address=address,
            port=self.port,
            proto=IPPROTO_TCP if self.kind == "tcp" else IPPROTO_UDP,
            family=FAMILIES[self.family],
            reuseaddr=bool(self.options.get("reuseaddr")),
            reuseport=bool(self.options.get("reuseport")),
            v6only=bool(self.options["v6only"]) if "v6only" in self.options else None,
            freebind=bool(self.options.get("freebind")),
            device={"": 0, "lo": 1, "eth0": 2}[self.device],
            scope=self.scope,
        )


class Maker:
    """Random cases. `users` are those who may open sockets."""

    users: tuple[int, ...] = USERS

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def server(self, kind: str) -> Server:
        random = self.random
        family = random.choice((4, 6))
        address = random.choice(V4 if family == 4 else V6)
        options = {name: 1 for name in ("reuseaddr", "reuseport") if random.random() < 0.4}
        if family == 6 and random.random() < 0.3:
            options["v6only"] = random.choice((0, 1))
        if random.random() < 0.1:
            options["freebind"] = 1
        port = random.choice(PORTS) if random.random() < 0.97 else 80
        device = random.choice(("lo", "eth0")) if random.random() < 0.1 else ""
        scope = LINK_SCOPE if address == "fe80::1" and random.random() < 0.8 else 0
        what = random.choice(("bind", "listen", "listen", "accept", "close", "served"))
        return Server(family, kind, address, port, random.choice(self.users), options, device, scope, what)

    def case(self) -> tuple[list[Server], Server]:
        kind = self.random.choice(("tcp", "tcp", "udp"))
        there = [self.server(kind) for _ in range(self.random.choice((1, 1, 2, 2, 3, 4)))]
        return there, self.server(kind)


class Machine:
    """The sockets of one case; closing leaves nothing behind."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def make(self, server: Server) -> None:
        """Do what the server does; what is refused is left out."""
        with suppress(OSError):
            one = server.open()
            self.sockets.append(one)
            server.bind(one)
            if server.kind == "udp":
                if server.what == "accept":
                    one.connect(_near(one))
                return
            if server.what != "bind":
                one.listen(8)
            if server.what in ("accept", "served", "close"):
                self.serve(one, server)

    def serve(self, one: socket.socket, server: Server) -> None:
        """Accept a connection: `accept` keeps it and the listener, `served` the connection alone, `close` ends the
        connection from the server's side and the listener too, so that a TIME-WAIT is left."""
        client = socket.socket(one.family, socket.SOCK_STREAM)
        self.sockets.append(client)
        client.setblocking(True)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("qq", 1, 0))
        client.connect(_near(one))
        one.setblocking(False)
        accepted, _ = one.accept()
        self.sockets.append(accepted)
        if server.what == "close":
            accepted.close()
            client.recv(1)
            client.close()
        if server.what != "accept":
            one.close()

    def close(self) -> None:
        for one in self.sockets:
            if one.fileno() >= 0 and one.type == socket.SOCK_STREAM:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()


def _near(one: socket.socket) -> tuple:
    """Where a client of this machine reaches the socket."""
    name = one.getsockname()
    if name[0] in ("0.0.0.0", "::", "::ffff:0.0.0.0"):
        return ("127.0.0.1" if one.family == socket.AF_INET else "::1", *name[1:])
    return name


def really(server: Server) -> tuple[str, int]:
    """The call that fails, and its errno; `("", 0)` when all work."""
    one = server.open()
    try:
        try:
            server.bind(one)
        except OSError as error:
            return "bind", error.errno or 0
        if server.kind == "tcp":
            try:
                one.listen(8)
            except OSError as error:
                return "listen", error.errno or 0
        return "", 0
    finally:
        one.close()


SYSCTLS = {
    "ipv6/bindv6only": ("0", "0", "0", "1"),
    "ipv4/ip_nonlocal_bind": ("0", "0", "0", "1"),
    "ipv6/ip_nonlocal_bind": ("0", "0", "0", "1"),
    "ipv4/ip_unprivileged_port_start": ("1024", "1024", "80", "2300"),
}


def fresh(random: Random) -> None:
    """A network namespace of our own with the devices of this test, in place of the one before."""
    if kernel_worker.libc.unshare(kernel_worker.CLONE_NEWNET):
        raise OSError(kernel_worker.ctypes.get_errno(), "unshare")
    # The next namespace gets a small hash table: reading its sockets walks all of it.
    sysctls = {name: random.choice(values) for name, values in SYSCTLS.items()}
    sysctls |= {"ipv4/ip_local_port_range": "32768 60999", "ipv4/tcp_child_ehash_entries": "512"}
    kernel_worker.make_machine(DEVICES, sysctls)


def read(machine: Machine) -> Snapshot:
    """The machine as portside reads it, with the options of our own sockets, which we may ask them for."""
    told = live.read(want={"sockets", "interfaces", "routes", "settings"}, namespaces=False)
    ours = {os.fstat(one.fileno()).st_ino: one for one in machine.sockets if one.fileno() >= 0}
    return replace(told, sockets=tuple(_with_options(each, ours.get(each.inode)) for each in told.sockets))


def _with_options(row: Socket, one: socket.socket | None) -> Socket:
    if one is None:
        return row
    reuseaddr, reuseport = (bool(one.getsockopt(*OPTIONS[name])) for name in ("reuseaddr", "reuseport"))
    v6only = row.v6only
    if one.family == socket.AF_INET6 and v6only is None:
        v6only = bool(one.getsockopt(*OPTIONS["v6only"]))
    return replace(row, reuseaddr=reuseaddr, reuseport=reuseport, v6only=v6only)


def run(cases: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Compare; returns how often what was seen, and the differences in words."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for number in range(cases):
        maker = Maker(seed * 1_000_003 + number)
        there, last = maker.case()
        if number % 50 == 0:
            fresh(maker.random)  # what is left of TIME-WAITs goes with its namespace
        shift = number % 50 * 10
        for server in (*there, last):
            server.port += shift if server.port > 1024 else 0
        machine = Machine()
        try:
            for server in there:
                machine.make(server)
            snapshot = read(machine)
            try:
                answer = would_bind(snapshot, last.attempt, Caller.user(last.uid))
                theirs = really(last)
                told = f"case {number}: {there} then {last}"
                judge(answer, theirs, counts, wrong, told)
                if answer.outcome == WORKS and last.kind == "tcp":
                    races(answer, last, machine, snapshot, counts, wrong, told)
                helps(answer, last, counts, wrong, told)
            except OSError:  # an option that this user may not set: no server to speak of
                counts["not made"] += 1
                continue
        finally:
            machine.close()
    return counts, wrong


def judge(answer: Answer, theirs: tuple[str, int], counts: Counter[str], wrong: list[str], told: str) -> None:
    """Count a case, and keep it when what was predicted did not come true."""
    call, code = theirs
    counts["cases"] += 1
    counts[f"{call or 'works'} {errno.errorcode.get(code, '')}".strip()] += 1
    if answer.outcome == DEPENDS:
        counts["uncertain"] += 1
        return
    if (answer.call, answer.errno) != theirs:
        wrong.append(f"{told}\n  predicted {answer}\n  met {call} {errno.errorcode.get(code, 'works')}")


def races(
    answer: Answer,
    last: Server,
    machine: Machine,
    snapshot: Snapshot,
    counts: Counter[str],
    wrong: list[str],
    told: str,
) -> None:
    """Let those that are only bound listen in between: those of whom it was said, and no others, keep ours from it."""
    one = last.open()
    last.bind(one)
    for other in machine.sockets:
        if other.fileno() < 0 or other.getsockname()[1] != last.port or _is_busy(other):
            continue
        try:
            other.listen()
        except OSError:
            continue  # ours has SO_REUSEADDR, too, and so on: it is no rival
        foreseen = os.fstat(other.fileno()).st_ino in {each.socket.inode for each in answer.rivals}
        try:
            one.listen()
        except OSError:
            met = True
        else:
            met = False
        counts["lost race" if met else "won race"] += 1
        unread = unknown_options(on_port(snapshot, IPPROTO_TCP, last.port))
        if met != foreseen and not (foreseen and unread):
            wrong.append(f"{told}\n  a rival was {'' if foreseen else 'not '}foreseen\n  met {met}")
        break
    one.close()


def _is_busy(one: socket.socket) -> bool:
    """Whether it listens or is connected."""
    if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return True
    try:
        one.getpeername()
    except OSError:
        return False
    return True


def helps(answer: Answer, last: Server, counts: Counter[str], wrong: list[str], told: str) -> None:
    """Try what was said to work."""
    for remedy in answer.remedies if answer.outcome != DEPENDS else ():
        attempt = remedy.attempt
        if attempt is None:
            continue
        counts[f"remedy {remedy.name}"] += 1
        options = {"reuseaddr": int(attempt.reuseaddr), "reuseport": int(attempt.reuseport)}
        options |= {"freebind": 1} if attempt.freebind else {}
        options |= {} if attempt.v6only is None else {"v6only": int(attempt.v6only)}
        other = replace(
            last,
            address=ip.text(attempt.address) if attempt.family == AF_INET else ip.text_v6(attempt.address),
            port=attempt.port,
            uid=last.uid if remedy.caller is None else remedy.caller.uid,
            options=options,
            scope=attempt.scope,
        )
        met = really(other)
        if met != ("", 0):
            wrong.append(f"{told}\n  predicted that {remedy} would work\n  met {met}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        if not kernel_worker.unshare():
            Maker.users = (0,)  # of a user namespace with one user
    except OSError as error:
        print(json.dumps({"unavailable": str(error)}))
        return 2
    counts, wrong = run(options.cases, options.seed)
    print(json.dumps({**counts, "wrong": len(wrong), "first": min(wrong, key=len, default="")}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
