"""A world for the twins of real machines: a clock that runs until something is known, and the wires between them.

It is the least that hosts need: no programs run in it. `sim` has the whole one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from random import Random
from typing import Final, NoReturn

from portside.explain.frames import Frames
from portside.host.file import Blocked, Task, World
from portside.ip.interface import Interface
from portside.ip.link import TO_ALL, NeighborMessage
from portside.wire.packet import Packet

ON_THE_WAY: Final = 1_000
"""ns that a packet takes from host to host."""

NOBODY: Final = 0xFFFE_0000_0000
"""A link address that nobody has."""
OUTSIDE: Final = 0xFFFF_0000_0000
"""The link address that answers for whoever is beyond this machine."""


class Clock(World):
    """The time of the twins, and what is to come."""

    def __init__(self) -> None:
        self.now = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._sequence = 0

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        """Call `action(*arguments)` at a virtual time."""
        self._sequence += 1
        heappush(self._heap, (when, self._sequence, action, arguments))

    def run(self, until: int, known: Callable[[], bool]) -> bool:
        """Let things happen until something is known, or until a time; whether it is known."""
        while not known():
            if not self._heap or self._heap[0][0] > until:
                return False
            when, _, action, arguments = heappop(self._heap)
            self.now = max(self.now, when)
            action(*arguments)
        return True

    def stream(self, name: str) -> Random:
        """A random stream, the same each time."""
        return Random(name)

    def current(self) -> Task:
        """No program runs here."""
        self._nobody()

    def block(self, deadline: int | None, why: Blocked) -> bool:
        """No program waits here."""
        self._nobody()

    def spawn(self, process: object, body: Callable[[], object], name: str) -> Task:
        """No program runs here."""
        self._nobody()

    def wake(self, task: Task) -> None:
        """No program waits here."""

    def kill(self, task: Task, exception: BaseException) -> None:
        """No program runs here."""

    def _nobody(self) -> NoReturn:
        raise AssertionError("no program runs in the world of a twin")


Passes = Callable[[Packet, Interface, Interface, bool, Callable[[], bool], Callable[[Packet], None]], bool]
"""`passes(packet, bridge, sender, to_host, crosses, back)`: whether a bridge may carry a packet on, and `crosses()`.
`back(answer)` sends by the port that the packet came in by."""


def _freely() -> bool:
    return True


def is_mine(interface: Interface, address: int) -> bool:
    """Whether an interface has an address."""
    return any(each.address == address for each in interface.addresses)


class Wire:
    """A veth pair, a bridge with what is plugged into it, or the edge of what is known.

    `beyond`: an interface leads to other machines. `left` hears of what goes there.
    """

    def __init__(self, clock: Clock, name: str) -> None:
        self.clock = clock
        self.name = name
        self.beyond = False
        self.left: Callable[[Packet, Interface], None] | None = None
        self.bridge: Interface | None = None  # whose ports the others hang on
        self.passes: Passes | None = None  # what the bridge's host says of a packet
        self.through = ""  # why it is not known what becomes of what is carried here
        self.doubt: Callable[[object], None] | None = None  # who hears of that
        self.isolated: set[int] = set()  # link addresses behind ports of the bridge that do not hear each other
        self.mute: dict[int, str] = {}  # link addresses of those that do not ask who is who, nor answer (arp off)
        self.stacked: dict[int, str] = {}  # by address: the interface that has it, and lies on one of these
        self.heard: set[int] = set()  # addresses that somebody has answered for
        self.frames: Frames | None = None  # the chains that see frames, where there are any
        self._interfaces: dict[int, Interface] = {}
        self.carried: dict[int, bool] = {}  # by link address: whether the interface has a carrier

    def plug(self, interface: Interface, carrier: bool) -> None:
        """Plug an interface in, whose `link_address` nobody else has. Without a carrier nothing passes."""
        self._interfaces[interface.link_address] = interface
        self.carried[interface.link_address] = carrier
        interface.link = self

    def transmit(self, packet: Packet, sender: Interface, next_hop: int) -> None:
        """Carry a packet to the interface with that link address, or to all but the sender (`ip.link.Link`)."""
        if not self.carried[sender.link_address]:
            return
        if self.frames is not None and not self.frames.leaves(packet, sender):
            return
        self._note(packet, sender, next_hop)
        when = self.clock.now + ON_THE_WAY
        if next_hop in (OUTSIDE, NOBODY):
            self.clock.at(when, self._stray, packet, sender, next_hop == OUTSIDE)
        elif next_hop != TO_ALL:
            interface = self._interfaces.get(next_hop)
            if interface is not None and not self._apart(sender, interface):
                self.clock.at(when, self._carry, packet, sender, interface)
        else:
            for interface in self._interfaces.values():
                if interface is not sender and not self._apart(sender, interface):
                    self.clock.at(when, self._carry, packet.copy(), sender, interface)
            if isinstance(packet, NeighborMessage) and packet.request and packet.dst in self.stacked:
                self.clock.at(when + ON_THE_WAY * 2, self._unsure_of, packet.dst)
            if self.beyond and isinstance(packet, NeighborMessage) and packet.request:
                # Whoever is on this machine answers first.
                self.clock.at(when + ON_THE_WAY * 3, self._answer_for_others, packet, sender)

    def _carry(self, packet: Packet, sender: Interface, interface: Interface) -> None:
        """From port to port of a bridge: its host may have a say."""
        if self._crosses(packet, sender, interface) and (
            self.frames is None or self.frames.reaches(packet, sender, interface)
        ):
            self._arrive(packet, interface)

    def _stray(self, packet: Packet, sender: Interface, leaves: bool) -> None:
        """What is for nobody here: a bridge shows it to its host all the same, and sends it out by all other ports."""
        bridge, passes = self.bridge, self.passes
        if bridge is not None and passes is not None and bridge is not sender:
            near = (each for each in self._interfaces.values() if each not in (sender, bridge))
            other = next((each for each in near if not self._apart(sender, each)), None)
            if leaves and self.frames is not None and self.frames.watches(bridge) and self.doubt is not None:
                self.doubt(f"what chains of devices and bridges say to what leaves by a port of {bridge.name}")

            def crosses() -> bool:
                if self.frames is None or other is None:
                    return leaves or other is not None
                return self.frames.crosses(packet, sender, other)

            leaves = passes(packet, bridge, sender, False, crosses, partial(self._return, sender)) and leaves
        if leaves and self.left is not None:
            self.left(packet, sender)

    def _crosses(self, packet: Packet, sender: Interface, interface: Interface) -> bool:
        """Whether the bridge and its host let a packet pass; what the host sends itself, its filter has seen."""
        bridge, passes, frames = self.bridge, self.passes, self.frames
        crosses: Callable[[], bool] = _freely
        if frames is not None:
            crosses = partial(frames.crosses, packet, sender, interface)
        if passes is None or bridge is None or bridge is sender:
            return crosses()
        return passes(packet, bridge, sender, bridge is interface, crosses, partial(self._return, sender))

    def _return(self, sender: Interface, answer: Packet) -> None:
        """Carry what a bridge's host puts on the port itself that something came in by."""
        if self.frames is None or self.frames.returns(answer, sender):
            self.clock.at(self.clock.now + ON_THE_WAY, self._arrive, answer, sender)

    def _note(self, packet: Packet, sender: Interface, next_hop: int) -> None:
        """Say what is not known of a packet's way, and remember who answers."""
        unsure = self.through or self.mute.get(sender.link_address) or self.mute.get(next_hop)
        if unsure and self.doubt is not None:
            self.doubt(unsure)
        if isinstance(packet, NeighborMessage) and not packet.request:
            self.heard.add(packet.src)

    def _apart(self, sender: Interface, interface: Interface) -> bool:
        """Whether a bridge keeps two ports apart (br_skb_isolated)."""
        return sender.link_address in self.isolated and interface.link_address in self.isolated

    def _unsure_of(self, address: int) -> None:
        """Nobody of these has answered: whether the interface does that lies on one of them is not modelled."""
        if address not in self.heard and self.doubt is not None:
            self.doubt(self.stacked[address])

    def _arrive(self, packet: Packet, interface: Interface) -> None:
        unsure = self.mute.get(interface.link_address)
        if unsure and self.doubt is not None and isinstance(packet, NeighborMessage) and packet.request:
            if is_mine(interface, packet.dst):
                self.doubt(unsure)
            return
        if interface.up and self.carried[interface.link_address]:
            interface.receiver(packet, interface)

    def _answer_for_others(self, request: NeighborMessage, asker: Interface) -> None:
        reply = NeighborMessage(request.dst, request.src, OUTSIDE, request=False)
        self._arrive(reply, asker)
