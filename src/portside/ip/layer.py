"""The IP layer of one host: packets down to the links, packets up to the protocols (RFC 1122 section 3, RFC 1812)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from portside.facts.settings import Settings
from portside.facts.verdict import Verdict
from portside.ip.firewall import Firewall
from portside.ip.interface import LOOPBACK_INDEX, LOOPBACK_MTU, Interface
from portside.ip.neighbor import NeighborTable
from portside.ip.route import LOCAL, UNICAST, Route, RouteEntry, RouteTable
from portside.wire.packet import Packet


class IpEffects(Protocol):
    """What the IP layer asks of the host that it is part of."""

    @property
    def now(self) -> int:
        """The virtual time, ns."""

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        """Call `action(*arguments)` at virtual time `when`."""

    def deliver(self, packet: Packet, interface: Interface) -> None:
        """Take a whole packet for this host, past the INPUT hook: `interface` is where sockets see it arrive.

        May send: what it sends to this host itself waits in the backlog.
        """

    def icmp_error(self, packet: Packet, interface: Interface | None, type: int, code: int, extra: int) -> None:
        """Answer a packet with an ICMP error, as `icmp.Icmp.error` does.

        Args: interface: where the packet came in; None when a socket of this host sent it. type, code: of ICMP for an
        IPv4 packet, of ICMPv6 for an IPv6 one. extra: the next-hop MTU of "fragmentation needed" or "packet too big".
        """

    def tcp_reset(self, packet: Packet, interface: Interface | None) -> None:
        """Answer a TCP segment with the reset that a closed port sends: the filter rejects it so."""


Trace = Callable[[str, Packet, Interface | None, object], None]
"""`trace(kind, packet, interface, verdict)`: kind is `send`, `receive`, `deliver`, `forward`, `drop` or `reject`."""


class IpLayer:
    """Interfaces, routes, neighbours, fragments and the filter of one host, and a packet's way through them.

    `lo` is there from the start with 127.0.0.1/8 and ::1/128. `trace` is None, or called for every packet.
    """

    def __init__(self, settings: Settings, effects: IpEffects, *, host_number: int = 0) -> None:
        self.settings = settings
        self.effects = effects
        self.host_number = host_number  # makes link addresses differ between hosts
        self.routes = RouteTable()
        self.firewall = Firewall()
        self.backlog: deque[tuple[Packet, Interface]] = deque()
        self.interfaces: dict[int, Interface] = {}
        self.trace: Trace | None = None
        self.lo = Interface(LOOPBACK_INDEX, "lo", mtu=LOOPBACK_MTU, loopback=True)

    # -- configuration: ip-link(8), ip-address(8), ip-route(8) --

    def add_interface(self, name: str, *, mtu: int = 1500, link_address: int = 0) -> Interface:
        """Add an interface with the next index, up, with its IPv6 link-local address; plug it in with `interface.link`.

        What arrives on it goes to `self.arrives` (`interface.receiver`, which the host may replace).
        """
        raise NotImplementedError

    def interface_named(self, name: str) -> Interface | None:
        """The interface of that name (if_nametoindex(3))."""
        raise NotImplementedError

    def add_address(self, interface: Interface, address: int, prefix_length: int) -> int:
        """Give an interface an address, and the routes that come with it. Returns 0 or EEXIST, EINVAL."""
        raise NotImplementedError

    def remove_address(self, interface: Interface, address: int) -> int:
        """Take an address away, with its routes. Returns 0 or EADDRNOTAVAIL."""
        raise NotImplementedError

    def add_route(
        self, prefix: int, prefix_length: int, *, via: int = 0, interface: Interface | None = None, kind: int = UNICAST,
        metric: int = 0, source: int = 0, mtu: int = 0,
    ) -> int:  # fmt: skip
        """Add a route (`ip route add`). Returns 0, or EEXIST, ENETUNREACH (the gateway is on no link), EINVAL, ENETDOWN."""
        raise NotImplementedError

    def remove_route(self, prefix: int, prefix_length: int, *, metric: int = 0) -> int:
        """Remove a route (`ip route del`). Returns 0 or ESRCH."""
        raise NotImplementedError

    def set_up(self, interface: Interface, up: bool) -> None:
        """Set an interface up or down (`ip link set`): down, its routes go, and its IPv6 addresses."""
        raise NotImplementedError

    def set_mtu(self, interface: Interface, mtu: int) -> None:
        """Set the MTU of an interface, bytes of IP packet."""
        raise NotImplementedError

    # -- questions --

    def is_local(self, address: int, device: int = 0) -> bool:
        """Whether the address is one of this host's (of `device`, if not 0): all of 127.0.0.0/8 is."""
        return self.routes.kind_of(address, device) == LOCAL

    def kind_of(self, address: int, device: int = 0) -> int:
        """What an address is to this host: route.LOCAL, BROADCAST, MULTICAST or UNICAST (inet_addr_type)."""
        return self.routes.kind_of(address, device)

    def lookup(self, dst: int, src: int = 0, oif: int = 0) -> Route | Verdict:
        """The route to a destination, with its source address: see `RouteTable.lookup`."""
        return self.routes.lookup(dst, src, oif)

    # -- down --

    def send(self, packet: Packet, route: Route) -> int:
        """Send a packet of a socket of this host by a route that was looked up for it.

        `packet.src` and `packet.dst` are set. Returns 0, or EPERM (the OUTPUT filter drops it), EMSGSIZE (larger than
        the MTU and must not be fragmented), ENETDOWN. To a local destination: it waits in the backlog.
        Source: ip_local_out, ip_output, __ip_append_data; ip6_xmit.
        """
        raise NotImplementedError

    # -- up --

    def arrives(self, packet: Packet, interface: Interface) -> None:
        """A packet comes from a link: `receive` it, then run the backlog."""
        self.receive(packet, interface)
        self.run_backlog()

    def receive(self, packet: Packet, interface: Interface) -> None:
        """Take a packet from a link: drop what is not valid, deliver what is for this host, forward the rest.

        Source: ip_rcv, ip_route_input, ip_forward; ip6_input, ip6_forward.
        """
        raise NotImplementedError

    def run_backlog(self) -> None:
        """Deliver what this host sent to itself, until nothing is left: loopback's softirq.

        Call it at the end of each system call, timer and arrival, never from within `effects.deliver`.
        """
        raise NotImplementedError


_ = (NeighborTable, RouteEntry)
