"""Network namespaces that nothing but a socket keeps: no process lives there, and no mount names them.

Such a socket was made in a namespace that its process has left (a proxy that serves containers works so).
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from portside.facts.socket import Owner
from portside.live import descriptors, proc
from portside.live.namespaces import Found


def find(held: Iterable[tuple[int, Owner]], known: Iterable[int]) -> dict[int, Found]:
    """Namespaces of these sockets that are not known yet, each with an open descriptor, by their inodes.

    Args: held: inode of each socket and one of its owners. known: inodes of namespaces.
    What this user may not look into is left out. The caller closes the descriptors.
    """
    found: dict[int, Found] = {}
    familiar = set(known)
    of_process: dict[int, list[tuple[int, int]]] = {}
    for inode, owner in held:
        of_process.setdefault(owner.pid, []).append((owner.fd, inode))
    for pid, sockets in of_process.items():
        try:
            with descriptors.process(pid) as process:
                for number, inode in sockets:
                    _look(process, number, inode, familiar, found)
        except (proc.Gone, descriptors.Denied):
            continue
    return found


def _look(process: int, number: int, inode: int, familiar: set[int], found: dict[int, Found]) -> None:
    try:
        with descriptors.copied(process, number, inode) as socket:
            namespace = descriptors.namespace(socket)
    except proc.Gone:
        return
    which = os.fstat(namespace).st_ino
    if which in familiar:
        os.close(namespace)
        return
    familiar.add(which)
    found[which] = Found(which, descriptor=namespace)
