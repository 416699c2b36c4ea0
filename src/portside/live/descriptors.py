"""File descriptors of other processes, looked at through a copy of our own: pidfd_getfd(2).

A copy shares everything with the original but its number, and its place in select(2): nothing here changes any of it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from portside.live import proc

_PIDFD_GETFD: Final = 438
"""The same number on every architecture: <asm-generic/unistd.h>."""
SIOCGSKNS: Final = 0x894C
"""ioctl(2) of <linux/sockios.h>: a descriptor of the network namespace that a socket belongs to."""


class Denied(Exception):
    """This user may not look into that process (PTRACE_MODE_ATTACH_REALCREDS of ptrace(2)), or this kernel can't."""


@cache
def libc() -> Any:
    """The C library. ctypes takes 10 ms to import, which only those pay who look into descriptors."""
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


@contextmanager
def process(pid: int) -> Iterator[int]:
    """A pidfd_open(2) descriptor of a process. Raises Gone, or Denied on a kernel before 5.3."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        raise _meaning(error.errno) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def copied(process: int, number: int, inode: int) -> Iterator[int]:
    """A copy of a socket of another process.

    Args: process: from `process`. number: of the descriptor there. inode: of the socket that it is expected to be.
    Raises Gone when the descriptor is closed or is another file by now, Denied where permission lacks.
    """
    descriptor = libc().syscall(_PIDFD_GETFD, process, number, 0)
    if descriptor < 0:
        raise _meaning(_errno())
    try:
        if os.fstat(descriptor).st_ino != inode:
            raise proc.Gone
        yield descriptor
    finally:
        os.close(descriptor)


def option(descriptor: int, level: int, number: int) -> int | None:
    """An option of a socket that is an int, by getsockopt(2); None when this kind of socket has none such."""
    import ctypes

    value, size = ctypes.c_int(0), ctypes.c_uint32(4)
    failed = libc().getsockopt(descriptor, level, number, ctypes.byref(value), ctypes.byref(size))
    return None if failed else value.value


def namespace(descriptor: int) -> int:
    """A new descriptor of the network namespace that the socket belongs to. Raises Denied without CAP_NET_ADMIN."""
    found: int = libc().ioctl(descriptor, SIOCGSKNS)
    if found < 0:
        raise _meaning(_errno())
    return found


def _errno() -> int:
    import ctypes

    return ctypes.get_errno()


def _meaning(code: int | None) -> Exception:
    if code in (errno.ESRCH, errno.EBADF, errno.EINVAL):  # EINVAL: it is a thread by now, the leader has ended
        return proc.Gone()
    return Denied(os.strerror(code or 0))
