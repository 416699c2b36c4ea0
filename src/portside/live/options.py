"""Socket options that no table of the kernel shows: SO_REUSEADDR, SO_REUSEPORT and their neighbours.

They are read through a copy of the descriptor, which takes some 15 us for each socket and the right to look into its
process: root's, or the process's own user's.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any, Final

from portside.addr.abi import AF_INET6
from portside.facts.socket import Socket
from portside.live import descriptors, proc
from portside.live.diag_socket import complete

_IP_FREEBIND: Final = 15
_IP_TRANSPARENT: Final = 19

_OPTIONS: Final = {
    "reuseaddr": (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    "reuseport": (socket.SOL_SOCKET, socket.SO_REUSEPORT),
    "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "freebind": (socket.IPPROTO_IP, _IP_FREEBIND),
    "transparent": (socket.IPPROTO_IP, _IP_TRANSPARENT),
}


def read(sockets: Iterable[Socket]) -> int:
    """Complete sockets that were just read, and that nobody else has seen yet, by their options.

    Returns how many could not be asked for want of permission. Those that were closed meanwhile stay unknown.
    """
    of_process: dict[int, list[Socket]] = {}
    for each in sockets:
        if each.owners:
            of_process.setdefault(each.owners[0].pid, []).append(each)
    return sum(_of_process(pid, held) for pid, held in of_process.items())


def _of_process(pid: int, held: list[Socket]) -> int:
    try:
        with descriptors.process(pid) as process:
            return sum(_complete(process, each) for each in held)
    except proc.Gone:
        return 0
    except descriptors.Denied:
        return len(held)


def _complete(process: int, one: Socket) -> int:
    try:
        with descriptors.copied(process, one.owners[0].fd, one.inode) as descriptor:
            complete(one, **_values(descriptor, one))
    except proc.Gone:
        return 0
    except descriptors.Denied:
        return 1
    return 0


def _values(descriptor: int, one: Socket) -> dict[str, Any]:
    found = {name: descriptors.option(descriptor, *place) for name, place in _OPTIONS.items()}
    if one.family == AF_INET6:
        found["v6only"] = descriptors.option(descriptor, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return {name: bool(value) for name, value in found.items() if value is not None}
