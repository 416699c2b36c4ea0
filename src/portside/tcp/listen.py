"""Listening: the SYN queue, the accept queue and their limits (listen(2), accept(2); RFC 9293 section 3.10.7.2)."""

from __future__ import annotations

from typing import Final

from portside.addr.abi import POLLIN, POLLRDNORM
from portside.facts.state import CLOSED, LISTEN, SYN_RECEIVED
from portside.tcp import cookies, end, handshake, rto, send, timewait, window
from portside.tcp.effects import CHANGED, READABLE
from portside.tcp.states import enter
from portside.tcp.tcb import TIMEOUT_INIT, Tcb
from portside.tcp.timer import alarm
from portside.wire.packet import ACK, RST, SYN, TcpSegment

MASK: Final = 0xFFFFFFFF

# What `complete` says of a third ACK.
COMPLETE: Final = 1
IGNORED: Final = 0
REFUSED: Final = -1


class Listener:
    """What a socket in LISTEN has besides its Tcb, whose options its connections inherit.

    `accept_queue` holds connections that wait for accept(2), oldest first; `half_open` those in SYN-RECEIVED.
    `backlog` is sk_max_ack_backlog: what listen(2) asked for, at most somaxconn.
    """

    __slots__ = ("accept_queue", "backlog", "cookies_until", "half_open", "overflows", "tcb")

    def __init__(self, tcb: Tcb, backlog: int) -> None:
        self.tcb = tcb
        self.backlog = 0
        self.accept_queue: list[Tcb] = []
        self.half_open: dict[Tcb, None] = {}  # in order of arrival
        self.cookies_until = -1  # when a SYN cookie that was sent last is not believed any more
        self.overflows = 0  # ListenOverflows and ListenDrops of this socket: sk_drops
        set_backlog(self, backlog)


def open_passive(tcb: Tcb, backlog: int, now: int) -> Listener:
    """Begin to listen: listen(2) on a CLOSED tcb whose address and port are bound. `tcb.listener` is the result.

    Source: RFC 9293 section 3.10.1; inet_csk_listen_start().
    """
    listener = Listener(tcb, backlog)
    tcb.listener = listener
    tcb.done = False
    tcb.pingpong = 0  # inet_csk_delack_init()
    enter(tcb, LISTEN)
    return listener


def set_backlog(listener: Listener, backlog: int) -> None:
    """listen(2) again: change the limit. Over somaxconn is somaxconn; negative numbers too (they are unsigned)."""
    most = listener.tcb.settings.somaxconn
    listener.backlog = most if backlog < 0 else min(backlog, most)


def segment_arrives(listener: Listener, segment: TcpSegment, now: int, isn: int = 0) -> Tcb | None:
    """A segment reaches a socket in LISTEN, and no connection of its own (RFC 9293 section 3.10.7.2).

    Args: isn: the sequence number that a reopened TIME-WAIT demands; 0: the host chooses.
    Returns: the connection, in SYN-RECEIVED, of a SYN cookie that the segment repeats: it shall take the segment.
    Source: tcp_rcv_state_process(), tcp_conn_request().
    """
    flags = segment.flags
    if flags & RST:
        return None
    if flags & ACK:
        syn = cookies.found(listener, segment, now)
        if syn is not None:
            return _from_cookie(listener, syn, segment, now)
        answer = timewait.reset_for(segment)
        if answer is not None:
            listener.tcb.effects.transmit(listener.tcb, answer)
    elif flags & SYN and not flags & 1:
        _syn(listener, segment, now, isn)
    return None


def _syn(listener: Listener, segment: TcpSegment, now: int, isn: int) -> None:
    """A connection is asked for: take it into the SYN queue, unless one of the queues is full (tcp_conn_request()).

    Where the SYN queue is full a cookie answers, if it may: that keeps nothing.
    """
    full = _syn_queue_full(listener, isn)
    wants_cookie = not isn and cookies.wanted(listener, full)
    if (full and not wants_cookie) or accept_queue_full(listener):
        listener.overflows += 1
        return
    if wants_cookie:
        isn = cookies.number(listener, segment, now)
    tcb = _child(listener, segment, now, isn)
    if tcb is None:
        return
    tcb.sent = [(tcb.iss, tcb.snd_nxt, b"", SYN | ACK, now, 0, 0)]
    enter(tcb, SYN_RECEIVED)
    if wants_cookie:
        cookies.answer(listener, segment, tcb, now)
        return
    listener.half_open[tcb] = None
    handshake.send_syn(tcb, SYN | ACK, now)
    tcb.retransmit_at = now + TIMEOUT_INIT
    alarm(tcb, tcb.retransmit_at)


def _from_cookie(listener: Listener, syn: TcpSegment, segment: TcpSegment, now: int) -> Tcb | None:
    """A connection that the ACK of a SYN cookie brings back; None where there is no room (tcp_get_cookie_sock())."""
    if accept_queue_full(listener):
        listener.overflows += 1
        return None
    tcb = _child(listener, syn, now, (segment.ack - 1) & MASK, segment)
    if tcb is not None:
        enter(tcb, SYN_RECEIVED)
        tcb.snd_una = tcb.snd_nxt
    return tcb


def _child(
    listener: Listener, segment: TcpSegment, now: int, isn: int, repeats: TcpSegment | None = None
) -> Tcb | None:
    """The connection that a SYN asks for, its options and windows known, in no state yet; None: no way back.

    Args: repeats: the segment that repeats a cookie, which the SYN was made of.
    """
    tcb = listener.tcb.effects.child(listener, segment, now, isn)
    if tcb is None:
        return None
    tcb.listener = listener
    tcb.orphan = False
    tcb.shutdown = listener.tcb.shutdown  # shutdown(2) before listen(2) failed, and yet it counts (sk_clone())
    handshake.prepare(tcb)
    handshake.take_options(tcb, segment, now)
    mss = tcb.advertised_mss - (handshake.TIMESTAMPS_LENGTH if tcb.timestamps_ok else 0)
    if repeats is not None:
        cookies.take_options(tcb, repeats)
        mss = tcb.mss_clamp
    window.initial(tcb, mss, tcb.snd_wscale >= 0)
    tcb.snd_una = tcb.iss
    tcb.snd_nxt = tcb.write_seq = tcb.pushed_seq = tcb.snd_sml = (tcb.iss + 1) & MASK
    return tcb


def _syn_queue_full(listener: Listener, isn: int) -> bool:
    """One more than the backlog may be half open (inet_csk_reqsk_queue_is_full()).

    Without cookies three quarters of tcp_max_syn_backlog at most.
    """
    if isn:
        return False
    waiting = len(listener.half_open)
    settings = listener.tcb.settings
    if waiting > listener.backlog:
        return True
    most = settings.tcp_max_syn_backlog
    return not settings.tcp_syncookies and most - waiting < most >> 2


def accept_queue_full(listener: Listener) -> bool:
    """One more than the backlog may wait (sk_acceptq_is_full())."""
    return len(listener.accept_queue) > listener.backlog


def complete(tcb: Tcb, segment: TcpSegment, now: int) -> int:
    """The ACK of our SYN,ACK is here: COMPLETE, IGNORED (the client believes to be connected) or REFUSED with a reset.

    Source: tcp_check_req(), its end; tcp_abort_on_overflow, TCP_DEFER_ACCEPT in tcp(7).
    """
    listener = tcb.listener
    assert listener is not None
    bare = segment.sequence_length() == 0
    if bare and tcb.retransmits < listener.tcb.defer_accept:
        # Wait for data; SYN,ACKs are not sent again meanwhile.
        tcb.done = True
        return IGNORED
    if accept_queue_full(listener):
        listener.overflows += 1
        if listener.tcb.settings.tcp_abort_on_overflow:
            return REFUSED
        tcb.done = True
        return IGNORED
    tcb.done = False
    return COMPLETE


def queue(tcb: Tcb) -> None:
    """A complete connection waits for accept(2); wake who waits for one (inet_csk_reqsk_queue_add())."""
    listener = tcb.listener
    assert listener is not None
    listener.accept_queue.append(tcb)
    listener.tcb.effects.changed(listener.tcb, READABLE)


def expire(tcb: Tcb, now: int) -> None:
    """A connection in the SYN queue had no answer: SYN,ACK again, or give up (reqsk_timer_handler()).

    `tcb.retransmits` is num_timeout; `tcb.done` says that the peer's ACK was here and had to be ignored.
    """
    listener = holder(tcb)
    if listener is None:
        end.done(tcb)
        return
    parent = listener.tcb
    most = parent.syncnt or parent.settings.tcp_synack_retries
    times = tcb.retransmits
    deferred = parent.defer_accept
    acked = tcb.done
    if deferred:
        give_up = times >= most and (not acked or times >= deferred)
        again = not acked or times >= deferred - 1
    else:
        give_up = times >= most
        again = True
    if give_up:
        tcb.done = False
        end.done(tcb)
        return
    if again:
        tcb.total_retransmits += 1
        tcb.sent = [(tcb.iss, tcb.snd_nxt, b"", SYN | ACK, now, times + 1, 0)]
        handshake.send_syn(tcb, SYN | ACK, now)
    tcb.retransmits = times + 1
    tcb.retransmit_at = now + min(TIMEOUT_INIT << tcb.retransmits, rto.maximum(tcb))


def accept(listener: Listener) -> Tcb | None:
    """Take the connection that waits longest (accept(2)); None when there is none. The host sets its `owner`.

    It may have been reset or closed meanwhile: accept(2) returns it all the same. Source: inet_csk_accept().
    """
    if not listener.accept_queue:
        return None
    tcb = listener.accept_queue.pop(0)
    tcb.listener = None
    return tcb


def close(listener: Listener, now: int) -> None:
    """Stop listening: close(2) or shutdown(2) on the listening socket. Its tcb becomes CLOSED.

    Connections that wait for accept are reset. Those in SYN-RECEIVED find out at their next segment or timer.
    Source: inet_csk_listen_stop().
    """
    tcb = listener.tcb
    tcb.listener = None
    enter(tcb, CLOSED)
    waiting = listener.accept_queue
    listener.accept_queue = []
    for child in waiting:
        child.orphan = True
        child.listener = None
        if child.state != CLOSED:
            send.reset(child, now)
            end.done(child)
    if not tcb.orphan:
        tcb.effects.changed(tcb, CHANGED)


def holder(tcb: Tcb) -> Listener | None:
    """Whose connection in SYN-RECEIVED it is: its listener, which may have begun anew, or None when it has stopped."""
    assert tcb.listener is not None
    tcb.listener = tcb.listener.tcb.listener or tcb.listener
    return tcb.listener if tcb.listener.tcb.state == LISTEN else None


def poll(listener: Listener) -> int:
    """POLLIN | POLLRDNORM while a connection waits (inet_csk_listen_poll())."""
    return POLLIN | POLLRDNORM if listener.accept_queue else 0
