"""Which port a socket gets that asked for none: the search orders of bind(2), of connect(2), and of UDP."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from portside.sockets import conflict
from portside.sockets.crowd import NEVER
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable

TimeWaitReuse = Callable[[Entry, bool], int]
"""`reusable_at(entry, chosen)`: from which time (ns) connect(2) may take over this TIME-WAIT's addresses and ports; 0
for at once, NEVER for not at all. `chosen`: the host is looking for a port, and `tcp_tw_reuse` and `tcp_tw_reuse_delay`
count; for a port that the program bound, timestamps on the old connection are enough (tcp_twsk_unique)."""

Blocked = Callable[[int], int]
"""Until when (ns) a port can't be had: 0 if it can, NEVER if something must change first."""

PATIENCE = 32
"""Tries before a search begins to write down what it finds."""


def never(entry: Entry, chosen: bool) -> int:
    """No TIME-WAIT is taken over."""
    return NEVER


def port_range(table: SocketTable, entry: Entry) -> tuple[int, int]:
    """The first port and the one after the last that may be chosen (inet_sk_get_local_port_range).

    IP_LOCAL_PORT_RANGE narrows the range of the sysctl; an end of it outside of that range is ignored (ip(7)).
    """
    low, high = table.settings.ip_local_port_range
    if entry.port_range is not None:
        own_low, own_high = entry.port_range
        first, last = low, high
        if first <= own_low <= last:
            low = own_low
        if low <= own_high <= last:
            high = own_high
    return low, high + 1


def below(random: Random, limit: int) -> int:
    """A number from 0 to limit - 1 (get_random_u32_below)."""
    return random.getrandbits(32) * limit >> 32


def for_bind(table: SocketTable, entry: Entry, random: Random) -> int:
    """A port for bind(2) to port 0 and for listen(2) without bind; 0 if there is none (inet_csk_find_open_port).

    Odd ports first (counted from the start of the range), to leave the even ones to connect(2); with SO_REUSEADDR the
    lower half of the range first. Nobody is shared with, unless `ip_autobind_reuse` and all else is taken.
    """
    port = _for_bind(table, entry, random, False)
    if not port and table.settings.ip_autobind_reuse:
        port = _for_bind(table, entry, random, True)
    return port


def _for_bind(table: SocketTable, entry: Entry, random: Random, relax: bool) -> int:
    ports = table.ports
    reserved = table.settings.ip_local_reserved_ports

    def blocked(port: int) -> int:
        if port in reserved:
            return NEVER
        bucket = ports.get(port)
        if bucket is None:
            return 0
        return NEVER if next(conflict.tcp_in_way(bucket, entry, relax, False), None) else 0

    key = (_asker(entry), relax, reserved)
    low, high = port_range(table, entry)
    if not entry.reuseaddr or high - low < 4:
        return _odd_then_even(table, key, low, high, random, blocked)
    half = low + (high - low >> 2 << 1)
    return _odd_then_even(table, key, low, half, random, blocked) or _odd_then_even(
        table, key, half, high, random, blocked
    )


def _odd_then_even(table: SocketTable, key: object, low: int, high: int, random: Random, blocked: Blocked) -> int:
    span = high - low
    if span > 1:
        span &= ~1
    offset = below(random, span) | 1
    tries = span + 1 >> 1
    return _search(table, key, low + offset, tries, 2, high, span, 0, blocked) or _search(
        table, key, low + offset - 1, tries, 2, high, span, 0, blocked
    )


def for_connect(table: SocketTable, entry: Entry, now: int, random: Random, reusable_at: TimeWaitReuse) -> int:
    """A port for connect(2) of a TCP socket without one; 0 if there is none for this peer (__inet_hash_connect).

    Even ports first, from a place that depends on source and destination and moves on a little with each connection.
    Ports on which bind(2) put anybody are passed over, on other addresses too; one that only connect(2) uses is shared
    when the five-tuple is new. With IP_LOCAL_PORT_RANGE parity does not count.
    """
    ports = table.ports
    reserved = table.settings.ip_local_reserved_ports
    low, high = port_range(table, entry)
    span = high - low
    step = 1 if entry.port_range is not None else 2
    if step == 2 and span > 1:
        span &= ~1
    place = hash((table.seed, entry.laddr, entry.raddr, entry.rport)) * 0x9E3779B97F4A7C15
    index = place >> 16 & 0xFFFF
    offset = (table.perturbation.get(index, 0) + (place >> 32 & 0xFFFFFFFF)) % span
    if step == 2:
        offset &= ~1
    first = low + offset
    if first not in ports and first not in reserved:
        port = first  # the first one is free, as nearly always: no search
    else:
        first, port = _search_for_connect(table, entry, first, high, span, step, now, reusable_at)
    if port:
        # On a quiet host the next port is hard to guess, on a busy one it is the next.
        moved = max((port - first) % span, below(random, 8) * step) + step
        table.perturbation[index] = table.perturbation.get(index, 0) + moved
    return port


def _search_for_connect(
    table: SocketTable, entry: Entry, first: int, high: int, span: int, step: int, now: int, reusable_at: TimeWaitReuse
) -> tuple[int, int]:
    """Where the search began that found a port, and the port; 0 if there is none."""
    ports = table.ports
    settings = table.settings
    reserved = settings.ip_local_reserved_ports

    def blocked(port: int) -> int:
        if port in reserved:
            return NEVER
        bucket = ports.get(port)
        if bucket is None:
            return 0
        if not bucket.connect_only:
            return NEVER
        other = same_connection(table, entry, port)
        if other is None:
            return 0
        if not other.time_wait:
            return NEVER
        when = reusable_at(other, True)
        return 0 if when <= now else when

    key = (
        entry.laddr,
        entry.raddr,
        entry.rport,
        entry.device,
        step,
        settings.tcp_tw_reuse,
        settings.tcp_tw_reuse_delay,
        reserved,
    )
    tries = (span + step - 1) // step
    port = _search(table, key, first, tries, step, high, span, now, blocked)
    if not port and step == 2 and span > 1:
        first += 1
        port = _search(table, key, first, tries, step, high, span, now, blocked)
    return first, port


def for_datagram(table: SocketTable, entry: Entry, random: Random) -> int:
    """A port for a UDP socket that asked for none; 0 if there is none (udp_lib_get_port).

    Every free port is as likely; a port whose holders all share with this socket counts as free.
    """
    ports = table.ports
    reserved = table.settings.ip_local_reserved_ports

    def blocked(port: int) -> int:
        if port in reserved:
            return NEVER
        bucket = ports.get(port)
        return NEVER if bucket is not None and conflict.udp_taken(bucket, entry) else 0

    low, high = port_range(table, entry)
    span = high - low
    key = (_asker(entry), reserved)
    return _search(table, key, low + below(random, span), span, 1, high, span, 0, blocked)


def same_connection(table: SocketTable, entry: Entry, port: int) -> Entry | None:
    """Who already has the five-tuple that `entry` would have with that port (__inet_check_established).

    A connection bound to a device is another one unless `entry` is bound to the same.
    """
    other = table.connected.get((entry.laddr, port, entry.raddr, entry.rport))
    while other is not None and other.device not in (0, entry.device):
        other = other.twin
    return other


def _asker(entry: Entry) -> tuple[object, ...]:
    """All of a socket that decides which ports it may have."""
    return (
        entry.family,
        entry.laddr,
        entry.v6only,
        entry.device,
        entry.reuseaddr,
        entry.reuseport,
        entry.uid,
    )


def _search(
    table: SocketTable,
    key: object,
    first: int,
    tries: int,
    step: int,
    high: int,
    span: int,
    now: int,
    blocked: Blocked,
) -> int:
    """The first port that is not blocked, from `first` in steps, going back by `span` at `high`; 0 after all tries."""
    port = first
    for _ in range(tries if tries < PATIENCE else PATIENCE):
        if port >= high:
            port -= span
        if not blocked(port):
            return port
        port += step
    left = tries - PATIENCE
    if left <= 0:
        return 0
    crowd = table.crowd(key, step)
    crowd.wake(now)
    while left > 0:
        if port >= high:
            port -= span
        end = min(high, port + left * step)
        found = crowd.candidate(port, end)
        while found >= 0:
            until = blocked(found)
            if not until:
                return found
            crowd.block(found, until)
            found = crowd.candidate(found + step, end)
        run = (end - port + step - 1) // step
        left -= run
        port += run * step
    return 0
