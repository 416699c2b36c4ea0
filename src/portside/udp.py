"""One UDP socket's receive queue and pending error (udp(7); RFC 768). The host's socket wraps it; it knows no network."""

from __future__ import annotations

from collections import deque

from portside.wire.packet import UdpDatagram


class UdpQueue:
    """What has arrived for a UDP socket and was not yet received, and the error that the next call reports.

    The memory that a datagram takes is counted as Linux counts it (truesize: the buffer with its overhead), so that as
    many datagrams fit in SO_RCVBUF as there. `drops` counts those that did not fit (/proc/net/udp, SO_RXQ_OVFL).
    """

    __slots__ = ("drops", "error", "memory", "queue", "queued_bytes", "rcvbuf")

    def __init__(self, rcvbuf: int = 212992) -> None:
        self.queue: deque[tuple[UdpDatagram, int]] = deque()  # the datagram, and the index of the interface
        self.rcvbuf = rcvbuf  # bytes, as getsockopt(SO_RCVBUF) shows it: twice what was asked for
        self.memory = 0  # bytes of truesize in the queue (sk_rmem_alloc)
        self.queued_bytes = 0  # bytes of data in the queue
        self.drops = 0
        self.error = 0  # sk_err: reported once by send, recv or SO_ERROR

    def deliver(self, datagram: UdpDatagram, ifindex: int) -> bool:
        """A datagram arrives. False when the receive buffer is full and it was dropped."""
        raise NotImplementedError

    def receive(self, limit: int, peek: bool = False) -> tuple[UdpDatagram, int] | None:
        """Take the oldest datagram (with `peek`: leave it) and the index of the interface it came by; None: no data.

        The caller cuts the data to `limit` bytes and sets MSG_TRUNC when it is longer; the rest is lost.
        """
        raise NotImplementedError

    def take_error(self) -> int:
        """The pending error as an errno, which is then forgotten; 0 for none (sock_error)."""
        error = self.error
        self.error = 0
        return error

    def poll(self) -> int:
        """POLLIN with data, POLLERR with a pending error; POLLOUT is always true of UDP here (datagram_poll)."""
        raise NotImplementedError

    def head_size(self) -> int:
        """Bytes of data of the oldest datagram: what FIONREAD (SIOCINQ) tells (udp(7))."""
        raise NotImplementedError
