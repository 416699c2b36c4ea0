"""The TCP side of a connection's life in the table: connect(2), its end, TIME-WAIT, and being disconnected."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from portside.facts.verdict import Verdict
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable

NEVER: Final = 1 << 63

TimeWaitReuse = Callable[[Entry, bool], int]
"""`reusable_at(entry, chosen)`: from which time (ns) connect(2) may take over this TIME-WAIT's addresses and ports;
0 for at once, NEVER for not at all. `chosen` says that the host is looking for a port: then `tcp_tw_reuse` and
`tcp_tw_reuse_delay` count; with a port that the program bound, timestamps on the old connection are enough
(tcp_twsk_unique)."""


def never(entry: Entry, chosen: bool) -> int:  # noqa: ARG001 - the shape is TimeWaitReuse's
    """No TIME-WAIT is taken over."""
    return NEVER


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
    """Enter a TCP connection: choose the source address and port it lacks and hash it by its five-tuple (connect(2)).

    On success the state is SYN-SENT; when a TIME-WAIT was taken over it has left the table and is the verdict's only
    `because` (its time stamps are wanted for the new ISN). On failure the socket is as tcp_v4_connect leaves it.

    Args:
        source: the address that the route would use; taken when the socket is bound to none.
        now: ns. random: the stream from which ports are drawn.

    Errors: EADDRNOTAVAIL, when no port is left for this destination or the five-tuple is in use.
    """
    raise NotImplementedError


def closed(table: SocketTable, entry: Entry) -> None:
    """The connection or listener has entered CLOSED: it leaves the lookup and gives its port back, unless bind(2) named it.

    The socket may live on, with its file descriptor (tcp_set_state). The local address stays as it is.
    """
    raise NotImplementedError


def disconnect(table: SocketTable, entry: Entry) -> None:
    """Make it as if never connected (tcp_disconnect): after a refused connect(2), for connect(2) to AF_UNSPEC, for
    shutdown(2) of a listener. As `closed`, and an address that bind(2) did not name is the wildcard again."""
    raise NotImplementedError


def time_wait(table: SocketTable, entry: Entry, orphan: bool = True) -> Entry:
    """Enter TIME-WAIT (tcp_time_wait): what holds the five-tuple and the port from now on is returned.

    For an orphan that is the entry itself, without an owner. With `orphan` false a file descriptor still refers to the
    socket: a new entry is returned and the old one is CLOSED, still bound if bind(2) named its port. End it with
    `table.remove`.
    """
    raise NotImplementedError
