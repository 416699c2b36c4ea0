"""System calls on the names of AF_UNIX sockets: link(2), unlink(2), rename(2), chmod(2), chown(2), utimensat(2).

They are for names that are socket files of the host, as `UnixNames.lookup` finds them; all others are the disk's.
"""

from __future__ import annotations

import errno
import stat
from posixpath import dirname
from typing import TYPE_CHECKING, Final

from portside.host.errors import fail
from portside.host.processes import CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER
from portside.host.unix_names import WRITE

if TYPE_CHECKING:
    from portside.host.processes import Process
    from portside.host.unix_names import Place

UNCHANGED: Final = (-1, 0xFFFFFFFF)


def chmod(process: Process, place: Place, mode: int) -> None:
    """Change the permissions. EPERM unless it is one's own (chmod(2))."""
    _own(process, place)
    place.mode = mode & 0o7777
    place.changed = process.host.world.now


def chown(process: Process, place: Place, uid: int, gid: int) -> None:
    """Change owner and group, -1 for no change (chown(2)). EPERM: it takes CAP_CHOWN, but for one's own groups."""
    uid = place.uid if uid in UNCHANGED else uid
    gid = place.gid if gid in UNCHANGED else gid
    if not process.capable(CAP_CHOWN) and (
        process.fsuid != place.uid
        or uid != place.uid
        or gid not in (place.gid, process.fsgid, *process.groups)
    ):
        raise fail(errno.EPERM)
    place.uid = uid
    place.gid = gid
    place.changed = process.host.world.now


def utime(process: Process, place: Place, accessed: int | None, modified: int | None) -> None:
    """Set the times in ns, None for now (utimensat(2)). EPERM unless it is one's own; EACCES: may not be written."""
    now = process.host.world.now
    if accessed is None and modified is None:
        if process.fsuid != place.uid and not process.may(WRITE, place.mode, place.uid, place.gid):
            raise fail(errno.EACCES)
    else:
        _own(process, place)
    place.accessed = now if accessed is None else accessed
    place.modified = now if modified is None else modified
    place.changed = now


def access(process: Process, place: Place, wanted: int, effective: bool) -> bool:
    """Whether the process may do that, by its real user id unless told otherwise (faccessat(2))."""
    if (process.fsuid if effective else process.uid) == 0 and process.capable(CAP_DAC_OVERRIDE):
        return not wanted & 1 or bool(place.mode & 0o111)
    mode = place.mode
    if (process.fsuid if effective else process.uid) == place.uid:
        mode >>= 6
    elif place.gid == (process.fsgid if effective else process.gid) or place.gid in process.groups:
        mode >>= 3
    return not wanted & ~mode & 7


def link(process: Process, place: Place, new: bytes) -> None:
    """Give the socket file another name (link(2)). EEXIST, ENOENT, ENOTDIR, EACCES."""
    absolute = _free(process, new)
    process.host.unix.places[absolute] = place
    place.links += 1
    place.changed = process.host.world.now


def unlink(process: Process, path: bytes) -> None:
    """Remove the name of a socket file (unlink(2)). ENOENT; EACCES; EPERM in a directory with the sticky bit."""
    names = process.host.unix
    absolute = names.disk.resolve(path, False)
    place = names.places.get(absolute)
    if place is None:
        raise fail(errno.ENOENT)
    _may_remove(process, absolute, place)
    _drop(process, absolute)


def rename(process: Process, old: bytes, new: bytes) -> None:
    """Rename a socket file; what had the new name has to be gone from the disk (rename(2)). Errors as `unlink`."""
    names = process.host.unix
    source, target = (names.disk.resolve(path, False) for path in (old, new))
    place = names.places.get(source)
    if place is None:
        raise fail(errno.ENOENT)
    if source == target:
        return
    _may_remove(process, source, place)
    replaced = names.places.get(target)
    if replaced is place:
        return
    if replaced is not None:
        _may_remove(process, target, replaced)
        _drop(process, target)
    _free(process, new)
    names.places[target] = names.places.pop(source)
    place.changed = process.host.world.now


def replaced(process: Process, path: bytes) -> None:
    """A file of the disk was renamed to the name of a socket file, which is gone."""
    names = process.host.unix
    absolute = names.disk.resolve(path, False)
    if absolute in names.places:
        _drop(process, absolute)


def _drop(process: Process, absolute: bytes) -> None:
    place = process.host.unix.places.pop(absolute)
    place.links -= 1
    place.changed = process.host.world.now


def _own(process: Process, place: Place) -> None:
    if process.fsuid != place.uid and not process.capable(CAP_FOWNER):
        raise fail(errno.EPERM)


def _free(process: Process, path: bytes) -> bytes:
    try:
        return process.host.unix.check_free(process, path)
    except OSError as error:
        raise fail(errno.EEXIST if error.errno == errno.EADDRINUSE else error.errno or errno.EINVAL) from None


def _may_remove(process: Process, absolute: bytes, place: Place) -> None:
    """may_delete(): write permission on the directory, and in a sticky one the file or the directory is one's own."""
    names = process.host.unix
    names.check_search(process, absolute)
    names.check_writable(process, dirname(absolute))
    found = names.disk.attributes(dirname(absolute))
    if found is None or not found[0] & stat.S_ISVTX or process.capable(CAP_FOWNER):
        return
    if process.fsuid not in (place.uid, found[1]):
        raise fail(errno.EPERM)
