"""What about a listener is likely a mistake: each finding has a name, and a sentence that says why and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP
from portside.explain.exposure import EVERYWHERE, MACHINE, NETWORK, Exposure
from portside.explain.load import words
from portside.facts.interface import IFF_LOOPBACK, SCOPE_GLOBAL
from portside.facts.process import Process
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket

WARNING: Final = "warning"
NOTE: Final = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a listener. `level` is WARNING for a likely mistake, NOTE for what surprises some clients."""

    name: str
    sentence: str
    level: str = WARNING


DATABASES: Final = {
    1433: "Microsoft SQL Server", 1521: "Oracle", 2181: "ZooKeeper", 2375: "Docker's API without TLS", 2379: "etcd",
    3306: "MySQL", 5432: "PostgreSQL", 5984: "CouchDB", 6379: "Redis", 7000: "Cassandra", 8086: "InfluxDB",
    9042: "Cassandra", 9092: "Kafka", 9200: "Elasticsearch", 9300: "Elasticsearch", 11211: "memcached",
    27017: "MongoDB", 28015: "RethinkDB",
}  # fmt: skip
"""What should rarely be open to networks, by its usual port."""

PROGRAMS: Final = {
    "mysqld": "MySQL", "mariadbd": "MariaDB", "postgres": "PostgreSQL", "redis-server": "Redis",
    "valkey-server": "Valkey", "mongod": "MongoDB", "memcached": "memcached", "etcd": "etcd", "influxd": "InfluxDB",
    "clickhouse-serv": "ClickHouse", "beam.smp": "an Erlang node",
}  # fmt: skip
"""The same, by the names of their processes."""

SHARED: Final = frozenset({5353, 1900, 5355, 67, 68})
"""UDP ports that several programs share on purpose: multicast and broadcast."""


def findings(exposure: Exposure, beside: Sequence[Exposure], inner: bool = False) -> tuple[Finding, ...]:
    """What is likely wrong with a listener.

    Args: beside: all listeners of its protocol on its port, itself too. inner: whether it is in a network namespace
    other than the machine's own.
    """
    return (
        *_database(exposure),
        *_inside_a_container(exposure, inner),
        *_queue(exposure.socket, exposure.snapshot.listen_overflows),
        *_group(exposure, beside),
        *_one_family(exposure, beside),
        *_split_port(exposure, beside),
        *_not_here(exposure),
    )


def _database(exposure: Exposure) -> Iterator[Finding]:
    names = {owner.command for owner in exposure.socket.owners}
    what = next((PROGRAMS[name] for name in names if name in PROGRAMS), None) or DATABASES.get(exposure.socket.lport)
    if what is None or exposure.reach not in (EVERYWHERE, NETWORK) or not exposure.outer:
        return
    if exposure.reach == EVERYWHERE or exposure.wildcard:
        yield Finding(
            "database-exposed",
            f"{what} is open to {'every network' if exposure.reach == EVERYWHERE else 'networks'}: "
            "bind it to 127.0.0.1, or to the one address that its clients use",
        )


def _inside_a_container(exposure: Exposure, inner: bool) -> Iterator[Finding]:
    alone = bool(exposure.doors) and not exposure.outer and exposure.reach == MACHINE
    if not alone or exposure.wildcard:
        return
    process = owner_of(exposure)
    contained = process is not None and bool(process.container)
    if inner or contained:
        where = "container" if contained else "network namespace"
        yield Finding(
            "container-loopback",
            f"it listens on the loopback of its {where}: nobody outside reaches it, a published port neither; "
            f"bind it to {'[::]' if exposure.families == (AF_INET6,) else '0.0.0.0'}",
            WARNING if contained else NOTE,
        )


def _queue(socket: Socket, overflows: int | None) -> Iterator[Finding]:
    """A full accept queue, and what was dropped. `overflows` is of all listeners together: if there was none, it was
    another cause; the kernel counts all that it drops of a listener together."""
    if socket.proto != IPPROTO_TCP:
        if socket.drops:
            yield Finding("drops", f"{_count(socket.drops, 'datagram')} dropped, mostly for want of room in its buffer")
        return
    if socket.backlog is not None and socket.accept_queue > socket.backlog:
        yield Finding(
            "queue-full",
            f"{_count(socket.accept_queue, 'connection')} waiting to be accepted, no more fit (backlog "
            f"{socket.backlog}): new ones are dropped until it accepts",
        )
    elif socket.drops:
        backlog = "" if socket.backlog is None else f" (backlog {socket.backlog})"
        full = "" if overflows == 0 else f"its accept queue was full then{backlog}, "
        yield Finding(
            "connections-dropped",
            f"{_count(socket.drops, 'packet')} dropped on the way to a connection: {full}no route led back, or a check "
            "failed; the kernel does not tell which",
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _group(exposure: Exposure, beside: Sequence[Exposure]) -> Iterator[Finding]:
    """Several sockets on the very same address: a SO_REUSEPORT group (for UDP also SO_REUSEADDR), meant or not."""
    mine = exposure.socket
    if mine.proto != IPPROTO_TCP and (mine.lport in SHARED or ip.is_multicast(mine.laddr)):
        return
    group = [each.socket for each in beside if _same_place(each.socket, mine)]
    if len(group) < 2:
        return
    processes = {each.pid: each for each in exposure.snapshot.processes}
    crews = {_crew(owner.pid, processes) for socket in group for owner in socket.owners[:1]}
    if len(crews) < 2:
        return
    programs = sorted({owner.command for socket in group for owner in socket.owners})
    pids = ", ".join(str(pid) for pid in sorted({socket.owners[0].pid for socket in group if socket.owners}))
    who = f"different programs ({', '.join(programs)})" if len(programs) > 1 else f"{len(crews)} independent processes"
    gets = "each gets a share of the connections" if mine.proto == IPPROTO_TCP else "only some get the datagrams"
    yield Finding("reuseport-group", f"{who} share it by SO_REUSEPORT, processes {pids}: {gets}; was one left running?")


def _same_place(one: Socket, other: Socket) -> bool:
    return (one.laddr, one.family, one.device, one.v6only) == (other.laddr, other.family, other.device, other.v6only)


def _crew(pid: int, processes: Mapping[int, Process]) -> int:
    """The eldest of those of one program that a process descends from: workers and their master are one crew."""
    process = processes.get(pid)
    while process is not None and process.ppid in processes:
        parent = processes[process.ppid]
        same = parent.exe == process.exe and parent.argv[1:2] == process.argv[1:2] if parent.exe else False
        if not same and parent.name != process.name:
            break
        process = parent
    return pid if process is None else process.pid


def _one_family(exposure: Exposure, beside: Sequence[Exposure]) -> Iterator[Finding]:
    if len(exposure.families) != 1 or exposure.socket.device:
        return
    [family] = exposure.families
    others = {each for other in beside for each in other.families if _kindred(exposure, other)}
    if others != {family}:
        return
    port = exposure.socket.lport
    if family == AF_INET6 and _has(exposure.snapshot, AF_INET, exposure.reach == MACHINE):
        call = "127.0.0.1" if exposure.reach == MACHINE else "an IPv4 address of this machine"
        yield Finding("only-ipv6", f"only IPv6: who calls {call}, port {port}, is refused")
    elif family == AF_INET and _has(exposure.snapshot, AF_INET6, exposure.reach == MACHINE):
        call = "[::1], as some do for localhost," if exposure.reach == MACHINE else "an IPv6 address of this machine"
        yield Finding("only-ipv4", f"only IPv4: who calls {call} port {port} is refused", NOTE)


def _kindred(one: Exposure, other: Exposure) -> bool:
    """Whether both serve the same callers: those of this machine, or those of networks too."""
    return (one.reach == MACHINE) is (other.reach == MACHINE) or other.wildcard


def _has(snapshot: Snapshot, family: int, loopback: bool) -> bool:
    """Whether the host has an address of the family that clients call: on lo, or elsewhere and not link-local."""
    return any(
        bool(interface.flags & IFF_LOOPBACK) is loopback
        and ip.family_of(each.address) == family
        and (loopback or each.scope == SCOPE_GLOBAL)
        for interface in snapshot.interfaces
        for each in interface.addresses
    )


def _split_port(exposure: Exposure, beside: Sequence[Exposure]) -> Iterator[Finding]:
    """Two programs on one port of different addresses: which one answers depends on what is typed."""
    mine = exposure.socket
    own = {owner.command for owner in mine.owners}
    if mine.proto != IPPROTO_TCP and mine.lport in SHARED:
        return
    for other in beside:
        theirs = {owner.command for owner in other.socket.owners}
        if _same_place(other.socket, mine) or not own or not theirs or own & theirs:
            continue
        if mine.proto == IPPROTO_TCP or not (ip.is_multicast(mine.laddr) or ip.is_multicast(other.socket.laddr)):
            named = f"{words(other.socket)} ({', '.join(sorted(theirs))})"
            yield Finding("split-port", f"another program has the port on another address: {named}; who answers "
                          "depends on the address that is called")  # fmt: skip
            return


def _not_here(exposure: Exposure) -> Iterator[Finding]:
    if not exposure.snapshot.entered:
        return
    if not exposure.doors and not exposure.wildcard and not ip.is_multicast(exposure.socket.laddr):
        yield Finding("not-here", f"no interface has the address {ip.text(exposure.socket.laddr)}: nobody reaches it")


def owner_of(exposure: Exposure) -> Process | None:
    """The process that has the listener, the first of several."""
    pids = [owner.pid for owner in exposure.socket.owners]
    return next((each for each in exposure.snapshot.processes if each.pid in pids), None)
