"""The program's door: OPEN, SEND, RECEIVE, CLOSE, ABORT and STATUS (RFC 9293 section 3.10.1 to 3.10.6; tcp(7))."""

from __future__ import annotations

from portside.tcp.tcb import Tcb
from portside.wire.packet import Payload


def open_active(tcb: Tcb, now: int, isn: int) -> None:
    """Begin a connection: connect(2), when the host has set the 4-tuple, `path_mtu` and `ts_offset`.

    The tcb, CLOSED until now, enters SYN-SENT and sends its SYN. How it ends is told by `effects.changed`: then
    the state is ESTABLISHED (or past it), or `take_error` has the errno (ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH ...).
    Source: RFC 9293 section 3.10.1; tcp_v4_connect(), tcp_connect().
    """
    raise NotImplementedError


def send(tcb: Tcb, data: Payload, now: int, more: bool = False) -> int:
    """Take in data to send, as much as the send buffer holds (send(2)).

    `bytes` are kept by reference and never copied again; anything else is copied once. Args: more: MSG_MORE.
    Returns: bytes taken; 0 when the buffer is full, or the connection is not yet made: the caller waits for WRITABLE
    or fails with EAGAIN (an empty `data` returns 0 too and is a success). Negative errno: the pending error; -EPIPE
    when the direction is shut down or there is no connection.
    Source: RFC 9293 section 3.10.2; tcp_sendmsg_locked().
    """
    raise NotImplementedError


def receive(tcb: Tcb, limit: int, now: int, peek: bool = False) -> bytes | int | None:
    """Take received data (recv(2)): up to `limit` bytes; with `peek` it stays (MSG_PEEK).

    Returns: the data; `b""` at the end of the stream; None when there is nothing yet (the caller waits for READABLE or
    fails with EAGAIN); -errno for the pending error, which is consumed, or -ENOTCONN for a socket never connected.
    A `limit` of 0 returns `b""` when a recv(2) of no bytes would return 0.
    Source: RFC 9293 section 3.10.3; tcp_recvmsg_locked().
    """
    raise NotImplementedError


def shutdown(tcb: Tcb, how: int, now: int) -> int:
    """Close one direction: shutdown(2) with SHUT_RD, SHUT_WR or SHUT_RDWR.

    Returns: 0, or -ENOTCONN when there is no connection (the direction is marked nevertheless, as in Linux).
    For a socket in LISTEN the host calls `listen.close` when `how` includes reading, and nothing otherwise.
    Source: inet_shutdown(), tcp_shutdown().
    """
    raise NotImplementedError


def close(tcb: Tcb, now: int) -> None:
    """The program lets go of the socket: close(2), in any state but LISTEN (`listen.close`).

    Unread data, or SO_LINGER with 0 seconds, makes it a reset; otherwise the connection closes in order, as an orphan:
    `tcb.orphan` is set, `effects.changed` is not called any more, and `effects.entered` with CLOSED tells when it is gone.
    With SO_LINGER and a time the host waits before it calls this: first `shutdown(tcb, SHUT_RDWR, now)`-like sending is
    begun by `linger_begin`, then it waits until `lingering` is false.
    Source: RFC 9293 section 3.10.4; tcp_close(), __tcp_close().
    """
    raise NotImplementedError


def lingering(tcb: Tcb) -> bool:
    """Whether close(2) with SO_LINGER still has something to wait for: data or FIN not yet acknowledged.

    The host calls `close` (which sends the FIN and orphans the tcb) and then waits, until this is false or the time is
    over, on `effects.entered`. Source: sk_stream_wait_close().
    """
    raise NotImplementedError


def abort(tcb: Tcb, now: int) -> None:
    """End a connection with a reset where there is somebody to tell (RFC 9293 section 3.10.5; tcp_abort())."""
    raise NotImplementedError


def disconnect(tcb: Tcb, now: int) -> None:
    """Dissolve the connection: connect(2) to AF_UNSPEC. The tcb is as new, its options stay (tcp_disconnect()).

    The host takes the address and port apart. A socket in LISTEN goes through `listen.close` first.
    """
    raise NotImplementedError


def poll(tcb: Tcb) -> int:
    """The events that are true now, exactly as tcp_poll() tells them."""
    raise NotImplementedError


def take_error(tcb: Tcb) -> int:
    """The pending error as a positive errno, which is then forgotten; 0 for none (SO_ERROR, sock_error()).

    SO_ERROR tells a soft error too when there is no hard one (sock_getsockopt()): `take_soft_error`.
    """
    error = tcb.error
    tcb.error = 0
    return error


def inq(tcb: Tcb) -> int:
    """SIOCINQ (FIONREAD): bytes that can be read now (tcp_inq())."""
    raise NotImplementedError


def outq(tcb: Tcb) -> int:
    """SIOCOUTQ: bytes not yet acknowledged (tcp_ioctl())."""
    raise NotImplementedError


def receive_queue(tcb: Tcb) -> int:
    """Recv-Q of ss and /proc/net/tcp: bytes not yet read, and a FIN not yet seen; in LISTEN, who waits for accept."""
    raise NotImplementedError


def send_queue(tcb: Tcb) -> int:
    """Send-Q of ss and /proc/net/tcp: sequence numbers not yet acknowledged; in LISTEN (ss alone), the backlog."""
    raise NotImplementedError


def options_changed(tcb: Tcb, now: int) -> None:
    """Act on options that the program has just set: cork or nodelay let data go, keepalive starts or stops its timer."""
    raise NotImplementedError


def set_quickack(tcb: Tcb, value: int, now: int) -> None:
    """TCP_QUICKACK: leave delayed ACKs (1: and send what is due) or enter them (0). Source: __tcp_sock_set_quickack()."""
    raise NotImplementedError


def quickack(tcb: Tcb) -> int:
    """What getsockopt(TCP_QUICKACK) tells: whether the connection is not in pingpong mode."""
    raise NotImplementedError
