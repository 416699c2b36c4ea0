"""Who is on the link: the neighbour table (arp(7); RFC 826; RFC 4861 section 7; kernel:
net/core/neighbour.c).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from portside.addr.abi import SECOND
from portside.addr.ip import is_any, is_v4
from portside.ip.interface import Interface
from portside.ip.link import TO_ALL, NeighborMessage
from portside.wire.packet import Packet
from portside.wire.skbuff import cost_of

INCOMPLETE: Final = "INCOMPLETE"
REACHABLE: Final = "REACHABLE"

PROBES: Final = 3  # net.ipv4.neigh.default.mcast_solicit
RETRANS_TIME: Final = SECOND  # net.ipv4.neigh.default.retrans_time_ms
QUEUE_BYTES: Final = 212992  # net.ipv4.neigh.default.unres_qlen_bytes


class NeighborEffects(Protocol):
    """What the table asks of the layer that it is part of."""

    @property
    def now(self) -> int:
        """The virtual time, ns."""

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        """Call `action(*arguments)` at virtual time `when`."""

    def emit(self, packet: Packet, interface: Interface, link_address: int) -> None:
        """Put a packet on the interface's link."""

    def asking_address(self, packet: Packet, interface: Interface, target: int) -> int:
        """The address of this host that asks for the next hop of a packet."""

    def unreachable(self, packet: Packet, interface: Interface) -> None:
        """Nobody answered on an interface for the next hop of this packet: tell its sender."""

    def released(self, packet: Packet) -> None:
        """This packet waits no longer."""


class Neighbor:
    """One row of the table (`ip neighbour`): an address on a link, and its link address once it is known."""

    __slots__ = ("address", "interface", "link_address", "permanent", "probes", "queue", "queued_bytes", "state")

    def __init__(self, address: int, interface: Interface) -> None:
        self.address = address
        self.interface = interface
        self.state = INCOMPLETE
        self.link_address = 0
        self.permanent = False  # set by hand: no answer changes it
        self.probes = 0  # requests sent
        self.queue: deque[Packet] = deque()  # what waits for the answer
        self.queued_bytes = 0


class NeighborTable:
    """All neighbours of a host, IPv4 and IPv6, by interface and address.

    An address is asked for 3 times, 1 s apart; packets wait meanwhile (at most 212992 bytes for one address,
    the oldest goes first), and 3 s after the first request they fail. A neighbour that answered is believed
    until the interface goes down: neighbour unreachability detection (RFC 4861 section 7.3) is not modelled.
    """

    def __init__(self, effects: NeighborEffects) -> None:
        self.effects = effects
        self.rows: dict[tuple[int, int], Neighbor] = {}  # by interface index and address
        self.held = 0  # packets that wait, in all rows
        self.failed: set[tuple[int, int]] = set()  # who was asked for last without an answer: interface index, address

    def send(self, packet: Packet, interface: Interface, next_hop: int) -> None:
        """Put a packet on the link towards a neighbour, now or when it is known.

        Args: next_hop: the IP address of the neighbour on the interface's link.
        """
        if interface.far_end:
            self.effects.emit(packet, interface, interface.far_end)
            return
        row = self.rows.get((interface.index, next_hop))
        if row is not None and row.state is REACHABLE:
            self.effects.emit(packet, interface, row.link_address)
            return
        if row is None:
            row = self.rows[interface.index, next_hop] = Neighbor(next_hop, interface)
            self._enqueue(row, packet)
            self._probe(row)
        else:
            self._enqueue(row, packet)

    def waiting(self) -> Iterator[Packet]:
        """What is not sent yet, for nobody has answered so far."""
        return (packet for row in self.rows.values() for packet in row.queue)

    def _enqueue(self, row: Neighbor, packet: Packet) -> None:
        row.queue.append(packet)
        self.held += 1
        row.queued_bytes += cost_of(packet)
        while row.queued_bytes > QUEUE_BYTES and len(row.queue) > 1:
            oldest = row.queue.popleft()
            row.queued_bytes -= cost_of(oldest)
            self._release(oldest)

    def _release(self, packet: Packet) -> None:
        self.held -= 1
        self.effects.released(packet)

    def _probe(self, row: Neighbor) -> None:
        """Ask for the address once more, or give up."""
        if row.state is not INCOMPLETE or self.rows.get((row.interface.index, row.address)) is not row:
            return
        if row.probes == PROBES:
            self._fail(row)
            return
        row.probes += 1
        effects = self.effects
        source = effects.asking_address(row.queue[0], row.interface, row.address)
        request = NeighborMessage(source, row.address, row.interface.link_address, request=True)
        effects.emit(request, row.interface, TO_ALL)
        effects.at(effects.now + RETRANS_TIME, self._probe, row)

    def _fail(self, row: Neighbor) -> None:
        """Nobody is there (neigh_invalidate, arp_error_report)."""
        del self.rows[row.interface.index, row.address]
        self.failed.add((row.interface.index, row.address))
        for packet in row.queue:
            self.effects.unreachable(packet, row.interface)
        for packet in row.queue:
            self._release(packet)

    def receive(self, message: NeighborMessage, interface: Interface, mine: bool) -> None:
        """Learn from a request or a reply; answer a request for an address of this host.

        Args: mine: whether `message.dst`, the address asked about, is this host's. Source: arp_process,
        ndisc_rcv.
        """
        if message.request and not mine:
            return
        row = self.rows.get((interface.index, message.src))
        if row is None and message.request and not is_any(message.src):
            # Who asks will be answered in a moment by TCP or UDP too: arp_process makes a row of the asker.
            row = self.rows[interface.index, message.src] = Neighbor(message.src, interface)
        if row is not None and not row.permanent:
            self._learn(row, message.link_address)
        if message.request:
            reply = NeighborMessage(message.dst, message.src, interface.link_address, request=False)
            # ARP answers whoever asked; an advertisement goes where the table says (ndisc_send_na).
            known = row is not None and row.permanent and not is_v4(message.src)
            self.effects.emit(reply, interface, row.link_address if row is not None and known else message.link_address)

    def _learn(self, row: Neighbor, link_address: int) -> None:
        row.link_address = link_address
        row.state = REACHABLE
        self.failed.discard((row.interface.index, row.address))
        waiting = tuple(row.queue)
        row.queue.clear()
        row.queued_bytes = 0
        for packet in waiting:
            self.effects.emit(packet, row.interface, link_address)
        for packet in waiting:
            self._release(packet)

    def forget(self, interface: Interface) -> None:
        """Drop the rows of an interface, and what waits in them: it went down (neigh_ifdown)."""
        gone = [row for row in self.rows.values() if row.interface is interface]
        self.rows = {key: row for key, row in self.rows.items() if key[0] != interface.index}
        for row in gone:
            for packet in row.queue:
                self._release(packet)
