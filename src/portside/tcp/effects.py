"""What TCP asks of the host that it is part of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from portside.addr.abi import (
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLPRI,
    POLLRDBAND,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRBAND,
    POLLWRNORM,
)  # fmt: skip

if TYPE_CHECKING:
    from portside.tcp.listen import Listener
    from portside.tcp.tcb import Tcb
    from portside.tcp.timewait import TimeWait
    from portside.wire.packet import TcpSegment

# The keys with which Linux wakes who waits on a socket.
READABLE: Final = POLLIN | POLLPRI | POLLRDNORM | POLLRDBAND  # sock_def_readable()
WRITABLE: Final = POLLOUT | POLLWRNORM | POLLWRBAND  # sk_stream_write_space()
FAILED: Final = POLLERR  # sk_error_report()
CHANGED: Final = READABLE | WRITABLE | POLLERR | POLLHUP | POLLRDHUP  # sock_def_wakeup(): whatever is waited for


class Effects(Protocol):
    """One object per host. Nothing here may enter `tcp` again before it returns: what is sent to this host itself waits
    in its backlog, and who is woken runs later.
    """

    def transmit(self, tcb: Tcb | TimeWait, segment: TcpSegment) -> None:
        """Route a segment and send it."""

    def changed(self, tcb: Tcb, events: int) -> None:
        """Wake who waits: `events` (READABLE, WRITABLE, FAILED, CHANGED) have just happened; what is true tells `poll`.

        Called for each arrival of data though there was some before, as edge-triggered waiters need it. Never called
        for a tcb whose `orphan` is set.
        """

    def urged(self, tcb: Tcb) -> None:
        """A new urgent pointer has arrived (sk_send_sigurg())."""

    def peer_keeps(self, tcb: Tcb) -> bool:
        """Whether the other end is on this host and has not yet heard that all it sent has arrived.

        Then what `tcb` received last is still in the sender's memory as well.
        """

    def arm(self, tcb: Tcb | TimeWait, when: int) -> None:
        """Make sure that `timeouts.expire(tcb, now)` is called at `when`, or once before it and then not again.

        `tcb.armed` is the time that was asked for before, 0 for none: that timer is not needed any more.
        A timer is never cancelled: one that fires for nothing is harmless, also on a tcb that has become CLOSED.
        """

    def entered(self, tcb: Tcb, old: int) -> None:
        """`tcb.state` has just changed from `old`, through the one setter.

        CLOSED means that the 4-tuple belongs to this tcb no longer and that it will never arm a timer again; the port
        stays bound while the program holds the socket. SYN_RECEIVED after LISTEN does not occur: see `child`.
        """

    def time_wait(self, tcb: Tcb, heir: TimeWait) -> None:
        """The 4-tuple of `tcb` belongs to `heir` from now on, which is in FIN-WAIT-2 (of an orphan) or in TIME-WAIT.

        As in Linux (`tcp_time_wait()`), the socket itself, if a program still holds it, becomes CLOSED: `entered`
        says so next, and must leave the heir its place. Received data can still be read.
        """

    def forget(self, heir: TimeWait) -> None:
        """The TIME-WAIT is over: its 4-tuple and its hold on the port are free."""

    def reopen(self, heir: TimeWait, segment: TcpSegment, isn: int) -> bool:
        """A SYN that may open a connection anew has reached a TIME-WAIT (RFC 9293 section 3.6.1).

        If a listener would take it, call `timewait.kill(heir)`, then `listen.segment_arrives(listener, segment, now,
        isn)`, and return True. Otherwise do nothing and return False.
        """

    def cookie(self, segment: TcpSegment, seq: int, period: int) -> int:
        """A hash of 32 bits, by a secret, of a client's segment's 4-tuple, its initial sequence number and a time."""

    def child(self, listener: Listener, segment: TcpSegment, now: int, isn: int) -> Tcb | None:
        """Make the Tcb that answers a SYN: the 4-tuple mirrored from the segment and entered in the table, `owner`
        None, `path_mtu` of the route, options by `inherit(listener.tcb)`, and `iss`: `isn` unless that is 0.

        None when there is no memory or no route: the SYN is dropped.
        """
