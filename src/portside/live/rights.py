"""What this process may do in the network namespace that it is in: user_namespaces(7), ioctl_nsfs(2)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import ExitStack
from typing import Final

from portside.live import proc, processes

# <linux/nsfs.h>: the user namespace that owns a namespace, the parent of one, and the user who made one.
NS_GET_USERNS: Final = 0xB701
NS_GET_PARENT: Final = 0xB702
NS_GET_OWNER_UID: Final = 0xB704

ALL: Final = (1 << 64) - 1


def in_network_namespace() -> int | None:
    """The capabilities that count for the network namespace of the calling thread, one bit for each of capabilities(7);
    None where the process's own can't be read.

    They count in the user namespace of the process and in those below it; a network namespace is owned by the user
    namespace in which it was made (ns_capable, cap_capable of security/commoncap.c).
    """
    try:
        effective = processes.one(os.getpid()).capabilities
    except proc.Gone:  # there is no /proc
        return None
    own = os.stat("/proc/self/ns/user").st_ino
    maker: int | None = None  # of the user namespace that was looked at last
    with ExitStack() as opened:
        network = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        opened.callback(os.close, network)
        at = _leads_to(opened, network, NS_GET_USERNS)
        while at is not None and os.fstat(at).st_ino != own:
            maker = _maker(at)
            at = _leads_to(opened, at, NS_GET_PARENT)
        if at is None:
            return 0
    return ALL if maker == os.geteuid() else effective


def _leads_to(opened: ExitStack, namespace: int, request: int) -> int | None:
    """The namespace that this one leads to; None where it is out of sight: it is none below the process's own."""
    try:
        found = fcntl.ioctl(namespace, request)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        return None
    opened.callback(os.close, found)
    return found


def _maker(namespace: int) -> int:
    raw = fcntl.ioctl(namespace, NS_GET_OWNER_UID, struct.pack("=I", 0))
    return int(struct.unpack("=I", raw)[0])
