"""Of `portside who`: who has a UNIX socket (unix(7)), by its path or its abstract name."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Final

from portside.cli.source import is_called
from portside.facts.snapshot import Snapshot
from portside.facts.socket import UnixSocket
from portside.facts.state import CLOSED, LISTEN, NAMES

_TYPES: Final[dict[int, str]] = {
    socket.SOCK_STREAM: "stream",
    socket.SOCK_DGRAM: "dgram",
    socket.SOCK_SEQPACKET: "seqpacket",
}


def file_at(path: bytes) -> tuple[int, int] | None:
    """The inode and the device, as the kernel numbers it, of the socket that is at a path of this machine now: by it a
    socket is found that was bound by another name of the file. None where there is none.
    """
    if not path.startswith(b"/"):
        return None
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # it is gone, or nobody may look: then the name alone decides
        return None
    return found.st_ino, os.major(found.st_dev) << 20 | os.minor(found.st_dev)  # MKDEV of <linux/kdev_t.h>


def matching(place: Snapshot, path: bytes | None, name: str, file: tuple[int, int] | None) -> Iterator[UnixSocket]:
    """The sockets that have the path, which a leading NUL makes an abstract name, or that are of the file; without a
    path, those with one that programs of the name serve."""
    for each in place.unix_sockets:
        if path is None:
            if each.path and listens(each) and any(is_called(owner.command, name) for owner in each.owners):
                yield each
        elif each.path == path or (file is not None and (each.file_inode, each.device) == file):
            yield each


def listens(found: UnixSocket) -> bool:
    """Whether it takes what others send to its name, and is not one end of a connection."""
    return found.state == LISTEN or (found.type == socket.SOCK_DGRAM and found.state == CLOSED)


def state(found: UnixSocket) -> str:
    """Its state, as ss(8) calls it where it has no peer."""
    return "UNCONN" if found.state == CLOSED else NAMES.get(found.state, str(found.state))


def name(found: UnixSocket) -> str:
    """The path, or the abstract name after `@`."""
    path = found.path or b""
    return (b"@" + path[1:] if path.startswith(b"\0") else path).decode(errors="surrogateescape")


def text(found: UnixSocket) -> str:
    """`unix stream /run/x.sock LISTEN`."""
    return f"unix {_TYPES.get(found.type, str(found.type))} {name(found)} {state(found)}"


def json(found: UnixSocket) -> dict[str, object]:
    """What `portside who --json` tells of UNIX sockets alone."""
    return {
        "protocol": "unix",
        "type": _TYPES.get(found.type, str(found.type)),
        "text": name(found),
        "state": state(found),
    }
