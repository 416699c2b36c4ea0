"""`portside wait`: until something accepts connections on a port of this machine."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

import click

from portside.addr.abi import IPPROTO_TCP, IPPROTO_UDP
from portside.addr.endpoint import NotationError, parse
from portside.addr.reading import Endpoint
from portside.cli import source as sources
from portside.cli.source import Complaint, Source
from portside.cli.who import is_at, meant
from portside.explain.words import address_text, programs, protocol_text
from portside.facts.socket import Socket
from portside.facts.state import CLOSED, LISTEN

TIMED_OUT: Final = 1
"""The exit code when nobody came in time."""
FIRST_PAUSE: Final = 0.01
LAST_PAUSE: Final = 0.2


def run(
    where: str, timeout: float | None, *, udp: bool = False, quiet: bool = False, namespace: str | None = None
) -> int:
    """Wait until a socket listens there. Returns the exit code: 0, or 1 after the timeout (s). Raises Complaint.

    Args: namespace: the network namespace, by name or inode; None: this one.
    """
    endpoint = _endpoint(where, udp)
    places = meant(endpoint)
    way = None if namespace is None else _way(namespace)
    end = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_PAUSE
    while True:
        found = [each for each in _listening(endpoint.port or 0, way) if is_at(each, places)]
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
        endpoint = parse(where).with_port
    except NotationError as error:
        raise Complaint(str(error)) from None
    if endpoint is None or not endpoint.port:
        raise Complaint(f"{where!r} has no port to wait for: write 8080 or 127.0.0.1:8080")
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


def _inside(way: str | int, port: int) -> list[Socket]:
    from portside.live import namespaces

    try:
        return namespaces.inside(way, lambda: _listening(port, None))
    except FileNotFoundError:
        raise Complaint("the network namespace is gone") from None
    except PermissionError:
        raise Complaint("only root may enter another network namespace") from None


def _listening(port: int, way: str | int | None) -> list[Socket]:
    """Who takes what is sent to the port now: TCP listeners, and UDP sockets without a peer.

    Args: way: to the network namespace; None: this one.
    """
    if way is not None:
        return _inside(way, port)
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


def _say(found: Socket) -> None:
    owners = found.owners
    if not owners and sources.simulated() is None:
        from portside.live import owners as walk

        owners = walk.walk({found.inode}).of(found.inode)
    click.echo(f"{protocol_text(found)} {address_text(found)} {programs(owners)}".rstrip())
