"""What is true of one route, and of one rule that chooses a routing table: `ip route show`, `ip rule
show`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Route types, <linux/rtnetlink.h>.
UNICAST: Final = 1
LOCAL: Final = 2
BROADCAST: Final = 3
ANYCAST: Final = 4
MULTICAST: Final = 5
BLACKHOLE: Final = 6
UNREACHABLE: Final = 7
PROHIBIT: Final = 8
THROW: Final = 9
NAT: Final = 10

KIND_NAMES: Final = {
    UNICAST: "unicast",
    LOCAL: "local",
    BROADCAST: "broadcast",
    ANYCAST: "anycast",
    MULTICAST: "multicast",
    BLACKHOLE: "blackhole",
    UNREACHABLE: "unreachable",
    PROHIBIT: "prohibit",
    THROW: "throw",
    NAT: "nat",
}

TABLE_DEFAULT: Final = 253
TABLE_MAIN: Final = 254
TABLE_LOCAL: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHop:
    """One way of a route with several: gateway, interface, and its weight among the others."""

    gateway: int | None = None
    interface: int = 0
    weight: int = 1
    onlink: bool = False
    dead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route. `destination` and `prefix_length` are 0/0 of its family for the default route.

    `gateway` is None for a destination on the link itself. `source` is the address that packets get when
    their socket has chosen none (`src` of ip-route(8)).
    """

    destination: int
    prefix_length: int
    kind: int = UNICAST
    gateway: int | None = None
    interface: int = 0
    source: int | None = None
    metric: int = 0
    table: int = TABLE_MAIN
    scope: int = 0
    protocol: int = 0
    from_prefix: tuple[int, int] | None = None  # IPv6 source-specific routing: address, prefix length
    tos: int = 0
    mtu: int = 0
    advmss: int = 0
    hops: tuple[NextHop, ...] = ()
    onlink: bool = False  # the gateway is on the link, whatever its address
    dead: bool = False
    link_down: bool = False  # its interface has no carrier


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """A rule of the routing policy database (ip-rule(8)): which table is asked for which packets, in order of
    priority."""

    priority: int
    family: int
    table: int = TABLE_MAIN
    action: str = "lookup"  # lookup, blackhole, unreachable, prohibit, goto, nop, l3mdev
    target: int = 0  # of goto: the priority to go on with
    source: tuple[int, int] | None = None  # address, prefix length
    destination: tuple[int, int] | None = None
    input_interface: str = ""
    output_interface: str = ""
    mark: tuple[int, int] | None = None  # value, mask
    uids: tuple[int, int] | None = None
    tos: int = 0
    proto: int = 0
    source_ports: tuple[int, int] | None = None
    destination_ports: tuple[int, int] | None = None
    inverted: bool = False
    suppress_prefix_length: int | None = None
