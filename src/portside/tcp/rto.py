"""The retransmission timeout: RFC 6298 with Linux's bounds and its variance that falls slowly (tcp_rtt_estimator())."""

from __future__ import annotations

from portside.addr.abi import MILLISECOND
from portside.tcp.tcb import RTO_MIN, TIMEOUT_INIT, Tcb
from portside.wire.seq import diff

RTO_MIN_US = RTO_MIN // 1000


def measured(tcb: Tcb, rtt: int) -> None:
    """Take in one round-trip time (ns) and set the timeout; a measurement ends the backoff.

    Source: RFC 6298 section 2; tcp_rtt_estimator(), tcp_set_rto(), Linux 6.18. Kept in microseconds as there.
    """
    m = rtt // 1000
    srtt = tcb.srtt
    if m < tcb.min_rtt or tcb.min_rtt < 0:
        tcb.min_rtt = m
    if m == 0 and 0 < srtt < 8 and tcb.mdev < 4 and tcb.rttvar == RTO_MIN_US:
        # A network without latency: nothing would change.
        tcb.rtt_seq = tcb.snd_nxt
        tcb.mdev_max = RTO_MIN_US
        if tcb.backoff:
            tcb.backoff = 0
            _set(tcb)
        return
    if srtt == 0:
        srtt = m << 3
        tcb.mdev = m << 1
        tcb.rttvar = tcb.mdev_max = tcb.mdev if tcb.mdev > RTO_MIN_US else RTO_MIN_US
        tcb.rtt_seq = tcb.snd_nxt
    else:
        m -= srtt >> 3
        srtt += m
        _deviation(tcb, m)
    tcb.srtt = srtt if srtt > 1 else 1
    tcb.backoff = 0
    _set(tcb)


def _deviation(tcb: Tcb, m: int) -> None:
    """Smooth the mean deviation; it grows at once, and falls once per round trip, by a quarter."""
    if m < 0:
        m = -m - (tcb.mdev >> 2)
        if m > 0:
            # A falling RTT shall not raise the timeout: an eighth of the usual gain.
            m >>= 3
    else:
        m -= tcb.mdev >> 2
    tcb.mdev += m
    if tcb.mdev > tcb.mdev_max:
        tcb.mdev_max = tcb.mdev
        tcb.rttvar = max(tcb.rttvar, tcb.mdev_max)
    if diff(tcb.snd_una, tcb.rtt_seq) > 0:
        if tcb.mdev_max < tcb.rttvar:
            tcb.rttvar -= (tcb.rttvar - tcb.mdev_max) >> 2
        tcb.rtt_seq = tcb.snd_nxt
        tcb.mdev_max = RTO_MIN_US


def _set(tcb: Tcb) -> None:
    rto = ((tcb.srtt >> 3) + tcb.rttvar) * 1000
    most = tcb.settings.tcp_rto_max_ms * MILLISECOND
    tcb.rto = rto if rto < most else most


def maximum(tcb: Tcb) -> int:
    """The longest timeout, ns: the sysctl tcp_rto_max_ms."""
    return tcb.settings.tcp_rto_max_ms * MILLISECOND


def initial(tcb: Tcb) -> None:
    """Fall back to the initial timeout of 1 s: no valid measurement is at hand (RFC 6298 section 2.1)."""
    tcb.rto = TIMEOUT_INIT


def model(tcb: Tcb, boundary: int, opening: bool = False) -> int:
    """How long `boundary` retransmissions take, ns, when the first timeout is 200 ms (1 s while opening).

    This is what tcp_retries2 means, whatever the timeouts were. Source: ip-sysctl; tcp_model_timeout().
    """
    most = maximum(tcb)
    base = TIMEOUT_INIT if opening else RTO_MIN
    doublings = (most // base).bit_length() - 1
    if boundary <= doublings:
        return ((2 << boundary) - 1) * base
    return ((2 << doublings) - 1) * base + (boundary - doublings) * most
