"""Snapshots made by hand, for tests that read as tables."""

from __future__ import annotations

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, SOCK_DGRAM, SOCK_STREAM
from portside.addr.endpoint import parse
from portside.facts.interface import IFF_LOOPBACK, IFF_UP, SCOPE_GLOBAL, SCOPE_HOST, SCOPE_LINK, Address, Interface
from portside.facts.process import Process
from portside.facts.settings import Settings
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Owner, Socket
from portside.facts.state import CLOSED, ESTABLISHED, LISTEN

USERS = ((0, "root"), (33, "www"), (1000, "ann"), (1001, "ben"))
UIDS = {name: uid for uid, name in USERS}


def interface(index: int, name: str, *notations: str, up: bool = True) -> Interface:
    """`interface(2, "eth0", "10.0.0.1/24", "fd00::1/64")`."""
    flags = (IFF_UP if up else 0) | (IFF_LOOPBACK if name == "lo" else 0)
    addresses = []
    for notation in notations:
        text, _, length = notation.partition("/")
        address = ip.parse(text)
        scope = SCOPE_HOST if ip.is_loopback(address) else SCOPE_LINK if ip.is_link_local(address) else SCOPE_GLOBAL
        addresses.append(Address(address=address, prefix_length=int(length), scope=scope))
    return Interface(index=index, name=name, flags=flags, addresses=tuple(addresses))


LO = interface(1, "lo", "127.0.0.1/8", "::1/128")
ETH0 = interface(2, "eth0", "192.168.1.5/24", "fd00:1::5/64", "fe80::5/64")
ETH1 = interface(3, "eth1", "10.9.0.5/16")


def socket(where: str, *, to: str = "", user: str = "root", pid: int = 0, command: str = "", **more: object) -> Socket:
    """`socket("0.0.0.0:80")`, a listener; `socket("[::]:53/udp", to="[::1]:9")`."""
    endpoint = parse(where).with_port
    assert endpoint is not None
    assert endpoint.address is not None
    assert endpoint.port is not None
    proto = endpoint.proto or IPPROTO_TCP
    peer = parse(to).endpoint if to else None
    wildcard = ip.V4_ANY if endpoint.family == AF_INET else ip.V6_ANY
    tcp = proto == IPPROTO_TCP
    values: dict[str, object] = {
        "family": endpoint.family,
        "proto": proto,
        "type": SOCK_STREAM if tcp else SOCK_DGRAM,
        "state": ESTABLISHED if peer else LISTEN if tcp else CLOSED,
        "laddr": endpoint.address,
        "lport": endpoint.port,
        "raddr": peer.address if peer else wildcard,
        "rport": (peer.port or 0) if peer else 0,
        "v6only": endpoint.family == AF_INET6 and endpoint.address != ip.V6_ANY and not ip.is_v4(endpoint.address),
        "reuseaddr": False,
        "reuseport": False,
        "uid": UIDS[user],
        "inode": 5000 + pid if pid else 1,
        "backlog": 128 if tcp and not peer else 0,
        "owners": (Owner(pid, 3, command),) if pid else (),
    }
    return Socket(**{**values, **more})  # type: ignore[arg-type]


def process(pid: int, name: str, *, ppid: int = 1, user: str = "root", **more: object) -> Process:
    """A process that was started by init unless told otherwise."""
    uid = UIDS[user]
    return Process(pid=pid, ppid=ppid, name=name, argv=(name,), uid=uid, euid=uid, **more)  # type: ignore[arg-type]


def host(*sockets: Socket, **more: object) -> Snapshot:
    """A machine with lo, eth0 (192.168.1.5/24, fd00:1::5/64) and eth1 (10.9.0.5/16)."""
    values: dict[str, object] = {
        "host": "here",
        "sockets": sockets,
        "interfaces": (LO, ETH0, ETH1),
        "users": USERS,
        "settings": Settings(),
    }
    return Snapshot(**{**values, **more})  # type: ignore[arg-type]


__all__ = ["IPPROTO_UDP", "host", "interface", "process", "socket"]
