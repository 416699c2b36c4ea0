"""The receive window: how much to offer, and how the receive buffer grows with a program that reads.

RFC 9293 section 3.8.6.2.2 (receiver's silly window avoidance); __tcp_select_window(), tcp_grow_window(),
tcp_rcv_space_adjust(), Linux 6.18. The memory of a segment is its data and OVERHEAD.
"""

from __future__ import annotations

from typing import Final

from portside.addr.abi import MILLISECOND
from portside.tcp.tcb import INITIAL_CWND, NO_MEMORY, OVERHEAD, Tcb
from portside.wire.packet import TcpSegment

LEAST_CLAMP: Final = 1152  # SOCK_MIN_RCVBUF / 2


def initial(tcb: Tcb, mss: int, scaling: bool) -> None:
    """The window and the scale of the SYN (tcp_select_initial_window())."""
    # Comparisons instead of min() and max(), here and below: each of those is a call.
    full = full_space(tcb)
    clamp = tcb.window_clamp or 0xFFFF << 14
    if tcb.rcvbuf_locked and full < clamp:
        # The buffer will not grow: no larger scale than it needs.
        clamp = full
    space = full if full < clamp else clamp
    if space > mss:
        space -= space % mss
    tcb.rcv_wnd = tcb.rcv_ssthresh = space if space < 0xFFFF else 0xFFFF
    tcb.rcv_wscale = 0
    if scaling:
        settings = tcb.settings
        most = settings.tcp_rmem[2] if settings.tcp_rmem[2] > settings.rmem_max else settings.rmem_max
        most = space if space > most else most
        scale = (most if most < clamp else clamp).bit_length() - 16
        tcb.rcv_wscale = 0 if scale < 0 else 14 if scale > 14 else scale
    most = 0xFFFF << tcb.rcv_wscale
    tcb.window_clamp = clamp if clamp < most else most


def from_space(tcb: Tcb, space: int) -> int:
    """How many bytes of data fit in so much memory (tcp_win_from_space())."""
    return space * tcb.scaling_ratio >> 8


def full_space(tcb: Tcb) -> int:
    """What the window could be with an empty buffer, whatever its clamp (tcp_full_space())."""
    return tcb.rcvbuf * tcb.scaling_ratio >> 8


def left(tcb: Tcb) -> int:
    """What remains of the window that was offered last (tcp_receive_window())."""
    rest = (tcb.rcv_wup + tcb.rcv_wnd - tcb.rcv_nxt) & 0xFFFFFFFF
    return rest if rest < 0x80000000 else 0


def offer(tcb: Tcb) -> int:
    """The window that the buffer allows now; not yet in regard of what was offered before (__tcp_select_window())."""
    ratio = tcb.scaling_ratio
    free = (tcb.rcvbuf - tcb.rcv_memory) * ratio >> 8
    full = allowed = tcb.rcvbuf * ratio >> 8
    clamp = tcb.window_clamp
    full = clamp if clamp < full else full
    mss = tcb.rcv_mss if tcb.rcv_mss < full else full
    if mss <= 0:
        return 0
    if free < full >> 1:
        tcb.quick = 0
        free = free >> tcb.rcv_wscale << tcb.rcv_wscale
        if free < allowed >> 4 or free < mss:
            return 0
    free = free if free < tcb.rcv_ssthresh else tcb.rcv_ssthresh
    if tcb.rcv_wscale:
        unit = (1 << tcb.rcv_wscale) - 1
        return (free + unit) & ~unit
    old = tcb.rcv_wnd
    if old <= free - mss or old > free:
        return free - free % mss
    if mss == full and free > old + (full >> 1):
        return free
    return old


def select(tcb: Tcb) -> int:
    """The window field of a segment that leaves now; the offer is never taken back (tcp_select_window())."""
    if tcb.ack_pending & NO_MEMORY:
        # What came was dropped for want of memory: say so.
        tcb.rcv_wnd = 0
        tcb.rcv_wup = tcb.rcv_nxt
        return 0
    current = (tcb.rcv_wup + tcb.rcv_wnd - tcb.rcv_nxt) & 0xFFFFFFFF  # `left`, below half of the sequence space
    new = offer(tcb)
    if new < current < 0x80000000:
        unit = (1 << tcb.rcv_wscale) - 1
        new = (current + unit) & ~unit
    tcb.rcv_wnd = new
    tcb.rcv_wup = tcb.rcv_nxt
    field = new >> tcb.rcv_wscale
    return field if field < 0xFFFF else 0xFFFF


def refresh(tcb: Tcb) -> None:
    """Work out the window of an empty buffer beforehand, for the segments that are sent while nothing is queued."""
    scale = tcb.rcv_wscale
    if not scale:
        tcb.open_window = -1
        return
    unit = (1 << scale) - 1
    full = full_space(tcb)
    full = full if full < tcb.window_clamp else tcb.window_clamp
    tcb.open_window = window = ((full if full < tcb.rcv_ssthresh else tcb.rcv_ssthresh) + unit) & ~unit
    window >>= scale
    tcb.open_field = window if window < 0xFFFF else 0xFFFF


def set_ratio(tcb: Tcb, ratio: int) -> None:
    """The share of data in the memory that segments take has changed (tp->scaling_ratio)."""
    if ratio != tcb.scaling_ratio:
        tcb.scaling_ratio = ratio
        set_clamp(tcb, full_space(tcb))
        tcb.rcvq_space = min(tcb.rcvq_space, tcb.window_clamp)


def set_clamp(tcb: Tcb, size: int) -> None:
    """Bound the window, and with it what is offered now: TCP_WINDOW_CLAMP (tcp_set_window_clamp())."""
    old = tcb.window_clamp
    new = tcb.window_clamp = size if size > LEAST_CLAMP else LEAST_CLAMP
    if new < old:
        tcb.rcv_ssthresh = min(tcb.rcv_ssthresh, new)
    elif new > old:
        tcb.rcv_ssthresh = max(min(tcb.rcv_wnd, new), tcb.rcv_ssthresh)
    refresh(tcb)


def overflow(tcb: Tcb) -> None:
    """The receive buffer is full: let it grow, if the program has not set it, or offer little (tcp_clamp_window())."""
    tcb.quick = 0
    most = tcb.settings.tcp_rmem[2]
    if tcb.rcvbuf < most and not tcb.rcvbuf_locked:
        tcb.rcvbuf = min(tcb.rcv_memory, most)
    if tcb.rcv_memory > tcb.rcvbuf:
        tcb.rcv_ssthresh = min(tcb.window_clamp, 2 * tcb.advertised_mss)
    refresh(tcb)


def grow(tcb: Tcb, length: int) -> None:
    """Let the window open with the segments that arrive in order (tcp_grow_window()).

    The head of an sk_buff that holds no data itself is not counted (truesize_adjust()), so that no segment has much
    overhead.
    """
    room = min(tcb.window_clamp, from_space(tcb, tcb.rcvbuf - tcb.rcv_memory)) - tcb.rcv_ssthresh
    if room > 0:
        tcb.quick |= 1
        tcb.rcv_ssthresh += min(room, 2 * max(tcb.advertised_mss, length))
        refresh(tcb)


def grow_later(tcb: Tcb, length: int) -> None:
    """The same for a segment out of order, its overhead counted (__tcp_grow_window())."""
    room = min(tcb.window_clamp, from_space(tcb, tcb.rcvbuf - tcb.rcv_memory)) - tcb.rcv_ssthresh
    if room <= 0:
        return
    memory = length + OVERHEAD
    step = 2 * tcb.advertised_mss if from_space(tcb, memory) <= length else _step(tcb, length, memory)
    if step:
        tcb.quick |= 1
        tcb.rcv_ssthresh += min(room, max(step, 2 * length))
        refresh(tcb)


def _step(tcb: Tcb, length: int, memory: int) -> int:
    """For a segment with much overhead: grow by what such segments could fill of the buffer (__tcp_grow_window())."""
    memory = from_space(tcb, memory) >> 1
    half = from_space(tcb, tcb.settings.tcp_rmem[2]) >> 1
    while tcb.rcv_ssthresh <= half:
        if memory <= length:
            return 2 * tcb.rcv_mss
        memory >>= 1
        half >>= 1
    return 0


def begin(tcb: Tcb, now: int) -> None:
    """The connection is made: buffers to work with (tcp_init_buffer_space())."""
    expand_send_buffer(tcb)
    most = full_space(tcb)
    clamp, mss = min(tcb.window_clamp, most), tcb.advertised_mss
    if clamp > 2 * mss and clamp + mss > most:
        clamp = max(2 * mss, most - mss)  # room for one more segment
    tcb.window_clamp = clamp
    tcb.rcv_ssthresh = min(tcb.rcv_ssthresh, clamp)
    space = min(tcb.rcv_ssthresh, tcb.rcv_wnd)
    tcb.rcvq_space = min(space, INITIAL_CWND * tcb.advertised_mss)
    tcb.rcvq_seq = tcb.copied_seq
    tcb.rcvq_time = now
    refresh(tcb)


def expand_send_buffer(tcb: Tcb) -> None:
    """Room for twice the congestion window (tcp_sndbuf_expand())."""
    if tcb.sndbuf_locked:
        return
    segment = tcb.mss_clamp if tcb.mss_clamp > tcb.mss else tcb.mss
    segment += 192 + 320  # MAX_TCP_HEADER, struct skb_shared_info
    memory = (1 << (segment - 1).bit_length()) + 256  # struct sk_buff
    want = 2 * (tcb.cwnd if tcb.cwnd > INITIAL_CWND else INITIAL_CWND) * memory
    if tcb.sndbuf < want:
        tcb.sndbuf = min(want, tcb.settings.tcp_wmem[2])


def measure_round_trip(tcb: Tcb, segment: TcpSegment, length: int, now: int) -> None:
    """Estimate the round trip as the receiver sees it: by the timestamps that come back, else by windows full of data.

    Source: tcp_rcv_rtt_measure(), tcp_rcv_rtt_measure_ts(), tcp_rcv_rtt_update().
    """
    timestamps = segment.timestamps
    if tcb.timestamps_ok and timestamps is not None:
        if length >= tcb.rcv_mss and timestamps[1] != tcb.rcv_rtt_seq and timestamps[1]:
            tcb.rcv_rtt_seq = timestamps[1]
            sample = (now // MILLISECOND + tcb.ts_offset - timestamps[1]) & 0xFFFFFFFF
            if sample < 0x80000000:
                # A smoothed average, in ms; less than one cannot be seen.
                sample = max(sample, 1) * MILLISECOND
                tcb.rcv_rtt = tcb.rcv_rtt + (sample - tcb.rcv_rtt >> 3) if tcb.rcv_rtt else sample
        return
    if tcb.rcv_rtt_time:
        if (tcb.rcv_nxt - tcb.rcv_rtt_seq) & 0xFFFFFFFF >= 0x80000000:
            return
        sample = max(now - tcb.rcv_rtt_time, 1)
        tcb.rcv_rtt = min(tcb.rcv_rtt, sample) if tcb.rcv_rtt else sample
    tcb.rcv_rtt_seq = (tcb.rcv_nxt + tcb.rcv_wnd) & 0xFFFFFFFF
    tcb.rcv_rtt_time = now


def adjust(tcb: Tcb, now: int, more: int = 0) -> None:
    """The program has read: when it keeps pace, the buffer grows to twice of what comes in a round trip.

    Args: more: bytes that the same call took after the first sk_buff. Linux looks after each, when the rest still
    waits, and not again before a round trip is over. Source: tcp_rcv_space_adjust() and tcp_rcvbuf_grow(), Linux 6.18.
    """
    if not tcb.rcv_rtt or now - tcb.rcvq_time < tcb.rcv_rtt:
        return
    seq = (tcb.copied_seq - more) & 0xFFFFFFFF
    waiting = (tcb.rcv_nxt - seq) & 0xFFFFFFFF
    copied = ((seq - tcb.rcvq_seq) & 0xFFFFFFFF) - waiting
    if copied > tcb.rcvq_space:
        _grow_buffer(tcb, copied)
    tcb.rcvq_seq = seq
    tcb.rcvq_time = now


def _grow_buffer(tcb: Tcb, copied: int) -> None:
    old = tcb.rcvq_space
    tcb.rcvq_space = copied
    settings = tcb.settings
    if not settings.tcp_moderate_rcvbuf or tcb.rcvbuf_locked:
        return
    want = 2 * copied
    want += 2 * (want * (copied - old) // max(old, 1))
    if tcb.out_of_order is not None:
        last = tcb.out_of_order[-1]
        want += (last[0] + len(last[1]) - tcb.rcv_nxt) & 0xFFFFFFFF
    memory = min((want << 8) // tcb.scaling_ratio, settings.tcp_rmem[2])
    if memory > tcb.rcvbuf:
        tcb.rcvbuf = memory
        tcb.window_clamp = full_space(tcb)
        refresh(tcb)
