"""Who holds each socket: every file descriptor of every process, from /proc/PID/fd (proc(5)).

A socket may be held by several descriptors of several processes; all of them are found. The kernel says of a socket
neither its process nor how many there are, so that every descriptor has to be looked at.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Container, Iterable
from typing import Any, Final

from portside.facts.socket import Owner
from portside.live import proc

MANY: Final = 5_000
"""From so many descriptors on the machine it is worth asking the kernel for all at once, which takes 20 ms to begin."""
CROWD: Final = 2000
"""A process with so many descriptors is looked at by several threads."""
MOST_THREADS: Final = 4

_PID: Final = 0xFFFFFFFF

_new: Final = object.__new__


class _Draft(Owner):
    """One that is being made: written to, which is quicker than a frozen one's own `__init__`, and then frozen."""

    __slots__ = ()
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__


class Owners:
    """What a walk over the processes found: who holds which socket, and the processes that hold one.

    `denied` are the processes whose descriptors this user may not see. A descriptor is kept as one number: the process
    in the lower 32 bits, the descriptor above. An Owner is made of it when it is asked for: then it lies in memory near
    the socket that it belongs to, and whoever goes through the sockets does not have to wait for it.
    """

    __slots__ = ("_first", "_further", "_known", "denied")

    def __init__(self) -> None:
        self.denied: list[int] = []
        self._first: dict[int, int] = {}  # a descriptor of each socket, by its inode
        self._further: dict[int, list[int]] = {}  # where there are more, all others
        self._known: dict[int, tuple[int, str]] = {}  # number and name of each process

    def add(self, pid: int, command: str, inodes: Iterable[int], places: Iterable[int]) -> None:
        """Enter what a process holds: inodes of sockets, and the descriptor of each."""
        self._known[pid] = pid, command
        enter = self._first.setdefault
        for inode, place in zip(inodes, places, strict=True):
            if enter(inode, place) != place:
                self._further.setdefault(inode, []).append(place)

    def of(self, inode: int) -> tuple[Owner, ...]:
        """The descriptors that refer to the socket; none for inode 0, which is no socket's."""
        return self.of_each((inode,))[0]

    def of_each(self, inodes: Collection[int]) -> list[tuple[Owner, ...]]:
        """The same for several sockets. What happens here happens for each socket of the machine."""
        further, known = self._further, self._known
        held: list[tuple[Owner, ...]] = []
        for inode, place in zip(inodes, map(self._first.get, inodes), strict=True):
            if place is None:
                held.append(())
                continue
            one: Any = _new(_Draft)
            one.pid, one.command = known[place & _PID]
            one.fd = place >> 32
            one.__class__ = Owner
            held.append((one, *map(self._owner, further[inode])) if inode in further else (one,))
        return held

    def _owner(self, place: int) -> Owner:
        pid, command = self._known[place & _PID]
        return Owner(pid, place >> 32, command)

    @property
    def processes(self) -> list[int]:
        """The processes that hold a socket."""
        return [*self._known]

    @property
    def found(self) -> dict[int, tuple[Owner, ...]]:
        """All of it: owners by the inode of their socket."""
        return dict(zip(self._first, self.of_each(self._first), strict=True))

    @property
    def inodes(self) -> Collection[int]:
        """The sockets that somebody holds."""
        return self._first.keys()


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
            places = [pid | int(number) << 32 for number, _ in held]
            result.add(pid, _name(root, pid), [int(link[8:-1]) for _, link in held], places)
    return result


def _told(only: Container[int] | None, root: str) -> Owners | None:
    """The same, told by the kernel at once where that is quicker; None where it is not, or is not to be had."""
    if os.geteuid() or sum(_descriptors(root, pid) for pid in proc.pids(root)) < MANY:
        return None
    from portside.live import fd_iterator

    try:
        held = fd_iterator.sockets()
    except fd_iterator.Unavailable:
        return None
    result = Owners()
    for pid in proc.pids(root):
        if not _may_look(root, pid):
            result.denied.append(pid)  # what the kernel would not show of it is not taken from elsewhere
        elif pid in held:
            inodes, places = held[pid]
            if only is not None:
                places = [place for inode, place in zip(inodes, places, strict=True) if inode in only]
                inodes = [inode for inode in inodes if inode in only]
            if inodes:
                result.add(pid, _name(root, pid), inodes, places)
    return result


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
