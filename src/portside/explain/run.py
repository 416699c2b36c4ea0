"""One attempt in one twin: the SYN or the datagram is sent, and each step on its way is told."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from functools import partial
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_UDP, SECOND
from portside.addr.ip import is_v4, text
from portside.explain.attempt import ACCEPTED, BEYOND, FAILED, SILENT, UNKNOWN, Attempt, Step, owner_words
from portside.explain.choices import Choices
from portside.explain.machine import Machine
from portside.explain.packets import nearly, packet_words, route_words
from portside.explain.twin import Twin
from portside.facts.snapshot import Snapshot
from portside.facts.sockaddr import SockAddr
from portside.facts.socket import Socket
from portside.facts.state import ESTABLISHED, SYN_RECEIVED, SYN_SENT
from portside.facts.verdict import Verdict
from portside.host.tcp_socket import TcpSocket
from portside.host.udp_socket import UdpSocket
from portside.ip.interface import Interface
from portside.ip.policy import PolicyRoutes
from portside.ip.ruleset import NAT_VERDICTS, Ruling
from portside.sockets import lookup
from portside.tcp import calls
from portside.tcp.tcb import Tcb
from portside.wire.packet import ACK, RST, SYN, Packet, TcpSegment, UdpDatagram

PATIENCE: Final = 1000 * SECOND
"""Virtual time after which the kernel itself would have given up, whatever its sysctls."""
A_MOMENT: Final = SECOND // 100
MOST_FORWARDS: Final = 20
MOST_TRANSLATIONS: Final = 8


class Run:
    """One attempt in one twin."""

    def __init__(self, snapshot: Snapshot, choices: Choices, source: str | None, uid: int) -> None:
        self.twin = Twin(snapshot, choices)
        self.dark = choices.dark
        machine = self.twin.here if source is None else self.twin.machine(source)
        if machine is None:
            raise ValueError(f"there is no namespace {source!r} in this snapshot")
        self.machine = machine
        self.uid = uid
        self.steps: list[Step] = []
        self._seen: set[tuple[str, str, str]] = set()
        self._reached: tuple[Machine, UdpDatagram] | None = None  # who has the datagram
        self._forwards = 0
        self._translations = 0
        for each in self.twin.machines:
            self._watch(each)

    def attempt(self, address: int, port: int, zone: str, proto: int) -> Attempt:
        """Connect, and see what becomes of it."""
        machine = self.machine
        scope = self._scope(zone)
        self._say_route(address, scope, proto, port)
        process = machine.host.processes.create("connect", uid=self.uid)
        family = AF_INET if is_v4(address) else AF_INET6
        name: SockAddr = (AF_INET, address, port) if family == AF_INET else (AF_INET6, address, port, 0, scope)
        if proto == IPPROTO_UDP:
            return self._datagram(UdpSocket(machine.host, family, proto, self.uid), name, address, port)
        file = TcpSocket(machine.host, family, self.uid)
        try:
            file.connect(process, name, machine.host.world.now)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                return self._failed(address, port, error)
        tcb = file.tcb
        self.twin.clock.run(
            PATIENCE,
            lambda: self.circles or tcb.state not in (SYN_SENT, SYN_RECEIVED) or bool(self.twin.left or self.dark),
        )
        after = self.twin.clock.now
        if self.dark:
            return self._unknown(address, port)
        if self.circles:
            return Attempt(
                address=address, port=port, outcome=UNKNOWN, steps=tuple(self.steps), open=("NAT sends it in circles",)
            )
        if tcb.state == ESTABLISHED:
            self.twin.clock.run(after + A_MOMENT, lambda: False)
            number = calls.take_error(tcb)  # a filter may cut it before connect(2) has returned
            if not number:
                return self._accepted(address, port, after)
            return Attempt(
                address=address, port=port, outcome=FAILED, errno=number, after=after, steps=tuple(self.steps)
            )
        if self.twin.left:
            return self._gone(address, port)
        number = calls.take_error(tcb) or errno.ETIMEDOUT
        return Attempt(
            address=address, port=port, outcome=FAILED, errno=number, after=after, steps=tuple(self.steps)
        )  # fmt: skip

    @property
    def circles(self) -> bool:
        """Whether NAT sends the packet round and round: what its connections become then, hangs on their timing."""
        return self._forwards > MOST_FORWARDS and self._translations > MOST_TRANSLATIONS

    def _scope(self, zone: str) -> int:
        if not zone:
            return 0
        device = self.machine.ip.interface_named(zone)
        if device is not None:
            return device.index
        if zone.isdigit():
            return int(zone)
        raise ValueError(f"{self.machine.name} has no interface {zone!r}")

    def _say_route(self, address: int, scope: int, proto: int, port: int) -> None:
        routes = self.machine.ip.routes
        if isinstance(routes, PolicyRoutes):
            routes.uid, routes.proto, routes.dport = self.uid, proto, port
        route = routes.lookup(address, 0, scope)
        if isinstance(route, Verdict):
            self._say(self.machine, "route", route.sentence, number=route.errno, because=route)
        else:
            self._say(self.machine, "route", route_words(route), because=route)

    def _failed(self, address: int, port: int, error: OSError) -> Attempt:
        number = error.errno or 0
        verdict = getattr(error, "verdict", None)
        if isinstance(verdict, Verdict):
            if not any(step.what == "route" and step.sentence == verdict.sentence for step in self.steps):
                self._say(self.machine, "call", verdict.sentence, number, verdict)
        elif not self.steps or not self.steps[-1].errno:
            self._say(self.machine, "call", f"connect(2) says {errno.errorcode[number]} at once", number=number)
        return Attempt(
            address=address, port=port, outcome=FAILED, errno=number, after=self.twin.clock.now, steps=tuple(self.steps)
        )  # fmt: skip

    def _unknown(self, address: int, port: int) -> Attempt:
        return Attempt(
            address=address, port=port, outcome=UNKNOWN, steps=tuple(self.steps), open=tuple(self.dark)
        )  # fmt: skip

    def _gone(self, address: int, port: int) -> Attempt:
        machine, device, packet = self.twin.left[0]
        here = self.twin.holder(packet.dst)
        if here is not None and self.twin.is_stacked(machine, device):
            self.dark.append(f"how {text(packet.dst)} of {here.name} is reached by {device.name} of {machine.name}")
            return self._unknown(address, port)
        words = f"{packet_words(packet)} leaves by {device.name}, where only the real network knows more"
        self._say(machine, "edge", words)
        return Attempt(address=address, port=port, outcome=BEYOND, steps=tuple(self.steps))

    def _accepted(self, address: int, port: int, after: int) -> Attempt:
        by: list[Socket] = []
        place, unheard, holder = "", False, self.machine
        for machine in self.twin.machines:
            for owner, facts in machine.sockets.items():
                if not isinstance(owner, Tcb) or owner.listener is None:
                    continue
                unheard = unheard or bool(owner.listener.half_open)
                if len(owner.listener.accept_queue) > facts.accept_queue:
                    by += _group(machine, owner, facts)
                    place = machine.name if machine is not self.machine else ""
                    holder = machine
        if by:
            words = " or ".join(dict.fromkeys(map(owner_words, by)))
            self._say(holder, "listener", f"{words} takes the connection", because=tuple(by))
        elif unheard:
            self._say(self.machine, "answer", "connect(2) succeeds, but the server does not hear of it")
        return Attempt(
            address=address, port=port, outcome=ACCEPTED, by=tuple(by), place=place, after=after,
            steps=tuple(self.steps),
        )  # fmt: skip

    def _datagram(self, file: UdpSocket, name: SockAddr, address: int, port: int) -> Attempt:
        clock = self.twin.clock
        process = self.machine.host.processes.create("send", uid=self.uid)
        try:
            file.connect(process, name)
            file.send(b"\0", 0, None, clock.now)
        except OSError as error:
            return self._failed(address, port, error)
        clock.run(clock.now + 10 * SECOND, lambda: bool(self.twin.left or self.dark))
        if self.dark:
            return self._unknown(address, port)
        number = file.take_error()
        if number == errno.ECONNREFUSED and self._reached is not None and not any(step.errno for step in self.steps):
            there, packet = self._reached
            near = nearly(there.snapshot, packet, IPPROTO_UDP)
            self._say(there, "listener", near or f"nobody listens on UDP port {packet.dport} here", number)
        if number:
            return Attempt(address=address, port=port, outcome=FAILED, errno=number, steps=tuple(self.steps))
        by: list[Socket] = []
        place = ""
        for machine in self.twin.machines:
            for owner, facts in machine.sockets.items():
                if isinstance(owner, UdpSocket) and owner.received_memory():
                    self._say(machine, "listener", f"{owner_words(facts)} has it")
                    by += _group(machine, owner, facts)
                    place = machine.name if machine is not self.machine else ""
        if by:
            return Attempt(
                address=address, port=port, outcome=ACCEPTED, by=tuple(by), place=place, steps=tuple(self.steps)
            )  # fmt: skip
        if self.twin.left:
            return self._gone(address, port)
        return Attempt(address=address, port=port, outcome=SILENT, steps=tuple(self.steps))

    # -- what is told on the way --

    def _say(self, machine: Machine, what: str, sentence: str, number: int = 0, because: object = None) -> None:
        key = (machine.name, what, sentence)
        if key not in self._seen:
            self._seen.add(key)
            self.steps.append(Step(machine=machine.name, what=what, sentence=sentence, errno=number, because=because))

    def _watch(self, machine: Machine) -> None:
        machine.ip.trace = partial(self._event, machine)
        if machine.ip.ruleset is not None:
            machine.ip.ruleset.told = partial(self._ruled, machine)

    def _event(self, machine: Machine, kind: str, packet: Packet, interface: Interface, reason: object) -> None:
        words = packet_words(packet)
        if kind == "drop":
            if isinstance(reason, Ruling):
                return  # told where it was decided
            said = reason.sentence if isinstance(reason, Verdict) else str(reason)
            self._say(machine, "drop", f"{words} is dropped, coming in by {interface.name}: {said}", because=reason)
        elif kind == "forward":
            self._forwards += 1
            self._say(machine, "forward", f"{words} is passed on by {interface.name}")
        elif kind == "deliver":
            self._say(machine, "delivered", f"{words} is for this host, and comes in by {interface.name}")
            self._deliver(machine, packet, interface)
        elif kind == "loop":  # `interface` has the address, and sockets that are bound to it have the packet
            self._say(machine, "delivered", f"{words} is for this host, and comes in by lo")
            self._deliver(machine, packet, interface)

    def _deliver(self, machine: Machine, packet: Packet, interface: Interface) -> None:
        """Why a listener takes a SYN, or none does. Whoever has the packet is the one that answers."""
        if isinstance(packet, UdpDatagram):
            self._reached = machine, packet
        if not isinstance(packet, TcpSegment):
            return
        table = machine.host.stack.tcp
        entry = lookup.tcp(table, packet.src, packet.sport, packet.dst, packet.dport, interface.index)
        routes = machine.ip.routes
        if isinstance(routes, PolicyRoutes):
            routes.uid, routes.proto, routes.dport = entry.uid if entry is not None else 0, packet.proto, packet.sport
        if packet.flags & (SYN | ACK | RST) != SYN:
            return
        if entry is None:
            near = nearly(machine.snapshot, packet)
            self._say(machine, "listener", near or f"nobody listens on port {packet.dport} here", errno.ECONNREFUSED)
            return
        facts = machine.sockets.get(entry.owner)
        if facts is not None and facts.backlog is not None and facts.accept_queue > facts.backlog:
            words = f"the accept queue of {owner_words(facts)} is full: {facts.accept_queue} wait, {facts.backlog} may"
            self._say(machine, "listener", words, errno.ETIMEDOUT, facts)

    def _ruled(self, machine: Machine, ruling: Ruling, packet: Packet) -> None:
        if ruling.verdict in ("accept", "return") and ruling.rule is None:
            return
        self._translations += ruling.verdict in NAT_VERDICTS
        words = f"{packet_words(packet)}: in {ruling.hook}, {ruling} says {ruling.verdict}"
        number = 0 if ruling.verdict in ("accept", "dnat", "snat", "masquerade", "redirect") else errno.EPERM
        self._say(machine, "filter", words, number, ruling)


def _group(machine: Machine, owner: object, facts: Socket) -> Iterable[Socket]:
    """A socket, or all of the SO_REUSEPORT group of which a hash picks one."""
    entry = owner.entry  # type: ignore[attr-defined]
    if entry.group is None:
        return (facts,)
    return tuple(machine.sockets[member.owner] for member in entry.group.members if member.owner in machine.sockets)
