"""Sockets from the text of /proc/net (proc(5)): for kinds that sock_diag(7) has no module for, and where netlink is
refused.

The text knows less: no v6only, no cgroup, no buffers, no backlog, no sockets that are only bound.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import Any, Final

from portside.addr.abi import (
    AF_INET,
    AF_INET6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPPROTO_UDPLITE,
    SECOND,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_STREAM,
)
from portside.addr.ip import V4_PREFIX
from portside.facts import socket as facts
from portside.facts.socket import Socket, UnixSocket
from portside.facts.state import CLOSED, ESTABLISHED, LISTEN
from portside.live import proc

_TICK: Final = SECOND // os.sysconf("SC_CLK_TCK")
HERE: Final = "/proc/thread-self/net"  # /proc/net is that of the process's first thread
_LISTENS: Final = 0x10000  # __SO_ACCEPTCON
_UNIX_ROW: Final = re.compile(
    r"([0-9a-f]{8,16}): ([0-9A-F]{8}) [0-9A-F]{8} ([0-9A-F]{8}) ([0-9A-F]{4}) ([0-9A-F]{2}) +([0-9]+)(?= |\Z)"
)

FILES: Final = {
    "tcp": (AF_INET, IPPROTO_TCP, SOCK_STREAM),
    "tcp6": (AF_INET6, IPPROTO_TCP, SOCK_STREAM),
    "udp": (AF_INET, IPPROTO_UDP, SOCK_DGRAM),
    "udp6": (AF_INET6, IPPROTO_UDP, SOCK_DGRAM),
    "udplite": (AF_INET, IPPROTO_UDPLITE, SOCK_DGRAM),
    "udplite6": (AF_INET6, IPPROTO_UDPLITE, SOCK_DGRAM),
    "raw": (AF_INET, 0, SOCK_RAW),
    "raw6": (AF_INET6, 0, SOCK_RAW),
    "icmp": (AF_INET, IPPROTO_ICMP, SOCK_DGRAM),
    "icmp6": (AF_INET6, IPPROTO_ICMPV6, SOCK_DGRAM),
}
"""The files, and what is in them: family, protocol and type. A raw socket has its protocol where others have a port."""


def inet(name: str, directory: str = HERE) -> Iterator[Socket]:
    """The sockets in one of FILES, in the kernel's order; none where this kernel has no such file.

    Args: directory: HERE, or /proc/PID/net for the namespace of another process.
    """
    for line in _lines(f"{directory}/{name}"):
        yield read_inet(name, line)


def read_inet(name: str, line: str) -> Socket:
    """One line of one of FILES, as a fact."""
    family, proto, type = FILES[name]
    words = line.split()
    laddr, lport = _endpoint(words[1])
    raddr, rport = _endpoint(words[2])
    state = int(words[3], 16)
    send, receive = (int(part, 16) for part in words[4].split(":"))
    timer, left = (int(part, 16) for part in words[5].split(":"))
    retransmits, probes = int(words[6], 16), int(words[8])
    listening = state == LISTEN
    values: dict[str, Any] = {}
    if type == SOCK_STREAM:
        values["references"] = int(words[10])
        values["pointer"] = int(words[11], 16)
    else:
        values["references"], values["pointer"], values["drops"] = int(words[10]), int(words[11], 16), int(words[12])
        values["slot"] = int(words[0].rstrip(":"))
    return Socket(
        family=family,
        proto=lport if type == SOCK_RAW else proto,
        type=type,
        state=state,
        laddr=laddr,
        lport=lport,
        raddr=raddr,
        rport=rport,
        v6only=False if family == AF_INET or laddr >> 32 == 0xFFFF else None,
        uid=int(words[7]),
        inode=int(words[9]),
        receive_queue=0 if listening else receive,
        send_queue=send,
        accept_queue=receive if listening else 0,
        backlog=None if listening else 0,
        timer=timer,
        timer_left=left * _TICK,
        retransmits=retransmits,
        probes=probes,
        keepalive=True if timer == facts.TIMER_KEEPALIVE else None,
        **values,
    )


def unix(directory: str = HERE) -> Iterator[UnixSocket]:
    """The sockets in /proc/net/unix, in the kernel's order.

    A name may hold a line feed, which the kernel writes as it is; what follows it and looks like no row belongs to the
    name. One that looks like a row is taken for one: who needs to be sure asks sock_diag.
    """
    rows: list[str] = []
    for line in _lines(f"{directory}/unix"):
        if _UNIX_ROW.match(line) or not rows:
            rows.append(line)
        else:
            rows[-1] += "\n" + line
    for row in rows:
        yield read_unix(row)


def read_unix(line: str) -> UnixSocket:
    """One line of /proc/net/unix. An abstract name shows each NUL byte as `@`.

    Raises ValueError when it is none. Source: unix_seq_show() of net/unix/af_unix.c.
    """
    row = _UNIX_ROW.match(line)
    if row is None:
        raise ValueError(f"no line of /proc/net/unix: {line!r}")
    pointer, references, flags, type, shown, inode = row.groups()
    name = os.fsencode(line[row.end() + 1 :])
    if name.startswith(b"@"):
        name = name.replace(b"@", b"\0")
    connected = int(shown, 16) in (2, 3)  # SS_CONNECTING is shown for a connection that nobody has accepted yet
    return UnixSocket(
        type=int(type, 16),
        state=LISTEN if int(flags, 16) & _LISTENS else ESTABLISHED if connected else CLOSED,
        path=name or None,
        inode=int(inode),
        attached=int(inode) != 0,
        references=int(references, 16),
        pointer=int(pointer, 16),
    )


def _lines(path: str) -> list[str]:
    try:
        raw = proc.read(path)
    except proc.Gone:
        return []
    # Only a line feed ends a line: the name of an AF_UNIX socket may hold any other byte.
    return proc.text(raw or b"").split("\n")[1:-1]


def _endpoint(word: str) -> tuple[int, int]:
    """`0100007F:0016`: each 32-bit word of the address as the machine has it in a register."""
    address, _, port = word.partition(":")
    words = (int(address[i : i + 8], 16) for i in range(0, len(address), 8))
    raw = b"".join(each.to_bytes(4, sys.byteorder) for each in words)
    value = int.from_bytes(raw, "big")
    return (V4_PREFIX | value if len(raw) == 4 else value), int(port, 16)
