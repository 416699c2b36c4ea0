"""A network interface: its index, name, addresses and the link it is plugged into (ip-link(8),
ip-address(8)).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from portside.addr.ip import is_link_local, is_loopback, is_v4, prefix_of, text
from portside.facts.interface import SCOPE_GLOBAL, SCOPE_HOST, SCOPE_LINK

if TYPE_CHECKING:
    from portside.ip.link import Link
    from portside.wire.packet import Packet

LOOPBACK_INDEX: Final = 1
"""The index of `lo` on every host (<linux/netdevice.h> LOOPBACK_IFINDEX)."""

LOOPBACK_MTU: Final = 65536
ETHERNET_MTU: Final = 1500
IPV6_MIN_MTU: Final = 1280
"""RFC 8200 section 5; an interface with less has no IPv6."""

FE80: Final = 0xFE80 << 112


class InterfaceAddress:
    """One address of an interface with the length of its subnet prefix in bits.

    `secondary` is true for an IPv4 address whose subnet another address of the interface had first: it is
    never chosen as a source by itself (ip-address(8)). `broadcast` is the subnet's broadcast address, 0 where
    there is none.
    """

    __slots__ = ("address", "broadcast", "prefix_length", "scope", "secondary")

    def __init__(self, address: int, prefix_length: int, *, secondary: bool = False) -> None:
        self.address = address
        self.prefix_length = prefix_length
        self.secondary = secondary
        self.scope = scope_of(address)
        self.broadcast = broadcast_of(address, prefix_length)

    def __repr__(self) -> str:
        return f"{text(self.address)}/{self.prefix_length}"


class Interface:
    """One interface of one host.

    `link_address` is the 48-bit address by which its link knows it (its MAC address). `receiver` takes what
    arrives: the link calls `interface.receiver(packet, interface)`; the IP layer sets it, the host may
    replace it. `far_end` is the link address of the other end where there is but one and nobody is asked who is who
    (a tunnel: IFF_POINTOPOINT and IFF_NOARP), else 0.
    """

    __slots__ = ("addresses", "far_end", "index", "link", "link_address", "loopback", "mtu", "name", "receiver", "up")

    def __init__(
        self, index: int, name: str, *, mtu: int = ETHERNET_MTU, link_address: int = 0, loopback: bool = False
    ) -> None:
        self.index = index
        self.name = name
        self.mtu = mtu  # bytes of IP packet
        self.link_address = link_address
        self.loopback = loopback
        self.far_end = 0
        self.up = True
        self.addresses: list[InterfaceAddress] = []  # in the order in which they were added
        self.link: Link | None = None
        self.receiver: Callable[[Packet, Interface], None] = _nobody

    def link_local(self) -> int:
        """The address in fe80::/64 that the link address makes, by modified EUI-64 (RFC 4291 appendix A).

        Duplicate address detection (RFC 4862 section 5.4) is not modelled: the address can be used at once.
        """
        mac = self.link_address
        return FE80 | ((mac >> 24) ^ 0x020000) << 40 | 0xFFFE << 24 | mac & 0xFFFFFF

    def __repr__(self) -> str:
        return f"<Interface {self.index} {self.name}>"


def _nobody(_packet: Packet, _interface: Interface) -> None:
    """Takes what arrives at an interface of no host."""


def make_link_address(host: int, index: int) -> int:
    """A locally administered unicast MAC address, stable for a host's number and an interface's index."""
    return 0x02 << 40 | (host & 0xFFFFFF) << 16 | index & 0xFFFF


def broadcast_of(address: int, prefix_length: int) -> int:
    """The directed broadcast address of an IPv4 subnet of 30 bits or fewer, otherwise 0 (RFC 3021;
    fib_add_ifaddr).
    """
    if not is_v4(address) or prefix_length >= 31:
        return 0
    host_bits: int = (1 << 32 - prefix_length) - 1
    return prefix_of(address, prefix_length) | host_bits


def scope_of(address: int) -> int:
    """The scope that ip-address(8) gives an address: host for loopback, link for IPv6 link-local, else
    global.
    """
    if is_loopback(address):
        return SCOPE_HOST
    if is_link_local(address) and not is_v4(address):
        return SCOPE_LINK
    return SCOPE_GLOBAL
