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


def acked(tcb: Tcb, count: int, flying: int) -> None:
    """So many segments were acknowledged in order; grow the window if it was what limited us.

    Args: flying: segments in flight before. Source: tcp_cong_avoid(), tcp_is_cwnd_limited().
    """
    limited = tcb.cwnd < 2 * flying if tcb.cwnd < tcb.ssthresh else tcb.cwnd_limited
    if limited:
        newreno.avoid(tcb, count)
    tcb.cwnd_limited = False


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
