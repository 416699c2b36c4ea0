"""A snapshot as lsof(8) prints it: which process has which socket open, one line for each descriptor.

Only sockets are listed: files, directories and memory maps are no facts of a snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from portside.addr import ip
from portside.addr.abi import (
    AF_INET6,
    IPPROTO_TCP,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
)
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Owner, Socket, UnixSocket
from portside.facts.state import CLOSED, ESTABLISHED, LISTEN
from portside.views.lsof_options import ANY, STATE_NAMES, Internet, Options, options
from portside.views.names import NO_NAMES, PROTOCOLS, HostNames, user
from portside.views.table import Misuse, Pages, Report, clean, padded, printed, unix_name

if TYPE_CHECKING:
    from portside.facts.process import Process

_UNIX_TYPES: Final = {SOCK_STREAM: "STREAM", SOCK_DGRAM: "DGRAM", SOCK_SEQPACKET: "SEQPACKET"}
_HEADING: Final = ("COMMAND", "PID", "PPID", "USER", "FD", "TYPE", "DEVICE", "SIZE/OFF", "NODE", "NAME")
_COMMAND, _PARENT, _FD, _NAME = 0, 2, 4, 9  # columns of it
_FIELDS: Final = "RcuLftdoPnT"


class Open(NamedTuple):
    """A descriptor of a process that refers to a socket."""

    owner: Owner
    process: Process | None
    socket: Socket | UnixSocket


def wants(arguments: Sequence[str], names: HostNames = NO_NAMES) -> frozenset[str]:
    """The parts of a snapshot that the command line needs.

    Raises Misuse.
    """
    asked = options(arguments, names)
    parts = {"sockets", "owners", "processes", "users"}
    if asked.unix or not (asked.internet or asked.every_internet):
        parts.add("unix")
    return frozenset(parts)


def show(snapshot: Snapshot, arguments: Sequence[str], names: HostNames = NO_NAMES) -> Report:
    """What `lsof ARGUMENTS` prints.

    The exit code is 1 when nothing was found, or not all that was asked for. Raises Misuse.
    """
    asked = options(arguments, names)
    found, status = _selected(snapshot, asked)
    if asked.terse:
        return printed("".join(f"{pid}\n" for pid in sorted({each.owner.pid for each in found})), "", status)
    writer = _Writer(snapshot, asked, names)
    return printed(writer.fields(found) if asked.fields is not None else writer.table(found), "", status)


def select(
    snapshot: Snapshot, arguments: Sequence[str], names: HostNames = NO_NAMES
) -> tuple[list[Socket], list[UnixSocket]]:
    """The sockets that the command line chooses, each once.

    Raises Misuse.
    """
    found, _ = _selected(snapshot, options(arguments, names))
    sockets = {id(each.socket): each.socket for each in found}.values()
    return (
        [socket for socket in sockets if isinstance(socket, Socket)],
        [socket for socket in sockets if isinstance(socket, UnixSocket)],
    )


def _selected(snapshot: Snapshot, asked: Options) -> tuple[list[Open], int]:
    """What is listed, by process and descriptor, and the exit code."""
    processes = {process.pid: process for process in snapshot.processes}
    everything = [
        Open(owner, processes.get(owner.pid), socket)
        for socket in _listed(snapshot)
        for owner in socket.owners
    ]  # fmt: skip
    chooser = _Chooser(snapshot, asked)
    found = [each for each in everything if chooser.takes(each)]
    found.sort(key=lambda each: (each.owner.pid, each.owner.fd))
    return found, 0 if found and chooser.met_all(everything) else 1


def _listed(snapshot: Snapshot) -> Iterator[Socket | UnixSocket]:
    """Those that lsof can name: not a TCP socket that is bound and no more, and not a raw one."""
    for socket in snapshot.sockets:
        in_a_table = socket.state != CLOSED if socket.proto == IPPROTO_TCP else socket.lport
        if in_a_table and socket.type != SOCK_RAW and socket.proto in PROTOCOLS:
            yield socket
    yield from snapshot.unix_sockets


class _Chooser:
    """The conditions of a command line: any of them will do, or all with -a."""

    def __init__(self, snapshot: Snapshot, asked: Options) -> None:
        self.snapshot = snapshot
        self.asked = asked
        self.internet = asked.internet or ([Internet("")] if asked.every_internet else [])

    def takes(self, each: Open) -> bool:
        """Whether it is listed. What is refused (`^`) is so in any case, and -s narrows what -i finds."""
        asked = self.asked
        pid, command = str(each.owner.pid), _command(each)
        login = self._logins(each) if asked.users != ANY else set()
        if pid in asked.pids.refused or login & set(asked.users.refused) or _named(command, asked.commands.refused):
            return False
        conditions = []
        if self.internet:
            conditions.append(self._is_meant(each.socket))
        if asked.unix:
            conditions.append(isinstance(each.socket, UnixSocket))
        if asked.pids.wanted:
            conditions.append(pid in asked.pids.wanted)
        if asked.users.wanted:
            conditions.append(bool(login & set(asked.users.wanted)))
        if asked.commands.wanted:
            conditions.append(_named(command, asked.commands.wanted))
        if asked.states != ANY and isinstance(each.socket, Socket) and not self._has_state(each.socket):
            return False
        return not conditions or (all(conditions) if asked.every else any(conditions))

    def met_all(self, everything: Iterable[Open]) -> bool:
        """Whether each thing that was asked for was met; lsof's exit code tells."""
        every = list(everything)
        pids = {str(each.owner.pid) for each in every} | {str(each.pid) for each in self.snapshot.processes}
        logins = {name for each in every for name in self._logins(each)} if self.asked.users.wanted else set()
        return (
            set(self.asked.pids.wanted) <= pids
            and set(self.asked.users.wanted) <= logins
            and all(any(_named(_command(each), (name,)) for each in every) for name in self.asked.commands.wanted)
            and all(
                any(isinstance(each.socket, Socket) and one.matches(each.socket) for each in every)
                for one in self.internet
            )
        )

    def _is_meant(self, socket: Socket | UnixSocket) -> bool:
        return isinstance(socket, Socket) and any(one.matches(socket) for one in self.internet)

    def _has_state(self, socket: Socket) -> bool:
        """Whether -s lets it pass: a UDP socket has a state too there, connected or not."""
        name = STATE_NAMES.get(socket.state, "")
        return name not in self.asked.states.refused and (
            not self.asked.states.wanted or name in self.asked.states.wanted
        )

    def _logins(self, each: Open) -> set[str]:
        """The user by name and by number."""
        if each.process is None:
            return set()
        return {str(each.process.euid), user(self.snapshot, each.process.euid)}


def _command(each: Open) -> str:
    return each.owner.command or (each.process.name if each.process is not None else "")


@lru_cache(maxsize=1024)  # a process that holds many sockets has one name
def _cut(command: str, width: int) -> str:
    """As many of its characters as have room; a space or what is escaped counts as it is written."""
    told = ""
    for character in command:
        piece = "\\x20" if character == " " else clean(character)
        if len(told) + len(piece) > width:
            break
        told += piece
    return told


def _named(command: str, names: Iterable[str]) -> bool:
    """`-c NAME`: how the command begins; `-c /EXPRESSION/` a regular one."""
    for name in names:
        if len(name) > 1 and name.startswith("/") and name.rstrip("bix").endswith("/"):
            try:
                if re.search(name[1 : name.rindex("/")], command, re.IGNORECASE if name.endswith("i") else 0):
                    return True
            except re.error as error:
                raise Misuse(f"-c {name}: {error}") from None
        elif command.startswith(name):
            return True
    return False


class _Writer:
    """Lines and fields."""

    def __init__(self, snapshot: Snapshot, asked: Options, names: HostNames) -> None:
        self.snapshot = snapshot
        self.asked = asked
        self.names = names

    def table(self, found: Sequence[Open]) -> Iterator[str]:
        """One line for each descriptor under a heading, in pieces; nothing when there is none."""
        if not found:
            return
        heading = list(_HEADING)
        heading[_FD] += "  "  # of the letters for access and lock
        pages = Pages(chain([heading], ([*self._who(each), *self._what(each.socket)] for each in found)))
        pages.widths[_FD] = max(pages.widths[_FD], 6)
        for page in pages:
            filled = [
                column if index == _NAME else padded(column, pages.widths[index], at_right=index != _COMMAND)
                for index, column in enumerate(page)
                if index != _PARENT or self.asked.parents
            ]
            yield "".join(" ".join(row) + "\n" for row in zip(*filled, strict=True))

    def _who(self, each: Open) -> list[str]:
        parent = str(each.process.ppid) if each.process is not None else ""
        command = _command(each)
        return [_cut(command, self.asked.width), str(each.owner.pid), parent, self._login(each), f"{each.owner.fd}u "]

    def _login(self, each: Open) -> str:
        if each.process is None:
            return "?"
        uid = each.process.euid
        name = user(self.snapshot, uid) if self.asked.logins else str(uid)
        return name.rjust(8) if name == str(uid) else clean(name)  # room for a number of eight digits

    def _what(self, socket: Socket | UnixSocket) -> list[str]:
        if isinstance(socket, UnixSocket):
            return ["unix", f"0x{socket.pointer:016x}", "0t0", str(socket.inode), self._unix_name(socket)]
        kind = "IPv6" if socket.family == AF_INET6 else "IPv4"
        return [kind, str(socket.inode), "0t0", PROTOCOLS[socket.proto].upper(), self._name(socket)]

    def _name(self, socket: Socket) -> str:
        """Both ends, and for TCP the state; a blank stands for what there is not, but not after a bare -T."""
        return f"{self._ends(socket)} {self._state(socket)}" if self.asked.told else self._ends(socket)

    def _ends(self, socket: Socket) -> str:
        ends = self._end(socket, socket.laddr, socket.lport)
        if socket.rport or not ip.is_any(socket.raddr):
            ends += "->" + self._end(socket, socket.raddr, socket.rport)
        return ends

    def _end(self, socket: Socket, address: int, port: int) -> str:
        if ip.is_any(address):
            host = "*"
        else:
            named = self.names.name(address) if self.asked.hosts else None
            host = clean(named) if named else ip.text(address) if ip.is_v4(address) else f"[{ip.text(address)}]"
        named = self.names.service(port, socket.proto) if self.asked.ports and port else None
        return f"{host}:{named or port or '*'}"

    def _state(self, socket: Socket) -> str:
        told = []
        if socket.proto == IPPROTO_TCP and "s" in self.asked.told:
            told.append(STATE_NAMES.get(socket.state, "UNKNOWN"))
        if "q" in self.asked.told:
            told += [f"QR={_received(socket)}", f"QS={socket.send_queue}"]
        return f"({' '.join(told)})" if told else ""

    def _unix_name(self, socket: UnixSocket) -> str:
        told = f" ({_unix_state(socket)})" if "s" in self.asked.told else " "
        return _unix_ends(socket) + (told if self.asked.told else "")

    # -- -F --

    def fields(self, found: Sequence[Open]) -> str:
        """The output for programs: one field a line, a letter first; NUL between them with `0`."""
        wanted = set(self.asked.fields or _FIELDS) | {"p"}
        if wanted <= {"0", "p"}:
            wanted |= set(_FIELDS)
        end = "\0" if "0" in wanted else "\n"
        lines = []
        last = None
        for each in found:
            if each.owner.pid != last:
                lines.append(_set(self._process_fields(each), wanted, end))
                last = each.owner.pid
            lines.append(_set(self._file_fields(each), wanted, end))
        return "".join(lines)

    def _process_fields(self, each: Open) -> list[str]:
        told = [f"p{each.owner.pid}", f"R{each.process.ppid}" if each.process is not None else ""]
        told.append(f"c{clean(_command(each))}")
        if each.process is not None:
            name = user(self.snapshot, each.process.euid)
            told += [f"u{each.process.euid}", f"L{clean(name)}" if name != str(each.process.euid) else ""]
        return told

    def _file_fields(self, each: Open) -> list[str]:
        socket = each.socket
        kind, device, offset, node, _ = self._what(socket)
        told = [f"f{each.owner.fd}", "au", "l ", f"t{kind}", f"d{device}", f"o{offset}"]
        if isinstance(socket, UnixSocket):
            told += [f"i{node}", f"n{_unix_ends(socket)}"]
            return [*told, f"TST={_unix_state(socket)}"] if self.asked.told else told
        told += [f"P{node}", f"n{self._ends(socket)}"]
        if not self.asked.told:
            return told
        if socket.proto == IPPROTO_TCP:
            told.append(f"TST={STATE_NAMES.get(socket.state, 'UNKNOWN')}")
        return [*told, f"TQR={_received(socket)}", f"TQS={socket.send_queue}"]


def _set(fields: Iterable[str], wanted: set[str], end: str) -> str:
    """The fields of one process or file; with NULs a line end closes them."""
    kept = [field for field in fields if field and field[0] in wanted]
    return end.join(kept) + ("\0\n" if end == "\0" else "\n")


def _received(socket: Socket) -> int:
    return socket.accept_queue if socket.state == LISTEN else socket.receive_queue


def _unix_ends(socket: UnixSocket) -> str:
    name = unix_name(socket.path)
    return (f"{name} " if name else "") + f"type={_UNIX_TYPES.get(socket.type, 'UNKNOWN')}"


def _unix_state(socket: UnixSocket) -> str:
    return "LISTEN" if socket.state == LISTEN else "CONNECTED" if socket.state == ESTABLISHED else "UNCONNECTED"
