"""The sockets of a Snapshot, put into the tables that decide about a simulated host's sockets.

What the kernel does not tell is tried in every way that makes a difference: options that could not be read, and who
came last to a port that is shared (the kernel remembers the last one that was let in, and asks nothing of its like).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, MILLISECOND, SECOND, SOCK_RAW
from portside.addr.ip import V6_ANY, family_of, is_any, is_loopback, is_v4
from portside.facts.settings import Settings
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket
from portside.facts.state import CLOSE_WAIT, CLOSED, ESTABLISHED, LISTEN, SYN_RECEIVED, TIME_WAIT
from portside.sockets.conflict import families_met
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable

TIME_WAIT_LASTS: Final = 60 * SECOND
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
    """Who holds the port, from the first to the last that came; of TCP sockets that no conflict can tell apart, one:
    a hundred thousand connections of a server are as easily asked about as one."""
    found = [each for each in snapshot.sockets if each.proto == proto and each.lport == port and holds_port(each)]
    if proto == IPPROTO_TCP:
        listening = [each for each in found if each.state == LISTEN]
        found = list({_kind(each): each for each in (_as_its_listener(listening, each) for each in found)}.values())
    return tuple(_by_age(found))


def is_queued(socket: Socket) -> bool:
    """Whether it is a connection that no program has accepted yet; the peer may have closed it already."""
    return socket.proto == IPPROTO_TCP and not socket.inode and socket.state in (ESTABLISHED, CLOSE_WAIT)


def listener_of(sockets: Iterable[Socket], socket: Socket) -> Socket | None:
    """In whose accept queue a connection waits: the listener on its address, or else on the wildcard. Of several that
    share one address by SO_REUSEPORT, the first."""
    best: tuple[int, Socket] | None = None
    for each in sockets:
        if each.state != LISTEN or each.proto != socket.proto or each.lport != socket.lport:
            continue
        if each.laddr != socket.laddr and not _takes(each, socket):
            continue
        score = (each.laddr == socket.laddr) * 4 + bool(each.device) * 2 + (each.family == socket.family)
        if best is None or score > best[0]:
            best = (score, each)
    return None if best is None else best[1]


def _takes(wild: Socket, socket: Socket) -> bool:
    """Whether a listener on a wildcard answers at the address of a connection."""
    families = families_met(wild.family, wild.laddr, bool(wild.v6only))
    return is_any(wild.laddr) and family_of(socket.laddr) in families


def _as_its_listener(listening: list[Socket], socket: Socket) -> Socket:
    """A connection in a queue with the options of its listener, where its own could not be read: it has inherited them
    (inet_csk_clone_lock)."""
    if not is_queued(socket) or None not in (socket.reuseaddr, socket.reuseport, socket.v6only):
        return socket
    listener = listener_of(listening, socket)
    if listener is None:
        return socket
    return replace(
        socket,
        reuseaddr=listener.reuseaddr if socket.reuseaddr is None else socket.reuseaddr,
        reuseport=listener.reuseport if socket.reuseport is None else socket.reuseport,
        v6only=listener.v6only if socket.v6only is None else socket.v6only,
    )


def _kind(socket: Socket) -> tuple[object, ...]:
    """All of a TCP socket that a conflict can depend on; those that are only bound are kept apart, as rivals."""
    return (
        socket.family,
        socket.laddr,
        socket.uid,
        socket.device,
        socket.v6only,
        socket.reuseaddr,
        socket.reuseport,
        socket.inode if socket.state == CLOSED else socket.state,
        bool(socket.rport),
    )


def _by_age(sockets: list[Socket]) -> list[Socket]:
    """The kernel lists UDP's holders of a port as it asks them: the newest first, those of AF_INET6 with SO_REUSEPORT
    last and among themselves the oldest first (sk_add_node_rcu). A simulated host lists them as they were made."""
    if not any(each.cookie for each in sockets):
        return sockets
    first = [each for each in sockets if not _asked_last(each)]
    return first[::-1] + [each for each in sockets if _asked_last(each)]


def _asked_last(socket: Socket) -> bool:
    return bool(socket.reuseport) and socket.family == AF_INET6 and socket.proto != IPPROTO_TCP


def unknown_options(sockets: Iterable[Socket]) -> dict[str, list[Socket]]:
    """By option, the sockets of which it could not be read."""
    found: dict[str, list[Socket]] = {}
    for each in sockets:
        if each.reuseaddr is None:
            found.setdefault("SO_REUSEADDR", []).append(each)
        if each.reuseport is None:
            found.setdefault("SO_REUSEPORT", []).append(each)
        if each.v6only is None and each.family == AF_INET6 and not is_v4(each.laddr):
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
    unread = socket.v6only is None and socket.family == AF_INET6 and not is_v4(socket.laddr)
    entry.v6only = guess.v6only if unread else bool(socket.v6only)
    entry.reuseaddr = guess.reuseaddr if socket.reuseaddr is None else socket.reuseaddr
    entry.reuseport = guess.reuseport if socket.reuseport is None else socket.reuseport
    entry.time_wait = socket.state == TIME_WAIT
    return entry


def tables(snapshot: Snapshot, proto: int, port: int, uid: int = 0) -> Iterator[SocketTable]:
    """Tables with the holders of one port, in every way that the snapshot leaves open. Args: uid: who asks."""
    sockets = on_port(snapshot, proto, port)
    for guess in guesses(sockets):
        for order in _orders(sockets):
            first = _load(snapshot, proto, order, guess)
            histories = _histories(first, port, uid)  # before it is tried, and so changed
            yield first
            for fast in histories:
                other = _load(snapshot, proto, order, guess)
                other.ports[port].fast = fast
                yield other


def _orders(sockets: tuple[Socket, ...]) -> list[tuple[Socket, ...]]:
    """The kernel lists one family after the other, and does not tell whose newest is the newest: it counts for UDP."""
    if not sockets or sockets[0].proto == IPPROTO_TCP or not any(each.cookie for each in sockets):
        return [sockets]
    v4 = tuple(each for each in sockets if each.family == AF_INET)
    v6 = tuple(each for each in sockets if each.family != AF_INET)
    return [(*v4, *v6), (*v6, *v4)] if v4 and v6 else [sockets]


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


def may_take_over(socket: Socket, settings: Settings) -> bool:
    """Whether connect(2) would take the ports of this TIME-WAIT now (tcp_twsk_unique).

    That both ends used timestamps can't be read; it is taken for true where this host uses them, as is usual.
    """
    if socket.state != TIME_WAIT or not settings.tcp_timestamps:
        return False
    loopback = is_loopback(socket.laddr) or is_loopback(socket.raddr)
    if not settings.tcp_tw_reuse or (settings.tcp_tw_reuse == 2 and not loopback):
        return False
    return TIME_WAIT_LASTS - socket.timer_left >= settings.tcp_tw_reuse_delay * MILLISECOND


def words(socket: Socket) -> str:
    """A socket in a few words: `TCP LISTEN 0.0.0.0:80`."""
    return str(entry_of(SocketTable(socket.proto, _UNREAD), socket))


def _load(snapshot: Snapshot, proto: int, sockets: tuple[Socket, ...], guess: Guess) -> SocketTable:
    table = SocketTable(proto, snapshot.settings)
    for socket in sockets:
        entry = entry_of(table, socket, guess)
        if proto == IPPROTO_TCP and entry.rport:
            table.take_port(entry, entry.lport)  # an accepted one inherits the port: it is not let in by bind(2)
        else:
            table.add_bound(entry)
    return table


def _histories(table: SocketTable, port: int, uid: int) -> set[Fast]:
    """Whom else the port may remember as the last that was let in: nobody, one of those with SO_REUSEPORT, or one that
    is gone and left connections."""
    if table.proto != IPPROTO_TCP or port not in table.ports:
        return set()
    found: set[Fast] = {None}
    for entry in table:
        if entry.reuseport and not entry.rport:
            found.add((entry.uid, entry.family, entry.laddr, entry.v6only))
        elif entry.reuseport and not entry.time_wait:
            found.add((uid, entry.family, entry.wildcard, entry.v6only and entry.laddr == V6_ANY))
    return found - {table.ports[port].fast}
