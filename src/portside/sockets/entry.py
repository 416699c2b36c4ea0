"""One row of a socket table: what bind(2), listen(2), connect(2) and a packet's lookup know of a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.addr.ip import V4_ANY, V6_ANY
from portside.facts.state import CLOSED, NAMES

if TYPE_CHECKING:
    from portside.sockets.bucket import AddressBucket, Kind
    from portside.sockets.reuseport import Group

PROTOCOLS = {IPPROTO_TCP: "TCP", IPPROTO_UDP: "UDP", IPPROTO_UDPLITE: "UDP-Lite"}


class Entry:
    """A socket, a connection request, or a TIME-WAIT.

    The host may read everything. It sets `owner`, `state` (LISTEN, TIME-WAIT and CLOSED are set by the table's
    calls), and the options that no table depends on: `freebind`, `transparent`, `bind_address_no_port`,
    `port_range`. After setting `reuseaddr`, `reuseport`, `uid` or `v6only` it calls `SocketTable.option_changed`;
    `device` is `SocketTable.set_device`'s; addresses and ports are set by the calls.
    """

    __slots__ = (
        "address_explicit",
        "bind_address_no_port",
        "connect_bound",
        "created",
        "device",
        "family",
        "freebind",
        "group",
        "hashed",
        "home",
        "kind",
        "laddr",
        "lport",
        "newer",
        "older",
        "order",
        "owner",
        "place",
        "port_explicit",
        "port_range",
        "proto",
        "raddr",
        "reuseaddr",
        "reuseport",
        "rport",
        "saddr",
        "sport",
        "stale_peer",
        "state",
        "time_wait",
        "transparent",
        "twin",
        "uid",
        "v6only",
    )

    def __init__(self, proto: int, family: int, uid: int = 0, owner: object = None, created: int = 0) -> None:
        """A socket as socket(2) makes it: CLOSED, unbound, no option set.

        Args:
            proto: IPPROTO_TCP, IPPROTO_UDP or IPPROTO_UDPLITE.
            family: AF_INET or AF_INET6.
            uid: effective uid of the process that makes it (`sk_uid`).
            owner: whatever the host wants to find again; never looked into.
            created: its place in the order of creation.
        """
        self.proto = proto
        self.family = family
        self.uid = uid
        self.owner = owner
        self.created = created
        wildcard = V4_ANY if family == AF_INET else V6_ANY
        self.laddr = wildcard  # inet_rcv_saddr: where packets must be sent to
        self.saddr = wildcard  # inet_saddr: the source of what it sends; the wildcard means "by the route"
        self.raddr = wildcard
        self.lport = 0  # inet_num: the port it holds
        self.sport = 0  # inet_sport: the port in its name, which outlives the hold on it
        self.rport = 0
        self.device: int = 0  # SO_BINDTODEVICE, or the scope of a link-local address: interface index
        self.state = CLOSED
        self.v6only = False
        self.reuseaddr: bool = False
        self.reuseport: bool = False
        self.freebind = False  # IP_FREEBIND
        self.transparent = False  # IP_TRANSPARENT
        self.bind_address_no_port = False  # IP_BIND_ADDRESS_NO_PORT
        self.port_range: tuple[int, int] | None = None  # IP_LOCAL_PORT_RANGE; a 0 leaves that end as it is
        self.address_explicit = False  # SOCK_BINDADDR_LOCK: bind(2) named an address
        self.port_explicit = False  # SOCK_BINDPORT_LOCK: bind(2) named a port
        self.connect_bound = False  # SOCK_CONNECT_BIND: connect(2) chose the port
        self.time_wait = False  # all that is left of a connection: TIME-WAIT, or an orphan's FIN-WAIT-2
        self.stale_peer = 0  # AF_INET6 UDP: whom it was connected to; see `datagram.disconnect`
        # The table's own.
        self.hashed = 0  # order in which sockets of this table got their port
        self.order = 0  # place among the receivers on one address and port: the highest is asked first
        self.home: AddressBucket | None = None
        self.kind: Kind | None = None
        self.newer: Entry | None = None  # neighbours among the holders of the same kind
        self.older: Entry | None = None
        self.place: tuple[int, ...] | None = None  # UDP: where its first connection put it; see datagram.py
        self.twin: Entry | None = None  # the next older connection with the same addresses and ports
        self.group: Group | None = None  # its SO_REUSEPORT group

    def copy(self) -> Entry:
        """Another entry with the same values, the table's own among them."""
        other = Entry(self.proto, self.family, self.uid, self.owner, self.created)
        other.address_explicit = self.address_explicit
        other.bind_address_no_port = self.bind_address_no_port
        other.connect_bound = self.connect_bound
        other.device = self.device
        other.freebind = self.freebind
        other.group = self.group
        other.hashed = self.hashed
        other.home = self.home
        other.kind = self.kind
        other.laddr = self.laddr
        other.lport = self.lport
        other.newer = self.newer
        other.older = self.older
        other.order = self.order
        other.place = self.place
        other.port_explicit = self.port_explicit
        other.port_range = self.port_range
        other.raddr = self.raddr
        other.reuseaddr = self.reuseaddr
        other.reuseport = self.reuseport
        other.rport = self.rport
        other.saddr = self.saddr
        other.sport = self.sport
        other.stale_peer = self.stale_peer
        other.state = self.state
        other.time_wait = self.time_wait
        other.transparent = self.transparent
        other.twin = self.twin
        other.v6only = self.v6only
        return other

    @property
    def wildcard(self) -> int:
        """`0.0.0.0` or `::`, by its family."""
        return V4_ANY if self.family == AF_INET else V6_ANY

    @property
    def name(self) -> tuple[int, int]:
        """Address and port as getsockname(2) tells them (inet_getname, inet6_getname)."""
        if self.family == AF_INET:
            return (self.laddr if self.laddr != V4_ANY else self.saddr, self.sport)
        return (self.saddr if self.saddr != V6_ANY else self.laddr, self.sport)

    def __str__(self) -> str:
        """In a few words: `TCP LISTEN 0.0.0.0:80`."""
        protocol = PROTOCOLS.get(self.proto, str(self.proto))
        state = f" {NAMES[self.state]}" if self.state != CLOSED and self.proto == IPPROTO_TCP else ""
        peer = f" to {_endpoint(self.raddr, self.rport, self.family)}" if self.rport else ""
        only = " (IPv6 only)" if self.family == AF_INET6 and self.v6only and self.laddr == V6_ANY else ""
        return f"{protocol}{state} {_endpoint(self.laddr, self.lport, self.family)}{only}{peer}"

    def __repr__(self) -> str:
        return f"<Entry {self}>"


def _endpoint(address: int, port: int, family: int) -> str:
    if family == AF_INET:
        return f"{ip.text(address)}:{port}"
    return f"[{ip.text_v6(address)}]:{port}"
