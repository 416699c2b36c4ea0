"""The clock's door: retransmission, window probe, delayed ACK, keepalive and FIN-WAIT-2 (RFC 9293 section 3.10.8)."""

from __future__ import annotations

from portside.addr.abi import MILLISECOND, SECOND
from portside.facts.state import CLOSED, FIN_WAIT_2, SYN_RECEIVED, SYN_SENT
from portside.tcp import ack, acks, end, listen, loss, rto, send, timewait
from portside.tcp.tcb import Tcb
from portside.tcp.timer import alarm, rearm
from portside.tcp.timewait import TIMEWAIT_LENGTH, TimeWait


def expire(tcb: Tcb | TimeWait, now: int) -> None:
    """Act on every deadline that has come, and arm the next. Too early or too often is harmless.

    Source: RFC 9293 section 3.10.8; tcp_write_timer_handler(), tcp_delack_timer_handler(), tcp_keepalive_timer().
    """
    if isinstance(tcb, TimeWait):
        timewait.expire(tcb, now)
        return
    if now >= tcb.armed:
        tcb.armed = 0
    if tcb.delack_at and now >= tcb.delack_at:
        tcb.delack_at = 0
        ack.expired(tcb, now)
    if tcb.retransmit_at and now >= tcb.retransmit_at:
        tcb.retransmit_at = 0
        _retransmit(tcb, now)
    if tcb.probe_at and now >= tcb.probe_at:
        tcb.probe_at = 0
        _probe(tcb, now)
    if tcb.keepalive_at and now >= tcb.keepalive_at:
        tcb.keepalive_at = 0
        _keepalive(tcb, now)
    if tcb.state != CLOSED:
        rearm(tcb)


# -- retransmission: tcp_retransmit_timer() --


def _retransmit(tcb: Tcb, now: int) -> None:
    if tcb.state == SYN_RECEIVED and tcb.listener is not None:
        listen.expire(tcb, now)
        return
    if tcb.sent is None:
        return
    opening = tcb.state in (SYN_SENT, SYN_RECEIVED)
    if not tcb.snd_wnd and not tcb.orphan and not opening:
        if _shrunk_for_too_long(tcb, now):
            end.timed_out(tcb)
            return
        # The peer took its window back: the retransmission is a probe, and does not count.
        loss.timeout(tcb)
    else:
        if _too_often(tcb, now, opening):
            end.timed_out(tcb)
            return
        loss.timeout(tcb)
        tcb.retransmits += 1
    tcb.lost_out -= 1
    tcb.retransmitted_out = 1
    send.retransmit(tcb, 0, now)
    if tcb.state != SYN_SENT or tcb.retransmits > tcb.settings.tcp_syn_linear_timeouts:
        tcb.backoff += 1
        tcb.rto = min(tcb.rto << 1, rto.maximum(tcb))
    tcb.retransmit_at = now + acks.until_user_timeout(tcb, tcb.rto, tcb.retransmit_began, now)
    alarm(tcb, tcb.retransmit_at)


def _shrunk_for_too_long(tcb: Tcb, now: int) -> bool:
    """No answer to retransmissions into a zero window for twice the longest timeout (tcp_rtx_probe0_timed_out())."""
    limit = tcb.user_timeout * MILLISECOND or 2 * rto.maximum(tcb)
    sent = tcb.sent
    assert sent is not None
    began = tcb.retransmit_began or sent[0][4]
    return now - tcb.last_ack_received > limit and now - began > limit


def _too_often(tcb: Tcb, now: int, opening: bool) -> bool:
    """Whether to give up: by count for a SYN, by time for everything else (tcp_write_timeout())."""
    settings = tcb.settings
    if opening:
        boundary = tcb.syncnt or settings.tcp_syn_retries
        linear = settings.tcp_syn_linear_timeouts if tcb.state == SYN_SENT else 0
        if tcb.retransmits >= boundary + linear:
            return True
    else:
        boundary = settings.tcp_retries2
        if tcb.orphan:
            boundary = orphan_retries(tcb, tcb.rto < rto.maximum(tcb))
    return _timed_out(tcb, boundary, now, opening)


def _timed_out(tcb: Tcb, boundary: int, now: int, opening: bool) -> bool:
    """As long as so many retransmissions take by the book, or TCP_USER_TIMEOUT (retransmits_timed_out())."""
    if not tcb.retransmits:
        return False
    limit = tcb.user_timeout * MILLISECOND or rto.model(tcb, boundary, opening)
    return now - tcb.retransmit_began >= limit


def orphan_retries(tcb: Tcb, alive: bool) -> int:
    """How patient we are where no program waits: tcp_orphan_retries, 8 when that is 0 (tcp_orphan_retries())."""
    retries = tcb.settings.tcp_orphan_retries
    if tcb.soft_error and not alive:
        return 0
    return 8 if not retries and alive else retries


# -- zero window: tcp_probe_timer(), tcp_send_probe0() --


def _only_unsent(tcb: Tcb) -> bool:
    return tcb.sent is None and tcb.unsent is not None


def _probe(tcb: Tcb, now: int) -> None:
    if not _only_unsent(tcb):
        tcb.probes_out = 0
        tcb.probe_began = 0
        return
    if not tcb.probe_began:
        tcb.probe_began = now
    elif tcb.user_timeout and now - tcb.probe_began >= tcb.user_timeout * MILLISECOND:
        end.timed_out(tcb)
        return
    most = tcb.settings.tcp_retries2
    if tcb.orphan:
        alive = acks.probe_interval(tcb) < rto.maximum(tcb)
        most = orphan_retries(tcb, alive)
        if not alive and tcb.backoff >= most:
            end.timed_out(tcb)
            return
    if tcb.probes_out >= most:
        end.timed_out(tcb)
        return
    send.wake_up(tcb, now)
    if not _only_unsent(tcb):
        tcb.probes_out = 0
        tcb.backoff = 0
        tcb.probe_began = 0
        return
    tcb.probes_out += 1
    if tcb.backoff < tcb.settings.tcp_retries2:
        tcb.backoff += 1
    tcb.probe_at = now + acks.until_user_timeout(tcb, acks.probe_interval(tcb), tcb.probe_began, now)


# -- keepalive and the orphan's FIN-WAIT-2: tcp_keepalive_timer() --


def _keepalive(tcb: Tcb, now: int) -> None:
    if tcb.state == FIN_WAIT_2 and tcb.orphan:
        _end_of_orphan(tcb, now)
        return
    if not tcb.keepalive or tcb.state in (CLOSED, SYN_SENT):
        return
    settings = tcb.settings
    idle = (tcb.keepidle or settings.tcp_keepalive_time) * SECOND
    wait = idle
    if tcb.sent is None and tcb.unsent is None:
        elapsed = now - max(tcb.last_data_received, tcb.last_ack_received)
        if elapsed < idle:
            wait = idle - elapsed
        elif _keepalive_failed(tcb, elapsed):
            send.reset(tcb, now)
            end.timed_out(tcb)
            return
        else:
            send.wake_up(tcb, now)
            tcb.probes_out += 1
            wait = (tcb.keepintvl or settings.tcp_keepalive_intvl) * SECOND
    tcb.keepalive_at = now + wait


def _keepalive_failed(tcb: Tcb, elapsed: int) -> bool:
    """No answer to TCP_KEEPCNT probes; or, with TCP_USER_TIMEOUT, for that long (tcp(7))."""
    if tcb.user_timeout:
        return elapsed >= tcb.user_timeout * MILLISECOND and tcb.probes_out > 0
    return tcb.probes_out >= (tcb.keepcnt or tcb.settings.tcp_keepalive_probes)


def _end_of_orphan(tcb: Tcb, now: int) -> None:
    if tcb.linger2 >= 0:
        rest = end.fin_timeout(tcb) - TIMEWAIT_LENGTH
        if rest > 0:
            end.time_wait(tcb, FIN_WAIT_2, rest, now)
            return
    send.reset(tcb, now)
    end.done(tcb)
