"""Where urgent data end, as a sender tells it (RFC 9293 section 3.8.5, RFC 6093; tcp_mark_urg(), tcp_transmit_skb()).

The pointer means the byte before the one that it points at: the last that was sent with MSG_OOB.
"""

from __future__ import annotations

from typing import Final

from portside.tcp.tcb import Tcb
from portside.wire.packet import URG, TcpSegment
from portside.wire.seq import diff

MASK: Final = 0xFFFFFFFF
FARTHEST: Final = 0xFFFF  # what the field can tell


def mark(tcb: Tcb) -> None:
    """What has been written so far is urgent, up to its last byte (tcp_mark_urg())."""
    tcb.snd_up = tcb.write_seq
    tcb.urging = True


def waits(tcb: Tcb) -> bool:
    """Whether the peer has not acknowledged all that is urgent (tcp_urg_mode())."""
    if tcb.urging and diff(tcb.snd_up, tcb.snd_una) <= 0:
        tcb.urging = False
    return tcb.urging


def point(tcb: Tcb, segment: TcpSegment) -> None:
    """Let a segment that leaves tell where the urgent data end (tcp_transmit_skb())."""
    if not waits(tcb):
        return
    ahead = diff(tcb.snd_up, segment.seq)
    if 0 < ahead <= FARTHEST:
        segment.urgent = ahead
        segment.flags |= URG
    elif ahead > 0 and diff((segment.seq + FARTHEST) & MASK, tcb.snd_nxt) > 0:
        segment.urgent = FARTHEST
        segment.flags |= URG
