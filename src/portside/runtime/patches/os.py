"""`os` (`posix`): descriptors and identity of the simulated process; files stay those of the real disk.

A program sees one range of numbers: sockets, pipes and files opened on the real disk are descriptors of its own table.
A call that takes a descriptor goes to the simulated file, or to the real one behind it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from greenlet import getcurrent

from portside.host.errors import fail
from portside.host.syscalls import files
from portside.host.syscalls import process as _calls
from portside.runtime.arguments import bytes_like, integer
from portside.runtime.patcher import Patcher
from portside.runtime.program import current_program
from portside.runtime.real_file import RealFile, install, real_fd
from portside.runtime.switches import switches
from portside.runtime.trap import current_process, process_of
from portside.runtime.virtual import is_kept, link_virtual, names_virtual, open_virtual, scan_virtual, stat_virtual
from portside.sim.scheduler import Scheduler, Task

if TYPE_CHECKING:
    from portside.host.processes import Process

Real = Callable[..., object]


def _fd(value: object) -> int:
    """A descriptor argument: a C int."""
    number = value if type(value) is int else integer(value)
    if not -0x80000000 <= number <= 0x7FFFFFFF:
        raise OverflowError("fd is greater than maximum" if number > 0 else "fd is less than minimum")
    return number


# -- read, write, close --


def _try(process: Process, call: Callable[[], object]) -> object:
    """A call that may say EAGAIN, which a program may go on asking."""
    try:
        return call()
    except BlockingIOError:
        cast(Scheduler, process.host.world).spin()
        raise


def read(real: Real, fd: object, length: object, /) -> object:
    """os.read."""
    task = getcurrent()
    if type(task) is not Task:
        return real(fd, length)
    number, wanted = _fd(fd), _fd(length)
    if wanted < 0:
        raise fail(errno.EINVAL)
    process = process_of(task)
    return _try(process, lambda: files.read(process, number, wanted))


def write(real: Real, fd: object, data: object, /) -> object:
    """os.write."""
    task = getcurrent()
    if type(task) is not Task:
        return real(fd, data)
    number, payload = _fd(fd), bytes_like(data)
    process = process_of(task)
    return _try(process, lambda: files.write(process, number, payload))


def readv(real: Real, fd: object, buffers: Sequence[bytearray], /) -> object:
    """os.readv."""
    process = current_process()
    if process is None:
        return real(fd, buffers)
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    data = files.read(process, _fd(fd), sum(map(len, views)))
    at = 0
    for view in views:
        piece = data[at : at + len(view)]
        view[: len(piece)] = piece
        at += len(piece)
    return at


def writev(real: Real, fd: object, buffers: Sequence[object], /) -> object:
    """os.writev."""
    process = current_process()
    if process is None:
        return real(fd, buffers)
    return files.write(process, _fd(fd), b"".join(map(bytes_like, buffers)))


def close(real: Real, fd: object) -> object:
    """os.close."""
    process = current_process()
    if process is None:
        return real(fd)
    files.close(process, _fd(fd))
    return None


def closerange(real: Real, fd_low: object, fd_high: object, /) -> object:
    """os.closerange."""
    process = current_process()
    if process is None:
        return real(fd_low, fd_high)
    for fd in sorted(process.files.open):
        if _fd(fd_low) <= fd < _fd(fd_high):
            process.files.close(fd)
    return None


def dup(real: Real, fd: object, /) -> object:
    """os.dup: the copy is not inheritable."""
    process = current_process()
    if process is None:
        return real(fd)
    return files.fcntl(process, _fd(fd), files.F_DUPFD_CLOEXEC, 0)


def dup2(real: Real, fd: object, fd2: object, inheritable: bool = True) -> object:
    """os.dup2."""
    process = current_process()
    if process is None:
        return real(fd, fd2, inheritable)
    old, new = _fd(fd), _fd(fd2)
    if old < 0 or new < 0:
        raise fail(errno.EBADF)
    files.dup2(process, old, new)
    if old != new:
        files.set_inheritable(process, new, inheritable)
    return new


def pipe(real: Real) -> object:
    """os.pipe: both ends are not inheritable."""
    process = current_process()
    return real() if process is None else files.pipe2(process, files.O_CLOEXEC)


def pipe2(real: Real, flags: object, /) -> object:
    """os.pipe2."""
    process = current_process()
    return real(flags) if process is None else files.pipe2(process, _fd(flags))


def get_blocking(real: Real, fd: object, /) -> object:
    """os.get_blocking."""
    process = current_process()
    return real(fd) if process is None else files.get_blocking(process, _fd(fd))


def set_blocking(real: Real, fd: object, blocking: object, /) -> object:
    """os.set_blocking."""
    process = current_process()
    if process is None:
        return real(fd, blocking)
    files.set_blocking(process, _fd(fd), bool(blocking))
    return None


def get_inheritable(real: Real, fd: object, /) -> object:
    """os.get_inheritable."""
    process = current_process()
    return real(fd) if process is None else files.get_inheritable(process, _fd(fd))


def set_inheritable(real: Real, fd: object, inheritable: object, /) -> object:
    """os.set_inheritable."""
    process = current_process()
    if process is None:
        return real(fd, inheritable)
    files.set_inheritable(process, _fd(fd), bool(inheritable))
    return None


def isatty(real: Real, fd: object, /) -> object:
    """os.isatty: no simulated file is a terminal."""
    process = current_process()
    if process is None:
        return real(fd)
    file = process.files.open.get(_fd(fd))
    return isinstance(file, RealFile) and real(file.fd)


def fstat(real: Real, fd: object) -> object:
    """os.fstat."""
    process = current_process()
    return real(fd) if process is None else _fstat(real, process, _fd(fd))


def _fstat(real: Real, process: Process, fd: int) -> object:
    file = process.files.get(fd)
    if isinstance(file, RealFile):
        return real(file.fd)
    mode = files.kind(process, fd) | 0o600
    inode = getattr(file, "inode", 0)
    return os.stat_result((mode, inode, 0, 1, process.uid, process.gid, 0, 0, 0, 0))


def lseek(real: Real, fd: object, position: object, whence: object, /) -> object:
    """os.lseek: ESPIPE but for files that have a position."""
    process = current_process()
    if process is None:
        return real(fd, position, whence)
    file = process.files.get(_fd(fd))
    if isinstance(file, RealFile):
        return real(file.fd, position, whence)
    seek = getattr(file, "seek", None)
    if seek is None:
        raise fail(errno.ESPIPE)
    return seek(_fd(position), _fd(whence))


def real_only(real: Real, fd: object, *arguments: object, **keywords: object) -> object:
    """A call on a descriptor that only files of the real disk answer (pread, ftruncate, fsync ...)."""
    process = current_process()
    return real(fd if process is None else real_fd(process, _fd(fd)), *arguments, **keywords)


def ftruncate(real: Real, fd: object, length: object, /) -> object:
    """os.ftruncate."""
    process = current_process()
    if process is not None:
        truncate = getattr(process.files.get(_fd(fd)), "truncate", None)
        if truncate is not None:
            return truncate(integer(length))
    return real_only(real, fd, length)


def fsync(real: Real, fd: object) -> object:
    """os.fsync, os.fdatasync: EINVAL for what is no file."""
    process = current_process()
    if process is None:
        return real(fd)
    number = _fd(fd() if callable(fd) else getattr(fd, "fileno", lambda: fd)())
    file = process.files.get(number)
    if not isinstance(file, RealFile):
        raise fail(errno.EINVAL)
    return real(file.fd)


def sendfile(
    real: Real, out_fd: object, in_fd: object, offset: int | None, count: int, *arguments: object, **keywords: object
) -> object:
    """os.sendfile: from a file of the real disk to a simulated socket, pipe or file."""
    process = current_process()
    if process is None:
        return real(out_fd, in_fd, offset, count, *arguments, **keywords)
    source = process.files.get(_fd(in_fd))
    if not isinstance(source, RealFile):
        raise fail(errno.EINVAL)
    count = min(count, 1 << 20)
    data = _pread(source.fd, count, _lseek(source.fd, 0, os.SEEK_CUR) if offset is None else offset)
    if not data:
        process.files.get(_fd(out_fd))
        return 0
    sent = cast(int, _try(process, lambda: files.write(process, _fd(out_fd), data)))
    if offset is None:
        _lseek(source.fd, sent, os.SEEK_CUR)
    return sent


_pread: Final = os.pread
_lseek: Final = os.lseek


# -- paths --


def open_file(real: Real, path: object, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> object:
    """os.open: a file of the real disk, or one of the simulated /proc, under a descriptor of the process."""
    process = current_process()
    if process is None:
        return real(path, flags, mode, dir_fd=dir_fd)
    virtual = open_virtual(process, path, flags)
    if virtual is not None:
        return process.files.install(virtual, True)
    at = None if dir_fd is None else real_fd(process, dir_fd)
    return install(process, lambda: cast(int, real(path, flags, mode, dir_fd=at)), path)


def path_or_fd(real: Real, *arguments: object, **keywords: object) -> object:
    """A call on a path, which may be a descriptor, perhaps relative to another (`dir_fd`)."""
    process = current_process()
    if process is None:
        return real(*arguments, **keywords)
    for path in (*arguments[:2], *keywords.values()):
        if is_kept(process, path):  # as if bind-mounted: the real machine's file of that name is left alone
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
    for name in ("dir_fd", "src_dir_fd", "dst_dir_fd"):
        if keywords.get(name) is not None:
            keywords[name] = real_fd(process, _fd(keywords[name]))
    name = "path" if "path" in keywords else "fd"
    if arguments and isinstance(arguments[0], int):
        arguments = (real_fd(process, arguments[0]), *arguments[1:])
    elif isinstance(keywords.get(name), int):
        keywords[name] = real_fd(process, cast(int, keywords[name]))
    return real(*arguments, **keywords)


def chdir(real: Real, path: object) -> None:
    """os.chdir: of the process alone."""
    _move(partial(path_or_fd, real, path))


def fchdir(real: Real, fd: object) -> None:
    """os.fchdir: of the process alone."""
    _move(partial(real_only, real, fd))


def _move(change: Callable[[], object]) -> None:
    program = current_program()
    if program is None:
        change()
    else:
        switches().move(program, change)


def stat_path(real: Real, path: object, *arguments: object, **keywords: object) -> object:
    """os.stat and os.lstat, of a descriptor too."""
    process = current_process()
    if process is None:
        return real(path, *arguments, **keywords)
    if isinstance(path, int) and not isinstance(path, bool):
        return _fstat(real, process, path)
    virtual = stat_virtual(process, path)
    return path_or_fd(real, path, *arguments, **keywords) if virtual is None else virtual


def access(real: Real, path: object, mode: int, **keywords: object) -> object:
    """os.access."""
    process = current_process()
    virtual = None if process is None else stat_virtual(process, path)
    if virtual is None:
        return path_or_fd(real, path, mode, **keywords)
    if process is not None and process.uid == 0:
        return not mode & os.X_OK or bool(virtual.st_mode & 0o111)
    return virtual.st_mode & 7 & mode == mode  # the files of /proc are root's


def listdir(real: Real, path: object = None) -> object:
    """os.listdir."""
    process = current_process()
    names = None if process is None or path is None else names_virtual(process, path)
    if names is not None:
        return names
    return real() if path is None else path_or_fd(real, path)


def scandir(real: Real, path: object = None) -> object:
    """os.scandir."""
    process = current_process()
    found = None if process is None or path is None else scan_virtual(process, path)
    if found is not None:
        return found
    return real() if path is None else path_or_fd(real, path)


def readlink(real: Real, path: object, **keywords: object) -> object:
    """os.readlink."""
    process = current_process()
    target = None if process is None else link_virtual(process, path)
    return path_or_fd(real, path, **keywords) if target is None else target


# -- who it is --


def identity(call: Callable[..., object]) -> Callable[..., object]:
    """A replacement that asks the simulated kernel about the process."""

    def answer(real: Real, *arguments: object) -> object:
        process = current_process()
        return real(*arguments) if process is None else call(process, *arguments)

    return answer


def user(call: Callable[..., object]) -> Callable[..., object]:
    """A replacement whose arguments are user or group ids, with CPython's checks (_Py_Uid_Converter)."""

    def answer(real: Real, *arguments: object) -> object:
        process = current_process()
        return real(*arguments) if process is None else call(process, *(_id(argument) for argument in arguments))

    return answer


def _id(value: object) -> int:
    if not hasattr(type(value), "__index__"):
        raise TypeError(f"uid should be integer, not {type(value).__name__}")
    number = cast(int, value.__index__())  # type: ignore[attr-defined]
    if number < -1:
        raise OverflowError("uid is less than minimum")
    if number > 0xFFFFFFFF:
        raise OverflowError("uid is greater than maximum")
    return number


def getpgid(process: Process, pid: int = 0) -> int:
    """Process groups and sessions are not modelled: each process leads its own."""
    if pid and process.host.processes.get(pid) is None:
        raise fail(errno.ESRCH)
    return pid or process.pid


def setsid(process: Process) -> int:
    """A process leads its group already (EPERM), as setsid(2) says of a leader."""
    raise fail(errno.EPERM)


def uname(real: Real) -> object:
    """os.uname: with the host's name."""
    process = current_process()
    found = cast(os.uname_result, real())
    return found if process is None else os.uname_result((found[0], process.host.hostname, *found[2:]))


def getlogin(process: Process) -> str:
    """The name of the real user."""
    return process.host.users.name(process.uid) or str(process.uid)


def kill(process: Process, pid: int, sig: int) -> None:
    """os.kill: a process of the same host."""
    _calls.kill(process, _fd(pid), _fd(sig))


def killpg(process: Process, pgid: int, sig: int) -> None:
    """os.killpg: a group is its one process."""
    _calls.kill(process, _fd(pgid), _fd(sig))


def initgroups(process: Process, username: object, gid: object) -> None:
    """os.initgroups: a simulated user is in the group of its number alone."""
    os.fsencode(cast(str, username))
    _calls.setgroups(process, [_fd(gid)])


def wait(process: Process, *arguments: object) -> None:
    """os.wait and its kin: a simulated process has no children (ECHILD)."""
    raise fail(errno.ECHILD)


def abort(process: Process) -> None:
    """os.abort."""
    _calls.kill(process, process.pid, 6)


IDENTITY: Final[dict[str, Callable[..., object]]] = {
    "getpid": _calls.getpid, "getppid": _calls.getppid, "getuid": _calls.getuid, "geteuid": _calls.geteuid,
    "getgid": _calls.getgid, "getegid": _calls.getegid, "getresuid": _calls.getresuid, "getresgid": _calls.getresgid,
    "getgroups": _calls.getgroups, "setgroups": _calls.setgroups, "getpgid": getpgid, "getpgrp": getpgid,
    "getsid": getpgid, "setsid": setsid, "setpgid": lambda process, pid, group: None, "setpgrp": lambda process: None,
    "getlogin": getlogin, "kill": kill, "killpg": killpg, "abort": abort, "_exit": _calls.exit,
    "initgroups": initgroups,
    "wait": wait, "wait3": wait, "wait4": wait, "waitpid": wait, "waitid": wait,
}  # fmt: skip

USERS: Final[dict[str, Callable[..., object]]] = {
    "setuid": _calls.setuid, "seteuid": _calls.seteuid, "setreuid": _calls.setreuid, "setresuid": _calls.setresuid,
    "setgid": _calls.setgid, "setegid": _calls.setegid, "setregid": _calls.setregid, "setresgid": _calls.setresgid,
}  # fmt: skip

DESCRIPTORS: Final = (
    read, write, readv, writev, close, closerange, dup, dup2, pipe, pipe2, get_blocking, set_blocking, get_inheritable,
    set_inheritable, isatty, fstat, lseek, ftruncate, sendfile, uname, readlink,
    chdir, fchdir,
)  # fmt: skip

REAL_ONLY: Final = (
    "pread", "pwrite", "preadv", "pwritev", "fchmod", "fchown", "fstatvfs", "posix_fallocate",
    "posix_fadvise", "lockf", "ttyname", "tcgetpgrp", "tcsetpgrp", "fpathconf",
)  # fmt: skip

PATHS: Final = ("truncate", "statvfs", "pathconf", "getxattr", "setxattr")


def add(patcher: Patcher) -> None:
    """Replace the calls on descriptors and on identity, and those on paths that `patches/paths.py` has not."""
    for function in DESCRIPTORS:
        patcher.function(os, function.__name__, function)
    for name in ("fsync", "fdatasync"):
        patcher.function(os, name, fsync)
    for name in REAL_ONLY:
        patcher.function(os, name, real_only)
    for name in PATHS:
        patcher.function(os, name, path_or_fd)
    for name, call in IDENTITY.items():
        patcher.function(os, name, identity(call))
    for name, call in USERS.items():
        patcher.function(os, name, user(call))
    _keep_supports(patcher)


def _keep_supports(patcher: Patcher) -> None:
    """`os.supports_fd` and its neighbours name functions: the replacements are in there too, during a run."""

    def enter() -> None:
        for group in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks, os.supports_effective_ids):
            group.update(cast("set[Callable[..., object]]", patcher.replacements(group)))

    def leave() -> None:
        for group in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks, os.supports_effective_ids):
            for replacement in patcher.replacements(group):
                group.discard(cast("Callable[..., object]", replacement))

    patcher.hook(enter, leave)

