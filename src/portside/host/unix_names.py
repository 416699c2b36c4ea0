"""Where AF_UNIX sockets are found: the names of one host, and the sockets that travel inside messages (unix(7))."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from posixpath import basename, dirname, join, normpath
from typing import TYPE_CHECKING, Protocol

from portside.host.errors import fail

if TYPE_CHECKING:
    from portside.host.file import World
    from portside.host.processes import Process
    from portside.host.unix_socket import UnixSocket

PATH_MAX = 108  # sizeof(sun_path)
AUTOBIND_NAMES = 1 << 20
SEARCH = 1
WRITE = 2
SOCKET_MODE = 0o777  # of the inode of a socket, before the umask
DEFAULT_UMASK = 0o022


class Disk(Protocol):
    """What the file system under the socket names holds; the names themselves are held in memory."""

    def resolve(self, path: bytes, follow: bool = True) -> bytes:
        """The absolute path, without `.`, `..` and symbolic links; the last name may be one unless told to `follow`."""

    def umask(self) -> int:
        """The umask of processes that have set none."""

    def attributes(self, path: bytes) -> tuple[int, int, int] | None:
        """Mode, owner and group of what is there, which is not followed; None when nothing is or nobody knows."""

    def exists(self, path: bytes) -> bool:
        """Whether a file of any kind is there."""

    def is_directory(self, path: bytes) -> bool:
        """Whether it is a directory."""


class NoDisk:
    """A file system where every directory exists and holds nothing."""

    def resolve(self, path: bytes, follow: bool = True) -> bytes:
        """The path, taken from the root when it is relative."""
        return normpath(join(b"/", path))

    def umask(self) -> int:
        """The usual one."""
        return DEFAULT_UMASK

    def attributes(self, path: bytes) -> tuple[int, int, int] | None:
        """Nobody knows."""
        return None

    def exists(self, path: bytes) -> bool:
        """No file is there."""
        return False

    def is_directory(self, path: bytes) -> bool:
        """Every directory is there."""
        return True


class Place:
    """A socket file: an inode that outlives the socket bound to it, until its last name goes.

    `mode` are its permissions; `accessed`, `modified` and `changed` its times in ns since the world began.
    """

    __slots__ = ("accessed", "changed", "gid", "inode", "links", "mode", "modified", "socket", "uid")

    def __init__(self, socket: UnixSocket, mode: int, uid: int, gid: int, inode: int, now: int) -> None:
        self.socket: UnixSocket | None = socket
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.inode = inode
        self.links = 1
        self.accessed = self.modified = self.changed = now


class UnixNames:
    """The AF_UNIX sockets of a host.

    `places` holds socket files by absolute path, `abstract` bound sockets by type and name (which begins with NUL),
    `sockets` all of them in the order in which they were made. `in_flight` counts, for each socket that is passed
    inside a message, how often it is; `carriers` counts the messages with files that wait in each socket.
    """

    __slots__ = ("abstract", "carriers", "disk", "in_flight", "places", "sockets")

    def __init__(self) -> None:
        self.places: dict[bytes, Place] = {}
        self.abstract: dict[tuple[int, bytes], UnixSocket] = {}
        self.sockets: dict[UnixSocket, None] = {}
        self.in_flight: dict[UnixSocket, int] = {}
        self.carriers: dict[UnixSocket, int] = {}
        self.disk: Disk = NoDisk()

    def bind_abstract(self, socket: UnixSocket, name: bytes) -> None:
        """Give the socket an abstract name; EADDRINUSE when one of its type has it."""
        if (socket.type, name) in self.abstract:
            raise fail(errno.EADDRINUSE)
        self.abstract[socket.type, name] = socket

    def autobind(self, socket: UnixSocket, world: World) -> bytes:
        """Give the socket a free abstract name of five hexadecimal digits; ENOSPC when there is none."""
        first = world.stream("unix autobind").getrandbits(20)
        for step in range(1, AUTOBIND_NAMES + 1):
            name = b"\0%05x" % ((first + step) % AUTOBIND_NAMES)
            if (socket.type, name) not in self.abstract:
                self.abstract[socket.type, name] = socket
                return name
        raise fail(errno.ENOSPC)

    def make(self, process: Process, socket: UnixSocket, path: bytes) -> Place:
        """Make a socket file for a socket (unix_bind_bsd). EADDRINUSE, ENOENT, ENOTDIR, EACCES."""
        absolute = self.check_free(process, path)
        umask = self.disk.umask() if process.umask is None else process.umask
        host = socket.host
        place = Place(socket, SOCKET_MODE & ~umask, process.fsuid, process.fsgid, host.new_inode(), host.world.now)
        self.places[absolute] = place
        return place

    def check_free(self, process: Process, path: bytes) -> bytes:
        """The absolute path of a name that may be made (kern_path_create). EADDRINUSE, ENOENT, ENOTDIR, EACCES."""
        absolute = self.disk.resolve(path, False)
        self.check_search(process, absolute)
        if absolute in self.places or self.disk.exists(absolute):
            raise fail(errno.EADDRINUSE)
        parent = dirname(absolute)
        if not self.disk.is_directory(parent):
            occupied = parent in self.places or self.disk.exists(parent)
            raise fail(errno.ENOTDIR if occupied else errno.ENOENT)
        self.check_writable(process, parent)
        return absolute

    def check_search(self, process: Process, absolute: bytes) -> None:
        """EACCES when the process may not search a directory on the way there."""
        place = dirname(absolute)
        while place != b"/":
            self._check(process, SEARCH, place)
            place = dirname(place)

    def check_writable(self, process: Process, directory: bytes) -> None:
        """EACCES when the process may not make and remove names in the directory."""
        self._check(process, SEARCH | WRITE, directory)

    def _check(self, process: Process, wanted: int, path: bytes) -> None:
        found = self.disk.attributes(path)
        if found is not None and not process.may(wanted, *found):
            raise fail(errno.EACCES)

    def find(self, path: bytes, type: int, process: Process | None) -> UnixSocket:
        """The socket that answers to a name, as connect(2) and sendto(2) look for it (unix_find_other).

        ENOENT; EACCES for a socket file that the process may not write or reach (None: do not ask who); ECONNREFUSED
        when nobody is bound there any more; EPROTOTYPE when its type is another.
        """
        if path[:1] == b"\0":
            named = self.abstract.get((type, path))
            if named is None:
                raise fail(errno.ECONNREFUSED)
            return named
        absolute = self.disk.resolve(path.split(b"\0", 1)[0])
        place = self.places.get(absolute)
        if process is not None:
            self.check_search(process, absolute)
        if place is None:
            if process is not None:
                self._check(process, WRITE, absolute)
            raise fail(errno.ECONNREFUSED if self.disk.exists(absolute) else errno.ENOENT)
        if process is not None and not process.may(WRITE, place.mode, place.uid, place.gid):
            raise fail(errno.EACCES)
        if place.socket is None:
            raise fail(errno.ECONNREFUSED)
        if place.socket.type != type:
            raise fail(errno.EPROTOTYPE)
        return place.socket

    def lookup(self, path: bytes, follow: bool = True) -> Place | None:
        """The socket file of that name, for stat(2)."""
        return self.places.get(self.disk.resolve(path, follow))

    def within(self, directory: bytes) -> Iterator[tuple[bytes, Place]]:
        """The names of socket files in a directory, and what they name."""
        absolute = self.disk.resolve(directory)
        for path, place in self.places.items():
            if dirname(path) == absolute:
                yield basename(path), place

    def moved(self, old: bytes, new: bytes) -> None:
        """A directory of the disk was renamed, both names being absolute: what is in it went along."""
        for path in tuple(self.places):
            if path.startswith(old + b"/"):
                self.places[new + path[len(old) :]] = self.places.pop(path)

    def forget(self, socket: UnixSocket) -> None:
        """The socket is closed: its abstract name is free, its socket file is stale."""
        self.sockets.pop(socket, None)
        if socket.place is not None and socket.place.socket is socket:
            socket.place.socket = None
        key = (socket.type, socket.name)
        if self.abstract.get(key) is socket:
            del self.abstract[key]
