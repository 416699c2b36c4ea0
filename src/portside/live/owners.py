"""Who holds each socket: every file descriptor of every process, from /proc/PID/fd (proc(5)).

A socket may be held by several descriptors of several processes; all of them are found. The kernel says of a socket
neither its process nor how many there are, so that every descriptor has to be looked at.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from portside.facts.socket import Owner
from portside.live import proc

CROWD: Final = 2000
"""A process with so many descriptors is looked at by several threads."""
MOST_THREADS: Final = 4

_new: Final = object.__new__
_pid: Final[Any] = vars(Owner)["pid"].__set__
_fd: Final[Any] = vars(Owner)["fd"].__set__
_command: Final[Any] = vars(Owner)["command"].__set__


@dataclass(slots=True)
class Owners:
    """What a walk over the processes found. `denied` are those whose descriptors this user may not see."""

    found: dict[int, tuple[Owner, ...]] = field(default_factory=dict)  # by the socket's inode
    denied: list[int] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)  # those that hold a socket

    def of(self, inode: int) -> tuple[Owner, ...]:
        """The descriptors that refer to the socket; none for inode 0, which is no socket's."""
        return self.found.get(inode, ()) if inode else ()


def walk(inodes: Iterable[int] | None = None, *, pids: Iterable[int] | None = None, root: str = proc.PROC) -> Owners:
    """Look at every descriptor of every process.

    Args: inodes: only these sockets; None: all. pids: only these processes. root: where proc(5) is mounted.
    Processes and descriptors that vanish meanwhile are left out.
    """
    wanted = None if inodes is None else {f"socket:[{inode}]" for inode in inodes}
    result = Owners()
    found: dict[int, list[Owner]] = {}
    for pid in proc.pids(root) if pids is None else pids:
        try:
            held = _sockets_of(f"{root}/{pid}/fd", wanted)
        except proc.Gone:
            continue
        if held is None:
            result.denied.append(pid)
        elif held:
            result.processes.append(pid)
            _add(found, pid, _name(root, pid), held)
    result.found = {inode: tuple(owners) for inode, owners in found.items()}
    return result


def _add(found: dict[int, list[Owner]], pid: int, command: str, held: list[tuple[str, str]]) -> None:
    for name, link in held:
        owner = _new(Owner)
        _pid(owner, pid)
        _fd(owner, int(name))
        _command(owner, command)
        inode = int(link[8:-1])
        others = found.get(inode)
        if others is None:
            found[inode] = [owner]
        else:
            others.append(owner)


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
