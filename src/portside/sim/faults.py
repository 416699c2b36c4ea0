"""The one place where it is decided what becomes of a packet on a link: passed, delayed, duplicated or
dropped.

Each link has a list of faults, asked in order for every packet. Each draws from a random stream of its own,
so that a fault that is added or removed does not change what another one does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final, Protocol

from portside.sim.clock import duration
from portside.wire.packet import Packet


class Decision:
    """What becomes of a packet. Made by `Deliver` and `Drop`; `PASS` leaves it to the next fault."""

    __slots__ = ("delay", "duplicates", "reason")

    def __init__(self, delay: int = 0, duplicates: tuple[int, ...] = (), reason: str = "") -> None:
        self.delay = delay  # ns, added to the latency of the link
        self.duplicates = duplicates  # further copies, each with a delay of its own
        self.reason = reason  # why it is dropped; empty: it is not

    def __repr__(self) -> str:
        if self.reason:
            return f"Drop({self.reason!r})"
        return f"Deliver({self.delay}, {self.duplicates})" if self.delay or self.duplicates else "PASS"


PASS: Final = Decision()


def Deliver(delay: float | str = 0, *, duplicates: Sequence[float | str] = ()) -> Decision:
    """Deliver the packet after `delay` more than the link takes, and a copy after each delay of `duplicates`.

    Delays are seconds or text such as "10ms".
    """
    return Decision(duration(delay), tuple(duration(each) for each in duplicates))


def Drop(reason: str = "lost") -> Decision:
    """Drop the packet; the trace gives the reason."""
    return Decision(reason=reason or "lost")


class Fault(Protocol):
    """Something that can happen to packets on a link."""

    def decide(self, packet: Packet, now: int, random: Random) -> Decision:
        """What becomes of a packet sent at virtual time `now` (ns); chance is drawn from `random` alone."""


def decide(faults: Sequence[tuple[Fault, Random]], packet: Packet, now: int) -> Decision:
    """What becomes of a packet, all faults of its way considered: delays add up, the first drop is final."""
    delay = 0
    duplicates: tuple[int, ...] = ()
    for fault, random in faults:
        decision = fault.decide(packet, now, random)
        if decision is PASS:
            continue
        if decision.reason:
            return decision
        delay += decision.delay
        duplicates += decision.duplicates
    return Decision(delay, duplicates) if delay or duplicates else PASS


class Loss:
    """Each packet is lost with probability `rate` (0 to 1), independently."""

    def __init__(self, rate: float) -> None:
        self.rate = _probability(rate, "loss rate")

    def decide(self, packet: Packet, now: int, random: Random) -> Decision:
        """Lost or passed."""
        return _LOST if random.random() < self.rate else PASS


class Jitter:
    """Each packet takes up to `most` longer than the link's latency, evenly spread; so packets overtake each
    other.
    """

    def __init__(self, most: float | str) -> None:
        self.most = duration(most)

    def decide(self, packet: Packet, now: int, random: Random) -> Decision:
        """Delayed by chance."""
        return Decision(random.randint(0, self.most))


class Reorder:
    """With probability `rate` a packet is held back by `delay`, so that those behind it overtake it."""

    def __init__(self, rate: float, delay: float | str = "1ms") -> None:
        self.rate = _probability(rate, "reorder rate")
        self._held = Decision(duration(delay))

    def decide(self, packet: Packet, now: int, random: Random) -> Decision:
        """Held back or passed."""
        return self._held if random.random() < self.rate else PASS


class Duplicate:
    """With probability `rate` a packet arrives twice, the copy `delay` later."""

    def __init__(self, rate: float, delay: float | str = 0) -> None:
        self.rate = _probability(rate, "duplication rate")
        self._twice = Decision(0, (duration(delay),))

    def decide(self, packet: Packet, now: int, random: Random) -> Decision:
        """Once or twice."""
        return self._twice if random.random() < self.rate else PASS


class Cut:
    """The link carries nothing from virtual time `start` until `end` (None: for ever)."""

    def __init__(self, start: float | str = 0, end: float | str | None = None) -> None:
        self.start = duration(start)
        self.end = None if end is None else duration(end)

    def decide(self, packet: Packet, now: int, random: Random) -> Decision:
        """Lost during the cut."""
        return _CUT if self.start <= now and (self.end is None or now < self.end) else PASS


class DropNth:
    """Exactly these packets are dropped, counted from 1 in the order in which they are sent on the link.

    `match` limits what is counted: a function of the packet.
    """

    def __init__(self, *numbers: int, match: Callable[[Packet], bool] | None = None) -> None:
        if any(number < 1 for number in numbers):
            raise ValueError("packets are counted from 1")
        self.numbers = frozenset(numbers)
        self.match = match
        self.count = 0

    def decide(self, packet: Packet, now: int, random: Random) -> Decision:
        """Dropped if its number is given."""
        if self.match is not None and not self.match(packet):
            return PASS
        self.count += 1
        return _LOST if self.count in self.numbers else PASS


class When:
    """A function of your own decides: given the packet it returns PASS (or None), `Deliver(...)` or
    `Drop(...)`.
    """

    def __init__(self, function: Callable[[Packet], Decision | None]) -> None:
        self.function = function

    def decide(self, packet: Packet, now: int, random: Random) -> Decision:
        """What the function says."""
        decision = self.function(packet)
        return PASS if decision is None else decision


_LOST: Final = Drop("lost")
_CUT: Final = Drop("cut")


def _probability(value: float, what: str) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no {what}: it is a probability from 0 to 1")
    return value
