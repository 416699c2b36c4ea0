"""`portside who`: who has a port or an address, and how that process came to run.

This is asked most often and must answer at once: what is imported here is imported by each call.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import click

from portside.cli import source as sources
from portside.cli.source import HERE, Complaint, Source
from portside.explain.words import address_text, peer_text, protocol_text, state_text, user_name

if TYPE_CHECKING:
    from portside.addr.reading import Endpoint
    from portside.facts.process import Process
    from portside.facts.snapshot import Snapshot
    from portside.facts.socket import Socket

NOBODY: Final = 1
"""The exit code when nobody has it."""

WANT: Final = frozenset({"sockets", "owners", "processes", "users"})

Found = list[tuple["Socket", "Snapshot"]]


def run(what: str, source: Source = HERE, *, as_json: bool = False) -> int:
    """Print who has it. Returns the exit code: 0, or 1 when nobody does. Raises Complaint."""
    port, endpoint, name = _asked(what)
    snapshot, found = _look(port, endpoint, name, source)
    if as_json:
        click.echo(json.dumps({"asked": what, "sockets": [_json(*each) for each in found]}))
    else:
        from portside.views.table import clean

        for socket, place in found:
            for line in _lines(socket, place):
                click.echo(clean(line))
        if not found:
            click.echo(clean(f"nobody has {f'port {port}' if port else what}"), err=True)
        click.echo(sources.missing(snapshot), nl=False, err=True)
    return 0 if found else NOBODY


def _asked(what: str) -> tuple[int, Endpoint | None, str]:
    """A port, an endpoint to narrow it with, or the name of a program."""
    if what.isascii() and what.isdecimal() and 0 < int(what[:6]) < 65536:
        return int(what), None, ""
    from portside.addr.endpoint import NotationError, parse

    try:
        notation = parse(what)
    except NotationError as error:
        raise Complaint(str(error)) from None
    endpoint = notation.with_port or notation.endpoint
    if endpoint.port:
        return endpoint.port, endpoint, ""
    return 0, endpoint, what if endpoint.name else ""


def _look(port: int, endpoint: Endpoint | None, name: str, source: Source) -> tuple[Snapshot, Found]:
    """Those who listen there, or if nobody does, all who have it."""
    if port and source == HERE and sources.simulated() is None:
        from portside.live import machine

        snapshot = machine.at_port(port)
        found = _matching(snapshot, port, endpoint, name)
        if not found:
            snapshot = machine.at_port(port, connections=True)
            found = _matching(snapshot, port, endpoint, name)
        return snapshot, found
    snapshot = sources.snapshot(source, WANT, everywhere=source.namespace is None)
    found = _matching(snapshot, port, endpoint, name)
    first = [(socket, place) for socket, place in found if not socket.rport]
    return snapshot, first or found


def _matching(snapshot: Snapshot, port: int, endpoint: Endpoint | None, name: str) -> Found:
    from dataclasses import replace

    found: Found = []
    for place in (snapshot, *snapshot.others):
        named = replace(place, users=place.users or snapshot.users, processes=place.processes or snapshot.processes)
        for socket in place.sockets:
            if not socket.lport or (port and socket.lport != port):
                continue
            if name and not any(owner.command == name for owner in socket.owners):
                continue
            if endpoint is None or is_at(socket, endpoint):
                found.append((socket, named))
    return found


def is_at(socket: Socket, endpoint: Endpoint) -> bool:
    """Whether the socket is where the notation says: a specific address finds the wildcards that answer it, too."""
    from portside.addr import ip
    from portside.sockets.conflict import families_met

    if endpoint.proto is not None and endpoint.proto != socket.proto:
        return False
    address = endpoint.address
    if endpoint.name.lower() == "localhost" and endpoint.port:
        return ip.is_loopback(socket.laddr) or ip.is_any(socket.laddr)
    if address is None or ip.is_any(address):
        return True
    wild = ip.is_any(socket.laddr) and ip.family_of(address) in families_met(
        socket.family, socket.laddr, bool(socket.v6only)
    )
    return socket.laddr == address or wild


def _lines(socket: Socket, place: Snapshot) -> Iterable[str]:
    peer = f" to {peer_text(socket)}" if socket.rport else ""
    inside = f" in the network namespace {place.namespace.name}" if place.namespace.name else ""
    where = f"{protocol_text(socket)} {address_text(socket, place)} {state_text(socket)}{peer}"
    yield f"{where}, user {user_name(place, socket.uid)}{inside}"
    if not socket.owners:
        yield "  " + ("no process: the kernel keeps it" if not socket.inode else "a process that can't be seen")
    for pid in dict.fromkeys(owner.pid for owner in socket.owners):
        yield from _process_lines(socket, pid, place)


def _process_lines(socket: Socket, pid: int, place: Snapshot) -> Iterable[str]:
    command = next(owner.command for owner in socket.owners if owner.pid == pid)
    fds = ", ".join(str(owner.fd) for owner in socket.owners if owner.pid == pid)
    line = _ancestry(place, pid)
    if not line:
        yield f"  {command} (pid {pid}, fd {fds})"
        return
    process = line[0]
    arguments = " ".join(process.argv) or f"[{process.name}]"
    yield f"  {command} (pid {pid}, fd {fds}), user {user_name(place, process.euid)}{_since(process)}: {arguments}"
    yield f"    runs {_origin(line)}: {' < '.join(f'{each.name} ({each.pid})' for each in line)}"


def _ancestry(place: Snapshot, pid: int) -> tuple[Process, ...]:
    from portside.live.origin import ancestry

    return ancestry(place.processes, pid)


def _origin(line: tuple[Process, ...]) -> str:
    from portside.live.origin import origin

    return origin(line).sentence


def _since(process: Process) -> str:
    if process.started is None:
        return ""
    import time

    return time.strftime(", since %Y-%m-%d %H:%M:%S", time.localtime(process.started // 1_000_000_000))


def _json(socket: Socket, place: Snapshot) -> dict[str, object]:
    from portside.addr import ip
    from portside.live.origin import origin

    owners = []
    for owner in socket.owners:
        line = _ancestry(place, owner.pid)
        known: dict[str, object] = {}
        if line:
            process, reason = line[0], origin(line)
            known = {
                "argv": list(process.argv),
                "user": user_name(place, process.euid),
                "started": process.started,
                "unit": process.unit,
                "container": process.container,
                "origin": {"kind": reason.kind, "name": reason.name, "sentence": reason.sentence},
                "ancestors": [{"pid": each.pid, "name": each.name} for each in line[1:]],
            }
        owners.append({"pid": owner.pid, "fd": owner.fd, "command": owner.command, **known})
    return {
        "protocol": protocol_text(socket),
        "address": ip.text(socket.laddr),
        "port": socket.lport,
        "text": address_text(socket, place),
        "state": state_text(socket),
        "peer": peer_text(socket) or None,
        "user": user_name(place, socket.uid),
        "uid": socket.uid,
        "inode": socket.inode,
        "namespace": place.namespace.name or None,
        "owners": owners,
    }
