"""The machine you sit at, for programs: `portside.snapshot()`, `.listeners()`, `.explain()`, `.would_bind()`, `.why()`.

Called by a program on a simulated host, they are about that host.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from portside.addr import ip
from portside.addr.abi import AF_INET, IPPROTO_TCP, IPPROTO_UDP
from portside.explain.notation import explain
from portside.facts.snapshot import Snapshot

if TYPE_CHECKING:
    from portside.addr.reading import Endpoint
    from portside.explain.attempt import Why
    from portside.explain.binding import Answer
    from portside.explain.listening import Listener
    from portside.explain.place import Caller
    from portside.host.processes import Process

__all__ = ["Snapshot", "explain", "listeners", "snapshot", "why", "would_bind"]


def snapshot(
    file: str | os.PathLike[str] | None = None, *, want: Iterable[str] | None = None, namespaces: bool = True
) -> Snapshot:
    """The facts of this machine now: sockets with their owners, processes, interfaces, routes, filter, sysctls.

    Args:
        file: a snapshot that was saved (`facts.saved.dump`), instead of the machine.
        want: which parts, as `live.machine.read` names them; all of its default if None.
        namespaces: with the machine's other network namespaces, in `others`.

    Raises OSError or ValueError when the file can't be read.
    """
    process = _simulated()
    if file is not None:
        from portside.facts import saved

        return saved.load(Path(file).read_text("utf-8"))
    if process is not None:
        from portside.host.snapshot import snapshot as of

        return of(process.host)
    from portside.live import machine

    return machine.read(want=want, namespaces=namespaces)


def listeners(of: Snapshot | None = None) -> tuple[Listener, ...]:
    """Who listens, from where each can be reached, and what is likely wrong with it; of this machine if None."""
    from portside.explain.listening import listeners as found

    return found(snapshot() if of is None else of)


def would_bind(
    where: str,
    *,
    udp: bool = False,
    reuseaddr: bool = False,
    reuseport: bool = False,
    v6only: bool | None = None,
    freebind: bool = False,
    uid: int | None = None,
    of: Snapshot | None = None,
) -> Answer:
    """Whether a server could bind and listen there, here and now; true in an `if` when it certainly could.

    Args:
        where: an address and a port, such as `0.0.0.0:8080` or `[::]:8080`; a port alone means 0.0.0.0, as an empty
            host does to Python's bind.
        uid: who would call; the calling process itself if None.
        of: the machine; this one if None.

    Raises ValueError when `where` has no address or no port.
    """
    from dataclasses import replace

    from portside.addr.endpoint import parse
    from portside.explain.binding import attempt_of
    from portside.explain.binding import would_bind as decide
    from portside.explain.place import Caller

    want = {"sockets", "owners", "options", "interfaces", "routes", "settings", "users"}
    found = snapshot(want=want) if of is None else of
    endpoint = _wildcard(parse(where).with_port)
    attempt = attempt_of(
        endpoint, found, reuseaddr=reuseaddr, reuseport=reuseport, v6only=v6only, freebind=freebind
    )  # fmt: skip
    if udp:
        attempt = replace(attempt, proto=IPPROTO_UDP)
    return decide(found, attempt, _caller() if uid is None else Caller.user(uid))


def why(
    where: str, *, udp: bool = False, source: str | None = None, uid: int | None = None, of: Snapshot | None = None
) -> Why:
    """What a connection to `where` would meet on its way: each step, how it would end, and what to change.

    Args:
        where: an address or a name, and a port, such as `localhost:8080`.
        udp: a datagram instead of a connection.
        source: where it begins: a network namespace by name or inode, a pid, or a container by the beginning of its
            id, whose names count (its /etc/hosts, its name servers); the snapshot's own namespace if None.
        uid: who would call; the calling process itself if None.
        of: the machine; this one if None.

    Raises ValueError when `where` has no port, there is no such namespace, or it could not be entered; OSError when the
    name is not known.
    """
    from portside.addr.endpoint import parse
    from portside.explain.connect import why as decide

    endpoint = parse(where).with_port
    if endpoint is None or endpoint.port is None or endpoint.path is not None:
        raise ValueError("an address and a port are needed, such as localhost:8080 or [::1]:8080")
    want = {"sockets", "owners", "interfaces", "routes", "filter", "settings", "users"}
    found = snapshot(want=want if source is None else want | {"processes"}) if of is None else of
    begins = begins_in(found, source)
    addresses, names = looked_up(endpoint, found, source, read_here=of is None)
    host = endpoint.name or ip.text(addresses[0]) + (f"%{endpoint.zone}" if endpoint.zone else "")
    return decide(
        found, host, endpoint.port, source=begins, addresses=addresses, names=names,
        proto=IPPROTO_UDP if udp or endpoint.proto == IPPROTO_UDP else IPPROTO_TCP,
        uid=_caller().uid if uid is None else uid,
    )  # fmt: skip


def begins_in(found: Snapshot, origin: str | None) -> str | None:
    """The namespace that a connection begins in, as `explain.connect.why` takes it; what nobody has, as it is.

    Args: origin: as people call the place, None for this one. Raises ClosedError, a ValueError, if it was not entered.
    """
    from portside.explain.origin import ClosedError, namespace_of

    begins = namespace_of(found, origin)
    if begins is None and (lacking := found.lacking):
        raise ClosedError(f"it can't be known: {lacking.what} could not be read ({lacking.why})")
    for each in found.others:
        if begins in (each.namespace.name, str(each.namespace.inode)) and not each.entered:
            of = "" if begins == origin else "of "  # a process, or a container
            raise ClosedError(f"the network namespace {of}{origin} can't be entered: run it as root")
    return begins


def looked_up(
    endpoint: Endpoint, found: Snapshot, origin: str | None, family: int = 0, *, read_here: bool = True
) -> tuple[list[int], str]:
    """The addresses of an endpoint as the place knows them where a connection begins, and where they were looked up.

    Args: origin: as people call the place, None for this one. read_here: the snapshot is of this machine, now. Raises
    OSError when the name is not known (getaddrinfo(3)).
    """
    from portside.explain.origin import HERE, dweller

    if origin in (None, HERE) or endpoint.address is not None:
        return addresses_of(endpoint, family), ""
    assert origin is not None
    if not read_here or _simulated() is not None:
        return addresses_of(endpoint, family), "here"
    from portside.live import names

    process = None if names.is_named(origin) else dweller(found, origin)
    network = f"/proc/{process.pid}/ns/net" if process is not None else names.path_of(origin)
    try:
        known = names.addresses(
            endpoint.name or "localhost", endpoint.port or 0, family, network,
            pid=process.pid if process is not None else 0, named="" if process is not None else origin,
        )  # fmt: skip
    except names.Elsewhere as error:
        return addresses_of(endpoint, family), f"here, for {origin} can't be entered: {error.strerror}"
    return list(dict.fromkeys(ip.parse(text.partition("%")[0]) for _, text in known)), f"as in {origin}"


def addresses_of(endpoint: Endpoint, family: int = 0) -> list[int]:
    """The addresses of an endpoint in the order in which a program tries them; of a port alone, this machine's.

    Raises OSError when the name is not known (getaddrinfo(3)).
    """
    import socket

    if endpoint.address is not None:
        return [endpoint.address]
    answers = socket.getaddrinfo(endpoint.name or "localhost", endpoint.port, family, socket.SOCK_STREAM)
    found = [ip.parse(str(where[0]).partition("%")[0]) for _, _, _, _, where in answers]
    return list(dict.fromkeys(found))


def _wildcard(endpoint: Endpoint | None) -> Endpoint:
    from dataclasses import replace

    if endpoint is None:
        raise ValueError("an address and a port are needed, such as 0.0.0.0:8080 or [::]:8080")
    if endpoint.address is None and not endpoint.name and endpoint.path is None:
        return replace(endpoint, every=False, family=AF_INET, address=ip.V4_ANY)
    return endpoint


def _caller() -> Caller:
    from portside.explain.place import Caller

    process = _simulated()
    if process is not None:
        return Caller(process.euid, process.effective)
    from portside.live import rights

    capabilities = rights.in_network_namespace()
    return Caller.user(os.geteuid()) if capabilities is None else Caller(os.geteuid(), capabilities)


def _simulated() -> Process | None:
    trap = sys.modules.get("portside.runtime.trap")  # where it was never imported nothing is simulated
    return None if trap is None else trap.current_process()
