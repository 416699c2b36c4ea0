"""setsockopt(2), getsockopt(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portside.host.syscalls.socket import socket_of

if TYPE_CHECKING:
    from portside.host.processes import Process


def setsockopt(process: Process, fd: int, level: int, name: int, value: bytes) -> None:
    """Set an option of the socket (setsockopt(2)). EBADF, ENOTSOCK, ENOPROTOOPT, EINVAL, EPERM ..."""
    socket_of(process, fd).setsockopt(process, level, name, value)


def getsockopt(process: Process, fd: int, level: int, name: int, length: int) -> bytes:
    """Return an option of the socket, at most `length` bytes (getsockopt(2)). EBADF, ENOTSOCK, ENOPROTOOPT ..."""
    return socket_of(process, fd).getsockopt(level, name, length)
