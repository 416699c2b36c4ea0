"""What a datagram takes of the send buffer of its socket until it has left.

Source: __ip_append_data() of net/ipv4/ip_output.c, __ip6_append_data() of net/ipv6/ip6_output.c, Linux 6.18.
"""

from __future__ import annotations

from typing import Final

from portside.wire.skbuff import EMPTY_COST, MAX_ALLOC, V4_ROOM, V6_ROOM, head_cost

UDP_HEADER: Final = 8
V4_HEADER: Final = 20
V6_HEADER: Final = 40
FRAGMENT_HEADER: Final = 8


class Pieces:
    """The sk_buffs that hold a datagram: one for each packet that it will take on its way.

    They are made as data comes, each as large as what is there then; what comes later and still fits is added in
    pages, as it is. `memory` is what they take, in bytes of the send buffer.
    """

    __slots__ = ("_fit", "_header", "_last", "_mtu", "_paged", "_total", "_v4", "memory")

    def __init__(self, v4: bool, mtu: int, paged: bool = False) -> None:
        """Args: paged: all data lies in pages, as UDP_SEGMENT has it."""
        header = V4_HEADER if v4 else V6_HEADER
        self.memory = 0
        self._v4 = v4
        self._mtu = mtu
        self._paged = paged
        self._header = header
        # A packet that is not the last ends at a multiple of 8 bytes, and IPv6 needs room for a header.
        self._fit = (mtu - header & ~7) + header - (0 if v4 else FRAGMENT_HEADER)
        self._last = 0  # length of the last packet so far, with its IP header
        self._total = 0  # of the UDP header and the data

    def add(self, length: int, room: int) -> bool:
        """Take in `length` bytes of data. False when another piece would begin beyond `room` bytes: ENOBUFS."""
        if not self._last:
            length += UDP_HEADER
        self._total += length
        while length > 0:
            space = self._space(length)
            if space > 0:
                taken = min(space, length)
                self._last += taken
                self.memory += taken
            elif self._last and self.memory >= room:
                return False
            else:
                taken = self._begin(length)
            length -= taken
        return True

    def _space(self, length: int) -> int:
        """How much of what is left the last packet can still take."""
        if not self._last:
            return 0
        space = (self._mtu if self._v4 or self._total <= self._mtu else self._fit) - self._last
        return space if space >= length else self._fit - self._last

    def _begin(self, length: int) -> int:
        """Begin another packet; how much of what is left it takes in."""
        header = self._header
        begun = self._last
        gap = begun - self._fit if begun else 0  # what goes over to it from the one before
        data = length + gap
        if data > (self._mtu if self._v4 or self._total <= self._mtu else self._fit) - header:
            data = self._fit - header
        self._last = data + header
        need = data + (V4_ROOM if self._v4 else V6_ROOM)
        if need < MAX_ALLOC and not self._paged:
            self.memory += head_cost(need)
        else:
            self.memory += EMPTY_COST + data - (0 if begun else UDP_HEADER)
        return data - gap
