"""Urgent data: one byte that the program may read before those that it stands behind, or never (RFC 9293 section 3.8.5,
RFC 6093; tcp_urg(), tcp_recv_urg(), tcp_recvmsg_locked(), Linux 6.18).

As everywhere but in RFC 1122 the urgent pointer means the byte before the one that it points at; what is urgent is the
last byte that was sent with MSG_OOB, and the receiver keeps one.
"""

from __future__ import annotations

import errno
from typing import Final

from portside.addr.abi import POLLIN, POLLPRI, POLLRDNORM, RCV_SHUTDOWN
from portside.facts.state import CLOSED
from portside.tcp import receive
from portside.tcp.effects import READABLE
from portside.tcp.tcb import Tcb, Urgent
from portside.wire.packet import URG, TcpSegment
from portside.wire.seq import diff

MASK: Final = 0xFFFFFFFF
AWAITED: Final = -1  # TCP_URG_NOTYET: its place is known, the byte is still to come
READ: Final = -2  # TCP_URG_READ


# -- receiving --


def arrives(tcb: Tcb, segment: TcpSegment) -> None:
    """The sixth step of SEGMENT ARRIVES: an urgent pointer, and the byte that it means (tcp_urg())."""
    if segment.flags & URG:
        _check(tcb, segment)
    urgent = tcb.urgent
    if urgent is None or urgent.byte != AWAITED:
        return
    ahead = diff(urgent.seq, segment.seq)
    if 0 <= ahead < len(segment.data):
        urgent.byte = segment.data[ahead]
        if not tcb.orphan:
            tcb.effects.changed(tcb, READABLE)


def _check(tcb: Tcb, segment: TcpSegment) -> None:
    """A new urgent pointer takes the place of the old (tcp_check_urg())."""
    seq = (segment.seq + segment.urgent - (1 if segment.urgent else 0)) & MASK
    if diff(tcb.copied_seq, seq) > 0 or diff(seq, tcb.rcv_nxt) < 0:
        return
    old = tcb.urgent
    if old is not None and diff(seq, old.seq) <= 0:
        return
    tcb.effects.urged(tcb)
    if old is not None and old.seq == tcb.copied_seq and not tcb.oobinline and tcb.copied_seq != tcb.rcv_nxt:
        receive.skip(tcb)  # the byte that was urgent last is passed over
    tcb.urgent = Urgent(seq, AWAITED)
    tcb.predicted = 0


# -- what the program reads --


def at_mark(tcb: Tcb) -> bool:
    """Whether the urgent byte, or its place, comes next (SIOCATMARK, sockatmark(3))."""
    return tcb.urgent is not None and tcb.urgent.seq == tcb.copied_seq


def passed_over(tcb: Tcb) -> bool:
    """Whether the next byte is the urgent one, and not for those who read in line."""
    return at_mark(tcb) and not tcb.oobinline and tcb.copied_seq != tcb.rcv_nxt


def before_mark(tcb: Tcb, limit: int) -> int:
    """How much of `limit` may be read: what is before the mark is read alone, the byte there is passed over.

    With SO_OOBINLINE that byte is one like the others, but read from the mark on.
    """
    urgent = tcb.urgent
    assert urgent is not None
    ahead = diff(urgent.seq, tcb.copied_seq)
    if ahead > 0:
        return min(limit, ahead)
    if not ahead and tcb.copied_seq == tcb.rcv_nxt:
        return limit  # it is still to come
    if passed_over(tcb):
        receive.skip(tcb)
    tcb.urgent = None
    return limit


def peek(tcb: Tcb, limit: int) -> bytes | None:
    """What recv(2) with MSG_PEEK sees at the mark: what is behind the urgent byte; None for nothing yet."""
    seen = receive.peek(tcb, limit + 1)[1:] if tcb.received is not None else b""
    return seen if seen or tcb.fin_queued else None


def read(tcb: Tcb, length: int, peek: bool) -> bytes | int:
    """recv(2) with MSG_OOB: the urgent byte, which never waits (tcp_recv_urg()).

    Returns: -EINVAL when there is none, it was read already or comes in line; -EAGAIN when it is still under way.
    """
    urgent = tcb.urgent
    if tcb.oobinline or urgent is None or urgent.byte == READ:
        return -errno.EINVAL
    if tcb.state == CLOSED and not tcb.done:
        return -errno.ENOTCONN
    if urgent.byte >= 0:
        byte = urgent.byte
        if not peek:
            urgent.byte = READ
        return bytes((byte,)) if length else b""
    if tcb.state == CLOSED or tcb.shutdown & RCV_SHUTDOWN:
        return b""
    return -errno.EAGAIN


def poll(tcb: Tcb) -> int:
    """What poll(2) says of data while there is an urgent byte: at the mark it does not count (tcp_poll())."""
    target = tcb.rcvlowat + (1 if at_mark(tcb) and not tcb.oobinline else 0)
    mask = POLLIN | POLLRDNORM if receive.is_readable(tcb, target) else 0
    assert tcb.urgent is not None
    return mask | POLLPRI if tcb.urgent.byte >= 0 else mask


def before(tcb: Tcb, queued: int) -> int:
    """SIOCINQ: bytes up to the mark, if it is among those that are queued (tcp_inq())."""
    urgent = tcb.urgent
    if urgent is None or tcb.oobinline:
        return queued
    ahead = diff(urgent.seq, tcb.copied_seq)
    return ahead if ahead >= 0 and diff(urgent.seq, tcb.rcv_nxt) < 0 else queued
