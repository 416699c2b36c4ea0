"""One network namespace of a real machine as a simulated host: interfaces, routes, sockets and filter of its facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from portside.addr.abi import AF_INET, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.addr.ip import V4_LOOPBACK, V6_ANY, V6_LOOPBACK, bits_of, is_link_local, is_v4, needs_scope, prefix_of
from portside.explain import load
from portside.explain.choices import Choices
from portside.explain.place import is_ready
from portside.explain.world import Clock
from portside.facts.interface import (
    IFF_LOOPBACK,
    IFF_UP,
    SCOPE_HOST,
    SCOPE_LINK,
    Interface,
)
from portside.facts.route import LOCAL, TABLE_LOCAL, TABLE_MAIN, Route
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket
from portside.facts.state import LISTEN, SYN_RECEIVED
from portside.host.kernel import Host
from portside.host.tcp_socket import TcpSocket
from portside.host.udp_socket import UdpSocket
from portside.ip import source
from portside.ip.interface import Interface as Device
from portside.ip.interface import InterfaceAddress
from portside.ip.layer import IpLayer
from portside.ip.policy import DEFAULT_RULES, PolicyRoutes
from portside.ip.route import Route as Way
from portside.ip.route import RouteEntry
from portside.ip.ruleset import Ruleset
from portside.ip.validation import Validation
from portside.sockets.entry import Entry
from portside.tcp import listen
from portside.wire.packet import Fragment, Packet, TcpSegment, UdpDatagram


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
        layer.routes = self.routes = routes
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
            holds = each.proto == IPPROTO_TCP and each.state != LISTEN and load.holds_port(each)
            if holds and not load.may_take_over(each, snapshot.settings):
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
        # Where it could not be read, which is said to be missing, there is room.
        backlog = facts.accept_queue if facts.backlog is None else facts.backlog
        listener = listen.open_passive(tcb, backlog, 0)
        listener.backlog = backlog
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

    @property
    def routes_by_mark(self) -> bool:
        """Whether a routing rule asks for a mark."""
        return any(rule.mark is not None for rule in self.machine.routes.rules)

    def kind_of(self, address: int, device: int = 0) -> int:
        """What an address is to the machine."""
        return self.machine.ip.kind_of(address, device)

    def comes_back(self, address: int, interface: Device) -> bool | None:
        """Whether the way to an address leads out by that interface.

        None: over IPv6 the expression `fib` looks for the best route, the match `rpfilter` for one as exact by the
        interface, and the facts do not tell which it is (nft_fib6_eval, rpfilter_lookup_reverse6).
        """
        if interface.loopback:
            return True
        routes = self.machine.routes
        if needs_scope(address):
            route = routes.lookup_unscoped(address, 0, interface.index)
            return isinstance(route, Way) and not route.local and route.interface is interface
        back = routes.leads_back(address, 0, interface)
        if back is False and not is_v4(address) and routes.leads_by(address, interface):
            return None
        return bool(back)

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


def _addresses(facts: Interface) -> Iterable[InterfaceAddress]:
    """The addresses in the order in which they were added: the kernel has the newest of IPv6 first."""
    v4 = [each for each in facts.addresses if is_v4(each.address)]
    v6 = [each for each in facts.addresses if not is_v4(each.address)]
    for each in (*v4, *reversed(v6)):
        if not is_ready(each):
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
