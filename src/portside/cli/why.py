"""`portside why`: what a connection would meet, step by step, and what to change."""

from __future__ import annotations

import errno
import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP
from portside.addr.endpoint import NotationError, parse
from portside.addr.reading import Endpoint
from portside.api import begins_in, looked_up
from portside.cli import source as sources
from portside.cli.source import Complaint, Source
from portside.explain.attempt import ACCEPTED, BEYOND, FAILED, SILENT, UNKNOWN, Why
from portside.explain.connect import why
from portside.explain.origin import ClosedError
from portside.facts.snapshot import Missing, Snapshot
from portside.views.table import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

WANT: Final = frozenset({"sockets", "owners", "interfaces", "routes", "filter", "settings", "users"})
STATUS: Final = {ACCEPTED: 0, FAILED: 1, SILENT: 1, BEYOND: 3, UNKNOWN: 3}
"""The exit codes."""
OWNERS: Final = ("who holds ", "the sockets that ")
LISTENERS: Final = "v6only"
"""How `facts.snapshot.Missing.what` begins where it is about who has a socket, and about what it listens to."""
PATIENCE: Final = 10.0
"""Seconds that the one real attempt may take."""

MEANINGS: Final = {
    errno.ECONNREFUSED: "that host is there and refuses: nobody listens on that port, or a filter rejects it",
    errno.EHOSTUNREACH: "a router or a filter says that the host can't be reached, or nobody has its address",
    errno.ENETUNREACH: "there is no route to it, here or at a router on the way",
    errno.ECONNRESET: "somebody took the connection and cut it",
    errno.ETIMEDOUT: "nobody answered: a filter drops it, or there is no such host",
    errno.EACCES: "a route or a filter prohibits it",
}


def run(
    where: str, source: Source, *, origin: str | None = None, udp: bool = False, family: int | None = None,
    user: str | None = None, really: bool = False, as_json: bool = False,
) -> int:  # fmt: skip
    """Print what would become of a connection. Returns the exit code. Raises Complaint."""
    endpoint = _endpoint(where)
    proto = IPPROTO_UDP if udp or endpoint.proto == IPPROTO_UDP else IPPROTO_TCP
    if really and origin is not None:
        raise Complaint("--try begins here: run it in the namespace itself (ip netns exec, docker exec)")
    if really and proto == IPPROTO_UDP:
        raise Complaint("--try is for TCP: a datagram that is not answered tells nothing")
    if origin is None:
        _addresses(endpoint, family, Snapshot(host=""), source)  # a mistake is said before everything is read
    found = sources.snapshot(source, WANT if origin is None else WANT | {"processes"}, everywhere=True)
    user_id = sources.user_id(user, found, source)
    begins = _origin(found, origin)
    addresses, names = _addresses(endpoint, family, found, source, origin)
    assert endpoint.port is not None
    host = endpoint.name or ip.text(addresses[0]) + (f"%{endpoint.zone}" if endpoint.zone else "")
    try:
        answer = why(
            found, host, endpoint.port, source=begins, proto=proto, addresses=addresses,
            uid=user_id, names=names,
        )  # fmt: skip
    except ValueError as error:
        raise Complaint(str(error)) from None
    real = _attempt(addresses, endpoint) if really else None
    if real is not None and (answer.outcome in (BEYOND, UNKNOWN) or bool(answer) is not real.connected):
        answer = replace(answer, remedy=real.remedy)
    if as_json:
        said = answer.json()
        click.echo(json.dumps(said if real is None else {**said, "tried": real.sentence}))
    else:
        _tell(answer, real.sentence if real is not None else None)
        click.echo(sources.missing(found, lambda each: _bears(each, answer)), nl=False, err=True)
    return STATUS[answer.outcome] if real is None else int(not real.connected)


def _bears(missing: Missing, answer: Why) -> bool:
    """Whether the answer might be another, or a name stand in it, if that had been read."""
    if missing in answer.missing:
        return True
    if missing.what.startswith(OWNERS):
        return any(not socket.owners for attempt in answer.attempts for socket in attempt.by)
    return missing.what.startswith(LISTENERS)


def _tell(answer: Why, real: str | None) -> None:
    for attempt in answer.attempts:
        for step in attempt.steps:
            click.echo(clean(f"  {step.machine}: {step.sentence}"))
        click.echo(clean(attempt.sentence))
    if not answer.attempts:
        click.echo(clean(answer.sentence))
    if real is not None:
        click.echo(clean(f"tried for real: {real}"))
    if answer.missing:
        click.echo(
            clean("as far as it can be known: " + "; ".join(f"{each.what} ({each.why})" for each in answer.missing))
        )
    click.echo(clean(f"to change: {answer.remedy}"))


def _endpoint(where: str) -> Endpoint:
    try:
        notation = parse(where)
    except NotationError as error:
        raise Complaint(str(error)) from None
    endpoint = notation.with_port or notation.endpoint
    if endpoint is not None and endpoint.path is not None:
        raise Complaint("a UNIX socket has no port; portside why is for TCP and UDP")
    if endpoint is None or endpoint.port is None:
        raise Complaint(f"{where!r} has no port: write HOST:PORT, such as localhost:8080 or [::1]:8080")
    return endpoint


def _addresses(
    endpoint: Endpoint, family: int | None, found: Snapshot, source: Source, origin: str | None = None
) -> tuple[list[int], str]:
    """The addresses in the order in which a program tries them, and where they were looked up. Raises Complaint."""
    if endpoint.address is not None and family not in (None, ip.family_of(endpoint.address)):
        raise Complaint(f"{ip.text(endpoint.address)} is no address of IPv{'4' if family == AF_INET else '6'}")
    try:
        return looked_up(endpoint, found, origin, family or 0, read_here=source.file is None)
    except OSError as error:
        raise Complaint(
            f"{endpoint.name}: {error.strerror}: check the spelling, add it to /etc/hosts, or give an address"
        ) from None


def _origin(found: Snapshot, origin: str | None) -> str | None:
    """The namespace that a connection begins in, as `why` takes it. Raises Complaint."""
    try:
        begins = begins_in(found, origin)
    except ClosedError as error:
        raise Complaint(str(error)) from None
    known = any(begins in (each.namespace.name, str(each.namespace.inode)) for each in (found, *found.others))
    if begins is not None and not known and os.geteuid() and (Path("/run/netns") / begins).exists():
        raise Complaint(f"the network namespace {begins} can't be entered: run it as root")
    return begins


class Real(NamedTuple):
    """How the real attempt ended, and what to change then."""

    connected: bool
    sentence: str
    remedy: str


def _attempt(addresses: Sequence[int], endpoint: Endpoint) -> Real:
    """Make the one real attempt, and say what its end means."""
    said = meaning = ""
    for address in addresses:
        family = AF_INET if ip.is_v4(address) else AF_INET6
        name = ip.text(address) + (f"%{endpoint.zone}" if endpoint.zone else "")
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE)
            try:
                client.connect(socket.getaddrinfo(name, endpoint.port, family, socket.SOCK_STREAM)[0][4])
            except TimeoutError:
                meaning = MEANINGS[errno.ETIMEDOUT]
                said = f"{name}: no answer in {PATIENCE:.0f} s: {meaning}"
            except OSError as error:
                number = error.errno or 0
                meaning = MEANINGS.get(number, errno.errorcode.get(number, ""))
                said = f"{name}: {error.strerror}: {meaning}"
            else:
                return Real(True, f"{name}: connected", "nothing: it works")
    return Real(False, said, meaning)
