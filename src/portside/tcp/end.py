"""How a connection ends: in order, by the peer's reset, by failure, or handed over to its TIME-WAIT.

Source: tcp_done(), tcp_reset(), tcp_fin(), tcp_time_wait(), tcp_write_err(), Linux 6.18.
"""

from __future__ import annotations

import errno

from portside.addr.abi import RCV_SHUTDOWN, SECOND, SEND_SHUTDOWN, SHUTDOWN_BOTH
from portside.facts.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)
from portside.tcp import send
from portside.tcp.effects import CHANGED, FAILED
from portside.tcp.states import enter
from portside.tcp.tcb import SCHEDULED, Tcb
from portside.tcp.timer import alarm, stop
from portside.tcp.timewait import TIMEWAIT_LENGTH, TimeWait


def done(tcb: Tcb) -> None:
    """The connection is over: nothing more is sent or expected; what was received can still be read (tcp_done())."""
    stop(tcb)
    purge(tcb)
    if tcb.state == SYN_RECEIVED:
        leave_listener(tcb)
    tcb.out_of_order = None
    tcb.ack_pending = 0
    tcb.shutdown = SHUTDOWN_BOTH
    enter(tcb, CLOSED)
    if not tcb.orphan:
        tcb.effects.changed(tcb, CHANGED)


def purge(tcb: Tcb) -> None:
    """Throw away what was to be sent (tcp_write_queue_purge())."""
    tcb.sent = None
    tcb.unsent = None
    tcb.fin_unsent = False
    tcb.snd_memory = 0
    tcb.dupacks = tcb.lost_out = tcb.retransmitted_out = 0
    tcb.backoff = 0


def leave_listener(tcb: Tcb) -> None:
    """A connection that was never completed gives its place in the SYN queue back."""
    listener = tcb.listener
    if listener is not None and tcb.state == SYN_RECEIVED:
        listener.half_open.pop(tcb, None)


def fail(tcb: Tcb, number: int) -> None:
    """The connection fails with an errno: the program's next call reports it (tcp_done_with_error())."""
    tcb.error = number
    done(tcb)
    if not tcb.orphan:
        tcb.effects.changed(tcb, FAILED)


def timed_out(tcb: Tcb) -> None:
    """Nobody answered for too long: ETIMEDOUT, or what ICMP said of it meanwhile (tcp_write_err())."""
    fail(tcb, tcb.soft_error or errno.ETIMEDOUT)


def reset_received(tcb: Tcb) -> None:
    """The peer reset the connection (RFC 9293 section 3.10.7.4, second step; tcp_reset())."""
    if tcb.state == SYN_SENT:
        fail(tcb, errno.ECONNREFUSED)
    elif tcb.state == CLOSE_WAIT:
        fail(tcb, errno.EPIPE)
    else:
        fail(tcb, errno.ECONNRESET)


def send_direction(tcb: Tcb, now: int) -> None:
    """Close our direction: the state that CLOSE leads to, and the FIN (tcp_close_state(), tcp_send_fin())."""
    state = tcb.state
    if state in (ESTABLISHED, SYN_RECEIVED):
        leave_listener(tcb)
        enter(tcb, FIN_WAIT_1)
    elif state == CLOSE_WAIT:
        enter(tcb, LAST_ACK)
    else:
        return
    send.fin(tcb, now)


def fin_received(tcb: Tcb, now: int) -> None:
    """The peer's FIN is in order: its direction is closed (RFC 9293 section 3.10.7.4, eighth step; tcp_fin())."""
    tcb.ack_pending |= SCHEDULED
    tcb.shutdown |= RCV_SHUTDOWN
    tcb.done = True
    tcb.out_of_order = None
    state = tcb.state
    if state == ESTABLISHED:
        enter(tcb, CLOSE_WAIT)
        tcb.pingpong = max(tcb.pingpong, 1)
    elif state == FIN_WAIT_1:
        # Both close at once.
        send.acknowledge(tcb, now)
        enter(tcb, CLOSING)
    elif state == FIN_WAIT_2:
        send.acknowledge(tcb, now)
        time_wait(tcb, TIME_WAIT, 0, now)
        return
    if not tcb.orphan:
        tcb.effects.changed(tcb, CHANGED)


def time_wait(tcb: Tcb, state: int, length: int, now: int) -> None:
    """Leave the 4-tuple to a TIME-WAIT, or to an orphan's FIN-WAIT-2 that lasts `length` ns (tcp_time_wait())."""
    heir = TimeWait(tcb, state, now)
    if state == TIME_WAIT:
        enter(tcb, TIME_WAIT)
    else:
        heir.ends_at = now + max(length, (tcb.rto << 2) - (tcb.rto >> 1))
    tcb.effects.time_wait(tcb, heir)
    heir.armed = heir.ends_at
    tcb.effects.arm(heir, heir.ends_at)
    done(tcb)


def our_fin_acknowledged(tcb: Tcb) -> bool:
    """Whether everything up to our FIN is acknowledged."""
    return tcb.snd_una == tcb.write_seq


def fin_timeout(tcb: Tcb) -> int:
    """How long an orphan stays in FIN-WAIT-2, ns: TCP_LINGER2, tcp_fin_timeout, 3.5 RTO at least (tcp_fin_time())."""
    timeout = (tcb.linger2 or tcb.settings.tcp_fin_timeout) * SECOND
    return max(timeout, (tcb.rto << 2) - (tcb.rto >> 1))


def orphan_in_fin_wait_2(tcb: Tcb, now: int, fin_follows: bool = False) -> None:
    """Nobody waits for the peer's FIN: for how long do we (tcp_rcv_state_process(), __tcp_close())?"""
    timeout = fin_timeout(tcb)
    if timeout > TIMEWAIT_LENGTH:
        keep_for(tcb, timeout - TIMEWAIT_LENGTH, now)
    elif fin_follows:
        # The FIN is in the same segment: it must still find us.
        keep_for(tcb, timeout, now)
    else:
        time_wait(tcb, FIN_WAIT_2, timeout, now)


def keep_for(tcb: Tcb, length: int, now: int) -> None:
    """Set the timer that ends an orphan's FIN-WAIT-2, or that keepalive uses (inet_csk_reset_keepalive_timer())."""
    tcb.keepalive_at = now + length
    alarm(tcb, tcb.keepalive_at)


def close_send_side_after_ack(tcb: Tcb) -> None:
    """FIN-WAIT-1 to FIN-WAIT-2: our FIN is acknowledged."""
    tcb.shutdown |= SEND_SHUTDOWN
    enter(tcb, FIN_WAIT_2)
    if not tcb.orphan:
        tcb.effects.changed(tcb, CHANGED)
