"""Who holds each socket: every file descriptor of every process, from /proc/PID/fd (proc(5)).

A socket may be held by several descriptors of several processes; all of them are found. The kernel says of a socket
neither its process nor how many there are, so that every descriptor has to be looked at.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Container, Iterable
from itertools import groupby, repeat
from typing import Any, Final

from portside.facts.socket import Owner
from portside.live import proc

MANY: Final = 15_000
"""From so many descriptors on the machine it is worth asking the kernel for all at once, which takes 50 ms to begin."""
CROWD: Final = 2000
"""A process with so many descriptors is looked at by several threads."""
MOST_THREADS: Final = 4

_drain: Final = deque[object](maxlen=0).extend
_new: Final = object.__new__
_pid: Final[Any] = vars(Owner)["pid"].__set__
_fd: Final[Any] = vars(Owner)["fd"].__set__
_command: Final[Any] = vars(Owner)["command"].__set__


class Owners:
    """What a walk over the processes found: owners by the inode of their socket, and the processes that hold one.

    `denied` are the processes whose descriptors this user may not see.
    """

    __slots__ = ("denied", "found", "processes")

    def __init__(self) -> None:
        self.found: dict[int, tuple[Owner, ...]] = {}
        self.denied: list[int] = []
        self.processes: list[int] = []

    def of(self, inode: int) -> tuple[Owner, ...]:
        """The descriptors that refer to the socket; none for inode 0, which is no socket's."""
        return self.found.get(inode, ()) if inode else ()


def walk(inodes: Iterable[int] | None = None, *, pids: Iterable[int] | None = None, root: str = proc.PROC) -> Owners:
    """Look at every descriptor of every process.

    Args: inodes: only these sockets; None: all. pids: only these processes. root: where proc(5) is mounted.
    Processes and descriptors that vanish meanwhile are left out.
    """
    only = None if inodes is None else set(inodes)
    if pids is None and root == proc.PROC and (known := _told(only, root)) is not None:
        return known
    wanted = None if only is None else {f"socket:[{inode}]" for inode in only}
    result = Owners()
    for pid in proc.pids(root) if pids is None else pids:
        try:
            held = _sockets_of(f"{root}/{pid}/fd", wanted)
        except proc.Gone:
            continue
        if held is None:
            result.denied.append(pid)
        elif held:
            numbers, links = zip(*held, strict=True)
            _add(result, pid, _name(root, pid), list(map(int, numbers)), [int(link[8:-1]) for link in links])
    return result


def _told(only: Container[int] | None, root: str) -> Owners | None:
    """The same, told by the kernel at once where that is quicker; None where it is not, or is not to be had."""
    if os.geteuid() or sum(_descriptors(root, pid) for pid in proc.pids(root)) < MANY:
        return None
    from portside.live import fd_iterator

    try:
        pids, numbers, inodes = fd_iterator.sockets()
    except fd_iterator.Unavailable:
        return None
    if only is not None:
        chosen = [i for i, inode in enumerate(inodes) if inode in only]
        pids, numbers, inodes = ([column[i] for i in chosen] for column in (pids, numbers, inodes))
    places: dict[int, slice] = {}
    end = 0
    for pid, rows in groupby(pids):
        start, end = end, end + len(list(rows))
        places[pid] = slice(start, end)
    result = Owners()
    for pid in proc.pids(root):
        if not _may_look(root, pid):
            result.denied.append(pid)  # what the kernel would not show of it is not taken from elsewhere
        elif pid in places:
            _add(result, pid, _name(root, pid), numbers[places[pid]], inodes[places[pid]])
    return result


def _add(result: Owners, pid: int, command: str, numbers: list[int], inodes: list[int]) -> None:
    """Enter what a process holds: descriptors, and the inodes of their sockets; by loops of `map`, in C."""
    result.processes.append(pid)
    owners = [_new(Owner) for _ in numbers]
    _drain(map(_pid, owners, repeat(pid)))
    _drain(map(_fd, owners, numbers))
    _drain(map(_command, owners, repeat(command)))
    found = result.found
    own = dict(zip(inodes, zip(owners, strict=True), strict=True))
    if len(own) == len(owners) and found.keys().isdisjoint(own):
        found.update(own)
        return
    for inode, owner in zip(inodes, owners, strict=True):  # some are shared
        found[inode] = (*found.get(inode, ()), owner)


def _may_look(root: str, pid: int) -> bool:
    """Whether this user may know what the descriptors of a process are; of one that has ended he knows all.

    The kernel asks the same before it tells of `exe` (proc_fd_access_allowed), and that is one link.
    """
    try:
        return proc.link(f"{root}/{pid}/exe") is not None
    except proc.Gone:  # or a thread of the kernel, which has no program and no descriptors
        return True


def _descriptors(root: str, pid: int) -> int:
    """How many a process has, as the size of the directory tells since Linux 6.2; 0 where it is not to be known."""
    try:
        return os.stat(f"{root}/{pid}/fd").st_size
    except OSError as error:
        if error.errno in proc.GONE | proc.DENIED:
            return 0
        raise


def _sockets_of(path: str, wanted: Container[str] | None) -> list[tuple[str, str]] | None:
    """Descriptor and link of each socket that a process holds; None when this user may not look.

    Raises Gone when there is no such process any more.
    """
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in proc.GONE:
            raise proc.Gone from error
        if error.errno in proc.DENIED:
            return None
        raise
    try:
        return _links(directory, wanted)
    finally:
        os.close(directory)


def _links(directory: int, wanted: Container[str] | None) -> list[tuple[str, str]] | None:
    try:
        names = os.listdir(directory)
        if len(names) < CROWD:
            return _read(directory, names, wanted)
        return _read_together(directory, names, wanted)
    except OSError as error:
        if error.errno in proc.GONE:
            raise proc.Gone from error
        if error.errno in proc.DENIED:
            return None
        raise


def _read(directory: int, names: Iterable[str], wanted: Container[str] | None) -> list[tuple[str, str]]:
    """The links by these names that lead to sockets; one that is closed meanwhile is left out."""
    readlink = os.readlink
    held: list[tuple[str, str]] = []
    for name in names:
        try:
            link = readlink(name, dir_fd=directory)
        except FileNotFoundError:
            continue
        if link in wanted if wanted is not None else link.startswith("socket:["):
            held.append((name, link))
    return held


def _read_together(directory: int, names: list[str], wanted: Container[str] | None) -> list[tuple[str, str]]:
    """As `_read`, by several threads: most of the time is the kernel's, which works for all of them at once."""
    workers = min(len(os.sched_getaffinity(0)), MOST_THREADS)
    size = -(-len(names) // workers)
    results: dict[int, list[tuple[str, str]]] = {}
    failures: list[BaseException] = []

    def work(start: int) -> None:
        try:
            results[start] = _read(directory, names[start : start + size], wanted)
        except BaseException as error:  # carried over to the caller
            failures.append(error)

    starts = range(0, len(names), size)
    threads = [threading.Thread(target=work, args=(start,), name="portside-owners") for start in starts[1:]]
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [each for start in starts for each in results[start]]


def _name(root: str, pid: int) -> str:
    """The process's name; empty when it has just ended."""
    try:
        raw = proc.read(f"{root}/{pid}/comm")
    except proc.Gone:
        return ""
    return proc.text(raw.removesuffix(b"\n")) if raw else ""
