"""What an interface is plugged into, and the messages by which neighbours on a link find each other.

A link is made by the simulated network (or stands for a TUN device). Its contract with the hosts:

- `transmit` never calls back into the sender: what arrives, arrives later, as an event of its own.
- What arrives is handed to `interface.receiver(packet, interface)` of the interface with that link address.
- A router lowers the TTL of the very object that it was given. A link that delivers a packet twice, or keeps
it, hands over `packet.copy()` and keeps the original.
- An interface that is not `up` gets nothing.
"""

from __future__ import annotations

from typing import Final, Protocol

from portside.addr.ip import is_v4
from portside.ip.interface import Interface
from portside.wire.packet import Packet

TO_ALL: Final = 0
"""The destination of a frame for every interface of the link: broadcasts, multicasts, neighbour requests."""

NEIGHBOR_PROTOCOL: Final = 0x806
"""`Packet.proto` of a `NeighborMessage`: the EtherType of ARP, which is no IP protocol number."""


class Link(Protocol):
    """A wire, a switch, a radio: it carries packets between the interfaces that are plugged into it."""

    def transmit(self, packet: Packet, sender: Interface, next_hop: int) -> None:
        """Carry a packet from `sender` to the interface with that link address; 0 (TO_ALL): to all but the
        sender.

        Args: next_hop: `Interface.link_address` of whom it is for; one that nobody has is silence.
        `packet.payload_length()` and the IP header say how long it takes. A `NeighborMessage` is carried like
        any other packet, so that delay, loss and partition apply to it.
        """


class NeighborMessage(Packet):
    """An ARP request or reply (RFC 826), or a neighbour solicitation or advertisement (RFC 4861 section 4.3).

    `src` is an address of the sender, `dst` the address asked about, or in a reply whom it is for.
    `link_address` is the sender's. A reply says that `src` is at `link_address`.
    """

    __slots__ = ("link_address", "request")

    def __init__(self, src: int, dst: int, link_address: int, request: bool) -> None:
        super().__init__(src, dst, NEIGHBOR_PROTOCOL)
        self.link_address = link_address
        self.request = request

    def payload_length(self) -> int:
        """Bytes beyond an IP header, so that ARP counts its 28, and a solicitation with its option 32 after
        IPv6's 40.
        """
        return 8 if is_v4(self.dst) else 32

    def copy(self) -> NeighborMessage:
        """Another message that says the same."""
        other = NeighborMessage(self.src, self.dst, self.link_address, self.request)
        other._same_header(self)
        return other

    def __repr__(self) -> str:
        return f"<NeighborMessage {'request' if self.request else 'reply'}>"
