"""Real machines as simulated hosts: what a `Snapshot` knows of each network namespace, loaded into a host of its own.

Namespaces whose veth pairs and bridges are known are joined to one network. What leads out of the machine ends at the
edge of the world, which says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from portside.addr.abi import AF_INET, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.addr.ip import V4_LOOPBACK, V6_ANY, V6_LOOPBACK, bits_of, is_link_local, is_v4, needs_scope, prefix_of
from portside.explain import load
from portside.explain.frames import Frames, Plug
from portside.explain.world import NOBODY, OUTSIDE, Clock, Wire
from portside.facts.interface import (
    IFA_F_DADFAILED,
    IFA_F_OPTIMISTIC,
    IFA_F_TENTATIVE,
    IFF_LOOPBACK,
    IFF_LOWER_UP,
    IFF_NOARP,
    IFF_POINTOPOINT,
    IFF_UP,
    SCOPE_HOST,
    SCOPE_LINK,
    Interface,
    Neighbor,
)
from portside.facts.route import LOCAL, TABLE_LOCAL, TABLE_MAIN, Route
from portside.facts.rule import Chain, FirewallRule
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket
from portside.facts.state import LISTEN, SYN_RECEIVED
from portside.host.kernel import Host
from portside.host.tcp_socket import TcpSocket
from portside.host.udp_socket import UdpSocket
from portside.ip import filtering, source
from portside.ip.interface import Interface as Device
from portside.ip.interface import InterfaceAddress
from portside.ip.layer import IpLayer
from portside.ip.neighbor import REACHABLE
from portside.ip.neighbor import Neighbor as Row
from portside.ip.policy import DEFAULT_RULES, PolicyRoutes
from portside.ip.route import Route as Way
from portside.ip.route import RouteEntry
from portside.ip.ruleset import Ruleset
from portside.ip.validation import Validation
from portside.sockets.entry import Entry
from portside.tcp import listen
from portside.wire.packet import Fragment, Packet, TcpSegment, UdpDatagram


class Choices:
    """What the facts leave open, decided one way or the other; `explore` goes through all ways.

    `made` has the decisions of this run in the order in which they came up: what it is about, what was chosen, how many
    there were to choose from.
    """

    def __init__(self, script: tuple[int, ...] = ()) -> None:
        self.script = script
        self.made: list[tuple[object, int, int]] = []
        self.dark: list[object] = []  # beyond these nothing is known
        self._known: dict[int, int] = {}

    def choose(self, about: object, count: int) -> int:
        """One of `count`; the same for the same thing within one run."""
        known = self._known.get(id(about))
        if known is not None and known < count:
            return known
        place = len(self.made)
        chosen = self.script[place] if place < len(self.script) else 0
        self.made.append((about, chosen, count))
        self._known[id(about)] = chosen
        return chosen

    # -- ip.ruleset.Doubts, ip.policy.Ways --

    def holds(self, rule: FirewallRule, chain: Chain) -> bool:
        """Whether a rule holds that can't be read whole."""
        return self.choose(rule, 2) == 1

    def which(self, rule: FirewallRule, count: int) -> int:
        """Which of a range of addresses NAT takes: of many, the ends stand for all."""
        return (0, count - 1)[self.choose(rule, 2)]

    def unforeseen(self, about: object) -> None:
        """Something happens that is not modelled: the attempt's end is not known."""
        self.dark.append(about)

    def way(self, entry: RouteEntry, count: int) -> int:
        """Which of several ways a packet takes."""
        return self.choose(entry, count)


class Machine:
    """One network namespace as a host. `snapshot` is what it was made of; `sockets` has the facts of its sockets."""

    def __init__(self, snapshot: Snapshot, clock: Clock, choices: Choices, number: int) -> None:
        self.snapshot = snapshot
        self.name = snapshot.namespace.name or (f"net:[{snapshot.namespace.inode}]" if number else snapshot.host)
        settings = replace(snapshot.settings, extra=dict(snapshot.settings.extra), tcp_congestion_control="reno")
        self.host = Host(self.name, clock, number=number, settings=settings)
        self.sockets: dict[object, Socket] = {}  # by the Tcb or the UdpSocket that stands for it
        self._set_interfaces()
        self._set_routes(choices)
        self._set_sockets()
        self._set_filter(choices)

    @property
    def ip(self) -> IpLayer:
        """The IP layer of the host."""
        return self.host.ip

    # -- interfaces --

    def _set_interfaces(self) -> None:
        layer = self.ip
        layer.interfaces.clear()
        for facts in sorted(self.snapshot.interfaces, key=lambda each: each.index):
            device = Device(facts.index, facts.name, mtu=facts.mtu, loopback=bool(facts.flags & IFF_LOOPBACK))
            device.up = bool(facts.flags & IFF_UP)
            device.receiver = layer.arrives
            device.addresses = list(_addresses(facts))
            layer.interfaces[facts.index] = device
            if device.loopback:
                layer.lo = device
        if layer.lo.index not in layer.interfaces:
            layer.lo.up = False
            layer.lo.addresses = []
            layer.interfaces[layer.lo.index] = layer.lo

    # -- routes --

    def _set_routes(self, choices: Choices) -> None:
        layer, snapshot = self.ip, self.snapshot
        rules = snapshot.policy_rules or DEFAULT_RULES
        routes = PolicyRoutes(layer.interfaces, rules, choices)
        layer.routes = routes
        if all(rule in DEFAULT_RULES for rule in rules if rule.family == AF_INET):
            # While there are no further rules, `local` and `main` are one table (fib_trie_unmerge).
            routes.tables[AF_INET, TABLE_MAIN] = routes.table_of(AF_INET, TABLE_LOCAL)
        for facts in snapshot.routes or routes_of(snapshot.interfaces):
            self._add_route(routes, facts)
        if not self.host.settings.ip6_forwarding:
            routes.failed = layer.neighbors.failed
        routes.changed()
        layer.validation = validation = Validation(layer, self.host.settings)
        routes.localnet = frozenset(
            each.index for each in layer.interfaces.values() if validation.takes_loopback(each)
        )  # fmt: skip
        layer.use_ruleset(None)

    def _add_route(self, routes: PolicyRoutes, facts: Route) -> None:
        if facts.dead or facts.tos:  # what is sent here has no type of service
            return
        ways = [self._entry(facts, hop.interface, hop.gateway) for hop in facts.hops if not hop.dead]
        ways = ways or [self._entry(facts, facts.interface, facts.gateway)]
        entry = ways[0]
        if len(ways) > 1:
            routes.ways[entry] = ways
        if facts.from_prefix is not None:
            routes.from_prefix[entry] = facts.from_prefix
        routes.insert_into(facts.table, entry)

    def _entry(self, facts: Route, interface: int, gateway: int | None) -> RouteEntry:
        device = self.ip.interfaces.get(interface)
        if device is None and not is_v4(facts.destination):
            device = self.ip.lo
        return RouteEntry(
            facts.destination, facts.prefix_length, device, via=gateway or 0, kind=facts.kind, metric=facts.metric,
            source=facts.source or 0, mtu=facts.mtu, scope=facts.scope,
        )  # fmt: skip

    # -- sockets --

    def _set_sockets(self) -> None:
        snapshot = self.snapshot
        listeners = [each for each in snapshot.sockets if each.proto == IPPROTO_TCP and each.state == LISTEN]
        shared = _shared(listeners)
        for each in _in_order(listeners, shared):
            self._listen(each, each.reuseport if each.reuseport is not None else each in shared)
        busy = frozenset(each.lport for each in listeners)
        for each in snapshot.sockets:
            if each.proto == IPPROTO_TCP and each.state != LISTEN and load.holds_port(each):
                self._occupy(each, busy)
        datagrams = [each for each in snapshot.sockets if each.proto in (IPPROTO_UDP, IPPROTO_UDPLITE) and each.lport]
        shared = _shared([each for each in datagrams if not each.rport])
        for each in _in_order(datagrams, shared):
            self._receive(each, bool(each.reuseport) or each in shared)

    def _listen(self, facts: Socket, reuseport: bool) -> None:
        stack = self.host.stack
        file = TcpSocket(self.host, facts.family, facts.uid)
        entry, tcb = file.entry, file.tcb
        _describe(entry, facts, reuseport)
        stack.tcp.add_bound(entry)
        tcb.laddr, tcb.lport = entry.laddr, entry.lport
        stack.tcp.add_listener(entry)
        listener = listen.open_passive(tcb, facts.backlog, 0)
        listener.backlog = facts.backlog
        listener.accept_queue = [stack.new_connection(None) for _ in range(facts.accept_queue)]
        self.sockets[tcb] = facts

    def _occupy(self, facts: Socket, busy: frozenset[int]) -> None:
        """A socket that only keeps its port, and its connection, from others."""
        table = self.host.stack.tcp
        entry = load.entry_of(table, facts)
        entry.connect_bound = load.chosen_by_connect(self.snapshot, facts, busy)
        table.add_bound(entry)
        if facts.rport or facts.state == SYN_RECEIVED:
            table.add_connected(entry)

    def _receive(self, facts: Socket, reuseport: bool) -> None:
        file = UdpSocket(self.host, facts.family, facts.proto, facts.uid)
        entry = file.entry
        _describe(entry, facts, reuseport)
        if facts.rport:
            entry.raddr, entry.rport = facts.raddr, facts.rport
        entry.state = facts.state
        self.host.stack.table(facts.proto).add_bound(entry)
        self.sockets[file] = facts

    # -- the filter --

    def _set_filter(self, choices: Choices) -> None:
        if not self.snapshot.chains:
            return
        ruleset = Ruleset(self.snapshot.chains, Answers(self), choices)
        ruleset.sender_of = self._sender_of
        self.ip.use_ruleset(ruleset)

    def _sender_of(self, packet: Packet) -> Entry | None:
        """The socket that sent a packet."""
        whole = packet.whole if isinstance(packet, Fragment) else packet
        if isinstance(whole, TcpSegment):
            tcp = self.host.stack.tcp
            return tcp.connected.get((whole.src, whole.sport, whole.dst, whole.dport))
        if isinstance(whole, UdpDatagram) and isinstance(whole.sender, UdpSocket):
            return whole.sender.entry
        return None


class Answers:
    """What the rules of a filter ask of a machine (`ip.ruleset.Surroundings`)."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @property
    def now(self) -> int:
        """The virtual time, ns."""
        return self.machine.host.world.now

    def kind_of(self, address: int, device: int = 0) -> int:
        """What an address is to the machine."""
        return self.machine.ip.kind_of(address, device)

    def comes_back(self, address: int, interface: Device) -> bool:
        """Whether the way to an address leads out by that interface."""
        if interface.loopback:
            return True
        routes = self.machine.ip.routes
        if needs_scope(address):
            route = routes.lookup_unscoped(address, 0, interface.index)
        else:
            route = routes.forward_from_source(address, 0, interface)
        return isinstance(route, Way) and not route.local and route.interface is interface

    def masquerade_as(self, destination: int, interface: Device) -> int:
        """The address of the interface by which a packet leaves (nf_nat_masquerade_ipv4, _ipv6)."""
        interfaces = self.machine.ip.interfaces
        if not is_v4(destination):
            return source.select_v6(interfaces, interface, destination)
        route = self.machine.ip.routes.forward(destination)
        gateway = route.next_hop if isinstance(route, Way) else 0
        return source.select_v4(interfaces, interface, gateway or destination, 0)

    def redirect_to(self, interface: Device | None, destination: int) -> int:
        """The first address of the interface by which a packet came, of the same scope (nf_nat_redirect)."""
        v4 = is_v4(destination)
        if interface is None:
            return V4_LOOPBACK if v4 else V6_LOOPBACK
        link_local = not v4 and is_link_local(destination)
        for entry in interface.addresses if v4 else source.candidates(interface):
            if is_v4(entry.address) is v4 and (not link_local or is_link_local(entry.address)):
                return entry.address
        return 0


def _passes(
    machine: Machine, packet: Packet, bridge: Device, sender: Device, to_host: bool, crosses: Callable[[], bool]
) -> bool:
    """Whether a bridge may carry a packet on: with br_netfilter its host's filter is asked, before the bridge's own
    chains and after them."""
    version = "iptables" if is_v4(packet.dst) else "ip6tables"
    asked = machine.host.settings.extra.get(f"net/bridge/bridge-nf-call-{version}", "0") != "0"
    if not asked:
        return crosses()
    before = _names(packet)
    passes = filtering.bridge(machine.ip, packet, bridge, sender.link_address, to_host, crosses)
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


def _addresses(facts: Interface) -> Iterable[InterfaceAddress]:
    """The addresses in the order in which they were added: the kernel has the newest of IPv6 first."""
    v4 = [each for each in facts.addresses if is_v4(each.address)]
    v6 = [each for each in facts.addresses if not is_v4(each.address)]
    for each in (*v4, *reversed(v6)):
        unready = each.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) and not each.flags & IFA_F_OPTIMISTIC
        if unready and not is_v4(each.address):
            continue
        entry = InterfaceAddress(each.address, each.prefix_length)
        entry.scope = each.scope
        entry.secondary = is_v4(each.address) and bool(each.flags & 1)
        entry.broadcast = each.broadcast or 0
        yield entry


def routes_of(interfaces: Iterable[Interface]) -> Iterator[Route]:
    """The routes that Linux makes of addresses: for a snapshot that has none."""
    for interface in interfaces:
        if not interface.flags & IFF_UP:
            continue
        for each in interface.addresses:
            length = each.prefix_length
            own = length if interface.flags & IFF_LOOPBACK else bits_of(each.address)
            yield Route(
                destination=prefix_of(each.address, own), prefix_length=own, kind=LOCAL, interface=interface.index,
                table=TABLE_LOCAL, scope=SCOPE_HOST,
            )  # fmt: skip
            if not interface.flags & IFF_LOOPBACK and length < bits_of(each.address):
                yield Route(
                    destination=prefix_of(each.address, length), prefix_length=length, interface=interface.index,
                    source=each.address if is_v4(each.address) else None, scope=SCOPE_LINK,
                )  # fmt: skip


def _describe(entry: Entry, facts: Socket, reuseport: bool) -> None:
    entry.laddr = entry.saddr = facts.laddr
    entry.lport = entry.sport = facts.lport
    entry.device = facts.device or facts.scope
    entry.v6only = bool(facts.v6only)
    entry.reuseaddr = bool(facts.reuseaddr)
    entry.reuseport = reuseport


def _shared(sockets: list[Socket]) -> list[Socket]:
    """Those that only SO_REUSEPORT lets be where they are: others have the same address, port and device."""
    found: dict[tuple[int, int, int, int, bool], list[Socket]] = {}
    for each in sockets:
        address = V6_ANY if each.laddr in (0, 0xFFFF_0000_0000) else each.laddr
        key = (each.proto, address, each.lport, each.device, bool(each.v6only) and address == V6_ANY)
        found.setdefault(key, []).append(each)
    return [each for alike in found.values() if len(alike) > 1 for each in alike if each.reuseport is None]


def _in_order(sockets: list[Socket], shared: list[Socket]) -> list[Socket]:
    """From the first to the last that came, where the kernel lists the newest first.

    Those of AF_INET6 with SO_REUSEPORT stand behind all others there, the oldest first (__inet_hash).
    """
    if not any(each.cookie for each in sockets):
        return sockets
    last = [each for each in sockets if (each.reuseport or each in shared) and each.family != AF_INET]
    return [each for each in reversed(sockets) if each not in last] + last


# -- the network --

Place = tuple[int, int]
"""An interface: the inode of its namespace, and its index."""


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
        """A neighbour that was set by hand: the frame goes to whoever has that link address, or to nobody."""
        device = machine.ip.interfaces.get(facts.interface)
        if facts.state != "PERMANENT" or device is None or not isinstance(device.link, Wire):
            return
        found = self._with_mac((machine.snapshot.namespace.inode, device.index), facts.mac)
        row = Row(facts.address, device)
        row.state, row.permanent = REACHABLE, True
        row.link_address = found or (OUTSIDE if device.link.beyond else NOBODY)
        machine.ip.neighbors.rows[device.index, facts.address] = row

    def _with_mac(self, place: Place, mac: bytes) -> int:
        """The link address of what has a MAC on the wire of a place; a bridge has those of its ports, too."""
        root = self._root(place)
        for machine in self.machines:
            for each in machine.snapshot.interfaces:
                other = (machine.snapshot.namespace.inode, each.index)
                if each.mac != mac or other == place or self._root(other) != root:
                    continue
                owner = each.master if each.master and self._is_bridge((other[0], each.master)) else each.index
                return machine.ip.interfaces[owner].link_address
        return 0

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
        if facts.flags & IFF_NOARP and not (facts.flags & IFF_POINTOPOINT):
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
