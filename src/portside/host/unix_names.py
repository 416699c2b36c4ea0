"""Where AF_UNIX sockets are found: the names of one host, and the sockets that travel inside messages (unix(7))."""

from __future__ import annotations

import errno
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING, Protocol

from portside.host.errors import fail

if TYPE_CHECKING:
    from portside.host.file import World
    from portside.host.unix_socket import UnixSocket

PATH_MAX = 108  # sizeof(sun_path)
AUTOBIND_NAMES = 1 << 20


class Disk(Protocol):
    """What the file system under the socket names holds; the names themselves are held in memory."""

    def resolve(self, path: bytes) -> bytes:
        """The absolute path, with `.` and `..` taken out."""

    def exists(self, path: bytes) -> bool:
        """Whether a file of any kind is there."""

    def is_directory(self, path: bytes) -> bool:
        """Whether it is a directory."""


class NoDisk:
    """A file system where every directory exists and holds nothing."""

    def resolve(self, path: bytes) -> bytes:
        """The path, taken from the root when it is relative."""
        return normpath(join(b"/", path))

    def exists(self, path: bytes) -> bool:
        """No file is there."""
        return False

    def is_directory(self, path: bytes) -> bool:
        """Every directory is there."""
        return True


class Place:
    """A socket file: an inode that outlives the socket which was bound to it, until it is unlinked."""

    __slots__ = ("gid", "inode", "path", "socket", "uid")

    def __init__(self, path: bytes, socket: UnixSocket, uid: int, gid: int, inode: int) -> None:
        self.path = path
        self.socket: UnixSocket | None = socket
        self.uid = uid
        self.gid = gid
        self.inode = inode


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

    def check_free(self, path: bytes) -> bytes:
        """The absolute path of a name that may be made; EADDRINUSE, ENOENT, ENOTDIR."""
        place = self.disk.resolve(path)
        if place in self.places or self.disk.exists(place):
            raise fail(errno.EADDRINUSE)
        parent = dirname(place)
        if not self.disk.is_directory(parent):
            occupied = parent in self.places or self.disk.exists(parent)
            raise fail(errno.ENOTDIR if occupied else errno.ENOENT)
        return place

    def find(self, path: bytes, type: int, uid: int | None) -> UnixSocket:
        """The socket that answers to a name, as connect(2) and sendto(2) look for it (unix_find_other).

        ENOENT; EACCES for another's socket file, unless root asks (None: do not ask who); ECONNREFUSED when nobody is
        bound there any more; EPROTOTYPE when its type is another.
        """
        if path[:1] == b"\0":
            named = self.abstract.get((type, path))
            if named is None:
                raise fail(errno.ECONNREFUSED)
            return named
        absolute = self.disk.resolve(path.split(b"\0", 1)[0])
        place = self.places.get(absolute)
        if place is None:
            raise fail(errno.ECONNREFUSED if self.disk.exists(absolute) else errno.ENOENT)
        if uid is not None and uid not in (0, place.uid):
            raise fail(errno.EACCES)
        if place.socket is None:
            raise fail(errno.ECONNREFUSED)
        if place.socket.type != type:
            raise fail(errno.EPROTOTYPE)
        return place.socket

    def unlink(self, path: bytes) -> bool:
        """Remove a socket file (unlink(2)); False when the name is none of this host's sockets."""
        return self.places.pop(self.disk.resolve(path), None) is not None

    def lookup(self, path: bytes) -> Place | None:
        """The socket file of that name, for stat(2)."""
        return self.places.get(self.disk.resolve(path))

    def rename(self, old: bytes, new: bytes) -> bool:
        """Rename a socket file (rename(2)); False when `old` is none of this host's sockets."""
        place = self.places.pop(self.disk.resolve(old), None)
        if place is None:
            return False
        place.path = self.disk.resolve(new)
        self.places[place.path] = place
        return True

    def forget(self, socket: UnixSocket) -> None:
        """The socket is closed: its abstract name is free, its socket file is stale."""
        self.sockets.pop(socket, None)
        if socket.place is not None and socket.place.socket is socket:
            socket.place.socket = None
        key = (socket.type, socket.name)
        if self.abstract.get(key) is socket:
            del self.abstract[key]
