"""Files on the real disk, as open file descriptions of a simulated process."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import ClassVar, Final

from portside.addr.abi import POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from portside.host.errors import fail
from portside.host.file import File
from portside.host.processes import Process

_close: Final = os.close
_read: Final = os.read
_write: Final = os.write
_fstat: Final = os.fstat


class RealFile(File):
    """A file that is open on the real machine, under the real descriptor `fd`, until its last reference goes."""

    __slots__ = ("fd", "path")
    pollable: ClassVar[bool] = False
    kind: ClassVar[int] = stat.S_IFREG

    def __init__(self, fd: int, path: object) -> None:
        super().__init__()
        self.fd = fd
        self.path = path

    def read(self, length: int) -> bytes:
        """read(2), for real."""
        return _read(self.fd, length)

    def write(self, data: bytes | memoryview) -> int:
        """write(2), for real."""
        return _write(self.fd, data)

    def poll(self) -> int:
        """Always ready: the mask of a file that has no poll operation."""
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM

    def release(self) -> None:
        """Close the real descriptor."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            _close(fd)

    def describe(self) -> str:
        """Its path."""
        return str(self.path)


def real_fd(process: Process, fd: int) -> int:
    """The real descriptor behind a simulated one. EBADF; ESPIPE when it is no file of the real disk."""
    file = process.files.get(fd)
    if not isinstance(file, RealFile):
        raise fail(errno.ESPIPE)
    return file.fd


def install(process: Process, make: Callable[[], int], path: object, cloexec: bool = True) -> int:
    """Open a real file by `make()` and give it a descriptor of the process."""
    file = RealFile(make(), path)
    try:
        return process.files.install(file, cloexec)
    except OSError:
        file.release()
        raise
