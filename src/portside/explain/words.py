"""A socket in words, as ss(8) and people write it. Imports little: what must answer at once uses it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.facts.state import ESTABLISHED, NAMES

if TYPE_CHECKING:
    from portside.facts.snapshot import Snapshot
    from portside.facts.socket import Owner, Socket

PROTOCOLS: Final = {IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp", IPPROTO_UDPLITE: "udplite"}


def protocol_text(socket: Socket) -> str:
    """`tcp`, `udp` ..."""
    return PROTOCOLS.get(socket.proto, str(socket.proto))


def user_name(snapshot: Snapshot, uid: int) -> str:
    """The user's name, or the number where none is known."""
    return next((name for number, name in snapshot.users if number == uid), str(uid))


def address_text(socket: Socket, snapshot: Snapshot | None = None) -> str:
    """Address and port as ss(8) writes them: `0.0.0.0:22`, `[::]:22` for IPv6 alone, `*:22` for both families."""
    device = "" if snapshot is None else device_name(socket, snapshot)
    if socket.family == AF_INET6 and socket.laddr == ip.V6_ANY and not socket.v6only:
        host = "*"
    elif socket.family == AF_INET6:
        host = f"[{ip.text_v6(socket.laddr)}]"
    else:
        host = ip.text(socket.laddr)
    return f"{host}%{device}:{socket.lport}" if device else f"{host}:{socket.lport}"


def device_name(socket: Socket, snapshot: Snapshot) -> str:
    """The interface that a socket is bound to, or that the scope of its address names; empty if none."""
    index = socket.device or socket.scope
    return next((each.name for each in snapshot.interfaces if index and each.index == index), "")


def peer_text(socket: Socket) -> str:
    """The peer's address and port; empty for a socket without one."""
    if not socket.rport:
        return ""
    host = ip.text(socket.raddr) if socket.family == AF_INET else f"[{ip.text_v6(socket.raddr)}]"
    return f"{host}:{socket.rport}"


def state_text(socket: Socket) -> str:
    """The state as ss(8) calls it: a UDP socket without a peer is UNCONN."""
    if socket.proto != IPPROTO_TCP:
        return NAMES[ESTABLISHED] if socket.rport else "UNCONN"
    return NAMES.get(socket.state, str(socket.state))


def programs(owners: Iterable[Owner]) -> str:
    """The processes that have a socket: `nginx (811, 812)`."""
    by_name: dict[str, list[int]] = {}
    for owner in owners:
        pids = by_name.setdefault(owner.command or "?", [])
        if owner.pid not in pids:
            pids.append(owner.pid)
    return ", ".join(f"{name} ({_few(pids)})" for name, pids in by_name.items())


def _few(pids: list[int]) -> str:
    shown = ", ".join(map(str, sorted(pids)[:4]))
    return shown if len(pids) <= 4 else f"{shown} and {len(pids) - 4} more"
