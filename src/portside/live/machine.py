"""The machine you sit at, as a `Snapshot`: what the parts of `live` read, put together."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.facts.process import Process
from portside.facts.snapshot import Missing, Namespace, Snapshot
from portside.facts.socket import Socket, UnixSocket
from portside.live import inet_diag, owners, proc, proc_net, processes, unix_diag
from portside.live import namespaces as spaces
from portside.live.inet_diag import ASK_CONGESTION, ASK_INFO, ASK_MEMORY, IPPROTO_RAW
from portside.live.sock_diag import Link, Refused

DEFAULT: Final = frozenset(
    {"sockets", "unix", "owners", "processes", "interfaces", "routes", "filter", "settings", "users"}
)
"""What `read` reads when nothing else is said."""
EVERYTHING: Final = DEFAULT | {"tcp_info", "options"}
"""All that can be read: the inside of each TCP connection too, and the socket options that no table shows."""

_KINDS: Final = (
    (IPPROTO_TCP, ("tcp", "tcp6")),
    (IPPROTO_UDP, ("udp", "udp6")),
    (IPPROTO_UDPLITE, ("udplite", "udplite6")),
    (IPPROTO_RAW, ("raw", "raw6")),
)
_ONLY_ROOT: Final = "the kernel tells their own user and root"
_FAMILIES: Final = (AF_INET, AF_INET6)


@dataclass(slots=True)
class _Reading:
    """One reading of the machine: what is wanted, what has been found out for all namespaces, what is missing."""

    want: frozenset[str]
    taken: int
    owners: owners.Owners = field(default_factory=owners.Owners)
    missing: list[Missing] = field(default_factory=list)

    def lacks(self, what: str, why: str, remedy: str = "") -> None:
        """Remember that something could not be read; the same in several namespaces is said once."""
        one = Missing(what=what, why=why, remedy=remedy)
        if one not in self.missing:
            self.missing.append(one)


def read(*, want: Iterable[str] | None = None, namespaces: bool = True) -> Snapshot:
    """The machine now, seen from the network namespace of the caller.

    Args: want: which parts, of EVERYTHING; None: DEFAULT. Each that is left out saves its time, and is empty in the
    result. namespaces: also every other network namespace that can be entered, in `others`.
    Without a privilege everything is read that the kernel shows, and `missing` says what is not.
    Raises ValueError for a part that there is not.
    """
    parts = DEFAULT if want is None else frozenset(want)
    if unknown := parts - EVERYTHING:
        raise ValueError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(sorted(EVERYTHING))}")
    reading = _Reading(parts, time.time_ns())
    if "owners" in parts:
        reading.owners = owners.walk()
        _say_denied(reading, reading.owners.denied)
    everyone = processes.read() if "processes" in parts else ()
    here = spaces.own()
    found = spaces.every() if namespaces else spaces.Namespaces(here)
    name = found.found[here].name if here in found.found else ""
    one = _namespace(reading, Namespace(inode=here, name=name), everyone)
    others = tuple(_others(reading, found, everyone))
    return _finished(reading, one, others)


def _say_denied(reading: _Reading, denied: list[int]) -> None:
    if denied:
        many = "1 process" if len(denied) == 1 else f"{len(denied)} processes"
        reading.lacks(f"which sockets {many} hold{'s' * (len(denied) == 1)}", _ONLY_ROOT, _remedy())


def _remedy() -> str:
    return "use sudo" if os.geteuid() else "root lacks a capability here: see capabilities(7), CAP_SYS_PTRACE"


def _namespace(reading: _Reading, namespace: Namespace, living: tuple[Process, ...]) -> Snapshot:
    """What is in the network namespace of the calling thread."""
    want = reading.want
    sockets = tuple(_sockets(reading)) if "sockets" in want else ()
    return Snapshot(
        host=os.uname().nodename,
        taken=reading.taken,
        release=os.uname().release,
        namespace=namespace,
        sockets=sockets,
        unix_sockets=tuple(_unix(reading)) if "unix" in want else (),
        processes=living,
    )


def _others(reading: _Reading, found: spaces.Namespaces, everyone: tuple[Process, ...]) -> Iterable[Snapshot]:
    for one in found.found.values():
        if one.inode == found.own:
            continue
        living = tuple(process for process in everyone if process.namespace == one.inode)
        namespace = Namespace(inode=one.inode, name=one.name)

        def look(namespace: Namespace = namespace, living: tuple[Process, ...] = living) -> Snapshot:
            return _namespace(reading, namespace, living)

        try:
            yield spaces.inside(one.path, look)
        except OSError as error:
            if error.errno in proc.DENIED:
                reading.lacks("other network namespaces", _ONLY_ROOT, _remedy())
            elif error.errno not in proc.GONE:
                raise


def _finished(reading: _Reading, one: Snapshot, others: tuple[Snapshot, ...]) -> Snapshot:
    users = _users((one, *others)) if "users" in reading.want else ()
    return replace(one, others=others, users=users, missing=tuple(reading.missing))


def _sockets(reading: _Reading) -> Iterable[Socket]:
    held = reading.owners.of
    for each in _unowned(reading):
        if each.inode and (owned := held(each.inode)):
            inet_diag.set_owners(each, owned)
        yield each


def _unowned(reading: _Reading) -> Iterable[Socket]:
    ask = ASK_MEMORY | (ASK_INFO | ASK_CONGESTION if "tcp_info" in reading.want else 0)
    try:
        link = Link()
    except Refused as refused:
        reading.lacks("v6only, cgroups, buffers and backlogs of sockets", str(refused), "read outside of the sandbox")
        for _, files in _KINDS:
            for name in files:
                yield from proc_net.inet(name)
        return
    with link:
        for proto, files in _KINDS:
            for family, name in zip(_FAMILIES, files, strict=True):
                try:
                    yield from inet_diag.dump(link, family, proto, ask=ask)
                except Refused:  # this kernel has no module for it
                    yield from proc_net.inet(name)
        for name in ("icmp", "icmp6"):
            yield from proc_net.inet(name)


def _unix(reading: _Reading) -> Iterable[UnixSocket]:
    held = reading.owners.of
    try:
        with Link() as link:
            found = list(unix_diag.dump(link))
    except Refused:
        found = list(proc_net.unix())
    for each in found:
        owned = held(each.inode)
        yield replace(each, owners=owned) if owned else each


def _users(snapshots: tuple[Snapshot, ...]) -> tuple[tuple[int, str], ...]:
    """The names of the users that occur; a number without a name is left out."""
    uids = {each.uid for one in snapshots for each in one.sockets}
    uids |= {each.uid for one in snapshots for each in one.unix_sockets}
    uids |= {each.euid for one in snapshots for each in one.processes}
    named = []
    for uid in sorted(uids):
        try:
            named.append((uid, pwd.getpwuid(uid).pw_name))
        except KeyError:
            continue
    return tuple(named)
