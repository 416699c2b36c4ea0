"""Paths that belong to the simulated host and not to the real disk: its /proc and some files of its /etc, as
host/procfs.py and host/etc.py have them.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from portside.host import etc, procfs
from portside.host.errors import fail
from portside.runtime.trap import wall_clock

if TYPE_CHECKING:
    from portside.host.file import File
    from portside.host.processes import Process

T = TypeVar("T")

_ROOTS: Final = ("/proc", "/etc")
_DEVICE: Final = 22  # st_dev of a procfs


def _virtual_path(path: object) -> str | None:
    """An absolute path under /proc or /etc; None for a descriptor or another place."""
    if isinstance(path, int):
        return None
    try:
        text = os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError:
        return None
    if text[:1] == "/":
        return text if text.startswith(_ROOTS) else None
    if not os.getcwd().startswith(_ROOTS):
        return None
    return os.path.abspath(text)


def _ask(process: Process, path: object, question: Callable[[Process, str], T | None]) -> T | None:
    """What the host says of a path; None for one of the real disk. An error names the path as the program wrote it."""
    text = _virtual_path(path)
    if text is None:
        return None
    try:
        return question(process, text)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def open_virtual(process: Process, path: object, flags: int) -> File | None:
    """The open file of a simulated path, or None for one of the real disk. Raises OSError."""
    if flags & os.O_CREAT and flags & os.O_EXCL and _ask(process, path, _mode) is not None:
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    return _ask(
        process,
        path,
        lambda process, text: etc.open(process, text, flags) or procfs.open(process, text, flags & os.O_ACCMODE),
    )


def _mode(process: Process, path: str) -> int | None:
    return procfs.mode(process, path) if etc.content(process.host, path) is None else etc.MODE


def stat_virtual(process: Process, path: object) -> os.stat_result | None:
    """stat(2) of a simulated path; None for one of the real disk. Raises OSError."""
    mode = _ask(process, path, _mode)
    if mode is None:
        return None
    links = 1 if stat.S_ISREG(mode) else 2
    now = wall_clock(process.host.world) // 1_000_000_000
    return os.stat_result((mode, 0, _DEVICE, links, 0, 0, _size(process, path), now, now, now))


def _size(process: Process, path: object) -> int:
    content = _ask(process, path, lambda process, text: etc.content(process.host, text))
    return 0 if content is None else len(content.data)


def is_kept(process: Process, path: object) -> bool:
    """Whether a path is one of the files of /etc that are the host's: they can't be removed, renamed or replaced."""
    return _ask(process, path, lambda process, text: etc.content(process.host, text)) is not None


def names_virtual(process: Process, path: object) -> list[str] | None:
    """The entries of a simulated directory; None for one of the real disk. Raises OSError."""
    return _ask(process, path, procfs.listdir)


def link_virtual(process: Process, path: object) -> str | None:
    """readlink(2) of a simulated path; None for one of the real disk. Raises OSError."""
    return _ask(process, path, _readlink)


def _readlink(process: Process, path: str) -> str | None:
    if etc.content(process.host, path) is not None:
        raise fail(errno.EINVAL)
    return procfs.readlink(process, path)


class Entry:
    """os.DirEntry of a simulated directory."""

    __slots__ = ("_process", "name", "path")

    def __init__(self, process: Process, directory: str, name: str) -> None:
        self._process = process
        self.name = name
        self.path = os.path.join(directory, name)

    def __fspath__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """stat(2) of the entry."""
        found = stat_virtual(self._process, self.path)
        assert found is not None
        return found

    def inode(self) -> int:
        """The inode number."""
        return self.stat().st_ino

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.stat().st_mode)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a file."""
        return stat.S_ISREG(self.stat().st_mode)

    def is_symlink(self) -> bool:
        """Whether it is a link."""
        return stat.S_ISLNK(self.stat().st_mode)


class Scan:
    """os.scandir's iterator over a simulated directory."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[Entry]:
        return self

    def __next__(self) -> Entry:
        return next(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the scan."""
        self._entries = iter(())


def scan_virtual(process: Process, path: object) -> Scan | None:
    """os.scandir of a simulated directory; None for one of the real disk. Raises OSError."""
    names = names_virtual(process, path)
    if names is None:
        return None
    return Scan([Entry(process, os.fsdecode(path), name) for name in names])  # type: ignore[arg-type]
