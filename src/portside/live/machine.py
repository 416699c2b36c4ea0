"""The machine you sit at, as a `Snapshot`: what the parts of `live` read, put together."""

from __future__ import annotations

import gc
import os
import pwd
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from portside.facts.snapshot import ONLY_ROOT_ENTERS, UNENTERED, Missing, Namespace, Snapshot
from portside.facts.socket import Socket, UnixSocket
from portside.live import namespaces as spaces
from portside.live import owners, proc, tables
from portside.live.diag_socket import set_owners
from portside.live.inet_diag import ASK_CONGESTION, ASK_INFO, ASK_MEMORY, EVERY_STATE, UNCONNECTED
from portside.live.namespaces import Found, Namespaces
from portside.live.owners import Owners
from portside.live.sock_diag import Refused

if TYPE_CHECKING:
    from portside.facts.process import Process

DEFAULT: Final = frozenset(
    {"sockets", "unix", "owners", "processes", "interfaces", "routes", "filter", "settings", "users"}
)
"""What `read` reads when nothing else is said."""
EVERYTHING: Final = DEFAULT | {"tcp_info", "options"}
"""All that can be read. `tcp_info`: the inside of each TCP connection. `options`: SO_REUSEADDR and its neighbours,
which no table shows; they cost 15 us a socket."""

_OUTSIDE: Final = "read outside of the sandbox"
_ONLY_ROOT: Final = "the kernel tells only their own user and root"


class _Place:
    """One network namespace while it is read. `rest` is what the snapshot has beside its sockets."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.sockets: list[Socket] = []
        self.unix: list[UnixSocket] = []
        self.rest: dict[str, Any] = {}


class _Reading:
    """One reading of the machine: what is wanted, who holds what, and what is missing so far."""

    def __init__(self, want: frozenset[str], tcp_states: int = EVERY_STATE, port: int | None = None) -> None:
        self.want = want
        self.tcp_states = tcp_states
        self.port = port
        self.known = Owners()
        self.missing: list[Missing] = []

    def lacks(self, *more: Missing) -> None:
        """Remember what could not be read; the same in several namespaces is said once."""
        self.missing += [one for one in dict.fromkeys(more) if one not in self.missing]


def read(*, want: Iterable[str] | None = None, namespaces: bool = True) -> Snapshot:
    """The machine now, seen from the network namespace of the caller.

    Args: want: which parts, of EVERYTHING; None: DEFAULT. Each that is left out saves its time, and is empty in the
    result. namespaces: also every other network namespace that can be entered, in `others`.
    `processes` are those of the whole machine; each of `others` has those that live in it.
    Without a privilege everything is read that the kernel shows, and `missing` says what is not.
    Raises ValueError for a part that there is not.
    """
    parts = DEFAULT if want is None else frozenset(want)
    if unknown := parts - EVERYTHING:
        raise ValueError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(sorted(EVERYTHING))}")
    with _collector_at_rest():
        return _snapshot(_Reading(parts), namespaces)


def at_port(port: int, *, connections: bool = False, namespaces: bool = True) -> Snapshot:
    """Who has a port: a snapshot with nothing but the sockets on this local port, their owners, and the processes that
    hold them with those that they descend from.

    Args: connections: TCP sockets that have a peer, too. namespaces: in every network namespace.
    """
    want = frozenset({"sockets", "owners", "users"})
    return _snapshot(_Reading(want, EVERY_STATE if connections else UNCONNECTED, port), namespaces)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Without Python's search for cycles: it would look through a hundred thousand new facts again and again."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # to the oldest generation, unseen: the next search would take 70 ms for them
            gc.freeze()
            gc.unfreeze()
        gc.enable()


def _snapshot(reading: _Reading, namespaces: bool) -> Snapshot:
    taken = time.time_ns()
    found = spaces.every() if namespaces else Namespaces(spaces.own())
    with ExitStack() as opened:
        doors = _doors(reading, found, opened)
        here = found.found.get(found.own, Found(found.own))
        if reading.port is None:
            _find_owners(reading)
        places = [_place(reading, here, doors), *_others(reading, found, doors)]
        if reading.port is not None:
            _find_owners(reading, [each for place in places for each in place.sockets])
        elif namespaces and {"owners", "sockets"} <= reading.want:
            places += _strays(reading, places, found, opened)
    _say_unowned(reading, places)
    one, *others = _finished(reading, places, _processes(reading), taken)
    return replace(one, others=tuple(others), users=_users(reading, (one, *others)), missing=tuple(reading.missing))


def _doors(reading: _Reading, found: Namespaces, opened: ExitStack) -> dict[int, int]:
    """An open descriptor of each network namespace, by its inode: how a veth says where its other end is."""
    doors: dict[int, int] = {}
    for one in found.found.values() if "interfaces" in reading.want else ():
        try:
            doors[one.inode] = one.open()
        except OSError as error:
            if error.errno not in proc.GONE | proc.DENIED:
                raise
        else:
            opened.callback(os.close, doors[one.inode])
    return doors


# one namespace


def _place(reading: _Reading, one: Found, doors: Mapping[int, int]) -> _Place:
    """What is in the network namespace of the calling thread."""
    want = reading.want
    place = _Place(Namespace(inode=one.inode, name=one.name))
    if "sockets" in want:
        ask = ASK_MEMORY | (ASK_INFO | ASK_CONGESTION if "tcp_info" in want else 0)
        place.sockets = tables.inet(
            _refused(reading), ask=ask, tcp_states=reading.tcp_states, port=reading.port, holders=reading.known.of_each
        )
    if "unix" in want:
        place.unix += tables.unix()
    if want & {"interfaces", "routes", "filter"}:
        from portside.live.netlink import Forbidden

        try:
            _network(reading, place, doors)
        except Forbidden as error:
            missing = Missing(what=UNENTERED, why=f"netlink: {error.strerror}", remedy=_OUTSIDE)
            place.rest["missing"] = (missing,)
            reading.lacks(missing)
    if "settings" in want:
        from portside.live import sysctls

        place.rest.update(settings=sysctls.settings(), listen_overflows=sysctls.listen_overflows())
    return place


def _network(reading: _Reading, place: _Place, doors: Mapping[int, int]) -> None:
    """Interfaces, routes and the packet filter, which netlink alone tells. Raises Forbidden."""
    want = reading.want
    if "interfaces" in want:
        from portside.live import rtnetlink

        place.rest.update(interfaces=rtnetlink.interfaces(doors), neighbors=rtnetlink.neighbors())
    if "routes" in want:
        from portside.live import fib

        place.rest.update(routes=fib.routes(), policy_rules=fib.policy_rules())
        place.rest["local_table"] = fib.has_local_table()
    if "filter" in want:
        from portside.live import nftables

        place.rest["chains"], missing = nftables.chains()
        reading.lacks(*missing)


def _refused(reading: _Reading) -> Callable[[Refused], None]:
    what = "v6only, backlogs, buffers and control groups of sockets, and those that are only bound"

    def say(reason: Refused) -> None:
        reading.lacks(Missing(what=what, why=str(reason.strerror), remedy=_OUTSIDE))

    return say


# the other namespaces


def _others(reading: _Reading, found: Namespaces, doors: Mapping[int, int]) -> Iterator[_Place]:
    closed: list[Found] = []
    for one in found.found.values():
        if one.inode != found.own:
            try:
                yield _inside(reading, one, doors)
            except OSError as error:
                if error.errno in proc.DENIED:
                    closed.append(one)
                elif error.errno not in proc.GONE:
                    raise
    closed += found.closed
    for one in closed:
        yield _from_outside(reading, one)
    if closed:
        what = f"all but the sockets of {_count(len(closed), 'other network namespace')}"
        reading.lacks(Missing(what=what, why="only root may enter them", remedy=proc.remedy("CAP_SYS_ADMIN")))


def _inside(reading: _Reading, one: Found, doors: Mapping[int, int]) -> _Place:
    descriptor = one.open()
    try:
        return spaces.inside(descriptor, lambda: _place(reading, one, doors))
    finally:
        os.close(descriptor)


def _from_outside(reading: _Reading, one: Found) -> _Place:
    """What everybody may read of a namespace without entering it. One of unknown inode is named by a process in it."""
    named = one.name or (f"pid {one.pids[0]}" if one.pids and not one.inode else "")
    place = _Place(Namespace(inode=one.inode, name=named))
    place.rest["missing"] = (Missing(what=UNENTERED, why=ONLY_ROOT_ENTERS, remedy=proc.remedy("CAP_SYS_ADMIN")),)
    if not one.pids or not reading.want & {"sockets", "unix"}:
        return place
    sockets, unix = tables.of_process(one.pids[0], proc.PROC)
    if "sockets" in reading.want:
        place.sockets += [each for each in sockets if reading.port in (None, each.lport)]
    set_owners(place.sockets, reading.known.of_each)
    place.unix += unix if "unix" in reading.want else ()
    return place


def _strays(reading: _Reading, places: list[_Place], found: Namespaces, opened: ExitStack) -> Iterator[_Place]:
    """Namespaces that only a socket keeps, which some process holds though it does not live there."""
    seen = {each.inode for place in places for each in place.sockets}
    seen |= {each.inode for place in places for each in place.unix}
    unknown = [(inode, reading.known.of(inode)[0]) for inode in reading.known.inodes if inode not in seen]
    if not unknown:
        return
    from portside.live import strays

    for one in strays.find(unknown, found.found).values():
        assert one.descriptor is not None
        opened.callback(os.close, one.descriptor)
        place = spaces.inside(one.way, lambda one=one: _place(reading, one, {}))  # type: ignore[misc]
        yield place


# owners and processes


def _find_owners(reading: _Reading, sockets: Sequence[Socket] | None = None) -> None:
    """Who holds all sockets, or these, which get their owners here."""
    if "owners" not in reading.want:
        return
    if sockets is None:
        known = owners.walk()
    else:
        inodes = {each.inode for each in sockets if each.inode}
        known = owners.walk(inodes) if inodes else Owners()
        set_owners(sockets, known.of_each)
    reading.known = known
    denied = list(_without_kernel_threads(known.denied))
    if denied:
        what = f"the sockets that {_count(len(denied), 'process')} may hold"
        reading.lacks(Missing(what=what, why=_ONLY_ROOT, remedy=proc.remedy("CAP_SYS_PTRACE")))


def _without_kernel_threads(pids: Iterable[int]) -> Iterator[int]:
    for pid in pids:
        if not proc.is_kernel_thread(pid):
            yield pid


def _say_unowned(reading: _Reading, places: list[_Place]) -> None:
    """Sockets of processes that are there and have no number here, or none that this user may see."""
    if "owners" not in reading.want:
        return
    if not proc.sees_all_processes():
        remedy = "run it outside of the container"
    elif proc.hides_processes() and os.geteuid():
        remedy = proc.remedy("CAP_SYS_PTRACE")
    else:
        return
    unowned = sum(bool(each.inode) and not each.owners for place in places for each in place.sockets)
    if unowned:
        reading.lacks(
            Missing(what=f"who holds {_count(unowned, 'socket')}", why="not all processes are seen", remedy=remedy)
        )


def _processes(reading: _Reading) -> tuple[Process, ...]:
    if reading.port is None and "processes" not in reading.want:
        return ()
    from portside.live import processes

    return processes.read() if reading.port is None else processes.with_ancestors(reading.known.processes)


def _finished(reading: _Reading, places: list[_Place], living: tuple[Process, ...], taken: int) -> Iterator[Snapshot]:
    system = os.uname()
    unasked = 0
    for i, place in enumerate(places):
        if "options" in reading.want:
            from portside.live import options

            unasked += options.read(place.sockets)
        yield Snapshot(
            host=system.nodename,
            taken=taken,
            release=system.release,
            namespace=place.namespace,
            sockets=tuple(place.sockets),
            unix_sockets=tuple(_held(each, reading.known) for each in place.unix),
            processes=living if i == 0 else _living_in(place.namespace, living),
            **place.rest,
        )
    if unasked:
        what = f"SO_REUSEADDR, SO_REUSEPORT and other options of {_count(unasked, 'socket')}"
        reading.lacks(Missing(what=what, why=_ONLY_ROOT, remedy=proc.remedy("CAP_SYS_PTRACE")))


def _held(one: UnixSocket, known: Owners) -> UnixSocket:
    found = known.of(one.inode)
    return replace(one, owners=found) if found else one


def _living_in(namespace: Namespace, living: tuple[Process, ...]) -> tuple[Process, ...]:
    if not namespace.inode:  # whose it is may not be known
        return ()
    return tuple(process for process in living if process.namespace == namespace.inode)


def _users(reading: _Reading, snapshots: tuple[Snapshot, ...]) -> tuple[tuple[int, str], ...]:
    """The names of the users that occur; a number without a name is left out."""
    if "users" not in reading.want:
        return ()
    uids = {each.uid for one in snapshots for each in one.sockets}
    uids |= {each.uid for one in snapshots for each in one.unix_sockets}
    uids |= {uid for one in snapshots for each in one.processes for uid in (each.uid, each.euid)}
    named = []
    for uid in sorted(uids):
        try:
            named.append((uid, pwd.getpwuid(uid).pw_name))
        except KeyError:
            continue
    return tuple(named)


def _count(number: int, what: str) -> str:
    plural = what + ("es" if what.endswith("s") else "s")
    return f"1 {what}" if number == 1 else f"{number} {plural}"
