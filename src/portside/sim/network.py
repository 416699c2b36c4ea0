"""Links between simulated hosts: latency, bandwidth with a queue, faults; from end to end or shared by many.

A link implements `ip.link.Link`. Every interface that is plugged in has a port with the settings of its own
direction: what leaves the host there. Time is ns, sizes are bytes of IP packet.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from portside.addr.ip import is_v4
from portside.ip.interface import Interface
from portside.sim import faults
from portside.sim.faults import PASS, Fault
from portside.wire.packet import Packet

DEFAULT_QUEUE: Final = 1_500_000
"""Bytes that may wait for a slow link: a thousand full packets, as txqueuelen is by default (ip-link(8))."""

Tap = Callable[[str, Packet, Interface, str], None]
"""`tap(kind, packet, interface, reason)`: kind is `send`, `receive`, or `drop` with the reason."""


class Clock(Protocol):
    """What a link asks of the world."""

    now: int

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        """Call `action(*arguments)` at `when`."""

    def stream(self, name: str) -> Random:
        """The random stream of that name."""


class Port:
    """One interface's end of a link, with what applies to the packets that it sends.

    `latency` is ns, `bandwidth` bits per second or 0 for no limit, `queue` how many bytes may wait to be
    sent.
    """

    __slots__ = ("bandwidth", "faults", "free_at", "interface", "latency", "queue")

    def __init__(self, interface: Interface, latency: int, bandwidth: int, queue: int) -> None:
        self.interface = interface
        self.latency = latency
        self.bandwidth = bandwidth
        self.queue = queue
        self.free_at = 0  # when the last bit of what is queued will have left
        self.faults: list[tuple[Fault, Random]] = []


class Link:
    """A link: two ports make a wire, more of them a shared segment (a switch that knows who is where).

    `mtu` is given to the interfaces that are plugged in; a larger packet is lost. While `up` is False nothing
    passes, and what is on its way is lost.
    """

    def __init__(
        self, world: Clock, name: str, *, latency: int = 0, bandwidth: int = 0, mtu: int = 1500,
        queue: int = DEFAULT_QUEUE,
    ) -> None:  # fmt: skip
        self.world = world
        self.name = name
        self.latency = latency
        self.bandwidth = bandwidth
        self.mtu = mtu
        self.queue = queue
        self.up = True
        self.tap: Tap | None = None
        self._ports: dict[int, Port] = {}  # by link address, in the order in which they were plugged in
        self._faults: list[tuple[Fault, Random]] = []  # those of every sender
        self._numbered = 0  # faults that were added so far: each one's stream has its number

    @property
    def ports(self) -> tuple[Port, ...]:
        """The ports, in the order in which interfaces were plugged in."""
        return tuple(self._ports.values())

    def plug(
        self, interface: Interface, *, latency: int | None = None, bandwidth: int | None = None,
        queue: int | None = None,
    ) -> Port:  # fmt: skip
        """Plug an interface in; what is not given is as for the whole link.

        ValueError when the interface is plugged in somewhere, or its link address is on the link already.
        """
        if interface.link is not None:
            raise ValueError(f"{interface.name} is plugged into another link already")
        if interface.link_address in self._ports or not interface.link_address:
            raise ValueError(f"{interface.name} needs a link address of its own on {self.name}")
        port = self._ports[interface.link_address] = Port(
            interface,
            self.latency if latency is None else latency,
            self.bandwidth if bandwidth is None else bandwidth,
            self.queue if queue is None else queue,
        )
        port.faults.extend(self._faults)
        interface.link = self
        interface.mtu = self.mtu
        return port

    def unplug(self, interface: Interface) -> None:
        """Pull the plug of an interface: what is on its way to it is lost."""
        if self._ports.pop(interface.link_address, None) is None:
            raise ValueError(f"{interface.name} is not plugged into {self.name}")
        interface.link = None

    def port_of(self, interface: Interface) -> Port:
        """The port of an interface. ValueError when it is not plugged in here."""
        port = self._ports.get(interface.link_address)
        if port is None or port.interface is not interface:
            raise ValueError(f"{interface.name} is not plugged into {self.name}")
        return port

    def add_fault(self, fault: Fault, sender: Interface | None = None) -> None:
        """Add a fault for the packets of one sender, or of all."""
        entry = (fault, self.world.stream(f"fault {self._numbered} of {self.name}"))
        self._numbered += 1
        if sender is None:
            self._faults.append(entry)
        for port in self.ports if sender is None else (self.port_of(sender),):
            port.faults.append(entry)

    def remove_fault(self, fault: Fault) -> None:
        """Remove a fault. ValueError when it was not there."""
        found = False
        for port in self.ports:
            kept = [entry for entry in port.faults if entry[0] is not fault]
            found = found or len(kept) < len(port.faults)
            port.faults = kept
        self._faults = [entry for entry in self._faults if entry[0] is not fault]
        if not found:
            raise ValueError(f"that fault is not one of {self.name}")

    # -- ip.link.Link --

    def transmit(self, packet: Packet, sender: Interface, next_hop: int) -> None:
        """Carry a packet from `sender` to the interface whose link address is `next_hop`; 0 is all but the
        sender.
        """
        port = self._ports[sender.link_address]
        world = self.world
        now = world.now
        if self.tap is not None:
            self.tap("send", packet, sender, "")
        if not self.up:
            self._lose(packet, port, "link down")
            return
        sent = now
        if port.bandwidth:
            sent = self._queued(packet, port, now)
            if sent < 0:
                self._lose(packet, port, "queue full")
                return
        when = sent + port.latency
        if port.faults:
            decision = faults.decide(port.faults, packet, now)
            if decision is not PASS:
                if decision.reason:
                    self._lose(packet, port, decision.reason)
                    return
                for delay in decision.duplicates:
                    world.at(when + delay, self._arrive, packet.copy(), port, next_hop)
                when += decision.delay
        world.at(when, self._arrive, packet, port, next_hop)

    def _queued(self, packet: Packet, port: Port, now: int) -> int:
        """When the last bit of the packet leaves; -1 if it does not fit into the queue."""
        start = max(port.free_at, now)
        if (start - now) * port.bandwidth // 8_000_000_000 > port.queue:
            return -1
        bits = (packet.payload_length() + (20 if is_v4(packet.src) else 40)) * 8
        port.free_at = start + -(-bits * 1_000_000_000 // port.bandwidth)
        return port.free_at

    def _arrive(self, packet: Packet, sent_by: Port, next_hop: int) -> None:
        if not self.up:
            self._lose(packet, sent_by, "link down")
        elif next_hop:
            port = self._ports.get(next_hop)
            if port is not None:
                self._hand_over(packet, port)
        else:
            for port in self.ports:
                if port is not sent_by:
                    self._hand_over(packet.copy(), port)

    def _hand_over(self, packet: Packet, port: Port) -> None:
        interface = port.interface
        receiver = interface.receiver
        if not interface.up or receiver is None:
            self._lose(packet, port, "interface down")
        else:
            if self.tap is not None:
                self.tap("receive", packet, interface, "")
            receiver(packet, interface)

    def _lose(self, packet: Packet, port: Port, reason: str) -> None:
        if self.tap is not None:
            self.tap("drop", packet, port.interface, reason)
