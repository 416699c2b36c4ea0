"""The host of a Snapshot as bind(2) asks about it: which addresses and interfaces it has, and who calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from portside.addr.ip import V4_BROADCAST, bits_of, is_v4, prefix_of
from portside.facts.interface import (
    IFA_F_OPTIMISTIC,
    IFA_F_TENTATIVE,
    IFF_LOOPBACK,
    IFF_UP,
    SCOPE_HOST,
    SCOPE_LINK,
    Address,
    Interface,
)
from portside.facts.route import BROADCAST, LOCAL
from portside.facts.snapshot import Snapshot

EVERYTHING: Final = (1 << 64) - 1
"""The capabilities of root."""

Prefix = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Caller:
    """The process that would call bind(2): its effective user, and its capabilities (one bit for each of
    capabilities(7))."""

    uid: int = 0
    capabilities: int = EVERYTHING

    @classmethod
    def user(cls, uid: int) -> Caller:
        """An ordinary process of that user: root may everything, others nothing."""
        return cls(uid, 0 if uid else EVERYTHING)


@dataclass(frozen=True)
class Place:
    """The questions of `sockets.bind.Environment`, answered from a Snapshot."""

    snapshot: Snapshot
    caller: Caller = field(default_factory=Caller)

    @cached_property
    def addresses(self) -> tuple[tuple[Interface, Address], ...]:
        """Every address with its interface."""
        return tuple((interface, address) for interface in self.snapshot.interfaces for address in interface.addresses)

    @cached_property
    def local_v4(self) -> tuple[Prefix, ...]:
        """What the table `local` has as the host's own; without routes in the snapshot, what Linux would put there."""
        routes = _v4_routes(self.snapshot, LOCAL)
        if routes:
            return routes
        return tuple(
            (prefix_of(each.address, each.prefix_length), each.prefix_length)
            if interface.flags & IFF_LOOPBACK and each.scope == SCOPE_HOST
            else (each.address, 32)
            for interface, each in self.addresses
            if is_v4(each.address) and interface.flags & IFF_UP
        )

    @cached_property
    def broadcast_v4(self) -> frozenset[int]:
        """The broadcast addresses of the host's networks (fib_add_ifaddr)."""
        routes = _v4_routes(self.snapshot, BROADCAST)
        if routes:
            return frozenset({V4_BROADCAST, *(address for address, _ in routes)})
        found = {V4_BROADCAST}
        for interface, each in self.addresses:
            if is_v4(each.address) and each.prefix_length < 31 and interface.flags & IFF_UP:
                found.add(each.address | (1 << 32 - each.prefix_length) - 1)
                found |= {each.broadcast} if each.broadcast else set()
        return frozenset(found)

    def is_local_address(self, address: int, device: int) -> bool:
        """Whether the host has the address; see `sockets.bind.Environment`."""
        if is_v4(address):
            if address in self.broadcast_v4:
                return False
            return any(prefix_of(address, length) == prefix for prefix, length in self.local_v4)
        return any(
            each.address == address
            and is_ready(each)
            and (not device or interface.index == device or each.scope not in (SCOPE_LINK, SCOPE_HOST))
            for interface, each in self.addresses
        )

    def is_broadcast_address(self, address: int) -> bool:
        """Whether it is 255.255.255.255 or the broadcast address of a network of the host.

        Without a table `local` every IPv4 address is taken for one (__inet_dev_addr_type), and may be bound.
        """
        if self.snapshot.local_table is False and is_v4(address):
            return True
        return address in self.broadcast_v4

    def has_interface(self, index: int) -> bool:
        """Whether there is an interface of that index."""
        return any(interface.index == index for interface in self.snapshot.interfaces)

    def capable(self, capability: int) -> bool:
        """Whether the caller has the capability."""
        return bool(self.caller.capabilities >> capability & 1)


def is_ready(address: Address) -> bool:
    """Whether an address may be used: nobody else has it, or that need not be waited for (ipv6_chk_addr_and_flags)."""
    return not address.flags & IFA_F_TENTATIVE or bool(address.flags & IFA_F_OPTIMISTIC)


def _v4_routes(snapshot: Snapshot, kind: int) -> tuple[Prefix, ...]:
    return tuple(
        (route.destination, route.prefix_length)
        for route in snapshot.routes
        if route.kind == kind and is_v4(route.destination) and route.prefix_length <= bits_of(route.destination)
    )
