"""What kind of address it is: loopback, private, global ... and who can reach such a one.

The kinds are those of IANA's special-purpose address registries (RFC 6890, kept up to date by IANA).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from portside.addr import ip


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of address. `name` follows "an" or "a" in a sentence; `reach` says who can reach such an
    address."""

    name: str
    reach: str


_ONLY_HERE: Final = "only programs on the machine itself reach it"
_WILDCARD = Kind("wildcard address", "it stands for every address of the machine")
_LOOPBACK = Kind("loopback address", _ONLY_HERE)
_PRIVATE = Kind("private address", "reachable within its own network, not from the internet")
_LINK_LOCAL = Kind("link-local address", "reachable from the same link only")
_DOCUMENTATION = Kind("documentation address", "reserved for examples, never routed")
_MULTICAST = Kind("multicast address", "a group of receivers, for datagrams only")
_GLOBAL = Kind("public address", "reachable from everywhere unless a filter forbids it")

_V4: Final = (
    ("0.0.0.0", 32, _WILDCARD),
    ("0.0.0.0", 8, Kind("this-network address", "no destination: it stands for a host of this network")),
    ("10.0.0.0", 8, _PRIVATE),
    ("100.64.0.0", 10, Kind("shared address", "reachable behind a carrier's NAT, not from the internet")),
    ("127.0.0.0", 8, _LOOPBACK),
    ("169.254.0.0", 16, _LINK_LOCAL),
    ("172.16.0.0", 12, _PRIVATE),
    ("192.0.2.0", 24, _DOCUMENTATION),
    ("192.168.0.0", 16, _PRIVATE),
    ("198.18.0.0", 15, Kind("benchmarking address", "reserved for measurements, never routed")),
    ("198.51.100.0", 24, _DOCUMENTATION),
    ("203.0.113.0", 24, _DOCUMENTATION),
    ("224.0.0.0", 4, _MULTICAST),
    ("255.255.255.255", 32, Kind("broadcast address", "every host of the link, for datagrams only")),
    ("240.0.0.0", 4, Kind("reserved address", "assigned to nobody")),
)
_V6: Final = (
    ("::", 128, _WILDCARD),
    ("::1", 128, _LOOPBACK),
    ("64:ff9b::", 96, Kind("NAT64 address", "it stands for an IPv4 host behind a translator")),
    ("2001:db8::", 32, _DOCUMENTATION),
    ("2002::", 16, Kind("6to4 address", "reachable through 6to4 relays, where any are left")),
    ("3fff::", 20, _DOCUMENTATION),
    ("fc00::", 7, Kind("unique local address", "reachable within its own site, not from the internet")),
    ("fe80::", 10, _LINK_LOCAL),
    ("ff00::", 8, _MULTICAST),
    ("2000::", 3, _GLOBAL),
    ("::", 0, Kind("unassigned address", "assigned to nobody")),
)
_V4_RANGES: Final = tuple((ip.parse(text) >> 32 - length, 32 - length, kind) for text, length, kind in _V4)
_V6_RANGES: Final = tuple((ip.parse(text) >> 128 - length, 128 - length, kind) for text, length, kind in _V6)


def kind_of(address: int) -> Kind:
    """The kind of the address; the first range that holds it decides."""
    ranges = _V4_RANGES if ip.is_v4(address) else _V6_RANGES
    return next((kind for prefix, shift, kind in ranges if address >> shift == prefix), _GLOBAL)
