"""AF_UNIX sockets from sock_diag(7): struct unix_diag_msg of <linux/unix_diag.h>, as facts."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from portside.addr.abi import AF_UNIX
from portside.facts.socket import UnixSocket
from portside.facts.state import LISTEN
from portside.live.diag_socket import memory
from portside.live.sock_diag import HEADER, NLMSG_DONE, Link, attributes

_REQUEST: Final = struct.Struct("=BBxxIII8s")  # struct unix_diag_req: family, protocol, states, inode, show, cookie
_MESSAGE: Final = struct.Struct("=BBBxIQ")  # struct unix_diag_msg: family, type, state, inode, cookie
_PAIR: Final = struct.Struct("=II")

# What to show, UDIAG_SHOW_*: name, place in the file system, peer, connections that wait, queues, buffers, user.
_EVERYTHING: Final = 0x7F

_NAME: Final = 0
_VFS: Final = 1
_PEER: Final = 2
_RQLEN: Final = 4
_MEMINFO: Final = 5
_SHUTDOWN: Final = 6
_UID: Final = 7


def dump(link: Link, states: int = 0xFFFFFFFF) -> Iterator[UnixSocket]:
    """Every AF_UNIX socket that a file refers to, in the kernel's order.

    Raises Refused when the kernel was built without CONFIG_UNIX_DIAG.
    """
    for piece in link.dump(_REQUEST.pack(AF_UNIX, 0, states, 0, _EVERYTHING, b"\xff" * 8)):
        at, end = 0, len(piece)
        while at + HEADER.size < end:
            length, kind = HEADER.unpack_from(piece, at)[:2]
            if kind == NLMSG_DONE:
                break
            yield _socket(piece, at + HEADER.size, at + length)
            at += length + 3 & ~3


def _socket(piece: bytes, start: int, end: int) -> UnixSocket:
    _, type, state, inode, cookie = _MESSAGE.unpack_from(piece, start)
    values: dict[str, Any] = {}
    listening = state == LISTEN
    for kind, first, last in attributes(piece, start + _MESSAGE.size, end):
        if kind == _NAME:
            name = piece[first:last]
            # The kernel keeps the NUL that ends a path, if bind(2) was given one; in an abstract name each counts.
            values["path"] = name if name.startswith(b"\0") else name.partition(b"\0")[0]
        elif kind == _VFS:
            values["file_inode"], values["device"] = _PAIR.unpack_from(piece, first)
        elif kind == _PEER:
            values["peer"] = struct.unpack_from("=I", piece, first)[0]
        elif kind == _RQLEN:
            names = ("accept_queue", "backlog") if listening else ("receive_queue", "send_queue")
            values.update(zip(names, _PAIR.unpack_from(piece, first), strict=True))
        elif kind == _MEMINFO:
            values["memory"] = memory(piece[first:last])
        elif kind == _SHUTDOWN:
            values["shutdown"] = piece[first]
        elif kind == _UID:
            values["uid"] = struct.unpack_from("=I", piece, first)[0]
    return UnixSocket(type=type, state=state, inode=inode, cookie=cookie, **values)
