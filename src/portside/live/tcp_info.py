"""struct tcp_info of <linux/tcp.h>, as a kernel fills it in for TCP_INFO and for sock_diag."""

from __future__ import annotations

import struct
from typing import Final

from portside.addr.abi import MICROSECOND, MILLISECOND
from portside.facts.tcp_info import TcpInfo

# The struct has grown with time; a shorter one ends where its kernel's did.
_LAYOUT: Final = struct.Struct("=8B24I4Q6I4Q2I2Q6I")

_TIMESTAMPS: Final = 1
_SACK: Final = 2
_WSCALE: Final = 4
_ECN: Final = 8


def read(raw: bytes, congestion: str = "") -> TcpInfo:
    """The facts in a struct tcp_info.

    Args: raw: the struct, of whichever length its kernel gives it. congestion: the algorithm's name.
    """
    # fmt: off
    (
        _, ca_state, _, _, backoff, options, wscale, limited,
        rto, ato, mss, rcv_mss, unacked, sacked, lost, retrans, _, last_data_sent, _, last_data_recv, last_ack_recv,
        pmtu, rcv_ssthresh, rtt, rttvar, ssthresh, cwnd, advmss, reordering, rcv_rtt, rcv_space, total_retrans,
        pacing_rate, max_pacing_rate, bytes_acked, bytes_received,
        segs_out, segs_in, notsent, min_rtt, data_segs_in, data_segs_out,
        delivery_rate, busy_time, rwnd_limited, sndbuf_limited, delivered, _, bytes_sent, bytes_retrans,
        dsack_dups, reord_seen, rcv_ooopack, snd_wnd, rcv_wnd, _,
    ) = _LAYOUT.unpack_from(raw.ljust(_LAYOUT.size, b"\0"))
    # fmt: on
    scaled = bool(options & _WSCALE)
    return TcpInfo(
        rto=rto * MICROSECOND,
        ato=ato * MICROSECOND,
        cwnd=cwnd,
        ssthresh=ssthresh,
        rtt=rtt * MICROSECOND,
        rttvar=rttvar * MICROSECOND,
        min_rtt=0 if min_rtt == 0xFFFFFFFF else min_rtt * MICROSECOND,
        mss=mss,
        advertised_mss=advmss,
        received_mss=rcv_mss,
        path_mtu=pmtu,
        snd_wscale=wscale & 0xF if scaled else None,
        rcv_wscale=wscale >> 4 if scaled else None,
        timestamps=bool(options & _TIMESTAMPS),
        sack=bool(options & _SACK),
        ecn=bool(options & _ECN),
        congestion=congestion,
        unacked=unacked,
        lost=lost,
        retransmitted=retrans,
        total_retransmits=total_retrans,
        backoff=backoff,
        snd_wnd=snd_wnd,
        rcv_wnd=rcv_wnd,
        rcv_space=rcv_space,
        bytes_sent=bytes_sent,
        bytes_acked=bytes_acked,
        bytes_received=bytes_received,
        segments_out=segs_out,
        segments_in=segs_in,
        last_data_sent=last_data_sent * MILLISECOND,
        last_data_received=last_data_recv * MILLISECOND,
        last_ack_received=last_ack_recv * MILLISECOND,
        ca_state=ca_state,
        sacked=sacked,
        reordering=reordering,
        reorderings_seen=reord_seen,
        out_of_order=rcv_ooopack,
        duplicate_sacks=dsack_dups,
        rcv_rtt=rcv_rtt * MICROSECOND,
        rcv_ssthresh=rcv_ssthresh,
        pacing_rate=pacing_rate,
        max_pacing_rate=max_pacing_rate,
        delivery_rate=delivery_rate,
        application_limited=bool(limited & 1),
        delivered=delivered,
        bytes_retransmitted=bytes_retrans,
        data_segments_out=data_segs_out,
        data_segments_in=data_segs_in,
        not_sent=notsent,
        busy=busy_time * MICROSECOND,
        window_limited=rwnd_limited * MICROSECOND,
        buffer_limited=sndbuf_limited * MICROSECOND,
    )
