"""bind(2) and listen(2): which address and port a socket may have."""

from __future__ import annotations

from errno import EADDRINUSE
from random import Random
from typing import Final, Protocol

from portside.addr.abi import AF_INET, IPPROTO_TCP
from portside.addr.ip import V4_ANY, V6_ANY, is_multicast, needs_scope
from portside.facts.state import CLOSED, LISTEN
from portside.facts.verdict import ALLOWED, Verdict
from portside.sockets import conflict, ephemeral, reuseport, rules
from portside.sockets.bucket import Kind, PortBucket
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable

CAP_NET_BIND_SERVICE: Final = 10  # capabilities(7)


class Environment(Protocol):
    """What bind(2) asks of the host and of the process that calls."""

    def is_local_address(self, address: int, device: int) -> bool:
        """Whether the host has the address.

        IPv4: the local routing table has it as local (127.0.0.0/8 included), whatever the device. IPv6: an interface
        has it; with a device (0: none), an address of link or host scope must be that device's (ipv6_chk_addr). Not
        asked for wildcards and multicast.
        """

    def is_broadcast_address(self, address: int) -> bool:
        """Whether it is 255.255.255.255 or the broadcast address of a network of this host. Only asked for IPv4."""

    def has_interface(self, index: int) -> bool:
        """Whether there is an interface of that index."""

    def capable(self, capability: int) -> bool:
        """Whether the calling process has the capability of capabilities(7) in effect."""


def bind(
    table: SocketTable,
    entry: Entry,
    address: int,
    port: int,
    environment: Environment,
    random: Random,
    scope: int = 0,
) -> Verdict:
    """Give the socket a local address and port (bind(2)), or say why not.

    Port 0 lets the host choose; with IP_BIND_ADDRESS_NO_PORT connect(2) chooses later. A specific IPv6 address makes
    the socket v6-only. The scope of a link-local address becomes its device, even if the call then fails.

    Args:
        address: IPv4 (v4-mapped form) for AF_INET, any for AF_INET6.
        port: 0 to 65535.
        random: the stream from which a port is drawn.
        scope: sin6_scope_id.

    Errors: EADDRINUSE, EADDRNOTAVAIL, EACCES, EINVAL, ENODEV. Source: __inet_bind, __inet6_bind (Linux 6.18).
    """
    refusal = _admit(table, entry, address, port, environment, scope)
    if refusal is not None:
        return refusal
    was_v6only = entry.v6only
    _name(entry, address, environment)
    if port or not entry.bind_address_no_port:
        verdict = _get_port(table, entry, port, random)
        if verdict.errno:
            entry.v6only = was_v6only
            entry.laddr = entry.saddr = entry.wildcard
            return verdict
    if address != entry.wildcard:
        entry.address_explicit = True
    if port:
        entry.port_explicit = True
    entry.sport = entry.lport
    return ALLOWED


def decide(
    table: SocketTable, entry: Entry, address: int, port: int, environment: Environment, scope: int = 0
) -> Verdict:
    """What bind(2) would answer, without doing it. `because` holds every kind of socket in the way, one of each.

    For port 0 it says whether the address may be bound; the ports that are left are `ephemeral`'s to tell.
    Errors: as `bind`.
    """
    probe = entry.copy()
    refusal = _admit(table, probe, address, port, environment, scope)
    if refusal is not None:
        return refusal
    _name(probe, address, environment)
    bucket = table.ports.get(port)
    if bucket is None or not port:
        return ALLOWED
    if table.proto != IPPROTO_TCP:
        return _udp_verdict(conflict.udp_in_way(bucket, probe))
    if _let_in_unasked(bucket, probe):
        return ALLOWED
    kinds = list(conflict.tcp_in_way(bucket, probe, True, True))
    return Verdict(EADDRINUSE, rules.IN_USE_TCP, tuple(kind.newest for kind in kinds)) if kinds else ALLOWED


def decide_listen(table: SocketTable, entry: Entry) -> Verdict:
    """What listen(2) on a bound TCP socket would answer, without doing it: bind(2) that worked proves nothing.

    `because` holds every kind of socket in the way, one of each. Errors: EADDRINUSE.
    """
    bucket = table.ports.get(entry.lport)
    if bucket is None or entry.state == LISTEN or _let_in_unasked(bucket, entry):
        return ALLOWED
    kinds = list(conflict.tcp_in_way(bucket, entry, True, True))
    return Verdict(EADDRINUSE, rules.LISTEN_IN_USE, tuple(kind.newest for kind in kinds)) if kinds else ALLOWED


def listen(table: SocketTable, entry: Entry, random: Random) -> Verdict:
    """Make a TCP socket a listener (listen(2)); one without a port gets one. Sets its state.

    Who may share the port is asked again, since another may be listening by now. On a listener it changes nothing.
    The host answers EINVAL for a connected socket before. Errors: EADDRINUSE. Source: inet_csk_listen_start.
    """
    if entry.state == LISTEN:
        return ALLOWED
    verdict = _get_port(table, entry, entry.lport, random)
    if verdict.errno:
        return Verdict(EADDRINUSE, rules.LISTEN_IN_USE, verdict.because) if verdict.because else verdict
    entry.sport = entry.lport
    table.add_listener(entry)
    return ALLOWED


def _admit(
    table: SocketTable, entry: Entry, address: int, port: int, environment: Environment, scope: int
) -> Verdict | None:
    """The questions before the port's: AF_INET asks for the address first, AF_INET6 for the privilege.

    The scope of a link-local address becomes the socket's device, whatever comes after.
    """
    privileged = port and port < table.settings.ip_unprivileged_port_start
    if entry.family == AF_INET:
        if not _valid_v4(table, entry, address, environment):
            return rules.REFUSE_NOT_LOCAL
        if privileged and not environment.capable(CAP_NET_BIND_SERVICE):
            return rules.REFUSE_PRIVILEGED
        return rules.REFUSE_ALREADY_BOUND if entry.state != CLOSED or entry.lport else None
    if address >> 120 == 0xFF and table.proto == IPPROTO_TCP:
        return rules.REFUSE_V6_MULTICAST_STREAM
    if privileged and not environment.capable(CAP_NET_BIND_SERVICE):
        return rules.REFUSE_PRIVILEGED
    if entry.state != CLOSED or entry.lport:
        return rules.REFUSE_ALREADY_BOUND
    return _admit_v6(table, entry, address, environment, scope)


def _admit_v6(table: SocketTable, entry: Entry, address: int, environment: Environment, scope: int) -> Verdict | None:
    """Whether the host has the address that an AF_INET6 socket asks for, on the interface that it names."""
    if address == V6_ANY:
        return None
    mapped = address >> 32 == 0xFFFF
    if mapped and entry.v6only:
        return rules.REFUSE_MAPPED_ON_V6ONLY
    if needs_scope(address):
        entry.device = scope or entry.device
        if not entry.device:
            return rules.REFUSE_NEEDS_SCOPE
    if entry.device and not environment.has_interface(entry.device):
        return rules.REFUSE_NO_INTERFACE
    if mapped:
        valid = _valid_v4(table, entry, address, environment)
    else:
        valid = (
            address >> 120 == 0xFF
            or bool(entry.freebind or entry.transparent or table.settings.ip6_nonlocal_bind)
            or environment.is_local_address(address, entry.device)
        )
    return None if valid else rules.REFUSE_NOT_LOCAL


def _valid_v4(table: SocketTable, entry: Entry, address: int, environment: Environment) -> bool:
    return (
        address == V4_ANY
        or environment.is_local_address(address, 0)
        or is_multicast(address)
        or bool(entry.freebind or entry.transparent or table.settings.ip_nonlocal_bind)
        or environment.is_broadcast_address(address)
    )


def _name(entry: Entry, address: int, environment: Environment) -> None:
    """Take the address. One that can't be a source (multicast, broadcast) only receives."""
    entry.laddr = entry.saddr = address
    if entry.family == AF_INET:
        if is_multicast(address) or (
            address != V4_ANY
            and not environment.is_local_address(address, 0)
            and environment.is_broadcast_address(address)
        ):
            entry.saddr = V4_ANY
        return
    if address >> 32 != 0xFFFF and address != V6_ANY:
        entry.v6only = True
        if is_multicast(address):
            entry.saddr = V6_ANY


def _let_in_unasked(bucket: PortBucket, entry: Entry) -> bool:
    return bucket.fast is not None and conflict.covers(bucket.fast, entry)


def _get_port(table: SocketTable, entry: Entry, port: int, random: Random) -> Verdict:
    """Let the socket have the port (0: one that is free) on its address, and be a holder of it."""
    if table.proto != IPPROTO_TCP:
        return get_datagram_port(table, entry, port, random)
    if not port:
        port = ephemeral.for_bind(table, entry, random)
        if not port:
            return rules.REFUSE_NO_PORT_LEFT
    else:
        bucket = table.ports.get(port)
        if bucket is not None and not _let_in_unasked(bucket, entry):
            kind = next(conflict.tcp_in_way(bucket, entry, True, True), None)
            if kind is not None:
                return Verdict(EADDRINUSE, rules.IN_USE_TCP, (kind.newest,))
    if entry.home is None:
        table.take_port(entry, port)
    table.remember(entry)
    return ALLOWED


def get_datagram_port(table: SocketTable, entry: Entry, port: int, random: Random) -> Verdict:
    """Let a UDP socket have a port (0: one that is free), join its SO_REUSEPORT group and receive (udp_lib_get_port).

    Errors: EADDRINUSE.
    """
    if not port:
        port = ephemeral.for_datagram(table, entry, random)
        if not port:
            return rules.REFUSE_NO_PORT_LEFT
    else:
        bucket = table.ports.get(port)
        if bucket is not None:
            verdict = _udp_verdict(conflict.udp_in_way(bucket, entry))
            if verdict.errno:
                return verdict
    table.take_port(entry, port)
    if entry.reuseport:
        reuseport.join_like(entry, False)
    table.add_receiver(entry)
    return ALLOWED


def _udp_verdict(kind: Kind | None) -> Verdict:
    return ALLOWED if kind is None else Verdict(EADDRINUSE, rules.IN_USE_UDP, (kind.newest,))
