"""`os` (`posix`), calls on paths: of socket files, and of all other files as `patches/os.py` has it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, cast

from portside.host.errors import fail
from portside.host.syscalls import socket_files as _calls
from portside.runtime.arguments import integer
from portside.runtime.patcher import Patcher
from portside.runtime.patches import os as _os
from portside.runtime.socket_files import (
    ScanWithSockets,
    SocketEntry,
    names_within,
    path_bytes,
    socket_file,
    stat_result,
)
from portside.runtime.trap import current_process

if TYPE_CHECKING:
    from portside.host.processes import Process
    from portside.sim.scheduler import Scheduler

Real = Callable[..., object]

SECOND: Final = 1_000_000_000
_mask: Final = os.umask
_unlink: Final = os.unlink
_stat: Final = os.stat


@contextmanager
def _about(path: object, second: object = None) -> Iterator[None]:
    """An error names the paths as the program wrote them."""
    try:
        yield
    except OSError as error:
        if second is None:
            raise OSError(error.errno, error.strerror, path) from None
        raise OSError(error.errno, error.strerror, path, None, second) from None


@contextmanager
def _masked(process: Process) -> Iterator[None]:
    """Files are made on the real disk under the umask of the process, once it has set one."""
    if process.umask is None:
        yield
        return
    outside = _mask(process.umask)
    try:
        yield
    finally:
        _mask(outside)


def umask(real: Real, mask: object, /) -> object:
    """os.umask: of the process alone."""
    process = current_process()
    if process is None:
        return real(mask)
    before = process.host.unix.disk.umask() if process.umask is None else process.umask
    process.umask = integer(mask) & 0o777
    return before


def stat(real: Real, path: object, *, dir_fd: object = None, follow_symlinks: bool = True) -> object:
    """os.stat."""
    process = current_process()
    place = None if process is None else socket_file(process, path, dir_fd, follow_symlinks)
    if process is not None and place is not None:
        return stat_result(process, place)
    return _os.stat_path(real, path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)


def lstat(real: Real, path: object, *, dir_fd: object = None) -> object:
    """os.lstat."""
    process = current_process()
    place = None if process is None else socket_file(process, path, dir_fd, False)
    if process is not None and place is not None:
        return stat_result(process, place)
    return _os.stat_path(real, path, dir_fd=dir_fd)


def access(
    real: Real, path: object, mode: object, *, dir_fd: object = None, effective_ids: bool = False,
    follow_symlinks: bool = True,
) -> object:  # fmt: skip
    """os.access."""
    process = current_process()
    place = None if process is None else socket_file(process, path, dir_fd, follow_symlinks)
    if process is not None and place is not None:
        return _calls.access(process, place, integer(mode), effective_ids)
    return _os.access(
        real, path, cast(int, mode), dir_fd=dir_fd, effective_ids=effective_ids, follow_symlinks=follow_symlinks
    )


def listdir(real: Real, path: object = None) -> object:
    """os.listdir: the socket files come last."""
    _not_a_socket(path)
    found = _os.listdir(real, path)
    process = current_process()
    if process is None:
        return found
    sockets = names_within(process, path)
    return [*cast("list[object]", found), *(sockets if isinstance(path, bytes) else map(os.fsdecode, sockets))]


def scandir(real: Real, path: object = None) -> object:
    """os.scandir: the socket files come last."""
    _not_a_socket(path)
    found = _os.scandir(real, path)
    process = current_process()
    if process is None:
        return found
    sockets = [SocketEntry(process, path, name) for name in names_within(process, path)]
    return ScanWithSockets(cast("os._ScandirIterator[str]", found), sockets) if sockets else found


def _not_a_socket(path: object) -> None:
    process = current_process()
    if process is not None and path is not None and socket_file(process, path) is not None:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)


def unlink(real: Real, path: object, *, dir_fd: object = None) -> object:
    """os.unlink and os.remove."""
    process = current_process()
    if process is None or socket_file(process, path, dir_fd, False) is None:
        return _os.path_or_fd(real, path, dir_fd=dir_fd)
    with _about(path):
        _calls.unlink(process, path_bytes(process, path, dir_fd) or b"")
    return None


def rename(real: Real, src: object, dst: object, *, src_dir_fd: object = None, dst_dir_fd: object = None) -> object:
    """os.rename and os.replace: of a socket file, to the name of one, and of a directory with some."""
    process = current_process()
    keywords = {"src_dir_fd": src_dir_fd, "dst_dir_fd": dst_dir_fd}
    if process is None or not process.host.unix.places:
        return _os.path_or_fd(real, src, dst, **keywords)
    old, new = path_bytes(process, src, src_dir_fd), path_bytes(process, dst, dst_dir_fd)
    if old is None or new is None:
        return _os.path_or_fd(real, src, dst, **keywords)
    names = process.host.unix
    if names.lookup(old, False) is not None:
        with _about(src, dst):
            _make_way(process, names.disk.resolve(new, False))
            _calls.rename(process, old, new)
        return None
    source = names.disk.resolve(old, False)
    answer = _os.path_or_fd(real, src, dst, **keywords)
    names.moved(source, names.disk.resolve(new, False))
    _calls.replaced(process, new)
    return answer


def _make_way(process: Process, path: bytes) -> None:
    """A socket file is renamed to that name: a file of the disk is replaced by it. EISDIR for a directory."""
    disk = process.host.unix.disk
    if path not in process.host.unix.places and disk.exists(path):
        if disk.is_directory(path):
            raise fail(errno.EISDIR)
        _unlink(path)


def link(
    real: Real, src: object, dst: object, *, src_dir_fd: object = None, dst_dir_fd: object = None,
    follow_symlinks: bool = True,
) -> object:  # fmt: skip
    """os.link."""
    process = current_process()
    place = None if process is None else socket_file(process, src, src_dir_fd, False)
    if process is not None and place is not None:
        with _about(src, dst):
            _calls.link(process, place, path_bytes(process, dst, dst_dir_fd) or b"")
        return None
    if process is not None and socket_file(process, dst, dst_dir_fd, False) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), src, None, dst)
    return _os.path_or_fd(
        real, src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks
    )


def symlink(
    real: Real, src: object, dst: object, target_is_directory: bool = False, *, dir_fd: object = None
) -> object:
    """os.symlink: EEXIST where a socket file is."""
    process = current_process()
    if process is not None and socket_file(process, dst, dir_fd, False) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), src, None, dst)
    return _os.path_or_fd(real, src, dst, target_is_directory, dir_fd=dir_fd)


def make(real: Real, path: object, *arguments: object, dir_fd: object = None, **keywords: object) -> object:
    """os.mkdir, os.mkfifo, os.mknod: under the process's umask; EEXIST where a socket file is."""
    process = current_process()
    if process is None:
        return real(path, *arguments, dir_fd=dir_fd, **keywords)
    if socket_file(process, path, dir_fd, False) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    with _masked(process):
        return _os.path_or_fd(real, path, *arguments, dir_fd=dir_fd, **keywords)


def rmdir(real: Real, path: object, *, dir_fd: object = None) -> object:
    """os.rmdir: ENOTEMPTY while a socket file is in it, ENOTDIR of one."""
    process = current_process()
    name = None if process is None else path_bytes(process, path, dir_fd)
    if process is not None and name is not None and process.host.unix.places:
        if process.host.unix.lookup(name, False) is not None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        if names_within(process, name):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
    return _os.path_or_fd(real, path, dir_fd=dir_fd)


def open_file(real: Real, path: object, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> object:
    """os.open: ENXIO for a socket file; a new file has the permissions that the process's umask leaves."""
    process = current_process()
    if process is None:
        return real(path, flags, mode, dir_fd=dir_fd)
    if socket_file(process, path, dir_fd) is not None:
        number = errno.EEXIST if flags & os.O_CREAT and flags & os.O_EXCL else errno.ENXIO
        raise OSError(number, os.strerror(number), path)
    with _masked(process):
        return _os.open_file(real, path, flags, mode, dir_fd=dir_fd)


def chmod(real: Real, path: object, mode: object, *, dir_fd: object = None, follow_symlinks: bool = True) -> object:
    """os.chmod."""
    process = current_process()
    place = None if process is None else socket_file(process, path, dir_fd, follow_symlinks)
    if process is None or place is None:
        return _os.path_or_fd(real, path, mode, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
    with _about(path):
        _calls.chmod(process, place, integer(mode))
    return None


def chown(
    real: Real, path: object, uid: object, gid: object, *, dir_fd: object = None, follow_symlinks: bool = True
) -> object:
    """os.chown."""
    process = current_process()
    place = None if process is None else socket_file(process, path, dir_fd, follow_symlinks)
    if process is None or place is None:
        return _os.path_or_fd(real, path, uid, gid, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
    with _about(path):
        _calls.chown(process, place, integer(uid), integer(gid))
    return None


def lchown(real: Real, path: object, uid: object, gid: object) -> object:
    """os.lchown."""
    process = current_process()
    if process is None or socket_file(process, path, None, False) is None:
        return _os.path_or_fd(real, path, uid, gid)
    return chown(real, path, uid, gid, follow_symlinks=False)


def utime(
    real: Real, path: object, times: object = None, *, dir_fd: object = None, follow_symlinks: bool = True,
    **keywords: object,
) -> object:  # fmt: skip
    """os.utime."""
    process = current_process()
    place = None if process is None else socket_file(process, path, dir_fd, follow_symlinks)
    if process is None or place is None:
        return _os.path_or_fd(real, path, times, dir_fd=dir_fd, follow_symlinks=follow_symlinks, **keywords)
    with _about(path) if sys.version_info >= (3, 13) else nullcontext():
        _calls.utime(process, place, *_times(process, times, keywords.get("ns")))
    return None


def _times(process: Process, times: object, ns: object) -> tuple[int | None, int | None]:
    """What utime is to set, since the world began."""
    epoch = cast("Scheduler", process.host.world).epoch
    if ns is not None:
        accessed, modified = cast("tuple[int, int]", ns)
        return accessed - epoch, modified - epoch
    if times is None:
        return None, None
    first, second = cast("tuple[float, float]", times)
    return int(first * SECOND) - epoch, int(second * SECOND) - epoch


CALLS: Final = (stat, lstat, access, listdir, scandir, link, symlink, rmdir, chmod, chown, lchown, utime, umask)


def add(patcher: Patcher) -> None:
    """Replace the calls on paths that may be those of socket files."""
    for call in CALLS:
        patcher.function(os, call.__name__, call)
    patcher.function(os, "open", open_file)
    for names, both in ((("unlink", "remove"), unlink), (("rename", "replace"), rename)):
        for name in names:
            patcher.function(os, name, both)
    for name in ("mkdir", "mkfifo", "mknod"):
        patcher.function(os, name, make)
