"""Who is on the link: the neighbour table (arp(7); RFC 4861 section 7; kernel: net/core/neighbour.c)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from portside.addr.abi import SECOND
from portside.ip.interface import Interface
from portside.ip.link import TO_ALL, NeighborMessage
from portside.wire.packet import Packet

INCOMPLETE: Final = "INCOMPLETE"
REACHABLE: Final = "REACHABLE"
FAILED: Final = "FAILED"

PROBES: Final = 3  # net.ipv4.neigh.default.mcast_solicit
RETRANS_TIME: Final = SECOND  # net.ipv4.neigh.default.retrans_time_ms
QUEUE_BYTES: Final = 212992  # net.ipv4.neigh.default.unres_qlen_bytes


class NeighborEffects(Protocol):
    """What the table asks of the layer that it is part of."""

    @property
    def now(self) -> int:
        """The virtual time, ns."""

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        """Call `action(*arguments)` at `when`."""

    def emit(self, packet: Packet, interface: Interface, link_address: int) -> None:
        """Put a packet on the interface's link."""

    def unreachable(self, packet: Packet, interface: Interface) -> None:
        """Nobody answered for the next hop of this packet: tell its sender."""


class Neighbor:
    """One row of the table (`ip neighbour`): an address on a link, and its link address once it is known."""

    __slots__ = ("address", "interface", "link_address", "probes", "queue", "queued_bytes", "state")

    def __init__(self, address: int, interface: Interface) -> None:
        self.address = address
        self.interface = interface
        self.state = INCOMPLETE
        self.link_address = 0
        self.probes = 0
        self.queue: deque[Packet] = deque()
        self.queued_bytes = 0


class NeighborTable:
    """All neighbours of a host, IPv4 and IPv6, by interface and address.

    An address is asked for 3 times, 1 s apart; packets wait meanwhile (at most 212992 bytes for each address, the
    oldest dropped first), and fail after 3 s without an answer. A neighbour that answered is believed until the
    interface goes down: neighbour unreachability detection (RFC 4861 section 7.3) is not modelled.
    """

    def __init__(self, effects: NeighborEffects) -> None:
        self.effects = effects
        self.rows: dict[tuple[int, int], Neighbor] = {}

    def send(self, packet: Packet, interface: Interface, next_hop: int) -> None:
        """Put a packet on the link towards the neighbour, now or when it is known.

        Args: next_hop: the IP address of the neighbour on the interface's link.
        """
        raise NotImplementedError

    def receive(self, message: NeighborMessage, interface: Interface, is_mine: bool) -> None:
        """Learn from a request or a reply; answer a request for an address of this host (`is_mine`)."""
        raise NotImplementedError

    def forget(self, interface: Interface) -> None:
        """Drop the rows of an interface, and what waits in them (it went down)."""
        raise NotImplementedError


_ = TO_ALL
