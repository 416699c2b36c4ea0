"""Which file under /proc/sys each attribute of `Settings` is, and what else is worth knowing there."""

from __future__ import annotations

from typing import Final

PATHS: Final[dict[str, str]] = {
    **{f"net/core/{name}": name for name in ("somaxconn", "rmem_default", "rmem_max", "wmem_default", "wmem_max")},
    **{
        f"net/ipv4/{name}": name
        for name in (
            "ip_local_port_range", "ip_local_reserved_ports", "ip_unprivileged_port_start", "ip_nonlocal_bind",
            "ip_autobind_reuse", "ip_forward", "ip_default_ttl", "icmp_echo_ignore_all",
            "icmp_echo_ignore_broadcasts", "icmp_ratelimit", "icmp_ratemask", "icmp_msgs_per_sec", "icmp_msgs_burst",
            "tcp_rmem", "tcp_wmem", "tcp_syn_retries", "tcp_syn_linear_timeouts", "tcp_synack_retries",
            "tcp_retries1", "tcp_retries2", "tcp_orphan_retries", "tcp_max_syn_backlog", "tcp_syncookies",
            "tcp_abort_on_overflow", "tcp_keepalive_time", "tcp_keepalive_intvl", "tcp_keepalive_probes",
            "tcp_fin_timeout", "tcp_tw_reuse", "tcp_tw_reuse_delay", "tcp_max_tw_buckets", "tcp_timestamps",
            "tcp_window_scaling", "tcp_sack", "tcp_rfc1337", "tcp_challenge_ack_limit", "tcp_invalid_ratelimit",
            "tcp_moderate_rcvbuf", "tcp_slow_start_after_idle", "tcp_adv_win_scale", "tcp_rto_max_ms",
            "tcp_base_mss", "tcp_min_snd_mss", "tcp_congestion_control", "udp_rmem_min", "udp_wmem_min",
        )
    },
    "net/ipv6/bindv6only": "bindv6only",
    "net/ipv6/ip_nonlocal_bind": "ip6_nonlocal_bind",
    "net/ipv6/conf/all/forwarding": "ip6_forwarding",
    "net/ipv6/conf/default/hop_limit": "ip6_hop_limit",
    "net/ipv6/icmp/ratelimit": "icmp6_ratelimit",
    "net/unix/max_dgram_qlen": "unix_max_dgram_qlen",
}  # fmt: skip
"""Path under /proc/sys to attribute (Documentation/networking/ip-sysctl.rst)."""

FURTHER: Final = (
    "net/ipv4/tcp_ecn", "net/ipv4/tcp_l3mdev_accept", "net/ipv4/udp_l3mdev_accept",
    "net/ipv4/fib_multipath_hash_policy", "net/ipv6/fib_multipath_hash_policy",
    "net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables",
)  # fmt: skip
"""Paths whose text goes into `Settings.extra`, where they are there."""

PER_INTERFACE: Final = {
    "ipv4": ("accept_local", "arp_announce", "arp_ignore", "forwarding", "ignore_routes_with_linkdown",
             "route_localnet", "rp_filter", "src_valid_mark"),
    "ipv6": ("disable_ipv6", "forwarding", "ignore_routes_with_linkdown"),
}  # fmt: skip
"""Of net/FAMILY/conf/INTERFACE, `all` and `default` included: these go into `Settings.extra` too."""
