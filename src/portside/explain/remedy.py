"""What would work where a bind or listen fails: each is tried by the same rules before it is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EINVAL
from typing import Final

from portside.addr import ip
from portside.addr.abi import AF_INET6, IPPROTO_TCP, SECOND
from portside.addr.port import MAX_PORT
from portside.explain.binding import Answer, Attempt, Remedy, decide
from portside.explain.load import on_port
from portside.explain.place import Caller, Place
from portside.explain.words import user_name
from portside.facts.interface import IFF_UP
from portside.facts.snapshot import Snapshot
from portside.facts.state import TIME_WAIT
from portside.sockets import rules

TRIES: Final = 64
"""How many ports are asked for one that is free, before it is given up."""


def remedies(place: Place, answer: Answer) -> tuple[Remedy, ...]:
    """The nearest things that would work instead, the nearest first."""
    if answer.errno == EADDRINUSE and answer.rule is rules.NO_PORT_LEFT:
        return (Remedy("port-range", "a wider net.ipv4.ip_local_port_range, or a port that is named"),)
    find = {
        EADDRINUSE: _when_taken, EACCES: _when_privileged, EADDRNOTAVAIL: _when_not_local, EINVAL: _when_invalid,
    }.get(answer.errno)  # fmt: skip
    return () if find is None else tuple(find(place, answer))


def _works(place: Place, attempt: Attempt) -> bool:
    return bool(decide(place, attempt))


def _when_taken(place: Place, answer: Answer) -> Iterator[Remedy]:
    attempt = answer.attempt
    yield from _with_options(place, attempt)
    yield from _after_time_wait(place, answer)
    yield from _as_the_same_user(place, answer)
    yield from _on_another_address(place, attempt)
    yield from _on_another_port(place, attempt)
    held = [holder.socket if holder.queue_of is None else holder.queue_of for holder in answer.in_way]
    living = sorted({(owner.pid, owner.command) for socket in held for owner in socket.owners})
    if living:
        named = ", ".join(f"{pid} ({command})" if command else str(pid) for pid, command in living)
        yield Remedy(
            "stop", f"the same, once {'process' if len(living) == 1 else 'processes'} {named} let go of the port"
        )


def _with_options(place: Place, attempt: Attempt) -> Iterator[Remedy]:
    changed = replace(attempt, reuseaddr=True)
    if not attempt.reuseaddr and _works(place, changed):
        yield Remedy("reuseaddr", "the same with SO_REUSEADDR", changed)
    changed = replace(attempt, reuseport=True)
    if not attempt.reuseport and _works(place, changed):
        yield Remedy("reuseport", "the same with SO_REUSEPORT: both then share what arrives", changed)
    changed = replace(attempt, v6only=True)
    if attempt.family == AF_INET6 and attempt.address == ip.V6_ANY and not attempt.v6only and _works(place, changed):
        yield Remedy("v6only", "the same with IPV6_V6ONLY, for IPv6 alone", changed)


def _after_time_wait(place: Place, answer: Answer) -> Iterator[Remedy]:
    """A server that was restarted meets the connections of its predecessor in TIME-WAIT: they can be shared by
    SO_REUSEADDR if the predecessor had it too, which the kernel does not tell, and they end by themselves."""
    attempt = answer.attempt
    if attempt.proto != IPPROTO_TCP:
        return
    left = [each for each in on_port(place.snapshot, attempt.proto, attempt.port) if each.state == TIME_WAIT]
    if not left or not any(holder.socket.state == TIME_WAIT for holder in answer.in_way):
        return
    shared = replace(attempt, reuseaddr=True)
    had = replace(place, snapshot=_without_time_wait(place.snapshot, attempt.port, reuseaddr=True))
    if not attempt.reuseaddr and not _works(place, shared) and _works(had, shared):
        sentence = (
            "the same with SO_REUSEADDR, if who left the connections in TIME-WAIT had it set too: most servers do"
        )
        yield Remedy("reuseaddr", sentence)
    if _works(replace(place, snapshot=_without_time_wait(place.snapshot, attempt.port)), attempt):
        waiting = (each for each in place.snapshot.sockets if each.lport == attempt.port and each.state == TIME_WAIT)
        seconds = -(-max(each.timer_left for each in waiting) // SECOND)
        if seconds:
            yield Remedy("wait", f"the same, once TIME-WAIT is over: wait {seconds} s")


def _without_time_wait(snapshot: Snapshot, port: int, reuseaddr: bool = False) -> Snapshot:
    """The machine without a port's sockets in TIME-WAIT; or with these, as if they had SO_REUSEADDR."""
    found = []
    for each in snapshot.sockets:
        if each.lport != port or each.state != TIME_WAIT:
            found.append(each)
        elif reuseaddr:
            found.append(replace(each, reuseaddr=True))
    return replace(snapshot, sockets=tuple(found))


def _as_the_same_user(place: Place, answer: Answer) -> Iterator[Remedy]:
    for uid in sorted({holder.socket.uid for holder in answer.in_way} - {place.caller.uid}):
        changed = replace(answer.attempt, reuseport=True)
        caller = Caller.user(uid)
        if _works(replace(place, caller=caller), changed):
            sentence = (
                f"the same with SO_REUSEPORT as user {user_name(place.snapshot, uid)}: both then share what arrives"
            )
            yield Remedy("user", sentence, changed, caller)


def _own_addresses(place: Place, family: int, loopback: bool) -> Iterator[int]:
    """Addresses of the host of the family, the outer ones first; link-local ones need a scope and are left out."""
    outer: list[int] = []
    inner: list[int] = []
    for interface, each in place.addresses:
        if interface.flags & IFF_UP and ip.family_of(each.address) == family and not ip.needs_scope(each.address):
            (inner if ip.is_loopback(each.address) else outer).append(each.address)
    yield from inner + outer if loopback else outer + inner


def _on_another_address(place: Place, attempt: Attempt) -> Iterator[Remedy]:
    for address in _own_addresses(place, attempt.family, ip.is_loopback(attempt.address)):
        changed = replace(attempt, address=address, scope=0)
        if address != attempt.address and _works(place, changed):
            yield Remedy("address", f"another address: {changed.where}", changed)
            return
    beside = replace(attempt, address=ip.V4_LOOPBACK + 1)
    if attempt.address == ip.V4_LOOPBACK and _works(place, beside):
        yield Remedy("address", f"another address: {beside.where}", beside)


def _on_another_port(place: Place, attempt: Attempt, first: int = 0) -> Iterator[Remedy]:
    low, high = place.snapshot.settings.ip_local_port_range
    tried = 0
    for port in range(first or attempt.port + 1, MAX_PORT + 1):
        outside = not low <= port <= high or low <= attempt.port <= high
        if port in place.snapshot.settings.ip_local_reserved_ports or not outside:
            continue
        changed = replace(attempt, port=port)
        if _works(place, changed):
            yield Remedy("port", f"the next free port: {changed.where}", changed)
            return
        tried += 1
        if tried == TRIES:
            return


def _when_privileged(place: Place, answer: Answer) -> Iterator[Remedy]:
    attempt = answer.attempt
    if _works(replace(place, caller=Caller()), attempt):
        yield Remedy("user", "the same as root, or with the capability CAP_NET_BIND_SERVICE", attempt, Caller())
        yield Remedy("sysctl", f"the same once net.ipv4.ip_unprivileged_port_start is {attempt.port} or less")
    start = place.snapshot.settings.ip_unprivileged_port_start
    yield from _on_another_port(place, attempt, max(start, 8000 + attempt.port))


def _when_not_local(place: Place, answer: Answer) -> Iterator[Remedy]:
    attempt = answer.attempt
    for other in place.snapshot.others:
        for interface in other.interfaces:
            if any(each.address == attempt.address for each in interface.addresses):
                name = other.namespace.name or f"{other.namespace.inode}"
                yield Remedy("namespace", f"the same within the network namespace {name}, whose address it is")
    own = sorted(_own_addresses(place, attempt.family, False), key=lambda each: (each ^ attempt.address).bit_length())
    for address in own:
        changed = replace(attempt, address=address)
        if _works(place, changed):
            yield Remedy("address", f"an address that the machine has: {changed.where}", changed)
            break
    wildcard = replace(attempt, address=ip.V6_ANY if attempt.family == AF_INET6 else ip.V4_ANY)
    if _works(place, wildcard):
        yield Remedy("wildcard", f"every address: {wildcard.where}", wildcard)
    changed = replace(attempt, freebind=True)
    if _works(place, changed):
        yield Remedy("freebind", "the same with IP_FREEBIND, for an address that will come later", changed)


def _when_invalid(place: Place, answer: Answer) -> Iterator[Remedy]:
    attempt = answer.attempt
    if answer.rule is rules.NEEDS_SCOPE:
        for interface, each in place.addresses:
            changed = replace(attempt, scope=interface.index)
            if each.address == attempt.address and _works(place, changed):
                text = ip.text(attempt.address)
                yield Remedy("scope", f"with its interface: [{text}%{interface.name}]:{attempt.port}", changed)
    elif answer.rule is rules.MAPPED_ON_V6ONLY:
        changed = replace(attempt, v6only=False)
        if _works(place, changed):
            yield Remedy("v6only", "the same without IPV6_V6ONLY", changed)
    elif answer.rule is rules.V6_MULTICAST_STREAM and attempt.proto == IPPROTO_TCP:
        wildcard = replace(attempt, address=ip.V6_ANY)
        if _works(place, wildcard):
            yield Remedy("wildcard", f"every address: {wildcard.where}", wildcard)
