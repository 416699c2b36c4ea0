"""A network of simulated hosts: what a test or an experiment builds, runs and looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from portside.addr.ip import V4_PREFIX, family_of, prefix_of, text
from portside.facts.verdict import Verdict
from portside.ip.firewall import Chain
from portside.ip.interface import Interface
from portside.lab.dns import Dns
from portside.lab.environment import separate
from portside.lab.errors import LabError, ProgramFailed, about, near
from portside.lab.host import Host
from portside.lab.interrupt import interruptible
from portside.lab.output import Output
from portside.runtime.switches import Switches
from portside.sim import clock, faults
from portside.sim.network import DEFAULT_QUEUE
from portside.sim.network import Link as Wire
from portside.sim.scheduler import Scheduler
from portside.sim.trace import Trace

if TYPE_CHECKING:
    from portside.host.file import World
    from portside.lab.program import Program
    from portside.sim.faults import Fault
    from portside.wire.packet import Packet

Duration = float | str
End = Host | str | tuple[Host | str, str]
DEFAULT_LATENCY = "100us"


class Link:
    """A link between hosts, or a segment of many. `Network.link` and `Network.segment` make it; `wire`
    carries.
    """

    def __init__(self, network: Network, wire: Wire) -> None:
        self.network = network
        self.wire = wire
        self.name = wire.name

    @property
    def up(self) -> bool:
        """Whether it carries anything; set it to False to cut the link now."""
        return self.wire.up

    @up.setter
    def up(self, up: bool) -> None:
        self.network.trace.note("*", f"{self.name} {'up' if up else 'down'}")
        self.wire.up = up

    def add(self, fault: Fault, sender: End | None = None) -> None:
        """Add a fault of `portside.sim.faults`, for what one host sends or for all."""
        self.wire.add_fault(fault, None if sender is None else self._interface(sender))

    def remove(self, fault: Fault) -> None:
        """Remove a fault."""
        self.wire.remove_fault(fault)

    def loss(self, rate: float, sender: End | None = None) -> None:
        """Lose packets with probability `rate`."""
        self.add(faults.Loss(rate), sender)

    def cut(self, start: Duration = 0, end: Duration | None = None) -> None:
        """Carry nothing from one virtual time to another."""
        self.add(faults.Cut(start, end))

    def shape(
        self,
        sender: End,
        *,
        latency: Duration | None = None,
        bandwidth: Duration | None = None,
        queue: int | str | None = None,
    ) -> None:
        """Set what applies to one host's direction only."""
        port = self.wire.port_of(self._interface(sender))
        if latency is not None:
            port.latency = clock.duration(latency)
        if bandwidth is not None:
            port.bandwidth = clock.bandwidth(bandwidth)
        if queue is not None:
            port.queue = clock.size(queue)

    def _interface(self, end: End) -> Interface:
        host, name = self.network.end(end)
        here = [port.interface for port in self.wire.ports if port.interface in host.interfaces()]
        for interface in here:
            if name in (None, interface.name):
                return interface
        raise LabError(f"{host.name} is not on {self.name}")

    def __repr__(self) -> str:
        return f"<Link {self.name}>"


class Network:
    """A world of hosts, links and programs, with one virtual time.

    `seed` decides all that is left to chance; the same seed gives the same run. `start` is what the wall
    clock shows at the beginning. What programs print appears on the standard output and error of the caller,
    with the host's name before each line where there are several hosts, unless `quiet`.
    """

    def __init__(
        self, seed: int = 0, *, start: float | str | datetime = "2020-01-01T00:00:00Z", quiet: bool = False,
        output: Output | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(seed, int):
            raise LabError(f"{seed!r} is no seed: it is a whole number", "seed")
        with about("start"):
            self.world = Scheduler(seed, clock.start(start))
        self.trace = Trace(self.world, self._switch_hooks)
        self.hosts: dict[str, Host] = {}
        self.links: list[Link] = []
        self.dns = Dns(self)
        self.assigned: set[int] = set()  # addresses that hosts have been given
        self._number = 0  # of the addresses that were given without being asked for
        self._plugged: dict[int, str] = {}  # link address -> name of the host
        self._owners: dict[tuple[Wire, int], Host] = {}  # of each address on each wire
        self._segments: dict[str, Link] = {}
        self._output = None if quiet else output or Output()
        self._failed: Program | None = None
        self.interrupted: Program | None = None  # who gets the first Ctrl-C; without one it stops the world
        self._check = True
        self.switches = Switches()

    # -- building --

    def host(
        self,
        name: str,
        *addresses: str,
        sysctls: Mapping[str, str | int | Iterable[int]] | None = None,
        forward: bool = False,
    ) -> Host:
        """Add a host with `lo` and these addresses.

        An address is `ADDR/PREFIX@INTERFACE`; the prefix is 24 or 64 bits and the interface eth0 unless
        given. Without any it gets 10.0.0.N/16 and fd00::N/64, the first free N. `forward` makes it a router.
        Raises LabError.
        """
        host = self.bare_host(name)
        for notation in addresses or self.next_addresses():
            host.add_address(notation)
        if forward:
            host.forward()
        host.sysctl.update(sysctls or {})
        return host

    def bare_host(self, name: str) -> Host:
        """Add a host that has `lo` and nothing else. Raises LabError."""
        from portside.host.kernel import Host as Machine

        if not isinstance(name, str):
            raise LabError(f'{name!r} is no name for a host: write text, such as "server"')
        if not name or name in self.hosts:
            raise LabError(f"there is a host {name!r} already" if name else "a host needs a name")
        if any(character.isspace() or character in "@/:|" for character in name):
            raise LabError(f"{name!r} is no name for a host: letters, digits, dots and hyphens")
        machine = Machine(name, cast("World", self.world), number=len(self.hosts) + 1)
        machine.resolver = self.dns
        host = self.hosts[name] = Host(self, machine)
        self._hook(host, self.trace.on)
        return host

    def link(
        self,
        one: End,
        other: End,
        *,
        latency: Duration = DEFAULT_LATENCY,
        bandwidth: Duration | None = None,
        mtu: int = 1500,
        loss: float = 0,
        queue: int | str = DEFAULT_QUEUE,
        name: str | None = None,
    ) -> Link:
        """Connect two hosts by a wire of their own.

        An end is a host, its name, or `NAME@INTERFACE`; without an interface, the first free ones that share a
        subnet are taken. `latency` is for each direction; `bandwidth` is bits per second or "100Mbit", unlimited
        unless given. Raises LabError.
        """
        pair = self._pair(one, other)
        names = " - ".join(f"{host.name}@{interface.name}" for host, interface in pair)
        wire = self._wire(name or names, latency, bandwidth, mtu, queue)
        return self._connect(wire, pair, loss)

    def segment(
        self,
        name: str,
        *ends: End,
        latency: Duration = DEFAULT_LATENCY,
        bandwidth: Duration | None = None,
        mtu: int = 1500,
        loss: float = 0,
        queue: int | str = DEFAULT_QUEUE,
    ) -> Link:
        """Connect any number of hosts by a shared segment, such as a switch makes; ends as for `link`.

        `bandwidth` is what each host can send. The segment named `lan` takes all interfaces that are
        connected to nothing else when the network runs.
        """
        if name in self._segments:
            raise LabError(f"there is a segment {name!r} already")
        pairs = [(host, self._free(host, wanted)) for host, wanted in map(self.end, ends)]
        link = self._connect(self._wire(name, latency, bandwidth, mtu, queue), pairs, loss)
        self._segments[name] = link
        return link

    def end(self, end: End) -> tuple[Host, str | None]:
        """The host that an end names, and the interface if it names one. LabError."""
        name = None
        if isinstance(end, tuple):
            end, name = end
        if isinstance(end, str):
            host, _, interface = end.partition("@")
            if host not in self.hosts:
                raise LabError(f"there is no host {host!r}: {near(host, self.hosts)}")
            return self.hosts[host], name or interface or None
        return end, name

    def next_addresses(self) -> tuple[str, str]:
        """The addresses that the next host gets which is given none."""
        while True:
            self._number += 1
            v4, v6 = V4_PREFIX | 10 << 24 | self._number, 0xFD << 120 | self._number
            if v4 not in self.assigned and v6 not in self.assigned:
                return f"{text(v4)}/16", f"{text(v6)}/64"

    def _wire(self, name: str, latency: Duration, bandwidth: Duration | None, mtu: int, queue: int | str) -> Wire:
        if not isinstance(mtu, int) or not 68 <= mtu <= 65535:
            raise LabError(f"{mtu!r} is no MTU: 68 to 65535 bytes (RFC 791), 1280 at least for IPv6", "mtu")
        with about("latency"):
            delay = clock.duration(latency)
        with about("bandwidth"):
            rate = 0 if bandwidth is None else clock.bandwidth(bandwidth)
        with about("queue"):
            room = clock.size(queue)
        wire = Wire(self.world, name, latency=delay, bandwidth=rate, mtu=mtu, queue=room)
        if self.trace.on:
            wire.tap = self._tap
        return wire

    def _connect(self, wire: Wire, ends: Iterable[tuple[Host, Interface]], loss: float) -> Link:
        for host, interface in ends:
            self._plug(wire, host, interface)
        link = Link(self, wire)
        if loss:
            with about("loss"):
                link.loss(loss)
        self.links.append(link)
        return link

    def _plug(self, wire: Wire, host: Host, interface: Interface) -> None:
        for each in interface.addresses:
            self.take_address(wire, host, each.address)
        wire.plug(interface)
        self._plugged[interface.link_address] = host.name
        host.machine.ip.set_mtu(interface, wire.mtu)

    def take_address(self, wire: Wire, host: Host, address: int) -> None:
        """Note who has an address on a wire. LabError if another host has it: which of the two answers, is chance."""
        owner = self._owners.get((wire, address))
        if owner is not None and owner is not host and address in owner.numbers():
            raise LabError(f"{host.name} and {owner.name} both have the address {text(address)} on {wire.name}")
        self._owners[wire, address] = host

    def _pair(self, one: End, other: End) -> list[tuple[Host, Interface]]:
        (first, first_name), (second, second_name) = self.end(one), self.end(other)
        if first is second:
            raise LabError(f"a link has two ends: {first.name} is given twice")
        for mine in self._candidates(first, first_name):
            for theirs in self._candidates(second, second_name):
                if _share_a_subnet(mine, theirs):
                    return [(first, mine), (second, theirs)]
        if first_name and second_name:
            return [(first, self._free(first, first_name)), (second, self._free(second, second_name))]
        raise LabError(
            f"{first.name} and {second.name} have no free interfaces on a common subnet: "
            f'give their addresses as "ADDR/PREFIX@eth1", or name the ends as "{first.name}@eth1"'
        )

    def _candidates(self, host: Host, name: str | None) -> list[Interface]:
        if name is not None:
            return [self._free(host, name)]
        return [interface for interface in host.interfaces() if interface.link is None]

    def _free(self, host: Host, name: str | None) -> Interface:
        free = self._candidates(host, None)
        if name is None:
            if not free:
                raise LabError(f"{host.name} has no free interface left: give it an address as ADDR/PREFIX@eth1")
            return free[0]
        interface = host.interface(name)
        if interface.link is not None:
            raise LabError(f"{host.name}@{name} is connected already")
        return interface

    def connect_the_rest(self, *hosts: Host) -> None:
        """Connect what interfaces are left, of these hosts or of all, to the segment `lan`; `run` does. LabError."""
        rest = [
            (host, interface)
            for host in hosts or self.hosts.values()
            for interface in host.interfaces()
            if interface.link is None
        ]
        if not rest:
            return
        if "lan" not in self._segments:
            self.segment("lan")
        for host, interface in rest:
            self._plug(self._segments["lan"].wire, host, interface)

    # -- running --

    @property
    def now(self) -> float:
        """Virtual time in seconds since the world began."""
        return self.world.now / clock.SECOND

    def at(self, when: Duration, action: Callable[..., object], *args: object) -> None:
        """Call `action(*args)` at a virtual time: to cut a link, say, or to kill a program."""
        self.world.at(clock.duration(when), partial(_discard, action), *args)

    def run(self, until: Duration | None = None, *, drain: Duration = 0, check: bool = True) -> None:
        """Run until all programs have ended that are not in the background, or until a virtual time.

        `drain` lets packets in flight arrive and timers go on for that long after the last program. Raises
        ProgramFailed as soon as a program fails, unless told not to `check`; Deadlock when everybody waits
        for ever. Networks that run in several threads run one after the other.
        """
        from portside.runtime.installation import in_turn, installed
        from portside.runtime.waiting import helped_from_outside

        self.world.helped = helped_from_outside
        self.connect_the_rest()
        if self._output is not None:
            self._output.hosts(list(self.hosts))
        self._check = check
        end = None if until is None else clock.duration(until)
        with (
            in_turn(), interruptible(self.world, self.interrupted), installed(), separate(), self.switches.apart(),
        ):  # fmt: skip
            self.world.run(end, clock.duration(drain))
        failed, self._failed = self._failed, None
        if failed is not None:
            raise ProgramFailed(failed) from failed.exception

    def close(self) -> None:
        """End the world: programs that still wait are ended."""
        from portside.runtime.installation import in_turn, installed

        if not self.world.closed:
            with in_turn(), installed(), separate(), self.switches.apart():
                self.world.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what programs tell --

    def wrote(self, program: Program, stream: str, data: bytes) -> None:
        """A program has written to `stdout` or `stderr`."""
        if self._output is not None:
            self._output.write(program.host.name, program, stream, data)

    def ended(self, program: Program) -> None:
        """A program has ended."""
        code = program.exit_code
        how = "ends" if code is None else f"ends by signal {-code}" if code < 0 else f"exits with {code}"
        self.trace.note(program.host.name, f"{program.name} {how}")
        if self._output is not None:
            self._output.end(program.host.name, program)
        if program.failed and program.checked and self._check and self._failed is None and not self.world.closed:
            self._failed = program
            self.world.halt()

    # -- hooks of the trace --

    def _switch_hooks(self, on: bool) -> None:
        for host in self.hosts.values():
            self._hook(host, on)
        for link in self.links:
            link.wire.tap = self._tap if on else None

    def _hook(self, host: Host, on: bool) -> None:
        host.machine.ip.trace = partial(self._ip_event, host.name) if on else None

    def _ip_event(self, host: str, kind: str, packet: Packet, interface: Interface, reason: object) -> None:
        """What links do not see: a host's packets to itself, and what it drops."""
        if kind == "drop":
            self.trace.packet(host, "drop", packet, interface, _words(reason))
        elif kind == "output" and interface.loopback:
            self.trace.packet(host, "send", packet, interface)

    def _tap(self, kind: str, packet: Packet, interface: Interface, reason: str) -> None:
        self.trace.packet(self._plugged[interface.link_address], kind, packet, interface, reason)


def _words(reason: object) -> str:
    """Why a packet was dropped, for the trace."""
    if isinstance(reason, Verdict):
        return reason.sentence
    return f"policy of {reason.hook}" if isinstance(reason, Chain) else str(reason)


def _discard(action: Callable[..., object], *args: object) -> None:
    """Run the person's own code: a timer comes up in the greenlet of whichever program waits, and is none of it."""
    from portside.runtime.trap import outside

    outside(action, *args)


def _share_a_subnet(one: Interface, other: Interface) -> bool:
    link_locals = (one.link_local(), other.link_local())
    for mine in one.addresses:
        for theirs in other.addresses:
            if mine.address in link_locals or theirs.address in link_locals:
                continue
            if family_of(mine.address) == family_of(theirs.address) and all(
                prefix_of(mine.address, length) == prefix_of(theirs.address, length)
                for length in (mine.prefix_length, theirs.prefix_length)
            ):
                return True
    return False
