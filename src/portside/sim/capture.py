"""What travels in a world as a pcapng file: each interface of each host is one of the capture."""

from __future__ import annotations

from typing import BinaryIO

from portside.ip.link import NeighborMessage
from portside.sim.trace import Event
from portside.wire import pcapng
from portside.wire.codec import encode_ip


class Capture:
    """An observer of a trace that writes packets to a binary stream.

    Each packet appears once on each link that it passes, at the interface where it leaves, lost or not; with `both`
    also where it arrives, so that the packets of one interface are what a capture on that host would show. Neighbour
    discovery is left out: a packet begins with its IP header. `epoch` is the wall clock at the world's beginning, in ns
    since 1970.
    """

    def __init__(self, stream: BinaryIO, epoch: int, *, both: bool = False) -> None:
        self._writer = pcapng.Writer(stream)
        self._epoch = epoch
        self._directions = {"send": pcapng.OUTBOUND, "receive": pcapng.INBOUND} if both else {"send": pcapng.OUTBOUND}
        self._interfaces: dict[tuple[str, str], int] = {}

    def __call__(self, event: Event) -> None:
        """Write the event if it is a packet's."""
        packet = event.packet
        direction = self._directions.get(event.kind)
        if packet is None or direction is None or isinstance(packet, NeighborMessage):
            return
        key = (event.host, event.interface)
        number = self._interfaces.get(key)
        if number is None:
            number = self._interfaces[key] = self._writer.interface("/".join(key))
        self._writer.packet(number, self._epoch + event.time, encode_ip(packet), direction=direction)
