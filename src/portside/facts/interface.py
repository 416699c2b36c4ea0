"""What is true of one network interface: what `ip address show` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Interface flags of netdevice(7).
IFF_UP: Final = 0x1
IFF_BROADCAST: Final = 0x2
IFF_LOOPBACK: Final = 0x8
IFF_POINTOPOINT: Final = 0x10
IFF_RUNNING: Final = 0x40
IFF_NOARP: Final = 0x80
IFF_PROMISC: Final = 0x100
IFF_MULTICAST: Final = 0x1000
IFF_LOWER_UP: Final = 0x10000

# Reach of an address or a route, <linux/rtnetlink.h>.
SCOPE_GLOBAL: Final = 0
SCOPE_SITE: Final = 200
SCOPE_LINK: Final = 253
SCOPE_HOST: Final = 254
SCOPE_NOWHERE: Final = 255

SCOPE_NAMES: Final = {
    SCOPE_GLOBAL: "global",
    SCOPE_SITE: "site",
    SCOPE_LINK: "link",
    SCOPE_HOST: "host",
    SCOPE_NOWHERE: "nowhere",
}

# Flags of an address, <linux/if_addr.h>.
IFA_F_SECONDARY: Final = 0x01  # for IPv6: temporary
IFA_F_NODAD: Final = 0x02
IFA_F_OPTIMISTIC: Final = 0x04
IFA_F_DADFAILED: Final = 0x08
IFA_F_DEPRECATED: Final = 0x20
IFA_F_TENTATIVE: Final = 0x40
IFA_F_PERMANENT: Final = 0x80
IFA_F_NOPREFIXROUTE: Final = 0x200


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One address of an interface; for IPv4 `prefix_length` counts from the dotted quad's start."""

    address: int
    prefix_length: int
    scope: int = SCOPE_GLOBAL
    peer: int | None = None  # the other end of a point-to-point link
    broadcast: int | None = None
    label: str = ""
    flags: int = 0
    preferred: int | None = None  # nanoseconds left; None: for ever
    valid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface (netdevice(7), rtnetlink(7))."""

    index: int
    name: str
    kind: str = ""  # veth, bridge, tun, vlan ...; empty for hardware and loopback
    flags: int = 0
    mtu: int = 1500
    mac: bytes = b""
    state: str = "UNKNOWN"  # operational state of RFC 2863: UP, DOWN, UNKNOWN ...
    queue_discipline: str = ""
    queue_length: int = 0
    group: str = "default"
    master: int = 0  # index of the bridge or bond that it belongs to
    isolated: bool = False  # as the port of a bridge: it reaches no other port that is isolated, too
    link: int = 0  # index of the interface it is stacked on, or its veth peer's
    link_namespace: int | None = None  # inode of the namespace of `link`, where it is another one; 0: not known which
    addresses: tuple[Address, ...] = ()
    received_packets: int = 0
    received_bytes: int = 0
    received_drops: int = 0
    sent_packets: int = 0
    sent_bytes: int = 0
    sent_drops: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbor:
    """A row of the neighbour table: `ip neighbour show`."""

    address: int
    interface: int
    mac: bytes = b""
    state: str = "REACHABLE"  # INCOMPLETE, REACHABLE, STALE, DELAY, PROBE, FAILED, NOARP, PERMANENT
