"""Internet sockets from sock_diag(7): struct inet_diag_msg of <linux/inet_diag.h> and its attributes, as facts.

A machine has a hundred thousand connections at times, and most questions look at their addresses only. So a row is
read in two steps: what everybody asks for at once, the rest when the first of it is asked for.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from itertools import repeat
from typing import Any, Final

from portside.addr.abi import (
    AF_INET,
    AF_INET6,
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
from portside.live.sock_diag import (
    HEADER,
    NLMSG_DONE,
    SOCK_DIAG_BY_FAMILY,
    TCPDIAG_GETSOCK,
    Link,
    attribute,
    attributes,
)

BOUND: Final = 1 << 13
"""The state bit that asks for TCP sockets that are bound and neither listen nor connect (TCPF_BOUND_INACTIVE)."""
EVERY_STATE: Final = 0xFFF | BOUND
LISTENING: Final = 1 << LISTEN
UNCONNECTED: Final = 1 << LISTEN | BOUND
"""TCP sockets without a peer. To ask for closed ones would make the kernel walk over all connections."""

# Bits of idiag_ext ask for attributes: the bit is the attribute's number less one.
ASK_INFO: Final = 1 << 1
ASK_CONGESTION: Final = 1 << 3
ASK_MEMORY: Final = 1 << 6

# Attributes, INET_DIAG_* of <linux/inet_diag.h>.
_INFO: Final = 2
_CONGESTION: Final = 4
_SKMEMINFO: Final = 7
_SHUTDOWN: Final = 8
_PROTOCOL: Final = 12
_V6ONLY: Final = 11
_MARK: Final = 15
_CGROUP: Final = 21
_SOCKOPT: Final = 22

_REQ_BYTECODE: Final = 1
_BYTECODE: Final = struct.Struct("=BBH")  # struct inet_diag_bc_op: code, offset if it holds, offset if not
_PORT_AT_LEAST: Final = 2  # INET_DIAG_BC_S_GE; the port stands in the next operation
_PORT_AT_MOST: Final = 3  # INET_DIAG_BC_S_LE

_REQUEST: Final = struct.Struct("=BBBxI")  # struct inet_diag_req_v2 without its id: family, protocol, ext, states
_OLD_REQUEST: Final = struct.Struct("=BxxB48sI4x")  # struct inet_diag_req: family, ext, id, states
_ANY_ID: Final = bytes(40) + b"\xff" * 8  # no address, no port, no cookie

# A whole row: nlmsghdr, then inet_diag_msg. Ports are in network order and are turned around apart.
_ROW: Final = struct.Struct("=IH10xBBBBHH16s16sIQIIIII")
_MEMORY: Final = struct.Struct("=9I")
assert _ROW.size == 16 + 72

TYPES: Final = {IPPROTO_TCP: SOCK_STREAM, IPPROTO_UDP: SOCK_DGRAM, IPPROTO_UDPLITE: SOCK_DGRAM}
IPPROTO_RAW: Final = 255

_setters: Final[dict[str, Any]] = {each.name: vars(Socket)[each.name].__set__ for each in fields(Socket)}
_new: Final = object.__new__
_drain: Final = deque[object](maxlen=0).extend


class DiagSocket(Socket):
    """A Socket as the kernel's message tells of it: equal to any Socket with the same fields.

    What `rows` did not set is read from the message when it is first asked for; the message never changes. Family,
    protocol and type are the same for all sockets of a dump: they are attributes of a class of its own (`_kind`).
    """

    __slots__ = ("_at", "_piece")
    __qualname__ = "Socket"  # what repr shows
    _at: int
    _piece: bytes

    def __new__(cls, **values: Any) -> Any:
        """Make a plain Socket, as `dataclasses.replace` wants one; `rows` does not come this way."""
        return Socket(**values)

    def __getattr__(self, name: str) -> Any:
        """Fill in what has not been asked for before: called only for a field that is not set yet."""
        if name == "owners":
            return ()
        if name not in _setters:
            raise AttributeError(f"a Socket has no {name!r}", name=name, obj=self)
        for key, value in _rest(self._piece, self._at, self.state, self.family, self.laddr).items():
            _setters[key](self, value)
        return object.__getattribute__(self, name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Socket):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _setters)

    __hash__ = Socket.__hash__

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as a plain Socket."""
        return _plain, ({name: getattr(self, name) for name in _setters},)


@cache
def _kind(family: int, proto: int) -> type[DiagSocket]:
    """The class of sockets of one family and protocol; a raw socket's protocol is its own."""
    same: dict[str, Any] = {"__slots__": (), "__qualname__": "Socket", "family": family}
    same["type"] = TYPES.get(proto, SOCK_RAW)
    if proto != IPPROTO_RAW:
        same["proto"] = proto
    return type("DiagSocket", (DiagSocket,), same)


def _plain(values: dict[str, Any]) -> Socket:
    return Socket(**values)


_piece_of: Final[Any] = vars(DiagSocket)["_piece"].__set__
_at_of: Final[Any] = vars(DiagSocket)["_at"].__set__


def complete(one: Socket, **values: Any) -> None:
    """Say more of a socket that was just read and that nobody else has seen yet."""
    for name, value in values.items():
        getattr(one, name)  # what is not read yet would be read over this later
        _setters[name](one, value)


def set_owners(sockets: Iterable[Socket], owners: Mapping[int, tuple[Owner, ...]]) -> None:
    """Say who holds sockets that were just read and that nobody else has seen yet.

    Args: owners: by inode. None holds inode 0, which is no socket's.
    """
    for each in sockets:
        _setters["owners"](each, owners.get(each.inode, ()))


class _Addresses(dict[Any, int]):
    """The integer for an address, each made once. A key is the first of its four words as the kernel has them, or, for
    IPv6, all four."""

    def __missing__(self, raw: int | tuple[int, ...]) -> int:
        if isinstance(raw, int):
            value = V4_PREFIX | socket.ntohl(raw)
        else:
            value = int.from_bytes(b"".join(word.to_bytes(4, sys.byteorder) for word in raw), "big")
        self[raw] = value
        return value


def request(family: int, proto: int, states: int, ask: int, port: int | None = None) -> bytes:
    """What to send for a dump, and for one local port a filter that the kernel applies.

    It is struct inet_diag_req_v2, or for AF_UNSPEC struct inet_diag_req: the older request, for TCP of both families.

    Args: states: one bit for each state, and BOUND. ask: ASK_* bits. port: only sockets with this local port.
    """
    if family:
        body = _REQUEST.pack(family, proto, ask, states) + _ANY_ID
    else:
        body = _OLD_REQUEST.pack(family, ask, _ANY_ID, states)
    if port is not None:
        body += attribute(_REQ_BYTECODE, _port_filter(port))
    return body


def _port_filter(port: int) -> bytes:
    """`sport >= port and sport <= port` for inet_diag_bc_run: two comparisons, each with its number behind it."""
    # Where it does not hold, the way leads four bytes beyond the end: inet_diag_bc_audit takes that for "no".
    return b"".join(
        (
            _BYTECODE.pack(_PORT_AT_LEAST, 8, 20),
            _BYTECODE.pack(0, 0, port),
            _BYTECODE.pack(_PORT_AT_MOST, 8, 12),
            _BYTECODE.pack(0, 0, port),
        )
    )


def dump(
    link: Link,
    family: int,
    proto: int,
    states: int = EVERY_STATE,
    *,
    ask: int = ASK_MEMORY,
    port: int | None = None,
    owners: Mapping[int, tuple[Owner, ...]] | None = None,
) -> list[Socket]:
    """The sockets of one family and protocol, in the kernel's order.

    Args: family: AF_INET or AF_INET6; for TCP, AF_UNSPEC for both, by one walk over the kernel's tables: they are large
    even where sockets are few. proto: IPPROTO_TCP, _UDP, _UDPLITE or _RAW. states: one bit for each state, and BOUND.
    ask: ASK_* bits. port: only sockets with this local port. owners: who holds them, by inode.
    Raises Refused when the kernel has no module for it.
    """
    addresses = _Addresses()
    found: list[Socket] = []
    body = request(family, proto, states, ask, port)
    for piece in link.dump(body, SOCK_DIAG_BY_FAMILY if family else TCPDIAG_GETSOCK):
        found += rows(piece, proto, addresses, owners)
    return found


def rows(
    piece: bytes, proto: int, addresses: dict[Any, int], owners: Mapping[int, tuple[Owner, ...]] | None = None
) -> list[Socket]:
    """The sockets in one piece of a dump.

    A field is read and set for all of them before the next one is: so the loops are those of `map`, in C.
    """
    length, whole = HEADER.unpack_from(piece)[0], memoryview(piece)
    # Rows of one kind are equally long. Where the first has this length, the next begins behind it, and so on.
    if length % 4 == 0 and len(piece) % length == 0:
        places = range(0, len(piece), length)
        alike = whole.cast("I")[:: length // 4].tolist() == [length] * len(places)
        if alike and whole[16::length].tolist() == [piece[16]] * len(places):
            return _rows(piece, places, length, proto, addresses, owners)
    kinds: dict[tuple[int, int], list[int]] = {}
    at = 0
    while at < len(piece) and piece[at + 4] != NLMSG_DONE:
        length = HEADER.unpack_from(piece, at)[0] + 3 & ~3
        kinds.setdefault((length, piece[at + 16]), []).append(at)
        at += length
    found: dict[int, Socket] = {}
    for (length, _), starts in kinds.items():
        part = b"".join([piece[start : start + length] for start in starts])
        sockets = _rows(part, range(0, len(part), length), length, proto, addresses, owners)
        found.update(zip(starts, sockets, strict=True))
    return [found[start] for start in sorted(found)]


def _rows(
    piece: bytes,
    places: range,
    length: int,
    proto: int,
    addresses: dict[Any, int],
    owners: Mapping[int, tuple[Owner, ...]] | None,
) -> list[Socket]:
    """Rows of one family and length. Numbers are offsets in struct nlmsghdr and in inet_diag_msg behind it."""
    if piece[4] == NLMSG_DONE:
        return []
    family = piece[16]
    whole = memoryview(piece)
    words, halves = whole.cast("I"), whole.cast("H")

    def word(offset: int) -> list[int]:
        return words[offset // 4 :: length // 4].tolist()

    def address(offset: int) -> Iterable[int]:
        if family == AF_INET:
            return map(addresses.__getitem__, word(offset))
        parts = (word(offset), word(offset + 4), word(offset + 8), word(offset + 12))
        return map(addresses.__getitem__, zip(*parts, strict=True))

    def port(offset: int) -> Iterable[int]:
        return map(socket.ntohs, halves[offset // 2 :: length // 2].tolist())

    kind, inodes = _kind(family, proto), word(84)
    found: list[Socket] = [_new(kind) for _ in places]
    columns: dict[str, Iterable[object]] = {
        "state": whole[17::length].tolist(),
        "lport": port(20),
        "rport": port(22),
        "laddr": address(24),
        "raddr": address(40),
        "uid": word(80),
        "inode": inodes,
    }
    if owners:
        columns["owners"] = map(owners.get, inodes, repeat(()))
    if proto == IPPROTO_RAW:
        columns["proto"] = port(20)
    for name, column in columns.items():
        _drain(map(_setters[name], found, column))
    _drain(map(_piece_of, found, repeat(piece)))
    _drain(map(_at_of, found, places))
    return found


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
        "receive_queue": 0 if listening else rqueue,
        "send_queue": 0 if listening else wqueue,
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


def reached(
    link: Link, proto: int, local: tuple[int, int], remote: tuple[int, int], interface: int = 0
) -> Socket | None:
    """The socket that a packet from `remote` to `local` reaches here, as the kernel's own lookup says: no dump.

    Args: proto: IPPROTO_TCP, _UDP or _UDPLITE. local, remote: address and port. interface: index of the one that it
    comes in by; 0 for none in particular. None when no socket is there.
    Source: inet_diag_find_one_icsk() and udp_dump_one(), whose key is the other way round.
    """
    family = AF_INET if local[0] >> 32 == 0xFFFF else AF_INET6
    here, there = (local, remote) if proto == IPPROTO_TCP else (remote, local)
    body = _REQUEST.pack(family, proto, ASK_MEMORY, EVERY_STATE)
    body += struct.pack("!HH", here[1], there[1]) + _raw(here[0], family) + _raw(there[0], family)
    body += struct.pack("=I", interface) + b"\xff" * 8
    piece = link.one(body)
    if piece is None:
        return None
    return rows(piece, proto, _Addresses())[0]


def _raw(address: int, family: int) -> bytes:
    """Sixteen bytes as struct inet_diag_sockid has them."""
    if family == AF_INET:
        return (address & 0xFFFFFFFF).to_bytes(4, "big") + bytes(12)
    return address.to_bytes(16, "big")
