"""A snapshot as fuser(1) of psmisc prints it: which processes use a port or a UNIX socket. It never kills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Owner, Socket, UnixSocket
from portside.views.names import NO_NAMES, HostNames, user
from portside.views.ss_filter import port
from portside.views.table import Misuse, Report, clean, unix_name

_SPACES: Final = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP}
_HEADING: Final = "                     USER        PID ACCESS COMMAND\n"


@dataclass(slots=True)
class Options:
    """What the command line of fuser(1) asks for. `names` pairs what was written with its name space."""

    names: list[tuple[str, str]] = field(default_factory=list)
    verbose: bool = False
    user: bool = False
    silent: bool = False
    every: bool = False
    families: set[int] = field(default_factory=set)


_SWITCHES: Final = {"v": "verbose", "u": "user", "s": "silent", "a": "every"}
_LONG: Final = {"--verbose": "v", "--user": "u", "--silent": "s", "--all": "a", "--ipv4": "4", "--ipv6": "6",
                "--kill": "k"}  # fmt: skip


def options(arguments: Sequence[str]) -> Options:
    """The flags and the names of a command line.

    Raises Misuse.
    """
    found = Options()
    space = "file"
    words = list(arguments)
    while words:
        word = words.pop(0)
        letters = _LONG.get(word) or (word[1:] if word.startswith("-") and len(word) > 1 else "")
        if not letters:
            found.names.append(_name(word, space))
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter == "n":
                space = letters or (words.pop(0) if words else "")
                letters = ""
                if space not in ("file", *_SPACES):
                    raise Misuse(f"-n {space}: the name spaces are file, tcp, udp")
            else:
                _flag(found, letter)
    if not found.names:
        raise Misuse("which port or socket? Write 80/tcp, 53/udp, -n tcp 80, or the path of a UNIX socket")
    return found


def _flag(found: Options, letter: str) -> None:
    if letter in _SWITCHES:
        setattr(found, _SWITCHES[letter], True)
    elif letter in "46":
        found.families.add(AF_INET if letter == "4" else AF_INET6)
    elif letter in "ki":
        raise Misuse("-k kills, and portside only looks: kill(1) takes the process ids that this prints")
    else:
        raise Misuse(f"there is no flag -{letter}; it knows -v -u -s -a -n SPACE -4 -6")


def _name(word: str, space: str) -> tuple[str, str]:
    """A name and its space; `80/tcp` names its own."""
    before, slash, after = word.rpartition("/")
    if space == "file" and slash and after in _SPACES and not before.startswith("/"):
        return before, after
    return word, space


def wants(arguments: Sequence[str]) -> frozenset[str]:
    """The parts of a snapshot that the command line needs.

    Raises Misuse.
    """
    asked = options(arguments)
    parts = {"owners", "processes", "users"} if asked.verbose or asked.user else {"owners"}
    parts |= {"unix" if space == "file" else "sockets" for _, space in asked.names}
    return frozenset(parts)


def show(snapshot: Snapshot, arguments: Sequence[str], names: HostNames = NO_NAMES) -> Report:
    """What `fuser ARGUMENTS` prints: process ids to standard output, all else to standard error.

    The exit code is 0 when a process was found for any of the names, else 1. Raises Misuse.
    """
    asked = options(arguments)
    report = _Writer(snapshot, asked)
    for name, space in asked.names:
        report.name(name, space, names)
    return Report(tuple(report.parts), 0 if report.found else 1)


def select(
    snapshot: Snapshot, arguments: Sequence[str], names: HostNames = NO_NAMES
) -> tuple[list[Socket], list[UnixSocket]]:
    """The sockets that the names mean.

    Raises Misuse.
    """
    asked = options(arguments)
    chosen = [each for name, space in asked.names for each in _sockets(snapshot, name, space, asked.families, names)]
    return (
        [socket for socket in chosen if isinstance(socket, Socket)],
        [socket for socket in chosen if isinstance(socket, UnixSocket)],
    )


def _sockets(
    snapshot: Snapshot, name: str, space: str, families: set[int], names: HostNames
) -> Iterator[Socket | UnixSocket]:
    """The sockets that `PORT`, `PORT,HOST`, `PORT,HOST,PORT`, `,HOST,PORT` or a path means."""
    if space == "file":
        yield from (each for each in snapshot.unix_sockets if each.path and unix_name(each.path) == clean(name))
        return
    parts = name.split(",")
    if len(parts) > 3:
        raise Misuse(f"{name!r}: write PORT, or PORT,HOST,PORT with the peer's address and port")
    local, host, remote = (*parts, "", "")[:3]
    try:
        peers = names.addresses(host) if host else []
    except ValueError as error:
        raise Misuse(str(error)) from None
    own, other = port(local, names) if local else None, port(remote, names) if remote else None
    for socket in snapshot.sockets:
        if socket.proto != _SPACES[space] or (families and socket.family not in families):
            continue
        ours = own is None or socket.lport == own
        theirs = (other is None or socket.rport == other) and (not peers or socket.raddr in peers)
        if ours and theirs:
            yield socket


class _Writer:
    """What has been printed so far."""

    def __init__(self, snapshot: Snapshot, asked: Options) -> None:
        self.snapshot = snapshot
        self.asked = asked
        self.uids = {process.pid: process.uid for process in snapshot.processes}
        self.parts: list[tuple[int, str]] = []
        self.found = False

    def name(self, name: str, space: str, names: HostNames) -> None:
        """The processes of one name."""
        sockets = list(_sockets(self.snapshot, name, space, self.asked.families, names))
        if space == "file" and not sockets:
            self.parts.append((2, f"Specified filename {clean(name)} does not exist.\n"))
            return
        owners = {owner.pid: owner for socket in sockets for owner in socket.owners}
        self.found = self.found or bool(owners)
        if self.asked.silent or not (owners or self.asked.every):
            return
        title = (clean(name) if space == "file" else f"{clean(name)}/{space}") + ":"
        if self.asked.verbose:
            self._verbose(title, [owners[pid] for pid in sorted(owners)])
            return
        self.parts.append((2, f"{title:<20}" if owners else title))
        for pid in sorted(owners):
            self.parts.append((1, f"{pid:6}"))
            if self.asked.user:
                self.parts.append((2, self._login(pid)))
        self.parts.append((2, "\n"))

    def _verbose(self, title: str, owners: Sequence[Owner]) -> None:
        if not any(text == _HEADING for _, text in self.parts):
            self.parts.append((2, _HEADING))
        if not owners:
            self.parts.append((2, f"{title}\n"))
        for index, owner in enumerate(owners):
            self.parts.append((2, f"{'' if index else title:<20} {self._user(owner.pid)}"))
            self.parts.append((1, f"{owner.pid:6}"))
            login = self._login(owner.pid) if self.asked.user else ""
            self.parts.append((2, f" F.... {login}{clean(owner.command)}\n"))

    def _user(self, pid: int) -> str:
        """The column of the user; one without a name has a space more, as in the tool."""
        name = self._name(pid)
        return "(unknown) " if name is None else f"{name:<9}"

    def _login(self, pid: int) -> str:
        name = self._name(pid)
        return " (unknown) " if name is None else f"({name})"

    def _name(self, pid: int) -> str | None:
        """What the user is called whom a process belongs to; None for one that has no name."""
        uid = self.uids.get(pid)
        if uid is None:
            return "?"
        name = user(self.snapshot, uid)
        return None if name == str(uid) else clean(name)
