"""What a SYN says and what both sides make of it: MSS, window scale, timestamps (RFC 9293 section 3.7.1, RFC 7323)."""

from __future__ import annotations

from typing import Final

from portside.addr.abi import MILLISECOND, SECOND
from portside.tcp import window
from portside.tcp.tcb import INFINITE_SSTHRESH, INITIAL_CWND, MSS_DEFAULT, Tcb
from portside.wire.packet import ACK, SYN, TcpSegment

MASK: Final = 0xFFFFFFFF
TIMEOUT_FALLBACK: Final = 3 * SECOND  # TCP_TIMEOUT_FALLBACK
MSS_DEFAULT_IPV6: Final = 1220  # IPV6_MIN_MTU less the headers
TIMESTAMPS_LENGTH: Final = 12  # TCPOLEN_TSTAMP_ALIGNED
GSO_MAX: Final = 65536  # bytes of a super-segment that devices do not take any more (GSO_LEGACY_MAX_SIZE)
GSO_SIZE: Final = GSO_MAX - 1 - 192  # what one piece of the send buffer may hold: a super-segment without its headers


def prepare(tcb: Tcb) -> None:
    """Work out what our SYN offers: MSS and window of the path to the peer (tcp_connect_init())."""
    mss = tcb.advertised_mss = _mss_of_path(tcb)
    if tcb.maxseg and tcb.maxseg < mss:
        tcb.advertised_mss = tcb.maxseg
    clamp = tcb.mss_clamp = tcb.maxseg or (MSS_DEFAULT if tcb.raddr >> 32 == 0xFFFF else MSS_DEFAULT_IPV6)
    # Until the peer answers, as if it had said no MSS.
    settings = tcb.settings
    mss = clamp if clamp < mss else mss
    mss = settings.tcp_min_snd_mss if settings.tcp_min_snd_mss > mss else mss
    tcb.mss = mss - TIMESTAMPS_LENGTH if settings.tcp_timestamps else mss


def default_mss(tcb: Tcb) -> int:
    """What to send to a peer that says no MSS: 536 for IPv4, 1220 for IPv6 (RFC 9293 section 3.7.1, MUST-15)."""
    return MSS_DEFAULT if tcb.raddr >> 32 == 0xFFFF else MSS_DEFAULT_IPV6


def _mss_of_path(tcb: Tcb) -> int:
    """MTU less the headers of IP and TCP; an IPv4 packet is at most 65535 bytes long (tcp_mtu_to_mss())."""
    if tcb.raddr >> 32 == 0xFFFF:
        return (tcb.path_mtu if tcb.path_mtu < 65535 else 65535) - 40
    return tcb.path_mtu - 60


def synchronize_mss(tcb: Tcb) -> None:
    """The size of a full segment: peer, path and options; half of the largest window seen (tcp_sync_mss())."""
    # Comparisons instead of min() and max(): a connection comes here four times, and each of those is a call.
    mss, clamp, least = _mss_of_path(tcb), tcb.mss_clamp, tcb.settings.tcp_min_snd_mss
    mss = clamp if clamp < mss else mss
    mss = least if least > mss else mss
    if tcb.timestamps_ok:
        mss -= TIMESTAMPS_LENGTH
    if mss > tcb.max_window >> 1:
        mss = _half_window(tcb, mss)
    tcb.mss = mss if mss > 1 else 1


def _half_window(tcb: Tcb, size: int) -> int:
    """Never more than half of the peer's largest window in one segment (tcp_bound_to_half_wnd())."""
    cutoff = tcb.max_window >> 1 if tcb.max_window > MSS_DEFAULT else tcb.max_window
    if cutoff and size > cutoff:
        return max(cutoff, 68 - (32 if tcb.timestamps_ok else 20))
    return size


def size_goal(tcb: Tcb) -> int:
    """How much one piece of the send buffer collects: several segments' worth where they are small (tcp_send_mss())."""
    goal = _half_window(tcb, GSO_SIZE)
    mss = tcb.mss
    return max(goal - goal % mss, mss)


def send_syn(tcb: Tcb, flags: int, now: int) -> None:
    """Send SYN, or SYN,ACK, with its options; its window is not scaled (RFC 7323 section 2.2; tcp_syn_options())."""
    segment = TcpSegment(
        tcb.laddr, tcb.raddr, tcb.lport, tcb.rport, tcb.iss, tcb.rcv_nxt if flags & ACK else 0, flags,
        min(tcb.rcv_wnd, 0xFFFF),
    )  # fmt: skip
    settings = tcb.settings
    segment.mss = tcb.advertised_mss
    answering = flags & ACK
    if tcb.timestamps_ok if answering else settings.tcp_timestamps:
        segment.timestamps = ((now // MILLISECOND + tcb.ts_offset) & MASK, tcb.ts_recent if answering else 0)
    if tcb.snd_wscale >= 0 if answering else settings.tcp_window_scaling:
        segment.window_scale = tcb.rcv_wscale
    tcb.ack_pending = 0
    tcb.effects.transmit(tcb, segment)


def take_options(tcb: Tcb, segment: TcpSegment, now: int) -> None:
    """Agree on the options of the peer's SYN (tcp_parse_options()).

    Until the connection is made, `snd_wscale` -1 says that the peer does not scale.
    """
    mss = segment.mss or default_mss(tcb)
    tcb.mss_clamp = min(mss, tcb.maxseg) if tcb.maxseg else mss
    settings = tcb.settings
    if segment.window_scale is not None and settings.tcp_window_scaling:
        tcb.snd_wscale = min(segment.window_scale, 14)  # RFC 7323 section 2.3
    else:
        tcb.snd_wscale = -1
    if segment.timestamps is not None and settings.tcp_timestamps:
        tcb.timestamps_ok = True
        tcb.ts_recent = segment.timestamps[0]
        tcb.ts_recent_at = now or 1
    tcb.irs = segment.seq
    tcb.rcv_nxt = tcb.rcv_wup = tcb.copied_seq = (segment.seq + 1) & MASK
    tcb.snd_wnd = tcb.max_window = segment.window
    tcb.snd_wl1 = segment.seq


def agreed(tcb: Tcb, times: int, now: int) -> None:
    """Both SYNs are known: sizes, buffers and windows of the connection (tcp_init_transfer(), tcp_init_metrics()).

    Args: times: how often our SYN was sent again. After more than one loss a single segment goes first (RFC 5681
    section 3.1), and without a measurement the timeout is 3 s (RFC 6298 section 5.7).
    """
    tcb.ca_state = 0
    tcb.cwnd = 1 if times > 1 and tcb.undo_marker else INITIAL_CWND
    tcb.cwnd_count = 0
    tcb.ssthresh = INFINITE_SSTHRESH
    tcb.undo_marker = 0
    tcb.retransmits = tcb.retransmit_began = tcb.backoff = 0
    if not tcb.srtt:
        tcb.rto = TIMEOUT_FALLBACK
        tcb.mdev = tcb.mdev_max = tcb.rttvar = TIMEOUT_FALLBACK // 1000
    if tcb.snd_wscale < 0:
        tcb.snd_wscale = tcb.rcv_wscale = 0
        tcb.window_clamp = min(tcb.window_clamp, 0xFFFF)
    if tcb.timestamps_ok:
        tcb.advertised_mss -= TIMESTAMPS_LENGTH
    synchronize_mss(tcb)
    guess_peer_mss(tcb)
    window.begin(tcb, now)


def guess_peer_mss(tcb: Tcb) -> None:
    """The first guess of the peer's segment size (tcp_initialize_rcv_mss())."""
    mss = min(tcb.advertised_mss, tcb.mss)
    room = min(tcb.rcv_wnd // 2, MSS_DEFAULT)
    tcb.rcv_mss = max(min(mss, room), 88)  # of two numbers these are no calls when compiled, of three they are


def is_syn(flags: int) -> bool:
    """Whether a segment begins a connection: SYN, and neither ACK nor RST nor FIN (RFC 9293 section 3.10.7.2)."""
    return flags & (SYN | ACK) == SYN
