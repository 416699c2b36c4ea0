"""From where each listener of a Snapshot can be reached: this machine only, which network, everywhere, or nowhere.

What is said is what this machine does with a connection that arrives: routers and filters elsewhere are not known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, SOCK_RAW
from portside.addr.kind import kind_of
from portside.explain import packet_filter
from portside.explain.browsing import scheme_of
from portside.explain.packet_filter import DIVERTED, DROPPED, OPEN, REJECTED, UNKNOWN, Asked, Piece, Range
from portside.explain.place import Place, Prefix
from portside.explain.ranges import merged, ranges_text, size, without
from portside.facts.interface import IFF_LOOPBACK, IFF_NOARP, IFF_POINTOPOINT, IFF_UP, Interface
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket
from portside.facts.state import CLOSED, LISTEN
from portside.sockets.conflict import families_met

MACHINE: Final = "machine"
NETWORK: Final = "network"
EVERYWHERE: Final = "everywhere"
NOWHERE: Final = "nowhere"
PARTLY: Final = "partly"

FAMILY_NAMES: Final = {AF_INET: "IPv4", AF_INET6: "IPv6"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One way to a listener: an address to call, and the interface by which the call comes in.

    `interface` is `lo` for calls from this machine itself. `direct` is false for an address of another interface, or of
    none: it is reached only by whoever has a route to it by way of this machine. `verdict` is OPEN, PARTLY (then
    `sources` are those that pass, and `doubted` tells that of the others a rule decides that can't be foreseen),
    DROPPED, REJECTED, DIVERTED or UNKNOWN; `because` is the rule that says so.
    """

    interface: str
    address: int
    networks: tuple[Prefix, ...] = ()
    direct: bool = True
    verdict: str = OPEN
    sources: tuple[Range, ...] = ()
    because: str = ""
    doubted: bool = False

    @property
    def passes(self) -> bool:
        """Whether somebody certainly comes through."""
        return self.verdict in (OPEN, PARTLY)

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return ip.family_of(self.address)

    @property
    def kept_out(self) -> tuple[Range, ...]:
        """Who does not pass by a door that is PARTLY open, if those are few beside the others; else nothing."""
        if self.verdict != PARTLY:
            return ()
        everybody = packet_filter.sources(self.address)
        out = without(everybody, self.sources)
        return out if size(out) < size(self.sources) else ()

    @property
    def open_to_most(self) -> bool:
        """Whether everybody passes, or all but some who can be named."""
        return self.verdict == OPEN or bool(self.kept_out)


@dataclass(frozen=True)
class Exposure:
    """A listener, and from where it can be reached. `doors` are those of this machine and those of its networks."""

    socket: Socket
    snapshot: Snapshot
    doors: tuple[Door, ...]

    @property
    def families(self) -> tuple[int, ...]:
        """Which of AF_INET and AF_INET6 it answers. One whose IPV6_V6ONLY could not be read is taken for both."""
        return families_met(self.socket.family, self.socket.laddr, bool(self.socket.v6only))

    @property
    def families_words(self) -> str:
        """`IPv4`, `IPv6` or `IPv4 and IPv6`."""
        both = " and ".join(FAMILY_NAMES[family] for family in self.families)
        unread = self.socket.v6only is None and len(self.families) == 2
        return "IPv6, perhaps IPv4" if unread else both

    @property
    def wildcard(self) -> bool:
        """Whether it is bound to every address."""
        return ip.is_any(self.socket.laddr)

    @property
    def inner(self) -> tuple[Door, ...]:
        """The doors for this machine itself."""
        return tuple(door for door in self.doors if door.interface == "lo")

    @property
    def outer(self) -> tuple[Door, ...]:
        """The doors for the networks, without those of other interfaces' addresses."""
        return tuple(door for door in self.doors if door.interface != "lo" and door.direct)

    @cached_property
    def reach(self) -> str:
        """MACHINE, NETWORK, EVERYWHERE, NOWHERE, or UNKNOWN where a rule of the filter could not be read, or nothing
        but the sockets of the network namespace."""
        if not self.snapshot.entered:
            return UNKNOWN
        outer = self.outer
        through = [door for door in outer if door.passes]
        if not through:
            if any(door.verdict == UNKNOWN for door in outer):
                return UNKNOWN
            if any(door.passes for door in self.inner):
                return EVERYWHERE if self.wildcard and not outer and not self.socket.device else MACHINE
            return UNKNOWN if any(door.verdict == UNKNOWN for door in self.inner) else NOWHERE
        everybody = bool(self._families_for_all)
        if everybody and not self.socket.device and (self.wildcard or _is_public(self.socket.laddr)):
            return EVERYWHERE
        return NETWORK

    @cached_property
    def _families_for_all(self) -> tuple[int, ...]:
        """The families over which it answers (nearly) everybody, whichever way they come in: all, or else the one that
        the filter lets in by every interface."""
        families = tuple(dict.fromkeys(door.family for door in self.outer))
        through = tuple(
            family for family in families if all(door.open_to_most for door in self.outer if door.family == family)
        )
        if through == families:
            return families
        ways = {door.interface for door in self.doors if door.interface != "lo"}
        passed = {door.interface for door in self.doors if door.family in through and door.open_to_most}
        return through if ways <= passed else ()

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """The networks from which it is reached, with their interface: `192.168.1.0/24 (eth0)`."""
        found = []
        for door in self.outer:
            if door.open_to_most:
                found += [f"{_prefix_text(each)} ({door.interface})" for each in door.networks]
            elif door.verdict == PARTLY:
                found += [f"{each} ({door.interface})" for each in ranges_text(door.sources)]
        return tuple(dict.fromkeys(found))

    @property
    def filter_read(self) -> bool:
        """Whether the packet filter could be read, all of it: if not, it may keep out who is said to come through."""
        return not any("packet filter" in each.what for each in self.snapshot.missing)

    @property
    def words(self) -> str:
        """From where, for a person."""
        if self.reach in (EVERYWHERE, NETWORK) and self.outer and not self.filter_read:
            return f"{self._words}, if the packet filter lets it (it could not be read)"
        return self._words

    @property
    def _words(self) -> str:
        if self.reach == MACHINE:
            return "this machine only" + self._shut_words()
        if self.reach == NETWORK:
            return self._network_words() + self._shut_words()
        if not self.snapshot.entered:
            return "unknown: only root may look into that network namespace"
        if self.reach == UNKNOWN:
            rule = next(door.because for door in (*self.outer, *self.inner) if door.verdict == UNKNOWN)
            return f"unknown: it depends on a rule of the filter that could not be read: {rule}"
        if self.reach == NOWHERE:
            if not self.doors:
                return "nowhere: no interface has the address, or none is up"
            return "nowhere" + self._shut_words()
        if not self.outer:
            return "everywhere, but this machine is on no network"
        over = self._families_for_all
        alone = f", over {FAMILY_NAMES[over[0]]} alone" if {door.family for door in self.outer} != set(over) else ""
        return "everywhere" + alone + self._but_words() + (self._shut_words() if alone else "")

    def _network_words(self) -> str:
        """The networks on whose link it is; beside them, whoever has a route comes through as well."""
        routed = any(door.open_to_most and not ip.needs_scope(door.address) for door in self.outer)
        if not routed:
            return f"this network only: {', '.join(self.networks)}"
        return f"this network: {', '.join(self.networks)}, and who has a route to it" + self._but_words()

    @cached_property
    def kept_out(self) -> tuple[str, ...]:
        """The sources that the filter keeps out, where it lets in most; with the interface where it is not the same by
        all of them."""
        found: list[str] = []
        for door in (each for each in self.outer if each.kept_out):
            beside = [each.kept_out for each in self.outer if each.family == door.family and each.open_to_most]
            where = "" if all(each == door.kept_out for each in beside) else f" ({door.interface})"
            found += [each + where for each in ranges_text(door.kept_out)]
        return tuple(dict.fromkeys(found))

    def _but_words(self) -> str:
        if not self.kept_out:
            return ""
        door = next(each for each in self.outer if each.kept_out)
        perhaps = "perhaps " if door.doubted else ""
        return f", but {perhaps}for {', '.join(self.kept_out)} ({door.because})"

    def _shut_words(self) -> str:
        """What the filter keeps out, and by which rule."""
        doing = {DROPPED: "drops", REJECTED: "rejects", DIVERTED: "sends elsewhere", PARTLY: "keeps out"}
        shut = [door for door in self.doors if door.verdict in doing and door.direct and not door.kept_out]
        said = dict.fromkeys(
            f"over the rest a rule decides that can't be foreseen ({door.because})"
            if door.doubted
            else f"the filter {doing[door.verdict]} the rest ({door.because})"
            for door in shut
        )
        return "".join(f"; {each}" for each in list(said)[:1])

    @property
    def calls(self) -> tuple[str, ...]:
        """What to type to reach it, from this machine first: a URL where browsers are used, else address and port."""
        found = [door for door in self.inner if door.passes][:1] + [door for door in self.outer if door.passes]
        return tuple(dict.fromkeys(self._call(door) for door in found))

    def _call(self, door: Door) -> str:
        v4 = ip.is_v4(door.address)
        zone = f"%{door.interface}" if ip.needs_scope(door.address) else ""
        host = ip.text(door.address) if v4 else f"[{ip.text(door.address)}{zone}]"
        scheme = scheme_of(self.socket, self.snapshot.processes)
        if not scheme or zone:  # browsers take no zones
            return f"{host}:{self.socket.lport}"
        usual = {"http": 80, "https": 443}[scheme] == self.socket.lport
        return f"{scheme}://{host}/" if usual else f"{scheme}://{host}:{self.socket.lport}/"


def is_listener(socket: Socket) -> bool:
    """Whether the socket takes what anybody sends: a TCP listener, or a UDP socket with a port and without a peer."""
    if socket.proto == IPPROTO_TCP:
        return socket.state == LISTEN
    return socket.state == CLOSED and socket.bound and bool(socket.lport) and socket.type != SOCK_RAW


def listeners(snapshot: Snapshot) -> tuple[Socket, ...]:
    """The listeners of the snapshot's own network namespace."""
    return tuple(filter(is_listener, snapshot.sockets))


def exposures(snapshot: Snapshot, sockets: Iterable[Socket] | None = None) -> tuple[Exposure, ...]:
    """From where each listener can be reached. Args: sockets: those to look at; all listeners if None."""
    place = Place(snapshot)
    return tuple(exposure(place, each) for each in (listeners(snapshot) if sockets is None else sockets))


def exposure(place: Place, socket: Socket) -> Exposure:
    """From where one listener can be reached."""
    doors = [*_inner_doors(place, socket), *_outer_doors(place, socket)]
    return Exposure(socket, place.snapshot, tuple(doors))


def _answers(place: Place, socket: Socket) -> tuple[int, ...]:
    """The addresses of the host that it answers: its own, or all of its families."""
    if not ip.is_any(socket.laddr):
        return (socket.laddr,)
    families = families_met(socket.family, socket.laddr, bool(socket.v6only))
    up = (each.address for interface, each in place.addresses if interface.flags & IFF_UP)
    return tuple(dict.fromkeys(each for each in up if ip.family_of(each) in families))


def _inner_doors(place: Place, socket: Socket) -> list[Door]:
    loopback = next((each for each in place.snapshot.interfaces if each.flags & IFF_LOOPBACK), None)
    if loopback is None or not loopback.flags & IFF_UP:
        return []
    found = []
    for address in sorted(_answers(place, socket), key=lambda each: not ip.is_loopback(each)):
        scoped = ip.is_link_local(address) and not ip.is_v4(address)
        if ip.is_multicast(address) or scoped or not place.is_local_address(address, 0):
            continue
        if socket.device and socket.device != _arrives_by(place, address, loopback):
            continue
        loop = ip.V4_LOOPBACK if ip.is_v4(address) else ip.V6_LOOPBACK
        wild = ip.is_any(socket.laddr) and not socket.device
        asked = Asked(socket.proto, address, socket.lport, any_address=wild, redirected=loop)
        source = ip.V4_LOOPBACK if address >> 24 == 0xFFFF7F else address
        pieces = packet_filter.from_here(place.snapshot.chains, asked, source)
        verdict, _, because, _ = _sum_up(pieces)
        found.append(Door(interface="lo", address=address, verdict=verdict, because=because))
    return found


def _arrives_by(place: Place, address: int, loopback: Interface) -> int:
    """The index of the interface by which a packet of this machine to itself comes in: the one that has the address,
    as far as sockets that are bound to a device are concerned (inet_iif)."""
    own = (interface.index for interface, each in place.addresses if each.address == address)
    return next(own, loopback.index)


def _outer_doors(place: Place, socket: Socket) -> list[Door]:
    found = []
    addresses = [each for each in _answers(place, socket) if not ip.is_loopback(each) and not ip.is_multicast(each)]
    for interface in place.snapshot.interfaces:
        if interface.flags & IFF_LOOPBACK or not interface.flags & IFF_UP:
            continue
        if socket.device and socket.device != interface.index:
            continue
        for address in addresses:
            networks = _networks(interface, address)
            if not place.is_local_address(address, 0) or (not networks and ip.needs_scope(address)):
                continue
            if ip.needs_scope(address) and socket.scope and socket.scope != interface.index:
                continue
            first = next((e.address for e in interface.addresses if ip.is_v4(e.address) == ip.is_v4(address)), 0)
            wild = ip.is_any(socket.laddr)
            asked = Asked(
                socket.proto, address, socket.lport, interface.name, any_address=wild, redirected=first
            )  # fmt: skip
            discovered = not interface.flags & (IFF_NOARP | IFF_POINTOPOINT)
            pieces = packet_filter.from_outside(place.snapshot.chains, asked, discovered=discovered)
            verdict, sources, because, doubted = _sum_up(pieces)
            found.append(
                Door(
                    interface=interface.name,
                    address=address,
                    networks=networks,
                    direct=bool(networks),
                    verdict=verdict,
                    sources=sources,
                    because=because,
                    doubted=doubted,
                )
            )
    return found


def _networks(interface: Interface, address: int) -> tuple[Prefix, ...]:
    """The networks of the interface on which it has that address."""
    return tuple(
        (ip.prefix_of(each.address, each.prefix_length), each.prefix_length)
        for each in interface.addresses
        if each.address == address
    )


def _sum_up(pieces: list[Piece]) -> tuple[str, tuple[Range, ...], str, bool]:
    """One verdict for all sources, those that pass where it is PARTLY, what keeps the others out, and whether that is
    in doubt."""
    verdicts = {piece.verdict for piece in pieces}
    shut = [piece for piece in pieces if piece.verdict not in (OPEN, UNKNOWN)]
    doubted = [piece for piece in pieces if piece.verdict == UNKNOWN]
    if verdicts == {OPEN}:
        return OPEN, (), "", False
    if OPEN in verdicts:
        through = merged(piece.box.addresses for piece in pieces if piece.verdict == OPEN)
        everybody = through == merged(piece.box.addresses for piece in pieces)  # but for some of their ports
        if everybody:
            return OPEN, (), "", False
        most = max(shut + doubted, key=_width)
        return PARTLY, through, most.because, most.verdict == UNKNOWN
    if doubted:
        return UNKNOWN, (), doubted[0].because, False
    # Who is refused most often is the rule, in the number of sources that it keeps out.
    widest = max(shut, key=_width)
    return widest.verdict, (), widest.because, False


def _width(piece: Piece) -> int:
    return piece.box.addresses[1] - piece.box.addresses[0]


def _is_public(address: int) -> bool:
    return kind_of(address).name == "public address"


def _prefix_text(prefix: Prefix) -> str:
    return f"{ip.text(prefix[0])}/{prefix[1]}"
