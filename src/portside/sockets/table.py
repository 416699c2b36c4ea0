"""The sockets of one protocol on one host, findable by port, by listening address and by connection."""

from __future__ import annotations

from collections.abc import Iterator

from portside.facts.settings import Settings
from portside.sockets.entry import Entry


class SocketTable:
    """One protocol's sockets on one host. Every operation costs the same with a hundred sockets and with a million."""

    def __init__(self, proto: int, settings: Settings, seed: int = 0) -> None:
        """Args: proto: IPPROTO_TCP, IPPROTO_UDP or IPPROTO_UDPLITE. seed: keys the hashes that choose ports and group members."""
        self.proto = proto
        self.settings = settings
        self.seed = seed

    def open(self, family: int, uid: int, owner: object = None) -> Entry:
        """The entry of a new socket (socket(2)); v6only as `net.ipv6.bindv6only` says. It is in no table until bound."""
        raise NotImplementedError

    def option_changed(self, entry: Entry) -> None:
        """Hear that `reuseaddr`, `reuseport`, `uid` or `v6only` of an entry has been set."""
        raise NotImplementedError

    def set_device(self, entry: Entry, index: int) -> None:
        """SO_BINDTODEVICE; 0 for none. A bound UDP socket leaves its SO_REUSEPORT group, as in Linux (udp_lib_rehash)."""
        raise NotImplementedError

    def add_bound(self, entry: Entry) -> None:
        """Enter a socket with its `laddr` and `lport` set, without a question: for tables read from a real machine."""
        raise NotImplementedError

    def add_listener(self, entry: Entry) -> None:
        """Make a bound entry a listener, without a question."""
        raise NotImplementedError

    def add_connected(self, entry: Entry) -> None:
        """Make an entry findable by its five-tuple, without a question."""
        raise NotImplementedError

    def child(self, listener: Entry, laddr: int, raddr: int, rport: int, device: int, owner: object = None) -> Entry:
        """Enter a connection request (state SYN-RECEIVED) that a SYN made on a listener; options are the listener's.

        It is found by lookup but holds no port yet: `inherit_port` when the handshake is done. Args: device: the
        listener's, or the interface of a link-local peer.
        """
        raise NotImplementedError

    def inherit_port(self, listener: Entry, child: Entry) -> None:
        """Let an established child share its listener's port (__inet_inherit_port)."""
        raise NotImplementedError

    def remove(self, entry: Entry) -> None:
        """Forget a socket, a request or a TIME-WAIT: it is found no more and gives back its port."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Entry]:
        """All entries in order of creation: what /proc/net shows."""
        raise NotImplementedError
