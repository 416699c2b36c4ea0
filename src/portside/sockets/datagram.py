"""The UDP side: autobind, connect(2) and disconnecting."""

from __future__ import annotations

from random import Random

from portside.facts.verdict import Verdict
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable


def autobind(table: SocketTable, entry: Entry, random: Random) -> Verdict:
    """Give an unbound UDP socket a port, as send(2) and connect(2) do first (inet_autobind). Errors: EAGAIN."""
    raise NotImplementedError


def connect(table: SocketTable, entry: Entry, raddr: int, rport: int, source: int) -> None:
    """Connect a bound UDP socket to a peer (ip4_datagram_connect): it hears only the peer from now on.

    Call `autobind` first when it has no port, then ask the route. Args: source: the address that the route uses; taken
    when the socket is bound to none.
    """
    raise NotImplementedError


def disconnect(table: SocketTable, entry: Entry) -> None:
    """connect(2) to AF_UNSPEC (udp_disconnect): peer and device are forgotten, and what bind(2) did not name is given back."""
    raise NotImplementedError
