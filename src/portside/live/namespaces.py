"""Every network namespace of the machine: those of processes, and those that a mount keeps (namespaces(7)).

No container runtime is asked: a container's namespace is that of its processes.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from portside.live import proc

T = TypeVar("T")

CLONE_NEWNET: Final = 0x40000000

_NAMED: Final = ("/run/netns/", "/var/run/netns/", "/run/docker/netns/", "/var/run/docker/netns/")


class Found:
    """A network namespace that was found, and the ways to it.

    `path` is one to open: a mount, or /proc/PID/ns/net. `descriptor` is an open one of what only a socket keeps.
    """

    __slots__ = ("descriptor", "inode", "name", "path", "pids")

    def __init__(self, inode: int, *, name: str = "", path: str = "", descriptor: int | None = None) -> None:
        self.inode = inode
        self.name = name
        self.path = path
        self.pids: list[int] = []
        self.descriptor = descriptor

    @property
    def way(self) -> str | int:
        """What `inside` and `entered` take."""
        return self.path if self.descriptor is None else self.descriptor

    def open(self) -> int:
        """A new descriptor of it.

        A process may have left it since it was found: then the way of the next one is taken. Raises OSError: ESRCH when
        none is in it any more, EACCES where this user may not.
        """
        for path in (self.path, *(f"{proc.PROC}/{pid}/ns/net" for pid in self.pids)):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                if error.errno not in proc.GONE:
                    raise
                continue
            if os.fstat(descriptor).st_ino == self.inode:
                return descriptor
            os.close(descriptor)
        raise ProcessLookupError(errno.ESRCH, "nothing leads to this network namespace any more")


class Namespaces:
    """Every network namespace of the machine. `found` are those that this user may know, by inode; `closed` the others,
    by their processes."""

    __slots__ = ("closed", "found", "own")

    def __init__(self, own: int = 0) -> None:
        self.own = own
        self.found: dict[int, Found] = {}
        self.closed: list[Found] = []


def own(root: str = proc.PROC) -> int:
    """The inode of the calling thread's network namespace; 0 where proc(5) does not tell."""
    for path in (f"{root}/thread-self/ns/net", f"{root}/self/ns/net"):
        try:
            link = proc.link(path)
        except proc.Gone:
            continue
        if link is not None and link.startswith("net:["):
            return int(link[5:-1])
    return 0


def every(root: str = proc.PROC) -> Namespaces:
    """The network namespaces of all processes and mounts, in the order in which they were found."""
    result = Namespaces(own(root))
    denied: list[int] = []
    for pid in proc.pids(root):
        path = f"{root}/{pid}/ns/net"
        try:
            link = proc.link(path)
        except proc.Gone:
            continue
        if link is None:
            denied.append(pid)
        elif link.startswith("net:["):
            inode = int(link[5:-1])
            one = result.found.setdefault(inode, Found(inode, path=path))
            one.pids.append(pid)
    for inode, path in _mounts(root):
        one = result.found.setdefault(inode, Found(inode))
        one.name = one.name or _name(path)
        one.path = path
    result.closed = _closed(denied, result, root)
    return result


def _closed(denied: list[int], known: Namespaces, root: str) -> list[Found]:
    """The namespaces of processes that this user may not look into: the files of /proc/PID/net tell them apart.

    Each namespace has such files of its own, whose inodes everybody may see, and read.
    """
    seen = {_mark(f"{root}/{one.pids[0]}") for one in known.found.values() if one.pids}
    seen |= {_mark(f"{root}/thread-self"), None}
    closed: dict[int, Found] = {}
    for pid in denied:
        mark = _mark(f"{root}/{pid}")
        if mark is not None and mark not in seen:
            closed.setdefault(mark, Found(0)).pids.append(pid)
    return list(closed.values())


def _mark(home: str) -> int | None:
    try:
        return os.stat(f"{home}/net/dev").st_ino
    except OSError as error:
        if error.errno in proc.GONE | proc.DENIED | {errno.EINVAL}:  # EINVAL: a zombie has no namespace any more
            return None
        raise


def _mounts(root: str) -> Iterator[tuple[int, str]]:
    """Mounts of network namespaces: `ip netns add` and container runtimes keep one so (proc_pid_mountinfo(5))."""
    try:
        raw = proc.read(f"{root}/self/mountinfo")
    except proc.Gone:
        return
    for line in proc.text(raw or b"").split("\n"):
        words, _, kind = line.partition(" - ")
        place = words.split(" ")
        if kind.startswith("nsfs ") and len(place) > 4 and place[3].startswith("net:["):
            yield int(place[3][5:-1]), _unescaped(place[4])


def _unescaped(path: str) -> str:
    """As it is: blanks and backslashes stand as three octal digits in mountinfo (mangle() of fs/proc_namespace.c)."""
    first, *others = path.split("\\")
    return first + "".join(chr(int(each[:3], 8)) + each[3:] for each in others)


def _name(path: str) -> str:
    """What ip-netns(8) calls it, or where it is mounted."""
    return next((path.removeprefix(start) for start in _NAMED if path.startswith(start)), path)


@contextmanager
def entered(namespace: str | int) -> Iterator[None]:
    """The calling thread in another network namespace; afterwards it is back in its own.

    Args: namespace: a path such as /proc/PID/ns/net or /run/netns/NAME, or an open descriptor of one.
    Raises OSError: EPERM without CAP_SYS_ADMIN there and here, ENOENT when it is gone, EINVAL when it is none.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(namespace)
        try:
            yield
        finally:
            set_namespace(home)
    finally:
        os.close(home)


def inside(namespace: str | int, what: Callable[[], T]) -> T:
    """What `what()` returns in another network namespace.

    It runs in a thread of its own, which ends in that namespace; the caller's thread stays where it is. What `what`
    raises is raised here.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _enter(namespace)
            results.append(what())
        except BaseException as error:  # carried over to the caller
            failures.append(error)

    thread = threading.Thread(target=run, name="portside-namespace")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _enter(namespace: str | int) -> None:
    if isinstance(namespace, int):
        set_namespace(namespace)
        return
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        set_namespace(descriptor)
    finally:
        os.close(descriptor)


def set_namespace(descriptor: int) -> None:
    """setns(2) with CLONE_NEWNET, for the calling thread."""
    if sys.version_info >= (3, 12):
        os.setns(descriptor, CLONE_NEWNET)
    else:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
