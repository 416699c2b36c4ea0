"""The sockets of a Snapshot, put into the tables that decide about a simulated host's sockets.

What the kernel does not tell is tried in every way that makes a difference: options that could not be read, and who
came last to a port that is shared (the kernel remembers the last one that was let in, and asks nothing of its like).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

from portside.addr.abi import AF_INET6, IPPROTO_TCP, SOCK_RAW
from portside.addr.ip import V6_ANY
from portside.facts.settings import Settings
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket
from portside.facts.state import CLOSED, LISTEN, SYN_RECEIVED, TIME_WAIT
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable

_UNREAD: Final = Settings()

Fast = tuple[int, int, int, bool] | None


@dataclass(frozen=True, slots=True)
class Guess:
    """What is taken for true where a socket's option could not be read."""

    reuseaddr: bool = False
    reuseport: bool = False
    v6only: bool = False


def holds_port(socket: Socket) -> bool:
    """Whether the socket is one that others have to share the port with: a request for a connection is not."""
    request = socket.state == SYN_RECEIVED and not socket.inode
    return bool(socket.lport) and socket.bound and socket.type != SOCK_RAW and not request


def on_port(snapshot: Snapshot, proto: int, port: int) -> tuple[Socket, ...]:
    """Who holds the port, from the first to the last that came."""
    found = [each for each in snapshot.sockets if each.proto == proto and each.lport == port and holds_port(each)]
    return tuple(_by_age(found))


def _by_age(sockets: list[Socket]) -> list[Socket]:
    """The kernel lists UDP's holders of a port as it asks them: the newest first, those of AF_INET6 with SO_REUSEPORT
    last and among themselves the oldest first (sk_add_node_rcu). A simulated host lists them as they were made."""
    if not any(each.cookie for each in sockets):
        return sockets
    last = [each for each in sockets if each.reuseport and each.family == AF_INET6 and each.proto != IPPROTO_TCP]
    return [each for each in reversed(sockets) if each not in last] + last


def unknown_options(sockets: Iterable[Socket]) -> dict[str, list[Socket]]:
    """By option, the sockets of which it could not be read."""
    found: dict[str, list[Socket]] = {}
    for each in sockets:
        if each.reuseaddr is None:
            found.setdefault("SO_REUSEADDR", []).append(each)
        if each.reuseport is None:
            found.setdefault("SO_REUSEPORT", []).append(each)
        if each.v6only is None and each.family == AF_INET6 and each.laddr == V6_ANY:
            found.setdefault("IPV6_V6ONLY", []).append(each)
    return found


def guesses(sockets: Iterable[Socket]) -> list[Guess]:
    """Every way in which the options that could not be read may be; one if all could be."""
    unknown = unknown_options(sockets)
    ways = [(False, True) if name in unknown else (False,) for name in ("SO_REUSEADDR", "SO_REUSEPORT", "IPV6_V6ONLY")]
    return [Guess(*way) for way in product(*ways)]


def entry_of(table: SocketTable, socket: Socket, guess: Guess = Guess()) -> Entry:
    """The entry that stands for a socket of the snapshot, in no table yet; its `owner` is the socket."""
    entry = table.open(socket.family, socket.uid, socket)
    entry.laddr = entry.saddr = socket.laddr
    entry.lport = entry.sport = socket.lport
    if socket.rport:
        entry.raddr, entry.rport = socket.raddr, socket.rport
    entry.state = socket.state
    entry.device = socket.device
    entry.v6only = guess.v6only if socket.v6only is None else socket.v6only
    entry.reuseaddr = guess.reuseaddr if socket.reuseaddr is None else socket.reuseaddr
    entry.reuseport = guess.reuseport if socket.reuseport is None else socket.reuseport
    entry.time_wait = socket.state == TIME_WAIT
    return entry


def tables(snapshot: Snapshot, proto: int, port: int) -> Iterator[SocketTable]:
    """Tables with the holders of one port, in every way that the snapshot leaves open."""
    sockets = on_port(snapshot, proto, port)
    for guess in guesses(sockets):
        probe = _load(snapshot, proto, sockets, guess)
        yield probe
        if proto != IPPROTO_TCP or port not in probe.ports:
            continue
        seen = probe.ports[port].fast
        for fast in _histories(probe, port):
            if fast != seen:
                other = _load(snapshot, proto, sockets, guess)
                other.ports[port].fast = fast
                yield other


def everything(snapshot: Snapshot, proto: int) -> SocketTable:
    """A table with all sockets of the protocol; what could not be read is taken for not set."""
    table = SocketTable(proto, snapshot.settings)
    listening = frozenset(each.lport for each in snapshot.sockets if each.state == LISTEN and each.proto == proto)
    for socket in _by_age([each for each in snapshot.sockets if each.proto == proto and holds_port(each)]):
        entry = entry_of(table, socket)
        entry.connect_bound = proto == IPPROTO_TCP and chosen_by_connect(snapshot, socket, listening)
        table.add_bound(entry)
        if proto == IPPROTO_TCP and socket.rport:
            table.add_connected(entry)
    return table


def chosen_by_connect(snapshot: Snapshot, socket: Socket, listening: frozenset[int]) -> bool:
    """Whether connect(2) will have chosen the port: the kernel knows, and does not tell.

    A connection with a port of the ephemeral range on which nobody of this host listens is taken for one.
    """
    low, high = snapshot.settings.ip_local_port_range
    return bool(socket.rport) and low <= socket.lport <= high and socket.lport not in listening


def words(socket: Socket) -> str:
    """A socket in a few words: `TCP LISTEN 0.0.0.0:80`."""
    return str(entry_of(SocketTable(socket.proto, _UNREAD), socket))


def _load(snapshot: Snapshot, proto: int, sockets: tuple[Socket, ...], guess: Guess) -> SocketTable:
    table = SocketTable(proto, snapshot.settings)
    for socket in sockets:
        table.add_bound(entry_of(table, socket, guess))
    return table


def _histories(table: SocketTable, port: int) -> set[Fast]:
    """Whom the port may remember: one of those with SO_REUSEPORT, or nobody if the last to come was without."""
    found: set[Fast] = set()
    for entry in table:
        if entry.lport != port or entry.time_wait:
            continue
        if entry.reuseport and (entry.state in (LISTEN, CLOSED)):
            found.add((entry.uid, entry.family, entry.laddr, entry.v6only))
        elif not entry.reuseport and not entry.rport:
            found.add(None)
    return found
