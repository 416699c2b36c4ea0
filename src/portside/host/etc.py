"""The files of /etc that tell of the host and not of the machine underneath: hosts(5), resolv.conf(5), hostname(5).

As in a container, root may write them and nobody may remove them. Of every other path each function here says None.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from posixpath import normpath
from typing import TYPE_CHECKING, ClassVar, Final

from portside.addr.abi import POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from portside.addr.ip import parse, text
from portside.host.errors import fail
from portside.host.file import File

if TYPE_CHECKING:
    from portside.host.kernel import Host
    from portside.host.processes import Process

HOSTS: Final = "/etc/hosts"
HOSTNAME: Final = "/etc/hostname"
RESOLV_CONF: Final = "/etc/resolv.conf"

MODE: Final = 0o100644
O_ACCMODE: Final = 3
O_TRUNC: Final = 0o1000
O_APPEND: Final = 0o2000

_LOCALHOST: Final = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_NO_SERVER: Final = "# What /etc/hosts does not know, the network's table of names answers.\n"


class HostsLine:
    """A line of /etc/hosts: an address and its names. `v6` is whether it is written as an IPv6 one."""

    __slots__ = ("address", "aliases", "name", "v6")

    def __init__(self, address: int, v6: bool, names: list[str]) -> None:
        self.address = address
        self.v6 = v6
        self.name = names[0]
        self.aliases = names[1:]


class EtcText:
    """What is in one of the files: `made()` until somebody writes it."""

    __slots__ = ("_data", "_made")

    def __init__(self, made: Callable[[], str]) -> None:
        self._made = made
        self._data: bytes | None = None

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return self._made().encode() if self._data is None else self._data

    @data.setter
    def data(self, data: bytes) -> None:
        self._data = data
        self.written()

    def written(self) -> None:
        """The file says something else now."""


class HostsText(EtcText):
    """/etc/hosts, also as the lines that it consists of (hosts(5))."""

    __slots__ = ("_added", "_by_name", "_host", "_lines", "_read")

    def __init__(self, host: Host) -> None:
        super().__init__(lambda: _LOCALHOST + _own_lines(host) + "".join(self._added.values()))
        self._host = host
        self._added: dict[str, str] = {}  # by name, until somebody writes the file
        self._read = -1  # at which generation of addresses the lines were read; -1: they are out of date
        self._lines: list[HostsLine] = []
        self._by_name: dict[str, list[HostsLine]] = {}

    def set(self, name: str, addresses: Iterable[int]) -> None:
        """Let a name have these addresses, in lines of its own, instead of those in lines that it has for itself."""
        rows = "".join(f"{text(address)}\t{name}\n" for address in addresses)
        if self._data is None:
            self._added[name.lower()] = rows
            self.written()
            return
        old = self._data.decode("utf-8", "surrogateescape").splitlines()
        kept = "".join(f"{row}\n" for row in old if [each.lower() for each in _words(row)[1:]] != [name.lower()])
        self.data = (kept + rows).encode("utf-8", "surrogateescape")

    def written(self) -> None:
        """Have it read again."""
        self._read = -1

    def lines(self) -> list[HostsLine]:
        """The lines that say something."""
        generation = self._host.ip.routes.generation
        if generation != self._read:
            self._read, self._lines, self._by_name = generation, _parse(self.data), {}
            for line in self._lines:
                for name in dict.fromkeys(each.lower() for each in (line.name, *line.aliases)):
                    self._by_name.setdefault(name, []).append(line)
        return self._lines

    def named(self, name: str) -> list[HostsLine]:
        """The lines with that name in lower case, in the file's order."""
        self.lines()
        return self._by_name.get(name, [])


def _parse(data: bytes) -> list[HostsLine]:
    lines = []
    for row in data.decode("utf-8", "surrogateescape").split("\n"):
        words = _words(row)
        if not words:
            continue
        try:
            address = parse(words[0])
        except ValueError:  # an illegal address: the line is passed over
            continue
        lines.append(HostsLine(address, ":" in words[0], words[1:] or [""]))
    return lines


def _words(row: str) -> list[str]:
    return row.partition("#")[0].split()


class Etc:
    """The files of one host."""

    __slots__ = ("files", "hosts")

    def __init__(self, host: Host) -> None:
        self.hosts = HostsText(host)
        self.files: dict[str, EtcText] = {
            HOSTS: self.hosts,
            HOSTNAME: EtcText(lambda: f"{host.name}\n"),
            RESOLV_CONF: EtcText(lambda: _NO_SERVER),
        }


def _own_lines(host: Host) -> str:
    """The host's own name with its addresses, which link-local ones are not among."""
    return "".join(
        f"{text(entry.address)}\t{host.name}\n"
        for interface in host.ip.interfaces.values() if not interface.loopback
        for entry in interface.addresses if entry.address != interface.link_local()
    )  # fmt: skip


class EtcFile(File):
    """One of the files, open. Programs see each other's writes at once."""

    __slots__ = ("content", "flags", "offset", "path")
    kind: ClassVar[int] = 0o100000

    def __init__(self, path: str, content: EtcText, flags: int) -> None:
        super().__init__()
        self.path = path
        self.content = content
        self.flags = flags
        self.offset = 0
        if flags & O_TRUNC and flags & O_ACCMODE:
            content.data = b""

    def read(self, length: int) -> bytes:
        """Up to `length` bytes from the offset on. EBADF when it was opened for writing."""
        if self.flags & O_ACCMODE == 1:
            raise fail(errno.EBADF)
        piece = self.content.data[self.offset : self.offset + length]
        self.offset += len(piece)
        return piece

    def write(self, data: bytes | memoryview) -> int:
        """Write at the offset, or at the end with O_APPEND. EBADF when it was opened for reading."""
        if not self.flags & O_ACCMODE:
            raise fail(errno.EBADF)
        piece, old = bytes(data), self.content.data
        at = len(old) if self.flags & O_APPEND else self.offset
        self.content.data = old[:at].ljust(at, b"\0") + piece + old[at + len(piece) :]
        self.offset = at + len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the offset (lseek(2)). EINVAL for a place before the start, or to count from none that there is."""
        if whence not in (0, 1, 2):
            raise fail(errno.EINVAL)
        place = offset + (0, self.offset, len(self.content.data))[whence]
        if place < 0:
            raise fail(errno.EINVAL)
        self.offset = place
        return place

    def truncate(self, length: int) -> None:
        """Cut or lengthen the file (ftruncate(2)). EINVAL when it was not opened for writing."""
        if length < 0 or not self.flags & O_ACCMODE:
            raise fail(errno.EINVAL)
        self.content.data = self.content.data[:length].ljust(length, b"\0")

    def poll(self) -> int:
        """Always readable and writable."""
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM

    def describe(self) -> str:
        """The path."""
        return self.path


def content(host: Host, path: str) -> EtcText | None:
    """What is at an absolute path; None when that is not the host's."""
    return host.etc.files.get(normpath(path))


def open(process: Process, path: str, flags: int = 0) -> EtcFile | None:
    """Open a file (open(2)); None when the path is not the host's. EACCES for writing by another than root."""
    found = content(process.host, path)
    if found is None:
        return None
    if flags & O_ACCMODE and process.euid:
        raise fail(errno.EACCES)
    return EtcFile(normpath(path), found, flags)
