"""Small hosts on links: an IP layer with ICMP on top, a clock, and what each host was given to hear."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from portside.addr.abi import MILLISECOND
from portside.addr.ip import parse
from portside.facts.settings import Settings
from portside.facts.verdict import Verdict
from portside.icmp import Icmp, errno_for, port_unreachable
from portside.ip.interface import Interface
from portside.ip.layer import IpLayer
from portside.ip.route import BROADCAST, MULTICAST, Route
from portside.wire.packet import RST, IcmpMessage, Packet, TcpSegment, UdpDatagram


class World:
    """One time for all hosts of a test."""

    def __init__(self) -> None:
        self.now = 0
        self.events: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self.order = count()
        self.numbers = count(1)

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        heapq.heappush(self.events, (when, next(self.order), action, arguments))

    def run(self, until: int | None = None) -> None:
        while self.events and (until is None or self.events[0][0] <= until):
            self.now, _, action, arguments = heapq.heappop(self.events)
            action(*arguments)
        if until is not None:
            self.now = until


class Wire:
    """A link without loss; what it carried is in `carried`."""

    def __init__(self, world: World, *interfaces: Interface, delay: int = MILLISECOND) -> None:
        self.world = world
        self.interfaces = interfaces
        self.delay = delay
        self.carried: list[Packet] = []
        for interface in interfaces:
            interface.link = self

    def transmit(self, packet: Packet, sender: Interface, next_hop: int) -> None:
        self.carried.append(packet)
        for interface in self.interfaces:
            if interface is not sender and next_hop in (0, interface.link_address) and interface.up:
                self.world.at(self.world.now + self.delay, interface.receiver, packet.copy(), interface)


class Host:
    """A host with open UDP ports; it keeps what it received, and the ICMP errors about what it sent."""

    def __init__(self, world: World, *addresses: str, forward: bool = False, mtu: int = 1500) -> None:
        self.world = world
        settings = Settings(ip_forward=int(forward), ip6_forwarding=int(forward))
        self.settings = settings
        self.ip = IpLayer(settings, self, host_number=next(world.numbers))
        self.icmp = Icmp(settings, self)
        self.received: list[tuple[Packet, str]] = []
        self.errors: list[tuple[int, int, int, int]] = []  # when, type, code, extra
        self.quoted: list[Packet] = []  # what they are about
        self.resets = 0
        self.released_packets: list[Packet] = []
        self.ports = {53}
        self.interfaces: list[Interface] = []
        for number, text in enumerate(addresses):
            interface = self.ip.add_interface(f"eth{number}", mtu=mtu)
            self.interfaces.append(interface)
            for each in text.split():
                address, _, length = each.partition("/")
                assert self.ip.add_address(interface, parse(address), int(length)) == 0

    @property
    def now(self) -> int:
        return self.world.now

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        self.world.at(when, action, *arguments)

    # -- IpEffects --

    def deliver(self, packet: Packet, interface: Interface) -> None:
        if isinstance(packet, IcmpMessage):
            self.received.append((packet, interface.name))
            self.icmp.receive(packet, interface.index)
        elif isinstance(packet, UdpDatagram) and packet.dport not in self.ports:
            type, code = port_unreachable(packet)
            self.icmp.error(packet, interface.index, type, code)
        else:
            self.received.append((packet, interface.name))
            self.resets += isinstance(packet, TcpSegment) and bool(packet.flags & RST)

    def icmp_error(self, packet: Packet, interface: Interface | None, type: int, code: int, extra: int) -> None:
        self.icmp.error(packet, interface.index if interface else 0, type, code, extra)

    def released(self, packet: Packet) -> None:
        self.released_packets.append(packet)

    def tcp_reset(self, packet: Packet, send: Callable[[Packet, Route], object]) -> None:
        assert isinstance(packet, TcpSegment)
        if packet.flags & RST:
            return
        reset = TcpSegment(packet.dst, packet.src, packet.dport, packet.sport, packet.ack, 0, RST, 0)
        route = self.ip.lookup(reset.dst, reset.src)
        if not isinstance(route, Verdict):
            send(reset, route)

    # -- IcmpEffects --

    def send_from(self, message: IcmpMessage, oif: int) -> None:
        route = self.ip.lookup(message.dst, message.src, oif)
        if not isinstance(route, Verdict):
            message.src = route.src
            self.ip.send(message, route)

    def is_local(self, address: int, device: int = 0) -> bool:
        return self.ip.is_local(address, device)

    def is_unicast(self, address: int) -> bool:
        return self.ip.kind_of(address) not in (BROADCAST, MULTICAST)

    def hears(self, quoted: Packet, message: IcmpMessage, ifindex: int) -> None:
        self.quoted.append(quoted)
        self.errors.append((self.now, message.type, message.code, message.extra))

    # -- calls --

    def udp(self, dst: str, data: bytes = b"x", dport: int = 53, src: str = "", ttl: int = 64, df: bool = False,
            oif: int = 0) -> int:  # fmt: skip
        """Send a datagram as a socket would; the errno."""
        route = self.ip.lookup(parse(dst), parse(src) if src else 0, oif)
        if isinstance(route, Verdict):
            return route.errno
        packet = UdpDatagram(route.src, route.dst, 40000, dport, data)
        packet.ttl = ttl
        packet.dont_fragment = df
        error = self.ip.send(packet, route)
        self.ip.run_backlog()
        return error

    def segment(self, dst: str, flags: int, sport: int = 40000, dport: int = 80) -> int:
        """Send a bare TCP segment; the errno."""
        route = self.ip.lookup(parse(dst))
        assert not isinstance(route, Verdict)
        error = self.ip.send(TcpSegment(route.src, route.dst, sport, dport, 1, 1, flags, 1000), route)
        self.ip.run_backlog()
        return error

    def ping(self, dst: str) -> None:
        """Send an echo request."""
        address = parse(dst)
        v4 = address >> 32 == 0xFFFF
        message = IcmpMessage(0, address, 1 if v4 else 58, 8 if v4 else 128, 0, extra=7 << 16 | 1, data=b"hello")
        self.send_from(message, 0)
        self.ip.run_backlog()

    def errnos(self, family: int = 2) -> list[int]:
        """The errnos of the errors that were heard."""
        return [errno_for(family, type, code)[0] for _, type, code, _ in self.errors]


def routed(mtu: int = 1500, forward: bool = True) -> tuple[World, Host, Host, Host]:
    """client -- router -- server; the second link has the MTU."""
    world = World()
    client = Host(world, "10.0.1.1/24 2001:db8:1::1/64")
    router = Host(world, "10.0.1.254/24 2001:db8:1::fe/64", "10.0.2.254/24 2001:db8:2::fe/64", forward=forward)
    server = Host(world, "10.0.2.2/24 2001:db8:2::2/64")
    Wire(world, client.interfaces[0], router.interfaces[0])
    Wire(world, router.interfaces[1], server.interfaces[0])
    for host, via4, via6 in ((client, "10.0.1.254", "2001:db8:1::fe"), (server, "10.0.2.254", "2001:db8:2::fe")):
        assert host.ip.add_route(parse("0.0.0.0"), 0, via=parse(via4)) == 0
        assert host.ip.add_route(0, 0, via=parse(via6)) == 0
    for interface in (router.interfaces[1], server.interfaces[0]):
        router.ip.set_mtu(interface, mtu)
    return world, client, router, server
