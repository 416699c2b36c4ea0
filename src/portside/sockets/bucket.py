"""The holders of one port: by address, and on one address by all that a conflict can depend on.

Linux keeps them in `inet_bind_bucket` and `inet_bind2_bucket` and walks the sockets one by one. Sockets that are
alike in every respect that bind(2) asks about are of one `Kind` here, and a kind is asked once: a port with a hundred
thousand accepted connections answers as fast as one with a single listener.
"""

from __future__ import annotations

from portside.addr.abi import AF_INET6
from portside.facts.state import LISTEN
from portside.sockets.entry import Entry


class PortBucket:
    """Everybody on one port (inet_bind_bucket)."""

    __slots__ = ("addresses", "connect_only", "count", "fast", "port")

    def __init__(self, port: int) -> None:
        self.port = port
        self.addresses: dict[int, AddressBucket] = {}
        self.count = 0
        # Whether only connect(2) has put sockets here: connect(2) shares such a port between destinations, and no
        # other (fastreuse and fastreuseport both -1).
        self.connect_only = False
        # The last SO_REUSEPORT socket that was let in, as it was then: uid, family, address, v6only. One like it is
        # let in unasked (fastreuseport, FASTREUSEPORT_STRICT). It stays when that socket's options change.
        self.fast: tuple[int, int, int, bool] | None = None

    def newest(self) -> Entry:
        """The socket that got the port last."""
        return max((home.newest() for home in self.addresses.values()), key=lambda entry: entry.hashed)


class AddressBucket:
    """Everybody on one port and one local address (inet_bind2_bucket). AF_INET and v4-mapped AF_INET6 are together."""

    __slots__ = ("address", "connect_only", "explicit", "kinds", "port_bucket")

    def __init__(self, port_bucket: PortBucket, address: int) -> None:
        self.port_bucket = port_bucket
        self.address = address
        self.kinds: dict[int, Kind] = {}
        self.explicit = 0  # how many did not get the port from connect(2)
        self.connect_only = False

    def newest(self) -> Entry:
        """The socket that got the port last."""
        return max((kind.newest for kind in self.kinds.values() if kind.newest), key=lambda entry: entry.hashed)


class Kind:
    """Sockets on one port and address that no conflict can tell apart: a list from the newest to the oldest."""

    __slots__ = (
        "device",
        "family",
        "home",
        "key",
        "listening",
        "newest",
        "oldest",
        "reuseaddr",
        "reuseport",
        "time_wait",
        "uid",
        "v6only",
    )

    def __init__(self, home: AddressBucket, key: int, entry: Entry) -> None:
        self.home = home
        self.key = key
        self.family = entry.family
        self.uid = entry.uid
        self.device = entry.device
        self.v6only = entry.v6only
        self.reuseaddr = entry.reuseaddr
        self.reuseport = entry.reuseport
        self.listening = entry.state == LISTEN
        self.time_wait = entry.time_wait
        self.newest: Entry | None = None
        self.oldest: Entry | None = None

    def only(self, entry: Entry) -> bool:
        """Whether `entry` is here and alone."""
        return self.newest is entry and entry.older is None

    def add(self, entry: Entry) -> None:
        """Enter a socket at its place by `hashed`; a newcomer's is the first or the last."""
        newer: Entry | None = None
        older = self.newest
        if self.oldest is not None and self.oldest.hashed > entry.hashed:
            newer, older = self.oldest, None
        while older is not None and older.hashed > entry.hashed:
            newer, older = older, older.older
        entry.newer, entry.older = newer, older
        if older is None:
            self.oldest = entry
        else:
            older.newer = entry
        if newer is None:
            self.newest = entry
        else:
            newer.older = entry

    def discard(self, entry: Entry) -> None:
        """Take a socket out."""
        newer, older = entry.newer, entry.older
        if newer is None:
            self.newest = older
        else:
            newer.older = older
        if older is None:
            self.oldest = newer
        else:
            older.newer = newer
        entry.newer = entry.older = None


def kind_key(entry: Entry) -> int:
    """One number for all that a conflict can depend on, but for port and address."""
    return (
        entry.uid << 38
        | entry.device << 6
        | entry.time_wait << 5
        | (entry.state == LISTEN) << 4
        | (entry.family == AF_INET6) << 3
        | entry.v6only << 2
        | entry.reuseport << 1
        | entry.reuseaddr
    )


def file(home: AddressBucket, entry: Entry) -> None:
    """Enter a socket among the holders of its port and address."""
    key = kind_key(entry)
    kind = home.kinds.get(key)
    if kind is None:
        kind = home.kinds[key] = Kind(home, key, entry)
    kind.add(entry)
    entry.kind = kind
    entry.home = home
    if not entry.connect_bound:
        home.explicit += 1


def unfile(entry: Entry) -> None:
    """Take a socket from among the holders of its port and address; empty lists go."""
    kind, home = entry.kind, entry.home
    assert kind is not None
    assert home is not None
    kind.discard(entry)
    if kind.newest is None:
        del home.kinds[kind.key]
    entry.kind = entry.home = None
    if not entry.connect_bound:
        home.explicit -= 1
