"""struct tcp_info, the answer to TCP_INFO (<linux/tcp.h>; net/ipv4/tcp.c: tcp_get_info)."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING, Final

from portside.addr.abi import MILLISECOND
from portside.addr.ip import is_v4
from portside.facts.state import LISTEN
from portside.host.inet_socket import IP_MAX_MTU

if TYPE_CHECKING:
    from portside.tcp.listen import Listener
    from portside.tcp.tcb import Tcb

SIZE: Final = 280  # Linux 6.18
UNLIMITED: Final = (1 << 64) - 1  # sk_pacing_rate, sk_max_pacing_rate
UNMEASURED: Final = (1 << 32) - 1  # tcp_min_rtt() before there is one
REORDERING: Final = 3
WITH_TIMESTAMPS: Final = 1
WITH_WINDOW_SCALE: Final = 4


def tcp_info(tcb: Tcb, now: int) -> bytes:
    """What is known of the connection; of a listener, its queue and its backlog.

    Not modelled, and 0: tcpi_delivery_rate, which limit held for how long (tcpi_busy_time and its neighbours), SACK and
    DSACK, ECN, how many segments came out of order, and what stands behind tcpi_rcv_wnd.
    """
    if tcb.state == LISTEN and tcb.listener is not None:
        return _of_listener(tcb.listener)
    return (_state(tcb) + _measures(tcb, now) + _statistics(tcb)).ljust(SIZE, b"\0")


def _of_listener(listener: Listener) -> bytes:
    """The queue stands in tcpi_unacked, the backlog in tcpi_sacked."""
    queues = pack("=B7x4x4x4x4xII", LISTEN, len(listener.accept_queue), listener.backlog)
    window = pack("=48xI4xI12x", listener.tcb.cwnd, REORDERING)
    return (queues + window + pack("=QQ", UNLIMITED, UNLIMITED)).ljust(SIZE, b"\0")


def _state(tcb: Tcb) -> bytes:
    """tcpi_state to tcpi_fackets."""
    options = WITH_TIMESTAMPS * tcb.timestamps_ok | WITH_WINDOW_SCALE * bool(tcb.snd_wscale or tcb.rcv_wscale)
    return pack(
        "=8B9I", tcb.state, tcb.ca_state, tcb.retransmits & 255, tcb.probes_out & 255, tcb.backoff & 255, options,
        tcb.snd_wscale & 15 | (tcb.rcv_wscale & 15) << 4, tcb.unsent is None,
        tcb.rto // 1000, tcb.ato // 1000, tcb.mss, tcb.rcv_mss if _began(tcb) else 0,
        len(tcb.sent) if tcb.sent else 0, tcb.dupacks, tcb.lost_out, tcb.retransmitted_out, 0,
    )  # fmt: skip


def _began(tcb: Tcb) -> bool:
    """Whether a connection was ever asked for."""
    return bool(tcb.iss or tcb.irs)


def _measures(tcb: Tcb, now: int) -> bytes:
    """tcpi_last_data_sent to tcpi_total_retrans."""
    sent, received, acked = (
        (now - at) // MILLISECOND if at > 0 else 0
        for at in (tcb.last_data_sent, tcb.last_data_received, tcb.last_ack_received)
    )
    mtu = min(tcb.path_mtu, IP_MAX_MTU) if is_v4(tcb.raddr) else tcb.path_mtu
    advertised = tcb.advertised_mss
    if not _began(tcb):
        mtu = advertised = 0
    return pack(
        "=15I", sent, 0, received, acked, mtu, tcb.rcv_ssthresh, tcb.srtt >> 3, tcb.mdev >> 2, tcb.ssthresh, tcb.cwnd,
        advertised, REORDERING, tcb.rcv_rtt // 1000, tcb.rcvq_space, tcb.total_retransmits,
    )  # fmt: skip


def _statistics(tcb: Tcb) -> bytes:
    """tcpi_pacing_rate to tcpi_rcv_wnd."""
    flying = len(tcb.sent) if tcb.sent else 0
    delivered = max(tcb.data_segs_out - tcb.total_retransmits - flying, 0) + bool(tcb.srtt)
    return pack(
        "=QQQQIIIIIIQQQQIIQQIIIII", _pacing_rate(tcb), UNLIMITED, tcb.bytes_acked, tcb.bytes_received,
        tcb.segs_out, tcb.segs_in, (tcb.write_seq - tcb.snd_nxt) & 0xFFFFFFFF,
        tcb.min_rtt if tcb.min_rtt >= 0 else UNMEASURED, tcb.data_segs_in, tcb.data_segs_out,
        0, 0, 0, 0, delivered, 0, tcb.bytes_sent, tcb.bytes_resent, 0, 0, 0, tcb.snd_wnd, tcb.rcv_wnd,
    )  # fmt: skip


def _pacing_rate(tcb: Tcb) -> int:
    """Bytes a second, to which nothing is held: 1.2 times the window, or twice (tcp_update_pacing_rate)."""
    if not tcb.srtt:
        return UNLIMITED
    percent = 200 if tcb.cwnd < tcb.ssthresh // 2 else 120
    return tcb.mss * 80_000 * percent * max(tcb.cwnd, len(tcb.sent or ())) // tcb.srtt
