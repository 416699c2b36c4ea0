"""A snapshot as ss(8) of iproute2 prints it, with the flags and filters that people type."""

from __future__ import annotations

import getopt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Final

from portside.addr import ip
from portside.addr.abi import (
    AF_INET,
    AF_INET6,
    IPPROTO_UDP,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
)
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket, UnixSocket
from portside.facts.state import CLOSED, ESTABLISHED, LISTEN, SYN_RECEIVED
from portside.facts.state import NAMES as RFC_NAMES
from portside.views import ss_details as details
from portside.views import ss_filter
from portside.views.names import NO_NAMES, PROTOCOLS, RAW_NAMES, HostNames, interface
from portside.views.table import OTHERS, Misuse, Pages, Report, clean, padded, printed, unix_name

STATE_NAMES: Final = {**RFC_NAMES, ESTABLISHED: "ESTAB", CLOSED: "UNCONN", SYN_RECEIVED: "SYN-RECV"}

NO_CGROUPS: Final[Mapping[int, str]] = {}

_INET: Final = ("raw", "udp", "tcp")
_UNIX: Final = ("u_dgr", "u_str", "u_seq")
_UNIX_TYPES: Final = {SOCK_STREAM: "u_str", SOCK_DGRAM: "u_dgr", SOCK_SEQPACKET: "u_seq"}
_QUERIES: Final = {
    "all": (*_UNIX, *_INET),
    "inet": _INET,
    "unix": _UNIX,
    "tcp": ("tcp",),
    "udp": ("udp",),
    "raw": ("raw",),
    "unix_stream": ("u_str",),
    "unix_dgram": ("u_dgr",),
    "unix_seqpacket": ("u_seq",),
}
_FAMILIES: Final = {"inet": AF_INET, "inet6": AF_INET6, "unix": 0}
_SHORT: Final = "tuwxlanpemoi46HOrBA:f:N:"
_LONG: Final = (
    "tcp", "udp", "raw", "unix", "listening", "all", "numeric", "processes", "extended", "memory", "options", "info",
    "ipv4", "ipv6", "no-header", "oneline", "resolve", "bound-inactive", "query=", "socket=", "family=", "net=",
)  # fmt: skip
_HEADING: Final = (
    "Netid", "State", "Recv-Q", "Send-Q", "Local Address:", "Port", "Peer Address:", "Port", "Process",
)  # fmt: skip
_RIGHT: Final = (4, 6)
_APART: Final = (1, 2, 3, 4, 6)  # columns that a space separates from the one before


@dataclass(slots=True)
class Options:
    """What the flags of ss(8) ask for: kinds of sockets, of internet sockets these families, in these states."""

    kinds: list[str] = field(default_factory=list)
    families: list[int] = field(default_factory=list)
    states: frozenset[int] = ss_filter.DEFAULT
    every: bool = False
    listening: bool = False
    numeric: bool = False
    resolve: bool = False
    processes: bool = False
    extended: bool = False
    memory: bool = False
    timers: bool = False
    info: bool = False
    header: bool = True
    oneline: bool = False
    inactive: bool = False
    namespace: str = ""
    expression: str = ""


_SWITCHES: Final = {
    "-n": "numeric",
    "--numeric": "numeric", "-r": "resolve", "--resolve": "resolve", "-p": "processes", "--processes": "processes",
    "-m": "memory", "--memory": "memory", "-o": "timers", "--options": "timers", "-i": "info", "--info": "info",
    "-O": "oneline", "--oneline": "oneline", "-B": "inactive", "--bound-inactive": "inactive",
    "-e": "extended", "--extended": "extended",
}  # fmt: skip
_KINDS: Final = {"-t": "tcp", "--tcp": "tcp", "-u": "udp", "--udp": "udp", "-w": "raw", "--raw": "raw", "-x": "unix",
                 "--unix": "unix"}  # fmt: skip


def options(arguments: Sequence[str]) -> Options:
    """The flags and the filter of a command line.

    Raises Misuse.
    """
    if any(word.startswith("-") and not word.startswith("--") and "K" in word for word in arguments):
        raise Misuse("-K closes other programs' sockets; portside only looks")
    try:
        flags, words = getopt.gnu_getopt(list(arguments), _SHORT, _LONG)
    except getopt.GetoptError as error:
        raise Misuse(f"{error.msg}; it knows -t -u -w -x -l -a -n -p -e -m -o -i -4 -6 -H -O -r -B -A -f -N") from None
    found = Options()
    for flag, value in flags:
        _flag(found, flag, value)
    chosen, rest = ss_filter.states(words)
    found.expression = " ".join(rest)
    found.states = chosen if chosen is not None else _default_states(found)
    _complete(found)
    found.timers |= found.extended  # as ss does: -e shows the timers too
    return found


def _flag(found: Options, flag: str, value: str) -> None:
    if flag in ("-a", "--all", "-l", "--listening"):  # the last of them counts
        found.every = flag in ("-a", "--all")
        found.listening = not found.every
    elif flag in _SWITCHES:
        setattr(found, _SWITCHES[flag], True)
    elif flag in _KINDS:
        found.kinds += _QUERIES[_KINDS[flag]]
    elif flag in ("-4", "--ipv4", "-6", "--ipv6"):
        found.families.append(AF_INET if "4" in flag else AF_INET6)
    elif flag in ("-H", "--no-header"):
        found.header = False
    elif flag in ("-N", "--net"):
        found.namespace = value
    elif flag in ("-f", "--family"):
        _add_family(found, value)
    else:
        _add_query(found, flag, value)


def _add_family(found: Options, name: str) -> None:
    if name not in _FAMILIES:
        raise Misuse(f"-f {name}: the families are {', '.join(_FAMILIES)}")
    if name == "unix":
        found.kinds += _UNIX
    else:
        found.families.append(_FAMILIES[name])


def _add_query(found: Options, flag: str, value: str) -> None:
    for name in value.split(","):
        if name not in _QUERIES:
            raise Misuse(f"{flag} {value}: the kinds of sockets are {', '.join(_QUERIES)}")
        found.kinds += _QUERIES[name]


def _complete(found: Options) -> None:
    """A kind without its family means all of its families, a family without its kind all of its kinds."""
    if not found.kinds and not found.families:
        found.kinds += _QUERIES["all"]
    if found.families and not set(found.kinds) & set(_INET):
        found.kinds += _INET
    if not found.families:
        found.families += (AF_INET, AF_INET6)


def _default_states(found: Options) -> frozenset[int]:
    if found.inactive:
        return frozenset((ss_filter.BOUND_INACTIVE,))
    if found.every:
        return ss_filter.ALL
    if found.listening:
        return ss_filter.LISTENING
    datagrams = found.kinds and not found.families and not set(found.kinds) - {"udp", "raw"}
    return ss_filter.CONNECTED_DATAGRAMS if datagrams else ss_filter.DEFAULT


def wants(arguments: Sequence[str]) -> frozenset[str]:
    """The parts of a snapshot that the command line needs.

    Raises Misuse.
    """
    asked = options(arguments)
    parts = {"sockets", "interfaces", "settings"}
    if set(asked.kinds) & set(_UNIX):
        parts.add("unix")
    if asked.processes:
        parts |= {"owners", "processes"}
    if asked.info:
        parts.add("tcp_info")
    if asked.namespace:
        parts.add(OTHERS)
    return frozenset(parts)


def show(
    snapshot: Snapshot,
    arguments: Sequence[str],
    names: HostNames = NO_NAMES,
    cgroups: Mapping[int, str] = NO_CGROUPS,
) -> Report:
    """What `ss ARGUMENTS` prints.

    Args:
        snapshot: the machine.
        arguments: the words after `ss`.
        names: what addresses are called, with -r.
        cgroups: the paths of control groups by their inode, for -e.

    Raises Misuse.
    """
    asked = options(arguments)
    snapshot = _namespace(snapshot, asked.namespace)
    chosen = _selected(snapshot, asked, names)
    shown = [True] * len(_HEADING)
    shown[0] = len(set(asked.kinds)) > 1
    shown[1] = len(asked.states) > 1
    writer = _Writer(snapshot, asked, names, cgroups)
    rows = map(writer.row, chosen)
    return printed(_laid_out(chain([_HEADING], rows) if asked.header else rows, shown))


def select(
    snapshot: Snapshot, arguments: Sequence[str], names: HostNames = NO_NAMES
) -> tuple[list[Socket], list[UnixSocket]]:
    """The sockets that the command line chooses.

    Raises Misuse.
    """
    asked = options(arguments)
    chosen = _selected(_namespace(snapshot, asked.namespace), asked, names)
    return (
        [socket for socket in chosen if isinstance(socket, Socket)],
        [socket for socket in chosen if isinstance(socket, UnixSocket)],
    )


def _namespace(snapshot: Snapshot, name: str) -> Snapshot:
    if not name or name == snapshot.namespace.name:
        return snapshot
    for other in snapshot.others:
        if other.namespace.name == name:
            return other
    raise Misuse(f"there is no network namespace {name!r}")


def _selected(snapshot: Snapshot, asked: Options, names: HostNames) -> list[Socket | UnixSocket]:
    """The rows in the order of ss(8): unix, raw, UDP, TCP; within each as the kernel lists them, IPv4 first."""
    indices = {each.name: each.index for each in snapshot.interfaces}
    passes = ss_filter.expression(
        asked.expression, names, lambda name: indices.get(name, 0), snapshot.settings.ip_local_port_range
    )
    # A connection that nobody has accepted is counted by its listener, and has no row.
    found: list[Socket | UnixSocket] = [
        each for each in snapshot.unix_sockets if each.attached and _UNIX_TYPES.get(each.type) in asked.kinds
    ]
    for kind in _INET:
        if kind in asked.kinds:
            of_kind = [each for each in snapshot.sockets if _netid(each) == kind and each.family in asked.families]
            of_kind.sort(key=_as_dumped)
            found += of_kind
    return [each for each in found if _state(each) in asked.states and (passes is None or passes(each))]


def _as_dumped(socket: Socket) -> tuple[int, bool]:
    """IPv4 before IPv6, listeners before the rest: one dump of the kernel after the other."""
    return socket.family, socket.state != LISTEN


def _netid(socket: Socket | UnixSocket) -> str:
    if isinstance(socket, UnixSocket):
        return _UNIX_TYPES.get(socket.type, "u_???")
    return PROTOCOLS.get(socket.proto, "raw") if socket.type != SOCK_RAW else "raw"


def _state(socket: Socket | UnixSocket) -> int:
    """A TCP socket that is bound and no more has a state of its own there."""
    return ss_filter.BOUND_INACTIVE if socket.state == CLOSED and _netid(socket) == "tcp" else socket.state


def _laid_out(rows: Iterable[Sequence[str]], shown: Sequence[bool]) -> Iterator[str]:
    """Columns as wide as their widest cell; ss does not count the last cell of all, so that it may stand out."""
    pages = Pages(rows)
    first = shown.index(True)
    for page in pages:
        filled: list[Iterable[str]] = []
        for index in (index for index in range(len(page)) if shown[index]):
            if index != first and index in _APART:
                filled.append(repeat(" ", len(page[index])))
            width = pages.before_last if index == len(page) - 1 else pages.widths[index]
            filled.append(padded(page[index], width, at_right=index in _RIGHT))
        yield "".join("".join(row) + "\n" for row in zip(*filled, strict=True))


class _Writer:
    """Cells of rows."""

    def __init__(self, snapshot: Snapshot, asked: Options, names: HostNames, cgroups: Mapping[int, str]) -> None:
        self.snapshot = snapshot
        self.asked = asked
        self.names = names
        self.cgroups = cgroups

    def row(self, socket: Socket | UnixSocket) -> list[str]:
        """The cells of one socket, as `_HEADING` names them."""
        state = STATE_NAMES.get(socket.state, "UNKNOWN")
        if socket.state == LISTEN:
            received, sent = socket.accept_queue, socket.backlog or 0  # as ss shows what /proc does not tell
        else:
            received, sent = socket.receive_queue, socket.send_queue
        ends = self._unix_ends(socket) if isinstance(socket, UnixSocket) else self._ends(socket)
        more = self._unix_more(socket) if isinstance(socket, UnixSocket) else self._more(socket)
        return [_netid(socket), state, str(received).ljust(6), str(sent).ljust(6), *ends, more]

    def _ends(self, socket: Socket) -> list[str]:
        device = socket.device or socket.scope
        zone = f"%{clean(interface(self.snapshot, device))}" if device else ""
        local = self._address(socket, socket.laddr, zone)
        peer = self._address(socket, socket.raddr, "")
        return [local + ":", self._port(socket.lport, socket), peer + ":", self._port(socket.rport, socket)]

    def _address(self, socket: Socket, address: int, zone: str) -> str:
        if socket.family == AF_INET6 and address == ip.V6_ANY and not socket.v6only:
            return "*" + zone
        name = self.names.name(address) if self.asked.resolve else None
        if name is not None:
            return clean(name) + zone
        return (f"[{ip.text_v6(address)}]" if socket.family == AF_INET6 else ip.text(address)) + zone

    def _port(self, port: int, socket: Socket) -> str:
        if not port:
            return "*"
        low, high = self.snapshot.settings.ip_local_port_range
        # A port that the system chose has no service, whatever is registered for the number.
        if self.asked.numeric or low <= port <= high:
            return str(port)
        if _netid(socket) == "raw":
            return RAW_NAMES.get(port, f"ipproto-{port}")
        return self.names.service(port, socket.proto) or str(port)

    def _unix_ends(self, socket: UnixSocket) -> list[str]:
        return [(unix_name(socket.path) or "*") + " ", str(socket.inode), "* ", str(socket.peer)]

    def _more(self, socket: Socket) -> str:
        asked = self.asked
        told = details.users(socket.owners) if asked.processes else ""
        if _netid(socket) == "raw" and not socket.cookie:
            return told  # read from /proc/net/raw, which has no more to tell
        told += details.timer(socket) if asked.timers else ""
        told += details.extended(socket, self.cgroups.get(socket.cgroup)) if asked.extended else ""
        inside = asked.info and socket.proto != IPPROTO_UDP
        if (asked.memory or inside) and not asked.oneline:
            told += "\n\t"
        told += details.memory(socket.memory) if asked.memory else ""
        if inside:
            told += details.tcp_info(socket, options=asked.timers, numeric=asked.numeric)
        return told

    def _unix_more(self, socket: UnixSocket) -> str:
        told = details.users(socket.owners) if self.asked.processes else ""
        told += details.memory(socket.memory) if self.asked.memory else ""
        return told + (details.arrows(socket) + details.file(socket) if self.asked.extended else "")
