"""NewReno: slow start and congestion avoidance of RFC 5681, counted in segments (net/ipv4/tcp_cong.c)."""

from __future__ import annotations

from portside.tcp.tcb import Tcb


def ssthresh(tcb: Tcb) -> int:
    """The slow start threshold after a loss: half of the window, at least two segments (tcp_reno_ssthresh())."""
    return max(tcb.cwnd >> 1, 2)


def avoid(tcb: Tcb, acked: int) -> None:
    """Open the window for `acked` acknowledged segments (tcp_reno_cong_avoid())."""
    if tcb.cwnd < tcb.ssthresh:
        cwnd = min(tcb.cwnd + acked, tcb.ssthresh)
        acked -= cwnd - tcb.cwnd
        tcb.cwnd = cwnd
        if not acked:
            return
    if tcb.cwnd_count >= tcb.cwnd:
        tcb.cwnd_count = 0
        tcb.cwnd += 1
    tcb.cwnd_count += acked
    if tcb.cwnd_count >= tcb.cwnd:
        more = tcb.cwnd_count // tcb.cwnd
        tcb.cwnd_count -= more * tcb.cwnd
        tcb.cwnd += more
