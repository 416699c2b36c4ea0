"""Sockets for the tests of views, written short."""

from __future__ import annotations

from typing import Any

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, SOCK_DGRAM, SOCK_STREAM
from portside.facts.interface import Interface
from portside.facts.process import Process
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Owner, Socket, UnixSocket
from portside.facts.state import CLOSED, ESTABLISHED, LISTEN


def end(text: str) -> tuple[int, int]:
    """`127.0.0.1:80`, `[::1]:80`, `*:80` (IPv4), `[::]:*`."""
    host, _, port = text.rpartition(":")
    address = ip.V4_ANY if host == "*" else ip.parse(host.strip("[]"))
    return address, 0 if port == "*" else int(port)


def tcp(local: str, peer: str = "", state: int = LISTEN, **fields: Any) -> Socket:
    """A TCP socket; without a peer a listener."""
    laddr, lport = end(local)
    family = AF_INET if ip.is_v4(laddr) and not fields.pop("mapped", False) else AF_INET6
    raddr, rport = end(peer) if peer else (ip.V4_ANY if family == AF_INET else ip.V6_ANY, 0)
    if family == AF_INET6:
        fields.setdefault("v6only", False)
    return Socket(family=family, proto=IPPROTO_TCP, type=SOCK_STREAM, state=state if not peer or state != LISTEN
                  else ESTABLISHED, laddr=laddr, lport=lport, raddr=raddr, rport=rport, **fields)  # fmt: skip


def udp(local: str, peer: str = "", **fields: Any) -> Socket:
    """A UDP socket, connected when it has a peer."""
    made = tcp(local, peer, CLOSED if not peer else ESTABLISHED)
    return Socket(family=made.family, proto=IPPROTO_UDP, type=SOCK_DGRAM, state=made.state, laddr=made.laddr,
                  lport=made.lport, raddr=made.raddr, rport=made.rport, v6only=made.v6only, **fields)  # fmt: skip


def held(pid: int, fd: int = 3, command: str = "python") -> tuple[Owner, ...]:
    """One owner."""
    return (Owner(pid=pid, fd=fd, command=command),)


def machine(*sockets: Socket | UnixSocket, **fields: Any) -> Snapshot:
    """A machine with these sockets; its processes are those that own them, and root's."""
    owners = {owner.pid: owner for socket in sockets for owner in socket.owners}
    fields.setdefault("processes", tuple(Process(pid=pid, name=each.command) for pid, each in owners.items()))
    fields.setdefault("users", ((0, "root"), (1000, "ann")))
    fields.setdefault("interfaces", (Interface(index=1, name="lo"), Interface(index=3, name="ve0")))
    return Snapshot(
        host="machine",
        sockets=tuple(each for each in sockets if isinstance(each, Socket)),
        unix_sockets=tuple(each for each in sockets if isinstance(each, UnixSocket)),
        **fields,
    )
