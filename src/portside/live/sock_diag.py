"""Asking the kernel for its sockets: sock_diag(7), the netlink protocol behind ss(8).

One request asks for one address family and one protocol. The kernel answers with a run of messages that `inet_diag`
and `unix_diag` turn into facts. Nothing here needs a privilege.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

NETLINK_SOCK_DIAG: Final = 4
SOCK_DIAG_BY_FAMILY: Final = 20
TCPDIAG_GETSOCK: Final = 18
"""The request of before Linux 3.3, which knows TCP alone and gives both families at once."""
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 1
NLM_F_DUMP: Final = 0x300

HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
ATTRIBUTE: Final = struct.Struct("=HH")  # struct nlattr: length, type

PIECE: Final = 1 << 16
"""Room for one answer: the kernel puts at most 32 KiB of a dump into one (netlink_dump)."""


class Refused(OSError):
    """The kernel does not answer this request: it has no module for the protocol, or netlink is forbidden here."""


class Link:
    """A netlink socket for sock_diag(7), for the network namespace of the thread that makes it.

    Raises Refused where such a socket can't be had (a sandbox, a kernel without CONFIG_INET_DIAG).
    """

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
        except OSError as error:
            raise Refused(error.errno, f"sock_diag: {error.strerror}") from error

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the netlink socket back."""
        self._socket.close()

    def dump(self, body: bytes, kind: int = SOCK_DIAG_BY_FAMILY) -> Iterator[bytes]:
        """Every row that answers the request: pieces of whole messages, the last of which may end with NLMSG_DONE.

        Args: body: the request after its netlink header, such as struct inet_diag_req_v2. kind: the request's type.
        Raises Refused when the kernel says that it can't.
        """
        self._ask(kind, body, NLM_F_REQUEST | NLM_F_DUMP)
        receive = self._socket.recv
        last = False
        while not last:
            piece = receive(PIECE)
            last = ends(piece)  # which is to be known before it is read: an error has no rows
            yield piece

    def one(self, body: bytes) -> bytes | None:
        """The one socket that answers the request, as a netlink message; None when there is none.

        Raises Refused when the kernel says that it can't.
        """
        self._ask(SOCK_DIAG_BY_FAMILY, body, NLM_F_REQUEST)
        piece = self._socket.recv(PIECE)
        if HEADER.unpack_from(piece)[1] != NLMSG_ERROR:
            return piece
        code = _error(piece, 0)
        if code in (errno.ENOENT, errno.ESTALE):
            return None
        raise Refused(code, f"sock_diag: {os.strerror(code)}")

    def _ask(self, kind: int, body: bytes, flags: int) -> None:
        try:
            self._socket.send(HEADER.pack(HEADER.size + len(body), kind, flags, 0, 0) + body)
        except OSError as error:
            raise Refused(error.errno, f"sock_diag: {error.strerror}") from error


def ends(piece: bytes) -> bool:
    """Whether a dump ends with this piece. Raises Refused when it ends with an error."""
    kind = HEADER.unpack_from(piece)[1]
    if kind in (NLMSG_ERROR, NLMSG_DONE):
        _check(piece, 0)
        return True
    # The end may follow the last rows in the same piece: 16 bytes of header and an int. Only then is it worth a walk.
    tail = len(piece) - HEADER.size - 4
    if tail <= 0 or HEADER.unpack_from(piece, tail)[:2] != (HEADER.size + 4, NLMSG_DONE):
        return False
    at = 0
    while at < tail:
        at += HEADER.unpack_from(piece, at)[0] + 3 & ~3
    if at == tail:
        _check(piece, tail)
    return at == tail


def _check(piece: bytes, at: int) -> None:
    """NLMSG_ERROR and NLMSG_DONE both carry what went wrong, as a negative errno."""
    code = _error(piece, at)
    if code > 0:
        raise Refused(code, f"sock_diag: {os.strerror(code)}")


def _error(piece: bytes, at: int) -> int:
    code: int = struct.unpack_from("=i", piece, at + HEADER.size)[0]
    return -code


def attributes(message: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The netlink attributes in `message[start:end]`: kind, where the value begins and where it ends."""
    while start + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(message, start)
        if length < 4:
            return
        yield kind & 0x3FFF, start + 4, start + length
        start += length + 3 & ~3


def attribute(kind: int, value: bytes) -> bytes:
    """One netlink attribute, padded to four bytes."""
    return ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)
