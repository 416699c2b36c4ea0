"""Why a connection would or would not come about: the SYN is sent in the twins of the machine's namespaces.

Each step on its way is told, with what decided it. What the facts leave open (a rule that can't be read, a hash that
chooses) is tried in every way: if the end is the same each time it is known all the same.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, SECOND
from portside.addr.ip import V4_LOOPBACK, V6_LOOPBACK, family_of, is_v4, parse, text
from portside.explain import load
from portside.explain.twin import Choices, Machine, Twin
from portside.facts.rule import FirewallRule
from portside.facts.snapshot import Missing, Snapshot
from portside.facts.sockaddr import SockAddr
from portside.facts.socket import Socket
from portside.facts.state import ESTABLISHED, NAMES, SYN_RECEIVED, SYN_SENT
from portside.facts.verdict import Verdict
from portside.host.tcp_socket import TcpSocket
from portside.host.udp_socket import UdpSocket
from portside.ip.interface import Interface
from portside.ip.link import NeighborMessage
from portside.ip.policy import PolicyRoutes
from portside.ip.route import Route
from portside.ip.ruleset import NAT_VERDICTS, Ruling
from portside.sockets import lookup
from portside.tcp import calls
from portside.tcp.tcb import Tcb
from portside.wire.packet import ACK, RST, SYN, Fragment, IcmpMessage, Packet, TcpSegment, UdpDatagram

# How an attempt ends.
ACCEPTED: Final = "accepted"
FAILED: Final = "failed"
SILENT: Final = "silent"  # UDP: nobody has it, and nobody says so
BEYOND: Final = "beyond"  # it leaves this machine
UNKNOWN: Final = "unknown"

PATIENCE: Final = 1000 * SECOND
"""Virtual time after which the kernel itself would have given up, whatever its sysctls."""
A_MOMENT: Final = SECOND // 100
MOST_RUNS: Final = 64
MOST_FORWARDS: Final = 20
MOST_TRANSLATIONS: Final = 8

WORDS: Final = {
    errno.ECONNREFUSED: "connection refused", errno.ETIMEDOUT: "timed out", errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable", errno.EACCES: "permission denied", errno.EINVAL: "invalid argument",
    errno.ECONNRESET: "connection reset by peer", errno.ENOPROTOOPT: "protocol not available",
    errno.EADDRNOTAVAIL: "cannot assign requested address", errno.EPERM: "operation not permitted",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happens to the attempt: where, what, and because of what. `errno` is 0 while it goes on."""

    machine: str
    what: str  # name, route, filter, nat, neighbour, delivered, listener, answer, edge
    sentence: str
    errno: int = 0
    because: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one address would come to.

    `outcome` is one of ACCEPTED, FAILED, SILENT, BEYOND and UNKNOWN. `by` has the sockets of which one would accept,
    and `place` the namespace that they are in. `after` is how long it takes, ns. `open` is what could not be decided.
    """

    address: int
    port: int
    outcome: str
    errno: int = 0
    by: tuple[Socket, ...] = ()
    place: str = ""
    after: int = 0
    steps: tuple[Step, ...] = ()
    open: tuple[object, ...] = ()

    def json(self) -> dict[str, object]:
        """The attempt as plain values: the sockets that would accept by inode, and what is written of them."""
        return {
            "address": text(self.address), "port": self.port, "outcome": self.outcome,
            "errno": errno.errorcode.get(self.errno) if self.errno else None, "sentence": self.sentence,
            "seconds": self.after / SECOND, "namespace": self.place,
            "by": [{"inode": each.inode, "what": owner_words(each)} for each in self.by],
            "open": [_open_words(each) for each in self.open],
            "steps": [
                {"namespace": step.machine, "what": step.what, "sentence": step.sentence,
                 "errno": errno.errorcode.get(step.errno) if step.errno else None}
                for step in self.steps
            ],
        }  # fmt: skip

    @property
    def sentence(self) -> str:
        """How it ends, in a sentence."""
        where = endpoint(self.address, self.port)
        if self.outcome == ACCEPTED:
            who = " or ".join(dict.fromkeys(owner_words(each) for each in self.by)) or "a socket"
            return f"{where} would be accepted by {who}" + (f" in {self.place}" if self.place else "")
        if self.outcome == FAILED:
            name = errno.errorcode.get(self.errno, str(self.errno))
            return f"{where} would fail: {WORDS.get(self.errno, name)} ({name})"
        if self.outcome == SILENT:
            return f"what is sent to {where} would be lost, and nobody would say so"
        if self.outcome == BEYOND:
            return f"beyond this machine: {self.steps[-1].sentence if self.steps else where}"
        because = "; ".join(dict.fromkeys(map(_open_words, self.open)))
        return f"unknown, because this can't be read or foreseen: {because}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The answer to `why HOST:PORT`: each address tried in order, and what to change."""

    host: str
    port: int
    proto: int
    attempts: tuple[Attempt, ...] = ()
    remedy: str = ""
    missing: tuple[Missing, ...] = ()  # what could not be read, and might change the answer

    def json(self) -> dict[str, object]:
        """The answer as plain values."""
        return {
            "host": self.host, "port": self.port, "protocol": "udp" if self.proto == IPPROTO_UDP else "tcp",
            "outcome": self.outcome, "errno": errno.errorcode.get(self.errno) if self.errno else None,
            "sentence": self.sentence, "remedy": self.remedy,
            "attempts": [each.json() for each in self.attempts],
            "missing": [{"what": each.what, "why": each.why, "remedy": each.remedy} for each in self.missing],
        }  # fmt: skip

    def __bool__(self) -> bool:
        """Whether it would certainly be accepted."""
        return self.outcome == ACCEPTED

    @property
    def outcome(self) -> str:
        """How the last attempt ends, which is the whole's: a program tries the addresses until one is accepted."""
        return self.attempts[-1].outcome if self.attempts else FAILED

    @property
    def errno(self) -> int:
        """The errno that a program would be left with; 0 where none is certain."""
        return self.attempts[-1].errno if self.attempts else 0

    @property
    def sentence(self) -> str:
        """How it ends, in a sentence."""
        return self.attempts[-1].sentence if self.attempts else f"{self.host} has no address"


def why(
    snapshot: Snapshot,
    host: str,
    port: int,
    *,
    source: str | None = None,
    proto: int = IPPROTO_TCP,
    family: int | None = None,
    addresses: Sequence[int] | None = None,
    uid: int = 0,
    names: str = "",
) -> Why:
    """What a connection to HOST:PORT would meet.

    Args: host: an address, with %INTERFACE where it needs one, or a name. source: the namespace that it begins in, by
    name or inode; None: the snapshot's own. proto: IPPROTO_TCP or IPPROTO_UDP. family: AF_INET or AF_INET6, None for
    both. addresses: what the name stands for, in the order to try them. uid: of the program that connects. names: where
    the name was looked up, to be told.
    Raises ValueError for a name without `addresses`, and a namespace that is not in the snapshot.
    """
    from portside.explain.advice import advice

    literal, _, zone = host.partition("%")
    targets = [each for each in _targets(literal, addresses) if family in (None, family_of(each))]
    attempts: list[Attempt] = []
    for address in targets:
        attempt = _explore(snapshot, address, port, zone, source, proto, uid)
        attempts.append(attempt)
        if attempt.outcome != FAILED:
            break
    if attempts and not is_address(literal):
        known = Step(machine=(source or snapshot.host), what="name", sentence=_name_words(host, targets, names))
        attempts[0] = replace(attempts[0], steps=(known, *attempts[0].steps))
    said = advice(attempts[-1]) if attempts else f"{host} has no address of that family"
    missing = tuple(each for each in snapshot.missing if "packet filter" in each.what or "namespace" in each.what)
    return Why(host=host, port=port, proto=proto, attempts=tuple(attempts), remedy=said, missing=missing)


def is_address(host: str) -> bool:
    """Whether it is an address, and no name."""
    try:
        parse(host)
    except ValueError:
        return False
    return True


def _name_words(host: str, targets: Sequence[int], names: str) -> str:
    """What a name stands for."""
    said = f"{host} is {', then '.join(map(text, targets))}"
    order = ", tried in this order" if len(targets) > 1 else ""
    return said + order + (f" (looked up {names})" if names else "")


def _targets(host: str, addresses: Sequence[int] | None) -> Sequence[int]:
    if addresses is not None:
        return addresses
    if host == "localhost":
        return (V6_LOOPBACK, V4_LOOPBACK)
    return (parse(host),)


# -- in every way that the facts leave open --


def _explore(
    snapshot: Snapshot, address: int, port: int, zone: str, source: str | None, proto: int, uid: int
) -> Attempt:
    """One address, with everything that is left open tried in all ways."""
    scripts: list[tuple[int, ...]] = [()]
    found: dict[object, Attempt] = {}
    open_: dict[int, object] = {}
    runs = 0
    while scripts and runs < MOST_RUNS:
        script = scripts.pop()
        runs += 1
        choices = Choices(script)
        attempt = Run(snapshot, choices, source, uid).attempt(address, port, zone, proto)
        open_ |= {id(about): about for about in choices.dark}
        found.setdefault((attempt.outcome, attempt.errno, attempt.by), attempt)
        taken = tuple(chosen for _, chosen, _ in choices.made)
        for place in range(len(script), len(choices.made)):
            about, _, count = choices.made[place]
            open_[id(about)] = about
            scripts += [(*taken[:place], other) for other in range(1, count)]
    attempts = list(found.values())
    if len(attempts) == 1 and not scripts:
        return attempts[0]
    if all(each.outcome == ACCEPTED for each in attempts) and not scripts:
        everyone = tuple(dict.fromkeys(socket for each in attempts for socket in each.by))
        return Attempt(
            address=address, port=port, outcome=ACCEPTED, by=everyone, place=attempts[0].place, steps=attempts[0].steps
        )
    return Attempt(
        address=address, port=port, outcome=UNKNOWN, steps=attempts[0].steps, open=tuple(open_.values())
    )  # fmt: skip


# -- one run --


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
        if facts is not None and facts.accept_queue > facts.backlog:
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


def nearly(snapshot: Snapshot, packet: TcpSegment | UdpDatagram, proto: int = IPPROTO_TCP) -> str:
    """Who listens on the port, and why it is not for this packet; empty when nobody does."""
    for each in snapshot.sockets:
        if each.proto != proto or each.lport != packet.dport or each.rport:
            continue
        who = owner_words(each)
        if proto == IPPROTO_TCP and NAMES[each.state] != "LISTEN":
            return f"{who} is bound to port {each.lport}, but does not listen"
        if each.device:
            return f"{who} listens on port {each.lport}, but only on interface {each.device}"
        if is_v4(packet.dst) and not is_v4(each.laddr) and (each.v6only or each.laddr):
            return f"{who} listens on port {each.lport}, but only over IPv6"
        if not is_v4(packet.dst) and is_v4(each.laddr):
            return f"{who} listens on port {each.lport}, but only over IPv4"
        return f"{who} listens on port {each.lport}, but only on {text(each.laddr)}"
    return ""


# -- words --


def endpoint(address: int, port: int) -> str:
    """`10.0.0.1:80`, `[::1]:80`."""
    return f"{text(address)}:{port}" if is_v4(address) else f"[{text(address)}]:{port}"


def owner_words(socket: Socket) -> str:
    """A socket by the processes that hold it, or else by what it is."""
    names = dict.fromkeys(f"{owner.command} (pid {owner.pid})" for owner in socket.owners)
    return ", ".join(names) or load.words(socket)


def route_words(route: Route) -> str:
    """A route that was found."""
    if route.local:
        return f"{text(route.dst)} is an address of this host, on {route.interface.name}"
    via = f" via {text(route.next_hop)}" if route.next_hop and route.next_hop != route.dst else ""
    return f"{text(route.dst)} is reached{via} by {route.interface.name}, from {text(route.src)}"


def packet_words(packet: Packet) -> str:
    """`SYN 10.0.0.1 > 10.0.0.2:80`; ephemeral ports are left out."""
    whole = packet.whole if isinstance(packet, Fragment) else packet
    if isinstance(whole, TcpSegment):
        flags = whole.flags
        name = "RST" if flags & RST else "SYN-ACK" if flags & SYN and flags & ACK else "SYN" if flags & SYN else "ACK"
        if name == "SYN":
            return f"SYN to {endpoint(whole.dst, whole.dport)} from {text(whole.src)}"
        return f"{name} from {endpoint(whole.src, whole.sport)} to {text(whole.dst)}"
    if isinstance(whole, UdpDatagram):
        return f"the datagram to {endpoint(whole.dst, whole.dport)} from {text(whole.src)}"
    if isinstance(whole, NeighborMessage):
        return f"the question who has {text(whole.dst)}" if whole.request else f"the answer who has {text(whole.src)}"
    if isinstance(whole, IcmpMessage):
        return f"the ICMP message {whole.type}/{whole.code} from {text(whole.src)} to {text(whole.dst)}"
    return f"the packet to {text(packet.dst)}"


def _open_words(about: object) -> str:
    return about.text if isinstance(about, FirewallRule) else str(about)
