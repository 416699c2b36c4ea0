"""Loss and its repair: duplicate ACKs, fast retransmit, NewReno recovery and the timeout (RFC 5681, 6582, 6937).

Linux keeps, also without SACK, a count for each fate of a segment in flight, and so do we:
`dupacks` (sacked_out: how many later ones the duplicate ACKs say have arrived), `lost_out` (thought lost and not yet
sent again) and `retransmitted_out` (sent again, at the head of `Tcb.sent`). A scoreboard for SACK takes their place.
"""

from __future__ import annotations

from typing import Final

from portside.addr.abi import MILLISECOND
from portside.tcp import send
from portside.tcp.congestion import control
from portside.tcp.tcb import INFINITE_SSTHRESH, Tcb
from portside.tcp.timer import alarm
from portside.wire.packet import TcpSegment
from portside.wire.seq import diff

# The states of enum tcp_ca_state.
OPEN: Final = 0
DISORDER: Final = 1
CWR: Final = 2
RECOVERY: Final = 3
LOSS: Final = 4

REORDERING: Final = 3  # tcp_reordering: so many duplicate ACKs mean a loss


def removed(tcb: Tcb, count: int) -> None:
    """The first `count` segments in flight were acknowledged: none of them is lost, or sent again, any more."""
    again = tcb.retransmitted_out
    if count <= again:
        tcb.retransmitted_out = again - count
    else:
        tcb.retransmitted_out = 0
        tcb.lost_out = max(tcb.lost_out - (count - again), 0)


def acknowledged(tcb: Tcb, segment: TcpSegment, advanced: bool, count: int, duplicate: bool, now: int) -> None:
    """An ACK that is not simply good news (tcp_fastretrans_alert()).

    Args: advanced: SND.UNA moved. count: segments that it acknowledged. duplicate: it says nothing new at all.
    """
    if tcb.sent is None:
        tcb.dupacks = 0
    state = tcb.ca_state
    if state >= CWR and diff(tcb.snd_una, tcb.recover) >= 0 and _ends(tcb, segment, state):
        return
    if tcb.ca_state == RECOVERY:
        _recovering(tcb, advanced, count, duplicate)
    elif tcb.ca_state == LOSS:
        _after_timeout(tcb, segment, advanced, count, duplicate)
    else:
        if advanced:
            tcb.dupacks = 0
        _add_duplicate(tcb, duplicate)
        if tcb.dupacks < REORDERING:
            tcb.ca_state = DISORDER if tcb.dupacks else OPEN
        else:
            _enter_recovery(tcb)
    repair(tcb, now)


def _add_duplicate(tcb: Tcb, duplicate: bool) -> None:
    """A duplicate ACK: one more of the later segments has arrived (tcp_add_reno_sack())."""
    if duplicate and tcb.sent is not None:
        tcb.dupacks = min(tcb.dupacks + 1, len(tcb.sent) - 1)


def _ends(tcb: Tcb, segment: TcpSegment, state: int) -> bool:
    """All that was in flight at the loss is acknowledged: leave, and True when there is nothing more to do.

    Until something past it is acknowledged the state is held, or old duplicates would start another recovery
    (RFC 6582 section 3.2, step 3; tcp_try_undo_recovery()).
    """
    tcb.dupacks = 0
    if _was_spurious(tcb, segment):
        _undo(tcb)
    if state != CWR and tcb.snd_una == tcb.recover and tcb.sent is not None:
        tcb.retransmit_began = 0
        tcb.lost_out = tcb.retransmitted_out = 0
        return True
    if state != LOSS and tcb.undo_marker and tcb.ssthresh < INFINITE_SSTHRESH:
        tcb.cwnd = tcb.ssthresh
    tcb.ca_state = OPEN
    tcb.undo_marker = 0
    tcb.lost_out = tcb.retransmitted_out = 0
    tcb.retransmit_began = 0
    return False


def _was_spurious(tcb: Tcb, segment: TcpSegment) -> bool:
    """Whether the peer's timestamp shows that the original arrived (Eifel, RFC 3522; tcp_may_undo())."""
    if not tcb.undo_marker or segment.timestamps is None or not tcb.retransmit_began:
        return False
    echo = segment.timestamps[1]
    began = tcb.retransmit_began // MILLISECOND + tcb.ts_offset
    return echo != 0 and diff(echo, began & 0xFFFFFFFF) < 0


def _undo(tcb: Tcb) -> None:
    """The reduction was for nothing (tcp_undo_cwnd_reduction())."""
    tcb.cwnd = max(tcb.cwnd, tcb.prior_cwnd)
    tcb.ssthresh = max(tcb.ssthresh, tcb.prior_ssthresh)
    tcb.undo_marker = 0


def _reduce(tcb: Tcb) -> None:
    """Remember the window before the loss, and halve the threshold (tcp_init_cwnd_reduction(), tcp_init_undo())."""
    tcb.prior_cwnd = tcb.cwnd
    tcb.prior_ssthresh = tcb.ssthresh
    tcb.ssthresh = control.ssthresh(tcb)
    tcb.undo_marker = 1
    tcb.undo_retransmits = 0


def _enter_recovery(tcb: Tcb) -> None:
    """Fast retransmit: the first segment is lost (RFC 5681 section 3.2; tcp_enter_recovery())."""
    tcb.recover = tcb.snd_nxt
    _reduce(tcb)
    tcb.ca_state = RECOVERY
    tcb.prr_delivered = tcb.prr_out = 0
    tcb.retransmit_began = 0
    tcb.cwnd_count = 0
    tcb.lost_out = 1
    tcb.retransmitted_out = 0
    _proportional(tcb, 1, False)


def _recovering(tcb: Tcb, advanced: bool, count: int, duplicate: bool) -> None:
    """In recovery: a partial ACK shows the next loss, a duplicate one lets a segment more go (RFC 6582)."""
    delivered = int(duplicate)
    if advanced:
        # tcp_remove_reno_sacks(): one of them filled the hole, the others were counted already.
        delivered = max(count - tcb.dupacks, 1) if count else 0
        tcb.dupacks = max(tcb.dupacks - max(count - 1, 0), 0)
        if tcb.sent is not None and not tcb.lost_out and not tcb.retransmitted_out:
            tcb.lost_out = 1
            tcb.dupacks = min(tcb.dupacks, len(tcb.sent) - 1)
    else:
        _add_duplicate(tcb, duplicate)
    _proportional(tcb, delivered, advanced)


def _proportional(tcb: Tcb, delivered: int, advanced: bool) -> None:
    """Proportional rate reduction: the window while it shrinks (RFC 6937; tcp_cwnd_reduction())."""
    if delivered <= 0:
        return
    flying = send.in_flight(tcb)
    delta = tcb.ssthresh - flying
    tcb.prr_delivered += delivered
    if delta < 0:
        count = (tcb.ssthresh * tcb.prr_delivered + tcb.prior_cwnd - 1) // tcb.prior_cwnd - tcb.prr_out
    else:
        count = max(tcb.prr_delivered - tcb.prr_out, delivered)
        count = min(delta, count + 1 if advanced else count)
    tcb.cwnd = flying + max(count, 0 if tcb.prr_out else 1)


def _after_timeout(tcb: Tcb, segment: TcpSegment, advanced: bool, count: int, duplicate: bool) -> None:
    """After a timeout: slow start over what is in doubt (tcp_process_loss())."""
    if advanced and _was_spurious(tcb, segment):
        tcb.lost_out = 0
        _undo(tcb)
        tcb.ca_state = OPEN
        return
    if advanced:
        tcb.dupacks = 0
        control.acked(tcb, count)
    elif duplicate and diff(tcb.snd_nxt, tcb.recover) > 0:
        _add_duplicate(tcb, True)


def timeout(tcb: Tcb) -> None:
    """The retransmission timer expired: all in flight is in doubt (RFC 5681 section 3.1; tcp_enter_loss())."""
    sent = tcb.sent
    if tcb.ca_state <= DISORDER or diff(tcb.snd_una, tcb.recover) >= 0 or (
        tcb.ca_state == LOSS and not tcb.retransmits
    ):
        _reduce(tcb)
    tcb.dupacks = 0
    tcb.retransmitted_out = 0
    tcb.lost_out = len(sent) if sent else 0
    tcb.cwnd = 1
    tcb.cwnd_count = 0
    tcb.ca_state = LOSS
    tcb.recover = tcb.snd_nxt
    tcb.predicted = 0


def repair(tcb: Tcb, now: int) -> None:
    """Send again what is lost, as far as the window allows (tcp_xmit_retransmit_queue())."""
    while tcb.lost_out and send.in_flight(tcb) < tcb.cwnd:
        index = tcb.retransmitted_out
        tcb.lost_out -= 1
        tcb.retransmitted_out += 1
        if tcb.ca_state == RECOVERY:
            tcb.prr_out += 1
        send.retransmit(tcb, index, now)
        if index == 0:
            tcb.retransmit_at = now + tcb.rto
            alarm(tcb, tcb.retransmit_at)
