"""Where facts come from: the simulated host of the process that asks, a saved snapshot, or the machine itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from portside.facts.snapshot import ONLY_ROOT_ENTERS, Snapshot

if TYPE_CHECKING:
    from portside.addr.reading import Endpoint
    from portside.facts.snapshot import Missing
    from portside.host.processes import Process

WRONG = 2
"""The exit code when what was asked for is not understood, or is not there."""

HOSTS = "/etc/hosts"
SERVICES = "/etc/services"


class Source(NamedTuple):
    """What the common options say: a saved snapshot, a network namespace by name or by its inode."""

    file: str | None = None
    namespace: str | None = None


HERE: Final = Source()
"""No option given: the simulated host of the process that asks, or this machine."""


class Complaint(Exception):
    """One sentence on what is wrong with what was asked; exit code 2."""

    exit_code = WRONG

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def show(self) -> None:
        """Write it to standard error."""
        say(f"portside: {self.message}", err=True)


def say(text: str, *, end: str = "\n", err: bool = False) -> None:
    """Write text to standard output or error at once; what its encoding lacks as escapes. Nothing where it is closed.

    What must answer at once writes with this: to import click takes longer than to look.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None or not (text or end):
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write((text + end).encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def snapshot(source: Source = HERE, want: Iterable[str] | None = None, *, everywhere: bool = False) -> Snapshot:
    """The facts that a command is about.

    In a simulated process they are its host's, with `--snapshot FILE` those of the file, else the machine's.

    Args:
        source: the common options.
        want: the parts that are needed, as `live.machine.read` names them; None: its default.
        everywhere: with the machine's other network namespaces.

    Raises Complaint.
    """
    process = simulated()
    if source.file is not None:
        found = _saved(source.file)
    elif process is not None:
        from portside.host.snapshot import snapshot as of

        found = of(process.host)
    else:
        from portside.live import machine

        found = machine.read(want=want, namespaces=everywhere or source.namespace is not None)
    return found if source.namespace is None else _in_namespace(found, source.namespace)


def simulated() -> Process | None:
    """The simulated process that asks; None in an ordinary one."""
    trap = sys.modules.get("portside.runtime.trap")  # where it was never imported nothing is simulated
    return None if trap is None else trap.current_process()


def hosts_file(source: Source = HERE) -> str:
    """The text of the hosts file that names what a command shows; a saved snapshot has none."""
    process = simulated()
    if source.file is not None:
        return ""
    if process is not None:
        return process.host.etc.hosts.data.decode("utf-8", "surrogateescape")
    try:
        return _text(HOSTS)
    except OSError:  # gethostbyaddr(3) does without it too
        return ""


def services_file(source: Source = HERE) -> str | None:
    """The text of this machine's services file, by which its own tools name ports; None for a simulated host and a
    saved snapshot, which have portside's table.
    """
    if source.file is not None or simulated() is not None:
        return None
    try:
        return _text(SERVICES)
    except OSError:  # then getservbyport(3) knows no name
        return ""


def cgroups(source: Source = HERE) -> dict[int, str]:
    """The paths of this machine's control groups by the inodes of their directories (cgroups(7))."""
    if source.file is not None or simulated() is not None:
        return {}
    try:
        mounts = _text("/proc/self/mountinfo")
    except OSError:  # without /proc ss(8) says "unreachable" of each too
        return {}
    root = next((line.split()[4] for line in mounts.splitlines() if " - cgroup2 " in line), None)
    if root is None:
        return {}
    found = {}
    for path, _, _ in os.walk(root):
        with suppress(OSError):  # it vanished meanwhile
            found[os.stat(path).st_ino] = path[len(root) :] or "/"
    return found


def user_id(user: str | None, found: Snapshot, source: Source = HERE) -> int:
    """A user by number, or by a name that the snapshot has, or else this machine; None: who asks. Raises Complaint."""
    if user is None:
        return os.geteuid()
    if user.isascii() and user.isdecimal():
        return int(user)
    known = next((uid for uid, name in found.users if name == user), None)
    if known is not None:
        return known
    if source.file is not None or simulated() is not None:
        raise Complaint(f"there is no user {user!r} in what was looked at: give the number")
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        raise Complaint(f"there is no user {user!r}") from None


def resolved(endpoint: Endpoint) -> list[Endpoint]:
    """The endpoint with each address that its name has here, in the order of getaddrinfo(3). Raises Complaint."""
    import socket

    from portside.addr import ip

    try:
        answers = socket.getaddrinfo(endpoint.name, endpoint.port, endpoint.family, socket.SOCK_STREAM)
    except OSError as error:
        raise Complaint(f"{endpoint.name}: {error.strerror}") from None
    found = []
    for family, _, _, _, where in answers:
        zone = socket.if_indextoname(where[3]) if len(where) == 4 and where[3] else ""
        address = ip.parse(str(where[0]).partition("%")[0])
        found.append(replace(endpoint, name="", family=int(family), address=address, zone=zone))
    return found


def is_called(command: str, name: str) -> bool:
    """Whether a process is of the program of that name, of which the kernel keeps 15 bytes (TASK_COMM_LEN)."""
    return command == os.fsdecode(os.fsencode(name)[:15])


def missing(found: Snapshot, bears: Callable[[Missing], bool] = lambda _: True) -> str:
    """What could not be read, a line for each; empty when all could be. Args: bears: whether it is to be said."""
    lines = []
    for each in filter(bears, found.missing):
        remedy = f"; {each.remedy}" if each.remedy else ""
        lines.append(f"portside: not shown: {each.what} ({each.why}){remedy}\n")
    return "".join(lines)


def _text(path: str, errors: str = "surrogateescape") -> str:
    """A file's text. Not by pathlib: its import would be a tenth of what `portside who` takes."""
    with open(path, encoding="utf-8", errors=errors) as file:
        return file.read()


def missing_json(found: Snapshot) -> list[dict[str, str]]:
    """What could not be read, as `--json` of each command tells it."""
    return [{"what": each.what, "why": each.why, "remedy": each.remedy} for each in found.missing]


def _saved(path: str) -> Snapshot:
    from portside.facts import saved

    if path == "-" and sys.stdin is None:
        raise Complaint("cannot read -: standard input is closed")
    try:
        text = sys.stdin.read() if path == "-" else _text(path, "strict")
        return saved.load(text)
    except OSError as error:
        raise Complaint(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:  # UnicodeDecodeError is one
        raise Complaint(f"{path}: {error}") from None


def _in_namespace(found: Snapshot, name: str) -> Snapshot:
    for each in (found, *found.others):
        if name in (each.namespace.name, str(each.namespace.inode)):
            if not each.entered:
                raise Complaint(f"the network namespace {name}: {ONLY_ROOT_ENTERS}")
            everyone = {process.pid: process for process in (*each.processes, *found.processes)}
            return replace(  # whoever holds a socket of a namespace may live in another
                each,
                processes=tuple(everyone[pid] for pid in sorted(everyone)),
                missing=found.missing,
                users=found.users or each.users,
            )
    known = ", ".join(sorted(each.namespace.name or str(each.namespace.inode) for each in (found, *found.others)))
    raise Complaint(f"there is no network namespace {name!r}; there are {known}")
