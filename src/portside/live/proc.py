"""Reading /proc: files that may vanish while they are read, or be closed to this user."""

from __future__ import annotations

import errno
import os
from typing import Final

PROC: Final = "/proc"

GONE: Final = frozenset({errno.ENOENT, errno.ESRCH, errno.ENOTDIR})
DENIED: Final = frozenset({errno.EACCES, errno.EPERM})

_PIECE: Final = 1 << 16


class Gone(Exception):
    """The process has ended meanwhile. It is no error: it is not there any more."""


def pids(proc: str = PROC) -> list[int]:
    """The processes that are there now, in order of their numbers."""
    return sorted(int(name) for name in os.listdir(proc) if name.isdecimal() and name.isascii())


def read(path: str) -> bytes | None:
    """The content of a file below /proc, or None when this user may not read it.

    Raises Gone when it is not there any more.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            pieces = [os.read(descriptor, _PIECE)]
            while pieces[-1]:  # a short answer does not mean that it was the last: /proc writes whole lines
                pieces.append(os.read(descriptor, _PIECE))
            return b"".join(pieces)
        finally:
            os.close(descriptor)
    except OSError as error:
        _check(error)
        return None


def link(path: str) -> str | None:
    """What a symbolic link below /proc refers to, or None when this user may not know.

    Raises Gone when it is not there any more.
    """
    try:
        return os.readlink(path)
    except OSError as error:
        _check(error)
        return None


def _check(error: OSError) -> None:
    """Let pass what means that this user may not look. Raises Gone, or the error itself."""
    if error.errno in GONE:
        raise Gone from error
    if error.errno not in DENIED:
        raise error


def text(raw: bytes) -> str:
    """As Python has file names: bytes that are no UTF-8 become surrogate escapes."""
    return raw.decode(errors="surrogateescape")
