"""Sending: segments out of the send buffer, in regard of window, congestion, Nagle and cork; retransmission; bare ACKs.

Source: RFC 9293 section 3.8; tcp_write_xmit(), tcp_transmit_skb() and their neighbours, Linux 6.18.
"""

from __future__ import annotations

from typing import Final

from portside.addr.abi import MILLISECOND
from portside.facts.state import CLOSED, SYN_SENT
from portside.tcp import handshake, urgent_pointer, window
from portside.tcp.congestion import control
from portside.tcp.tcb import ATO_MIN, OVERHEAD, RTO_MIN, SCHEDULED, Sent, Tcb, Unsent
from portside.tcp.timer import alarm
from portside.wire.packet import ACK, FIN, PSH, RST, SYN, Payload, TcpSegment
from portside.wire.seq import diff

MASK: Final = 0xFFFFFFFF

# How `push` treats what is smaller than a full segment: tp->nonagle.
USUAL: Final = 0  # by Nagle's algorithm, nodelay and cork
NOW: Final = 1  # send it (TCP_NAGLE_PUSH)
CORKED: Final = 2  # hold it back (TCP_NAGLE_CORK): MSG_MORE


def transmit(tcb: Tcb, seq: int, flags: int, data: Payload, now: int, gso_size: int = 0) -> None:
    """Send one segment with what it says besides its data: acknowledgment, window, timestamps (tcp_transmit_skb()).

    Args: gso_size: it stands for several, of so many bytes each.
    """
    if not tcb.rcv_memory and tcb.open_window >= tcb.rcv_wnd:
        # Nothing is queued: the window is as `window.refresh` worked it out.
        tcb.rcv_wnd = tcb.open_window
        tcb.rcv_wup = tcb.rcv_nxt
        field = tcb.open_field
    else:
        field = window.select(tcb)
    segment = TcpSegment(
        tcb.laddr, tcb.raddr, tcb.lport, tcb.rport, seq, tcb.rcv_nxt if flags & ACK else 0, flags, field, data
    )
    if gso_size:
        segment.gso_size = gso_size
    if tcb.timestamps_ok:
        segment.timestamps = ((now // MILLISECOND + tcb.ts_offset) & MASK, tcb.ts_recent)
    if tcb.urging:
        urgent_pointer.point(tcb, segment)
    if flags & ACK:
        quick = tcb.quick
        if quick:
            tcb.quick = quick - (tcb.ack_pending & SCHEDULED)
            if quick == 1 and not tcb.quick:
                tcb.ato = ATO_MIN
        tcb.ack_pending = 0
        tcb.delack_at = 0
    tcb.effects.transmit(tcb, segment)


def acknowledge(tcb: Tcb, now: int) -> None:
    """Send a bare ACK (tcp_send_ack())."""
    if tcb.state != CLOSED:
        transmit(tcb, tcb.snd_nxt, ACK, b"", now)


def reset(tcb: Tcb, now: int) -> None:
    """Send a reset of our own accord (tcp_send_active_reset())."""
    transmit(tcb, acceptable(tcb), ACK | RST, b"", now)


def acceptable(tcb: Tcb) -> int:
    """A sequence number that the peer's window takes, though it may have shrunk (tcp_acceptable_seq())."""
    end = (tcb.snd_una + tcb.snd_wnd) & MASK
    if diff(end, tcb.snd_nxt) >= 0:
        return tcb.snd_nxt
    shrunk = (tcb.snd_nxt - end) & MASK
    return tcb.snd_nxt if shrunk < 1 << tcb.rcv_wscale else end


# -- the send buffer --


def enqueue(tcb: Tcb, data: Payload, more: bool, now: int) -> int:
    """Put data at the end of the send buffer while there is room: bytes taken (tcp_sendmsg_locked()).

    The last piece may exceed the limit, as in Linux: room is asked for when a piece is begun. A full piece is sent
    before the next is begun, if nothing waits before it or a good part of the window does.
    """
    goal = handshake.size_goal(tcb)
    length = len(data)
    taken = 0
    while taken < length:
        unsent = tcb.unsent
        if unsent is None:
            unsent = tcb.unsent = []
        room = goal - unsent[-1].length if unsent else 0
        if room <= 0:
            if not has_room(tcb):
                break
            unsent.append(Unsent())
            tcb.snd_memory += OVERHEAD
            room = goal
        piece = unsent[-1]
        count = min(room, length - taken)
        piece.parts.append(data if count == length else memoryview(data)[taken : taken + count])
        piece.length += count
        piece.push &= taken > 0  # more has been written behind what was to be pushed
        tcb.snd_memory += count
        tcb.write_seq = (tcb.write_seq + count) & MASK
        taken += count
        if taken < length and piece.length >= goal:
            if _forced_push(tcb):
                _mark_push(tcb, piece)
                push(tcb, now, NOW)
            elif len(unsent) == 1:
                push(tcb, now, NOW, one=True)
    unsent = tcb.unsent
    if unsent:
        if taken and (not more or taken < length or _forced_push(tcb)):
            _mark_push(tcb, unsent[-1])
    else:
        tcb.unsent = None
    return taken


def _forced_push(tcb: Tcb) -> bool:
    """Whether half of the largest window has been written since the last PSH (forced_push())."""
    return (tcb.write_seq - tcb.pushed_seq) & MASK > tcb.max_window >> 1


def _mark_push(tcb: Tcb, piece: Unsent) -> None:
    piece.push = True
    tcb.pushed_seq = tcb.write_seq


def has_room(tcb: Tcb) -> bool:
    """Whether another piece may be begun (sk_stream_memory_free())."""
    if tcb.snd_memory >= tcb.sndbuf:
        return False
    return not tcb.notsent_lowat or (tcb.write_seq - tcb.snd_nxt) & MASK < tcb.notsent_lowat


# -- from the buffer to the wire --


def in_flight(tcb: Tcb) -> int:
    """Segments that are thought to be on their way (tcp_packets_in_flight())."""
    sent = tcb.sent
    return len(sent) - tcb.dupacks - tcb.lost_out if sent else 0


def push(tcb: Tcb, now: int, how: int = USUAL, one: bool = False) -> None:
    """Send what may be sent: congestion window, send window and Nagle, in this order (tcp_write_xmit()).

    Args: one: the first piece only (tcp_push_one()).
    """
    unsent = tcb.unsent
    if unsent is None:
        return
    mss = tcb.mss
    most = handshake.GSO_SIZE // mss
    began = tcb.snd_nxt
    while unsent:
        piece = unsent[0]
        quota = tcb.cwnd - in_flight(tcb)
        if quota <= 0:
            break
        quota = min(quota, max(tcb.cwnd >> 1, 1), max(most, 2))
        if len(unsent) > 1:
            _grow(tcb, unsent, quota * mss)
        last = len(unsent) == 1
        length = piece.length
        size = min(length, mss)
        room = diff((tcb.snd_una + tcb.snd_wnd) & MASK, tcb.snd_nxt)
        if size + (1 if last and tcb.fin_unsent and length <= mss else 0) > room:
            # Never less than a full segment or a whole piece: RFC 9293 section 3.8.6.2.1.
            break
        if length > mss:
            size = _split_point(tcb, length, room, quota * mss, last, how)
        elif length < mss and last and how != NOW and not tcb.fin_unsent and _nagle_holds(tcb, how):
            break
        if size % mss:
            tcb.snd_sml = (tcb.snd_nxt + size) & MASK  # tcp_minshall_update()
        _send_from(tcb, unsent, piece, size, now)
        if one:
            break
    full = in_flight(tcb) >= tcb.cwnd
    if full or tcb.snd_nxt != began:
        control.validate(tcb, full)
    if not unsent:
        tcb.unsent = None
    elif tcb.sent is None and not tcb.probe_at and not tcb.retransmit_at:
        # The window is closed, or small: ask for more when nothing happens (tcp_check_probe_timer()).
        tcb.probe_at = now + max(tcb.rto, RTO_MIN)
        alarm(tcb, tcb.probe_at)


def _grow(tcb: Tcb, unsent: list[Unsent], size: int) -> None:
    """Let the first piece take over what fits of the second: fewer, larger pieces (tcp_grow_skb(), Linux 6.7)."""
    first, second = unsent[0], unsent[1]
    missing = size - first.length
    if missing <= 0 or not second.length:
        return
    if second.length > missing:
        first.parts.append(_split(second, missing))
        first.length += missing
        return
    first.parts += second.parts
    first.length += second.length
    first.push |= second.push
    tcb.snd_memory -= OVERHEAD
    del unsent[1]


def _split_point(tcb: Tcb, length: int, room: int, most: int, last: bool, how: int) -> int:
    """How much of a piece of more than one segment goes at once (tcp_mss_split_point())."""
    if most <= room and not last:
        return min(length, most)
    size = length if length < room else room
    if most <= size:
        return most
    partial = size % tcb.mss
    if partial and how != NOW and _nagle_holds(tcb, how):
        return size - partial
    return size


def _nagle_holds(tcb: Tcb, how: int) -> bool:
    """Nagle's algorithm in Minshall's form: wait while a small segment is in flight (tcp_nagle_check())."""
    if tcb.urging and urgent_pointer.waits(tcb):
        return False
    if tcb.cork or how == CORKED:
        return True
    if tcb.nodelay or tcb.sent is None:
        return False
    return diff(tcb.snd_sml, tcb.snd_una) > 0 and diff(tcb.snd_sml, tcb.snd_nxt) <= 0


def _send_from(tcb: Tcb, unsent: list[Unsent], piece: Unsent, size: int, now: int, flags: int = ACK) -> None:
    """Send `size` bytes of the first piece: a segment, or several that are one sk_buff to Linux."""
    if size == piece.length:
        del unsent[0]
        parts = piece.parts
        data: Payload = parts[0] if len(parts) == 1 else b"".join(parts)
        if piece.push:
            flags |= PSH
        if not unsent and tcb.fin_unsent:
            tcb.fin_unsent = False
            flags |= FIN
    else:
        data = _split(piece, size)
        tcb.snd_memory += OVERHEAD  # of what remains: tso_fragment()
    if size > tcb.mss:
        _send_several(tcb, flags, data, size, now)
    else:
        first_transmission(tcb, flags, data, size + (flags & FIN), size + OVERHEAD, now)


def _send_several(tcb: Tcb, flags: int, data: Payload, size: int, now: int) -> None:
    """Segments that leave together: one packet where the device would take it so, as loopback does (GSO)."""
    mss = tcb.mss
    view = memoryview(data)
    seq = tcb.snd_nxt
    # More than the device takes at once is taken apart after all (gso_features_check()).
    together = tcb.path_mtu > handshake.GSO_SIZE and size < handshake.GSO_MAX - _headers(tcb)
    for start in range(0, size, mss):
        part = view[start : start + mss]
        length = len(part)
        if start + mss < size:
            first_transmission(tcb, ACK, part, length, length, now, not together)
        else:
            first_transmission(tcb, flags, part, length + (flags & FIN), length + OVERHEAD, now, not together)
    if together:
        transmit(tcb, seq, flags, data, now, mss)


def _headers(tcb: Tcb) -> int:
    """Bytes before the data of a packet: Ethernet's, IP's and TCP's."""
    return 14 + (20 if tcb.raddr >> 32 == 0xFFFF else 40) + (32 if tcb.timestamps_ok else 20)


def _split(piece: Unsent, size: int) -> Payload:
    """Take `size` bytes off the front of a piece."""
    parts = piece.parts
    piece.length -= size
    first = parts[0]
    if len(first) > size:
        view = memoryview(first)
        parts[0] = view[size:]
        return view[:size]
    taken: list[Payload] = []
    while size:
        part = parts[0]
        if len(part) > size:
            view = memoryview(part)
            taken.append(view[:size])
            parts[0] = view[size:]
            break
        taken.append(part)
        size -= len(part)
        del parts[0]
    return taken[0] if len(taken) == 1 else b"".join(taken)


def first_transmission(
    tcb: Tcb, flags: int, data: Payload, length: int, charge: int, now: int, alone: bool = True
) -> None:
    """Send new data, unless it goes with more, and remember it until it is acknowledged (tcp_event_new_data_sent())."""
    seq = tcb.snd_nxt
    end = (seq + length) & MASK
    entry: Sent = (seq, end, data, flags, now, 0, charge)
    tcb.snd_nxt = end
    if tcb.sent is None:
        tcb.sent = [entry]
        when = now + tcb.rto
        tcb.retransmit_at = when
        tcb.probe_at = 0
        alarm(tcb, when)
    else:
        tcb.sent.append(entry)
    if len(data):  # a FIN alone is no answer
        event_data_sent(tcb, now)
    if alone:
        transmit(tcb, seq, flags, data, now)


def event_data_sent(tcb: Tcb, now: int) -> None:
    """An answer that follows data at once shows a conversation: ACKs may ride on it (tcp_event_data_sent())."""
    tcb.last_data_sent = now
    if now - tcb.last_data_received < tcb.ato and tcb.pingpong < 255:
        tcb.pingpong += 1


def fin(tcb: Tcb, now: int) -> None:
    """Queue our FIN behind the data and send what may be sent (tcp_send_fin())."""
    unsent = tcb.unsent
    tcb.write_seq = (tcb.write_seq + 1) & MASK
    room = (tcb.snd_una + tcb.snd_wnd - tcb.snd_nxt) & MASK
    if unsent is None and 0 < room < 0x80000000 and in_flight(tcb) < tcb.cwnd:
        # Nothing waits before it, and it may go: what `push` comes to then, 2 us later.
        tcb.snd_memory += OVERHEAD
        tcb.snd_sml = tcb.snd_nxt
        first_transmission(tcb, ACK | FIN, b"", 1, OVERHEAD, now)
        return
    tcb.fin_unsent = True
    if unsent is None:
        tcb.unsent = [Unsent()]
        tcb.snd_memory += OVERHEAD
    push(tcb, now, NOW)


# -- again --


def retransmit(tcb: Tcb, index: int, now: int) -> None:
    """Send a segment in flight once more, with today's acknowledgment (tcp_retransmit_skb())."""
    sent = tcb.sent
    assert sent is not None
    seq, end, data, flags, _, times, charge = sent[index]
    tcb.total_retransmits += 1
    if flags & SYN:
        sent[index] = (seq, end, data, flags, now, times + 1, charge)
        if not tcb.retransmit_began:
            tcb.retransmit_began = now or 1
        handshake.send_syn(tcb, flags, now)
        return
    if len(data) > tcb.mss:
        seq, end, data, flags, charge = _cut(tcb, sent, index)
    sent[index] = (seq, end, data, flags, now, times + 1, charge)
    tcb.undo_retransmits += 1
    tcb.bytes_resent += len(data)
    transmit(tcb, seq, flags, data, now)
    if not tcb.retransmit_began:
        tcb.retransmit_began = now or 1


def _cut(tcb: Tcb, sent: list[Sent], index: int) -> tuple[int, int, Payload, int, int]:
    """The path's or the peer's limit is smaller now: split a segment in flight in two (tcp_fragment())."""
    seq, end, data, flags, at, times, charge = sent[index]
    view = memoryview(data)
    size = tcb.mss
    middle = (seq + size) & MASK
    sent.insert(index + 1, (middle, end, view[size:], flags, at, times, charge - size))
    if 0 <= index - tcb.retransmitted_out < tcb.lost_out:
        tcb.lost_out += 1
    return seq, middle, view[:size], flags & ~(FIN | PSH), size


def wake_up(tcb: Tcb, now: int) -> bool:
    """Make the peer answer: with data if its window takes any, else with an old sequence number (tcp_write_wakeup()).

    Returns: whether data was sent.
    """
    unsent = tcb.unsent
    room = diff((tcb.snd_una + tcb.snd_wnd) & MASK, tcb.snd_nxt)
    if unsent and room > 0:
        piece = unsent[0]
        piece.push = True
        _send_from(tcb, unsent, piece, min(room, tcb.mss, piece.length), now, ACK | PSH)
        if not unsent:
            tcb.unsent = None
        return True
    transmit(tcb, (tcb.snd_una - 1) & MASK, ACK, b"", now)
    return False


def idle_restart(tcb: Tcb, now: int) -> None:
    """After a pause the congestion window is out of date (RFC 5681 section 4.1; tcp_slow_start_after_idle_check())."""
    idle = now - tcb.last_data_sent
    if tcb.sent is None and idle > tcb.rto and tcb.state != SYN_SENT and tcb.settings.tcp_slow_start_after_idle:
        control.restart(tcb, idle)
