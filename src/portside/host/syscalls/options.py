"""setsockopt(2), getsockopt(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from portside.addr.abi import AF_UNIX, IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP
from portside.facts import option
from portside.facts.option import SOL_SOCKET
from portside.host.errors import fail
from portside.host.syscalls.socket import socket_of

if TYPE_CHECKING:
    from portside.host.processes import Process


STRINGS: Final = ((SOL_SOCKET, 25), (IPPROTO_TCP, 13))  # SO_BINDTODEVICE, TCP_CONGESTION


def setsockopt(process: Process, fd: int, level: int, name: int, value: bytes) -> None:
    """Set an option of the socket (setsockopt(2)). EBADF, ENOTSOCK, ENOPROTOOPT, EINVAL, EPERM ..."""
    socket_of(process, fd).setsockopt(process, level, name, value)


def set_null(process: Process, fd: int, level: int, name: int, length: int) -> None:
    """setsockopt(2) with a null pointer for the value: EFAULT where it is copied; IPPROTO_IPV6 takes zeros."""
    sock = socket_of(process, fd)
    if level == SOL_SOCKET or (level == sock.proto and level in (IPPROTO_TCP, IPPROTO_UDP)):
        if (level, name) not in STRINGS:
            raise fail(errno.EFAULT if length >= 4 else errno.EINVAL)
        if length:
            raise fail(errno.EFAULT)
    elif level == IPPROTO_IP and length and sock.family != AF_UNIX and option.lookup(level, name) is not None:
        raise fail(errno.EFAULT)
    sock.setsockopt(process, level, name, bytes(length))


def getsockopt(process: Process, fd: int, level: int, name: int, length: int) -> bytes:
    """Return an option of the socket, at most `length` bytes (getsockopt(2)). EBADF, ENOTSOCK, ENOPROTOOPT ..."""
    return socket_of(process, fd).getsockopt(level, name, length)
