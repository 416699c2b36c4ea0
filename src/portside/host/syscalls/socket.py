"""socket(2), socketpair(2), bind(2), listen(2), accept4(2), connect(2), shutdown(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from portside.addr.abi import SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_TYPE_MASK
from portside.facts.sockaddr import SockAddr
from portside.host.errors import fail
from portside.host.socket_file import SocketFile

if TYPE_CHECKING:
    from portside.host.processes import Process


def socket_of(process: Process, fd: int) -> SocketFile:
    """The socket that `fd` refers to: EBADF when it is not open, ENOTSOCK when it is something else."""
    file = process.files.get(fd)
    if not isinstance(file, SocketFile):
        raise fail(errno.ENOTSOCK)
    return file


def socket(process: Process, family: int, type: int, proto: int = 0) -> int:
    """Create an endpoint for communication (socket(2)): its file descriptor.

    `type` may carry SOCK_NONBLOCK and SOCK_CLOEXEC. EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT, EPERM (a raw
    socket without CAP_NET_RAW), EINVAL (unknown flags), EMFILE.
    """
    kind, flags = _split(type)
    return _install(process, process.host.new_socket(process, family, kind, proto), flags)


def socketpair(process: Process, family: int, type: int, proto: int = 0) -> tuple[int, int]:
    """Create a pair of connected sockets (socketpair(2)): two file descriptors. EOPNOTSUPP unless AF_UNIX."""
    kind, flags = _split(type)
    one, two = process.host.new_socketpair(process, family, kind, proto)
    first = _install(process, one, flags)
    try:
        return first, _install(process, two, flags)
    except OSError:
        process.files.close(first)
        raise


def bind(process: Process, fd: int, address: SockAddr) -> None:
    """Bind a name to a socket (bind(2)). EBADF, ENOTSOCK, EADDRINUSE, EADDRNOTAVAIL, EACCES, EINVAL ..."""
    socket_of(process, fd).bind(process, address)


def listen(process: Process, fd: int, backlog: int) -> None:
    """Listen for connections on a socket (listen(2)). EBADF, ENOTSOCK, EADDRINUSE, EOPNOTSUPP, EINVAL."""
    socket_of(process, fd).listen(process, backlog)


def accept(
    process: Process, fd: int, flags: int = 0, deadline: int | None = None
) -> tuple[int, SockAddr]:
    """Accept a connection on a socket (accept4(2)): the new file descriptor and the peer's address.

    `flags` are SOCK_NONBLOCK and SOCK_CLOEXEC. EBADF, ENOTSOCK, EINVAL (not listening), EAGAIN, EMFILE, EOPNOTSUPP.
    """
    listener = socket_of(process, fd)
    process.files.need_room()  # before a connection is taken: without a descriptor it stays in the queue
    file, address = listener.accept(deadline)
    file.adopted(process)
    return _install(process, file, flags), address


def connect(process: Process, fd: int, address: SockAddr, deadline: int | None = None) -> None:
    """Initiate a connection on a socket (connect(2)). EBADF, ENOTSOCK, ECONNREFUSED, EINPROGRESS, ETIMEDOUT ..."""
    socket_of(process, fd).connect(process, address, deadline)


def shutdown(process: Process, fd: int, how: int) -> None:
    """Shut down part of a full-duplex connection (shutdown(2)). EBADF, ENOTSOCK, ENOTCONN, EINVAL."""
    socket_of(process, fd).shutdown(how)


def _split(type: int) -> tuple[int, int]:
    kind, flags = type & SOCK_TYPE_MASK, type & ~SOCK_TYPE_MASK
    if flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC):
        raise fail(errno.EINVAL)
    return kind, flags


def _install(process: Process, file: SocketFile, flags: int) -> int:
    """Give the file a descriptor; one that can't have any (EMFILE) is released again."""
    file.nonblocking = bool(flags & SOCK_NONBLOCK)
    try:
        return process.files.install(file, bool(flags & SOCK_CLOEXEC))
    except OSError:
        file.release()
        raise
