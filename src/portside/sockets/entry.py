"""One row of a socket table: what bind(2), listen(2), connect(2) and the lookup of a packet know of a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portside.addr.abi import AF_INET
from portside.addr.ip import V4_ANY, V6_ANY
from portside.facts.state import CLOSED

if TYPE_CHECKING:
    from portside.sockets.bucket import AddressBucket, Kind
    from portside.sockets.reuseport import Group


class Entry:
    """A socket, a connection request, or a TIME-WAIT.

    The host may read everything. It sets `state` (but for what the table's own calls set: LISTEN, TIME-WAIT, CLOSED),
    the options that no table depends on (`freebind`, `transparent`, `bind_address_no_port`, `port_range`), and
    `owner`. After setting `reuseaddr`, `reuseport`, `uid` or `v6only` it calls `SocketTable.option_changed`.
    Addresses and ports are the calls' to set.
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
        "owner",
        "port_explicit",
        "port_range",
        "proto",
        "raddr",
        "reuseaddr",
        "reuseport",
        "rport",
        "saddr",
        "state",
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
        self.laddr = wildcard  # inet_rcv_saddr: what packets must be sent to
        self.saddr = wildcard  # inet_saddr: source of what it sends; the wildcard means "by the route"
        self.raddr = wildcard
        self.lport = 0  # 0: no port
        self.rport = 0
        self.device = 0  # SO_BINDTODEVICE or the scope of a link-local address: interface index
        self.state = CLOSED
        self.v6only = False
        self.reuseaddr = False
        self.reuseport = False
        self.freebind = False  # IP_FREEBIND
        self.transparent = False  # IP_TRANSPARENT
        self.bind_address_no_port = False  # IP_BIND_ADDRESS_NO_PORT
        self.port_range: tuple[int, int] | None = None  # IP_LOCAL_PORT_RANGE; a 0 leaves that end as it is
        self.address_explicit = False  # SOCK_BINDADDR_LOCK: bind(2) named an address
        self.port_explicit = False  # SOCK_BINDPORT_LOCK: bind(2) named a port
        self.connect_bound = False  # SOCK_CONNECT_BIND: connect(2) chose the port
        # The table's own.
        self.hashed = 0  # order in which sockets got their port
        self.home: AddressBucket | None = None
        self.kind: Kind | None = None
        self.newer: Entry | None = None  # neighbours among the sockets of the same kind
        self.older: Entry | None = None
        self.twin: Entry | None = None  # the next older connection with the same four addresses and ports
        self.group: Group | None = None  # its SO_REUSEPORT group

    @property
    def bound(self) -> bool:
        """Whether it holds a port."""
        return self.lport != 0
