"""When to acknowledge: at once at the start and when data is missed, later when the program is likely to answer.

RFC 9293 section 3.8.6.3 allows half a second; Linux waits 40 ms and more cleverly (struct icsk_ack, tcp_input.c).
"""

from __future__ import annotations

from typing import Final

from portside.addr.abi import MILLISECOND
from portside.tcp import send, window
from portside.tcp.tcb import ATO_MIN, NOW, OVERHEAD, PUSHED, PUSHED2, RTO_MIN, SCHEDULED, TIMER, Tcb
from portside.tcp.timer import alarm
from portside.wire.packet import PSH, TcpSegment

TICK: Final = 4 * MILLISECOND  # of the kernel's clock at 250 Hz
DELAY_MAX: Final = 200 * MILLISECOND  # TCP_DELACK_MAX
LONGEST: Final = RTO_MIN - TICK  # tcp_delack_max(): before the peer's shortest timeout is over
MAX_QUICKACKS: Final = 16  # TCP_MAX_QUICKACKS
LARGE: Final = 536 + 20  # TCP_MSS_DEFAULT and a header: what no sender of small writes would send


def measure(tcb: Tcb, segment: TcpSegment, length: int) -> None:
    """Guess the peer's segment size, and how much memory its data takes (tcp_measure_rcv_mss())."""
    previous = tcb.last_segment_size
    tcb.last_segment_size = 0
    size = segment.gso_size or length
    if size >= tcb.rcv_mss:
        if size != tcb.rcv_mss:
            window.set_ratio(tcb, (length << 8) // (length + OVERHEAD) or 1)
        tcb.rcv_mss = min(size, tcb.advertised_mss)
        if segment.flags & PSH:
            tcb.ack_pending |= PUSHED  # a full segment, and yet the end of a write: no more may follow
        return
    length = size
    whole = length + segment.header_length()
    if whole >= LARGE or (whole >= 108 and not segment.flags & PSH):
        tcb.last_segment_size = length
        if length == previous:
            tcb.rcv_mss = length
            return
    tcb.ack_pending |= PUSHED | PUSHED2 if tcb.ack_pending & PUSHED else PUSHED


def data_received(tcb: Tcb, segment: TcpSegment, length: int, now: int) -> None:
    """Data has arrived: an acknowledgment is owed, and how soon depends on the pace (tcp_event_data_recv())."""
    tcb.ack_pending |= SCHEDULED
    measure(tcb, segment, length)
    if length >= tcb.rcv_mss or not tcb.timestamps_ok:  # with timestamps a smaller one says nothing
        window.measure_round_trip(tcb, segment, length, now)
    if not tcb.ato:
        hurry(tcb, MAX_QUICKACKS)
        tcb.ato = ATO_MIN
    else:
        gap = now - tcb.last_data_received
        if gap <= ATO_MIN // 2:
            tcb.ato = (tcb.ato >> 1) + ATO_MIN // 2
        elif gap < tcb.ato:
            tcb.ato = min((tcb.ato >> 1) + gap, tcb.rto)
        elif gap >= tcb.rto:
            # The sender pauses so long that it may begin slowly again: help it. (The kernel asks for more than the RTO,
            # and a timer of the same length that ended the pause fires a tick later there.)
            hurry(tcb, MAX_QUICKACKS)
    tcb.last_data_received = now
    if length >= 128:
        window.grow(tcb, length)


def hurry(tcb: Tcb, most: int) -> None:
    """Acknowledge the next segments at once (tcp_incr_quickack())."""
    quick = tcb.rcv_wnd // (2 * tcb.rcv_mss) or 2
    tcb.quick = max(tcb.quick, quick if quick < most else most)


def quick_mode(tcb: Tcb, most: int = MAX_QUICKACKS) -> None:
    """Leave delayed acknowledgments: something is amiss (tcp_enter_quickack_mode())."""
    hurry(tcb, most)
    tcb.pingpong = 0
    tcb.ato = ATO_MIN


def check(tcb: Tcb, now: int) -> None:
    """After a segment: acknowledge now or later what is owed (__tcp_ack_snd_check())."""
    pending = tcb.ack_pending
    if not pending & SCHEDULED:
        return
    if (
        (
            (tcb.rcv_nxt - tcb.rcv_wup) & 0xFFFFFFFF > tcb.rcv_mss
            and (
                (tcb.rcv_nxt - tcb.copied_seq) & 0xFFFFFFFF < tcb.rcvlowat
                or window.offer(tcb) >= tcb.rcv_wnd
            )
        )
        or (tcb.quick and not tcb.pingpong)  # which `offer` may have ended
        or pending & NOW
        or tcb.out_of_order is not None
    ):
        send.acknowledge(tcb, now)
    else:
        delay(tcb, now)


def delay(tcb: Tcb, now: int) -> None:
    """Acknowledge later (tcp_send_delayed_ack())."""
    ato = tcb.ato or TICK  # nothing but a FIN has come: the timer is due at once, that is at the next tick
    if ato > ATO_MIN and tcb.srtt:
        ato = min(ato, max((tcb.srtt >> 3) * 1000, ATO_MIN))
    ato = ato if ato < LONGEST else LONGEST
    when = now + ato
    if tcb.ack_pending & TIMER:
        if tcb.delack_at - now <= ato >> 2:
            # It would come soon anyway: let it tell of this too.
            send.acknowledge(tcb, now)
            return
        when = when if when < tcb.delack_at else tcb.delack_at
    tcb.ack_pending |= TIMER | SCHEDULED
    tcb.delack_at = when
    alarm(tcb, when)


def expired(tcb: Tcb, now: int) -> None:
    """The delay is over (tcp_delack_timer_handler())."""
    tcb.ack_pending &= ~TIMER
    if not tcb.ack_pending & SCHEDULED:
        return
    if not tcb.pingpong:
        tcb.ato = min(tcb.ato << 1, tcb.rto)
    else:
        # The program did not answer as it used to.
        tcb.pingpong = 0
        tcb.ato = ATO_MIN
    send.acknowledge(tcb, now)


def after_reading(tcb: Tcb, copied: int, now: int) -> None:
    """The program has read: tell the peer of new room, and of what waited for the program (tcp_cleanup_rbuf())."""
    pending = tcb.ack_pending
    if pending & SCHEDULED and (
        (tcb.rcv_nxt - tcb.rcv_wup) & 0xFFFFFFFF > tcb.rcv_mss
        or (
            copied > 0
            and (pending & PUSHED2 or (pending & PUSHED and not tcb.pingpong))
            and not (tcb.rcv_memory or tcb.fin_queued)
        )
    ):
        send.acknowledge(tcb, now)
        return
    if copied > 0 and not tcb.shutdown & 1:
        offered = window.left(tcb)
        if 2 * offered <= tcb.window_clamp:
            new = window.offer(tcb)
            if new and new >= 2 * offered:
                send.acknowledge(tcb, now)
