"""Sockets that only messages hold: a socket sent over itself would live for ever (net/unix/garbage.c).

A socket is a candidate when every reference to it is in flight. A candidate is alive when a message that someone can
still receive carries it; the rest is garbage, and its messages are thrown away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portside.host.file import File
    from portside.host.unix_message import Message
    from portside.host.unix_names import UnixNames
    from portside.host.unix_socket import UnixSocket


def sent(names: UnixNames, carrier: UnixSocket, files: list[File]) -> None:
    """A message with `files` now waits in `carrier`."""
    names.carriers[carrier] = names.carriers.get(carrier, 0) + 1
    for file in files:
        if file in names.sockets:
            socket: UnixSocket = file
            names.in_flight[socket] = names.in_flight.get(socket, 0) + 1


def landed(names: UnixNames, carrier: UnixSocket, files: list[File]) -> None:
    """The message with `files` has left `carrier`: received or thrown away."""
    _less(names.carriers, carrier)
    for file in files:
        if file in names.in_flight:
            _less(names.in_flight, file)


def collect(names: UnixNames) -> None:
    """Throw away the messages of sockets that nobody can reach any more (unix_gc)."""
    candidates = {socket for socket, count in names.in_flight.items() if socket.references == count}
    if not candidates:
        return
    alive: set[UnixSocket] = set()
    waiting = [carrier for carrier in names.carriers if _owner(carrier) not in candidates]
    while waiting:
        for message in waiting.pop().queue:
            for file in message.files or ():
                if file in candidates and file not in alive:
                    socket: UnixSocket = file
                    alive.add(socket)
                    waiting.append(socket)
                    waiting.extend(socket.pending)
    garbage = [carrier for carrier in names.carriers if _owner(carrier) in candidates - alive]
    thrown: list[tuple[UnixSocket, Message]] = []
    for carrier in garbage:
        thrown.extend((carrier, message) for message in carrier.queue)
        carrier.queue.clear()
    for carrier, message in thrown:
        carrier.discard(message)


def _owner(carrier: UnixSocket) -> UnixSocket:
    """Who must be alive for the carrier's messages to be received: itself, or the listener it waits in."""
    return carrier.listener or carrier


def _less(counts: dict[UnixSocket, int], socket: UnixSocket) -> None:
    counts[socket] -= 1
    if not counts[socket]:
        del counts[socket]
