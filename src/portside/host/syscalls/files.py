"""read(2), write(2), close(2), dup(2), pipe2(2), fcntl(2), ioctl(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from portside.addr.abi import SOCK_CLOEXEC, SOCK_NONBLOCK
from portside.host.errors import fail

if TYPE_CHECKING:
    from portside.host.processes import Process

O_NONBLOCK: Final = SOCK_NONBLOCK
O_CLOEXEC: Final = SOCK_CLOEXEC


def read(process: Process, fd: int, length: int) -> bytes:
    """Read up to `length` bytes (read(2)); b"" at the end of file. EBADF, EAGAIN, EINVAL, ECONNRESET ..."""
    return process.files.get(fd).read(length)


def write(process: Process, fd: int, data: bytes | memoryview) -> int:
    """Write bytes (write(2)): the number taken. EBADF, EAGAIN, EPIPE ..."""
    return process.files.get(fd).write(data)


def close(process: Process, fd: int) -> None:
    """Close a file descriptor (close(2)). EBADF."""
    process.files.close(fd)


def dup(process: Process, fd: int) -> int:
    """Duplicate a file descriptor, to the lowest free number (dup(2)). EBADF, EMFILE."""
    return process.files.dup(fd)


def dup2(process: Process, fd: int, new: int) -> int:
    """Duplicate a file descriptor to the number `new`, closing that first if it was open (dup2(2)). EBADF."""
    return process.files.dup2(fd, new)


def dup3(process: Process, fd: int, new: int, flags: int = 0) -> int:
    """As `dup2`, with O_CLOEXEC if wanted, and EINVAL for the same number twice (dup3(2)). EBADF."""
    if flags & ~O_CLOEXEC:
        raise fail(errno.EINVAL)
    return process.files.dup3(fd, new, bool(flags))


def pipe2(process: Process, flags: int = 0) -> tuple[int, int]:
    """Create a pipe (pipe2(2)): the descriptors of the read end and the write end. EINVAL, EMFILE."""
    raise NotImplementedError


def get_blocking(process: Process, fd: int) -> bool:
    """Whether O_NONBLOCK is off. EBADF."""
    return not process.files.get(fd).nonblocking


def set_blocking(process: Process, fd: int, blocking: bool) -> None:
    """Clear or set O_NONBLOCK (F_SETFL of fcntl(2)). EBADF."""
    process.files.get(fd).nonblocking = not blocking


def fcntl(process: Process, fd: int, command: int, argument: int = 0) -> int:
    """Manipulate a file descriptor (fcntl(2)): F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETPIPE_SZ ... EBADF, EINVAL."""
    raise NotImplementedError


def ioctl(process: Process, fd: int, request: int, argument: int = 0) -> int:
    """Control a file (ioctl(2)): FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, SIOCINQ, SIOCOUTQ. EBADF, ENOTTY."""
    raise NotImplementedError


def kind(process: Process, fd: int) -> int:
    """The file type bits that fstat(2) gives in st_mode: S_IFSOCK, S_IFIFO, S_IFCHR, S_IFREG, or 0. EBADF."""
    raise NotImplementedError
