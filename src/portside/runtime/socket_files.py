"""Socket files: names of AF_UNIX sockets among the files of the real disk, though none of them is on it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, cast

from portside.host.errors import fail
from portside.host.unix_names import NoDisk
from portside.runtime.real_file import real_fd

if TYPE_CHECKING:
    from portside.host.kernel import Host
    from portside.host.processes import Process
    from portside.host.unix_names import Place
    from portside.sim.scheduler import Scheduler

_stat: Final = os.stat
_lstat: Final = os.lstat
_readlink: Final = os.readlink
_getcwd: Final = os.getcwdb
_umask: Final = os.umask

MAX_LINKS: Final = 40  # MAXSYMLINKS
SECOND: Final = 1_000_000_000
BLOCK: Final = 4096


class RealDisk:
    """The file system that programs see, under the socket names of a host (host.unix_names.Disk)."""

    def resolve(self, path: bytes, follow: bool = True) -> bytes:
        """The absolute path, without `.`, `..` and symbolic links; the last name may be one unless told to `follow`."""
        rest = [name for name in reversed(os.path.join(_getcwd(), path).split(b"/")) if name not in (b"", b".")]
        done = b""
        links = 0
        while rest:
            name = rest.pop()
            if name == b"..":
                done = done.rpartition(b"/")[0]
                continue
            here = done + b"/" + name
            target = _target(here) if rest or follow else None
            if target is None:
                done = here
                continue
            links += 1
            if links > MAX_LINKS:
                raise fail(errno.ELOOP)
            if target[:1] == b"/":
                done = b""
            rest.extend(part for part in reversed(target.split(b"/")) if part not in (b"", b"."))
        return done or b"/"

    def umask(self) -> int:
        """That of whoever runs the world."""
        mask = _umask(0o077)
        _umask(mask)
        return mask

    def attributes(self, path: bytes) -> tuple[int, int, int] | None:
        """Mode, owner and group of what is there; None when nothing is."""
        try:
            found = _lstat(path)
        except OSError:
            return None
        return found.st_mode, found.st_uid, found.st_gid

    def exists(self, path: bytes) -> bool:
        """Whether a file of any kind is there."""
        return self.attributes(path) is not None

    def is_directory(self, path: bytes) -> bool:
        """Whether it is a directory."""
        try:
            return stat.S_ISDIR(_stat(path).st_mode)
        except OSError:
            return False


def _target(path: bytes) -> bytes | None:
    try:
        return _readlink(path)
    except OSError:
        return None


def give_disk(host: Host) -> None:
    """Let the socket names of a host stand among the files of the real disk."""
    if isinstance(host.unix.disk, NoDisk):
        host.unix.disk = RealDisk()


def path_bytes(process: Process, path: object, dir_fd: object = None) -> bytes | None:
    """A path as bytes, from the directory `dir_fd` if that is given; None for a descriptor and for what is no path."""
    if isinstance(path, int):
        return None
    try:
        name = os.fsencode(path)  # type: ignore[arg-type]
    except TypeError:
        return None
    if isinstance(dir_fd, int) and name[:1] != b"/":
        name = os.path.join(directory_bytes(process, dir_fd), name)
    return name or None


def directory_bytes(process: Process, fd: int) -> bytes:
    """The path of a directory of the real disk that the process has open."""
    return _readlink(b"/proc/self/fd/%d" % real_fd(process, fd))


def socket_file(process: Process, path: object, dir_fd: object = None, follow: bool = True) -> Place | None:
    """The socket file of that name on the process's host, or None."""
    if not process.host.unix.places:
        return None
    name = path_bytes(process, path, dir_fd)
    return process.host.unix.lookup(name, follow) if name else None


def stat_result(process: Process, place: Place) -> os.stat_result:
    """What stat(2) says of a socket file."""
    epoch = cast("Scheduler", process.host.world).epoch
    times = [epoch + time for time in (place.accessed, place.modified, place.changed)]
    head = (stat.S_IFSOCK | place.mode, place.inode, 0, place.links, place.uid, place.gid, 0)
    whole = [time // SECOND for time in times]
    fractions = [time // SECOND + 1e-9 * (time % SECOND) for time in times]
    return os.stat_result((*head, *whole, *fractions, *times, BLOCK, 0, 0))


def names_within(process: Process, directory: object) -> list[bytes]:
    """The names of socket files in a directory, which may be given by a descriptor."""
    names = process.host.unix
    if not names.places:
        return []
    if directory is None:
        path: bytes | None = b"."
    else:
        path = directory_bytes(process, directory) if isinstance(directory, int) else path_bytes(process, directory)
    return [name for name, _ in names.within(path)] if path else []


class SocketEntry:
    """os.DirEntry of a socket file."""

    __slots__ = ("_place", "_process", "name", "path")

    def __init__(self, process: Process, directory: object, name: bytes) -> None:
        self._process = process
        self.name: object = name if isinstance(directory, bytes) else os.fsdecode(name)
        fd = directory if isinstance(directory, int) else None
        base = "." if directory is None else directory
        self.path = self.name if fd is not None else os.path.join(cast(str, base), cast(str, self.name))
        place = socket_file(process, self.path, fd, False)
        assert place is not None
        self._place = place

    def __fspath__(self) -> object:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """stat(2) of the entry."""
        return stat_result(self._process, self._place)

    def inode(self) -> int:
        """The inode number."""
        return self._place.inode

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """It is no directory."""
        return False

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """It is no regular file."""
        return False

    def is_symlink(self) -> bool:
        """It is no link."""
        return False

    def is_junction(self) -> bool:
        """It is none."""
        return False


class ScanWithSockets:
    """os.scandir's iterator over a directory of the disk that has socket files too: they come last."""

    def __init__(self, scan: os._ScandirIterator[str], sockets: list[SocketEntry]) -> None:
        self._scan = scan
        self._sockets = iter(sockets)

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        for entry in self._scan:
            return entry
        return next(self._sockets)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the scan."""
        self._scan.close()
        self._sockets = iter(())
