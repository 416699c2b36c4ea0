"""ACKs that answer what should not have come, and how seldom they do (RFC 5961, tcp_invalid_ratelimit)."""

from __future__ import annotations

from portside.addr.abi import MILLISECOND
from portside.tcp import send as output
from portside.tcp.tcb import Tcb
from portside.tcp.timewait import TimeWait
from portside.wire.packet import SYN, TcpSegment


def limited(tcb: Tcb | TimeWait, now: int) -> bool:
    """Whether the last such ACK is so recent that there shall be none now (__tcp_oow_rate_limited())."""
    last = tcb.challenge_at
    if last >= 0 and now - last < tcb.settings.tcp_invalid_ratelimit * MILLISECOND:
        return True
    tcb.challenge_at = now
    return False


def send(tcb: Tcb, now: int) -> None:
    """Send a challenge ACK: a peer that is in earnest will answer with the right number (tcp_send_challenge_ack()).

    Between two of them pass tcp_invalid_ratelimit ms. The limit for the whole host, tcp_challenge_ack_limit, is
    unlimited by default and not modelled.
    """
    if not limited(tcb, now):
        output.acknowledge(tcb, now)


def duplicate(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """Answer a segment outside of the window with an ACK; data is answered always (tcp_send_dupack())."""
    if (len(segment.data) and not segment.flags & SYN) or not limited(tcb, now):
        output.acknowledge(tcb, now)
