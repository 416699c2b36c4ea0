"""The sockets of one protocol on one host, findable by port, by receiving address and by connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portside.addr.abi import AF_INET6, IPPROTO_TCP
from portside.addr.ip import V4_ANY, V6_ANY
from portside.facts.settings import Settings
from portside.facts.state import CLOSED, ESTABLISHED, LISTEN, SYN_RECEIVED, TIME_WAIT
from portside.sockets import bucket, conflict, reuseport
from portside.sockets.bucket import AddressBucket, PortBucket
from portside.sockets.crowd import Crowd
from portside.sockets.entry import Entry

FourTuple = tuple[int, int, int, int]
"""Local address and port, remote address and port."""

MOST_CROWDS: Final = 8

NOWHERE: Final[tuple[int, ...]] = ()
"""A place where no datagram finds a connected UDP socket; see datagram.py."""


class SocketTable:
    """One protocol's sockets on one host. Every operation costs the same with a hundred sockets and with a million.

    `ports` holds who has a port (Linux's bhash); `receivers` who takes what is sent to an address and port: TCP
    listeners (lhash2), UDP sockets that are not connected (hash2), newest first, the wildcards `0.0.0.0` and `::` under
    0; `connected` who has a five-tuple (ehash, UDP's hash4), requests and TIME-WAITs included.
    """

    def __init__(self, proto: int, settings: Settings, seed: int = 0) -> None:
        """An empty table.

        Args: proto: IPPROTO_TCP, IPPROTO_UDP or IPPROTO_UDPLITE. seed: keys the hashes that choose ports and members.
        """
        self.proto = proto
        self.settings = settings
        self.seed = seed
        self.ports: dict[int, PortBucket] = {}
        self.receivers: dict[tuple[int, int], list[Entry]] = {}
        self.connected: dict[FourTuple, Entry] = {}
        self.crowds: dict[object, Crowd] = {}  # see ephemeral.py
        self.perturbation: dict[int, int] = {}  # how far connect(2) has gone, by destination (table_perturb)
        self._created = 0
        self._hashed = 0

    def open(self, family: int, uid: int, owner: object = None) -> Entry:
        """The entry of a new socket (socket(2)), v6-only as `net.ipv6.bindv6only` says; in no table until bound."""
        self._created += 1
        entry = Entry(self.proto, family, uid, owner, self._created)
        if family == AF_INET6 and self.settings.bindv6only:
            entry.v6only = True
        return entry

    # -- options --

    def option_changed(self, entry: Entry) -> None:
        """Hear that `reuseaddr`, `reuseport`, `uid` or `v6only` of an entry has been set."""
        home = entry.home
        if home is not None:
            bucket.unfile(entry)
            bucket.file(home, entry)
            self.released(entry.lport)

    def set_device(self, entry: Entry, index: int) -> None:
        """SO_BINDTODEVICE; 0 for none. A bound UDP socket leaves its SO_REUSEPORT group (sock_bindtoindex_locked,
        udp_lib_rehash)."""
        if self.proto == IPPROTO_TCP:
            entry.device = index
            self.option_changed(entry)
            return
        if entry.group is not None:
            entry.group.leave(entry)
        if entry.place is not None:
            self.drop_datagram(entry)
        entry.device = index
        self.option_changed(entry)
        if entry.place is not None:
            connected = entry.state == ESTABLISHED
            entry.place = (entry.laddr, entry.lport, entry.raddr, entry.rport) if connected else NOWHERE
            self.restore_datagram(entry)

    # -- holding a port --

    def take_port(self, entry: Entry, port: int) -> AddressBucket:
        """Make a socket a holder of a port on its local address (inet_bind_hash)."""
        port_bucket = self.ports.get(port)
        if port_bucket is None:
            port_bucket = self.ports[port] = PortBucket(port)
            port_bucket.connect_only = entry.connect_bound
        self._hashed += 1
        # The newest is asked first; AF_INET6 sockets with SO_REUSEPORT after all others, the oldest first
        # (sk_add_node_rcu).
        last = entry.reuseport and entry.family == AF_INET6 and self.proto != IPPROTO_TCP
        entry.hashed = -self._hashed if last else self._hashed
        entry.lport = port
        port_bucket.count += 1
        return self._settle(port_bucket, entry)

    def _settle(self, port_bucket: PortBucket, entry: Entry) -> AddressBucket:
        home = port_bucket.addresses.get(entry.laddr)
        if home is None:
            home = port_bucket.addresses[entry.laddr] = AddressBucket(port_bucket, entry.laddr)
            home.connect_only = entry.connect_bound
        bucket.file(home, entry)
        return home

    def _unsettle(self, entry: Entry) -> PortBucket:
        home = entry.home
        assert home is not None
        bucket.unfile(entry)
        if not home.kinds:
            del home.port_bucket.addresses[home.address]
        elif home.explicit == 0:
            home.connect_only = True
        return home.port_bucket

    def give_back_port(self, entry: Entry) -> None:
        """Let go of the port (inet_put_port). A port that only connect(2) still uses is open to connect(2) again."""
        port = entry.lport
        if entry.home is not None:
            port_bucket = self._unsettle(entry)
            port_bucket.count -= 1
            if not port_bucket.addresses:
                del self.ports[port]
            elif not port_bucket.connect_only and all(home.connect_only for home in port_bucket.addresses.values()):
                port_bucket.connect_only = True
                port_bucket.fast = None
            self.released(port)
        entry.lport = 0
        entry.connect_bound = False

    def move(self, entry: Entry, address: int) -> None:
        """Change the local address of a socket that may hold a port (inet_bhash2_update_saddr)."""
        if entry.home is None:
            entry.laddr = address
            return
        port_bucket = self._unsettle(entry)
        entry.laddr = address
        self._settle(port_bucket, entry)
        self.released(entry.lport)

    def remember(self, entry: Entry) -> None:
        """Let the port know that bind(2) or listen(2) let this one in (inet_csk_update_fastreuse).

        The kernel means to remember SO_REUSEADDR too, but since 6.8 its test for the first socket of a port never
        holds.
        """
        home = entry.home
        assert home is not None
        port_bucket = home.port_bucket
        if not entry.reuseport:
            port_bucket.fast = None
        elif port_bucket.fast is None or not conflict.covers(port_bucket.fast, entry):
            port_bucket.fast = (entry.uid, entry.family, entry.laddr, entry.v6only)
        port_bucket.connect_only = home.connect_only = False

    def released(self, port: int) -> None:
        """Let those who found a port unusable look at it again."""
        if self.crowds:
            for crowd in self.crowds.values():
                crowd.release(port)

    def crowd(self, key: object, step: int) -> Crowd:
        """What is remembered of the ports that were unusable for those who ask like this."""
        crowd = self.crowds.get(key)
        if crowd is None:
            if len(self.crowds) >= MOST_CROWDS:
                del self.crowds[next(iter(self.crowds))]
            crowd = self.crowds[key] = Crowd(step)
        return crowd

    # -- receiving --

    def add_receiver(self, entry: Entry) -> None:
        """Let an entry take what is sent to its address: the first to be asked, or the last if AF_INET6 with
        SO_REUSEPORT (__inet_hash, udp_lib_get_port)."""
        chain = self._chain(entry)
        if entry.reuseport and entry.family == AF_INET6:
            entry.order = chain[-1].order - 1 if chain else 0
            chain.append(entry)
        else:
            entry.order = chain[0].order + 1 if chain else 0
            chain.insert(0, entry)

    def restore_receiver(self, entry: Entry) -> None:
        """Put an entry back to the place it had: a UDP socket that is connected no more."""
        chain = self._chain(entry)
        place = 0
        while place < len(chain) and chain[place].order > entry.order:
            place += 1
        chain.insert(place, entry)

    def _chain(self, entry: Entry) -> list[Entry]:
        address = V6_ANY if entry.laddr == V4_ANY else entry.laddr
        return self.receivers.setdefault((address, entry.lport), [])

    def drop_receiver(self, entry: Entry) -> None:
        """Let it take no more; no effect on one that does not."""
        key = (V6_ANY if entry.laddr == V4_ANY else entry.laddr, entry.lport)
        chain = self.receivers.get(key)
        if chain is not None and entry in chain:
            chain.remove(entry)
            if not chain:
                del self.receivers[key]

    def restore_datagram(self, entry: Entry) -> None:
        """Let a bound UDP socket be found again: by its four-tuple if that is its place, else among the receivers.

        One that is connected to port 0 hears every port of its peer: it stays among the receivers.
        """
        key = (entry.laddr, entry.lport, entry.raddr, entry.rport)
        if entry.state == ESTABLISHED and entry.rport and entry.place == key:
            self.add_connected(entry)
        else:
            self.restore_receiver(entry)

    def drop_datagram(self, entry: Entry) -> None:
        """Let a UDP socket be found no more, for the time of a change."""
        if entry.state == ESTABLISHED:
            self.drop_connected(entry)
        self.drop_receiver(entry)

    # -- connections --

    def add_connected(self, entry: Entry) -> None:
        """Make an entry findable by its five-tuple, without a question; the newest of equals is found first."""
        key = (entry.laddr, entry.lport, entry.raddr, entry.rport)
        entry.twin = self.connected.get(key)
        self.connected[key] = entry

    def drop_connected(self, entry: Entry) -> None:
        """Let it be found by its five-tuple no more; no effect on one that is not."""
        key = (entry.laddr, entry.lport, entry.raddr, entry.rport)
        first = self.connected.get(key)
        if first is entry:
            if entry.twin is None:
                del self.connected[key]
            else:
                self.connected[key] = entry.twin
        else:
            while first is not None and first.twin is not entry:
                first = first.twin
            if first is None:
                return
            first.twin = entry.twin
        entry.twin = None
        if self.crowds:
            self.released(entry.lport)

    def replace_connected(self, old: Entry, new: Entry) -> None:
        """Put an entry in another's place: a TIME-WAIT for its connection."""
        key = (old.laddr, old.lport, old.raddr, old.rport)
        new.twin, old.twin = old.twin, None
        first = self.connected.get(key)
        if first is old:
            self.connected[key] = new
            return
        while first is not None and first.twin is not old:
            first = first.twin
        assert first is not None
        first.twin = new

    def child(self, listener: Entry, laddr: int, raddr: int, rport: int, device: int, owner: object = None) -> Entry:
        """Enter the connection request (state SYN-RECEIVED) that a SYN made on a listener; options are the listener's.

        It is found by `lookup.tcp` but holds no port: `inherit_port` when the handshake is done. Args: device: the
        listener's, or the interface of a link-local peer.
        """
        child = self.open(listener.family, listener.uid, owner)
        child.v6only = listener.v6only
        child.reuseaddr = listener.reuseaddr
        child.reuseport = listener.reuseport
        child.freebind = listener.freebind
        child.transparent = listener.transparent
        child.bind_address_no_port = listener.bind_address_no_port
        child.port_range = listener.port_range
        child.address_explicit = listener.address_explicit
        child.device = device
        child.laddr = child.saddr = laddr
        child.lport = child.sport = listener.lport
        child.raddr = raddr
        child.rport = rport
        child.state = SYN_RECEIVED
        self.add_connected(child)
        return child

    def inherit_port(self, listener: Entry, child: Entry) -> bool:
        """Let an established child share its listener's port (__inet_inherit_port); False when that has none."""
        if listener.home is None:
            return False
        self.take_port(child, child.lport)
        return True

    # -- entering and leaving without a question --

    def add_bound(self, entry: Entry) -> None:
        """Enter a socket with its `laddr` and `lport` set, without a question: for tables read from a real machine."""
        entry.time_wait = entry.state == TIME_WAIT
        self.take_port(entry, entry.lport)
        entry.sport = entry.lport
        if not entry.connect_bound:
            self.remember(entry)
        if self.proto == IPPROTO_TCP:
            return
        if entry.reuseport:
            reuseport.join_like(entry, False)
        if entry.rport:
            entry.place = (entry.laddr, entry.lport, entry.raddr, entry.rport)
            self.add_connected(entry)
        else:
            self.add_receiver(entry)

    def add_listener(self, entry: Entry) -> None:
        """Make a bound TCP entry a listener, without a question: it joins its SO_REUSEPORT group and receives SYNs."""
        entry.state = LISTEN
        self.option_changed(entry)
        if entry.reuseport:
            reuseport.join_like(entry, True)
        self.add_receiver(entry)

    def unhash(self, entry: Entry) -> None:
        """Take an entry out of every lookup, and of its SO_REUSEPORT group; it keeps its port (inet_unhash)."""
        if entry.state == LISTEN or self.proto != IPPROTO_TCP:
            self.drop_receiver(entry)
        if entry.rport or entry.raddr != entry.wildcard:  # one may be connected to port 0, too
            self.drop_connected(entry)
        if entry.group is not None:
            entry.group.leave(entry)

    def remove(self, entry: Entry) -> None:
        """Forget a socket, a request or a TIME-WAIT: it is found no more and gives back its port.

        No effect on one that is gone already.
        """
        self.unhash(entry)
        entry.state = CLOSED
        self.give_back_port(entry)

    def __iter__(self) -> Iterator[Entry]:
        """All entries that have a port, in order of creation: what /proc/net shows."""
        found = [entry for entry in self.connected.values() if entry.home is None]
        for port_bucket in self.ports.values():
            for home in port_bucket.addresses.values():
                for kind in home.kinds.values():
                    entry = kind.newest
                    while entry is not None:
                        found.append(entry)
                        entry = entry.older
        return iter(sorted(found, key=lambda entry: entry.created))
