"""What `netstat -an` and `netstat -ano` print on Windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket
from portside.facts.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)
from portside.views.names import HostNames
from portside.views.table import clean

STATE_NAMES: Final = {
    ESTABLISHED: "ESTABLISHED", SYN_SENT: "SYN_SENT", SYN_RECEIVED: "SYN_RECEIVED", FIN_WAIT_1: "FIN_WAIT_1",
    FIN_WAIT_2: "FIN_WAIT_2", TIME_WAIT: "TIME_WAIT", CLOSE_WAIT: "CLOSE_WAIT", LAST_ACK: "LAST_ACK",
    LISTEN: "LISTENING", CLOSING: "CLOSING",
}  # fmt: skip


class _Row(NamedTuple):
    """One line; `socket` is whose it is."""

    proto: int
    family: int
    laddr: int
    raddr: int
    socket: Socket


def show(
    snapshot: Snapshot, *, every: bool, pids: bool, names: HostNames | None, kinds: set[str] | frozenset[str]
) -> str:
    """The list of connections.

    Args:
        every: with listeners and UDP (-a).
        pids: with the process of each (-o); 0 where none is left, as in TIME_WAIT.
        names: what to call addresses and ports; None: numbers (-n).
        kinds: `tcp` or `udp`; empty: both.
    """
    lines = ["", "Active Connections", ""]
    lines.append("  Proto  Local Address          Foreign Address        State" + ("           PID" if pids else ""))
    for row in sorted(_rows(snapshot, every, kinds), key=lambda row: (row.proto, row.family)):
        lines += _lines(row, pids, names)
    return "\n".join(lines) + "\n"


def _rows(snapshot: Snapshot, every: bool, kinds: set[str] | frozenset[str]) -> Iterator[_Row]:
    for socket in snapshot.sockets:
        kind = {IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp"}.get(socket.proto)
        if kind is None or (kinds and kind not in kinds) or not socket.lport:
            continue
        if socket.state == CLOSED and kind == "tcp":
            continue
        if every or (kind == "tcp" and socket.state != LISTEN):
            yield from _families(socket)


def _families(socket: Socket) -> Iterator[_Row]:
    """A dual-stack socket that has the wildcard shows under both families, a mapped peer under IPv4."""
    if socket.family == AF_INET6 and not ip.is_v4(socket.laddr):
        yield _Row(socket.proto, AF_INET6, socket.laddr, socket.raddr, socket)
        if socket.laddr == ip.V6_ANY and socket.v6only is False and ip.is_any(socket.raddr):
            yield _Row(socket.proto, AF_INET, ip.V4_ANY, ip.V4_ANY, socket)
    else:
        yield _Row(socket.proto, AF_INET, socket.laddr, socket.raddr, socket)


def _lines(row: _Row, pids: bool, names: HostNames | None) -> Iterator[str]:
    socket = row.socket
    tcp = row.proto == IPPROTO_TCP
    local = _endpoint(row.laddr, socket.lport, socket, names)
    peer = _endpoint(row.raddr, socket.rport, socket, names) if tcp else "*:*"
    state = STATE_NAMES.get(socket.state, "") if tcp else ""
    line = f"  {'TCP' if tcp else 'UDP':<5}  {local:<21}  {peer:<21}  {state}"
    if not pids:
        yield line
        return
    for pid in sorted({owner.pid for owner in socket.owners}) or [0]:
        yield f"  {'TCP' if tcp else 'UDP':<5}  {local:<21}  {peer:<21}  {state:<15} {pid}"


def _endpoint(address: int, port: int, socket: Socket, names: HostNames | None) -> str:
    number = str(port)
    host = ip.text(address) if ip.is_v4(address) else f"[{ip.text(address)}{_zone(address, socket)}]"
    if names is None:
        return f"{host}:{number}"
    return f"{clean(names.name(address) or host)}:{names.service(port, socket.proto) or number}"


def _zone(address: int, socket: Socket) -> str:
    """A link-local address with the index of its interface."""
    return f"%{socket.scope or socket.device}" if ip.needs_scope(address) else ""
