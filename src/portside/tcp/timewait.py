"""TIME-WAIT and an orphan's FIN-WAIT-2: the little that is kept of a connection that is over (RFC 9293 section 3.6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portside.addr.abi import SECOND
from portside.wire.packet import TcpSegment

if TYPE_CHECKING:
    from portside.facts.settings import Settings
    from portside.tcp.effects import Effects
    from portside.tcp.tcb import Tcb

TIMEWAIT_LENGTH: Final = 60 * SECOND  # TCP_TIMEWAIT_LEN


class TimeWait:
    """The heir of a connection's 4-tuple. It answers segments, remembers what a successor must exceed, and ends by itself.

    `state` is FIN_WAIT_2 (an orphan whose peer has not closed) or TIME_WAIT. `timestamps_ok` and `ts_recent_at` are what
    `tcp_tw_reuse` asks for. `owner` is free for the host.
    """

    __slots__ = (
        "laddr", "lport", "raddr", "rport", "owner", "effects", "settings", "state", "predicted", "snd_nxt", "rcv_nxt",
        "rcv_wnd", "timestamps_ok", "ts_offset", "ts_recent", "ts_recent_at", "began", "armed", "ends_at", "challenge_at",
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
    raise NotImplementedError


def kill(heir: TimeWait) -> None:
    """End the TIME-WAIT at once (inet_twsk_deschedule_put()): `effects.forget` is called."""
    raise NotImplementedError


def may_reuse(heir: TimeWait, now: int, *, loopback: bool, bound: bool = False) -> bool:
    """Whether connect(2) may take the 4-tuple of this TIME-WAIT: what `sockets.ephemeral` asks for.

    Args: loopback: whether the connection is over loopback, for `tcp_tw_reuse` 2. bound: whether the port was chosen by
    bind(2), in which case timestamps alone count.
    Source: tcp_twsk_unique(), ip-sysctl: tcp_tw_reuse, tcp_tw_reuse_delay.
    """
    raise NotImplementedError


def succeed(tcb: Tcb, heir: TimeWait, now: int) -> int:
    """Let a connecting tcb take the place of a TIME-WAIT that `may_reuse` allowed; the ISN to open it with.

    The heir is killed. Source: tcp_twsk_unique().
    """
    raise NotImplementedError
