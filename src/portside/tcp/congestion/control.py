"""The one place where a connection's congestion control is chosen and asked (struct tcp_congestion_ops).

`reno` is modelled. An algorithm that comes later has a module beside `newreno` and a row in MODELLED; a name that is
not there is refused by whoever sets it.
"""

from __future__ import annotations

from typing import Final

from portside.tcp.congestion import newreno
from portside.tcp.tcb import INITIAL_CWND, Tcb

MODELLED: Final = ("reno",)
"""What TCP_CONGESTION and the sysctl tcp_congestion_control may be."""


def acked(tcb: Tcb, count: int) -> None:
    """So many segments were acknowledged in order; grow the window if it was what limited us.

    In slow start it may become twice of what was out at a time. Source: tcp_cong_avoid(), tcp_is_cwnd_limited().
    """
    if tcb.cwnd_limited or (tcb.cwnd < tcb.ssthresh and tcb.cwnd < 2 * tcb.max_packets_out):
        newreno.avoid(tcb, count)


def validate(tcb: Tcb, limited: bool) -> None:
    """Something was sent, or could not be for the window's sake: note how much of it is used, once a round trip.

    Args: limited: the window is full. Source: tcp_cwnd_validate(), Linux 6.18.
    """
    out = len(tcb.sent) if tcb.sent is not None else 0
    if (
        limited
        or (tcb.snd_una - tcb.cwnd_usage_seq) & 0xFFFFFFFF < 0x80000000
        or (not tcb.cwnd_limited and out > tcb.max_packets_out)
    ):
        tcb.cwnd_limited = limited
        tcb.max_packets_out = out
        tcb.cwnd_usage_seq = tcb.snd_nxt


def ssthresh(tcb: Tcb) -> int:
    """The slow start threshold that a loss now would set."""
    return newreno.ssthresh(tcb)


def restart(tcb: Tcb, idle: int) -> None:
    """Close the window after `idle` ns without sending: half for each timeout (tcp_cwnd_restart())."""
    floor = min(INITIAL_CWND, tcb.cwnd)
    tcb.ssthresh = max(tcb.ssthresh, (tcb.cwnd >> 1) + (tcb.cwnd >> 2))
    idle -= tcb.rto
    while idle > 0 and tcb.cwnd > floor:
        tcb.cwnd >>= 1
        idle -= tcb.rto
    tcb.cwnd = max(tcb.cwnd, floor)
    tcb.cwnd_count = 0
