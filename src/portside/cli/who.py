"""`portside who`: who has a port or an address, and how that process came to run.

This is asked most often and must answer at once: what is imported here is imported by each call.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from portside.cli import source as sources
from portside.cli.source import HERE, Complaint, Source
from portside.explain.words import address_text, peer_text, protocol_text, state_text, user_name
from portside.facts.socket import UnixSocket

if TYPE_CHECKING:
    from portside.addr.reading import Endpoint
    from portside.facts.process import Process
    from portside.facts.snapshot import Snapshot
    from portside.facts.socket import Owner, Socket

NOBODY: Final = 1
"""The exit code when nobody has it."""

WANT: Final = frozenset({"sockets", "unix", "owners", "processes", "users"})

Found = list[tuple["Socket | UnixSocket", "Snapshot"]]


def run(what: str, source: Source = HERE, *, as_json: bool = False) -> int:
    """Print who has it. Returns the exit code: 0, or 1 when nobody does. Raises Complaint."""
    port, endpoint, name = _asked(what)
    snapshot, found = _look(port, endpoint, name, source)
    if as_json:
        told = {"asked": what, "sockets": [_json(*each) for each in found], "missing": sources.missing_json(snapshot)}
        sources.say(json.dumps(told))
    else:
        from portside.views.table import clean

        width = _width()
        for sockets in _together(found):
            for line in _lines(sockets, width):
                sources.say(clean(line))
        if not found:
            sources.say(clean(f"nobody has {what if endpoint is not None else f'port {port}'}"), err=True)
        sources.say(sources.missing(snapshot), end="", err=True)
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
    if endpoint.port == 0:
        raise Complaint("nobody has port 0: to a program it means that the system chooses a port, 1 to 65535")
    return 0, endpoint, what if endpoint.name and not _is_localhost(endpoint) else ""


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
    if endpoint is not None and (endpoint.path is not None or name):
        from portside.cli import who_unix

        real = source.file is None and sources.simulated() is None
        file = who_unix.file_at(endpoint.path) if real and endpoint.path is not None else None
    else:
        file = None
    found = _matching(snapshot, port, endpoint, name, file)
    first = [(socket, place) for socket, place in found if _listens(socket)]
    return snapshot, first or found


def _listens(socket: Socket | UnixSocket) -> bool:
    if isinstance(socket, UnixSocket):
        from portside.cli import who_unix

        return who_unix.listens(socket)
    return not socket.rport


def _matching(
    snapshot: Snapshot, port: int, endpoint: Endpoint | None, name: str, file: tuple[int, int] | None = None
) -> Found:
    """The sockets that were asked for, each with its network namespace, which has a name unless it is the asker's."""
    from dataclasses import replace

    found: Found = []
    places = [] if endpoint is None or name else meant(endpoint)
    for place in (snapshot, *snapshot.others):
        inside = place.namespace
        if place is not snapshot and not inside.name:
            inside = replace(inside, name=str(inside.inode))
        named = replace(
            place,
            users=place.users or snapshot.users,
            processes=snapshot.processes or place.processes,
            namespace=inside,
        )
        if endpoint is not None and (endpoint.path is not None or name):
            from portside.cli import who_unix

            found += [(each, named) for each in who_unix.matching(place, endpoint.path, name, file)]
        if endpoint is not None and endpoint.path is not None:
            continue
        for socket in place.sockets:
            if not socket.lport or (port and socket.lport != port):
                continue
            if name and not any(sources.is_called(owner.command, name) for owner in socket.owners):
                continue
            if is_at(socket, places):
                found.append((socket, named))
    return found


def _is_localhost(endpoint: Endpoint) -> bool:
    return endpoint.name.lower().removesuffix(".") == "localhost"


def meant(endpoint: Endpoint) -> list[Endpoint]:
    """What an endpoint stands for where a host is named by a name: each of its addresses. Raises Complaint."""
    named = endpoint.name and endpoint.path is None and not _is_localhost(endpoint)
    return sources.resolved(endpoint) if named else [endpoint]


def is_at(socket: Socket, places: Sequence[Endpoint]) -> bool:
    """Whether the socket is at one of these; at any where none is said."""
    return not places or any(_is_at(socket, each) for each in places)


def _is_at(socket: Socket, endpoint: Endpoint) -> bool:
    """Whether the socket is where the notation says: a specific address finds the wildcards that answer it, too."""
    from portside.addr import ip
    from portside.sockets.conflict import families_met

    if endpoint.proto is not None and endpoint.proto != socket.proto:
        return False
    address = endpoint.address
    if _is_localhost(endpoint):
        return ip.is_loopback(socket.laddr) or ip.is_any(socket.laddr)
    if address is None or ip.is_any(address):
        return True
    wild = ip.is_any(socket.laddr) and ip.family_of(address) in families_met(
        socket.family, socket.laddr, bool(socket.v6only)
    )
    return socket.laddr == address or wild


def _together(found: Found) -> list[Found]:
    """The sockets that the same processes hold in one network namespace, in one list each."""
    crews: dict[object, Found] = {}
    for socket, place in found:
        pids = tuple(sorted({owner.pid for owner in socket.owners}))
        crews.setdefault((place.namespace.inode, pids or bool(socket.inode)), []).append((socket, place))
    return list(crews.values())


def _width() -> int | None:
    """How wide (characters) the terminal is that is written to; None where there is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def _lines(found: Found, width: int | None) -> Iterable[str]:
    """Sockets, and below them the processes that hold them. `width`: to what command lines are cut."""
    for socket, place in found:
        inside = f" in the network namespace {place.namespace.name}" if place.namespace.name else ""
        yield f"{_where(socket, place)}, user {user_name(place, socket.uid)}{inside}"
    socket, place = found[0]
    if not socket.owners:
        yield "  " + ("no process: the kernel keeps it" if not socket.inode else "a process that can't be seen")
    for pid in dict.fromkeys(owner.pid for owner in socket.owners):
        held = [owner for each, _ in found for owner in each.owners if owner.pid == pid]
        yield from _process_lines(held, place, width)


def _where(socket: Socket | UnixSocket, place: Snapshot) -> str:
    if isinstance(socket, UnixSocket):
        from portside.cli import who_unix

        return who_unix.text(socket)
    peer = f" to {peer_text(socket)}" if socket.rport else ""
    return f"{protocol_text(socket)} {address_text(socket, place)} {state_text(socket)}{peer}"


def _process_lines(owners: Sequence[Owner], place: Snapshot, width: int | None) -> Iterable[str]:
    """A process and its descriptors."""
    pid, command = owners[0].pid, owners[0].command
    fds = ", ".join(map(str, dict.fromkeys(owner.fd for owner in owners)))
    line = _ancestry(place, pid)
    if not line:
        yield f"  {command} (pid {pid}, fd {fds})"
        return
    process = line[0]
    begin = f"  {command} (pid {pid}, fd {fds}), user {user_name(place, process.euid)}{_since(process)}: "
    yield begin + _cut(" ".join(process.argv) or f"[{process.name}]", width and width - len(begin))
    yield f"    runs {_origin(line)}: {' < '.join(f'{each.name} ({each.pid})' for each in line)}"


def _cut(text: str, room: int | None) -> str:
    """At most so many characters of a command line, as it will be shown, but never fewer than 20."""
    if room is None:
        return text
    from portside.views.table import clean

    text, room = clean(text), max(room, 20)
    return text if len(text) <= room else f"{text[: room - 3]}..."


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


def _json(socket: Socket | UnixSocket, place: Snapshot) -> dict[str, object]:
    common = {
        "user": user_name(place, socket.uid),
        "uid": socket.uid,
        "inode": socket.inode,
        "namespace": place.namespace.name or None,
        "owners": _owners_json(socket, place),
    }
    if isinstance(socket, UnixSocket):
        from portside.cli import who_unix

        return {**who_unix.json(socket), **common}
    from portside.addr import ip

    return {
        "protocol": protocol_text(socket),
        "address": ip.text(socket.laddr),
        "port": socket.lport,
        "text": address_text(socket, place),
        "state": state_text(socket),
        "peer": peer_text(socket) or None,
        **common,
    }


def _owners_json(socket: Socket | UnixSocket, place: Snapshot) -> list[dict[str, object]]:
    from portside.live.origin import origin

    owners: list[dict[str, object]] = []
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
    return owners
