"""A network interface: its index, name, addresses and the link that it is plugged into (ip-link(8), ip-address(8))."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from portside.addr.ip import V4_BROADCAST, is_link_local, is_loopback, is_v4, prefix_of, text
from portside.addr.ip import bits_of as bits_of

if TYPE_CHECKING:
    from portside.ip.link import Link
    from portside.wire.packet import Packet

LOOPBACK_INDEX: Final = 1
"""The index of `lo` on every host (<linux/netdevice.h> LOOPBACK_IFINDEX)."""

LOOPBACK_MTU: Final = 65536
ETHERNET_MTU: Final = 1500

FE80: Final = 0xFE80 << 112

# Scopes of addresses and routes, <linux/rtnetlink.h>: the higher, the nearer.
SCOPE_UNIVERSE: Final = 0
SCOPE_LINK: Final = 253
SCOPE_HOST: Final = 254
SCOPE_NOWHERE: Final = 255


class InterfaceAddress:
    """One address of an interface with the length of its subnet prefix in bits.

    `secondary` is true for an IPv4 address whose subnet another address of the interface had first: it is never chosen
    as a source by itself (ip-address(8)). `broadcast` is the subnet's broadcast address, or 0 where there is none.
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

    `link_address` is the 48-bit address by which the link knows it (its MAC address); it is made of the host's number
    and the index where none is given, so that it is the same in every run. `receiver` is who takes what arrives: the
    link calls `interface.receiver(packet, interface)`.
    """

    __slots__ = ("addresses", "index", "link", "link_address", "loopback", "mtu", "name", "receiver", "up")

    def __init__(
        self, index: int, name: str, *, mtu: int = ETHERNET_MTU, link_address: int = 0, loopback: bool = False
    ) -> None:
        self.index = index
        self.name = name
        self.mtu = mtu
        self.link_address = link_address
        self.loopback = loopback
        self.up = True
        self.addresses: list[InterfaceAddress] = []  # in the order in which they were added
        self.link: Link | None = None
        self.receiver: Callable[[Packet, Interface], None] | None = None

    def link_local(self) -> int:
        """The link-local address fe80::/64 of the interface, by its link address as modified EUI-64 (RFC 4291 app. A).

        Duplicate address detection (RFC 4862 section 5.4) is not modelled: an address can be used at once.
        """
        mac = self.link_address
        return FE80 | ((mac >> 24) ^ 0x020000) << 40 | 0xFFFE << 24 | mac & 0xFFFFFF

    def find(self, address: int) -> InterfaceAddress | None:
        """The entry of exactly that address, or None."""
        for entry in self.addresses:
            if entry.address == address:
                return entry
        return None

    def __repr__(self) -> str:
        return f"<Interface {self.index} {self.name}>"


def make_link_address(host: int, index: int) -> int:
    """A locally administered unicast MAC address, stable for a host's number and an interface's index."""
    return 0x02 << 40 | (host & 0xFFFFFF) << 16 | index & 0xFFFF


def broadcast_of(address: int, prefix_length: int) -> int:
    """The directed broadcast address of an IPv4 subnet of 30 bits or fewer, otherwise 0 (RFC 3021; fib_add_ifaddr)."""
    if not is_v4(address) or prefix_length >= 31:
        return 0
    return prefix_of(address, prefix_length) | (1 << (32 - prefix_length)) - 1


def scope_of(address: int) -> int:
    """The scope that ip-address(8) gives an address: host for loopback, link for IPv6 link-local, else universe."""
    if is_loopback(address):
        return SCOPE_HOST
    if is_link_local(address) and not is_v4(address):
        return SCOPE_LINK
    return SCOPE_UNIVERSE


def is_limited_broadcast(address: int) -> bool:
    """Whether the address is 255.255.255.255 (RFC 919 section 7)."""
    return address == V4_BROADCAST
