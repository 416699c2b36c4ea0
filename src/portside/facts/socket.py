"""What is true of one socket at an instant: the row that ss(8), netstat(8), lsof(8) and /proc/net show.

Addresses are integers as in `addr/ip.py`, queues are in bytes, durations in nanoseconds. None always means
"could not be read", never "no".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from portside.facts.state import CLOSED

__all__ = [
    "TIMER_KEEPALIVE", "TIMER_NAMES", "TIMER_NONE", "TIMER_PROBE", "TIMER_RETRANSMIT", "TIMER_TIME_WAIT",
    "UNLIMITED_SSTHRESH", "Memory", "Owner", "Socket", "TcpInfo", "UnixSocket",
]  # fmt: skip

if TYPE_CHECKING:
    from portside.facts.tcp_info import UNLIMITED_SSTHRESH, TcpInfo
else:

    def __getattr__(name: str) -> object:
        """What is seldom wanted, from its own module: a large dataclass takes 3 ms to make, which `who` lacks."""
        if name in ("TcpInfo", "UNLIMITED_SSTHRESH"):
            from portside.facts import tcp_info

            return getattr(tcp_info, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# What a timer is for, as /proc/net/tcp's `tr` column and sock_diag's idiag_timer number it (tcp_ipv4.c,
# inet_diag.c).
TIMER_NONE: Final = 0
TIMER_RETRANSMIT: Final = 1
TIMER_KEEPALIVE: Final = 2
TIMER_TIME_WAIT: Final = 3
TIMER_PROBE: Final = 4

TIMER_NAMES: Final = {
    TIMER_NONE: "off",
    TIMER_RETRANSMIT: "on",
    TIMER_KEEPALIVE: "keepalive",
    TIMER_TIME_WAIT: "timewait",
    TIMER_PROBE: "persist",
}
"""The names that ss(8) gives them with `-o`."""


@dataclass(frozen=True, slots=True)
class Owner:
    """One file descriptor that refers to the socket. `command` is the process's name when the descriptor was
    found."""

    pid: int
    fd: int
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The buffers of a socket in bytes: SK_MEMINFO of sock_diag(7) (<linux/sock_diag.h>)."""

    rmem_alloc: int = 0
    rcvbuf: int = 0
    wmem_alloc: int = 0
    sndbuf: int = 0
    fwd_alloc: int = 0
    wmem_queued: int = 0
    optmem: int = 0
    backlog: int = 0
    drops: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """An internet socket: TCP, UDP, UDP-Lite or raw.

    `family` is that of the socket, not of its addresses: a dual-stack AF_INET6 socket may talk to a v4-mapped
    peer. `state` is a number of `facts/state.py`; an unconnected UDP socket is CLOSED, a connected one
    ESTABLISHED. `inode` is 0 for a TIME-WAIT and for a connection not yet accepted. `accept_queue` and
    `backlog` are a listener's: connections that wait and how many may. `drops` counts what was thrown away
    for want of room.
    """

    family: int
    proto: int
    state: int = CLOSED
    laddr: int
    lport: int
    raddr: int
    rport: int = 0
    type: int = 0  # SOCK_STREAM, SOCK_DGRAM, SOCK_RAW
    device: int = 0  # SO_BINDTODEVICE: interface index
    scope: int = 0  # sin6_scope_id of a link-local address: interface index
    v6only: bool | None = None
    reuseaddr: bool | None = None
    reuseport: bool | None = None
    freebind: bool | None = None
    transparent: bool | None = None
    bound: bool = True  # it has a local port
    uid: int = 0
    inode: int = 0
    receive_queue: int = 0
    send_queue: int = 0
    accept_queue: int = 0
    backlog: int | None = 0
    timer: int = TIMER_NONE
    timer_left: int = 0
    retransmits: int = 0
    probes: int = 0  # unanswered keepalive or window probes; for a keepalive `ss -o` shows these
    keepalive: bool | None = None
    shutdown: int = 0  # RCV_SHUTDOWN = 1 | SEND_SHUTDOWN = 2
    drops: int = 0
    references: int = 1
    pointer: int = 0  # the kernel's address of it as shown to people: hashed, or 0 when restricted
    slot: int = 0  # UDP's hash bucket, the `sl` column of /proc/net/udp
    cookie: int = 0
    mark: int = 0
    cgroup: int = 0
    owners: tuple[Owner, ...] = ()
    memory: Memory | None = None
    tcp: TcpInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixSocket:
    """An AF_UNIX socket (unix(7)). `path` is None when unnamed; an abstract name begins with a NUL byte.

    `state` is ESTABLISHED, LISTEN, SYN_SENT or CLOSED of `facts/state.py`, which the kernel shares with TCP.
    `attached` is false for one that no descriptor refers to: a connection that waits to be accepted.
    """

    type: int
    state: int = CLOSED
    path: bytes | None = None
    inode: int = 0
    peer: int = 0  # inode of the other end
    attached: bool = True
    uid: int = 0
    receive_queue: int = 0
    send_queue: int = 0
    accept_queue: int = 0
    backlog: int = 0
    shutdown: int = 0
    references: int = 2
    pointer: int = 0
    cookie: int = 0
    file_inode: int = 0  # of the file that bind(2) made for a path, on `device` (as the kernel numbers it)
    device: int = 0
    owners: tuple[Owner, ...] = ()
    memory: Memory | None = None
