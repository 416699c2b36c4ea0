"""Rows of sock_diag(7) as facts: struct inet_diag_msg of <linux/inet_diag.h> and the attributes behind it.

A machine has a hundred thousand connections at times, and most questions look at their addresses only. So a row is
read in two steps: what everybody asks for at once, the rest when the first of it is asked for.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import FrozenInstanceError, fields
from functools import cache
from operator import attrgetter
from typing import Any, Final

from portside.addr.abi import (
    AF_INET,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPPROTO_UDPLITE,
    MILLISECOND,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_STREAM,
)
from portside.addr.ip import V4_PREFIX, needs_scope
from portside.facts import socket as facts
from portside.facts.socket import Memory, Owner, Socket
from portside.facts.state import LISTEN, SYN_RECEIVED
from portside.live.sock_diag import HEADER, NLMSG_DONE, PIECE, attributes

IPPROTO_RAW: Final = 255
TYPES: Final = {IPPROTO_TCP: SOCK_STREAM, IPPROTO_UDP: SOCK_DGRAM, IPPROTO_UDPLITE: SOCK_DGRAM}

# Attributes, INET_DIAG_* of <linux/inet_diag.h>.
_INFO: Final = 2
_CONGESTION: Final = 4
_SKMEMINFO: Final = 7
_SHUTDOWN: Final = 8
_V6ONLY: Final = 11
_MARK: Final = 15
_CGROUP: Final = 21
_SOCKOPT: Final = 22

# A whole row: nlmsghdr, then inet_diag_msg.
_ROW: Final = struct.Struct("=IH10xBBBBHH16s16sIQIIIII")
_MEMORY: Final = struct.Struct("=9I")
assert _ROW.size == 16 + 72
_DEVICE: Final = struct.Struct("=56xI")  # id.idiag_if of a row

_FIRST: Final = ("state", "lport", "rport", "laddr", "raddr", "uid", "inode", "owners", "receive_queue", "send_queue")
"""What is read of every socket at once."""
_OF_A_KIND: Final = ("family", "proto", "type")
"""What all sockets of a dump have in common."""

_new: Final = object.__new__


class DiagSocket:
    """What stands for a Socket that the kernel told of: equal to any with the same fields, and an instance of Socket.

    A Socket has room for forty fields, and to fill a new piece of memory takes longer than to read what goes into it.
    This has room for what is read at once, and for the message; a Socket is made of that when another field is asked
    for. The message never changes: if several threads ask at a time, what they make is equal.
    """

    __slots__ = (*_FIRST, "_at", "_message")

    state: int
    lport: int
    rport: int
    laddr: int
    raddr: int
    uid: int
    inode: int
    owners: tuple[Owner, ...]
    receive_queue: int
    send_queue: int
    family: int
    proto: int
    type: int
    _at: int
    _message: bytes | Socket

    def __new__(cls, **values: Any) -> Any:
        """What `type(one)(...)` makes is a Socket: rows alone make these."""
        return Socket(**values)

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        """Travel as a Socket."""
        return _whole(self).__reduce_ex__(protocol)


class _Draft(DiagSocket):
    """One that is being made: it is written to, and then gets its class, which is frozen. The interpreter stores into
    such an object ten times as quickly as the `__init__` of a frozen one does."""

    __slots__ = ()
    __setattr__: Any = object.__setattr__
    __delattr__: Any = object.__delattr__


class _Unread:
    """A field that is still in the message."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, one: DiagSocket | None, _: object) -> object:
        return self if one is None else getattr(_whole(one), self.name)


def _device(one: DiagSocket) -> int:
    """The field `device`: whoever writes an address asks for it, and needs no more of the message."""
    message = one._message
    if not isinstance(message, bytes):
        return message.device
    index: int = _DEVICE.unpack_from(message, one._at)[0]
    return index


def _scope(one: DiagSocket) -> int:
    return _device(one) if needs_scope(one.laddr) else 0


@cache
def _kind(family: int, proto: int, listening: bool) -> type[DiagSocket]:
    """The class of sockets of one family and protocol; those that don't listen have no queue of connections."""
    same: dict[str, Any] = {name: _Unread(name) for name in _setters if name not in (*_FIRST, *_OF_A_KIND)}
    same.update(family=family, proto=proto, type=TYPES.get(proto, SOCK_RAW))
    same.update(device=property(_device), scope=property(_scope))
    if family == AF_INET:
        same.update(v6only=False)
    if not listening:
        same.update(accept_queue=0, backlog=0)
    if proto == IPPROTO_RAW:
        same["proto"] = property(attrgetter("lport"))  # a raw socket has its protocol where others have a port
    return type("Socket", (DiagSocket,), {**_alike, **same, "__slots__": (), "__class__": Socket})


def _whole(one: DiagSocket) -> Socket:
    """The Socket that it stands for."""
    message = one._message
    if isinstance(message, bytes):
        known = {name: getattr(one, name) for name in (*_FIRST, *_OF_A_KIND)}
        message = Socket(**known, **_rest(message, one._at, one.state, one.family, one.laddr))
        _set_message(one, message)
    return message


_alike: Final = {
    name: vars(Socket)[name]
    for name in (
        "__doc__", "__module__", "__annotations__", "__dataclass_fields__", "__dataclass_params__", "__match_args__",
        "__eq__", "__hash__", "__repr__", "__getstate__", "__replace__",
    )
    if name in vars(Socket)
}  # fmt: skip
"""How a Socket is compared and written, and what dataclasses, pprint, copy and their like look for in its class."""
_setters: Final[dict[str, Any]] = {each.name: vars(Socket)[each.name].__set__ for each in fields(Socket)}
_first_setters: Final[dict[str, Any]] = {name: vars(DiagSocket)[name].__set__ for name in _FIRST}
_set_message: Final[Any] = vars(DiagSocket)["_message"].__set__


def complete(one: Any, **values: Any) -> None:
    """Say more of a socket that was just read and that nobody else has seen yet."""
    whole = _whole(one) if isinstance(one, DiagSocket) else one
    for name, value in values.items():
        _setters[name](whole, value)
        if one is not whole and name in _FIRST:
            _first_setters[name](one, value)


Holders = Callable[[Collection[int]], list[tuple[Owner, ...]]]
"""Who holds the sockets of these inodes; nobody holds inode 0, which is no socket's."""


def nobody(inodes: Collection[int]) -> list[tuple[Owner, ...]]:
    """Holders for when it is not asked who they are."""
    return [()] * len(inodes)


def set_owners(sockets: Sequence[Any], holders: Holders) -> None:
    """Say who holds sockets that were just read and that nobody else has seen yet."""
    for each, owners in zip(sockets, holders([each.inode for each in sockets]), strict=True):
        if isinstance(each, DiagSocket) and isinstance(each._message, bytes):
            _first_setters["owners"](each, owners)
        else:
            complete(each, owners=owners)


class Addresses(dict[bytes, int]):
    """The integer for an address, each made once. A key is its 4 or 16 bytes."""

    def __missing__(self, raw: bytes) -> int:
        value = int.from_bytes(raw, "big")
        self[raw] = value = V4_PREFIX | value if len(raw) == 4 else value
        return value


def rows(piece: bytes, proto: int, addresses: Addresses, holders: Holders = nobody) -> list[Socket]:
    """The sockets in one piece of a dump."""
    length = HEADER.unpack_from(piece)[0]
    # Rows of one kind are equally long. Where the first has this length, the next begins behind it, and so on.
    if length % 4 == 0 and len(piece) % length == 0:
        lengths = memoryview(piece).cast("I")[:: length // 4].tolist()
        if lengths.count(length) == len(lengths) and piece[16::length] == piece[16:17] * len(lengths):
            return _rows(piece, length, proto, addresses, holders)
    kinds: dict[tuple[int, int], list[int]] = {}
    at = 0
    while at < len(piece) and piece[at + 4] != NLMSG_DONE:
        length = HEADER.unpack_from(piece, at)[0] + 3 & ~3
        kinds.setdefault((length, piece[at + 16]), []).append(at)
        at += length
    found: dict[int, Socket] = {}
    for (length, _), starts in kinds.items():
        part = b"".join([piece[start : start + length] for start in starts])
        found.update(zip(starts, _rows(part, length, proto, addresses, holders), strict=True))
    return [found[start] for start in sorted(found)]


def _rows(piece: bytes, length: int, proto: int, addresses: Addresses, holders: Holders) -> list[Socket]:
    """Rows of one family and length. What happens here happens for each socket of the machine."""
    if piece[4] == NLMSG_DONE:
        return []
    family = piece[16]
    kind, listener = _kind(family, proto, False), _kind(family, proto, True)
    words = memoryview(piece).cast("I")
    received, sent, uids, inodes = (words[place :: length // 4].tolist() for place in (18, 19, 20, 21))
    places = _places(length)[: len(inodes)]
    rows = zip(places, _reader(family, length)(piece), received, sent, uids, inodes, holders(inodes), strict=True)
    found: list[Socket] = []
    for at, (state, lport, rport, laddr, raddr), receive_queue, send_queue, uid, inode, owners in rows:
        one: Any = _new(_Draft)
        one.state = state
        one.lport = lport
        one.rport = rport
        one.laddr = addresses[laddr]
        one.raddr = addresses[raddr]
        one.uid = uid
        one.inode = inode
        one.owners = owners
        one._at = at
        one._message = piece
        if state == LISTEN:
            one.receive_queue = one.send_queue = 0
            one.__class__ = listener
        else:
            one.receive_queue = receive_queue
            one.send_queue = send_queue
            one.__class__ = kind
        found.append(one)
    return found


@cache
def _reader(family: int, length: int) -> Callable[[bytes], Iterator[Any]]:
    """How to read what is in network order in rows of this length: state, which is a byte, ports and addresses."""
    size = 4 if family == AF_INET else 16
    address = f"{size}s{16 - size}x"
    return struct.Struct(f"!17xBxxHH{address}{address}{length - 56}x").iter_unpack


@cache
def _places(length: int) -> Sequence[int]:
    """Where rows of this length begin in any piece: the same numbers for all, not as many as there are sockets."""
    return tuple(range(0, PIECE, length))


def _rest(piece: bytes, at: int, state: int, family: int, laddr: int) -> dict[str, Any]:
    """What `rows` leaves out: every other field of a Socket."""
    length, _, _, _, timer, retrans, _, _, _, _, device, cookie, expires, rqueue, wqueue, _, _ = _ROW.unpack_from(
        piece, at
    )
    listening = state == LISTEN
    values: dict[str, Any] = {
        "device": device,
        "scope": device if needs_scope(laddr) else 0,
        "v6only": False if family == AF_INET or laddr >> 32 == 0xFFFF else None,
        "reuseaddr": None,
        "reuseport": None,
        "freebind": None,
        "transparent": None,
        "bound": True,
        "accept_queue": rqueue if listening else 0,
        "backlog": wqueue if listening else 0,
        "timer": timer,
        "timer_left": expires * MILLISECOND,
        "retransmits": retrans if timer == facts.TIMER_RETRANSMIT else 0,
        "probes": retrans if timer in (facts.TIMER_KEEPALIVE, facts.TIMER_PROBE) else 0,
        "keepalive": True if timer == facts.TIMER_KEEPALIVE else None,
        "shutdown": 0,
        "drops": 0,
        "references": 0 if state == SYN_RECEIVED else 1,
        "pointer": 0,
        "slot": 0,
        "cookie": cookie,
        "mark": 0,
        "cgroup": 0,
        "memory": None,
        "tcp": None,
    }
    congestion = ""
    info: tuple[int, int] | None = None
    for kind, start, end in attributes(piece, at + _ROW.size, at + length):
        if kind == _SKMEMINFO:
            values["memory"] = buffers = memory(piece[start:end])
            values["drops"] = buffers.drops
        elif kind == _SHUTDOWN:
            values["shutdown"] = piece[start]
        elif kind == _V6ONLY:
            values["v6only"] = bool(piece[start])
        elif kind == _CGROUP:
            values["cgroup"] = int.from_bytes(piece[start:end], sys.byteorder)
        elif kind == _MARK:
            values["mark"] = struct.unpack_from("=I", piece, start)[0]
        elif kind == _SOCKOPT:
            values["freebind"] = bool(piece[start] & 0x04)
            values["transparent"] = bool(piece[start] & 0x20)
        elif kind == _CONGESTION:
            congestion = piece[start:end].rstrip(b"\0").decode(errors="surrogateescape")
        elif kind == _INFO:
            info = start, end
    if info is not None:
        from portside.live import tcp_info

        values["tcp"] = tcp_info.read(piece[slice(*info)], congestion)
    return values


def memory(raw: bytes) -> Memory:
    """SK_MEMINFO_VARS of <linux/sock_diag.h>: nine numbers of four bytes, fewer from an old kernel."""
    rmem, rcvbuf, wmem, sndbuf, fwd, queued, optmem, backlog, drops = _MEMORY.unpack_from(
        raw.ljust(_MEMORY.size, b"\0")
    )
    return Memory(
        rmem_alloc=rmem,
        rcvbuf=rcvbuf,
        wmem_alloc=wmem,
        sndbuf=sndbuf,
        fwd_alloc=fwd,
        wmem_queued=queued,
        optmem=optmem,
        backlog=backlog,
        drops=drops,
    )
