"""What is true of the inside of a TCP connection: what tcp(7)'s TCP_INFO and `ss -i` show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

UNLIMITED_SSTHRESH: Final = 0x7FFFFFFF
"""snd_ssthresh before the first loss: TCP_INFINITE_SSTHRESH of <net/tcp.h>."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpInfo:
    """The inside of a TCP connection: what tcp(7)'s TCP_INFO and the tail of a /proc/net/tcp row tell.

    Windows and `cwnd`, `ssthresh` are in segments, as in struct tcp_info; sizes in bytes; times in
    nanoseconds.
    """

    rto: int = 1_000_000_000
    ato: int = 0
    quick: int = 0  # delayed-ACK credit: icsk_ack.quick
    pingpong: bool = False  # an interactive session: ACKs are delayed
    cwnd: int = 10
    ssthresh: int = UNLIMITED_SSTHRESH
    rtt: int = 0
    rttvar: int = 0
    min_rtt: int = 0
    mss: int = 0  # what one segment sent may carry
    advertised_mss: int = 0
    received_mss: int = 0
    path_mtu: int = 0
    snd_wscale: int | None = None
    rcv_wscale: int | None = None
    timestamps: bool = False
    sack: bool = False
    ecn: bool = False
    congestion: str = ""
    unacked: int = 0
    lost: int = 0
    retransmitted: int = 0  # in flight again now
    total_retransmits: int = 0
    backoff: int = 0
    snd_wnd: int = 0
    rcv_wnd: int = 0
    rcv_space: int = 0
    bytes_sent: int = 0
    bytes_acked: int = 0
    bytes_received: int = 0
    segments_out: int = 0
    segments_in: int = 0
    last_data_sent: int = 0  # how long ago
    last_data_received: int = 0
    last_ack_received: int = 0
    fastopen_queue: int = 0
    ca_state: int = 0  # TCP_CA_* of <linux/tcp.h>: 0 open, 1 disorder, 2 CWR, 3 recovery, 4 loss
    sacked: int = 0
    reordering: int = 3
    reorderings_seen: int = 0
    out_of_order: int = 0  # packets received out of order
    duplicate_sacks: int = 0
    rcv_rtt: int = 0
    rcv_ssthresh: int = 0  # bytes
    pacing_rate: int = 0  # bytes per second; all ones: unlimited
    max_pacing_rate: int = 0
    delivery_rate: int = 0
    application_limited: bool = False  # the delivery rate was measured while the program had nothing to send
    delivered: int = 0  # segments
    bytes_retransmitted: int = 0
    data_segments_out: int = 0
    data_segments_in: int = 0
    not_sent: int = 0  # bytes
    busy: int = 0  # how long something was in flight or waiting to be sent
    window_limited: int = 0
    buffer_limited: int = 0
