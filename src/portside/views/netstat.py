"""A snapshot as netstat(8) of net-tools prints it; or as netstat does on Windows."""

from __future__ import annotations

import getopt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from portside.addr import ip
from portside.addr.abi import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPPROTO_UDPLITE,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
)
from portside.facts.process import Process
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Owner, Socket, UnixSocket
from portside.facts.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)
from portside.views import netstat_tables, netstat_windows
from portside.views.names import NO_NAMES, PROTOCOLS, RAW_NAMES, HostNames, user
from portside.views.table import Misuse, Report, clean, printed, unix_name

STATE_NAMES: Final = {
    ESTABLISHED: "ESTABLISHED", SYN_SENT: "SYN_SENT", SYN_RECEIVED: "SYN_RECV", FIN_WAIT_1: "FIN_WAIT1",
    FIN_WAIT_2: "FIN_WAIT2", TIME_WAIT: "TIME_WAIT", CLOSED: "CLOSE", CLOSE_WAIT: "CLOSE_WAIT", LAST_ACK: "LAST_ACK",
    LISTEN: "LISTEN", CLOSING: "CLOSING",
}  # fmt: skip
_TIMERS: Final = {0: "off", 1: "on", 2: "keepalive", 3: "timewait", 4: "probe"}
_UNIX_TYPES: Final = {SOCK_STREAM: "STREAM", SOCK_DGRAM: "DGRAM", SOCK_SEQPACKET: "SEQPACKET"}
_ENDPOINT: Final = 23  # columns of an address with its port
_KINDS: Final = ("tcp", "udp", "udplite", "raw", "unix")
_PROTO_OF: Final = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP, "udplite": IPPROTO_UDPLITE}
_SHORT: Final = "tuUwxlanpeoW46rivNcA:"
_LONG: Final = (
    "tcp", "udp", "udplite", "raw", "unix", "listening", "all", "numeric", "programs", "extend", "timers", "wide",
    "route", "interfaces", "verbose", "inet", "inet6", "numeric-hosts", "numeric-ports", "numeric-users", "symbolic",
    "windows", "protocol=",
)  # fmt: skip


@dataclass(slots=True)
class Options:
    """What the flags of netstat(8) ask for. `kinds` and `families` empty: all."""

    kinds: set[str] = field(default_factory=set)
    families: set[int] = field(default_factory=set)
    listening: bool = False
    every: bool = False
    hosts: bool = True  # names for hosts, ports, users
    ports: bool = True
    users: bool = True
    programs: bool = False
    extended: bool = False
    timers: bool = False
    wide: bool = False
    table: str = "sockets"
    windows: bool = False


_SWITCHES: Final = {
    "-l": "listening", "--listening": "listening", "-a": "every", "--all": "every", "-p": "programs",
    "--programs": "programs", "-e": "extended", "--extend": "extended", "-o": "timers", "--timers": "timers",
    "-W": "wide", "--wide": "wide", "--windows": "windows",
}  # fmt: skip
_KIND_FLAGS: Final = {"-t": "tcp", "--tcp": "tcp", "-u": "udp", "--udp": "udp", "-U": "udplite", "--udplite": "udplite",
                      "-w": "raw", "--raw": "raw", "-x": "unix", "--unix": "unix"}  # fmt: skip
_FAMILY_FLAGS: Final = {"-4": AF_INET, "--inet": AF_INET, "-6": AF_INET6, "--inet6": AF_INET6}
_NUMERIC: Final = {
    "-n": ("hosts", "ports", "users"), "--numeric": ("hosts", "ports", "users"), "--numeric-hosts": ("hosts",),
    "--numeric-ports": ("ports",), "--numeric-users": ("users",),
}  # fmt: skip
_TABLES: Final = {"-r": "routes", "--route": "routes", "-i": "interfaces", "--interfaces": "interfaces"}
_FAMILIES: Final = {"inet": AF_INET, "inet6": AF_INET6}


def options(arguments: Sequence[str]) -> Options:
    """The flags of a command line.

    Raises Misuse.
    """
    try:
        flags, words = getopt.gnu_getopt(list(arguments), _SHORT, _LONG)
    except getopt.GetoptError as error:
        raise Misuse(f"{error.msg}; it knows -t -u -U -w -x -l -a -n -p -e -o -W -4 -6 -r -i -A, --windows") from None
    if words:
        raise Misuse(f"{words[0]!r} is no flag: netstat takes nothing else")
    found = Options()
    for flag, value in flags:
        if flag in _SWITCHES:
            setattr(found, _SWITCHES[flag], True)
        elif flag in _KIND_FLAGS:
            found.kinds.add(_KIND_FLAGS[flag])
        elif flag in _FAMILY_FLAGS:
            found.families.add(_FAMILY_FLAGS[flag])
        elif flag in _NUMERIC:
            for name in _NUMERIC[flag]:
                setattr(found, name, False)
        elif flag in _TABLES:
            found.table = _TABLES[flag]
        elif flag in ("-A", "--protocol"):
            _add_families(found, value)
        elif flag == "-c":
            raise Misuse("-c would go on for ever; repeat the command with watch(1)")
    return found


def _add_families(found: Options, names: str) -> None:
    for name in names.split(","):
        if name == "unix":
            found.kinds.add("unix")
        elif name in _FAMILIES:
            found.families.add(_FAMILIES[name])
        else:
            raise Misuse(f"-A {names}: the families are inet, inet6, unix")


def wants(arguments: Sequence[str]) -> frozenset[str]:
    """The parts of a snapshot that the command line needs.

    Raises Misuse.
    """
    asked = options(arguments)
    if asked.table != "sockets":
        return frozenset(("interfaces", "routes"))
    parts = {"sockets", "interfaces"}
    parts |= {"unix"} if not asked.kinds or "unix" in asked.kinds else set()
    parts |= {"owners", "processes"} if asked.programs or asked.windows else set()
    return frozenset(parts | ({"users"} if asked.users and asked.extended else set()))


def show(snapshot: Snapshot, arguments: Sequence[str], names: HostNames = NO_NAMES) -> Report:
    """What `netstat ARGUMENTS` prints: as on Windows when the snapshot is of one, or with `--windows`.

    Raises Misuse.
    """
    asked = options(arguments)
    if asked.table == "routes":
        if AF_INET6 in asked.families:
            raise Misuse("-r lists IPv4 routes; those of IPv6 are shown by ip -6 route")
        return printed(netstat_tables.routes(snapshot, names if asked.hosts else NO_NAMES, symbolic=asked.hosts))
    if asked.table == "interfaces":
        return printed(netstat_tables.interfaces(snapshot, every=asked.every))
    if asked.windows or snapshot.system == "Windows":
        windows = netstat_windows.show(
            snapshot, every=asked.every, pids=asked.timers, names=names if asked.hosts else None, kinds=asked.kinds
        )
        return printed(windows)
    return printed("".join(_Writer(snapshot, asked, names).lines()))


def select(
    snapshot: Snapshot, arguments: Sequence[str], names: HostNames = NO_NAMES
) -> tuple[list[Socket], list[UnixSocket]]:
    """The sockets that the command line chooses.

    Raises Misuse.
    """
    writer = _Writer(snapshot, options(arguments), names)
    return list(writer.inet()), list(writer.unix())


class _Writer:
    """The two lists of netstat: internet and UNIX sockets."""

    def __init__(self, snapshot: Snapshot, asked: Options, names: HostNames) -> None:
        self.snapshot = snapshot
        self.asked = asked
        self.names = names
        self.processes = {process.pid: process for process in snapshot.processes}
        if asked.every:
            self.which = "servers and established"
        else:
            self.which = "only servers" if asked.listening else "w/o servers"

    def lines(self) -> Iterator[str]:
        """All lines."""
        asked = self.asked
        if self._shows_inet():
            yield f"Active Internet connections ({self.which})\n"
            more = " User       Inode     " if asked.extended else ""
            more += " PID/Program name    " if asked.programs else ""
            yield (
                "Proto Recv-Q Send-Q Local Address           Foreign Address         State      "
                + more
                + (" Timer" if asked.timers else "")
                + "\n"
            )
            for socket in self.inet():
                yield self._row(socket)
        if "unix" in asked.kinds or not (asked.kinds or asked.families):
            yield f"Active UNIX domain sockets ({self.which})\n"
            more = "PID/Program name     " if asked.programs else ""
            yield f"Proto RefCnt Flags       Type       State         I-Node   {more}Path\n"
            for each in self.unix():
                yield self._unix_row(each)

    # -- internet --

    def _shows_inet(self) -> bool:
        return not self.asked.kinds or bool(self.asked.kinds - {"unix"}) or bool(self.asked.families)

    def inet(self) -> Iterator[Socket]:
        """The internet sockets to show, in the order of netstat: tcp, tcp6, udp, udp6 ...; as in /proc/net."""
        families = self.asked.families or {AF_INET, AF_INET6}
        wanted = self.asked.kinds - {"unix"} or set(_KINDS)
        for kind in _KINDS[:-1] if self._shows_inet() else ():
            if kind not in wanted:
                continue
            for family in sorted(families):
                ours = [s for s in self.snapshot.sockets if _kind(s) == kind and s.family == family]
                ours.sort(key=_order(kind))
                yield from (socket for socket in ours if self._is_wanted(socket, kind))

    def _is_wanted(self, socket: Socket, kind: str) -> bool:
        if not socket.lport or (kind == "tcp" and socket.state == CLOSED):
            return False  # in no table that the kernel walks
        if self.asked.every:
            return True
        serves = socket.state == LISTEN if kind == "tcp" else not socket.rport and ip.is_any(socket.raddr)
        return serves is self.asked.listening

    def _row(self, socket: Socket) -> str:
        asked, kind = self.asked, _kind(socket)
        name = kind + ("6" if socket.family == AF_INET6 else "")
        name = "udpl" + name[7:] if kind == "udplite" else name
        queue = socket.accept_queue if socket.state == LISTEN else socket.receive_queue
        row = (
            f"{name:<5} {queue:6} {socket.send_queue:6} {self._endpoint(socket, socket.laddr, socket.lport)} "
            f"{self._endpoint(socket, socket.raddr, socket.rport)} {_state(socket, kind):<11}"
        )
        if asked.extended:
            owner = clean(user(self.snapshot, socket.uid)) if asked.users else str(socket.uid)
            row += f" {owner:<10} {socket.inode:<10}"
        if asked.programs:
            row += f" {self._programs(socket.owners):<20}"
        return row + (f" {_timer(socket)}" if asked.timers else "") + "\n"

    def _endpoint(self, socket: Socket, address: int, port: int) -> str:
        """An address with its port: without -W the address is cut so that the port has room."""
        after = ":" + self._port(port, socket)
        before = self._host(address)
        if not self.asked.wide:
            before = before[: _ENDPOINT - len(after)]
        return (before + after).ljust(_ENDPOINT)

    def _host(self, address: int) -> str:
        if self.asked.hosts:
            if address == ip.V6_ANY:
                return "[::]"
            name = self.names.name(address)
            if name is not None:
                return clean(name)
        return ip.text(address)

    def _port(self, port: int, socket: Socket) -> str:
        if not port:
            return "*"
        if not self.asked.ports:
            return str(port)
        named = RAW_NAMES.get(port) if _kind(socket) == "raw" else self.names.service(port, socket.proto)
        return named or str(port)

    def _programs(self, owners: Sequence[Owner]) -> str:
        """Every process that holds the socket; netstat itself knows one."""
        pids = sorted({owner.pid: owner for owner in owners}.items())
        return ",".join(f"{pid}/{program(self.processes.get(pid), owner)}" for pid, owner in pids) or "-"

    # -- UNIX --

    def unix(self) -> Iterator[UnixSocket]:
        """The UNIX sockets to show."""
        if (self.asked.kinds and "unix" not in self.asked.kinds) or (self.asked.families and not self.asked.kinds):
            return
        for socket in self.snapshot.unix_sockets:
            if self.asked.every or (socket.state == LISTEN) is self.asked.listening:
                yield socket

    def _unix_row(self, socket: UnixSocket) -> str:
        flags = "[ ACC ]" if socket.state == LISTEN else "[ ]"
        kind = _UNIX_TYPES.get(socket.type, f"{socket.type:02d}")
        row = (
            f"unix  {socket.references:<6} {flags:<11} {kind:<10} {_unix_state(socket):<13} "
            f"{socket.inode if socket.attached else 0:<8} "
        )
        row += f"{self._programs(socket.owners):<20} " if self.asked.programs else ""
        return row + unix_name(socket.path) + "\n"


def program(process: Process | None, owner: Owner) -> str:
    """What netstat calls a program: the last part of the path that it was started by, else its name."""
    started = process.argv[0].rpartition("/")[2] if process is not None and process.argv else ""
    return clean(started or owner.command)


def _kind(socket: Socket) -> str:
    return "raw" if socket.type == SOCK_RAW else PROTOCOLS.get(socket.proto, "raw")


def _order(kind: str) -> Callable[[Socket], int]:
    """As /proc/net has them: listeners before connections, datagram sockets by their bucket."""
    return (lambda socket: socket.state != LISTEN) if kind == "tcp" else (lambda socket: socket.slot)


def _state(socket: Socket, kind: str) -> str:
    if kind == "raw":
        return str(socket.state)
    if kind != "tcp" and socket.state == CLOSED:
        return ""
    return STATE_NAMES.get(socket.state, "UNKNOWN")


def _timer(socket: Socket) -> str:
    seconds = max(0, socket.timer_left) // 10_000_000 / 100
    return f"{_TIMERS.get(socket.timer, 'unkn')} ({seconds:.2f}/{socket.retransmits}/{socket.probes})"


def _unix_state(socket: UnixSocket) -> str:
    if socket.state == LISTEN:
        return "LISTENING"
    connected = socket.state == ESTABLISHED
    if socket.attached:
        return "CONNECTED" if connected else ""
    return "CONNECTING" if connected else "DISCONNECTING"
