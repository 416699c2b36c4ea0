"""The TCP side of a connection's life in the table: connect(2), its end, TIME-WAIT, and being disconnected."""

from __future__ import annotations

from errno import EADDRNOTAVAIL
from random import Random

from portside.addr.ip import V4_ANY, V6_ANY
from portside.facts.state import CLOSED, SYN_SENT, TIME_WAIT
from portside.facts.verdict import ALLOWED, Verdict
from portside.sockets import bucket, ephemeral, rules
from portside.sockets.entry import Entry
from portside.sockets.ephemeral import TimeWaitReuse, never
from portside.sockets.table import SocketTable


def connect(
    table: SocketTable,
    entry: Entry,
    raddr: int,
    rport: int,
    source: int,
    now: int,
    random: Random,
    reusable_at: TimeWaitReuse = never,
) -> Verdict:
    """Enter a TCP connection: choose the source address and port that it lacks, and hash it by its five-tuple.

    A socket bound to a wildcard is narrowed to the source address. On success the state is SYN-SENT; if a TIME-WAIT was
    taken over it has left the table and is the verdict's only `because` (its timestamps are wanted for the new ISN).
    On failure the socket is CLOSED and as `disconnect` leaves it.

    Args:
        source: the address that the route uses; taken when the socket has none.
        now: ns.
        random: the stream from which ports are drawn.
        reusable_at: see `ephemeral.TimeWaitReuse`.

    Errors: EADDRNOTAVAIL, when no port is left towards this peer or the five-tuple is in use. Source: tcp_v4_connect,
    tcp_v6_connect, __inet_hash_connect (Linux 6.18).
    """
    if entry.saddr in (V4_ANY, V6_ANY):
        table.move(entry, source)
        entry.saddr = source
    entry.raddr = raddr
    entry.rport = rport
    entry.state = SYN_SENT
    taken_over: Entry | None = None
    if entry.lport:
        taken_over = ephemeral.same_connection(table, entry, entry.lport)
        if taken_over is not None and (not taken_over.time_wait or reusable_at(taken_over, False) > now):
            disconnect(table, entry)
            return Verdict(EADDRNOTAVAIL, rules.CONNECTION_EXISTS, (taken_over,))
    else:
        port = ephemeral.for_connect(table, entry, now, random, reusable_at)
        if not port:
            disconnect(table, entry)
            return rules.REFUSE_NO_PORT_TO_PEER
        taken_over = ephemeral.same_connection(table, entry, port)
        entry.connect_bound = True
        table.take_port(entry, port)
        entry.sport = port
    if taken_over is None:
        table.add_connected(entry)
        return ALLOWED
    table.remove(taken_over)
    table.add_connected(entry)
    return Verdict(0, None, (taken_over,))


def closed(table: SocketTable, entry: Entry) -> None:
    """CLOSED has been entered: leave the lookup, and give the port back unless bind(2) named it (tcp_set_state).

    The socket may live on with its file descriptor; its name stays as it was.
    """
    was_listening = entry.kind is not None and entry.kind.listening
    table.unhash(entry)
    entry.state = CLOSED
    if entry.home is None or not entry.port_explicit:
        table.give_back_port(entry)
    elif was_listening:
        table.option_changed(entry)


def disconnect(table: SocketTable, entry: Entry) -> None:
    """Make the socket as if never connected (tcp_disconnect).

    For a connect(2) that failed, connect(2) to AF_UNSPEC, and shutdown(2) of a listener. As `closed`, and an address
    that bind(2) did not name becomes the wildcard again. It keeps the port that bind(2) named, and gives back one that
    bind(2) to port 0 chose; a socket that is CLOSED already keeps even that.
    """
    if entry.state != CLOSED:
        closed(table, entry)
    entry.rport = 0
    entry.raddr = entry.wildcard
    if not entry.address_explicit:
        table.move(entry, entry.wildcard)
        entry.saddr = entry.wildcard


def time_wait(table: SocketTable, entry: Entry, orphan: bool = True) -> Entry:
    """Enter TIME-WAIT (tcp_time_wait); returns what holds the five-tuple and the port from now on.

    For an orphan that is the entry itself, without its owner. With `orphan` false a file descriptor still refers to the
    socket: a new entry is returned, and the old one is CLOSED, still holding its port if bind(2) named it. The
    TIME-WAIT ends with `SocketTable.remove`. Linux does the same for an orphan in FIN-WAIT-2, where the host may
    set the state so afterwards.
    """
    home = entry.home
    if orphan:
        entry.owner = None
        if home is not None:
            bucket.unfile(entry)
        entry.state = TIME_WAIT
        entry.time_wait = True
        if home is not None:
            bucket.file(home, entry)
        table.released(entry.lport)
        return entry
    heir = entry.copy()
    heir.owner = None
    heir.state = TIME_WAIT
    heir.time_wait = True
    table.replace_connected(entry, heir)
    table.released(entry.lport)
    entry.rport, rport = 0, entry.rport
    if home is not None:
        heir.home = heir.kind = heir.newer = heir.older = None
        table.take_port(heir, heir.lport)
    closed(table, entry)
    entry.rport = rport
    return heir
