"""`portside wait`: until something accepts connections on a port of this machine, or at a UNIX socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import click

from portside.addr.abi import IPPROTO_TCP, IPPROTO_UDP
from portside.addr.endpoint import NotationError, parse
from portside.addr.reading import Endpoint
from portside.cli import source as sources
from portside.cli import who_unix
from portside.cli.source import Complaint, Source
from portside.cli.who import is_at, meant
from portside.explain.words import address_text, programs, protocol_text
from portside.facts.socket import Socket, UnixSocket
from portside.facts.state import CLOSED, LISTEN
from portside.views.table import clean

TIMED_OUT: Final = 1
"""The exit code when nobody came in time."""
FIRST_PAUSE: Final = 0.01
LAST_PAUSE: Final = 0.2

Found = Sequence[Socket | UnixSocket]
Look = Callable[[], Found]


def run(
    where: str, timeout: float | None, *, udp: bool = False, quiet: bool = False, namespace: str | None = None
) -> int:
    """Wait until a socket listens there. Returns the exit code: 0, or 1 after the timeout (s). Raises Complaint.

    Args: namespace: the network namespace, by name or inode; None: this one.
    """
    endpoint = _endpoint(where, udp)
    look = _on_port(endpoint) if endpoint.path is None else _local(endpoint.path, everywhere=namespace is None)
    way = None if namespace is None else _way(namespace)
    end = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_PAUSE
    while True:
        found = look() if way is None else _inside(way, look)
        if found:
            if not quiet:
                for each in found:
                    _say(each)
            return 0
        left = LAST_PAUSE if end is None else end - time.monotonic()
        if left <= 0:
            if not quiet:
                click.echo(f"nobody listens on {where} after {timeout:g} s", err=True)
            return TIMED_OUT
        time.sleep(min(pause, left))
        pause = min(pause * 2, LAST_PAUSE)


def _endpoint(where: str, udp: bool) -> Endpoint:
    try:
        notation = parse(where)
    except NotationError as error:
        raise Complaint(str(error)) from None
    if notation.endpoint.path is not None:
        if udp:
            raise Complaint("a UNIX socket has no port: --udp is for ports")
        return notation.endpoint
    endpoint = notation.with_port
    if endpoint is None or not endpoint.port:
        raise Complaint(f"{where!r} has no port to wait for: write 8080, 127.0.0.1:8080, or a path")
    return replace(endpoint, proto=IPPROTO_UDP if udp else endpoint.proto or IPPROTO_TCP)


def _way(name: str) -> str | int:
    """How to enter the network namespace of that name. Raises Complaint."""
    if sources.simulated() is not None:
        sources.snapshot(Source(namespace=name))  # a simulated host has its own alone
        raise Complaint("a simulated host has no other network namespace")
    from portside.live import namespaces

    known = namespaces.every().found.values()
    for each in known:
        if name in (each.name, str(each.inode)):
            return each.way
    there = ", ".join(sorted(each.name or str(each.inode) for each in known))
    raise Complaint(f"there is no network namespace {name!r}; there are {there}")


def _inside(way: str | int, look: Look) -> Found:
    from portside.live import namespaces

    try:
        return namespaces.inside(way, look)
    except FileNotFoundError:
        raise Complaint("the network namespace is gone") from None
    except PermissionError:
        raise Complaint("only root may enter another network namespace") from None


def _on_port(endpoint: Endpoint) -> Look:
    """Looks for who listens on the port of an endpoint. Raises Complaint."""
    places = meant(endpoint)
    return lambda: [each for each in _listening(endpoint.port or 0) if is_at(each, places)]


def _local(path: bytes, everywhere: bool) -> Look:
    """Looks for who listens at a UNIX socket of that path, or of the file that is there, or of that abstract name.

    Args: everywhere: in each network namespace that can be entered: a path is reached from all, an abstract name from
    its own (unix(7)).
    """
    everywhere = everywhere and path.startswith(b"/")

    def look() -> Found:
        here = sources.snapshot(want=("unix",), everywhere=everywhere)
        file = None if sources.simulated() is not None else who_unix.file_at(path)
        places = (here, *here.others)
        found = [each for place in places for each in who_unix.matching(place, path, "", file)]
        return [each for each in found if who_unix.listens(each)]

    return look


def _listening(port: int) -> list[Socket]:
    """Who takes what is sent to the port now: TCP listeners, and UDP sockets without a peer."""
    if sources.simulated() is not None:
        sockets = sources.snapshot().sockets
    else:
        from portside.live import tables

        sockets = tuple(tables.inet(lambda _: None, ask=0, tcp_states=1 << LISTEN, port=port))
    return [
        each
        for each in sockets
        if each.lport == port and each.state == (LISTEN if each.proto == IPPROTO_TCP else CLOSED)
    ]


def _say(found: Socket | UnixSocket) -> None:
    owners = found.owners
    if not owners and sources.simulated() is None:
        from portside.live import owners as walk

        owners = walk.walk({found.inode}).of(found.inode)
    if isinstance(found, UnixSocket):
        text = f"unix {who_unix.name(found)}"
    else:
        text = f"{protocol_text(found)} {address_text(found)}"
    click.echo(clean(f"{text} {programs(owners)}".rstrip()))
