"""The network settings of a host: what /proc/sys/net holds, under the names it has there."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Settings:
    """One host's sysctls, as plain attributes so that a packet's way costs an attribute read.

    Defaults are those of Linux 6.18 on a machine with plenty of memory, with NewReno for congestion control.
    `host/sysctl.py` gives them their paths, their text and their limits. Units are those of Documentation/networking/
    ip-sysctl.rst: seconds, bytes, counts.
    """

    # net.core
    somaxconn: int = 4096
    rmem_default: int = 212992
    rmem_max: int = 4194304
    wmem_default: int = 212992
    wmem_max: int = 4194304

    # net.ipv4: addresses and ports
    ip_local_port_range: tuple[int, int] = (32768, 60999)
    ip_local_reserved_ports: frozenset[int] = frozenset()
    ip_unprivileged_port_start: int = 1024
    ip_nonlocal_bind: int = 0
    ip_autobind_reuse: int = 0
    ip_forward: int = 0
    ip_default_ttl: int = 64
    icmp_echo_ignore_all: int = 0
    icmp_echo_ignore_broadcasts: int = 1
    icmp_ratelimit: int = 1000
    icmp_ratemask: int = 6168
    icmp_msgs_per_sec: int = 1000
    icmp_msgs_burst: int = 50

    # net.ipv4: TCP
    tcp_rmem: tuple[int, int, int] = (4096, 131072, 33554432)
    tcp_wmem: tuple[int, int, int] = (4096, 16384, 4194304)
    tcp_syn_retries: int = 6
    tcp_syn_linear_timeouts: int = 4
    tcp_synack_retries: int = 5
    tcp_retries1: int = 3
    tcp_retries2: int = 15
    tcp_orphan_retries: int = 0
    tcp_max_syn_backlog: int = 1024
    tcp_syncookies: int = 1
    tcp_abort_on_overflow: int = 0
    tcp_keepalive_time: int = 7200
    tcp_keepalive_intvl: int = 75
    tcp_keepalive_probes: int = 9
    tcp_fin_timeout: int = 60
    tcp_tw_reuse: int = 2
    tcp_tw_reuse_delay: int = 1000
    tcp_max_tw_buckets: int = 65536
    tcp_timestamps: int = 1
    tcp_window_scaling: int = 1
    tcp_sack: int = 1
    tcp_rfc1337: int = 0
    tcp_challenge_ack_limit: int = 2147483647
    tcp_invalid_ratelimit: int = 500
    tcp_moderate_rcvbuf: int = 1
    tcp_slow_start_after_idle: int = 1
    tcp_adv_win_scale: int = 1
    tcp_rto_max_ms: int = 120000
    tcp_base_mss: int = 1024
    tcp_min_snd_mss: int = 48
    tcp_congestion_control: str = "reno"

    # net.ipv4: UDP
    udp_rmem_min: int = 4096
    udp_wmem_min: int = 4096

    # net.ipv6
    bindv6only: int = 0
    ip6_nonlocal_bind: int = 0
    ip6_forwarding: int = 0
    ip6_hop_limit: int = 64
    icmp6_ratelimit: int = 100

    # net.unix
    unix_max_dgram_qlen: int = 10

    extra: dict[str, str] = field(default_factory=dict)  # stored and read back; nothing acts on them
