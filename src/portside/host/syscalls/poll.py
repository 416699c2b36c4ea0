"""poll(2), select(2), epoll_create1(2), epoll_ctl(2), epoll_wait(2)."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from portside.addr.abi import SOCK_CLOEXEC
from portside.host import poll as _poll
from portside.host.epoll import CTL_ADD, CTL_DEL, CTL_MOD, Epoll
from portside.host.errors import fail

if TYPE_CHECKING:
    from portside.host.processes import Process

EPOLL_CLOEXEC: Final = SOCK_CLOEXEC

# In all of these a deadline is absolute virtual time in nanoseconds; None waits for ever, one that has passed does not
# wait.


def poll(process: Process, fds: Sequence[tuple[int, int]], deadline: int | None) -> list[tuple[int, int]]:
    """Wait for some event on file descriptors (poll(2)): (fd, revents) where something happened, in the order asked.

    One that is not open gives POLLNVAL. EINVAL for more entries than RLIMIT_NOFILE.
    """
    return _poll.poll(process.host.world, process.files, fds, deadline)


def select(
    process: Process,
    readers: Sequence[int],
    writers: Sequence[int],
    exceptional: Sequence[int],
    deadline: int | None,
) -> tuple[list[int], list[int], list[int]]:
    """Wait until descriptors are ready (select(2)): those that are, in the order asked. EBADF.

    That FD_SETSIZE bounds the numbers is the C library's doing and left to the caller.
    """
    return _poll.select(process.host.world, process.files, (readers, writers, exceptional), deadline)


def epoll_create1(process: Process, flags: int = 0) -> int:
    """Open an epoll file descriptor (epoll_create1(2)); `flags` may be EPOLL_CLOEXEC. EINVAL, EMFILE."""
    if flags & ~EPOLL_CLOEXEC:
        raise fail(errno.EINVAL)
    return process.files.install(Epoll(process.host.world), bool(flags))


def epoll_ctl(process: Process, epfd: int, op: int, fd: int, events: int = 0, data: int | None = None) -> None:
    """Add (1), remove (2) or change (3) a watched descriptor (epoll_ctl(2)); `data` is the fd unless given.

    EBADF; EPERM for a file that has no poll operation; EINVAL for a file that is no epoll, for an epoll in itself and
    for what EPOLLEXCLUSIVE does not go with; EEXIST, ENOENT; ELOOP.
    """
    epoll = process.files.get(epfd)
    file = process.files.get(fd)
    if not file.pollable:
        raise fail(errno.EPERM)
    if file is epoll or not isinstance(epoll, Epoll):
        raise fail(errno.EINVAL)
    events &= 0xFFFFFFFF
    if op == CTL_ADD:
        epoll.add(fd, file, events, fd if data is None else data)
    elif op == CTL_DEL:
        epoll.delete(fd, file)
    elif op == CTL_MOD:
        epoll.modify(fd, file, events, fd if data is None else data)
    else:
        raise fail(errno.EINVAL)


def epoll_wait(process: Process, epfd: int, maxevents: int, deadline: int | None) -> list[tuple[int, int]]:
    """Wait for events on an epoll instance (epoll_wait(2)): (data, events), `maxevents` at most. EBADF, EINVAL."""
    epoll = process.files.get(epfd)
    if not isinstance(epoll, Epoll):
        raise fail(errno.EINVAL)
    return epoll.wait(maxevents, deadline)
