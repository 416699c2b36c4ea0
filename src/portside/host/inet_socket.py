"""What TCP and UDP sockets have in common: their place in the socket table, their name, and their options."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

from portside.addr.abi import (
    AF_INET,
    AF_INET6,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPPROTO_UDPLITE,
)
from portside.addr.compiled import mypyc_attr
from portside.addr.ip import V4_ANY, is_any, is_v4, needs_scope, text
from portside.facts.sockaddr import SockAddr
from portside.facts.state import NAMES
from portside.host import ip_options, options
from portside.host.errors import fail
from portside.host.options import DEFAULTS, SOL_SOCKET, Knobs
from portside.host.socket_file import SocketFile
from portside.host.waiting import wait_for
from portside.sockets.entry import Entry

if TYPE_CHECKING:
    from portside.facts.verdict import Verdict
    from portside.host.kernel import Host
    from portside.host.processes import Process

IP_MAX_MTU = 65535  # <net/ip.h>


@mypyc_attr(allow_interpreted_subclasses=True)
class InetSocket(SocketFile):
    """A TCP or UDP socket: `entry` is its row in the socket table, `knobs` its options.

    The entry knows the address, the port, the device and what the bind rules ask of a socket.
    """

    __slots__ = ("entry", "knobs")

    entry: Entry
    knobs: Knobs
    level = 0  # the option level of the protocol itself
    level_options: ClassVar[options.Table] = {}

    def __init__(self, host: Host, family: int, type: int, proto: int, entry: Entry) -> None:
        super().__init__(host, family, type, proto)
        self.entry = entry
        self.knobs = DEFAULTS

    # -- addresses --

    def getsockname(self) -> SockAddr:
        """The local address, the wildcard until it is bound or connected (inet_getname)."""
        entry = self.entry
        return self.sockaddr(entry.laddr, entry.sport)

    def sockaddr(self, address: int, port: int) -> SockAddr:
        """An address as this socket's family shows it: with the bound device as scope where one is needed."""
        if self.family == AF_INET:
            return AF_INET, address, port
        return AF_INET6, address, port, 0, self.entry.device if needs_scope(address) else 0

    def target(self, address: SockAddr) -> tuple[int, int, int]:
        """Address, port and scope of a destination, or of a name to bind; EAFNOSUPPORT for another family."""
        if len(address) < 3 or (self.family == AF_INET and address[0] != AF_INET):
            raise fail(errno.EAFNOSUPPORT)
        if self.family == AF_INET6 and address[0] == AF_INET6 and len(address) == 5:
            return address[1], address[2], address[4]
        return address[1], address[2], 0

    def this_host(self, remote: int) -> int:
        """As a destination 0.0.0.0 is this host: see `RouteTable.this_host`."""
        if remote != V4_ANY:
            return remote
        local = self.entry.saddr
        return self.host.ip.routes.this_host(local if is_v4(local) else V4_ANY, self.entry.device)

    # -- blocking --

    def wait(self, events: int, limit: int | None, call: str) -> bool:
        """Park the calling task until `events`; False when `limit` (ns, absolute) came first."""
        return wait_for(self.host.world, self, events, limit, call)

    def read_limit(self, flags: int, deadline: int | None) -> int | None:
        """Until when a receiving call may wait: None for ever, a time that has passed for not at all."""
        return self.wait_limit(self.knobs.rcvtimeo, flags, deadline)

    def write_limit(self, flags: int, deadline: int | None) -> int | None:
        """Until when a sending or connecting call may wait."""
        return self.wait_limit(self.knobs.sndtimeo, flags, deadline)

    # -- options --

    def own_knobs(self) -> Knobs:
        """The socket's own options, which it may change."""
        if self.knobs is DEFAULTS:
            self.knobs = DEFAULTS.copy()
        return self.knobs

    def setsockopt(self, process: Process, level: int, name: int, value: bytes) -> None:
        """Set an option (setsockopt(2)); ENOPROTOOPT for one that this socket does not know."""
        if level == SOL_SOCKET:
            options.set_option(options.SOCKET, self, process, name, value)
        elif level == self.level:
            options.set_option(self.level_options, self, process, name, value)
        elif level == IPPROTO_IP:
            options.set_option(ip_options.IP, self, process, name, value)
        elif level == IPPROTO_IPV6 and self.family == AF_INET6:
            options.set_option(ip_options.IPV6, self, process, name, value)
        else:
            raise fail(errno.ENOPROTOOPT)

    def getsockopt(self, level: int, name: int, length: int) -> bytes:
        """An option's value, cut to `length` (getsockopt(2)); ENOPROTOOPT for one that this socket does not know.

        A level that the protocol does not have is EOPNOTSUPP on an IPv4 socket (do_ip_getsockopt).
        """
        if length < 0:
            raise fail(errno.EINVAL)
        if level == SOL_SOCKET:
            return options.get_option(options.SOCKET, self, name, length)
        if level == self.level:
            return options.get_option(self.level_options, self, name, length)
        if level == IPPROTO_IP:
            return ip_options.shorten(options.get_option(ip_options.IP, self, name, 4096), length)
        if level == IPPROTO_IPV6 and self.family == AF_INET6:
            return options.get_option(ip_options.IPV6, self, name, length)
        raise fail(errno.EOPNOTSUPP if self.family == AF_INET else errno.ENOPROTOOPT)

    def option_changed(self) -> None:
        """An option that the bind rules look at was set."""
        self.host.stack.table(self.proto).option_changed(self.entry)

    # What an option's change means to the protocol; each kind of socket says so.

    @property
    def listening(self) -> bool:
        """Whether the socket is in LISTEN: SO_ACCEPTCONN."""
        return False

    def take_error(self) -> int:
        """The pending error, which is then forgotten: SO_ERROR."""
        raise NotImplementedError

    def sndbuf(self) -> int:
        """SO_SNDBUF as it is shown: bytes, twice what was asked for."""
        raise NotImplementedError

    def rcvbuf(self) -> int:
        """SO_RCVBUF as it is shown: bytes, twice what was asked for."""
        raise NotImplementedError

    def set_sndbuf(self, asked: int) -> None:
        """Set the send buffer to twice what was asked for, at least SOCK_MIN_SNDBUF."""
        raise NotImplementedError

    def set_rcvbuf(self, asked: int) -> None:
        """Set the receive buffer to twice what was asked for, at least SOCK_MIN_RCVBUF."""
        raise NotImplementedError

    def set_rcvlowat(self, number: int) -> None:
        """Set how many bytes make the socket readable: SO_RCVLOWAT."""
        self.own_knobs().rcvlowat = number

    def purge_errors(self) -> None:
        """IP_RECVERR was switched off: the error queue is emptied."""

    def keepalive_changed(self) -> None:
        """SO_KEEPALIVE was set."""

    def oobinline_changed(self) -> None:
        """SO_OOBINLINE was set."""

    def linger_changed(self) -> None:
        """SO_LINGER was set."""

    def set_device(self, index: int) -> None:
        """Bind to the interface of that index, 0 for none: SO_BINDTODEVICE."""
        raise NotImplementedError

    def path_mtu(self) -> int:
        """The MTU of the path to the peer: IP_MTU; 0 when not connected."""
        return 0


def refuse(verdict: Verdict) -> OSError:
    """The exception of a call that a decision refused; the verdict goes with it, for who asks why."""
    error = fail(verdict.errno)
    error.verdict = verdict  # type: ignore[attr-defined]
    return error


_PROTOCOLS = {IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp", IPPROTO_UDPLITE: "udplite"}


def describe(entry: Entry) -> str:
    """A socket in a line for a person: `tcp 10.0.0.1:80 LISTEN`, with the peer where there is one."""
    words = [_PROTOCOLS[entry.proto], _endpoint(entry.laddr if not is_any(entry.laddr) else entry.saddr, entry.lport)]
    if entry.rport:
        words.append("-> " + _endpoint(entry.raddr, entry.rport))
    if entry.proto == IPPROTO_TCP:
        words.append(NAMES[entry.state])
    return " ".join(words)


def _endpoint(address: int, port: int) -> str:
    words = text(address)
    return f"[{words}]:{port}" if ":" in words else f"{words}:{port}"


