"""The clock's door: retransmission, zero-window probe, delayed ACK, keepalive and FIN-WAIT-2 (RFC 9293 section 3.10.8)."""

from __future__ import annotations

from portside.tcp.tcb import Tcb
from portside.tcp.timewait import TimeWait


def expire(tcb: Tcb | TimeWait, now: int) -> None:
    """Act on every deadline that has come, and arm the next. Too early or too often is harmless.

    Source: RFC 9293 section 3.10.8; tcp_write_timer_handler(), tcp_delack_timer_handler(), tcp_keepalive_timer().
    """
    raise NotImplementedError
