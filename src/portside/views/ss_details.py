"""What ss(8) says of a socket behind its addresses: users, timer, memory, the inside of TCP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from portside.addr.abi import AF_INET6, IPPROTO_TCP
from portside.facts.socket import TIMER_NAMES, TIMER_NONE, TIMER_TIME_WAIT, Memory, Owner, Socket, UnixSocket
from portside.facts.state import CLOSED, LISTEN, SYN_RECEIVED
from portside.views.table import clean, quoted

if TYPE_CHECKING:
    from portside.facts.tcp_info import TcpInfo

_MS = 1_000_000
_US = 1_000
_UNLIMITED = (1 << 64) - 1  # a pacing rate that was not set
_USUAL_REORDERING = 3  # TCP_FASTRETRANS_THRESH


def users(owners: Iterable[Owner]) -> str:
    """All descriptors that refer to the socket: ` users:(("nginx",pid=7,fd=6))`."""
    told = ",".join(f'("{quoted(owner.command)}",pid={owner.pid},fd={owner.fd})' for owner in owners)
    return f" users:({told})" if told else ""


def timer(socket: Socket) -> str:
    """The timer that runs, how long it still has, and how often it fired for nothing."""
    if socket.timer == TIMER_NONE:
        return ""
    fired = socket.retransmits or socket.probes
    return f" timer:({TIMER_NAMES.get(socket.timer, 'unknown')},{duration(socket.timer_left)},{fired})"


def duration(nanoseconds: int) -> str:
    """A time as ss(8) writes it: `119min`, `1min20sec`, `57sec`, `1.203ms` for 1.203 s, `784ms`."""
    milliseconds = max(0, nanoseconds) // _MS
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    if minutes:
        return f"{minutes}min" + (f"{seconds}sec" if seconds and minutes <= 9 else "")
    if seconds > 9 or (seconds and not milliseconds):
        return f"{seconds}sec"
    return (f"{seconds}." if seconds else "") + (f"{milliseconds:03d}ms" if milliseconds else "")


def is_short(socket: Socket) -> bool:
    """Whether the kernel keeps no whole socket for it: TIME-WAIT, and a connection request."""
    return socket.timer == TIMER_TIME_WAIT or (socket.state == SYN_RECEIVED and not socket.inode)


def extended(socket: Socket, cgroup: str | None) -> str:
    """What -e adds: user, inode, cookie, cgroup, mark, v6only, and which directions are shut down."""
    told = f" uid:{socket.uid}" if socket.uid else ""
    told += f" ino:{socket.inode} sk:{socket.cookie:x}"
    if is_short(socket):
        return told
    if cgroup is not None:
        told += f" cgroup:{clean(cgroup)}"
    elif socket.cgroup:
        told += f" cgroup:unreachable:{socket.cgroup:x}"
    if socket.family == AF_INET6 and socket.state in (LISTEN, CLOSED) and socket.v6only is not None:
        told += f" v6only:{int(socket.v6only)}"
    if socket.mark:
        told += f" fwmark:0x{socket.mark:x}"
    return told + arrows(socket)


def arrows(socket: Socket | UnixSocket) -> str:
    """Which directions are open: ` <->`, `-->` after a FIN from the peer."""
    return f" {'-' if socket.shutdown & 1 else '<'}-{'-' if socket.shutdown & 2 else '>'}"


def file(socket: UnixSocket) -> str:
    """The file of a path: its inode and device, as the kernel numbers it."""
    if not socket.file_inode:
        return ""
    return f" ino:{socket.file_inode} dev:{socket.device >> 20}/{socket.device & 0xFFFFF}"


def memory(told: Memory | None) -> str:
    """The buffers, in bytes (-m)."""
    if told is None:
        return ""
    return (
        f" skmem:(r{told.rmem_alloc},rb{told.rcvbuf},t{told.wmem_alloc},tb{told.sndbuf},f{told.fwd_alloc},"
        f"w{told.wmem_queued},o{told.optmem},bl{told.backlog},d{told.drops})"
    )


def tcp_info(socket: Socket, *, options: bool, numeric: bool) -> str:
    """The inside of a connection (-i): what struct tcp_info tells, in the order of ss(8).

    Args:
        options: with what was agreed on in the SYNs (-o, -e).
        numeric: rates as plain numbers (-n).
    """
    info = socket.tcp
    if info is None or socket.proto != IPPROTO_TCP or is_short(socket):
        return ""
    told = [_options(info) if options else "", f" {clean(info.congestion)}" if info.congestion else ""]
    if socket.state == LISTEN:
        waiting = f" unacked:{socket.accept_queue}" if socket.accept_queue else ""
        return "".join(told) + f" cwnd:{info.cwnd}" + waiting
    if info.snd_wscale is not None and info.rcv_wscale is not None:
        told.append(f" wscale:{info.snd_wscale},{info.rcv_wscale}")
    told += [_pace(info), _counts(info), _rate(info, numeric), _ages(info), _rates(info, numeric), _busy(info)]
    told += [_flight(info), _receiver(info)]
    return "".join(told)


def _options(info: TcpInfo) -> str:
    return (" ts" if info.timestamps else "") + (" sack" if info.sack else "") + (" ecn" if info.ecn else "")


def _pace(info: TcpInfo) -> str:
    from portside.facts.tcp_info import UNLIMITED_SSTHRESH

    told = f" rto:{info.rto / _MS:g}" if info.rto else ""
    told += f" backoff:{info.backoff}" if info.backoff else ""
    if info.rtt:
        told += f" rtt:{info.rtt / _MS:g}/{info.rttvar / _MS:g}"
    told += f" ato:{info.ato / _MS:g}" if info.ato else ""
    for name, value in (("mss", info.mss), ("pmtu", info.path_mtu), ("rcvmss", info.received_mss),
                        ("advmss", info.advertised_mss), ("cwnd", info.cwnd)):  # fmt: skip
        told += f" {name}:{value}" if value else ""
    return told + (f" ssthresh:{info.ssthresh}" if info.ssthresh < UNLIMITED_SSTHRESH else "")


def _counts(info: TcpInfo) -> str:
    return "".join(
        f" {name}:{value}"
        for name, value in (
            ("bytes_sent", info.bytes_sent),
            ("bytes_retrans", info.bytes_retransmitted),
            ("bytes_acked", info.bytes_acked),
            ("bytes_received", info.bytes_received),
            ("segs_out", info.segments_out),
            ("segs_in", info.segments_in),
            ("data_segs_out", info.data_segments_out),
            ("data_segs_in", info.data_segments_in),
        )
        if value
    )


def _rate(info: TcpInfo, numeric: bool) -> str:
    """What a window for each round trip comes to."""
    microseconds = info.rtt // _US
    if not (microseconds and info.mss and info.cwnd):
        return ""
    return f" send {rate(info.cwnd * info.mss * 8 * 1e6 / microseconds, numeric)}"


def rate(bits: float, numeric: bool) -> str:
    """Bits per second as ss(8) writes them: `261928000000bps`, or with a prefix `262Gbps`."""
    if numeric:
        return f"{bits:.0f}bps"
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if bits > limit:
            return f"{bits / limit:.3g}{prefix}bps"
    return f"{bits:g}bps"


def _ages(info: TcpInfo) -> str:
    return "".join(
        f" {name}:{value // _MS}"
        for name, value in (
            ("lastsnd", info.last_data_sent),
            ("lastrcv", info.last_data_received),
            ("lastack", info.last_ack_received),
        )
        if value // _MS
    )


def _rates(info: TcpInfo, numeric: bool) -> str:
    told = ""
    if info.pacing_rate and info.pacing_rate != _UNLIMITED:
        told += f" pacing_rate {rate(info.pacing_rate * 8, numeric)}"
        if info.max_pacing_rate and info.max_pacing_rate != _UNLIMITED:
            told += f"/{rate(info.max_pacing_rate * 8, numeric)}"
    told += f" delivery_rate {rate(info.delivery_rate * 8, numeric)}" if info.delivery_rate else ""
    told += f" delivered:{info.delivered}" if info.delivered else ""
    return told + (" app_limited" if info.application_limited else "")


def _busy(info: TcpInfo) -> str:
    """How long it had something to send, and which part of that it waited for the peer or for its own buffer."""
    busy = info.busy // _MS
    if not busy:
        return ""
    told = f" busy:{busy}ms"
    for name, value in (("rwnd_limited", info.window_limited // _MS), ("sndbuf_limited", info.buffer_limited // _MS)):
        told += f" {name}:{value}ms({100 * value / busy:.1f}%)" if value else ""
    return told


def _flight(info: TcpInfo) -> str:
    told = f" unacked:{info.unacked}" if info.unacked else ""
    if info.retransmitted or info.total_retransmits:
        told += f" retrans:{info.retransmitted}/{info.total_retransmits}"
    for name, value in (("lost", info.lost), ("sacked", info.sacked), ("dsack_dups", info.duplicate_sacks)):
        told += f" {name}:{value}" if value else ""
    told += f" reordering:{info.reordering}" if info.reordering != _USUAL_REORDERING else ""
    return told + (f" reord_seen:{info.reorderings_seen}" if info.reorderings_seen else "")


def _receiver(info: TcpInfo) -> str:
    told = f" rcv_rtt:{info.rcv_rtt / _MS:g}" if info.rcv_rtt else ""
    for name, value in (
        ("rcv_space", info.rcv_space),
        ("rcv_ssthresh", info.rcv_ssthresh),
        ("notsent", info.not_sent),
    ):
        told += f" {name}:{value}" if value else ""
    told += f" minrtt:{info.min_rtt / _MS:g}" if info.min_rtt else ""
    told += f" rcv_ooopack:{info.out_of_order}" if info.out_of_order else ""
    return told + (f" snd_wnd:{info.snd_wnd}" if info.snd_wnd else "")
