"""A generated machine on the real kernel: built in namespaces of its own, read, and tried."""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.explain.parts import Listener, Machine, Space, Target
from tests.live.apart import CLONE_NEWNET, ip, libc, unshare

from portside.facts.snapshot import Namespace, Snapshot

SO_BINDTODEVICE = 25
"".encode("idna")  # the codec is there before the user is another, who can't load it
PATIENCE = 8.0
"""Seconds after which an attempt without an answer is given up: the kernel says ETIMEDOUT after three."""

SYSCTLS = {
    "net/ipv4/tcp_syn_retries": "1", "net/ipv4/tcp_syn_linear_timeouts": "0", "net/ipv4/icmp_ratelimit": "0",
    "net/ipv4/icmp_msgs_per_sec": "1000000", "net/ipv4/icmp_msgs_burst": "1000000", "net/ipv6/icmp/ratelimit": "0",
    "net/ipv4/conf/all/send_redirects": "0", "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/all/accept_redirects": "0", "net/ipv6/conf/all/accept_redirects": "0",
    "net/ipv6/conf/default/accept_redirects": "0", "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/all/accept_dad": "0", "net/ipv6/conf/default/router_solicitations": "0",
}  # fmt: skip


@dataclass
class Built:
    """A machine that stands: descriptors of its namespaces, and its listening sockets by (namespace, number)."""

    machine: Machine
    descriptors: list[int] = field(default_factory=list)
    sockets: dict[tuple[int, int], socket.socket] = field(default_factory=dict)
    held: list[socket.socket] = field(default_factory=list)

    def enter(self, number: int) -> None:
        """Go into a namespace."""
        assert libc.setns(self.descriptors[number], CLONE_NEWNET) == 0


def build(machine: Machine) -> Built:
    """Make the machine in the calling process, which is left in one of its namespaces."""
    built = Built(machine)
    for _ in machine.spaces:
        unshare()
        built.descriptors.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        for path, value in SYSCTLS.items():
            file = Path("/proc/sys", path)
            if file.exists():
                file.write_text(value)
        ip("link set lo up")
    for one, name, other, peer in machine.pairs:
        built.enter(one)
        ip(f"link add name {name} type veth peer name {peer}x",
           f"link set {peer}x name {peer} netns /proc/{os.getpid()}/fd/{built.descriptors[other]}")  # fmt: skip
    for space in machine.spaces:
        built.enter(space.number)
        for path, value in space.sysctls.items():
            if Path("/proc/sys", path).exists():
                Path("/proc/sys", path).write_text(value)
        ip(*space.commands)
        for file in Path("/proc/sys/net").glob("ipv[46]/neigh/*/retrans_time_ms"):
            file.write_text("250")
    for space in machine.spaces:
        built.enter(space.number)
        settle()
    for space in machine.spaces:
        built.enter(space.number)
        _listen(built, space)
    for space in machine.spaces:
        built.enter(space.number)
        if space.ruleset:
            done = subprocess.run(["nft", "-f", "-"], input=space.ruleset, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr + space.ruleset
        for tool, text in (("iptables-nft-restore", space.iptables), ("ip6tables-nft-restore", space.ip6tables)):
            if text:
                done = subprocess.run([tool], input=text, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr + text
    return built


def settle() -> None:
    """Wait until what the kernel does by and by is done: IPv6 local routes, carriers."""
    before = None
    while True:
        text = Path("/proc/thread-self/net/if_inet6").read_text()
        routes = Path("/proc/thread-self/net/ipv6_route").read_text()
        local = {row.split()[0] for row in routes.splitlines() if int(row.split()[8], 16) & 0x80000000}
        ready = all(row.split()[0] in local and not int(row.split()[4], 16) & 0x40 for row in text.splitlines())
        links = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
        # An end whose carrier is not told yet: the port of a bridge carries nothing until then (linkwatch).
        ready = ready and not any("LOWER_UP" in line and "DOWN mode" in line for line in links.splitlines())
        if ready and before == (text, routes, links):
            return
        before = (text, routes, links)


def _listen(built: Built, space: Space) -> None:
    """The sockets that can be had; what is taken already is left out."""
    for number, listener in enumerate(space.listeners):
        for copy in range(2 if listener.kind == "shared" else 1):
            sock = _socket(listener)
            try:
                sock.bind((listener.address or ("0.0.0.0" if sock.family == socket.AF_INET else "::"), listener.port))
                if not listener.udp and listener.kind != "bound":
                    sock.listen(0 if listener.kind == "full" else 1000)
            except OSError:
                sock.close()
                continue
            sock.setblocking(False)
            built.sockets[space.number, number * 2 + copy] = sock
            if listener.kind == "full" and not listener.udp:
                _fill(built, sock, listener)


def _socket(listener: Listener) -> socket.socket:
    loopback = listener.kind == "loopback" and ":" not in listener.address
    v4 = loopback or listener.kind in ("v4", "v4 address", "mapped")
    sock = socket.socket(
        socket.AF_INET if v4 else socket.AF_INET6, socket.SOCK_DGRAM if listener.udp else socket.SOCK_STREAM
    )
    if listener.kind == "mapped":
        sock.close()
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM if listener.udp else socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.address = "::ffff:0.0.0.0"
    if listener.kind == "v6only":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    elif listener.kind in ("dual", "full", "shared", "device", "bound"):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if listener.kind == "shared":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if listener.device:
        sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, listener.device.encode())
    return sock


def _fill(built: Built, sock: socket.socket, listener: Listener) -> None:
    try:
        built.held.append(socket.create_connection(("::1", listener.port), timeout=1))
    except OSError:  # lo is down
        listener.kind = "dual"
        return
    select.select([sock], [], [], 2)


# -- what is read --


def snapshot(built: Built) -> Snapshot:
    """The machine as facts, each namespace named by its number; of the first, with the others."""
    found = []
    namespaces = {os.fstat(descriptor).st_ino: descriptor for descriptor in built.descriptors}
    for number, inode in enumerate(namespaces):
        built.enter(number)
        found.append(_read(Namespace(inode=inode, name=f"s{number}"), namespaces))
    return replace(found[0], others=tuple(found[1:]))


def _read(namespace: Namespace, namespaces: dict[int, int]) -> Snapshot:
    from portside.live import inet_diag, nftables, rtnetlink, sysctls
    from portside.live.sock_diag import Link

    sockets: list[Any] = []
    with Link() as link:
        for proto in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
            for family in (socket.AF_INET, socket.AF_INET6):
                sockets += inet_diag.dump(link, family, proto)
    chains, missing = nftables.chains()
    settings = sysctls.settings()
    settings.tcp_syn_retries = 6  # it is as it is here so that nobody has to wait
    return Snapshot(
        host="generated", namespace=namespace, sockets=tuple(sockets), interfaces=rtnetlink.interfaces(namespaces),
        neighbors=rtnetlink.neighbors(), routes=rtnetlink.routes(), policy_rules=rtnetlink.policy_rules(),
        chains=chains, settings=settings, missing=missing,
    )  # fmt: skip


# -- what is tried --


@dataclass
class Tried:
    """What became of an attempt: the name of an errno, or the inode of the listener that took it."""

    target: Target
    outcome: str = ""
    inode: int = 0
    sock: socket.socket | None = None


def attempt_all(built: Built) -> list[Tried]:
    """Every target at once; a token tells which listener got which connection."""
    tried = [Tried(target) for target in built.machine.targets]
    inodes = {sock.fileno(): os.fstat(sock.fileno()).st_ino for sock in built.sockets.values()}
    for number, one in enumerate(tried):
        built.enter(one.target.space)
        with _as_user(one.target.uid):
            _begin(one, number)
    _wait(built, tried, inodes)
    for one in tried:
        if one.sock is not None:
            one.sock.close()
        if not one.outcome:
            one.outcome = "silent" if one.target.udp else "ETIMEDOUT"
    return tried


@contextmanager
def _as_user(uid: int) -> Iterator[None]:
    """Sockets belong to the user by whom they are made."""
    if uid:
        os.seteuid(uid)
    try:
        yield
    finally:
        if uid:
            os.seteuid(0)


def _begin(one: Tried, number: int) -> None:
    target = one.target
    family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
    one.sock = sock = socket.socket(family, socket.SOCK_DGRAM if target.udp else socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.connect(socket.getaddrinfo(target.address, target.port, family, sock.type)[0][4])
        if target.udp:
            sock.send(number.to_bytes(4, "big"))
    except OSError as error:
        if error.errno != errno.EINPROGRESS:
            one.outcome = errno.errorcode[error.errno or 0]
            sock.close()
            one.sock = None


def _wait(built: Built, tried: list[Tried], inodes: dict[int, int]) -> None:
    """Until every attempt has its end."""
    opening = {one.sock.fileno(): (number, one) for number, one in enumerate(tried) if one.sock is not None}
    by_descriptor = {sock.fileno(): sock for sock in built.sockets.values()}
    poll = select.poll()
    for descriptor in opening:
        poll.register(descriptor, select.POLLIN if opening[descriptor][1].target.udp else select.POLLOUT)
    full = {sock.fileno() for (space, number), sock in built.sockets.items()
            if built.machine.spaces[space].listeners[number // 2].kind in ("full", "bound")
            and sock.type == socket.SOCK_STREAM}  # fmt: skip
    for descriptor in by_descriptor:
        if descriptor not in full:
            poll.register(descriptor, select.POLLIN)
    accepted: dict[int, tuple[socket.socket, int]] = {}
    waiting = {descriptor for descriptor, (_, one) in opening.items() if not one.target.udp}
    untold = set(range(len(tried)))
    limit = time.monotonic() + PATIENCE
    quiet = time.monotonic() + 1.5
    while time.monotonic() < limit and (waiting or time.monotonic() < quiet):
        for descriptor, _ in poll.poll(200):
            if descriptor in opening:
                number, one = opening[descriptor]
                assert one.sock is not None
                error = _error_of(one)
                poll.unregister(descriptor)
                if error:
                    one.outcome = errno.errorcode[error]
                elif not one.target.udp:
                    one.outcome = "accepted"
                    one.sock.send(number.to_bytes(4, "big"))
                waiting.discard(descriptor)
                quiet = time.monotonic() + 0.5
            elif descriptor in accepted:
                sock, inode = accepted[descriptor]
                data = _received(sock)
                poll.unregister(descriptor)
                if len(data) == 4:
                    number = int.from_bytes(data, "big")
                    tried[number].inode = inode
                    untold.discard(number)
                built.held.append(sock)
            else:
                _take(by_descriptor[descriptor], inodes[descriptor], accepted, poll, tried)
                quiet = max(quiet, time.monotonic() + 0.5)


def _error_of(one: Tried) -> int:
    """How the attempt ended. SO_ERROR of a connection would tell of what came afterwards, too."""
    assert one.sock is not None
    if not one.target.udp:
        try:
            one.sock.getpeername()
        except OSError:
            pass  # it is no connection: then the error says why
        else:
            return 0
    return one.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(4)
    except OSError:
        return b""


def _take(
    sock: socket.socket, inode: int, accepted: dict[int, tuple[socket.socket, int]], poll: select.poll,
    tried: list[Tried],
) -> None:  # fmt: skip
    if sock.type == socket.SOCK_DGRAM:
        number = int.from_bytes(_received(sock), "big")
        tried[number].outcome, tried[number].inode = "accepted", inode
        return
    child, _ = sock.accept()
    child.setblocking(False)
    accepted[child.fileno()] = (child, inode)
    poll.register(child.fileno(), select.POLLIN)


Run = Callable[[Machine], tuple[Snapshot, list[tuple[Target, str, int]]]]


def run(machine: Machine) -> tuple[Snapshot, list[tuple[Target, str, int]]]:
    """Build, read and try a machine: its facts, and what became of each target. In a process of its own only."""
    built = build(machine)
    facts = snapshot(built)
    return facts, [(one.target, one.outcome, one.inode) for one in attempt_all(built)]
