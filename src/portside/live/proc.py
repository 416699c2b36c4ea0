"""Reading /proc: files that may vanish while they are read, or be closed to this user."""

from __future__ import annotations

import errno
import os
from typing import Final

PROC: Final = "/proc"

GONE: Final = frozenset({errno.ENOENT, errno.ESRCH, errno.ENOTDIR})
DENIED: Final = frozenset({errno.EACCES, errno.EPERM})

_PIECE: Final = 1 << 16
_PF_KTHREAD: Final = 0x00200000  # <linux/sched.h>


_FIRST_PIDS: Final = "pid:[4026531836]"
_FIRST_USERS: Final = "user:[4026531837]"
"""The namespaces of the whole machine: PROC_PID_INIT_INO and PROC_USER_INIT_INO of <linux/proc_ns.h>."""


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


def sees_all_processes(proc: str = PROC) -> bool:
    """Whether the process is in the PID namespace of the whole machine, where every process has a number."""
    return _namespace(f"{proc}/self/ns/pid") == _FIRST_PIDS


def is_in_first_user_namespace(proc: str = PROC) -> bool:
    """Whether root is root of the whole machine here (user_namespaces(7))."""
    return _namespace(f"{proc}/self/ns/user") == _FIRST_USERS


def remedy(capability: str) -> str:
    """How to read what takes a capability that is lacking: for `facts.snapshot.Missing`."""
    if os.geteuid():
        return "use sudo"
    if not is_in_first_user_namespace():
        return "run it as the machine's root, outside of this user namespace"
    return f"{capability} is missing here, capabilities(7)"


def hides_processes(proc: str = PROC) -> bool:
    """Whether other users' processes are left out of /proc (its mount option hidepid, proc(5))."""
    try:
        mounts = read(f"{proc}/self/mounts") or b""
    except Gone:
        return False
    lines = (line.split(b" ") for line in mounts.splitlines())
    options = [words[3].split(b",") for words in lines if len(words) > 3 and words[1] == os.fsencode(proc)]
    return bool(options) and any(each.startswith(b"hidepid=") and each != b"hidepid=off" for each in options[-1])


def is_kernel_thread(pid: int, root: str = PROC) -> bool:
    """Whether it is a thread of the kernel, which has no file descriptors; also true when it has ended meanwhile."""
    try:
        stat = read(f"{root}/{pid}/stat") or b""
    except Gone:
        return True
    return not stat or bool(int(stat[stat.rindex(b")") + 2 :].split()[6]) & _PF_KTHREAD)


def _namespace(path: str) -> str | None:
    try:
        return link(path)
    except Gone:
        return None


def text(raw: bytes) -> str:
    """As Python has file names: bytes that are no UTF-8 become surrogate escapes."""
    return raw.decode(errors="surrogateescape")
