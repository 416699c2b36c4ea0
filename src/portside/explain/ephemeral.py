"""The ports that connections take by themselves: how many are left towards each destination, and what would help."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from portside.addr import ip, services
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, SECOND
from portside.addr.port import EPHEMERAL, MAX_PORT
from portside.explain.binding import Attempt, decide
from portside.explain.load import TIME_WAIT_LASTS, everything, may_take_over
from portside.explain.place import Caller, Place
from portside.facts.interface import IFF_UP
from portside.facts.settings import Settings
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket
from portside.facts.state import TIME_WAIT
from portside.sockets import conflict, ephemeral
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable

NARROWEST: Final = 1024
"""Where a wider range would begin."""
FIRST_FREE: Final = 10000
"""Where the search for free ports begins unless told otherwise."""

SYSTEMS: Final = {"linux": "Linux", "windows": "Windows", "macos": "macOS"}

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Remedy:
    """Something that would leave more ports: by how many, and in words."""

    name: str
    gain: int
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """From one address of this host to one address and port: who has ports on that way, and how many are left."""

    source: int
    address: int
    port: int
    used: int
    time_wait: int
    left: int
    remedies: tuple[Remedy, ...] = ()

    @property
    def text(self) -> str:
        """`10.0.0.1 to 10.0.0.9:443`."""
        peer = ip.text(self.address) if ip.is_v4(self.address) else f"[{ip.text(self.address)}]"
        return f"{ip.text(self.source)} to {peer}:{self.port}"


@dataclass(frozen=True)
class Usage:
    """The ephemeral ports of a host: the range, and what is left of it."""

    snapshot: Snapshot

    @property
    def settings(self) -> Settings:
        """The host's sysctls."""
        return self.snapshot.settings

    @property
    def range(self) -> tuple[int, int]:
        """The first and the last port: net.ipv4.ip_local_port_range, for IPv6 too."""
        return self.settings.ip_local_port_range

    @cached_property
    def ports(self) -> tuple[int, ...]:
        """The ports of the range that are not reserved."""
        low, high = self.range
        return tuple(port for port in range(low, high + 1) if port not in self.settings.ip_local_reserved_ports)

    @property
    def reserved(self) -> int:
        """How many ports of the range net.ipv4.ip_local_reserved_ports takes out."""
        low, high = self.range
        return high - low + 1 - len(self.ports)

    @cached_property
    def tcp(self) -> SocketTable:
        """All TCP sockets."""
        return everything(self.snapshot, IPPROTO_TCP)

    @cached_property
    def held(self) -> int:
        """Ports of the range that bind(2) has put somebody on: connect(2) passes them over, for any destination."""
        return sum(1 for port in self.ports if port in self.tcp.ports and not self.tcp.ports[port].connect_only)

    def free_to_bind(self, proto: int) -> int:
        """How many ports of the range bind(2) to port 0 could give a socket on 0.0.0.0."""
        table = self.tcp if proto == IPPROTO_TCP else everything(self.snapshot, proto)
        entry = table.open(AF_INET, 0)
        return sum(1 for port in self.ports if not _taken(table, entry, port))

    @cached_property
    def destinations(self) -> tuple[Destination, ...]:
        """Every way that connections of this host have taken, the one with the fewest ports left first."""
        low, high = self.range
        ways: dict[tuple[int, int, int], list[Socket]] = {}
        for each in self.snapshot.sockets:
            if each.proto == IPPROTO_TCP and each.rport and low <= each.lport <= high and self._chosen(each):
                ways.setdefault((each.laddr, each.raddr, each.rport), []).append(each)
        found = [self._destination(*way, taken) for way, taken in ways.items()]
        return tuple(sorted(found, key=lambda each: (each.left, each.text)))

    def _chosen(self, socket: Socket) -> bool:
        """Whether connect(2) will have chosen the port."""
        bucket = self.tcp.ports.get(socket.lport)
        return bucket is None or bucket.connect_only

    def _destination(self, source: int, address: int, port: int, taken: list[Socket]) -> Destination:
        found = Destination(
            source=source,
            address=address,
            port=port,
            used=len(taken),
            time_wait=sum(1 for each in taken if each.state == TIME_WAIT),
            left=self.left(source, address, port),
        )
        return replace(found, remedies=tuple(self._remedies(found)))

    def left(self, source: int, address: int, port: int, settings: Settings | None = None) -> int:
        """How many more connections connect(2) could make that way, by the rules by which it chooses.

        Args: settings: sysctls to try; the host's own if None.
        """
        settings = settings or self.settings
        low, high = settings.ip_local_port_range
        entry = self.tcp.open(AF_INET if ip.is_v4(source) else AF_INET6, 0)
        entry.laddr, entry.raddr, entry.rport = source, address, port
        free = 0
        for each in range(low, high + 1):
            bucket = self.tcp.ports.get(each)
            if each in settings.ip_local_reserved_ports or (bucket is not None and not bucket.connect_only):
                continue
            other = None if bucket is None else ephemeral.same_connection(self.tcp, entry, each)
            free += other is None or (isinstance(other.owner, Socket) and may_take_over(other.owner, settings))
        return free

    def _remedies(self, way: Destination) -> Iterator[Remedy]:
        """What would leave more ports that way, each tried by the same rules."""
        wider = replace(self.settings, ip_local_port_range=(NARROWEST, MAX_PORT))
        gain = self.left(way.source, way.address, way.port, wider) - way.left
        if gain > 0:
            yield Remedy("range", gain, f"net.ipv4.ip_local_port_range = {NARROWEST} {MAX_PORT}: {gain} more")
        if self.settings.tcp_tw_reuse != 1:
            reusing = replace(self.settings, tcp_tw_reuse=1)
            gain = self.left(way.source, way.address, way.port, reusing) - way.left
            if gain > 0:
                yield Remedy(
                    "tw_reuse", gain, f"net.ipv4.tcp_tw_reuse = 1: {gain} in TIME-WAIT could be taken over now"
                )
        other = self._another_source(way)
        if other is not None:
            gain = self.left(other, way.address, way.port)
            yield Remedy("source", gain, f"from another address of this host, {ip.text(other)}: {gain} more")
        gain = self.left(way.source, way.address, way.port + 1 if way.port < MAX_PORT else way.port - 1)
        yield Remedy("destination", gain, f"to another address or port of the server: {gain} more for each")
        if way.time_wait:
            yield Remedy("server-closes", way.time_wait,
                         f"let the server close first: the {way.time_wait} in TIME-WAIT would be there")  # fmt: skip
        yield Remedy("pool", way.used, "keep connections and use them again: a pool needs as many as are busy at once")

    def _another_source(self, way: Destination) -> int | None:
        """An address of the same kind: one of loopback for loopback, an outer one for others."""
        family = ip.family_of(way.source)
        if way.source >> 24 == 0xFFFF7F:
            return way.source + 1
        for interface in self.snapshot.interfaces:
            for each in interface.addresses:
                outer = not ip.is_loopback(each.address) and not ip.is_link_local(each.address)
                other = each.address != way.source and ip.family_of(each.address) == family
                if interface.flags & IFF_UP and outer and other:
                    return each.address
        return None

    @property
    def lines(self) -> tuple[str, ...]:
        """The usage for a person: the range, then the ways that are used most."""
        low, high = self.range
        usual = ", ".join(f"{each} on {SYSTEMS[each.name]}" for each in EPHEMERAL)
        waiting = [each for each in self.snapshot.sockets if each.state == TIME_WAIT and each.proto == IPPROTO_TCP]
        reuse = self.settings.tcp_tw_reuse
        found = [
            f"range {low}-{high}: {high - low + 1} ports, {self.reserved} of them reserved (usual: {usual})",
            f"held by bind, for no connection: {self.held}; left for bind to port 0: "
            f"{self.free_to_bind(IPPROTO_TCP)} TCP, {self.free_to_bind(IPPROTO_UDP)} UDP",
            f"in TIME-WAIT: {len(waiting)} ({TIME_WAIT_LASTS // SECOND} s each; tcp_tw_reuse = {reuse})",
        ]
        for each in self.destinations:
            share = 100 * (len(self.ports) - each.left) // max(len(self.ports), 1)
            waits = f"{each.time_wait} of them in TIME-WAIT"
            found.append(f"{each.text}: {each.used} used, {waits}; {each.left} left ({share}% taken)")
            if share >= 50 or not each.left:
                found += [f"  would help: {remedy.sentence}" for remedy in each.remedies]
        return tuple(found)

    def json(self) -> Json:
        """What `portside ephemeral --json` prints."""
        return {
            "range": list(self.range),
            "reserved": self.reserved,
            "held": self.held,
            "free_to_bind": {"tcp": self.free_to_bind(IPPROTO_TCP), "udp": self.free_to_bind(IPPROTO_UDP)},
            "tcp_tw_reuse": self.settings.tcp_tw_reuse,
            "destinations": [
                {
                    "source": ip.text(each.source),
                    "address": ip.text(each.address),
                    "port": each.port,
                    "used": each.used,
                    "time_wait": each.time_wait,
                    "left": each.left,
                    "remedies": [
                        {"name": remedy.name, "gain": remedy.gain, "sentence": remedy.sentence}
                        for remedy in each.remedies
                    ],
                }
                for each in self.destinations
            ],
        }


def _taken(table: SocketTable, entry: Entry, port: int) -> bool:
    """Whether bind(2) to port 0 passes a port over."""
    bucket = table.ports.get(port)
    if bucket is None:
        return False
    if table.proto != IPPROTO_TCP:
        return conflict.udp_taken(bucket, entry)
    return next(conflict.tcp_in_way(bucket, entry, False, False), None) is not None


def free_ports(
    snapshot: Snapshot, proto: int = IPPROTO_TCP, first: int = FIRST_FREE, last: int = MAX_PORT, uid: int = 0
) -> Iterator[int]:
    """Ports that a server without any option could bind and listen on, on every address of both families.

    Those of the ephemeral range come last, for connections may take them at any time; those that are reserved or
    have a registered service are left out. Args: uid: who would bind.
    """
    place = Place(snapshot, Caller.user(uid))
    low, high = snapshot.settings.ip_local_port_range
    protocol = "tcp" if proto == IPPROTO_TCP else "udp"
    held = {each.lport for each in snapshot.sockets if each.proto == proto}
    candidates = [port for port in range(first, last + 1) if port not in snapshot.settings.ip_local_reserved_ports]
    for port in sorted(candidates, key=lambda each: low <= each <= high):
        if port in held or services.by_port(port, protocol) is not None:
            continue
        if all(decide(place, each) for each in _everywhere(port, proto)):
            yield port


def _everywhere(port: int, proto: int) -> Iterable[Attempt]:
    yield Attempt(address=ip.V4_ANY, port=port, proto=proto)
    yield Attempt(address=ip.V6_ANY, port=port, proto=proto, family=AF_INET6)
