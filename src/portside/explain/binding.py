"""Would this bind(2) and listen(2) succeed, here and now, and if not: why, because of whom, and what would.

The sockets of a Snapshot are put into a socket table, and the functions that decide a simulated bind and listen are
asked. Nothing is bound.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP
from portside.addr.reading import Endpoint
from portside.explain.load import everything, is_queued, listener_of, on_port, tables, unknown_options, words
from portside.explain.place import Caller, Place
from portside.explain.words import user_name
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Owner, Socket
from portside.facts.state import CLOSED
from portside.facts.verdict import ALLOWED, Rule, Verdict
from portside.sockets import bind
from portside.sockets.entry import PROTOCOLS, Entry
from portside.sockets.table import SocketTable

WORKS: Final = "works"
FAILS: Final = "fails"
DEPENDS: Final = "depends"

Json = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A server's calls: socket(2) with these options, bind(2), and for TCP listen(2).

    `v6only` None leaves the option as `net.ipv6.bindv6only` has it. `device` is an interface's index, of
    SO_BINDTODEVICE; `scope` that of a link-local address.
    """

    address: int
    port: int
    proto: int = IPPROTO_TCP
    family: int = AF_INET
    reuseaddr: bool = False
    reuseport: bool = False
    v6only: bool | None = None
    freebind: bool = False
    device: int = 0
    scope: int = 0

    @property
    def where(self) -> str:
        """Address and port as people write them."""
        if self.family == AF_INET:
            return f"{ip.text(self.address)}:{self.port}"
        return f"[{ip.text_v6(self.address)}]:{self.port}"

    def __str__(self) -> str:
        return f"{PROTOCOLS[self.proto]} {self.where}"


@dataclass(frozen=True, slots=True)
class Holder:
    """A socket in the way: in words, and the processes that have it open. `queue_of` is the listener in whose accept
    queue it waits."""

    socket: Socket
    text: str
    owners: tuple[Owner, ...]
    user: str
    queue_of: Socket | None = None

    @property
    def who(self) -> str:
        """The processes, or why none is named."""
        if self.owners:
            names = dict.fromkeys(f"{owner.command or '?'} (pid {owner.pid})" for owner in self.owners)
            return ", ".join(names)
        if is_queued(self.socket):
            whose = "" if self.queue_of is None else f" of {words(self.queue_of)}"
            return f"no process yet: it waits in the accept queue{whose}"
        return "no process any more: the kernel keeps it" if not self.socket.inode else "a process that can't be seen"


@dataclass(frozen=True, slots=True)
class Remedy:
    """Something that would work: a name, a sentence, and the attempt that was tried and found to work, if it is one;
    `caller` is who would have to make it, where it is another."""

    name: str
    sentence: str
    attempt: Attempt | None = None
    caller: Caller | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What would come of an attempt: `outcome` is WORKS, FAILS or DEPENDS (then `depends_on` says on what, and the
    rest is the failure that is possible). `call` is the one that fails: `bind` or `listen`."""

    attempt: Attempt
    outcome: str
    call: str = ""
    errno: int = 0
    rule: Rule | None = None
    in_way: tuple[Holder, ...] = ()
    depends_on: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    rivals: tuple[Holder, ...] = ()  # bound beside it: if one of them listens first, our listen fails

    def __bool__(self) -> bool:
        """Whether it would certainly work."""
        return self.outcome == WORKS

    @property
    def sentence(self) -> str:
        """The rule in words."""
        return "" if self.rule is None else self.rule.sentence.format(*[each.text for each in self.in_way])

    @property
    def lines(self) -> tuple[str, ...]:
        """The answer for a person."""
        if self.outcome == WORKS:
            calls = "bind and listen" if self.attempt.proto == IPPROTO_TCP else "bind"
            found = [f"{self.attempt}: {calls} would work."]
            found += [
                f"  but bind alone proves nothing: if {each.text} ({each.who}) listens in between, listen fails with "
                "EADDRINUSE"
                for each in self.rivals
            ]
            return tuple(found)
        name = f"[Errno {self.errno}] {errno.errorcode[self.errno]}: {os.strerror(self.errno)}"
        if self.outcome == FAILS:
            found = [f"{self.attempt}: {self.call} would fail: {name}"]
        else:
            found = [f"{self.attempt}: not certain: {self.call} may fail: {name}"]
            found += [f"  it depends on {each}" for each in self.depends_on]
        if self.rule is not None:
            found.append(f"  rule: {self.sentence} ({self.rule.source})")
        found += [f"  in the way: {each.text}, {each.who}, user {each.user}" for each in self.in_way]
        found += [f"  would work: {each.sentence}" for each in self.remedies]
        return tuple(found)

    def json(self) -> Json:
        """What `portside bind --json` prints."""
        return {
            "address": ip.text(self.attempt.address),
            "port": self.attempt.port,
            "protocol": PROTOCOLS[self.attempt.proto].lower(),
            "outcome": self.outcome,
            "call": self.call or None,
            "errno": errno.errorcode[self.errno] if self.errno else None,
            "rule": self.rule.name if self.rule is not None else None,
            "sentence": self.sentence or None,
            "source": self.rule.source if self.rule is not None else None,
            "rivals": [_holder_json(each) for each in self.rivals],
            "in_way": [_holder_json(each) for each in self.in_way],
            "depends_on": list(self.depends_on),
            "remedies": [{"name": each.name, "sentence": each.sentence} for each in self.remedies],
        }

    def __str__(self) -> str:
        """The answer for a person."""
        return "\n".join(self.lines)


def _holder_json(holder: Holder) -> Json:
    return {
        "socket": holder.text,
        "user": holder.user,
        "inode": holder.socket.inode,
        "owners": [{"pid": each.pid, "fd": each.fd, "command": each.command} for each in holder.owners],
    }


def would_bind(snapshot: Snapshot, attempt: Attempt, caller: Caller | None = None) -> Answer:
    """What bind(2) and then, for TCP, listen(2) would answer on the host of the snapshot.

    Args: caller: who calls; root if None.
    """
    from portside.explain.remedy import remedies

    place = Place(snapshot, caller or Caller())
    answer = decide(place, attempt)
    return answer if answer else replace(answer, remedies=remedies(place, answer))


def decide(place: Place, attempt: Attempt) -> Answer:
    """As `would_bind`, without looking for a remedy."""
    found: list[tuple[str, Verdict]] = []
    for table in _tables(place, attempt):
        found.append(_try(table, place, attempt))
    codes = {(call, verdict.errno) for call, verdict in found}
    if codes == {("", 0)}:
        return Answer(attempt=attempt, outcome=WORKS, rivals=_rivals(place, attempt))
    call, verdict = next((call, verdict) for call, verdict in found if verdict.errno)
    holders = tuple(_holder(place.snapshot, entry) for entry in verdict.because if isinstance(entry, Entry))
    certain = all(each.errno for _, each in found) and len({each.errno for _, each in found}) == 1
    return Answer(
        attempt=attempt,
        outcome=FAILS if certain else DEPENDS,
        call=call if len({name for name, each in found if each.errno}) == 1 else "bind",
        errno=verdict.errno,
        rule=verdict.rule,
        in_way=holders,
        depends_on=() if certain else _depends_on(attempt, holders),
    )


def _tables(place: Place, attempt: Attempt) -> Iterator[SocketTable]:
    if attempt.port:
        return tables(place.snapshot, attempt.proto, attempt.port, place.caller.uid)
    return iter((everything(place.snapshot, attempt.proto),))


def _try(table: SocketTable, place: Place, attempt: Attempt) -> tuple[str, Verdict]:
    """Do it in a table that is ours, and say which call failed, with everyone in its way."""
    entry = _socket(table, place, attempt)
    address, port, scope = attempt.address, attempt.port, attempt.scope
    foreseen = bind.decide(table, entry, address, port, place, scope)
    verdict = bind.bind(table, entry, address, port, place, Random(0), scope)
    if verdict.errno:
        return "bind", foreseen if foreseen.errno else verdict
    if attempt.proto != IPPROTO_TCP:
        return "", ALLOWED
    foreseen = bind.decide_listen(table, entry)
    verdict = bind.listen(table, entry, Random(0))
    if verdict.errno:
        return "listen", foreseen if foreseen.errno else verdict
    return "", ALLOWED


def _socket(table: SocketTable, place: Place, attempt: Attempt) -> Entry:
    """The socket of the attempt, before its bind(2)."""
    entry = table.open(attempt.family, place.caller.uid)
    entry.reuseaddr, entry.reuseport = attempt.reuseaddr, attempt.reuseport
    entry.freebind, entry.device = attempt.freebind, attempt.device
    if attempt.v6only is not None and attempt.family == AF_INET6:
        entry.v6only = attempt.v6only
    return entry


def _rivals(place: Place, attempt: Attempt) -> tuple[Holder, ...]:
    """Sockets that are bound beside ours and keep it from listening once they listen themselves."""
    found: dict[Socket, Holder] = {}
    bound = [] if attempt.proto != IPPROTO_TCP else on_port(place.snapshot, attempt.proto, attempt.port)
    for socket in (each for each in bound if each.state == CLOSED):
        for table in tables(place.snapshot, attempt.proto, attempt.port, place.caller.uid):
            ours = _socket(table, place, attempt)
            bind.bind(table, ours, attempt.address, attempt.port, place, Random(0), attempt.scope)
            rival = next(entry for entry in table if entry.owner is socket)
            named = _holder(place.snapshot, rival)
            if not bind.listen(table, rival, Random(0)).errno and bind.decide_listen(table, ours).errno:
                found[socket] = named
    return tuple(found.values())


def _depends_on(attempt: Attempt, holders: tuple[Holder, ...]) -> tuple[str, ...]:
    """Of the options that could not be read, those that count when the attempt has them too; or the order."""
    counts = {"SO_REUSEADDR": attempt.reuseaddr, "SO_REUSEPORT": attempt.reuseport, "IPV6_V6ONLY": True}
    found = [
        f"whether {', '.join(dict.fromkeys(map(words, sockets)))} has {option} set, which could not be read"
        for option, sockets in unknown_options(holder.socket for holder in holders).items()
        if counts[option]
    ]
    return tuple(found) or (
        "who came last to the port: the kernel asks nothing of one like the last with SO_REUSEPORT",
    )


def _holder(snapshot: Snapshot, entry: Entry) -> Holder:
    socket = entry.owner
    assert isinstance(socket, Socket)
    queue_of = listener_of(snapshot.sockets, socket) if is_queued(socket) else None
    return Holder(socket, str(entry), socket.owners, user_name(snapshot, socket.uid), queue_of)


def attempt_of(endpoint: Endpoint, snapshot: Snapshot, **options: object) -> Attempt:
    """The attempt that a notation with an address and a port means; the interface by its zone.

    Raises ValueError when the notation has no address, no port, or names an interface that is not there.
    """
    if endpoint.port is None or endpoint.address is None:
        raise ValueError("an address and a port are needed, such as 0.0.0.0:8080 or [::]:8080")
    index = 0
    if endpoint.zone:
        index = next((each.index for each in snapshot.interfaces if each.name == endpoint.zone), 0)
        if not index:
            raise ValueError(f"this machine has no interface {endpoint.zone}")
    return Attempt(
        address=endpoint.address,
        port=endpoint.port,
        proto=endpoint.proto or IPPROTO_TCP,
        family=endpoint.family,
        device=index if endpoint.device else 0,
        scope=0 if endpoint.device else index,
        **options,  # type: ignore[arg-type]
    )
