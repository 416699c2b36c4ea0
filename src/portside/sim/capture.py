"""What travels in a world as a pcapng file: each interface of each host is one of the capture."""

from __future__ import annotations

from typing import BinaryIO, Final

from portside.ip.link import NeighborMessage
from portside.sim.trace import Event
from portside.wire import pcapng
from portside.wire.codec import encode_ip

_DIRECTIONS: Final = {"send": pcapng.OUTBOUND, "receive": pcapng.INBOUND}


class Capture:
    """An observer of a trace that writes packets to a binary stream.

    A packet appears at the interface where it leaves and at the one where it arrives, as a capture on both
    hosts would show it; one that a host sends to itself appears once. One that is lost has a comment that
    says why. Neighbour discovery is left out: the capture begins with the IP header. `epoch` is the wall
    clock at the world's beginning, in ns since 1970.
    """

    def __init__(self, stream: BinaryIO, epoch: int) -> None:
        self._writer = pcapng.Writer(stream)
        self._epoch = epoch
        self._interfaces: dict[tuple[str, str], int] = {}

    def __call__(self, event: Event) -> None:
        """Write the event if it is a packet's."""
        packet = event.packet
        if packet is None or isinstance(packet, NeighborMessage):
            return
        key = (event.host, event.interface)
        number = self._interfaces.get(key)
        if number is None:
            number = self._interfaces[key] = self._writer.interface("/".join(key))
        comment = f"dropped: {event.reason}" if event.kind == "drop" else ""
        direction = _DIRECTIONS.get(event.kind, 0)
        self._writer.packet(number, self._epoch + event.time, encode_ip(packet), comment, direction)
