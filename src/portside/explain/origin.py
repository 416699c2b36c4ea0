"""Where a connection begins, by what people call it: a network namespace, a process, a container."""

from __future__ import annotations

from portside.facts.process import Process
from portside.facts.snapshot import Snapshot

HERE = "this machine"


class ClosedError(ValueError):
    """The network namespace of that process or container could not be entered when the snapshot was taken."""


def namespace_of(found: Snapshot, origin: str | None) -> str | None:
    """The name or inode, as `connect.why` takes it, of a namespace by its name or inode, by a pid or a container.

    None, `this machine`, and what lives in the snapshot's own are None. What nobody has is returned as it is.
    Raises ClosedError.
    """
    if origin is None or origin == HERE:
        return None
    everywhere = (found, *found.others)
    if any(origin in (each.namespace.name, str(each.namespace.inode)) for each in everywhere):
        return origin
    inodes = {each.namespace.inode for each in everywhere}
    for process in _called(found, origin):
        if process.namespace not in inodes:
            raise ClosedError(f"the network namespace of {origin} can't be entered: run it as root")
        return None if process.namespace == found.namespace.inode else str(process.namespace)
    return origin


def dweller(found: Snapshot, origin: str) -> Process | None:
    """The process whose files count for who is called so: the one that is meant, or the first in that namespace."""
    meant = _called(found, origin)
    if meant:
        return meant[0]
    for each in (found, *found.others):
        if origin in (each.namespace.name, str(each.namespace.inode)):
            living = [process for process in _living(found) if process.namespace == each.namespace.inode]
            return min(living, key=lambda process: process.pid, default=None)
    return None


def _called(found: Snapshot, origin: str) -> list[Process]:
    living = _living(found)
    meant = [process for process in living if str(process.pid) == origin]
    return meant or [process for process in living if (process.container or "").startswith(origin)]


def _living(found: Snapshot) -> list[Process]:
    return [process for each in (found, *found.others) for process in each.processes]
