"""Real machines as simulated hosts: what a `Snapshot` knows of each network namespace, loaded into a host of its own.

Namespaces whose veth pairs and bridges are known are joined to one network. What leads out of the machine ends at the
edge of the world, which says so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from portside.addr.ip import is_v4
from portside.explain.choices import Choices
from portside.explain.frames import Frames, Plug
from portside.explain.machine import Machine
from portside.explain.world import NOBODY, OUTSIDE, Clock, Wire
from portside.facts.interface import (
    IFF_LOOPBACK,
    IFF_LOWER_UP,
    IFF_NOARP,
    IFF_POINTOPOINT,
    IFF_UP,
    SCOPE_LINK,
    Interface,
    Neighbor,
)
from portside.facts.snapshot import Snapshot
from portside.ip import filtering
from portside.ip.interface import Interface as Device
from portside.ip.neighbor import REACHABLE
from portside.ip.neighbor import Neighbor as Row
from portside.wire.packet import Fragment, Packet, TcpSegment, UdpDatagram

LEARNED: Final = ("REACHABLE", "STALE", "DELAY", "PROBE")
"""The states of a neighbour to which packets go at once (NUD_VALID)."""
Place = tuple[int, int]
"""An interface: the inode of its namespace, and its index."""


def _passes(
    machine: Machine, packet: Packet, bridge: Device, sender: Device, to_host: bool, crosses: Callable[[], bool],
    back: Callable[[Packet], None],
) -> bool:  # fmt: skip
    """Whether a bridge may carry a packet on: with br_netfilter its host's filter is asked, before the bridge's own
    chains and after them."""
    version = "iptables" if is_v4(packet.dst) else "ip6tables"
    asked = machine.host.settings.extra.get(f"net/bridge/bridge-nf-call-{version}", "0") != "0"
    if not asked:
        return crosses()
    before = _names(packet)
    passes = filtering.bridge(machine.ip, packet, bridge, sender.link_address, to_host, crosses, back)
    ruleset = machine.ip.ruleset
    if ruleset is not None and ruleset.frames and _names(packet) != before:
        # Which of the bridge's chains see the old names, and which the new ones, hangs on their priorities.
        ruleset.doubts.unforeseen(f"what the chains of {ruleset.frames[0].family} say after NAT on {bridge.name}")
    return passes


def _names(packet: Packet) -> tuple[int, ...]:
    """Addresses and ports, which NAT changes."""
    whole = packet.whole if isinstance(packet, Fragment) else packet
    ports = (whole.sport, whole.dport) if isinstance(whole, TcpSegment | UdpDatagram) else ()
    return (packet.src, packet.dst, *ports)


class Twin:
    """All namespaces of a snapshot as one network. `here` is the one that the snapshot was taken from.

    `left` has what left the machine: the packet, and by which interface of which namespace.
    """

    def __init__(self, snapshot: Snapshot, choices: Choices | None = None) -> None:
        self.snapshot = snapshot
        self.clock = Clock()
        self.choices = choices or Choices()
        self.left: list[tuple[Machine, Device, Packet]] = []
        self.machines: list[Machine] = []
        for number, each in enumerate((snapshot, *snapshot.others)):
            self.machines.append(Machine(each, self.clock, self.choices, number))
        self.here = self.machines[0]
        self._by_inode = {machine.snapshot.namespace.inode: machine for machine in self.machines}
        self._addresses = 0x0200_0000_0000
        self._joined: dict[Place, Place] = {}
        self._join_all()

    def machine(self, name: str) -> Machine | None:
        """The namespace of that name or inode."""
        for machine in self.machines:
            if name in (machine.name, str(machine.snapshot.namespace.inode)):
                return machine
        return None

    def holder(self, address: int) -> Machine | None:
        """The namespace that has an address which is not only its own."""
        for machine in self.machines:
            for each in machine.snapshot.interfaces:
                if any(own.address == address and own.scope < SCOPE_LINK for own in each.addresses):
                    return machine
        return None

    def is_stacked(self, machine: Machine, device: Device) -> bool:
        """Whether an interface is none of hardware: macvlan, vlan, a tunnel ... lead to other namespaces, too."""
        facts = self._facts((machine.snapshot.namespace.inode, device.index))
        return facts is not None and facts.kind not in ("", "veth", "bridge")

    def _facts(self, place: Place) -> Interface | None:
        machine = self._by_inode.get(place[0])
        found = (each for each in machine.snapshot.interfaces if each.index == place[1]) if machine else iter(())
        return next(found, None)

    def _join_all(self) -> None:
        places = [
            (machine.snapshot.namespace.inode, facts.index)
            for machine in self.machines
            for facts in machine.snapshot.interfaces
        ]
        edges: set[Place] = set()
        for place in places:
            facts = self._facts(place)
            assert facts is not None
            if facts.master and self._is_bridge((place[0], facts.master)) and facts.flags & IFF_UP:
                self._join(place, (place[0], facts.master))
            peer = self._peer(place, facts)
            if peer is not None:
                self._join(place, peer)
            elif facts.kind != "bridge" and not facts.flags & IFF_LOOPBACK:
                edges.add(place)
        wires: dict[Place, Wire] = {}
        watched = any(machine.ip.ruleset is not None and machine.ip.ruleset.frames for machine in self.machines)
        for place in places:
            self._plug(place, wires, watched)
        for place in edges:
            wires[self._root(place)].beyond = True
        for place in places:
            self._stack(place, wires)
        for machine in self.machines:
            for each in machine.snapshot.neighbors:
                self._know(machine, each)

    def _stack(self, place: Place, wires: dict[Place, Wire]) -> None:
        """Tell the wire of the interface below which addresses lie on it: of macvlan, ipvlan, vlan ..."""
        facts = self._facts(place)
        assert facts is not None
        if facts.kind == "veth" or not facts.link:
            return
        below = self._facts((place[0] if facts.link_namespace is None else facts.link_namespace, facts.link))
        if below is None or below.flags & IFF_LOOPBACK:
            return
        wire = wires[self._root((place[0] if facts.link_namespace is None else facts.link_namespace, facts.link))]
        name = f"how {facts.name} of {self._by_inode[place[0]].name} ({facts.kind}) is reached by {below.name}"
        wire.stacked |= dict.fromkeys((each.address for each in facts.addresses), name)

    def _know(self, machine: Machine, facts: Neighbor) -> None:
        """A neighbour that is in the table: the frame goes to whoever has that link address.

        One that was set by hand may be nobody's; one that was learned and has gone is asked for anew.
        """
        device = machine.ip.interfaces.get(facts.interface)
        permanent = facts.state == "PERMANENT"
        if not (permanent or facts.state in LEARNED) or device is None or not isinstance(device.link, Wire):
            return
        found = self._with_mac((machine.snapshot.namespace.inode, device.index), facts.mac)
        if not found and not permanent:
            return
        row = Row(facts.address, device)
        row.state, row.permanent = REACHABLE, permanent
        row.link_address = found or (OUTSIDE if device.link.beyond else NOBODY)
        machine.ip.neighbors.rows[device.index, facts.address] = row

    def _with_mac(self, place: Place, mac: bytes) -> int:
        """The link address of what has a MAC on the wire of a place; 0: nobody known.

        A bridge takes what is for one of its ports, but IP has it only if it came in by that (br_handle_frame).
        """
        facts = self._facts(place)
        port = self._port(place, facts) if facts is not None else None
        of_port = 0
        for machine in self.machines:
            for each in machine.snapshot.interfaces:
                other = (machine.snapshot.namespace.inode, each.index)
                if each.mac != mac or other == place or self._root(other) != self._root(place):
                    continue
                if not each.master or not self._is_bridge((other[0], each.master)):
                    return machine.ip.interfaces[each.index].link_address
                of_port = machine.ip.interfaces[each.master].link_address if other == port else of_port or NOBODY
        return of_port

    def _is_bridge(self, place: Place) -> bool:
        facts = self._facts(place)
        return facts is not None and facts.kind == "bridge" and bool(facts.flags & IFF_UP)

    def _peer(self, place: Place, facts: Interface) -> Place | None:
        """The other end of a veth pair, where it is known."""
        if facts.kind != "veth" or not facts.link:
            return None
        peer = (place[0] if facts.link_namespace is None else facts.link_namespace, facts.link)
        return peer if self._facts(peer) is not None else None

    def _root(self, place: Place) -> Place:
        while place in self._joined:
            place = self._joined[place]
        return place

    def _join(self, one: Place, other: Place) -> None:
        one, other = self._root(one), self._root(other)
        if one != other:
            self._joined[one] = other

    def _port(self, place: Place, facts: Interface) -> Place | None:
        """The port of a bridge that is the other end of a veth pair."""
        peer = self._peer(place, facts)
        port = self._facts(peer) if peer is not None else None
        if peer is None or port is None or not port.master or not self._is_bridge((peer[0], port.master)):
            return None
        return peer

    def _plug(self, place: Place, wires: dict[Place, Wire], watched: bool) -> None:
        facts = self._facts(place)
        machine = self._by_inode[place[0]]
        assert facts is not None
        device = machine.ip.interfaces[facts.index]
        if device.loopback:
            return
        root = self._root(place)
        wire = wires.get(root)
        if wire is None:
            wire = wires[root] = Wire(self.clock, facts.name)
            wire.left = self._leaves
            wire.doubt = self.choices.unforeseen
            wire.frames = Frames() if watched else None
        if facts.master:
            return  # what comes in by a port of a bridge is the bridge's
        if facts.kind == "bridge":
            if wire.bridge is not None and watched:
                wire.through = "what chains of devices and bridges say between two bridges"
            wire.bridge = device
            wire.passes = partial(_passes, machine)
        self._addresses += 1
        device.link_address = self._addresses
        port = self._port(place, facts)
        below = self._facts(port) if port is not None else None
        if below is not None and below.isolated:
            wire.isolated.add(device.link_address)
        if facts.flags & IFF_NOARP and facts.flags & IFF_POINTOPOINT:
            device.far_end = OUTSIDE
        elif facts.flags & IFF_NOARP:
            wire.mute[device.link_address] = f"what becomes of frames of {facts.name} in {machine.name}: arp is off"
        if wire.frames is not None:
            there = self._by_inode[port[0]].ip if port is not None else None
            wire.frames.plugs[device.link_address] = Plug(
                machine.ip, device, there, there.interfaces[port[1]] if there is not None and port is not None else None
            )
        wire.plug(device, bool(facts.flags & IFF_LOWER_UP) or facts.state == "UNKNOWN")

    def _leaves(self, packet: Packet, device: Device) -> None:
        for machine in self.machines:
            if machine.ip.interfaces.get(device.index) is device:
                self.left.append((machine, device, packet))
