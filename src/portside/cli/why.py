"""`portside why`: what a connection would meet, step by step, and what to change."""

from __future__ import annotations

import errno
import json
import os
import pwd
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP
from portside.addr.endpoint import NotationError, parse
from portside.addr.reading import Endpoint
from portside.api import addresses_of
from portside.cli import source as sources
from portside.cli.source import Complaint, Source
from portside.explain.connect import ACCEPTED, BEYOND, FAILED, SILENT, UNKNOWN, Why, why
from portside.views.table import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portside.facts.snapshot import Snapshot

WANT: Final = frozenset({"sockets", "owners", "interfaces", "routes", "filter", "settings", "users"})
STATUS: Final = {ACCEPTED: 0, FAILED: 1, SILENT: 1, BEYOND: 3, UNKNOWN: 3}
"""The exit codes."""
NAMED_HOSTS: Final = "/etc/netns/{}/hosts"
"""The hosts file of a named network namespace."""
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
    addresses = _addresses(endpoint, family)
    assert endpoint.port is not None
    host = endpoint.name or ip.text(addresses[0]) + (f"%{endpoint.zone}" if endpoint.zone else "")
    user_id = _user(user)
    found = sources.snapshot(source, WANT if origin is None else WANT | {"processes"}, everywhere=True)
    origin = _origin(found, origin)
    names = "here" if origin is not None else ""
    if origin is not None and endpoint.name and source.file is None:
        own = _own_hosts(origin, endpoint.name, family)
        addresses, names = (own, f"in {NAMED_HOSTS.format(origin)}") if own else (addresses, names)
    try:
        answer = why(
            found, host, endpoint.port, source=origin, proto=proto, addresses=addresses,
            uid=user_id, names=names,
        )  # fmt: skip
    except ValueError as error:
        raise Complaint(str(error)) from None
    real = _attempt(addresses, endpoint, proto, origin) if really else None
    if real is not None and (answer.outcome in (BEYOND, UNKNOWN) or bool(answer) is not real.connected):
        answer = replace(answer, remedy=real.remedy)
    if as_json:
        said = answer.json()
        click.echo(json.dumps(said if real is None else {**said, "tried": real.sentence}))
    else:
        _tell(answer, real.sentence if real is not None else None)
        click.echo(sources.missing(found), nl=False, err=True)
    return STATUS[answer.outcome] if real is None else int(not real.connected)


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


def _addresses(endpoint: Endpoint, family: int | None) -> Sequence[int]:
    """The addresses in the order in which a program tries them. Raises Complaint."""
    if endpoint.address is not None and family not in (None, ip.family_of(endpoint.address)):
        raise Complaint(f"{ip.text(endpoint.address)} is no address of IPv{'4' if family == AF_INET else '6'}")
    try:
        return addresses_of(endpoint, family or 0)
    except OSError as error:
        raise Complaint(
            f"{endpoint.name}: {error.strerror}: check the spelling, add it to /etc/hosts, or give an address"
        ) from None


def _origin(found: Snapshot, origin: str | None) -> str | None:
    """The namespace that a connection begins in: its name or inode, of a pid, of a container. Raises Complaint."""
    if origin is None or origin == "this machine":
        return None
    everywhere = (found, *found.others)
    if any(origin in (each.namespace.name, str(each.namespace.inode)) for each in everywhere):
        return origin
    inodes = {each.namespace.inode for each in everywhere}
    living = [process for each in everywhere for process in each.processes]
    meant = [process for process in living if str(process.pid) == origin]
    meant = meant or [process for process in living if (process.container or "").startswith(origin)]
    for process in meant:
        if process.namespace not in inodes:
            raise Complaint(f"the network namespace of {origin} can't be entered: run it as root")
        return None if process.namespace == found.namespace.inode else str(process.namespace)
    if os.geteuid() and (Path("/run/netns") / origin).exists():
        raise Complaint(f"the network namespace {origin} can't be entered: run it as root")
    return origin


def _own_hosts(namespace: str, name: str, family: int | None) -> list[int]:
    """What the hosts file of a namespace has for a name (ip-netns(8))."""
    try:
        lines = Path(NAMED_HOSTS.format(namespace)).read_text("utf-8", "surrogateescape").splitlines()
    except OSError:  # most have none
        return []
    rows = [line.partition("#")[0].split() for line in lines]
    found = [ip.parse(row[0]) for row in rows if name in row[1:]]
    return [each for each in found if family in (None, ip.family_of(each))]


def _user(user: str | None) -> int:
    """A user by name or number; None: who asks. Raises Complaint."""
    if user is None:
        return os.geteuid()
    if user.isdecimal():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise Complaint(f"there is no user {user!r}") from None


class Real(NamedTuple):
    """How the real attempt ended, and what to change then."""

    connected: bool
    sentence: str
    remedy: str


def _attempt(addresses: Sequence[int], endpoint: Endpoint, proto: int, origin: str | None) -> Real:
    """Make the one real attempt, and say what its end means."""
    if origin is not None:
        raise Complaint("--try begins here: run it in the namespace itself (ip netns exec, docker exec)")
    if proto == IPPROTO_UDP:
        raise Complaint("--try is for TCP: a datagram that is not answered tells nothing")
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
