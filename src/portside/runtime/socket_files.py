"""Socket files: names of AF_UNIX sockets among the files of the real disk, though none of them is on it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from portside.host.unix_names import NoDisk

if TYPE_CHECKING:
    from portside.host.kernel import Host
    from portside.host.processes import Process
    from portside.host.unix_names import Place

_stat: Final = os.stat
_lstat: Final = os.lstat


class RealDisk:
    """The file system that programs see, under the socket names of a host (host.unix_names.Disk)."""

    def resolve(self, path: bytes) -> bytes:
        """The absolute path, with `.` and `..` taken out."""
        return os.path.abspath(path)

    def exists(self, path: bytes) -> bool:
        """Whether a file of any kind is there."""
        try:
            _lstat(path)
        except OSError:
            return False
        return True

    def is_directory(self, path: bytes) -> bool:
        """Whether it is a directory."""
        try:
            return stat.S_ISDIR(_stat(path).st_mode)
        except OSError:
            return False


def give_disk(host: Host) -> None:
    """Let the socket names of a host stand among the files of the real disk."""
    if isinstance(host.unix.disk, NoDisk):
        host.unix.disk = RealDisk()


def path_bytes(path: object) -> bytes | None:
    """A path as bytes; None for a descriptor."""
    if isinstance(path, int):
        return None
    try:
        return os.fsencode(path)  # type: ignore[arg-type]
    except TypeError:
        return None


def socket_file(process: Process, path: object) -> Place | None:
    """The socket file of that name on the process's host, or None."""
    if not process.host.unix.places:
        return None
    name = path_bytes(path)
    return process.host.unix.lookup(name) if name else None


def stat_socket_file(process: Process, path: object) -> os.stat_result | None:
    """stat(2) of a socket file; None when it is none."""
    place = socket_file(process, path)
    if place is None:
        return None
    return os.stat_result((stat.S_IFSOCK | 0o755, place.inode, 0, 1, place.uid, place.gid, 0, 0, 0, 0))
