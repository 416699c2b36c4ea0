"""The sysctls of a host: the files under /proc/sys/net, their text and their limits.

`CODECS` says which attribute of `Settings` each of them is, and in which form (Documentation/networking/ip-sysctl.rst).
The limits are those of the kernel's tables (net/ipv4/sysctl_net_ipv4.c and its neighbours), tried on Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from portside.host.socket_file import MIN_RCVBUF, MIN_SNDBUF
from portside.host.sysctl_codec import (
    INT_MAX,
    INT_MIN,
    PORTS,
    Codec,
    Constant,
    Forwarding,
    InterfaceForwarding,
    Number,
    Numbers,
    PortRange,
    PortSet,
    PrivilegedPorts,
    Stored,
    Word,
)  # fmt: skip

if TYPE_CHECKING:
    from portside.facts.settings import Settings

JIFFIES: Final = INT_MAX // 250  # the most seconds that a time in ticks, 250 a second, can hold
CONGESTION_CONTROLS: Final = ("reno",)


def _byte(name: str, low: int = 0, high: int = 255) -> Number:
    return Number(name, low, high, narrow=True)


def _jiffies(name: str) -> Number:
    return Number(name, -JIFFIES, JIFFIES)


def _milliseconds(name: str) -> Number:
    return Number(name, 0, INT_MAX)


CODECS: Final[dict[str, Codec]] = {
    "net/core/somaxconn": Number("somaxconn", 0),
    "net/core/rmem_default": Number("rmem_default", MIN_RCVBUF),
    "net/core/rmem_max": Number("rmem_max", MIN_RCVBUF),
    "net/core/wmem_default": Number("wmem_default", MIN_SNDBUF),
    "net/core/wmem_max": Number("wmem_max", MIN_SNDBUF),
    "net/ipv4/ip_local_port_range": PortRange(),
    "net/ipv4/ip_local_reserved_ports": PortSet("ip_local_reserved_ports"),
    "net/ipv4/ip_unprivileged_port_start": PrivilegedPorts("ip_unprivileged_port_start", 0, PORTS - 1),
    "net/ipv4/ip_nonlocal_bind": _byte("ip_nonlocal_bind"),
    "net/ipv4/ip_autobind_reuse": _byte("ip_autobind_reuse", 0, 1),
    "net/ipv4/ip_forward": Forwarding("ip_forward", "ipv4"),
    "net/ipv4/conf/all/forwarding": Forwarding("ip_forward", "ipv4"),
    "net/ipv4/ip_default_ttl": _byte("ip_default_ttl", 1),
    "net/ipv4/icmp_echo_ignore_all": _byte("icmp_echo_ignore_all", 0, 1),
    "net/ipv4/icmp_echo_ignore_broadcasts": _byte("icmp_echo_ignore_broadcasts", 0, 1),
    "net/ipv4/icmp_ratelimit": _milliseconds("icmp_ratelimit"),
    "net/ipv4/icmp_ratemask": Number("icmp_ratemask"),
    "net/ipv4/icmp_msgs_per_sec": Number("icmp_msgs_per_sec", 0),
    "net/ipv4/icmp_msgs_burst": Number("icmp_msgs_burst", 0),
    "net/ipv4/tcp_rmem": Numbers("tcp_rmem", 1),
    "net/ipv4/tcp_wmem": Numbers("tcp_wmem", 1),
    "net/ipv4/tcp_syn_retries": _byte("tcp_syn_retries", 1, 127),
    "net/ipv4/tcp_syn_linear_timeouts": _byte("tcp_syn_linear_timeouts", 0, 127),
    "net/ipv4/tcp_synack_retries": _byte("tcp_synack_retries"),
    "net/ipv4/tcp_retries1": _byte("tcp_retries1"),
    "net/ipv4/tcp_retries2": _byte("tcp_retries2"),
    "net/ipv4/tcp_orphan_retries": _byte("tcp_orphan_retries"),
    "net/ipv4/tcp_max_syn_backlog": Number("tcp_max_syn_backlog"),
    "net/ipv4/tcp_syncookies": _byte("tcp_syncookies"),
    "net/ipv4/tcp_abort_on_overflow": _byte("tcp_abort_on_overflow"),
    "net/ipv4/tcp_keepalive_time": _jiffies("tcp_keepalive_time"),
    "net/ipv4/tcp_keepalive_intvl": _jiffies("tcp_keepalive_intvl"),
    "net/ipv4/tcp_keepalive_probes": _byte("tcp_keepalive_probes"),
    "net/ipv4/tcp_fin_timeout": _jiffies("tcp_fin_timeout"),
    "net/ipv4/tcp_tw_reuse": _byte("tcp_tw_reuse", 0, 2),
    "net/ipv4/tcp_tw_reuse_delay": Number("tcp_tw_reuse_delay", 1, 60000, narrow=True),
    "net/ipv4/tcp_max_tw_buckets": Number("tcp_max_tw_buckets"),
    "net/ipv4/tcp_timestamps": _byte("tcp_timestamps"),
    "net/ipv4/tcp_window_scaling": _byte("tcp_window_scaling"),
    "net/ipv4/tcp_sack": _byte("tcp_sack"),
    "net/ipv4/tcp_rfc1337": _byte("tcp_rfc1337"),
    "net/ipv4/tcp_challenge_ack_limit": Number("tcp_challenge_ack_limit"),
    "net/ipv4/tcp_invalid_ratelimit": _milliseconds("tcp_invalid_ratelimit"),
    "net/ipv4/tcp_slow_start_after_idle": _byte("tcp_slow_start_after_idle"),
    "net/ipv4/tcp_moderate_rcvbuf": _byte("tcp_moderate_rcvbuf"),
    "net/ipv4/tcp_adv_win_scale": Number("tcp_adv_win_scale", -31, 31),
    "net/ipv4/tcp_rto_max_ms": Number("tcp_rto_max_ms", 1000, 120000),
    "net/ipv4/tcp_base_mss": Number("tcp_base_mss"),
    "net/ipv4/tcp_min_snd_mss": Number("tcp_min_snd_mss", 48, 65535),
    "net/ipv4/tcp_congestion_control": Word("tcp_congestion_control", CONGESTION_CONTROLS),
    "net/ipv4/tcp_available_congestion_control": Constant(" ".join(CONGESTION_CONTROLS) + "\n"),
    "net/ipv4/udp_rmem_min": Number("udp_rmem_min", 1),
    "net/ipv4/udp_wmem_min": Number("udp_wmem_min", 1),
    "net/ipv6/bindv6only": _byte("bindv6only"),
    "net/ipv6/ip_nonlocal_bind": _byte("ip6_nonlocal_bind"),
    "net/ipv6/conf/all/forwarding": Forwarding("ip6_forwarding", "ipv6"),
    "net/ipv6/conf/default/hop_limit": Number("ip6_hop_limit", 1, 255),
    "net/ipv6/icmp/ratelimit": _milliseconds("icmp6_ratelimit"),
    "net/unix/max_dgram_qlen": Number("unix_max_dgram_qlen"),
}
"""The sysctls that are modelled, by their path under /proc/sys."""

_KEPT: Final = (
    Stored("net/core/netdev_max_backlog", "1000"),
    Stored("net/core/optmem_max", "131072"),
    Stored("net/ipv4/tcp_ecn", "2", 0, 2),
    Stored("net/ipv4/tcp_fastopen", "1"),
    Stored("net/ipv4/tcp_mtu_probing", "0", 0, 255),
    Stored("net/ipv4/tcp_no_metrics_save", "0", 0, 255),
    Stored("net/ipv4/tcp_thin_linear_timeouts", "0", 0, 255),
    Stored("net/ipv4/tcp_dsack", "1", 0, 255),
    Stored("net/ipv4/tcp_frto", "2", 0, 255),
    Stored("net/ipv4/tcp_max_orphans", "65536"),
    Stored("net/ipv4/ping_group_range", "1\t0", 0),
    Stored("net/ipv6/conf/all/hop_limit", "64", 1, 255),
)
CODECS.update((codec.path, codec) for codec in _KEPT)

# Per interface, and for `all` and `default`: (family, name, default, lowest, highest). Kept, but for forwarding.
_PER_INTERFACE: Final = (
    ("ipv4", "rp_filter", "0", INT_MIN, INT_MAX),
    ("ipv4", "accept_local", "0", INT_MIN, INT_MAX),
    ("ipv4", "route_localnet", "0", INT_MIN, INT_MAX),
    ("ipv6", "disable_ipv6", "0", INT_MIN, INT_MAX),
    ("ipv6", "accept_ra", "1", INT_MIN, INT_MAX),
    ("ipv6", "accept_dad", "1", INT_MIN, INT_MAX),
)


class Sysctls:
    """The sysctls of one host as a tree of files.

    `interfaces` says which interfaces it has now: each has a directory under net/ipv4/conf and net/ipv6/conf.
    """

    __slots__ = ("interfaces", "settings")

    def __init__(self, settings: Settings, interfaces: Callable[[], list[str]] = lambda: ["lo"]) -> None:
        self.settings = settings
        self.interfaces = interfaces

    def paths(self) -> list[str]:
        """Every path under /proc/sys, in order."""
        found = set(CODECS)
        for interface in ("all", "default", *self.interfaces()):
            found.update(f"net/{family}/conf/{interface}/{name}" for family, name, *_ in _PER_INTERFACE)
            found.update(f"net/{family}/conf/{interface}/forwarding" for family in ("ipv4", "ipv6"))
            found.add(f"net/ipv6/conf/{interface}/hop_limit")
        return sorted(found)

    def find(self, path: str) -> Codec | None:
        """The sysctl of that path under /proc/sys, or None."""
        codec = CODECS.get(path)
        if codec is not None:
            return codec
        parts = path.split("/")
        if len(parts) != 5 or parts[2] != "conf" or parts[3] not in ("all", "default", *self.interfaces()):
            return None
        family, name = parts[1], parts[4]
        if name == "forwarding" and family in ("ipv4", "ipv6"):
            return InterfaceForwarding("ip_forward" if family == "ipv4" else "ip6_forwarding", path)
        if name == "hop_limit" and family == "ipv6":
            return Number("ip6_hop_limit", 1, 255)
        for other_family, other, default, low, high in _PER_INTERFACE:
            if (family, name) == (other_family, other):
                return Stored(path, default, low, high)
        return None

    def is_directory(self, path: str) -> bool:
        """Whether it is a directory under /proc/sys."""
        prefix = path.rstrip("/") + "/" if path else ""
        return any(other.startswith(prefix) for other in self.paths())

    def listdir(self, path: str) -> list[str]:
        """The names in a directory under /proc/sys, in order; none where there is no such directory."""
        prefix = path.rstrip("/") + "/" if path else ""
        return sorted({other[len(prefix) :].split("/")[0] for other in self.paths() if other.startswith(prefix)})

    def get(self, name: str) -> str:
        """The value of `net.ipv4.ip_forward`, as sysctl(8) prints it. ValueError for an unknown name."""
        return self._named(name).read(self.settings).rstrip("\n")

    def set(self, assignment: str) -> None:
        """Do `name=value`, as `sysctl -w` takes it. ValueError says what is wrong with it."""
        name, equals, value = assignment.partition("=")
        name, value = name.strip(), value.strip()
        if not equals:
            raise ValueError(f"{assignment!r} sets nothing: write NAME=VALUE, as net.ipv4.ip_forward=1")
        codec = self._named(name)
        if not codec.writable:
            raise ValueError(f"{name} can only be read")
        try:
            codec.write(self.settings, value.encode() + b"\n")
        except OSError:
            limits = codec.limits() and f": {codec.limits()}"
            raise ValueError(f"{name} does not take {value!r}{limits}") from None

    def _named(self, name: str) -> Codec:
        path = path_of(name)
        codec = self.find(path)
        if codec is not None:
            return codec
        known = [name_of(other) for other in self.paths()]
        if self.is_directory(path):
            raise ValueError(f"{name} is a directory of settings, not one of them")
        near = get_close_matches(name_of(path), known, n=3, cutoff=0.6)
        last = name_of(path).rpartition(".")[2]
        near = near or [other for other in known if last and last in other][:3]
        hint = ": names begin with net.core, net.ipv4, net.ipv6, net.unix"
        if near:
            hint = f": did you mean {' or '.join(near)}?"
        raise ValueError(f"there is no setting {name}{hint}")


def path_of(name: str) -> str:
    """The path under /proc/sys of a name in either notation of sysctl(8): `net.ipv4.ip_forward`, `net/ipv4/ip_forward`.

    Whichever separator comes first is the one; the other then stands for a dot or a slash within a part.
    """
    dot, slash = name.find("."), name.find("/")
    if dot < 0 or 0 <= slash < dot:
        return name.strip("/")
    return name.translate(str.maketrans("./", "/."))


def name_of(path: str) -> str:
    """The name that sysctl(8) prints for a path under /proc/sys."""
    return path.translate(str.maketrans("/.", "./"))
