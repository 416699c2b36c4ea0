"""getpid(2), getuid(2), setuid(2) and their neighbours, getrlimit(2), kill(2), _exit(2)."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from portside.host.errors import fail
from portside.host.processes import CAP_KILL, CAP_SYS_ADMIN, CAP_SYS_RESOURCE, UNCHANGED, ProcessExit

if TYPE_CHECKING:
    from portside.host.processes import Process

RLIMIT_NOFILE = 7
HOST_NAME_MAX = 64
_SIGNALS = 64


def getpid(process: Process) -> int:
    """The process id (getpid(2))."""
    return process.pid


def getppid(process: Process) -> int:
    """The process id of the parent (getppid(2))."""
    return process.ppid


def getuid(process: Process) -> int:
    """The real user id (getuid(2))."""
    return process.uid


def geteuid(process: Process) -> int:
    """The effective user id (geteuid(2))."""
    return process.euid


def getgid(process: Process) -> int:
    """The real group id (getgid(2))."""
    return process.gid


def getegid(process: Process) -> int:
    """The effective group id (getegid(2))."""
    return process.egid


def getresuid(process: Process) -> tuple[int, int, int]:
    """Real, effective and saved user id (getresuid(2))."""
    return process.uid, process.euid, process.suid


def getresgid(process: Process) -> tuple[int, int, int]:
    """Real, effective and saved group id (getresgid(2))."""
    return process.gid, process.egid, process.sgid


def getgroups(process: Process) -> list[int]:
    """The supplementary group ids (getgroups(2))."""
    return list(process.groups)


def setuid(process: Process, uid: int) -> None:
    """Set the user ids (setuid(2)). EPERM without CAP_SETUID for one that is not one's own; EINVAL."""
    process.setuid(_id(uid))


def seteuid(process: Process, uid: int) -> None:
    """Set the effective user id (seteuid(3): setresuid(-1, uid, -1)). EPERM; EINVAL for -1."""
    if _id(uid) == UNCHANGED:
        raise fail(errno.EINVAL)
    process.setresuid(UNCHANGED, uid, UNCHANGED)


def setreuid(process: Process, real: int, effective: int) -> None:
    """Set real and effective user id; -1 leaves one as it is (setreuid(2)). EPERM."""
    process.setreuid(_id(real), _id(effective))


def setresuid(process: Process, real: int, effective: int, saved: int) -> None:
    """Set real, effective and saved user id; -1 leaves one as it is (setresuid(2)). EPERM."""
    process.setresuid(_id(real), _id(effective), _id(saved))


def setgid(process: Process, gid: int) -> None:
    """Set the group ids (setgid(2)). EPERM without CAP_SETGID for one that is not one's own; EINVAL."""
    process.setgid(_id(gid))


def setegid(process: Process, gid: int) -> None:
    """Set the effective group id (setegid(3): setresgid(-1, gid, -1)). EPERM; EINVAL for -1."""
    if _id(gid) == UNCHANGED:
        raise fail(errno.EINVAL)
    process.setresgid(UNCHANGED, gid, UNCHANGED)


def setregid(process: Process, real: int, effective: int) -> None:
    """Set real and effective group id; -1 leaves one as it is (setregid(2)). EPERM."""
    process.setregid(_id(real), _id(effective))


def setresgid(process: Process, real: int, effective: int, saved: int) -> None:
    """Set real, effective and saved group id; -1 leaves one as it is (setresgid(2)). EPERM."""
    process.setresgid(_id(real), _id(effective), _id(saved))


def setgroups(process: Process, groups: Sequence[int]) -> None:
    """Set the supplementary group ids (setgroups(2)). EPERM without CAP_SETGID; EINVAL for too many."""
    process.setgroups([_id(group) for group in groups])


def getrlimit(process: Process, resource: int) -> tuple[int, int]:
    """Soft and hard limit of RLIMIT_NOFILE (getrlimit(2)); EINVAL for another resource: none is modelled."""
    if resource != RLIMIT_NOFILE:
        raise fail(errno.EINVAL)
    return process.files.soft_limit, process.files.hard_limit


def setrlimit(process: Process, resource: int, soft: int, hard: int) -> None:
    """Set the limits of RLIMIT_NOFILE (setrlimit(2)).

    EINVAL when the soft one is above the hard one or the resource is another; EPERM when the hard one would rise
    without CAP_SYS_RESOURCE or above fs.nr_open.
    """
    if resource != RLIMIT_NOFILE or soft > hard or soft < 0:
        raise fail(errno.EINVAL)
    files = process.files
    if hard > files.ceiling or (hard > files.hard_limit and not process.capable(CAP_SYS_RESOURCE)):
        raise fail(errno.EPERM)
    files.soft_limit, files.hard_limit = soft, hard


def kill(process: Process, pid: int, signal: int) -> None:
    """Send a signal to a process of the same host (kill(2)); 0 only asks whether it could be sent.

    EINVAL for no signal, ESRCH for no process, EPERM without CAP_KILL when neither the real nor the effective user
    is the target's real or saved one. A pid of 0 is the process itself; groups are not modelled: -1 is every other
    process that may be signalled. Raises ProcessExit when it ends the caller.
    """
    if not 0 <= signal <= _SIGNALS:
        raise fail(errno.EINVAL)
    if pid == -1:
        targets = [other for other in process.host.processes if other is not process]
        allowed = [other for other in targets if _may_signal(process, other)]
        if not targets or not allowed:
            raise fail(errno.EPERM if targets else errno.ESRCH)
        for other in allowed:
            other.kill(signal)
        return
    target = process if pid == 0 else process.host.processes.get(abs(pid))
    if target is None:
        raise fail(errno.ESRCH)
    if not _may_signal(process, target):
        raise fail(errno.EPERM)
    target.kill(signal)
    if not process.alive:
        raise ProcessExit


def exit(process: Process, status: int) -> NoReturn:
    """End the process (_exit(2)); does not return: ProcessExit unwinds the task that calls."""
    process.exit(status & 0xFF)
    raise ProcessExit


def sethostname(process: Process, name: bytes) -> None:
    """Set what gethostname(2) says (sethostname(2)). EPERM without CAP_SYS_ADMIN, EINVAL for more than 64 bytes.

    Other hosts know this one by the name that the network gave it, as before.
    """
    if not process.capable(CAP_SYS_ADMIN):
        raise fail(errno.EPERM)
    if len(name) > HOST_NAME_MAX:
        raise fail(errno.EINVAL)
    process.host.hostname = name.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _may_signal(process: Process, target: Process) -> bool:
    """kill_ok_by_cred in kernel/signal.c."""
    theirs = (target.uid, target.suid)
    return process is target or process.capable(CAP_KILL) or process.euid in theirs or process.uid in theirs


def _id(number: int) -> int:
    """An id as the kernel takes it: 32 bits, -1 among them; EINVAL for what does not fit."""
    if not -1 <= number <= UNCHANGED:
        raise fail(errno.EINVAL)
    return number & UNCHANGED
