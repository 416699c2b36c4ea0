"""TIME-WAIT and an orphan's FIN-WAIT-2: the little that is kept of a connection that is over (RFC 9293 3.6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portside.addr.abi import MILLISECOND, SECOND
from portside.facts.state import FIN_WAIT_2, TIME_WAIT
from portside.wire.packet import ACK, FIN, RST, SYN, TcpSegment
from portside.wire.seq import diff

if TYPE_CHECKING:
    from portside.facts.settings import Settings
    from portside.tcp.effects import Effects
    from portside.tcp.tcb import Tcb

MASK: Final = 0xFFFFFFFF
TIMEWAIT_LENGTH: Final = 60 * SECOND  # TCP_TIMEWAIT_LEN


class TimeWait:
    """The heir of a connection's 4-tuple. It answers segments, remembers what a successor must exceed, and ends by
    itself.

    `state` is FIN_WAIT_2 (an orphan whose peer has not closed) or TIME_WAIT. `timestamps_ok` and `ts_recent_at` are
    what `tcp_tw_reuse` asks for. `owner` is free for the host.
    """

    __slots__ = (  # noqa: RUF023
        "laddr", "lport", "raddr", "rport", "owner", "effects", "settings", "state", "predicted", "snd_nxt", "rcv_nxt",
        "rcv_wnd", "rcv_wscale", "dead", "timestamps_ok", "ts_offset", "ts_recent", "ts_recent_at",
        "began", "armed", "ends_at", "challenge_at",
    )  # fmt: skip

    def __init__(self, tcb: Tcb, state: int, now: int) -> None:
        self.laddr = tcb.laddr
        self.lport = tcb.lport
        self.raddr = tcb.raddr
        self.rport = tcb.rport
        self.owner: object = None
        self.effects: Effects = tcb.effects
        self.settings: Settings = tcb.settings
        self.state = state
        self.predicted = 0
        self.snd_nxt = tcb.snd_nxt
        self.rcv_nxt = tcb.rcv_nxt
        self.rcv_wnd = tcb.rcv_wnd
        self.rcv_wscale = tcb.rcv_wscale
        self.dead = False
        self.timestamps_ok = tcb.timestamps_ok
        self.ts_offset = tcb.ts_offset
        self.ts_recent = tcb.ts_recent
        self.ts_recent_at = tcb.ts_recent_at
        self.began = now
        self.armed = 0
        self.ends_at = now + TIMEWAIT_LENGTH
        self.challenge_at = -1


def segment_arrives(heir: TimeWait, segment: TcpSegment, now: int) -> None:
    """A segment reaches a connection in TIME-WAIT, or an orphan in FIN-WAIT-2.

    Source: RFC 9293 section 3.10.7.4 and 3.6.1; tcp_timewait_state_process().
    """
    if heir.state == FIN_WAIT_2:
        _in_fin_wait_2(heir, segment, now)
    else:
        _in_time_wait(heir, segment, now)


def in_window(seq: int, last: int, start: int, edge: int) -> bool:
    """Whether a segment touches a window (tcp_in_window())."""
    if seq == start:
        return True
    if diff(last, start) > 0 and diff(seq, edge) < 0:
        return True
    return seq == edge and seq == last


def _in_fin_wait_2(heir: TimeWait, segment: TcpSegment, now: int) -> None:
    """The peer's FIN ends the wait for it; data for a program that is gone draws a reset."""
    flags = segment.flags
    seq = segment.seq
    last = (seq + segment.sequence_length()) & MASK
    edge = (heir.rcv_nxt + heir.rcv_wnd) & MASK
    if _is_old(heir, segment) or not in_window(seq, last, heir.rcv_nxt, edge):
        _answer_stray(heir, segment, now)
    elif flags & RST:
        kill(heir)
    elif flags & SYN and diff(seq, heir.rcv_nxt) >= 0:
        _reset_and_kill(heir, segment)
    elif not flags & ACK or diff(last, heir.rcv_nxt) <= 0 or last == seq:
        return
    elif not flags & FIN or last != (heir.rcv_nxt + 1) & MASK:
        _reset_and_kill(heir, segment)
    else:
        heir.state = TIME_WAIT
        heir.rcv_nxt = last
        _take_timestamp(heir, segment, now)
        _restart(heir, now)
        _acknowledge(heir, now)


def _in_time_wait(heir: TimeWait, segment: TcpSegment, now: int) -> None:
    flags = segment.flags
    seq = segment.seq
    old = _is_old(heir, segment)
    if not old and seq == heir.rcv_nxt and (not segment.sequence_length() or flags & RST):
        if not flags & RST:
            _restart(heir, now)
        elif not heir.settings.tcp_rfc1337:
            # TIME-WAIT assassination (RFC 1337): Linux lets it happen unless told otherwise.
            kill(heir)
            return
        _take_timestamp(heir, segment, now)
        return
    if flags & (SYN | RST | ACK) == SYN and not old and _is_newer(heir, segment):
        isn = (heir.snd_nxt + 65535 + 2) & MASK
        if heir.effects.reopen(heir, segment, isn or 1):
            return
        _acknowledge(heir, now)
        return
    if not flags & RST:
        if old or flags & ACK:
            _restart(heir, now)
        _answer_stray(heir, segment, now)


def _is_old(heir: TimeWait, segment: TcpSegment) -> bool:
    """PAWS: the timestamp is older than the last that we know (tcp_paws_reject()); a reset's is not looked at."""
    if segment.timestamps is None or not heir.timestamps_ok or segment.flags & RST:
        return False
    return diff(segment.timestamps[0], heir.ts_recent) < 0


def _is_newer(heir: TimeWait, segment: TcpSegment) -> bool:
    """Whether a SYN cannot be one of the connection that is over: its number, or its timestamp, is past ours."""
    if diff(segment.seq, heir.rcv_nxt) > 0:
        return True
    timestamps = segment.timestamps
    return timestamps is not None and heir.timestamps_ok and diff(timestamps[0], heir.ts_recent) > 0


def _take_timestamp(heir: TimeWait, segment: TcpSegment, now: int) -> None:
    if segment.timestamps is not None and heir.timestamps_ok:
        heir.ts_recent = segment.timestamps[0]
        heir.ts_recent_at = now or 1


def _restart(heir: TimeWait, now: int) -> None:
    """The 60 s begin again (inet_twsk_reschedule())."""
    heir.ends_at = now + TIMEWAIT_LENGTH
    if not heir.armed:
        heir.armed = heir.ends_at
        heir.effects.arm(heir, heir.ends_at)


def _answer_stray(heir: TimeWait, segment: TcpSegment, now: int) -> None:
    """An ACK tells the peer where we are; not too often (tcp_timewait_check_oow_rate_limit())."""
    if segment.flags & RST:
        return
    if not len(segment.data) or segment.flags & SYN:
        last = heir.challenge_at
        if last >= 0 and now - last < heir.settings.tcp_invalid_ratelimit * MILLISECOND:
            return
        heir.challenge_at = now
    _acknowledge(heir, now)


def _acknowledge(heir: TimeWait, now: int) -> None:
    field = min(heir.rcv_wnd >> heir.rcv_wscale, 0xFFFF)
    segment = TcpSegment(
        heir.laddr, heir.raddr, heir.lport, heir.rport, heir.snd_nxt, heir.rcv_nxt, ACK, field
    )
    if heir.timestamps_ok:
        segment.timestamps = ((now // MILLISECOND + heir.ts_offset) & MASK, heir.ts_recent)
    heir.effects.transmit(heir, segment)


def _reset_and_kill(heir: TimeWait, segment: TcpSegment) -> None:
    answer = reset_for(segment)
    if answer is not None:
        heir.effects.transmit(heir, answer)
    kill(heir)


def reset_for(segment: TcpSegment) -> TcpSegment | None:
    """The reset that answers a segment for which there is no connection; None when it is a reset itself."""
    flags = segment.flags
    if flags & RST:
        return None
    src, dst, sport, dport = segment.dst, segment.src, segment.dport, segment.sport
    if flags & ACK:
        return TcpSegment(src, dst, sport, dport, segment.ack, 0, RST, 0)
    ack = (segment.seq + segment.sequence_length()) & MASK
    return TcpSegment(src, dst, sport, dport, 0, ack, RST | ACK, 0)


def expire(heir: TimeWait, now: int) -> None:
    """The alarm rang: end the TIME-WAIT, or wait for what a later segment has added."""
    if heir.dead:
        return
    if now >= heir.ends_at:
        kill(heir)
    else:
        heir.armed = heir.ends_at
        heir.effects.arm(heir, heir.ends_at)


def kill(heir: TimeWait) -> None:
    """End the TIME-WAIT at once (inet_twsk_deschedule_put()): `effects.forget` is called."""
    if not heir.dead:
        heir.dead = True
        heir.effects.forget(heir)


def reusable_from(heir: TimeWait, *, loopback: bool, bound: bool = False) -> int | None:
    """From when connect(2) may take the 4-tuple of this TIME-WAIT (ns): what `sockets.ephemeral` asks for; None: never.

    Timestamps keep the old connection's segments apart from the new one's, once they have moved on.
    Args: loopback: whether the connection is over loopback, for `tcp_tw_reuse` 2. bound: whether the port was chosen by
    bind(2), in which case timestamps alone count.
    Source: tcp_twsk_unique(), ip-sysctl: tcp_tw_reuse, tcp_tw_reuse_delay.
    """
    if not heir.timestamps_ok or not heir.ts_recent_at:
        return None
    if bound:
        return 0
    reuse = heir.settings.tcp_tw_reuse
    if not reuse or (reuse == 2 and not loopback):
        return None
    return heir.ts_recent_at + heir.settings.tcp_tw_reuse_delay * MILLISECOND


def succeed(tcb: Tcb, heir: TimeWait, now: int) -> int:
    """Let a connecting tcb take the place of a TIME-WAIT that `reusable_from` allowed; the ISN to open it with.

    The heir is killed. Source: tcp_twsk_unique().
    """
    tcb.ts_recent = heir.ts_recent
    tcb.ts_recent_at = heir.ts_recent_at
    tcb.ts_offset = heir.ts_offset
    kill(heir)
    return (heir.snd_nxt + 65535 + 2) & MASK or 1
