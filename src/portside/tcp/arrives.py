"""The network's door: SEGMENT ARRIVES, one function per step of RFC 9293 section 3.10.7, in Linux's order and words."""

from __future__ import annotations

from portside.tcp.tcb import Tcb
from portside.tcp.timewait import TimeWait
from portside.wire.packet import TcpSegment


def segment_arrives(tcb: Tcb | TimeWait, segment: TcpSegment, now: int) -> None:
    """A segment arrives for this connection, listener or TIME-WAIT: the one door for every state.

    Source: RFC 9293 section 3.10.7; tcp_v4_rcv() and what it calls.
    """
    raise NotImplementedError


def reset_for(segment: TcpSegment) -> TcpSegment | None:
    """The reset that answers a segment for which there is no connection; None when it is a reset itself.

    Source: RFC 9293 section 3.10.7.1 and 3.5.2; tcp_v4_send_reset().
    """
    raise NotImplementedError


def icmp_error(tcb: Tcb | TimeWait, errno: int, hard: bool, quoted: TcpSegment, mtu: int, now: int) -> None:
    """An ICMP error about a segment of this connection (RFC 9293 section 3.9.2.2; tcp_v4_err(), tcp_v6_err()).

    Args: errno, hard: as `icmp.errno_for` translates it. mtu: of "fragmentation needed" (then errno is EMSGSIZE), else 0.
    In SYN-SENT and SYN-RECEIVED a connection ends with `errno`; later it is remembered as the soft error.
    """
    raise NotImplementedError
