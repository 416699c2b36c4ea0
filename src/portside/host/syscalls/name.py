"""getsockname(2), getpeername(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portside.facts.sockaddr import SockAddr
from portside.host.syscalls.socket import socket_of

if TYPE_CHECKING:
    from portside.host.processes import Process


def getsockname(process: Process, fd: int) -> SockAddr:
    """Return the current address to which the socket is bound (getsockname(2)). EBADF, ENOTSOCK."""
    return socket_of(process, fd).getsockname()


def getpeername(process: Process, fd: int) -> SockAddr:
    """Return the address of the peer connected to the socket (getpeername(2)). EBADF, ENOTSOCK, ENOTCONN."""
    return socket_of(process, fd).getpeername()
