"""Memory for a search among ports that are nearly all taken.

Linux tries one port after the other and when the range fills up tries them all, again for each socket: 28,000 ports
times 28,000 connections. Here a search that has failed often enough writes down which ports were unusable, and looks
at such a port again only when somebody let go of it or its time has come. What is found is the same.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

NEVER: Final = 1 << 63
"""A time that does not come, ns."""


class Crowd:
    """For one kind of search, the ports that are known to be unusable.

    Kept apart by their remainder modulo `step`, the distance between the ports that one pass of the search tries, so
    that the next candidate is found by a search for a byte.
    """

    __slots__ = ("step", "taken", "waiting")

    def __init__(self, step: int) -> None:
        self.step = step
        self.taken = [bytearray(65536 // step) for _ in range(step)]
        self.waiting: list[tuple[int, int]] = []  # when a port is worth another look, and the port

    def block(self, port: int, until: int) -> None:
        """The port is unusable, until that time (ns) unless it is released before."""
        self.taken[port % self.step][port // self.step] = 1
        if until < NEVER:
            heappush(self.waiting, (until, port))

    def release(self, port: int) -> None:
        """The port is worth another look."""
        self.taken[port % self.step][port // self.step] = 0

    def wake(self, now: int) -> None:
        """Release the ports whose time has come."""
        while self.waiting and self.waiting[0][0] <= now:
            self.release(heappop(self.waiting)[1])

    def candidate(self, first: int, end: int) -> int:
        """The first port from `first`, in steps, below `end`, that is not known to be unusable; -1 if none."""
        step = self.step
        last = (end - 1 - first) // step + first // step + 1
        place = self.taken[first % step].find(0, first // step, last)
        return -1 if place < 0 else place * step + first % step
