"""Socket options at the level IPPROTO_TCP (tcp(7); net/ipv4/tcp.c: do_tcp_setsockopt, do_tcp_getsockopt)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from portside.addr.abi import IPPROTO_TCP
from portside.facts.state import CLOSED, LISTEN
from portside.host.errors import fail
from portside.host.options import Getter, Setter, Table, int_bytes, int_of
from portside.host.tcp_info import tcp_info
from portside.tcp import acks, calls, window

if TYPE_CHECKING:
    from portside.host.inet_socket import InetSocket
    from portside.host.processes import Process
    from portside.host.tcp_socket import TcpSocket

TCP_FASTOPEN: Final = 23
CONGESTION_NAME_SIZE: Final = 16  # TCP_CA_NAME_MAX
AVAILABLE: Final = ("reno",)


def _tcp(sock: InetSocket) -> TcpSocket:
    return cast("TcpSocket", sock)


def _changed(sock: InetSocket, push: bool = False) -> None:
    tcp = _tcp(sock)
    calls.options_changed(tcp.tcb, sock.host.world.now, push)
    tcp.stack.settle()


def _flag(name: str) -> tuple[Getter, Setter]:
    """A yes or no of the tcb; a change may let data go."""

    def get(sock: InetSocket) -> bytes:
        return int_bytes(int(getattr(_tcp(sock).tcb, name)))

    def put(sock: InetSocket, process: Process, value: bytes) -> None:
        setattr(_tcp(sock).tcb, name, bool(int_of(value)))
        _changed(sock, push=True)

    return get, put


def _number(
    name: str, low: int, high: int, default: Callable[[InetSocket], int] | None = None
) -> tuple[Getter, Setter]:
    """A number of the tcb from `low` to `high` (EINVAL outside); 0 in the tcb stands for the sysctl's value."""

    def get(sock: InetSocket) -> bytes:
        number = getattr(_tcp(sock).tcb, name)
        return int_bytes(number if number or default is None else default(sock))

    def put(sock: InetSocket, process: Process, value: bytes) -> None:
        number = int_of(value)
        if not low <= number <= high:
            raise fail(errno.EINVAL)
        setattr(_tcp(sock).tcb, name, number)
        _changed(sock)

    return get, put


def _get_maxseg(sock: InetSocket) -> bytes:
    tcb = _tcp(sock).tcb
    return int_bytes(tcb.maxseg if tcb.maxseg and tcb.state in (CLOSED, LISTEN) else tcb.mss)


def _set_maxseg(sock: InetSocket, process: Process, value: bytes) -> None:
    number = int_of(value)
    if number and not 88 <= number <= 32767:  # TCP_MIN_MSS, MAX_TCP_WINDOW
        raise fail(errno.EINVAL)
    _tcp(sock).tcb.maxseg = number


def _get_linger2(sock: InetSocket) -> bytes:
    seconds = _tcp(sock).tcb.linger2
    return int_bytes(seconds or sock.host.settings.tcp_fin_timeout)


def _set_linger2(sock: InetSocket, process: Process, value: bytes) -> None:
    number = int_of(value)
    _tcp(sock).tcb.linger2 = -1 if number < 0 else min(number, 120)  # TCP_FIN_TIMEOUT_MAX


def _get_defer_accept(sock: InetSocket) -> bytes:
    """Retransmissions of the SYN-ACK are shown as the seconds that they take (retrans_to_secs)."""
    period, timeout, seconds = 0, 1, 0
    for _ in range(_tcp(sock).tcb.defer_accept):
        seconds = period = period + timeout
        timeout = min(timeout * 2, 120)
    return int_bytes(seconds)


def _set_defer_accept(sock: InetSocket, process: Process, value: bytes) -> None:
    """Seconds are kept as retransmissions of the SYN-ACK that fit in them (secs_to_retrans)."""
    seconds = int_of(value)
    count = 0
    if seconds > 0:
        count, timeout, period = 1, 1, 1
        while seconds > period and count < 255:
            count += 1
            timeout = min(timeout * 2, 120)
            period += timeout
    _tcp(sock).tcb.defer_accept = count


def _get_window_clamp(sock: InetSocket) -> bytes:
    return int_bytes(_tcp(sock).tcb.window_clamp)


def _set_window_clamp(sock: InetSocket, process: Process, value: bytes) -> None:
    number = int_of(value)
    tcb = _tcp(sock).tcb
    if not number:
        if tcb.state != CLOSED:
            raise fail(errno.EINVAL)
        tcb.window_clamp = 0
        return
    window.set_clamp(tcb, number)


def _set_quickack(sock: InetSocket, process: Process, value: bytes) -> None:
    tcp = _tcp(sock)
    calls.set_quickack(tcp.tcb, int_of(value), sock.host.world.now)
    tcp.stack.settle()


def _set_user_timeout(sock: InetSocket, process: Process, value: bytes) -> None:
    number = int_of(value)
    if number < 0:
        raise fail(errno.EINVAL)
    _tcp(sock).tcb.user_timeout = number


def _set_notsent_lowat(sock: InetSocket, process: Process, value: bytes) -> None:
    """Any number, unsigned; a larger one wakes who may write now."""
    tcb = _tcp(sock).tcb
    tcb.notsent_lowat = int_of(value) & 0xFFFFFFFF
    acks.made_room(tcb)


def _get_congestion(sock: InetSocket) -> bytes:
    return _tcp(sock).tcb.congestion.encode().ljust(CONGESTION_NAME_SIZE, b"\0")


def _set_congestion(sock: InetSocket, process: Process, value: bytes) -> None:
    if not value:
        raise fail(errno.EINVAL)
    name = value[: CONGESTION_NAME_SIZE - 1].split(b"\0")[0].decode("ascii", "replace")
    if name not in AVAILABLE:
        raise fail(errno.ENOENT)
    _tcp(sock).tcb.congestion = name


def _get_fastopen(sock: InetSocket) -> bytes:
    return int_bytes(sock.knobs.other.get((IPPROTO_TCP, TCP_FASTOPEN), 0))


def _set_fastopen(sock: InetSocket, process: Process, value: bytes) -> None:
    """How many may wait, at most somaxconn: kept, and a SYN never carries data here (fastopen_queue_tune)."""
    number = int_of(value)
    if number < 0 or _tcp(sock).tcb.state not in (CLOSED, LISTEN):
        raise fail(errno.EINVAL)
    sock.own_knobs().other[IPPROTO_TCP, TCP_FASTOPEN] = min(number, sock.host.settings.somaxconn)


def _get_info(sock: InetSocket) -> bytes:
    return tcp_info(_tcp(sock).tcb, sock.host.world.now)


def _get_timestamp(sock: InetSocket) -> bytes:
    """The timestamp that a segment would carry now: milliseconds, from an offset of the connection's own."""
    return int_bytes((sock.host.world.now // 1_000_000 + _tcp(sock).tcb.ts_offset) & 0xFFFFFFFF)


def _need_repair(sock: InetSocket, process: Process, value: bytes) -> None:
    """TCP_TIMESTAMP can be set in TCP_REPAIR mode only, which is not modelled."""
    raise fail(errno.EPERM)


TCP_OPTIONS: Final[Table] = {
    1: _flag("nodelay"),
    2: (_get_maxseg, _set_maxseg),
    3: _flag("cork"),
    4: _number("keepidle", 1, 32767, lambda s: s.host.settings.tcp_keepalive_time),
    5: _number("keepintvl", 1, 32767, lambda s: s.host.settings.tcp_keepalive_intvl),
    6: _number("keepcnt", 1, 127, lambda s: s.host.settings.tcp_keepalive_probes),
    7: _number("syncnt", 1, 127, lambda s: s.host.settings.tcp_syn_retries),
    8: (_get_linger2, _set_linger2),
    9: (_get_defer_accept, _set_defer_accept),
    10: (_get_window_clamp, _set_window_clamp),
    11: (_get_info, None),
    12: ((lambda s: int_bytes(calls.quickack(_tcp(s).tcb))), _set_quickack),
    13: (_get_congestion, _set_congestion),
    18: ((lambda s: int_bytes(_tcp(s).tcb.user_timeout)), _set_user_timeout),
    23: (_get_fastopen, _set_fastopen),
    24: (_get_timestamp, _need_repair),
    25: ((lambda s: int_bytes(_tcp(s).tcb.notsent_lowat)), _set_notsent_lowat),
}
