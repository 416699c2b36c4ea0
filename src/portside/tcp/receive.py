"""Receiving: data in order, out of order and twice; memory; what the program reads (RFC 9293 section 3.10.7.4).

Source: tcp_data_queue(), tcp_data_queue_ofo(), tcp_try_rmem_schedule(), tcp_recvmsg_locked(), Linux 6.18.
"""

from __future__ import annotations

from typing import Final

from portside.tcp import ack, end, memory, window
from portside.tcp.effects import READABLE
from portside.tcp.tcb import NO_MEMORY, NOW, OVERHEAD, SCHEDULED, Merged, Tcb
from portside.wire.packet import FIN, Payload, TcpSegment
from portside.wire.seq import diff

MASK: Final = 0xFFFFFFFF
MAX_OUT_OF_ORDER: Final = 16384  # pieces kept for later; memory accounting usually stops far below


def data_arrives(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """The text and FIN of an acceptable segment (tcp_data_queue())."""
    length = len(segment.data)
    fin = segment.flags & FIN
    if not length and not fin:
        if segment.sequence_length():
            # A SYN that was sent again, as in simultaneous open.
            ack.quick_mode(tcb)
            tcb.ack_pending |= SCHEDULED
        return
    start = (segment.seq - tcb.rcv_nxt + 0x80000000 & MASK) - 0x80000000  # diff(), without the call
    if start > 0:
        if start >= window.left(tcb):
            _out_of_window(tcb)
            return
        _out_of_order(tcb, segment, now)
        return
    if start + length + (1 if fin else 0) <= 0:
        # All of it is known: the peer did not hear our ACK.
        ack.quick_mode(tcb)
        tcb.ack_pending |= SCHEDULED
        return
    if not length and not start:
        _take_fin(tcb, now)  # and nothing else
        return
    if length and not window.left(tcb):
        _out_of_window(tcb)
        return
    _in_order(tcb, segment, -start, now)


def _out_of_window(tcb: Tcb) -> None:
    ack.quick_mode(tcb)
    tcb.ack_pending |= SCHEDULED


def _in_order(tcb: Tcb, segment: TcpSegment, known: int, now: int) -> None:
    """Data at the left edge of the window, `known` bytes of which we have already."""
    data = segment.data
    length = len(data) - known
    fin = bool(segment.flags & FIN)
    if length > 0:
        if not _make_room(tcb):
            tcb.ack_pending |= SCHEDULED | NOW | NO_MEMORY
            return
        memory.append(tcb, memoryview(data)[known:] if known else data, length)
        ack.data_received(tcb, segment, length, now)
    if fin:
        _take_fin(tcb, now)
    if tcb.out_of_order is not None and _join(tcb, now):
        tcb.ack_pending |= NOW  # RFC 5681 section 4.2: when a gap is filled, at once
    if length > 0:
        readable(tcb)


def readable(tcb: Tcb) -> None:
    """Tell the program of new data, when there is as much as it wants to hear of (tcp_data_ready())."""
    if tcb.orphan:
        return
    if tcb.done or tcb.rcvlowat <= 1 or is_readable(tcb, tcb.rcvlowat):
        tcb.effects.changed(tcb, READABLE)


def is_readable(tcb: Tcb, target: int) -> bool:
    """Whether poll(2) says POLLIN: as much as SO_RCVLOWAT asks for, or as there can be (tcp_epollin_ready())."""
    available = (tcb.rcv_nxt - tcb.copied_seq) & MASK
    return available > 0 and (available >= target or window.left(tcb) <= tcb.rcv_mss)


def _take_fin(tcb: Tcb, now: int) -> None:
    tcb.rcv_nxt = (tcb.rcv_nxt + 1) & MASK
    tcb.bytes_received += 1  # tcp_rcv_nxt_update() tells no FIN from data
    tcb.fin_queued = True
    end.fin_received(tcb, now)


def _make_room(tcb: Tcb) -> bool:
    """Whether the receive buffer takes a segment, after squeezing what is there (tcp_try_rmem_schedule()).

    An empty receive queue takes one segment of any size.
    """
    if tcb.rcv_memory <= tcb.rcvbuf:
        return True
    window.overflow(tcb)
    if tcb.rcv_memory <= tcb.rcvbuf:
        return True
    memory.collapse(tcb)
    if tcb.rcv_memory <= tcb.rcvbuf:
        return True
    tcb.out_of_order = None
    memory.recount(tcb)
    return tcb.rcv_memory <= tcb.rcvbuf or tcb.received is None


# -- out of order --


def _out_of_order(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """Data beyond a gap: keep it, and say at once what is missing (tcp_data_queue_ofo())."""
    length = len(segment.data)
    tcb.predicted = 0
    tcb.ack_pending |= SCHEDULED | NOW
    queue = tcb.out_of_order
    if not _make_room(tcb) or (queue is not None and len(queue) >= MAX_OUT_OF_ORDER):
        return
    ack.measure(tcb, segment, length)
    if queue is None:
        queue = tcb.out_of_order = []
    _insert(tcb, queue, segment.seq, segment.data, segment.flags & FIN)
    if length >= 128:
        window.grow_later(tcb, length)


def _insert(tcb: Tcb, queue: list[tuple[int, Payload, int]], seq: int, data: Payload, fin: int) -> None:
    """Keep the queue in order and without overlaps: what is there stays, what is new fills the gaps."""
    index = len(queue)
    while index and diff(queue[index - 1][0], seq) > 0:
        index -= 1
    if index:
        before_seq, before, before_fin = queue[index - 1]
        known = len(before) - diff(seq, before_seq)
        if known > 0 or (known == 0 and before_fin):
            if known >= len(data):
                if fin and known == len(data) and not before_fin:
                    queue[index - 1] = (before_seq, before, fin)
                return
            data = memoryview(data)[known:]
            seq = (seq + known) & MASK
    while index < len(queue):
        next_seq, later, later_fin = queue[index]
        room = diff(next_seq, seq)
        if room >= len(data) and not (room == len(data) and fin):
            break
        if room + len(later) <= len(data):
            # The new piece covers the old one wholly.
            fin |= later_fin if room + len(later) == len(data) else 0
            tcb.rcv_memory -= len(later) + OVERHEAD
            del queue[index]
            continue
        data = memoryview(data)[:room]
        fin = 0
        break
    if len(data) or fin:
        queue.insert(index, (seq, data, fin))
        tcb.rcv_memory += len(data) + OVERHEAD


def _join(tcb: Tcb, now: int) -> bool:
    """A gap is filled: what follows without another is in order now; whether it was the last (tcp_ofo_queue())."""
    queue = tcb.out_of_order
    while queue:
        seq, data, fin = queue[0]
        start = diff(seq, tcb.rcv_nxt)
        if start > 0:
            return False
        del queue[0]
        tcb.rcv_memory -= len(data) + OVERHEAD
        length = len(data) + start
        if length < 0 or (length == 0 and not fin):
            continue
        if length:
            memory.append(tcb, memoryview(data)[-start:] if start else data, length)
        if fin:
            _take_fin(tcb, now)
            return True
    tcb.out_of_order = None
    return True


# -- what the program reads --


def read(tcb: Tcb, limit: int, now: int) -> bytes:
    """Take up to `limit` bytes, at least one, off the receive queue: one copy at most, none of a piece read whole."""
    received = tcb.received
    assert received is not None
    offset = tcb.received_offset
    first = received[0]
    if isinstance(first, Merged):
        length, whole = first.length, first.memory
        first = first.joined()
    else:
        length = len(first)
        whole = length + OVERHEAD
    if offset == 0 and length <= limit and (length == limit or len(received) == 1):
        data = first if first.__class__ is bytes else bytes(first)
        if len(received) == 1:
            tcb.received = None
        else:
            del received[0]
        tcb.rcv_memory -= whole
        count = length
    else:
        data, count = _gather(tcb, received, limit)
    tcb.copied_seq = (tcb.copied_seq + count) & MASK
    if tcb.rcv_rtt:
        window.adjust(tcb, now, max(count - length + offset, 0))
    if tcb.fin_queued and tcb.received is None:
        # The FIN lies behind the data that was read, and goes with it (found_fin_ok).
        skip_fin(tcb)
    ack.after_reading(tcb, count, now)
    return data


def _gather(tcb: Tcb, received: list[Payload | Merged], limit: int) -> tuple[bytes, int]:
    """Join what `limit` bytes span."""
    parts: list[Payload] = []
    count = 0
    whole = 0
    offset = tcb.received_offset
    for entry in received:
        piece, charged = (entry.joined(), entry.memory) if isinstance(entry, Merged) else (entry, len(entry) + OVERHEAD)
        size = len(piece) - offset
        if size > limit - count:
            parts.append(memoryview(piece)[offset : offset + limit - count])
            tcb.received_offset = offset + limit - count
            count = limit
            break
        parts.append(memoryview(piece)[offset:] if offset else piece)
        count += size
        whole += 1
        tcb.rcv_memory -= charged
        offset = 0
        tcb.received_offset = 0
    if whole == len(received):
        tcb.received = None
    elif whole:
        del received[:whole]
    return (bytes(parts[0]) if len(parts) == 1 else b"".join(parts)), count


def discard(tcb: Tcb) -> None:
    """Nobody will read any more: forget what is in the receive queue."""
    tcb.received = None
    tcb.received_offset = 0
    tcb.fin_queued = False
    tcb.copied_seq = tcb.rcv_nxt
    if tcb.rcv_memory:
        memory.recount(tcb)


def skip(tcb: Tcb) -> None:
    """Drop the first byte of the receive queue (tcp_recvmsg_locked(), an urgent byte that is not read in line)."""
    if tcb.received is not None:
        _gather(tcb, tcb.received, 1)
    tcb.copied_seq = (tcb.copied_seq + 1) & MASK
    if tcb.fin_queued and tcb.received is None:
        skip_fin(tcb)


def skip_fin(tcb: Tcb) -> None:
    """The program has seen the end of the stream."""
    tcb.fin_queued = False
    tcb.copied_seq = (tcb.copied_seq + 1) & MASK


def peek(tcb: Tcb, limit: int) -> bytes:
    """Up to `limit` bytes of the receive queue, which stay there (MSG_PEEK)."""
    assert tcb.received is not None
    parts: list[Payload] = []
    count = 0
    offset = tcb.received_offset
    for entry in tcb.received:
        piece = entry.joined() if isinstance(entry, Merged) else entry
        size = min(len(piece) - offset, limit - count)
        parts.append(memoryview(piece)[offset : offset + size])
        count += size
        offset = 0
        if count == limit:
            break
    return b"".join(parts)


def queued(tcb: Tcb) -> int:
    """Bytes of data that can be read, a FIN not counted."""
    return ((tcb.rcv_nxt - tcb.copied_seq) & MASK) - (1 if tcb.fin_queued else 0)
