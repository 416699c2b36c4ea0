"""Options of AF_UNIX sockets: level SOL_SOCKET (socket(7), unix(7), net/core/sock.c).

As in `host/options.py` an option is a pair of functions, one that reads it and one that sets it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from struct import pack
from typing import TYPE_CHECKING, Final, TypeAlias

from portside.addr.abi import AF_UNIX
from portside.facts.state import LISTEN
from portside.host.errors import fail
from portside.host.options import (
    INT_MAX,
    int_bytes,
    int_of,
    linger_bytes,
    linger_of,
    need_net_admin,
    timeout_of,
    timeval_bytes,
)
from portside.host.processes import CAP_NET_ADMIN, CAP_NET_RAW
from portside.host.socket_file import MIN_RCVBUF, MIN_SNDBUF

if TYPE_CHECKING:
    from portside.host.processes import Process
    from portside.host.unix_socket import UnixSocket

Getter: TypeAlias = "Callable[[UnixSocket], bytes]"
Setter: TypeAlias = "Callable[[UnixSocket, Process, bytes], None]"

SO_LOCK_FILTER: Final = 44
MAX_BUFFER: Final = INT_MAX // 2  # bytes; doubled it is still an int


def get_option(sock: UnixSocket, name: int) -> bytes:
    """The option's bytes; ENOPROTOOPT for one that is not known."""
    get = SOCKET.get(name, (None, None))[0]
    if get is None:
        raise fail(errno.ENOPROTOOPT)
    return get(sock)


def set_option(sock: UnixSocket, process: Process, name: int, value: bytes) -> None:
    """Set the option. EINVAL for what is shorter than an int, ENOPROTOOPT for one not known or only to be read."""
    int_of(value)
    put = SOCKET.get(name, (None, None))[1]
    if put is None:
        raise fail(errno.ENOPROTOOPT)
    put(sock, process, value)


def _constant(read: Callable[[UnixSocket], int]) -> tuple[Getter, None]:
    """An option that can only be read."""
    return (lambda sock: int_bytes(read(sock))), None


def _stored(
    name: int, default: int = 0, low: int | None = None, high: int = INT_MAX, boolean: bool = True
) -> tuple[Getter, Setter]:
    """An option that is kept and read back; nothing acts on it. EINVAL outside `low` to `high` where they are given."""

    def get(sock: UnixSocket) -> bytes:
        return int_bytes(sock.stored.get(name, default))

    def put(sock: UnixSocket, process: Process, value: bytes) -> None:
        number = int_of(value)
        if low is not None and not low <= number <= high:
            raise fail(errno.EINVAL)
        sock.stored[name] = int(bool(number)) if boolean else number

    return get, put


def _guarded(option: tuple[Getter, Setter], may: Callable[[Process, int], bool], error: int) -> tuple[Getter, Setter]:
    """The same option for those who may set it to that number; to others an error."""
    get, put = option

    def guarded(sock: UnixSocket, process: Process, value: bytes) -> None:
        if not may(process, int_of(value)):
            raise fail(error)
        put(sock, process, value)

    return get, guarded


def _net_admin_or_raw(process: Process) -> bool:
    return process.capable(CAP_NET_ADMIN) or process.capable(CAP_NET_RAW)


def _set_lock_filter(sock: UnixSocket, process: Process, value: bytes) -> None:
    if not int_of(value) and sock.stored.get(SO_LOCK_FILTER):  # what is locked stays so
        raise fail(errno.EPERM)
    sock.stored[SO_LOCK_FILTER] = int(bool(int_of(value)))


def _set_reuseport(sock: UnixSocket, process: Process, value: bytes) -> None:
    if int_of(value):  # for internet sockets only (sk_setsockopt, 6.13)
        raise fail(errno.EOPNOTSUPP)


def _set_sndbuf(sock: UnixSocket, process: Process, value: bytes) -> None:
    _limit_sending(sock, min(int_of(value) & 0xFFFFFFFF, sock.host.settings.wmem_max))


def _set_sndbuf_force(sock: UnixSocket, process: Process, value: bytes) -> None:
    need_net_admin(process)
    _limit_sending(sock, max(int_of(value), 0))


def _limit_sending(sock: UnixSocket, size: int) -> None:
    sock.sndbuf = max(min(size, MAX_BUFFER) * 2, MIN_SNDBUF)
    sock.uncharge(0)


# The receive buffer is kept, no more: what bounds a queue is the sender's buffer.


def _set_rcvbuf(sock: UnixSocket, process: Process, value: bytes) -> None:
    _limit_receiving(sock, min(int_of(value) & 0xFFFFFFFF, sock.host.settings.rmem_max))


def _set_rcvbuf_force(sock: UnixSocket, process: Process, value: bytes) -> None:
    need_net_admin(process)
    _limit_receiving(sock, max(int_of(value), 0))


def _limit_receiving(sock: UnixSocket, size: int) -> None:
    sock.rcvbuf = max(min(size, MAX_BUFFER) * 2, MIN_RCVBUF)


def _set_passcred(sock: UnixSocket, process: Process, value: bytes) -> None:
    sock.passcred = bool(int_of(value))


def _set_rcvlowat(sock: UnixSocket, process: Process, value: bytes) -> None:
    number = int_of(value)
    sock.rcvlowat = INT_MAX if number < 0 else number or 1


def _set_rcvtimeo(sock: UnixSocket, process: Process, value: bytes) -> None:
    sock.rcvtimeo = timeout_of(value)


def _set_sndtimeo(sock: UnixSocket, process: Process, value: bytes) -> None:
    sock.sndtimeo = timeout_of(value)


def _set_linger(sock: UnixSocket, process: Process, value: bytes) -> None:
    sock.linger = linger_of(value, sock.linger)


SOCKET: Final[dict[int, tuple[Getter | None, Setter | None]]] = {
    1: _guarded(_stored(1), lambda process, on: not on or process.capable(CAP_NET_ADMIN), errno.EACCES),  # SO_DEBUG
    2: _stored(2),  # SO_REUSEADDR
    3: _constant(lambda s: s.type),
    4: _constant(lambda s: s.take_error()),
    5: _stored(5),  # SO_DONTROUTE
    6: _stored(6),  # SO_BROADCAST
    7: ((lambda s: int_bytes(s.sndbuf)), _set_sndbuf),
    8: ((lambda s: int_bytes(s.rcvbuf)), _set_rcvbuf),
    9: _stored(9),  # SO_KEEPALIVE
    10: _stored(10),  # SO_OOBINLINE
    11: _stored(11),  # SO_NO_CHECK
    12: _guarded(  # SO_PRIORITY
        _stored(12, boolean=False), lambda process, number: 0 <= number <= 6 or _net_admin_or_raw(process), errno.EPERM
    ),
    13: ((lambda s: linger_bytes(s.linger)), _set_linger),
    15: ((lambda s: int_bytes(0)), _set_reuseport),
    16: ((lambda s: int_bytes(s.passcred)), _set_passcred),
    17: ((lambda s: pack("=iii", *s.credentials)), None),
    18: ((lambda s: int_bytes(s.rcvlowat)), _set_rcvlowat),
    19: _constant(lambda s: 1),  # SO_SNDLOWAT
    20: ((lambda s: timeval_bytes(s.rcvtimeo)), _set_rcvtimeo),
    21: ((lambda s: timeval_bytes(s.sndtimeo)), _set_sndtimeo),
    29: _stored(29),  # SO_TIMESTAMP
    30: _constant(lambda s: int(s.state == LISTEN)),
    32: (None, _set_sndbuf_force),
    33: (None, _set_rcvbuf_force),
    34: _stored(34),  # SO_PASSSEC
    35: _stored(35),  # SO_TIMESTAMPNS
    36: _guarded(_stored(36, boolean=False), lambda process, _: _net_admin_or_raw(process), errno.EPERM),  # SO_MARK
    37: _stored(37, low=0, boolean=False),  # SO_TIMESTAMPING
    38: _constant(lambda s: s.proto),
    39: _constant(lambda s: AF_UNIX),
    40: _stored(40),  # SO_RXQ_OVFL
    41: _stored(41),  # SO_WIFI_STATUS
    SO_LOCK_FILTER: ((lambda s: int_bytes(s.stored.get(SO_LOCK_FILTER, 0))), _set_lock_filter),
    46: _stored(46, low=0, boolean=False),  # SO_BUSY_POLL
    47: _stored(47, default=-1, boolean=False),  # SO_MAX_PACING_RATE
    49: _stored(49, default=-1, boolean=False),  # SO_INCOMING_CPU
    63: _stored(63),  # SO_TIMESTAMP_NEW
    72: _stored(72, low=0, high=3, boolean=False),  # SO_BUF_LOCK
    83: _stored(83, default=1),  # SO_PASSRIGHTS
}
