"""The network's door: SEGMENT ARRIVES, one function per step of RFC 9293 section 3.10.7, in Linux's order."""

from __future__ import annotations

from typing import Final

from portside.addr.abi import MILLISECOND, RCV_SHUTDOWN, SEND_SHUTDOWN
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
    TIME_WAIT,
)
from portside.tcp import (
    ack,
    acks,
    challenge,
    end,
    handshake,
    listen,
    loss,
    memory,
    receive,
    rto,
    send,
    timewait,
    urgent,
    window,
)
from portside.tcp.congestion import control
from portside.tcp.effects import CHANGED, READABLE
from portside.tcp.states import enter
from portside.tcp.tcb import ATO_MIN, NOW, OVERHEAD, PUSHED, PUSHED2, SCHEDULED, TIMER, Tcb
from portside.tcp.timer import alarm
from portside.tcp.timewait import TimeWait
from portside.wire.packet import ACK, FIN, PSH, RST, SYN, URG, TcpSegment
from portside.wire.seq import diff

MASK: Final = 0xFFFFFFFF
TIMEOUT_MIN: Final = 8 * MILLISECOND  # TCP_TIMEOUT_MIN: two ticks of 250 Hz
PREDICTED: Final = ACK | PSH


def segment_arrives(tcb: Tcb | TimeWait, segment: TcpSegment, now: int) -> None:
    """A segment arrives for this connection, listener or TIME-WAIT: the one door for every state.

    Source: RFC 9293 section 3.10.7; tcp_v4_rcv() and what it calls.
    """
    if (
        segment.flags | PSH == tcb.predicted  # a TimeWait predicts nothing
        and segment.seq == tcb.rcv_nxt
        and _predicted(tcb, segment, now)  # type: ignore[arg-type]
    ):
        return
    if tcb.__class__ is TimeWait:
        timewait.segment_arrives(tcb, segment, now)
        return
    assert isinstance(tcb, Tcb)
    state = tcb.state
    if state == LISTEN:
        assert tcb.listener is not None
        child = listen.segment_arrives(tcb.listener, segment, now)
        if child is not None:
            _completed(child, segment, now)
        return
    tcb.segs_in += 1
    if len(segment.data):
        if segment.gso_size:
            _count_several(tcb, segment)
        tcb.data_segs_in += 1
    if state == SYN_SENT:
        _syn_sent(tcb, segment, now)
    elif state == CLOSED:
        _refuse(tcb, segment)
    elif state == SYN_RECEIVED and tcb.listener is not None:
        _request(tcb, segment, now)
    else:
        _synchronized(tcb, segment, now)


def _count_several(tcb: Tcb, segment: TcpSegment) -> None:
    """A segment that stands for several: count those besides one (tcp_segs_in())."""
    more = (len(segment.data) - 1) // segment.gso_size
    tcb.segs_in += more
    tcb.data_segs_in += more


def predict(tcb: Tcb) -> None:
    """Expect data in order and nothing unusual, or do not (tcp_fast_path_check())."""
    if (
        tcb.state == ESTABLISHED
        and tcb.ca_state == loss.OPEN
        and tcb.out_of_order is None
        and tcb.urgent is None
        and not tcb.shutdown & SEND_SHUTDOWN
    ):
        tcb.predicted = PREDICTED
    else:
        tcb.predicted = 0


# -- header prediction: ESTABLISHED, the segment that was expected --


def _predicted(tcb: Tcb, segment: TcpSegment, now: int) -> bool:  # noqa: PLR0912  one function, for speed
    """The next data in order, or an ACK of new data, on a connection without trouble. False: go the long way.

    Source: tcp_rcv_established(), its fast path (Van Jacobson's header prediction).
    """
    length = len(segment.data)
    advance = (segment.ack - tcb.snd_una) & MASK
    if advance > (tcb.snd_nxt - tcb.snd_una) & MASK:
        return False
    if length:
        if tcb.rcv_memory > tcb.rcvbuf and not memory.at_hand(tcb, length):
            return False
        if length > (tcb.rcv_wup + tcb.rcv_wnd - tcb.rcv_nxt) & MASK:
            return False
    elif not advance:
        return False
    timestamps = segment.timestamps
    if timestamps is not None:
        if tcb.rcv_nxt == tcb.rcv_wup and tcb.timestamps_ok:
            if timestamps[0] < tcb.ts_recent:
                return False  # an old duplicate, or the wrap: looked at in full
            tcb.ts_recent = timestamps[0]
            tcb.ts_recent_at = now or 1
    elif tcb.timestamps_ok:
        return False
    new = segment.window << tcb.snd_wscale
    moved = new != tcb.snd_wnd
    if moved:
        tcb.snd_wnd = new
        if new > tcb.max_window:
            tcb.max_window = new
            handshake.synchronize_mss(tcb)
    tcb.snd_wl1 = segment.seq
    tcb.last_ack_received = now
    if advance:
        _new_ack(tcb, segment, now)
    tcb.segs_in += 1
    if length:
        if segment.gso_size:
            _count_several(tcb, segment)
        tcb.data_segs_in += 1
        _expected_data(tcb, segment, length, now, advance > 0 or moved)
    elif tcb.unsent is not None:
        send.push(tcb, now)
    if tcb.no_space:
        acks.made_room(tcb)
    return True


def _new_ack(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """All or some of what is in flight is acknowledged, and nothing was lost."""
    sent = tcb.sent
    assert sent is not None
    tcb.soft_error = 0
    tcb.probes_out = 0
    entry = sent[0]
    if len(sent) == 1 and entry[1] == segment.ack and not entry[5]:
        tcb.sent = None
        tcb.bytes_acked += (segment.ack - tcb.snd_una) & MASK
        tcb.snd_una = segment.ack
        tcb.snd_memory -= entry[6]
        tcb.retransmits = 0
        tcb.retransmit_at = 0
        if now - entry[4] > 999 or tcb.srtt > 7 or not tcb.srtt or tcb.mdev > 3:
            rto.measured(tcb, now - entry[4])
        else:
            tcb.rtt_seq = tcb.snd_nxt
        if tcb.cwnd_limited:
            control.acked(tcb, 1)
        return
    count = acks.clean(tcb, segment, segment.ack, now)
    if count:
        control.acked(tcb, count)


def _expected_data(  # noqa: PLR0912  for speed
    tcb: Tcb, segment: TcpSegment, length: int, now: int, news: bool
) -> None:
    """Queue data that is in order, owe an acknowledgment for it, and tell the program.

    Args: news: whether the segment says anything new of what was sent. If not, what waits (MSG_MORE) goes on waiting,
    unless there is no memory at hand: then Linux leaves the fast path.
    """
    waiting = tcb.unsent is not None and (news or not memory.at_hand(tcb, length))
    if tcb.received is None:
        tcb.received = [segment.data]
        tcb.rcv_memory += length + OVERHEAD
        tcb.rcv_nxt = (tcb.rcv_nxt + length) & MASK
        tcb.bytes_received += length
    else:
        memory.append(tcb, segment.data, length)
    if length < 128 and length < tcb.rcv_mss and tcb.ato and now - tcb.last_data_received <= ATO_MIN // 2:
        # What ack.data_received comes to for a small segment in quick succession.
        tcb.last_segment_size = 0
        pending = tcb.ack_pending
        tcb.ack_pending = pending | SCHEDULED | PUSHED | (PUSHED2 if pending & PUSHED else 0)
        tcb.ato = (tcb.ato >> 1) + ATO_MIN // 2
        tcb.last_data_received = now
    else:
        ack.data_received(tcb, segment, length, now)
    if waiting:
        if tcb.sent is None:
            acks.window_reopened(tcb, now)
        send.push(tcb, now)
    pending = tcb.ack_pending
    if pending & SCHEDULED:
        if (
            (tcb.quick and not tcb.pingpong)
            or pending & NOW
            or (tcb.rcv_nxt - tcb.rcv_wup) & MASK > tcb.rcv_mss
        ):
            ack.check(tcb, now)
        elif not pending & TIMER:
            if tcb.ato > ATO_MIN:
                ack.delay(tcb, now)
            else:
                tcb.ack_pending = pending | TIMER
                when = tcb.delack_at = now + tcb.ato
                if not tcb.armed or when < tcb.armed:
                    alarm(tcb, when)
        elif not tcb.ato >> 2 < tcb.delack_at - now <= tcb.ato:
            ack.delay(tcb, now)
    if tcb.rcvlowat <= 1:
        if not tcb.orphan:
            tcb.effects.changed(tcb, READABLE)
    else:
        receive.readable(tcb)


# -- the long way: RFC 9293 section 3.10.7.4, other states --


def _synchronized(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """SYN-RECEIVED and later: check, then ACK, text and FIN (tcp_rcv_established(), tcp_rcv_state_process())."""
    flags = segment.flags
    if not flags & (ACK | RST | SYN):
        return
    if not _validate(tcb, segment, now):
        return
    if not flags & ACK:
        return
    if not _check_ack(tcb, segment, now):
        return
    if tcb.state == CLOSED:
        return
    _text(tcb, segment, now)
    after_segment(tcb, now)


def after_segment(tcb: Tcb, now: int) -> None:
    """What a segment made possible: send, acknowledge, wake the writer, expect the next one."""
    if tcb.state == CLOSED:
        return
    if tcb.unsent is not None:
        send.push(tcb, now)
    if tcb.no_space:
        acks.made_room(tcb)
    if tcb.ack_pending & SCHEDULED:
        ack.check(tcb, now)
    predict(tcb)


def _validate(tcb: Tcb, segment: TcpSegment, now: int) -> bool:
    """First to fourth step: sequence number, RST, SYN. False: the segment is dealt with (tcp_validate_incoming()).

    PAWS (RFC 7323 section 5) belongs here, before the sequence number; it is not modelled yet.
    """
    flags = segment.flags
    if (
        segment.seq == tcb.rcv_nxt
        and not flags & (RST | SYN)
        and len(segment.data) + (flags & FIN) <= (tcb.rcv_wup + tcb.rcv_wnd - tcb.rcv_nxt) & MASK < 0x80000000
    ):
        return True  # the next in order and inside the window: nearly all; the rest of this would find the same
    if not _acceptable(tcb, segment):
        if not flags & RST:
            if flags & SYN:
                challenge.send(tcb, now)
            else:
                challenge.duplicate(tcb, segment, now)
        elif _resets_after_fin(tcb, segment):
            end.reset_received(tcb)
        return False
    if flags & RST:
        _check_reset(tcb, segment, now)
        return False
    if flags & SYN and not _is_their_syn_again(tcb, segment):
        # RFC 5961 section 4.2: whatever the sequence number, ask.
        challenge.send(tcb, now)
        return False
    return True


def _acceptable(tcb: Tcb, segment: TcpSegment) -> bool:
    """First step: the sequence number lies in the window (RFC 9293 section 3.4, in the form of tcp_sequence())."""
    seq = segment.seq
    last = (seq + segment.sequence_length()) & MASK
    if diff(last, tcb.rcv_wup) < 0:
        return False
    edge = (tcb.rcv_nxt + window.left(tcb)) & MASK
    if diff(last, edge) > 0:
        # Beyond the window: only into an empty queue, and when it begins inside (Linux 6.17).
        return diff(seq, edge) <= 0 and tcb.received is None
    return True


def _resets_after_fin(tcb: Tcb, segment: TcpSegment) -> bool:
    """Some peers reset with the number of their FIN: it is believed (tcp_reset_check())."""
    return segment.seq == (tcb.rcv_nxt - 1) & MASK and tcb.state in (CLOSE_WAIT, LAST_ACK, CLOSING)


def _check_reset(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """Second step: a reset counts when its number is exactly the next; else it is challenged (RFC 5961 section 3.2)."""
    if segment.seq == tcb.rcv_nxt or _resets_after_fin(tcb, segment):
        end.reset_received(tcb)
    else:
        challenge.send(tcb, now)


def _is_their_syn_again(tcb: Tcb, segment: TcpSegment) -> bool:
    """The SYN,ACK that answers ours in a simultaneous open."""
    return (
        tcb.state == SYN_RECEIVED
        and bool(segment.flags & ACK)
        and (segment.seq + 1) & MASK == tcb.rcv_nxt
        and segment.sequence_length() == 1
        and segment.ack == tcb.snd_nxt
    )


def _check_ack(tcb: Tcb, segment: TcpSegment, now: int) -> bool:
    """Fifth step: the acknowledgment, and what it means in each state. False: stop here."""
    state = tcb.state
    if state == ESTABLISHED:
        return acks.take(tcb, segment, now) >= 0
    if state == SYN_RECEIVED:
        return _ack_of_syn(tcb, segment, now)
    verdict = acks.take(tcb, segment, now, quiet=True)
    if verdict < 0:
        challenge.send(tcb, now)
        return False
    if state == FIN_WAIT_1:
        return _ack_in_fin_wait_1(tcb, segment, now)
    if state == CLOSING:
        if end.our_fin_acknowledged(tcb):
            end.time_wait(tcb, TIME_WAIT, 0, now)
            return False
    elif state == LAST_ACK and end.our_fin_acknowledged(tcb):
        end.done(tcb)
        return False
    return True


def _ack_of_syn(tcb: Tcb, segment: TcpSegment, now: int) -> bool:
    """SYN-RECEIVED: an ACK of our SYN makes the connection; any other is answered with a reset."""
    if diff(segment.ack, tcb.snd_una) <= 0 or diff(segment.ack, tcb.snd_nxt) > 0:
        _refuse(tcb, segment)
        return False
    established(tcb, segment, now)
    return True


def established(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """SYN-RECEIVED to ESTABLISHED."""
    times = 0
    if tcb.sent:  # a SYN cookie keeps nothing that could be acknowledged or measured
        times = tcb.sent[0][5]
        acks.clean(tcb, segment, segment.ack, now)
    acks.update_recent(tcb, segment, now)
    handshake.agreed(tcb, times, now)
    tcb.snd_wnd = segment.window << tcb.snd_wscale
    tcb.snd_wl1 = segment.seq
    if tcb.snd_wnd > tcb.max_window and not segment.flags & SYN:  # the window of a SYN,ACK is not scaled
        tcb.max_window = tcb.snd_wnd
        handshake.synchronize_mss(tcb)
    tcb.last_data_sent = tcb.last_ack_received = now
    if tcb.listener is not None:
        tcb.listener.half_open.pop(tcb, None)
    enter(tcb, ESTABLISHED)
    start_keepalive(tcb, now)
    if tcb.shutdown & SEND_SHUTDOWN:
        end.send_direction(tcb, now)
    if not tcb.orphan:
        tcb.effects.changed(tcb, CHANGED)


def start_keepalive(tcb: Tcb, now: int) -> None:
    """SO_KEEPALIVE was set before there was a connection."""
    if tcb.keepalive:
        end.keep_for(tcb, (tcb.keepidle or tcb.settings.tcp_keepalive_time) * 1000 * MILLISECOND, now)


def _ack_in_fin_wait_1(tcb: Tcb, segment: TcpSegment, now: int) -> bool:
    """FIN-WAIT-1: once our FIN is acknowledged, wait for the peer's, not for ever if nobody holds the socket."""
    if not end.our_fin_acknowledged(tcb):
        return True
    end.close_send_side_after_ack(tcb)
    if not tcb.orphan:
        return True
    length, fin_follows = len(segment.data), bool(segment.flags & FIN)
    if tcb.linger2 < 0 or ((length or fin_follows) and diff((segment.seq + length) & MASK, tcb.rcv_nxt) > 0):
        # Data that nobody will read, or a FIN beyond data that is missing.
        end.done(tcb)
        _refuse(tcb, segment)
        return False
    end.orphan_in_fin_wait_2(tcb, now, fin_follows)
    return tcb.state == FIN_WAIT_2


def _text(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """Sixth to eighth step: URG, the segment text and FIN."""
    state = tcb.state
    if state == ESTABLISHED:
        pass
    elif state in (CLOSE_WAIT, CLOSING, LAST_ACK):
        # The peer's FIN is behind us: nothing can follow it, but it may come again.
        if diff((segment.seq + segment.sequence_length()) & MASK, tcb.rcv_nxt) > 0 or segment.seq == tcb.rcv_nxt:
            return
    elif (
        state in (FIN_WAIT_1, FIN_WAIT_2)
        and tcb.shutdown & RCV_SHUTDOWN
        and len(segment.data)
        and diff((segment.seq + len(segment.data)) & MASK, tcb.rcv_nxt) > 0
    ):
        # Nobody will ever read it: RFC 1122 section 4.2.2.13 wants a reset.
        end.reset_received(tcb)
        _refuse(tcb, segment)
        return
    if segment.flags & URG or tcb.urgent is not None:
        urgent.arrives(tcb, segment)
    receive.data_arrives(tcb, segment, now)


# -- SYN-SENT: RFC 9293 section 3.10.7.3 --


def _syn_sent(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """SYN-SENT: check ACK, RST, then take the peer's SYN (tcp_rcv_synsent_state_process())."""
    flags = segment.flags
    if flags & ACK:
        if diff(segment.ack, tcb.snd_una) <= 0 or diff(segment.ack, tcb.snd_nxt) > 0:
            # Of a connection that we know nothing of (RFC 9293 section 3.5.1): refuse it and soon ask anew.
            if not tcb.retransmits:
                tcb.retransmit_at = now + TIMEOUT_MIN
                alarm(tcb, tcb.retransmit_at)
            _refuse(tcb, segment)
        elif not _echoes_us(tcb, segment, now):
            _refuse(tcb, segment)
        elif flags & RST:
            end.reset_received(tcb)
        elif flags & SYN:
            _syn_acknowledged(tcb, segment, now)
    elif flags & SYN and not flags & RST:
        _crossed_syns(tcb, segment, now)


def _echoes_us(tcb: Tcb, segment: TcpSegment, now: int) -> bool:
    """A timestamp echoed in answer to our SYN must be one that we sent since then (PAWS on the active side)."""
    timestamps = segment.timestamps
    if timestamps is None or not timestamps[1] or not tcb.settings.tcp_timestamps:
        return True
    first = (tcb.retransmit_began // MILLISECOND + tcb.ts_offset) & MASK
    last = (now // MILLISECOND + tcb.ts_offset) & MASK
    return (last - first) & MASK >= (timestamps[1] - first) & MASK


def _syn_acknowledged(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """The usual way: SYN-SENT to ESTABLISHED."""
    handshake.take_options(tcb, segment, now)
    times = tcb.sent[0][5] if tcb.sent else 0
    acks.clean(tcb, segment, segment.ack, now)
    handshake.agreed(tcb, times, now)
    tcb.last_data_sent = tcb.last_ack_received = now
    enter(tcb, ESTABLISHED)
    start_keepalive(tcb, now)
    if not tcb.orphan:
        tcb.effects.changed(tcb, CHANGED)
    if tcb.pingpong or tcb.defer_accept:
        # TCP_QUICKACK 0, TCP_DEFER_ACCEPT: the ACK may wait for the first data.
        ack.quick_mode(tcb)
        tcb.ack_pending |= SCHEDULED | TIMER
        tcb.delack_at = now + ack.DELAY_MAX
        alarm(tcb, tcb.delack_at)
    else:
        send.acknowledge(tcb, now)
    predict(tcb)


def _crossed_syns(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """Simultaneous open, or a connection to oneself: SYN-SENT to SYN-RECEIVED (RFC 9293 section 3.5, figure 8)."""
    handshake.take_options(tcb, segment, now)
    handshake.synchronize_mss(tcb)
    handshake.guess_peer_mss(tcb)
    enter(tcb, SYN_RECEIVED)
    sent = tcb.sent
    assert sent is not None
    seq, last, data, _, at, times, charge = sent[0]
    sent[0] = (seq, last, data, SYN | ACK, at, times, charge)
    handshake.send_syn(tcb, SYN | ACK, now)


# -- SYN-RECEIVED of a listener: tcp_check_req() --


def _request(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """A segment for a connection that a listener is about to make."""
    flags = segment.flags
    seq = segment.seq
    if listen.holder(tcb) is None:
        end.done(tcb)
        _refuse(tcb, segment)
        return
    if seq == tcb.irs and flags & (SYN | ACK | RST | FIN) == SYN:
        # Our SYN,ACK was lost, or is late.
        if not challenge.limited(tcb, now):
            handshake.send_syn(tcb, SYN | ACK, now)
        return
    if flags & ACK and segment.ack != tcb.snd_nxt:
        if not flags & RST:
            _refuse(tcb, segment)
        return
    last = (seq + segment.sequence_length()) & MASK
    if not timewait.in_window(seq, last, tcb.rcv_nxt, (tcb.rcv_nxt + tcb.rcv_wnd) & MASK):
        if not flags & RST and not challenge.limited(tcb, now):
            send.acknowledge(tcb, now)
        return
    if seq == tcb.irs:
        flags &= ~SYN
    if flags & (RST | SYN):
        if not flags & RST:
            _refuse(tcb, segment)
        end.done(tcb)
    elif flags & ACK:
        _third_ack(tcb, segment, now)


def _third_ack(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """The handshake is complete, if the accept queue has room (tcp_v4_syn_recv_sock(), tcp_child_process())."""
    verdict = listen.complete(tcb, segment, now)
    if verdict == listen.REFUSED:
        _refuse(tcb, segment)
        end.done(tcb)
    elif verdict == listen.COMPLETE:
        _completed(tcb, segment, now)


def _completed(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    established(tcb, segment, now)
    # The SYN counts, and this segment; what answered the SYN does not (tcp_create_openreq_child()).
    tcb.segs_in = 2
    tcb.data_segs_in = int(len(segment.data) > 0)
    tcb.segs_out = tcb.bytes_acked = 0
    listen.queue(tcb)
    _text(tcb, segment, now)
    after_segment(tcb, now)


# -- no connection: RFC 9293 section 3.10.7.1 --


def _refuse(tcb: Tcb, segment: TcpSegment) -> None:
    answer = reset_for(segment)
    if answer is not None:
        tcb.effects.transmit(tcb, answer)


def reset_for(segment: TcpSegment) -> TcpSegment | None:
    """The reset that answers a segment for which there is no connection; None when it is a reset itself.

    Source: RFC 9293 section 3.10.7.1 and 3.5.2; tcp_v4_send_reset().
    """
    return timewait.reset_for(segment)


def icmp_error(
    tcb: Tcb | TimeWait, errno: int, hard: bool, quoted: TcpSegment, mtu: int, now: int
) -> None:
    """An ICMP error about a segment of this connection (RFC 9293 section 3.9.2.2; tcp_v4_err(), tcp_v6_err()).

    Args: errno, hard: as `icmp.errno_for` translates it. mtu: of "fragmentation needed" (then errno is EMSGSIZE),
    else 0; path MTU discovery is not modelled yet. In SYN-SENT and SYN-RECEIVED a connection ends with `errno`; later
    it is remembered as the soft error, and told if the connection fails by itself. One about a sequence number that
    is not in flight is not believed (RFC 5927 section 4.1).
    """
    if isinstance(tcb, TimeWait) or mtu or not errno:
        return
    if tcb.state in (LISTEN, CLOSED):
        return
    if diff(quoted.seq, tcb.snd_una) < 0 or diff(quoted.seq, tcb.snd_nxt) > 0:
        return
    if tcb.state == SYN_SENT or (tcb.state == SYN_RECEIVED and tcb.listener is None):
        end.fail(tcb, errno)
    elif tcb.state == SYN_RECEIVED:
        # The listener's program never knew of it (tcp_req_err()).
        end.done(tcb)
    else:
        tcb.soft_error = errno
        _ = hard
