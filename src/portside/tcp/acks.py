"""What an acknowledgment does: SND.UNA, the window, the round trip, the congestion window (RFC 9293 section 3.10.7.4).

Source: tcp_ack(), tcp_clean_rtx_queue(), tcp_ack_update_window(), Linux 6.18.
"""

from __future__ import annotations

from typing import Final

from portside.addr.abi import MILLISECOND
from portside.tcp import challenge, handshake, loss, rto, send, window
from portside.tcp.congestion import control
from portside.tcp.effects import WRITABLE
from portside.tcp.tcb import RTO_MIN, Sent, Tcb
from portside.tcp.timer import alarm
from portside.wire.packet import SYN, TcpSegment
from portside.wire.seq import diff

MASK: Final = 0xFFFFFFFF

TICK: Final = 4 * MILLISECOND  # of the kernel's clock at 250 Hz

GOOD: Final = 1
OLD: Final = 0  # acknowledges less than is known already
TOO_OLD: Final = -1  # so old that it must be blind (RFC 5961 section 5.2)
UNSENT: Final = -2  # acknowledges what was never sent


def take(tcb: Tcb, segment: TcpSegment, now: int, quiet: bool = False) -> int:
    """Take in the acknowledgment of a segment whose sequence number is acceptable.

    Args: quiet: do not send the challenge ACK to a blind one (the caller will).
    Returns: GOOD, OLD, TOO_OLD or UNSENT; the segment's data counts only when it is not negative.
    """
    ack = segment.ack
    advance = (ack - tcb.snd_una + 0x80000000 & MASK) - 0x80000000  # diff(), without the call
    if advance < 0:
        if -advance > tcb.max_window:
            if not quiet:
                challenge.send(tcb, now)
            return TOO_OLD
        return OLD
    if 0 < (ack - tcb.snd_nxt) & MASK < 0x80000000:
        return UNSENT
    if tcb.timestamps_ok:
        update_recent(tcb, segment, now)
    scale = tcb.snd_wscale
    if advance and scale >= 0 and segment.window << scale == tcb.snd_wnd and not segment.flags & SYN:
        tcb.snd_wl1 = segment.seq  # all that `_update_window` would do
        updated = True
    else:
        updated = _update_window(tcb, segment, advance > 0, now)
    tcb.soft_error = 0
    tcb.probes_out = 0
    tcb.last_ack_received = now
    if tcb.sent is None:
        tcb.snd_una = ack
        if tcb.unsent is not None:
            window_reopened(tcb, now)
        return GOOD
    _process(tcb, segment, ack, advance, updated, now)
    return GOOD


def _process(tcb: Tcb, segment: TcpSegment, ack: int, advance: int, updated: bool, now: int) -> None:
    """There is something in flight: see what of it is acknowledged, and what that means for the rest."""
    count = clean(tcb, segment, ack, now) if advance else 0
    duplicate = not (count or updated or len(segment.data) or segment.flags & 3)
    if duplicate or tcb.ca_state != loss.OPEN:
        loss.acknowledged(tcb, segment, advance > 0, count, duplicate, now)
    elif count:
        control.acked(tcb, count)


def clean(tcb: Tcb, segment: TcpSegment, ack: int, now: int) -> int:
    """Drop from `sent` what `ack` covers, measure the round trip, set the timer anew: how many segments it covered."""
    sent = tcb.sent
    assert sent is not None
    count = 0
    again = False
    first = now
    for entry in sent:
        if (ack - entry[1]) & MASK >= 0x80000000:
            break
        count += 1
        tcb.snd_memory -= entry[6]
        if entry[5]:
            again = True
        first = entry[4] if entry[4] < first else first
    tcb.bytes_acked += (ack - tcb.snd_una) & MASK
    tcb.snd_una = ack
    tcb.retransmits = 0
    if count == len(sent):
        tcb.sent = None
        tcb.retransmit_at = 0
        tcb.lost_out = tcb.retransmitted_out = 0
    else:
        if count:
            del sent[:count]
            loss.removed(tcb, count)
        _trim(tcb, sent, ack)
    if count:
        if again:
            _round_trip_of_echo(tcb, segment, now)
        else:
            rto.measured(tcb, now - first)
        if tcb.sent is not None:
            tcb.retransmit_at = now + tcb.rto
            alarm(tcb, tcb.retransmit_at)
    return count


def _trim(tcb: Tcb, sent: list[Sent], ack: int) -> None:
    """A part of the first segment in flight is acknowledged: the rest remains (tcp_trim_head())."""
    seq, end, data, flags, at, times, charge = sent[0]
    covered = (ack - seq) & MASK
    if 0 < covered < 0x80000000:
        covered_data = min(covered, len(data))
        sent[0] = (ack, end, memoryview(data)[covered_data:], flags, at, times, charge - covered_data)
        tcb.snd_memory -= covered_data


def _round_trip_of_echo(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """Karn's algorithm: a segment sent twice says nothing, but the peer's timestamp does (tcp_ack_update_rtt())."""
    if tcb.timestamps_ok and segment.timestamps is not None and segment.timestamps[1]:
        echo = diff((now // MILLISECOND + tcb.ts_offset) & MASK, segment.timestamps[1])
        if echo >= 0:
            rto.measured(tcb, max(echo, 1) * MILLISECOND)


def update_recent(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """Remember the timestamp to echo: of the segment at the left edge (RFC 7323 4.3; tcp_replace_ts_recent())."""
    timestamps = segment.timestamps
    if timestamps is not None and tcb.timestamps_ok and (tcb.rcv_wup - segment.seq) & MASK < 0x80000000:
        value = timestamps[0]
        if (value - tcb.ts_recent) & MASK < 0x80000000:
            tcb.ts_recent = value
            tcb.ts_recent_at = now or 1


def _update_window(tcb: Tcb, segment: TcpSegment, advanced: bool, now: int) -> bool:
    """RFC 9293 section 3.10.7.4: SND.WND from a newer segment. True when it counts as one (tcp_may_update_window())."""
    new = segment.window
    if tcb.snd_wscale > 0 and not segment.flags & SYN:
        new <<= tcb.snd_wscale
    if not advanced:
        newer = diff(segment.seq, tcb.snd_wl1)
        if newer < 0 or (newer == 0 and new <= tcb.snd_wnd and new):
            return False
    tcb.snd_wl1 = segment.seq
    if new != tcb.snd_wnd:
        tcb.snd_wnd = new
        if tcb.unsent is not None:
            send.idle_restart(tcb, now)
        if new > tcb.max_window:
            tcb.max_window = new
            handshake.synchronize_mss(tcb)
    return True


def window_reopened(tcb: Tcb, now: int) -> None:
    """Nothing is in flight: the probe timer stops when the next piece fits, or starts over (tcp_ack_probe())."""
    unsent = tcb.unsent
    if not unsent:
        return
    room = diff((tcb.snd_una + tcb.snd_wnd) & MASK, tcb.snd_nxt)
    if unsent[0].length + (1 if tcb.fin_unsent and len(unsent) == 1 else 0) <= room:
        tcb.backoff = 0
        tcb.probe_began = 0
        tcb.probe_at = 0
    elif tcb.probe_at:
        tcb.probe_at = now + until_user_timeout(tcb, probe_interval(tcb), tcb.probe_began, now)
        alarm(tcb, tcb.probe_at)


def probe_interval(tcb: Tcb) -> int:
    """How long until the next window probe, ns (tcp_probe0_when())."""
    most = rto.maximum(tcb)
    doublings = min((most // RTO_MIN).bit_length(), tcb.backoff)
    return min(max(tcb.rto, RTO_MIN) << doublings, most)


def until_user_timeout(tcb: Tcb, timeout: int, began: int, now: int) -> int:
    """A timeout, ns, that does not reach past TCP_USER_TIMEOUT (tcp_clamp_rto_to_user_timeout())."""
    if not tcb.user_timeout or not began:
        return timeout
    remaining = tcb.user_timeout * MILLISECOND - (now - began)
    return min(timeout, max(remaining, TICK))


def made_room(tcb: Tcb) -> None:
    """Wake who found the send buffer full, once a third of it is free (tcp_check_space(), sk_stream_write_space())."""
    if tcb.no_space and not tcb.orphan:
        if send.in_flight(tcb) < tcb.cwnd:
            window.expand_send_buffer(tcb)
        if writable(tcb):
            tcb.no_space = False
            tcb.effects.changed(tcb, WRITABLE)


def writable(tcb: Tcb) -> bool:
    """Whether poll(2) says POLLOUT: room for half of what is queued (__sk_stream_is_writeable())."""
    queued = tcb.snd_memory
    if tcb.sndbuf - queued < queued >> 1 or queued >= tcb.sndbuf:
        return False
    return not tcb.notsent_lowat or ((tcb.write_seq - tcb.snd_nxt) & MASK) << 1 < tcb.notsent_lowat
