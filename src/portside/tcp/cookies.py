"""SYN cookies: a listener whose SYN queue is full keeps nothing of a SYN, and finds it again in the ACK of its answer.

Our initial sequence number is a hash of the connection's 4-tuple and the client's own, with the MSS in its last bits;
other options lie in the last bits of the timestamp. Source: net/ipv4/syncookies.c, Linux 6.18; RFC 4987 section 3.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portside.addr.abi import MILLISECOND, SECOND
from portside.tcp import end, handshake
from portside.wire.packet import ACK, RST, SYN, TcpSegment

if TYPE_CHECKING:
    from portside.tcp.listen import Listener
    from portside.tcp.tcb import Tcb

MASK: Final = 0xFFFFFFFF
PERIOD: Final = 60 * SECOND  # TCP_SYNCOOKIE_PERIOD
VALID: Final = 2 * PERIOD  # TCP_SYNCOOKIE_VALID
MSS_V4: Final = (536, 1300, 1440, 1460)
MSS_V6: Final = (1220, 1420, 1440, 8940)
OPTIONS: Final = 63  # the bits of a timestamp that hold options (TSMASK)
UNSCALED: Final = 15  # what they say for a client that does not scale its window


def wanted(listener: Listener, full: bool) -> bool:
    """Whether a SYN is answered by a cookie: the SYN queue is full, or `tcp_syncookies` is 2."""
    cookies = listener.tcb.settings.tcp_syncookies
    return cookies == 2 or (full and cookies != 0)


def answer(listener: Listener, segment: TcpSegment, tcb: Tcb, now: int) -> None:
    """Send the SYN,ACK of a connection that is ready for it, and forget the connection.

    Args: tcb: as for a SYN that is kept; its `iss` is the cookie.
    """
    listener.cookies_until = now + VALID
    if tcb.timestamps_ok:
        # The time is taken back until its last bits say it (cookie_init_timestamp()).
        time = now // MILLISECOND
        coded = time & ~OPTIONS | (UNSCALED if tcb.snd_wscale < 0 else tcb.snd_wscale)
        tcb.ts_offset += coded - time - (OPTIONS + 1 if coded > time else 0)
    else:
        tcb.snd_wscale = -1
    handshake.send_syn(tcb, SYN | ACK, now)
    tcb.orphan = True
    end.done(tcb)


def number(listener: Listener, segment: TcpSegment, now: int) -> int:
    """The cookie for a SYN (cookie_init_sequence())."""
    table = _table(segment)
    mss = segment.mss or table[0]
    index = sum(size <= mss for size in table[1:])
    return listener.tcb.effects.cookie(segment, segment.seq, now // PERIOD) & ~3 & MASK | index


def found(listener: Listener, segment: TcpSegment, now: int) -> TcpSegment | None:
    """The SYN that an ACK's sender must have sent, as far as the ACK repeats our cookie; None when it does not."""
    settings = listener.tcb.settings
    if now > listener.cookies_until or not settings.tcp_syncookies or segment.flags & (SYN | RST | ACK) != ACK:
        return None
    cookie, seq = (segment.ack - 1) & MASK, (segment.seq - 1) & MASK
    effects = listener.tcb.effects
    count = now // PERIOD
    if all((cookie ^ effects.cookie(segment, seq, period)) & ~3 & MASK for period in (count, count - 1)):
        return None
    syn = TcpSegment(segment.src, segment.dst, segment.sport, segment.dport, seq, 0, SYN, segment.window)
    syn.mss = _table(segment)[cookie & 3]
    syn.timestamps = segment.timestamps
    return syn


def take_options(tcb: Tcb, segment: TcpSegment) -> None:
    """What the timestamp that an ACK echoes says of the client's window scale (cookie_timestamp_decode())."""
    if tcb.timestamps_ok:
        assert segment.timestamps is not None
        scale = (segment.timestamps[1] - tcb.ts_offset) & UNSCALED
        tcb.snd_wscale = -1 if scale == UNSCALED else scale


def _table(segment: TcpSegment) -> tuple[int, ...]:
    return MSS_V4 if segment.src >> 32 == 0xFFFF else MSS_V6
