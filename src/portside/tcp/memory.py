"""Memory that received data takes: segments put together in the receive queue, and copied together when it is full.

What counts against SO_RCVBUF is the memory of sk_buffs (truesize), not the data in them. Source: skb_try_coalesce(),
tcp_try_coalesce(), tcp_collapse(), sk_mem_charge(), Linux 6.18.
"""

from __future__ import annotations

from typing import Final

from portside.tcp.tcb import MAX_FRAGMENTS, OVERHEAD, SEND_PAGE, Merged, Tcb
from portside.wire.packet import Payload

MASK: Final = 0xFFFFFFFF
PAGE: Final = 4096
SK_BUFF: Final = 256  # struct sk_buff, aligned
SHARED_INFO: Final = 320  # struct skb_shared_info, at the end of every buffer
LINEAR: Final = PAGE - SHARED_INFO  # SKB_MAX_ORDER(0, 0): how much tcp_collapse() copies into one buffer
SMALL_HEAD: Final = 576  # SKB_SMALL_HEAD_CACHE_SIZE


def append(tcb: Tcb, data: Payload, length: int) -> None:
    """Put data into the receive queue and move RCV.NXT (tcp_queue_rcv())."""
    received = tcb.received
    if received is None:
        tcb.received = [data]
        tcb.rcv_memory += length + OVERHEAD
    elif not _coalesce(tcb, received, data, length):
        received.append(data)
        tcb.rcv_memory += length + OVERHEAD
    tcb.rcv_nxt = (tcb.rcv_nxt + length) & MASK
    tcb.bytes_received += length


def _coalesce(tcb: Tcb, received: list[Payload | Merged], data: Payload, length: int) -> bool:
    """Add data to the last sk_buff of the queue, if that is nobody else's and has a place for it.

    Over loopback the sender's sk_buff and the receiver's are clones of one, until the sender has its acknowledgment.
    """
    last = received[-1]
    if not isinstance(last, Merged):
        if tcb.effects.peer_keeps(tcb):
            return False
        size = len(last)
        fragments = _fragments(tcb, size, size)
        merged = Merged(last, size, size + OVERHEAD, fragments)
    else:
        merged = last
        if length <= merged.room:
            merged.add(data, length)
            merged.room -= length
            return True
    fragments = merged.fragments + _fragments(tcb, 0, length)
    if fragments > MAX_FRAGMENTS:
        return False
    received[-1] = merged
    merged.add(data, length)
    merged.room = 0
    merged.fragments = fragments
    merged.memory += length
    tcb.rcv_memory += length
    return True


def _fragments(tcb: Tcb, before: int, length: int) -> int:
    """In how many pages a sender keeps the `length` bytes that begin `before` RCV.NXT: it fills one after the other."""
    start = (tcb.rcv_nxt - before - tcb.irs - 1) & MASK
    return ((start + length - 1) // SEND_PAGE) - start // SEND_PAGE + 1


def at_hand(tcb: Tcb, length: int) -> bool:
    """Whether a segment fits into the rest of the last page that the socket was charged for (sk_forward_alloc).

    Such a segment takes the fast path, where nobody asks whether the receive buffer is full.
    """
    return length + OVERHEAD <= -(tcb.rcv_memory + tcb.snd_memory) & PAGE - 1


def collapse(tcb: Tcb) -> None:
    """Copy the receive queue together, a page at a time, from the first sk_buff that wastes memory (tcp_collapse())."""
    received = tcb.received
    if received is None:
        return
    keep = 0
    offset = tcb.received_offset
    while keep < len(received) and not offset:
        entry = received[keep]
        size = entry.length if isinstance(entry, Merged) else len(entry)
        memory = entry.memory if isinstance(entry, Merged) else size + OVERHEAD
        if memory * tcb.scaling_ratio >> 8 > size:
            break
        keep += 1
    if keep == len(received):
        return
    data = b"".join([entry.joined() if isinstance(entry, Merged) else entry for entry in received[keep:]])
    if offset:
        data = data[offset:]
        tcb.received_offset = 0
    del received[keep:]
    for start in range(0, len(data), LINEAR):
        piece = data[start : start + LINEAR]
        memory = linear_memory(len(piece))
        merged = Merged(piece, len(piece), memory, 0)
        merged.room = memory - SK_BUFF - SHARED_INFO - len(piece)
        received.append(merged)
    recount(tcb)


def linear_memory(length: int) -> int:
    """The memory of an sk_buff that holds its data itself (__alloc_skb(), the sizes of kmalloc())."""
    head = (length + 63 & ~63) + SHARED_INFO
    if head <= SMALL_HEAD:
        return SMALL_HEAD + SK_BUFF
    return (1 << (head - 1).bit_length()) + SK_BUFF


def recount(tcb: Tcb) -> None:
    """Add up the memory of both receive queues."""
    memory = 0
    if tcb.received is not None:
        for entry in tcb.received:
            memory += entry.memory if isinstance(entry, Merged) else len(entry) + OVERHEAD
    if tcb.out_of_order is not None:
        for _, later, _ in tcb.out_of_order:
            memory += len(later) + OVERHEAD
    tcb.rcv_memory = memory
