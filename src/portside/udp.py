"""One UDP socket's receive queue and pending error (udp(7); RFC 768).

The host's socket wraps it; nothing here knows of a network.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from portside.addr.abi import POLLERR, POLLIN, POLLOUT, POLLRDNORM, POLLWRBAND, POLLWRNORM
from portside.wire.packet import UdpDatagram

# What a received packet costs, on x86-64 with pages of 4 KiB: struct sk_buff, struct skb_shared_info behind the
# data, the head for small packets (SKB_SMALL_HEAD_SIZE), the reserve for a link header, and the most that is kept in
# one piece (SKB_MAX_ALLOC). Measured on Linux 6.18 with SO_MEMINFO.
SK_BUFF: Final = 256
SHARED_INFO: Final = 320
SMALL_HEAD: Final = 576
MAX_ALLOC: Final = 16064
V4_OVERHEAD: Final = 59  # IP and UDP header, link header aligned (16), and 15 to align
V6_OVERHEAD: Final = 72  # IPv6 and UDP header, link header, and room for a fragment header (8)

EMPTY_COST: Final = SK_BUFF + SMALL_HEAD
SMALL_DATA: Final = SMALL_HEAD - SHARED_INFO - V6_OVERHEAD
"""So many bytes of data and fewer cost `EMPTY_COST` (IPv4: 13 more)."""


def truesize(length: int, v4: bool) -> int:
    """The bytes of receive buffer that a datagram with `length` bytes of data takes.

    Source: __ip_append_data, __ip6_append_data and __alloc_skb: the head is rounded up to a power of two with
    room for headers and skb_shared_info; what is too large for four pages lies in pages of its own and counts
    as it is.
    """
    need = length + (V4_OVERHEAD if v4 else V6_OVERHEAD)
    if need >= MAX_ALLOC:
        return EMPTY_COST + length
    head = (need + 63 & ~63) + SHARED_INFO
    if head <= SMALL_HEAD:
        return EMPTY_COST
    return SK_BUFF + (1 << (head - 1).bit_length())


class UdpQueue:
    """What has arrived for a UDP socket and was not yet received, and the error that the next call reports.

    The memory that a datagram takes is counted as Linux counts it, so that as many datagrams fit in SO_RCVBUF
    as there; and as there, what is read is given back in lots of a quarter of the buffer, or when all that
    had arrived by the last look is read (udp_rmem_release). `drops` counts what did not fit (/proc/net/udp,
    SO_MEMINFO).
    """

    __slots__ = ("arrived", "drops", "error", "memory", "owed", "rcvbuf", "reading")

    def __init__(self, rcvbuf: int = 212992) -> None:
        self.arrived: deque[tuple[UdpDatagram, int, int]] = deque()  # datagram, interface index, truesize
        self.reading: deque[tuple[UdpDatagram, int, int]] = deque()  # older than all in `arrived` (reader_queue)
        self.rcvbuf = rcvbuf  # bytes, as getsockopt(SO_RCVBUF) shows it: twice what was asked for
        self.memory = 0  # bytes of truesize (sk_rmem_alloc): Recv-Q of ss and rx_queue of /proc/net/udp
        self.owed = 0  # bytes that were read and not yet given back (forward_deficit)
        self.drops = 0
        self.error = 0  # sk_err: reported once by send, recv or SO_ERROR

    def deliver(self, datagram: UdpDatagram, ifindex: int) -> bool:
        """A datagram arrives by an interface. False when the receive buffer is full and it was dropped.

        An empty queue takes one of any size. Source: __udp_enqueue_schedule_skb.
        """
        joined = datagram.joined
        length = len(datagram.data) - joined
        size = EMPTY_COST if length <= SMALL_DATA else truesize(length, datagram.src >> 32 == 0xFFFF)
        size += joined  # page by page, as it is (skb_append_pagefrags)
        memory = self.memory
        if memory and memory + size > self.rcvbuf:
            self.drops += 1
            return False
        self.memory = memory + size
        self.arrived.append((datagram, ifindex, size))
        return True

    def receive(self, peek: bool = False) -> tuple[UdpDatagram, int] | None:
        """Take the oldest datagram (with `peek`: leave it) and the index of the interface it came by; None:
        no data.

        The caller cuts the data to the length asked for and sets MSG_TRUNC when it is longer; the rest is
        lost.
        """
        reading = self.reading
        if not reading:
            if not self.arrived:
                return None
            reading = self.reading = self.arrived
            self.arrived = deque()
        if peek:
            datagram, ifindex, _ = reading[0]
            return datagram, ifindex
        datagram, ifindex, size = reading.popleft()
        owed = self.owed + size
        if owed >= self.rcvbuf >> 2 or not reading:
            self.memory -= owed
            owed = 0
            if self.arrived:
                reading.extend(self.arrived)
                self.arrived.clear()
        self.owed = owed
        return datagram, ifindex

    def head_size(self) -> int:
        """Bytes of data of the oldest datagram: what FIONREAD (SIOCINQ) tells (udp(7)); 0 without one."""
        queue = self.reading or self.arrived
        return len(queue[0][0].data) if queue else 0

    def clear(self) -> None:
        """Throw away all that waits: the socket is closed."""
        self.arrived.clear()
        self.reading.clear()
        self.memory = self.owed = 0

    def set_error(self, number: int) -> None:
        """An ICMP error came: the next call reports it; a later one takes its place (__udp4_lib_err)."""
        self.error = number

    def take_error(self) -> int:
        """The pending error as an errno, which is then forgotten; 0 for none (sock_error)."""
        error = self.error
        self.error = 0
        return error

    def poll(self) -> int:
        """POLLIN with data, POLLERR with a pending error; a send never waits here, so POLLOUT is always true.

        Source: datagram_poll. Shutdown adds POLLRDHUP and POLLHUP in the host's socket, which knows of it.
        """
        events = POLLOUT | POLLWRNORM | POLLWRBAND
        if self.error:
            events |= POLLERR
        if self.reading or self.arrived:
            events |= POLLIN | POLLRDNORM
        return events
