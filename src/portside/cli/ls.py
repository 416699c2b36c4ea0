"""`portside ls`, and `portside` alone: who listens, from where it can be reached, and what is likely wrong with it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import click

from portside.addr import port, services
from portside.cli import source as sources
from portside.cli.source import Complaint, Source
from portside.explain import listening
from portside.explain.exposure import is_listener
from portside.explain.listening import FORMAT, Listener, title
from portside.explain.words import address_text, peer_text, programs, protocol_text, state_text, user_name
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket
from portside.facts.state import NAMES
from portside.views.table import clean, show

WANT: Final = frozenset({"sockets", "owners", "processes", "interfaces", "routes", "filter", "settings", "users"})
SHORT_STATES: Final = {
    "ESTAB": "ESTABLISHED",
    "LISTENING": "LISTEN",
    "SYN-RECV": "SYN-RECEIVED",
    "CLOSE": "CLOSED",
    "UNCONNECTED": "UNCONN",
    **{name.replace("-WAIT", "WAIT").replace("WAIT-", "WAIT"): name for name in NAMES.values()},
}
"""States as other tools write them."""
CLEAR: Final = "\x1b[H\x1b[2J"


@dataclass(frozen=True, slots=True)
class Options:
    """What to show: all sockets or the listeners alone, and which of them; empty values do not filter."""

    ports: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    everything: bool = False
    notes: bool = False
    as_json: bool = False
    color: bool | None = None
    matrix: bool = False


def run(source: Source, options: Options, watch: float | None = None) -> int:
    """Print the table, once or every `watch` seconds until it is interrupted. Returns the exit code."""
    choose = chooser(options)
    _check_states(options.states)
    clear = CLEAR if watch is not None and sys.stdout is not None and sys.stdout.isatty() else ""
    while True:
        found = sources.snapshot(source, WANT, everywhere=source.namespace is None)
        if source.namespace is not None:
            found = replace(found, others=())
        _check_users(options.users, found, source)
        click.echo(clear, nl=False)
        present(found, options, choose)
        if watch is None:
            return 0
        time.sleep(watch)


def present(found: Snapshot, options: Options, choose: Callable[[Socket, Snapshot], bool]) -> None:
    """Print what was chosen, as a table or as JSON."""
    rows = [each for each in listening.listeners(found) if choose(each.socket, each.exposure.snapshot)]
    others = list(_others(found, choose)) if options.everything or options.states else []
    if options.states:
        rows = [each for each in rows if _has_state(each.socket, options.states)]
        others = [(socket, place) for socket, place in others if _has_state(socket, options.states)]
    if options.as_json:
        click.echo(json.dumps(as_json(found, rows, others, options.everything or bool(options.states))))
        return
    if options.matrix and rows:
        _matrices(rows, options)
        return
    _table(rows, others, options)
    if not rows and not others:
        click.echo(f"portside: {_nothing(options)}", err=True)
    for each in rows:
        for finding in each.findings if options.notes else each.warnings:
            name = programs(each.owners) or f"user {each.user}"
            click.echo(clean(f"{finding.level}: {each.protocol} {each.address}, {name}: {finding.sentence}"))
    click.echo(sources.missing(found), nl=False, err=True)


def _nothing(options: Options) -> str:
    """The sentence for an empty list."""
    if options.ports or options.processes or options.users or options.states:
        return "no socket is like that" if options.everything or options.states else "nothing like that listens"
    return "there are no sockets" if options.everything else "nothing listens"


def _matrices(rows: list[Listener], options: Options) -> None:
    """A matrix for each network namespace."""
    from portside.explain.matrix import matrix

    places = {each.namespace: each.exposure.snapshot for each in rows}
    for name, place in places.items():
        if name:
            click.echo(clean(f"\nin the network namespace {name}"))
        heading, cells = matrix([each for each in rows if each.namespace == name], place)
        show([clean(each) for each in heading], cells, sys.stdout, color=options.color)


def _table(rows: list[Listener], others: list[tuple[Socket, Snapshot]], options: Options) -> None:
    named = any(each.namespace for each in rows)
    heading = ["PROTO", "ADDRESS", *(["NAMESPACE"] if named else []), "PROCESS", "USER", "FAMILIES", "FROM WHERE"]
    cells = [
        [
            each.protocol, each.address, *([each.namespace or "-"] if named else []),
            programs(each.owners) or "-", each.user, each.exposure.families_words,
            ("! " if each.warnings else "") + each.exposure.words,
        ]
        for each in rows
    ]  # fmt: skip
    if rows or not others:
        show(heading, cells, sys.stdout, color=options.color)
    if others:
        if rows:
            click.echo()
        heading = ["PROTO", "STATE", "LOCAL", "PEER", "PROCESS", "USER"]
        cells = [
            [
                protocol_text(each), state_text(each),
                address_text(each, place), peer_text(each) or "-",
                programs(each.owners) or "-", user_name(place, each.uid),
            ]
            for each, place in others
        ]  # fmt: skip
        show(heading, cells, sys.stdout, color=options.color)


def as_json(
    found: Snapshot, rows: Iterable[Listener], others: Iterable[tuple[Socket, Snapshot]], everything: bool
) -> dict[str, object]:
    """What `portside ls --json` prints; docs/listening.md says what each key means."""
    answer: dict[str, object] = {
        "format": FORMAT,
        "host": found.host,
        "taken": found.taken,
        "listeners": [each.json() for each in rows],
        "missing": sources.missing_json(found),
    }
    if everything:
        answer["sockets"] = [
            {
                "protocol": protocol_text(each),
                "state": state_text(each),
                "local": address_text(each, place),
                "peer": peer_text(each) or None,
                "user": user_name(place, each.uid),
                "inode": each.inode,
                "owners": [{"pid": owner.pid, "fd": owner.fd, "command": owner.command} for owner in each.owners],
                "namespace": None if place.namespace == found.namespace else title(place.namespace),
            }
            for each, place in others
        ]
    return answer


def _others(found: Snapshot, choose: Callable[[Socket, Snapshot], bool]) -> Iterable[tuple[Socket, Snapshot]]:
    """The sockets that do not listen, in every namespace of the snapshot."""
    for place in (found, *found.others):
        named = replace(place, users=place.users or found.users)
        for socket in place.sockets:
            if not is_listener(socket) and choose(socket, named):
                yield socket, named


def _has_state(socket: Socket, states: tuple[str, ...]) -> bool:
    return state_text(socket) in {_state(state) for state in states}


def _state(text: str) -> str | None:
    """The state as it is printed, from what is typed: `listening`, `syn_recv`, `TIME-WAIT`; None if there is none."""
    name = text.upper().replace("_", "-")
    name = SHORT_STATES.get(name, name)
    return name if name in NAMES.values() or name == "UNCONN" else None


def _check_states(states: tuple[str, ...]) -> None:
    for text in states:
        if _state(text) is None:
            known = ", ".join((*NAMES.values(), "UNCONN")).lower()
            raise Complaint(f"{text!r} is no state; there are {known}")


def _check_users(users: tuple[str, ...], found: Snapshot, source: Source) -> None:
    """A user who has no socket may be asked for, one that there is not is a mistake. A number is always a user."""
    known = {name for place in (found, *found.others) for _, name in place.users}
    for text in users:
        if text in known or text.isdecimal():
            continue
        if source.file is not None or sources.simulated() is not None:
            raise Complaint(f"there is no user {text!r} in what was looked at")
        import pwd

        try:
            pwd.getpwnam(text)
        except (KeyError, ValueError):
            raise Complaint(f"there is no user {text!r} on this machine") from None


def chooser(options: Options) -> Callable[[Socket, Snapshot], bool]:
    """Whether a socket is among those asked for. Raises Complaint when a filter means nothing."""
    ports = [_ports(text) for text in options.ports]

    def choose(socket: Socket, place: Snapshot) -> bool:
        if ports and not any(socket.lport in each or (socket.rport and socket.rport in each) for each in ports):
            return False
        if options.processes and not any(
            text == str(owner.pid) or sources.is_called(owner.command, text)
            for owner in socket.owners
            for text in options.processes
        ):
            return False
        return not options.users or any(
            text in (str(socket.uid), user_name(place, socket.uid)) for text in options.users
        )

    return choose


def _ports(text: str) -> range:
    """A port, a range `8000-8100`, or the name of a service."""
    first, dash, last = text.partition("-")
    try:
        if text.isdecimal() or (dash and first.isdecimal() and last.isdecimal()):
            found = range(port.parse(first), port.parse(last or first) + 1)
            if not found:
                raise Complaint(f"{text!r} holds no port: it ends before it begins")
            return found
    except ValueError as error:
        raise Complaint(str(error)) from None
    service = services.by_name(text)
    if service is None:
        raise Complaint(f"{text!r} is no port, no range such as 8000-8100, and no service that portside knows")
    return range(service.port, service.port + 1)
