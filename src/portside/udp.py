"""One UDP socket's receive queue and pending error (udp(7); RFC 768).

The host's socket wraps it; nothing here knows of a network.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from portside.addr.abi import POLLERR, POLLIN, POLLOUT, POLLRDNORM, POLLWRBAND, POLLWRNORM
from portside.wire.packet import UdpDatagram
from portside.wire.skbuff import EMPTY_COST, SHARED_INFO, SMALL_HEAD, V6_ROOM, cost

HEADER: Final = 8

SMALL_DATA: Final = SMALL_HEAD - SHARED_INFO - V6_ROOM - HEADER
"""So many bytes of data and fewer cost `EMPTY_COST` (IPv4: 13 more)."""


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
        size = EMPTY_COST if length <= SMALL_DATA else cost(length + HEADER, datagram.src >> 32 == 0xFFFF)
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
        """POLLIN with data, POLLERR with a pending error, and POLLOUT.

        Source: datagram_poll. The host's socket, which knows of shutdown, adds POLLRDHUP and POLLHUP, and takes POLLOUT
        away when its send buffer is full.
        """
        events = POLLOUT | POLLWRNORM | POLLWRBAND
        if self.error:
            events |= POLLERR
        if self.reading or self.arrived:
            events |= POLLIN | POLLRDNORM
        return events
