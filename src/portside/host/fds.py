"""The file descriptor table of a process (fs/file.c)."""

from __future__ import annotations

import errno
from heapq import heappop, heappush

from portside.host.errors import fail
from portside.host.file import File
from portside.host.waiting import put

NR_OPEN = 1048576  # fs.nr_open: the ceiling of RLIMIT_NOFILE


class FdTable:
    """What the descriptors of one process refer to.

    `open` maps a descriptor to its open file description, `cloexec` holds the descriptors with FD_CLOEXEC. `soft_limit`
    and `hard_limit` are RLIMIT_NOFILE's. A new descriptor is always the lowest free one (open(2)).
    """

    __slots__ = ("_free", "_listed", "_top", "ceiling", "cloexec", "hard_limit", "open", "soft_limit")

    def __init__(self, soft_limit: int = 1024, hard_limit: int = NR_OPEN) -> None:
        self.open: dict[int, File] = {}
        self.cloexec: set[int] = set()
        self.soft_limit = soft_limit
        self.hard_limit = hard_limit
        self.ceiling = NR_OPEN  # what the hard limit may be raised to
        self._free: list[int] = []  # a heap of every free number below _top; some may be in use again
        self._listed: set[int] = set()  # what _free holds
        self._top = 0

    def get(self, fd: int) -> File:
        """The file that `fd` refers to; EBADF when it is not open."""
        file = self.open.get(fd)
        if file is None:
            raise fail(errno.EBADF)
        return file

    def install(self, file: File, cloexec: bool = False) -> int:
        """Give `file` the lowest free descriptor; EMFILE at the soft limit of RLIMIT_NOFILE."""
        fd = self._lowest()
        if fd >= self.soft_limit:
            raise fail(errno.EMFILE)
        if fd < self._top:
            self._listed.discard(heappop(self._free))
        self._set(fd, file, cloexec)
        return fd

    def need_room(self) -> None:
        """EMFILE when no descriptor is left: what get_unused_fd_flags() says before a call begins."""
        if self._lowest() >= self.soft_limit:
            raise fail(errno.EMFILE)

    def close(self, fd: int) -> None:
        """Free the descriptor; with the last reference the file is released (close(2)). EBADF when it is not open."""
        file = self.open.pop(fd, None)
        if file is None:
            raise fail(errno.EBADF)
        self.cloexec.discard(fd)
        if fd < self._top and fd not in self._listed:
            self._listed.add(fd)
            heappush(self._free, fd)
        put(file)

    def close_all(self) -> None:
        """Free every descriptor, in ascending order as the end of a process does (close_files in fs/file.c)."""
        for fd in sorted(self.open):
            if fd in self.open:
                self.close(fd)

    def dup(self, fd: int) -> int:
        """A second descriptor for the same file, the lowest free one (dup(2)). EBADF, EMFILE."""
        return self.install(self.get(fd))

    def dup_from(self, fd: int, lowest: int, cloexec: bool = False) -> int:
        """A second descriptor for the same file, the lowest free one from `lowest` on (F_DUPFD of fcntl(2)).

        EBADF; EINVAL when `lowest` is negative or not below the limit; EMFILE when none is free below the limit.
        """
        file = self.get(fd)
        if not 0 <= lowest < self.soft_limit:
            raise fail(errno.EINVAL)
        new = lowest
        while new in self.open:
            new += 1
        if new >= self.soft_limit:
            raise fail(errno.EMFILE)
        self._set(new, file, cloexec)
        return new

    def dup3(self, fd: int, new: int, cloexec: bool = False) -> int:
        """Make `new` refer to the file of `fd`, closing it first if it was open (dup3(2)).

        EINVAL when both are the same; EBADF when `fd` is not open or `new` is out of range.
        """
        if fd == new:
            raise fail(errno.EINVAL)
        if not 0 <= new < self.soft_limit:
            raise fail(errno.EBADF)
        file = self.get(fd)
        old = self.open.get(new)
        self.cloexec.discard(new)
        self._set(new, file, cloexec)
        if old is not None:
            put(old)
        return new

    def dup2(self, fd: int, new: int) -> int:
        """As `dup3`, but the same number twice is no error and changes nothing (dup2(2))."""
        if fd == new:
            self.get(fd)
            return new
        return self.dup3(fd, new)

    def __len__(self) -> int:
        return len(self.open)

    def _lowest(self) -> int:
        free, taken = self._free, self.open
        while free:
            if free[0] not in taken:
                return free[0]
            self._listed.discard(heappop(free))
        while self._top in taken:
            self._top += 1
        return self._top

    def _set(self, fd: int, file: File, cloexec: bool) -> None:
        self.open[fd] = file
        file.references += 1
        if cloexec:
            self.cloexec.add(fd)
