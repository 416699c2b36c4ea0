"""The record of what happened in a world, in order: packets in the words of tcpdump(1), and notes.

Observers hear of each event as it happens. While there is none, a packet pays nothing: the hosts' hooks are
not set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from portside.sim.clock import show
from portside.sim.tcpdump import Describer

if TYPE_CHECKING:
    from portside.ip.interface import Interface
    from portside.wire.packet import Packet

NOTE: Final = "note"
_WORDS: Final = {"send": "Out", "receive": "In", "drop": "Drop"}


class Event:
    """One thing that happened: when (ns), on which host, what.

    `kind` is `send`, `receive`, `drop` or `note`. `packet` is the packet itself, which changes on its way (a
    router lowers its TTL): look at it at once or not at all. `text` is the packet in words, or the note;
    `reason` says why a packet was dropped.
    """

    __slots__ = ("host", "interface", "kind", "packet", "reason", "text", "time")

    def __init__(
        self,
        time: int,
        host: str,
        kind: str,
        packet: Packet | None,
        interface: str,
        text: str,
        reason: str,
    ) -> None:
        self.time = time
        self.host = host
        self.kind = kind
        self.packet = packet
        self.interface = interface
        self.text = text
        self.reason = reason

    def __str__(self) -> str:
        if self.kind == NOTE:
            return f"{show(self.time)} {self.host} {self.text}"
        reason = f" ({self.reason})" if self.reason else ""
        where = f"{self.host} {self.interface or '*'} {_WORDS[self.kind]}"
        return f"{show(self.time)} {where} {self.text}{reason}"


Observer = Callable[[Event], None]


class Clock(Protocol):
    """What a trace asks of the world."""

    now: int


class Trace:
    """The events of one world and who wants to hear of them.

    `switched` is called when the first observer comes and the last one goes: it sets the hosts' hooks.
    """

    def __init__(self, world: Clock, switched: Callable[[bool], None] | None = None) -> None:
        self._world = world
        self._switched = switched
        self._observers: list[Observer] = []
        self._describe = Describer()
        self.events: list[Event] = []

    @property
    def on(self) -> bool:
        """Whether anybody wants to hear."""
        return bool(self._observers)

    def observe(self, observer: Observer) -> None:
        """Let `observer(event)` hear of everything from now on."""
        self._observers.append(observer)
        if len(self._observers) == 1 and self._switched is not None:
            self._switched(True)

    def forget(self, observer: Observer) -> None:
        """Let an observer hear no more."""
        self._observers.remove(observer)
        if not self._observers and self._switched is not None:
            self._switched(False)

    def keep(self) -> None:
        """Keep everything from now on in `events`."""
        if self.events.append not in self._observers:
            self.observe(self.events.append)

    def lines(self) -> list[str]:
        """The kept events as text."""
        return [str(event) for event in self.events]

    def write_to(self, stream: TextIO) -> None:
        """Write each event from now on as a line of text."""
        self.observe(lambda event: _write(stream, event))

    def packet(self, host: str, kind: str, packet: Packet, interface: Interface | None, reason: str = "") -> None:
        """Note what happened to a packet."""
        name = "" if interface is None else interface.name
        self._tell(Event(self._world.now, host, kind, packet, name, self._describe(packet), reason))

    def note(self, host: str, words: str) -> None:
        """Note something else: a program began, a call was made, a link was cut."""
        if self._observers:
            self._tell(Event(self._world.now, host, NOTE, None, "", words, ""))

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)


def _write(stream: TextIO, event: Event) -> None:
    stream.write(f"{event}\n")
