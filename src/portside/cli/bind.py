"""`portside bind`: would this bind(2) and listen(2) work, and if not, why and what would. It binds nothing."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Final

import click

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, AF_UNIX, IPPROTO_UDP
from portside.addr.endpoint import NotationError, parse
from portside.addr.reading import Endpoint
from portside.cli import source as sources
from portside.cli.source import Complaint, Source
from portside.explain.binding import DEPENDS, FAILS, WORKS, Answer, attempt_of, would_bind
from portside.explain.place import Caller
from portside.facts.snapshot import Snapshot
from portside.views.table import clean

WANT: Final = frozenset({"sockets", "owners", "options", "interfaces", "routes", "settings", "users"})
STATUS: Final = {WORKS: 0, FAILS: 1, DEPENDS: 3}
"""The exit codes."""


def run(
    where: str,
    source: Source,
    *,
    udp: bool = False,
    user: str | None = None,
    device: str | None = None,
    as_json: bool = False,
    **options: bool | None,
) -> int:
    """Print the answer for each address that the notation stands for. Returns the worst exit code. Raises Complaint."""
    endpoints = _endpoints(where)
    found = sources.snapshot(source, WANT, everywhere=source.namespace is None)
    lacking = found.lacking
    if lacking is not None and not all(ip.is_any(each.address or ip.V4_ANY) for each in endpoints):
        raise Complaint(f"it can't be known: {lacking.what} could not be read ({lacking.why})")
    caller = _caller(user, source, found)
    answers = [_answer(each, found, caller, udp, device, options) for each in endpoints]
    if as_json:
        said = [each.json() for each in answers]
        missing = sources.missing_json(found)
        click.echo(json.dumps({"asked": where, "uid": caller.uid, "answers": said, "missing": missing}))
    else:
        for each in answers:
            for line in each.lines:
                click.echo(clean(line))
        click.echo(sources.missing(found), nl=False, err=True)
    return max(STATUS[each.outcome] for each in answers)


def _answer(
    endpoint: Endpoint, found: Snapshot, caller: Caller, udp: bool, device: str | None, options: dict[str, bool | None]
) -> Answer:
    try:
        attempt = attempt_of(endpoint, found, **options)
    except ValueError as error:
        raise Complaint(str(error)) from None
    if udp:
        attempt = replace(attempt, proto=IPPROTO_UDP)
    if device is not None:
        index = next((each.index for each in found.interfaces if each.name == device), 0)
        if not index:
            raise Complaint(f"this machine has no interface {device}")
        attempt = replace(attempt, device=index)
    return would_bind(found, attempt, caller)


def _endpoints(where: str) -> list[Endpoint]:
    """What is to be bound: a wildcard of no family, as a port alone, is tried for both."""
    try:
        notation = parse(where)
    except NotationError as error:
        raise Complaint(str(error)) from None
    if notation.endpoint.family == AF_UNIX:
        raise Complaint("a UNIX socket has no port; portside bind is for TCP and UDP")
    endpoint = notation.with_port
    if endpoint is None:
        raise Complaint(f"{where!r} has no port: write an address and a port, such as 0.0.0.0:8080 or [::1]:8080")
    if endpoint.address is not None:
        return [endpoint]
    if endpoint.name:
        return sources.resolved(endpoint)
    v4 = replace(endpoint, every=False, family=AF_INET, address=ip.V4_ANY)
    v6 = replace(endpoint, every=False, family=AF_INET6, address=ip.V6_ANY)
    return [each for each in (v4, v6) if endpoint.family in (0, each.family)]


def _caller(user: str | None, source: Source, found: Snapshot) -> Caller:
    """Who would call: the user that is named, else the process that asks."""
    if user is not None:
        return Caller.user(sources.user_id(user, found, source))
    process = sources.simulated()
    if process is not None:
        return Caller(process.euid, process.effective)
    if source.file is None:
        capabilities = _capabilities(None if source.namespace is None else found.namespace.inode)
        if capabilities is not None:
            return Caller(os.geteuid(), capabilities)
    return Caller.user(os.geteuid())


def _capabilities(inode: int | None) -> int | None:
    """What this process may do in a network namespace, None for its own; None where that can't be known."""
    from portside.live import namespaces, rights

    if inode is None:
        return rights.in_network_namespace()
    place = namespaces.every().found.get(inode)
    return None if place is None else namespaces.inside(place.way, rights.in_network_namespace)
