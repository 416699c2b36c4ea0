"""What an interface is plugged into, and the messages by which neighbours on a link find each other.

A link is made by the simulated network (or a TUN device). Its contract with the hosts:

- `transmit` never calls back into the sender: what arrives, arrives later, as an event of its own.
- What arrives is handed to `interface.receiver(packet, interface)` of the interface with that link address.
- A router lowers the TTL of the object that it was given. A link that delivers a packet twice, or keeps it, hands over
  `copy.copy(packet)` and keeps the original.
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
"""`Packet.proto` of a `NeighborMessage`: the EtherType of ARP, which no IP protocol number is."""


class Link(Protocol):
    """A wire, a switch, a radio: it carries packets between the interfaces that are plugged into it."""

    def transmit(self, packet: Packet, sender: Interface, next_hop: int) -> None:
        """Carry a packet from `sender` to the interface whose `link_address` is `next_hop`; 0 is all but the sender.

        `packet.payload_length()` and the IP header say how long it takes. A `NeighborMessage` is carried like any
        other packet, so that delay, loss and partition apply to it. A `next_hop` that nobody has is silence.
        """


class NeighborMessage(Packet):
    """An ARP request or reply (RFC 826), or a neighbour solicitation or advertisement (RFC 4861 section 4.3).

    `src` is the asker's or the answerer's own address, `dst` the address that is asked about (in a reply: whom it is
    for), `link_address` the link address of who sends it.
    """

    __slots__ = ("link_address", "request")

    def __init__(self, src: int, dst: int, link_address: int, request: bool) -> None:
        super().__init__(src, dst, NEIGHBOR_PROTOCOL)
        self.link_address = link_address
        self.request = request

    def payload_length(self) -> int:
        """Bytes: 8 beyond the 20 of an IPv4 header make ARP's 28; a solicitation with its option is 32 after IPv6's 40."""
        return 8 if is_v4(self.src) else 32

    def __repr__(self) -> str:
        return f"<NeighborMessage {'request' if self.request else 'reply'}>"
