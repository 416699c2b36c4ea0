"""poll(2), select(2), epoll_create1(2), epoll_ctl(2), epoll_wait(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portside.host.processes import Process

# In all of these a deadline of None waits for ever, and one that has passed does not wait.


def poll(process: Process, fds: Sequence[tuple[int, int]], deadline: int | None) -> list[tuple[int, int]]:
    """Wait for some event on file descriptors (poll(2)): (fd, revents) where something happened, in order asked."""
    raise NotImplementedError


def select(
    process: Process, readers: Sequence[int], writers: Sequence[int], exceptional: Sequence[int], deadline: int | None
) -> tuple[list[int], list[int], list[int]]:
    """Wait until descriptors are ready (select(2)): those that are, in the order asked.

    EBADF for one that is not open; ValueError from the runtime for numbers of 1024 and more (FD_SETSIZE).
    """
    raise NotImplementedError


def epoll_create1(process: Process, flags: int = 0) -> int:
    """Open an epoll file descriptor (epoll_create1(2)); `flags` may be EPOLL_CLOEXEC. EINVAL, EMFILE."""
    raise NotImplementedError


def epoll_ctl(process: Process, epfd: int, op: int, fd: int, events: int = 0, data: int | None = None) -> None:
    """Add (1), remove (2) or change (3) what is watched (epoll_ctl(2)); `data` is the fd unless given.

    EBADF, EEXIST, ENOENT, EINVAL, ELOOP, EPERM.
    """
    raise NotImplementedError


def epoll_wait(process: Process, epfd: int, maxevents: int, deadline: int | None) -> list[tuple[int, int]]:
    """Wait for events on an epoll instance (epoll_wait(2)): (data, events), `maxevents` at most. EBADF, EINVAL."""
    raise NotImplementedError
