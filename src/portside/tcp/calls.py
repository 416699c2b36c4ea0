"""The program's door: OPEN, SEND, RECEIVE, CLOSE, ABORT and STATUS (RFC 9293 section 3.10.1 to 3.10.6; tcp(7))."""

from __future__ import annotations

import errno
from typing import Final

from portside.addr.abi import (
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRNORM,
    RCV_SHUTDOWN,
    SECOND,
    SEND_SHUTDOWN,
    SHUTDOWN_BOTH,
)
from portside.facts.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    SYN_RECEIVED,
    SYN_SENT,
)
from portside.tcp import ack, acks, end, handshake, listen, urgent, urgent_pointer, window
from portside.tcp import receive as incoming
from portside.tcp import send as output
from portside.tcp.effects import CHANGED, FAILED
from portside.tcp.states import enter
from portside.tcp.tcb import OVERHEAD, PUSHED, SCHEDULED, TIMEOUT_INIT, Tcb
from portside.tcp.timer import alarm, stop
from portside.wire.packet import ACK, PSH, SYN, Payload

MASK: Final = 0xFFFFFFFF


def open_active(tcb: Tcb, now: int, isn: int) -> None:
    """Begin a connection: connect(2), when the host has set the 4-tuple, `path_mtu` and `ts_offset`.

    The tcb, CLOSED until now, enters SYN-SENT and sends its SYN. How it ends is told by `effects.changed`: then the
    state is ESTABLISHED (or past it), or `take_error` has the errno (ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH ...).
    Source: RFC 9293 section 3.10.1; tcp_v4_connect(), tcp_connect().
    """
    tcb.done = False
    tcb.error = 0  # tcp_connect_init()
    tcb.iss = tcb.snd_una = tcb.snd_up = isn
    tcb.snd_nxt = tcb.write_seq = tcb.pushed_seq = tcb.snd_sml = (isn + 1) & MASK
    tcb.rcv_nxt = tcb.rcv_wup = tcb.copied_seq = tcb.max_window = 0
    handshake.prepare(tcb)
    mss = tcb.advertised_mss - (handshake.TIMESTAMPS_LENGTH if tcb.ts_recent_at else 0)
    window.initial(tcb, mss, bool(tcb.settings.tcp_window_scaling))
    tcb.rto = TIMEOUT_INIT
    tcb.retransmits = 0
    tcb.retransmit_began = now or 1
    tcb.sent = [(isn, tcb.snd_nxt, b"", SYN, now, 0, 0)]
    enter(tcb, SYN_SENT)
    handshake.send_syn(tcb, SYN, now)
    tcb.retransmit_at = now + tcb.rto
    alarm(tcb, tcb.retransmit_at)


def send(tcb: Tcb, data: Payload, now: int, more: bool = False) -> int:
    """Take in data to send, as much as the send buffer holds (send(2)).

    `bytes` are kept by reference and never copied again; anything else is copied once. Args: more: MSG_MORE.
    Returns: bytes taken; 0 when the buffer is full, or the connection is not yet made: the caller waits for WRITABLE or
    fails with EAGAIN (an empty `data` returns 0 too and is a success). Negative errno: the pending error; -EPIPE when
    the direction is shut down or there is no connection.
    Source: RFC 9293 section 3.10.2; tcp_sendmsg_locked().
    """
    length = len(data)
    sent = tcb.sent
    if (
        tcb.predicted
        and sent is None
        and tcb.unsent is None
        and 0 < length <= tcb.mss
        and length <= tcb.snd_wnd
        and data.__class__ is bytes
        and not more
        and not tcb.cork
        and now - tcb.last_data_sent <= tcb.rto
    ):
        # Nothing in flight, nothing waiting, room enough: the segment goes at once.
        seq = tcb.snd_nxt
        last = (seq + length) & MASK
        tcb.snd_nxt = tcb.write_seq = tcb.pushed_seq = last
        if length < tcb.mss:
            tcb.snd_sml = last
        tcb.snd_memory += length + OVERHEAD
        tcb.sent = [(seq, last, data, ACK | PSH, now, 0, length + OVERHEAD)]
        when = now + tcb.rto
        tcb.retransmit_at = when
        armed = tcb.armed
        if not armed or when < armed:
            alarm(tcb, when)
        tcb.last_data_sent = now
        if tcb.cwnd_limited:
            tcb.cwnd_limited = tcb.cwnd == 1
        if now - tcb.last_data_received < tcb.ato and tcb.pingpong < 255:
            tcb.pingpong += 1
        output.transmit(tcb, seq, ACK | PSH, data, now)
        return length
    return _send(tcb, data, now, more)


def send_urgent(tcb: Tcb, data: Payload, now: int, more: bool = False) -> int:
    """As `send`, and the last byte that is taken is urgent (MSG_OOB)."""
    return _send(tcb, data, now, more, True)


def _send(tcb: Tcb, data: Payload, now: int, more: bool, out_of_band: bool = False) -> int:
    state = tcb.state
    if state in (SYN_SENT, SYN_RECEIVED) and not tcb.error:
        tcb.no_space = True
        return 0
    if tcb.error or tcb.shutdown & SEND_SHUTDOWN or state not in (ESTABLISHED, CLOSE_WAIT):
        return -(take_error(tcb) or errno.EPIPE)
    if not len(data):
        return 0
    output.idle_restart(tcb, now)
    if data.__class__ is not bytes:
        # The program may change what it gave: this is the one copy. No more than could be taken.
        most = max(tcb.sndbuf - tcb.snd_memory, 0) + 2 * handshake.size_goal(tcb)
        data = bytes(memoryview(data).cast("B")[:most])
    taken = output.enqueue(tcb, data, more, now)
    if out_of_band and taken:
        urgent_pointer.mark(tcb)
    if taken < len(data):
        tcb.no_space = True
        if taken:
            output.push(tcb, now, output.NOW)
    else:
        output.push(tcb, now, output.CORKED if more else output.USUAL)
    return taken


def receive(tcb: Tcb, limit: int, now: int, peek: bool = False) -> bytes | int | None:
    """Take received data (recv(2)): up to `limit` bytes; with `peek` it stays (MSG_PEEK).

    Returns: the data; `b""` at the end of the stream; None when there is nothing yet (the caller waits for READABLE or
    fails with EAGAIN); -errno for the pending error, which is consumed, or -ENOTCONN for a socket never connected.
    A `limit` of 0 returns `b""` while there is data, and waits like any other while there is none.
    Source: RFC 9293 section 3.10.3; tcp_recvmsg_locked().
    """
    if tcb.urgent is not None and limit > 0:
        if peek and urgent.passed_over(tcb):
            return urgent.peek(tcb, limit)
        limit = urgent.before_mark(tcb, limit)
    received = tcb.received
    if received is not None and limit > 0:
        if peek:
            seen = incoming.peek(tcb, limit)
            ack.after_reading(tcb, len(seen), now)
            return seen
        if len(received) == 1 and not tcb.received_offset:
            data = received[0]
            if isinstance(data, bytes) and len(data) <= limit and not tcb.fin_queued:
                length = len(data)
                # One segment, read whole: no copy.
                tcb.received = None
                tcb.rcv_memory -= length + OVERHEAD
                tcb.copied_seq = (tcb.copied_seq + length) & MASK
                left = (tcb.rcv_wup + tcb.rcv_wnd - tcb.rcv_nxt) & MASK
                if tcb.ack_pending & SCHEDULED or 2 * left <= tcb.window_clamp:
                    ack.after_reading(tcb, length, now)  # which looks closer
                if tcb.rcv_rtt:
                    window.adjust(tcb, now)
                return data
        return incoming.read(tcb, limit, now)
    return _nothing_to_read(tcb, limit, now, peek)


def _nothing_to_read(tcb: Tcb, limit: int, now: int, peek: bool) -> bytes | int | None:
    """The receive queue is empty: end of file, error, or wait (tcp_recvmsg_locked(), the order of its tests)."""
    if tcb.state == LISTEN:
        return -errno.ENOTCONN
    if tcb.received is not None:
        return b""  # no bytes were asked for
    if tcb.fin_queued:
        if not peek:
            incoming.skip_fin(tcb)
        return b""
    if tcb.done:
        return b""
    if tcb.error:
        return -take_error(tcb)
    if tcb.shutdown & RCV_SHUTDOWN:
        return b""
    if tcb.state == CLOSED:
        return -errno.ENOTCONN
    if tcb.ack_pending & SCHEDULED and not peek:
        ack.after_reading(tcb, 0, now)
    return None


def shutdown(tcb: Tcb, how: int, now: int) -> int:
    """Close one direction: shutdown(2) with SHUT_RD, SHUT_WR or SHUT_RDWR.

    Returns: 0, or -ENOTCONN when there is no connection (the direction is marked nevertheless, as in Linux).
    For a socket in LISTEN the host calls `listen.close` when `how` includes reading, and nothing otherwise; in SYN-SENT
    the connection is dissolved as by `disconnect`.
    Source: inet_shutdown(), tcp_shutdown().
    """
    bits = how + 1
    state = tcb.state
    if state == LISTEN:
        if bits & RCV_SHUTDOWN:
            assert tcb.listener is not None
            listen.close(tcb.listener, now)
        return 0
    if state == SYN_SENT:
        disconnect(tcb, now)
        return 0
    tcb.shutdown |= bits
    if bits & SEND_SHUTDOWN and state in (ESTABLISHED, CLOSE_WAIT):
        end.send_direction(tcb, now)
    if not tcb.orphan:
        tcb.effects.changed(tcb, CHANGED)
    return -errno.ENOTCONN if state == CLOSED else 0


def close(tcb: Tcb, now: int) -> None:
    """The program lets go of the socket: close(2), in any state (in LISTEN it is `listen.close`).

    Unread data, or SO_LINGER with 0 seconds, makes it a reset; otherwise the connection closes in order, as an orphan:
    `tcb.orphan` is set, `effects.changed` is not called any more, and `effects.entered` with CLOSED tells when it is
    gone. A CLOSED tcb stays so, and nothing is told. With SO_LINGER and a time the host waits after this while
    `lingering` is true.
    Source: RFC 9293 section 3.10.4; tcp_close(), __tcp_close().
    """
    state = tcb.state
    if state == LISTEN:
        tcb.orphan = True
        assert tcb.listener is not None
        listen.close(tcb.listener, now)
        return
    unread = incoming.queued(tcb) > 0
    incoming.discard(tcb)
    tcb.shutdown = SHUTDOWN_BOTH
    tcb.orphan = True
    tcb.predicted = 0
    if state == CLOSED:
        return
    if unread:
        # RFC 2525 section 2.17: the peer must not believe that its data was read.
        _reset_and_end(tcb, now)
    elif tcb.linger == 0:
        if _needs_reset(tcb):
            _reset_and_end(tcb, now)
        else:
            end.done(tcb)
    elif state == SYN_SENT:
        end.done(tcb)
    elif state == FIN_WAIT_2:
        if tcb.linger2 < 0:
            _reset_and_end(tcb, now)
        else:
            end.orphan_in_fin_wait_2(tcb, now)
    else:
        end.send_direction(tcb, now)


def _reset_and_end(tcb: Tcb, now: int) -> None:
    output.reset(tcb, now)
    end.done(tcb)


def _needs_reset(tcb: Tcb) -> bool:
    """Whether the peer has to be told that the connection is gone (tcp_disconnect(), tcp_need_reset())."""
    state = tcb.state
    if state in (CLOSING, LAST_ACK):
        return tcb.snd_nxt != tcb.write_seq
    return state in (ESTABLISHED, CLOSE_WAIT, FIN_WAIT_1, FIN_WAIT_2, SYN_RECEIVED)


def lingering(tcb: Tcb) -> bool:
    """Whether close(2) with SO_LINGER still has something to wait for: data or FIN not yet acknowledged.

    The host calls `close` (which sends the FIN and orphans the tcb) and then waits, until this is false or the time is
    over, on `effects.entered`. Source: sk_stream_wait_close().
    """
    return tcb.state in (FIN_WAIT_1, CLOSING, LAST_ACK)


def abort(tcb: Tcb, now: int) -> None:
    """End a connection with a reset where there is somebody to tell: its program sees ECONNABORTED.

    Source: RFC 9293 section 3.10.5; tcp_abort().
    """
    if tcb.state == LISTEN:
        assert tcb.listener is not None
        listen.close(tcb.listener, now)
    elif tcb.state != CLOSED:
        if _needs_reset(tcb):
            output.reset(tcb, now)
        end.fail(tcb, errno.ECONNABORTED)


def disconnect(tcb: Tcb, now: int) -> None:
    """Dissolve the connection: connect(2) to AF_UNSPEC. The tcb is as new, its options stay (tcp_disconnect()).

    The peer of a connection is sent a reset, and SO_ERROR tells ECONNRESET then, as in Linux. The host takes the
    address and port apart. A socket in LISTEN goes through `listen.close` first.
    """
    state = tcb.state
    number = 0
    if state != CLOSED:
        if _needs_reset(tcb):
            output.reset(tcb, now)
            number = errno.ECONNRESET
        elif state == SYN_SENT:
            number = errno.ECONNRESET
        stop(tcb)
        end.leave_listener(tcb)
        enter(tcb, CLOSED)
    armed = tcb.armed
    # tcp_disconnect() leaves this much between write_seq and snd_una; the row of the socket shows it.
    left = (tcb.write_seq - tcb.snd_una + tcb.max_window + 2) & MASK
    mss, max_window = tcb.mss, tcb.max_window
    tcb.reset()
    tcb.mss = mss  # what the last attempt worked out: TCP_MAXSEG shows it
    tcb.max_window = max_window
    tcb.maxseg = tcb.window_clamp = 0  # these two options do not stay
    tcb.write_seq = left
    tcb.armed = armed
    tcb.shutdown = 0
    tcb.done = False
    tcb.soft_error = 0
    tcb.error = number or tcb.error  # an error that nobody has heard of yet stays
    if number and not tcb.orphan:
        tcb.effects.changed(tcb, FAILED)


def poll(tcb: Tcb) -> int:
    """The events that are true now, exactly as tcp_poll() tells them.

    Finding the send buffer full marks the socket as waited on, as there (SOCK_NOSPACE).
    """
    state = tcb.state
    if state == LISTEN:
        assert tcb.listener is not None
        return listen.poll(tcb.listener)
    closed = tcb.shutdown
    mask = 0
    if closed == SHUTDOWN_BOTH or state == CLOSED:
        mask = POLLHUP
    if closed & RCV_SHUTDOWN:
        mask |= POLLIN | POLLRDNORM | POLLRDHUP
    if state not in (SYN_SENT, SYN_RECEIVED):
        if tcb.urgent is not None:
            mask |= urgent.poll(tcb)
        elif tcb.rcv_nxt != tcb.copied_seq and (tcb.rcvlowat <= 1 or incoming.is_readable(tcb, tcb.rcvlowat)):
            mask |= POLLIN | POLLRDNORM
        if closed & SEND_SHUTDOWN or acks.writable(tcb):
            mask |= POLLOUT | POLLWRNORM
        else:
            tcb.no_space = True
    if tcb.error:
        mask |= POLLERR
    return mask


def take_error(tcb: Tcb) -> int:
    """The pending error as a positive errno, which is then forgotten; 0 for none (SO_ERROR, sock_error()).

    SO_ERROR tells a soft error too when there is no hard one (sk_getsockopt()): `tcb.soft_error`.
    """
    error = tcb.error
    tcb.error = 0
    return error


def inq(tcb: Tcb) -> int:
    """SIOCINQ (FIONREAD): bytes that can be read now (tcp_inq())."""
    if tcb.state in (SYN_SENT, SYN_RECEIVED):
        return 0
    return urgent.before(tcb, incoming.queued(tcb))


def outq(tcb: Tcb) -> int:
    """SIOCOUTQ: sequence numbers not yet acknowledged, the FIN's among them (tcp_ioctl())."""
    if tcb.state in (SYN_SENT, SYN_RECEIVED):
        return 0
    return (tcb.write_seq - tcb.snd_una) & MASK


def receive_queue(tcb: Tcb) -> int:
    """Recv-Q of ss and /proc/net/tcp: bytes not yet read, and a FIN not yet seen; in LISTEN, who waits for accept."""
    if tcb.state == LISTEN:
        assert tcb.listener is not None
        return len(tcb.listener.accept_queue)
    return (tcb.rcv_nxt - tcb.copied_seq) & MASK


def send_queue(tcb: Tcb) -> int:
    """Send-Q of ss and /proc/net/tcp: sequence numbers not yet acknowledged; in LISTEN (ss alone), the backlog."""
    if tcb.state == LISTEN:
        assert tcb.listener is not None
        return tcb.listener.backlog
    return (tcb.write_seq - tcb.snd_una) & MASK


def options_changed(tcb: Tcb, now: int, push: bool = False) -> None:
    """Act on options that the program has just set. Args: push: the option may let go of data that waits.

    TCP_NODELAY and the end of TCP_CORK let data go (__tcp_sock_set_nodelay(), __tcp_sock_set_cork()); SO_KEEPALIVE and
    TCP_KEEPIDLE start the timer anew or stop it (tcp_set_keepalive()); buffers and clamps change what is offered.
    """
    if tcb.state in (CLOSED, LISTEN, SYN_SENT):
        return
    if push and tcb.unsent is not None and not tcb.cork:
        output.push(tcb, now, output.NOW if tcb.nodelay else output.USUAL)
    if tcb.state == FIN_WAIT_2 and tcb.orphan:
        return
    if not tcb.keepalive:
        tcb.keepalive_at = 0
    else:
        idle = (tcb.keepidle or tcb.settings.tcp_keepalive_time) * SECOND
        elapsed = now - max(tcb.last_data_received, tcb.last_ack_received)
        end.keep_for(tcb, max(idle - elapsed, 0), now)
    window.refresh(tcb)


def set_quickack(tcb: Tcb, value: int, now: int) -> None:
    """TCP_QUICKACK: leave delayed ACKs, and send what is due (1), or enter them (0).

    Source: __tcp_sock_set_quickack().
    """
    if not value:
        tcb.pingpong = max(tcb.pingpong, 1)
        return
    tcb.pingpong = 0
    if tcb.state in (ESTABLISHED, CLOSE_WAIT) and tcb.ack_pending & SCHEDULED:
        tcb.ack_pending |= PUSHED
        ack.after_reading(tcb, 1, now)
        if not value & 1:
            tcb.pingpong = 1


def quickack(tcb: Tcb) -> int:
    """What getsockopt(TCP_QUICKACK) tells: whether the connection is not in pingpong mode."""
    return int(not tcb.pingpong)
