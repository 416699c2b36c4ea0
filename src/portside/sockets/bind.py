"""bind(2) and listen(2): which address and port a socket may have."""

from __future__ import annotations

from random import Random
from typing import Protocol

from portside.facts.verdict import Verdict
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable


class Environment(Protocol):
    """What bind(2) asks of the host and of the process that calls."""

    def is_local_address(self, address: int, device: int) -> bool:
        """Whether a socket may be bound to the address because the host has it.

        IPv4: it is in the local routing table, as a local or a broadcast address; with a device, through that device
        (inet_addr_type_dev_table). IPv6: an interface has it; with a device, one of link or host scope must be that
        device's (ipv6_chk_addr). Wildcards and multicast are not asked for.
        """

    def has_interface(self, index: int) -> bool:
        """Whether there is an interface of that index."""

    def capable(self, capability: int) -> bool:
        """Whether the calling process has the capability of capabilities(7) in effect."""


def bind(
    table: SocketTable, entry: Entry, address: int, port: int, environment: Environment, random: Random, scope: int = 0
) -> Verdict:
    """Give the socket a local address and port (bind(2)), or say why not; when refused nothing has been taken.

    Args:
        address: v4-mapped for AF_INET; any for AF_INET6.
        port: 0 lets the host choose; with IP_BIND_ADDRESS_NO_PORT connect(2) chooses later.
        random: the stream from which a chosen port is drawn.
        scope: sin6_scope_id.

    Errors: EADDRINUSE, EADDRNOTAVAIL, EACCES, EINVAL, ENODEV.
    """
    raise NotImplementedError


def decide(table: SocketTable, entry: Entry, address: int, port: int, environment: Environment, scope: int = 0) -> Verdict:
    """What bind(2) would answer, without doing it; `because` holds the sockets in the way."""
    raise NotImplementedError


def listen(table: SocketTable, entry: Entry, random: Random) -> Verdict:
    """Make a TCP socket a listener (listen(2)); one without a port gets one. Sets its state.

    A second listen on a listener is allowed and changes nothing here. Errors: EADDRINUSE. The host answers EINVAL for a
    connected one before.
    """
    raise NotImplementedError
