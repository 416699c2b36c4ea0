"""poll(2) and select(2): the state of many files at once (fs/select.c)."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from portside.addr.abi import (
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLNVAL,
    POLLOUT,
    POLLPRI,
    POLLRDBAND,
    POLLRDNORM,
    POLLWRBAND,
    POLLWRNORM,
)
from portside.host.errors import fail
from portside.host.waiting import wait_any, wait_for

if TYPE_CHECKING:
    from portside.host.fds import FdTable
    from portside.host.file import File, World

# Which events make a descriptor ready in which set of select(2).
_IN_SET: Final = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR
_OUT_SET: Final = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR
_EX_SET: Final = POLLPRI


def poll(
    world: World, files: FdTable, asked: Sequence[tuple[int, int]], deadline: int | None
) -> list[tuple[int, int]]:
    """Wait until something is true of one of the descriptors: (fd, revents) of each of which something is.

    A negative descriptor is passed over; one that is not open gives POLLNVAL. `deadline` is absolute virtual time in
    nanoseconds; None waits for ever, one that has passed does not wait. EINVAL for more entries than RLIMIT_NOFILE.
    """
    if len(asked) > files.soft_limit:
        raise fail(errno.EINVAL)
    opened = files.open
    watched: list[tuple[int, File | None, int]] = [
        (fd, opened.get(fd), events | POLLERR | POLLHUP) for fd, events in asked if fd >= 0
    ]
    while True:
        found = []
        for fd, file, events in watched:
            revents = POLLNVAL if file is None else file.poll() & events
            if revents:
                found.append((fd, revents))
        if found or not _wait(world, [(file, events) for _, file, events in watched if file], deadline, "poll"):
            return found


def select(
    world: World, files: FdTable, sets: tuple[Sequence[int], Sequence[int], Sequence[int]], deadline: int | None
) -> tuple[list[int], list[int], list[int]]:
    """Wait until a descriptor of one of the sets (readers, writers, exceptional) is ready: those that are, in order.

    EBADF for one that is not open. `deadline` as for `poll`.
    """
    masks = (_IN_SET, _OUT_SET, _EX_SET)
    wanted: dict[int, int] = {}
    for fds, mask in zip(sets, masks, strict=True):
        for fd in fds:
            wanted[fd] = wanted.get(fd, 0) | mask
    watched = [(fd, files.get(fd), mask) for fd, mask in wanted.items()]
    while True:
        state = {fd: file.poll() & mask for fd, file, mask in watched}
        readers, writers, exceptional = (
            [fd for fd in fds if state[fd] & mask] for fds, mask in zip(sets, masks, strict=True)
        )
        if readers or writers or exceptional:
            return readers, writers, exceptional
        if not _wait(world, [(file, mask) for _, file, mask in watched], deadline, "select"):
            return [], [], []


def _wait(world: World, watched: list[tuple[File, int]], deadline: int | None, call: str) -> bool:
    if len(watched) == 1:
        return wait_for(world, watched[0][0], watched[0][1], deadline, call)
    return wait_any(world, watched, deadline, call)
