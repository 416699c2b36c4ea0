"""read(2), write(2), close(2), dup(2), pipe2(2), fcntl(2), ioctl(2), and the socket files of unlink(2) and stat(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from portside.addr.abi import SOCK_CLOEXEC, SOCK_NONBLOCK
from portside.host import pipe as _pipe
from portside.host.epoll import Epoll
from portside.host.errors import fail
from portside.host.pipe import PipeEnd, ReadEnd, WriteEnd
from portside.host.processes import CAP_SYS_RESOURCE
from portside.host.signal_io import Owner, is_asynchronous, set_asynchronous
from portside.host.socket_file import SocketFile

if TYPE_CHECKING:
    from portside.host.file import File
    from portside.host.processes import Process

O_RDONLY: Final = 0
O_WRONLY: Final = 1
O_RDWR: Final = 2
O_NONBLOCK: Final = SOCK_NONBLOCK
O_ASYNC: Final = 0o20000
O_DIRECT: Final = 0o40000
O_CLOEXEC: Final = SOCK_CLOEXEC
FD_CLOEXEC: Final = 1

F_DUPFD: Final = 0
F_GETFD: Final = 1
F_SETFD: Final = 2
F_GETFL: Final = 3
F_SETFL: Final = 4
F_DUPFD_CLOEXEC: Final = 1030
F_SETPIPE_SZ: Final = 1031
F_GETPIPE_SZ: Final = 1032

FIONREAD: Final = 0x541B  # SIOCINQ too
SIOCOUTQ: Final = 0x5411  # TIOCOUTQ
SIOCATMARK: Final = 0x8905
SET_OWNER: Final = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP
GET_OWNER: Final = (0x8903, 0x8904)  # FIOGETOWN, SIOCGPGRP
F_SETOWN: Final = 8
F_GETOWN: Final = 9
FIONBIO: Final = 0x5421
FIOASYNC: Final = 0x5452
FIOCLEX: Final = 0x5451
FIONCLEX: Final = 0x5450

S_IFSOCK: Final = 0o140000
S_IFREG: Final = 0o100000
S_IFCHR: Final = 0o020000
S_IFIFO: Final = 0o010000


def read(process: Process, fd: int, length: int, deadline: int | None = None) -> bytes:
    """Read up to `length` bytes (read(2)); b"" at the end of file. EBADF, EAGAIN, EINVAL, ECONNRESET ..."""
    file = process.files.get(fd)
    if isinstance(file, SocketFile):
        # sock_read_iter: no bytes wanted, no bytes read, whatever is queued.
        return file.recv_data(length, 0, deadline) if length else b""
    return file.read(length)


def write(process: Process, fd: int, data: bytes | memoryview, deadline: int | None = None) -> int:
    """Write bytes (write(2)): the number taken. EBADF, EAGAIN, EPIPE ..."""
    file = process.files.get(fd)
    if isinstance(file, SocketFile):
        return file.send(data, 0, None, deadline)
    return file.write(data)


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
    if flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT):
        raise fail(errno.EINVAL)
    host = process.host
    reader, writer = _pipe.make(host.world, host.new_inode())
    reader.nonblocking = writer.nonblocking = bool(flags & O_NONBLOCK)
    writer.packets = bool(flags & O_DIRECT)
    first = process.files.install(reader, bool(flags & O_CLOEXEC))
    try:
        return first, process.files.install(writer, bool(flags & O_CLOEXEC))
    except OSError:
        process.files.close(first)
        raise


def get_blocking(process: Process, fd: int) -> bool:
    """Whether O_NONBLOCK is off. EBADF."""
    return not process.files.get(fd).nonblocking


def set_blocking(process: Process, fd: int, blocking: bool) -> None:
    """Clear or set O_NONBLOCK (F_SETFL of fcntl(2)). EBADF."""
    process.files.get(fd).nonblocking = not blocking


def get_inheritable(process: Process, fd: int) -> bool:
    """Whether FD_CLOEXEC is off. EBADF."""
    process.files.get(fd)
    return fd not in process.files.cloexec


def set_inheritable(process: Process, fd: int, inheritable: bool) -> None:
    """Clear or set FD_CLOEXEC (F_SETFD of fcntl(2)). EBADF."""
    process.files.get(fd)
    if inheritable:
        process.files.cloexec.discard(fd)
    else:
        process.files.cloexec.add(fd)


def fcntl(process: Process, fd: int, command: int, argument: int = 0) -> int:
    """Manipulate a file descriptor (fcntl(2)).

    F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETOWN, F_SETOWN, F_GETPIPE_SZ, F_SETPIPE_SZ;
    EINVAL for another command. EBADF, EMFILE; ESRCH for an owner; EBUSY and EPERM for a pipe's size.
    """
    file = process.files.get(fd)
    if command in (F_DUPFD, F_DUPFD_CLOEXEC):
        return process.files.dup_from(fd, argument, command == F_DUPFD_CLOEXEC)
    if command == F_GETFD:
        return FD_CLOEXEC if fd in process.files.cloexec else 0
    if command == F_SETFD:
        set_inheritable(process, fd, not argument & FD_CLOEXEC)
        return 0
    if command == F_GETFL:
        return _status_flags(file)
    if command == F_SETFL:
        file.nonblocking = bool(argument & O_NONBLOCK)
        set_asynchronous(file, bool(argument & O_ASYNC))
        if isinstance(file, WriteEnd):
            file.packets = bool(argument & O_DIRECT)
        return 0
    if command == F_GETOWN:
        return file.signal_owner.who if file.signal_owner is not None else 0
    if command == F_SETOWN:
        _set_owner(process, file, argument)
        return 0
    if command in (F_GETPIPE_SZ, F_SETPIPE_SZ):
        if not isinstance(file, PipeEnd):
            raise fail(errno.EBADF)
        return file.get_size() if command == F_GETPIPE_SZ else _set_pipe_size(process, file, argument)
    raise fail(errno.EINVAL)


def _set_owner(process: Process, file: File, who: int) -> None:
    """A process, or minus its group, which is its own; 0 for none (f_setown). EINVAL, ESRCH."""
    if who == -0x80000000:
        raise fail(errno.EINVAL)
    if who and process.host.processes.get(abs(who)) is None:
        raise fail(errno.ESRCH)
    file.signal_owner = Owner(process, who) if who else None


def _set_pipe_size(process: Process, file: PipeEnd, size: int) -> int:
    return file.set_size(size, process.capable(CAP_SYS_RESOURCE))


def _status_flags(file: File) -> int:
    """Access mode and status flags (F_GETFL)."""
    access = O_RDWR
    if isinstance(file, ReadEnd):
        access = O_RDONLY
    elif isinstance(file, WriteEnd):
        access = O_WRONLY | (O_DIRECT if file.packets else 0)
    return access | (O_NONBLOCK if file.nonblocking else 0) | (O_ASYNC if is_asynchronous(file) else 0)


def ioctl(process: Process, fd: int, request: int, argument: int = 0) -> int:
    """Control a file (ioctl(2)): the number that Linux puts where its argument points, or 0.

    FIONREAD (SIOCINQ), SIOCOUTQ, SIOCATMARK, SIOCGPGRP, SIOCSPGRP, FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX. EBADF, ESRCH;
    ENOTTY for what the file does not know.
    """
    file = process.files.get(fd)
    if request == FIONBIO:
        file.nonblocking = bool(argument)
        return 0
    if request == FIOASYNC and isinstance(file, SocketFile):
        set_asynchronous(file, bool(argument))
        return 0
    if request in (FIOCLEX, FIONCLEX):
        set_inheritable(process, fd, request == FIONCLEX)
        return 0
    if isinstance(file, SocketFile) and request in (FIONREAD, SIOCOUTQ):
        return file.ioctl_inq() if request == FIONREAD else file.ioctl_outq()
    if isinstance(file, SocketFile) and request in GET_OWNER:
        return file.signal_owner.who if file.signal_owner is not None else 0
    if isinstance(file, SocketFile) and request in SET_OWNER:
        _set_owner(process, file, argument)
        return 0
    if isinstance(file, SocketFile) and request == SIOCATMARK:
        return file.ioctl_atmark()
    if isinstance(file, PipeEnd) and request == FIONREAD:
        return file.ring.queued()
    raise fail(errno.EINVAL if isinstance(file, Epoll) else errno.ENOTTY)  # ep_eventpoll_ioctl knows no such request


def kind(process: Process, fd: int) -> int:
    """The file type that fstat(2) gives in st_mode: S_IFSOCK, S_IFIFO, S_IFCHR, S_IFREG; 0 for an epoll. EBADF."""
    file = process.files.get(fd)
    if isinstance(file, SocketFile):
        return S_IFSOCK
    if isinstance(file, PipeEnd):
        return S_IFIFO
    return 0 if isinstance(file, Epoll) else file.kind
