"""Processes as proc(5) tells of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Final

from portside.addr.abi import SECOND
from portside.facts.process import Process
from portside.live import cgroups, proc
from portside.live.proc import Gone

_NOBODY: Final = 0xFFFFFFFF  # (uid_t) -1: nobody has logged in


def read(pids: Iterable[int] | None = None, *, descriptors: bool = False, root: str = proc.PROC) -> tuple[Process, ...]:
    """The processes, in order of their numbers; those that end meanwhile are left out.

    Args: pids: which; None: all. descriptors: also what each file descriptor refers to. root: where proc(5) is mounted.
    """
    booted = _booted()
    found = []
    for pid in proc.pids(root) if pids is None else pids:
        try:
            found.append(one(pid, descriptors=descriptors, booted=booted, root=root))
        except Gone:
            continue
    return tuple(found)


def with_ancestors(pids: Iterable[int], *, root: str = proc.PROC) -> tuple[Process, ...]:
    """These processes and those that they descend from, in order of their numbers."""
    booted = _booted()
    found: dict[int, Process] = {}
    waiting = set(pids)
    while waiting:
        pid = waiting.pop()
        try:
            found[pid] = process = one(pid, booted=booted, root=root)
        except Gone:
            continue
        if process.ppid and process.ppid not in found:
            waiting.add(process.ppid)
    return tuple(found[pid] for pid in sorted(found))


def one(pid: int, *, descriptors: bool = False, booted: int | None = None, root: str = proc.PROC) -> Process:
    """One process.

    Args: booted: when the machine was started, in nanoseconds since the epoch; None: found out.
    Raises Gone when there is none of this number.
    """
    home = f"{root}/{pid}"
    stat = proc.read(f"{home}/stat")
    status = _status(proc.read(f"{home}/status") or b"")
    if not stat:
        raise Gone
    opening, closing = stat.index(b"("), stat.rindex(b")")  # a name may hold parentheses itself
    numbers = stat[closing + 2 :].split()
    uids, gids = _numbers(status.get(b"Uid")), _numbers(status.get(b"Gid"))
    place = cgroups.read(proc.text(proc.read(f"{home}/cgroup") or b""))
    login = proc.read(f"{home}/loginuid") if os.path.exists(f"{home}/loginuid") else None
    ticks = int(numbers[19])
    return Process(
        pid=pid,
        ppid=int(numbers[1]),
        name=proc.text(stat[opening + 1 : closing]),
        argv=_argv(proc.read(f"{home}/cmdline") or b""),
        exe=_known(f"{home}/exe"),
        cwd=_known(f"{home}/cwd"),
        uid=uids[0],
        euid=uids[1],
        gid=gids[0],
        egid=gids[1],
        groups=tuple(_numbers(status.get(b"Groups"), 0)),
        capabilities=int(status[b"CapEff"], 16) if b"CapEff" in status else None,
        state=numbers[0].decode(),
        started=(_booted() if booted is None else booted) + ticks * SECOND // os.sysconf("SC_CLK_TCK"),
        namespace=_namespace(home),
        cgroup=place.path,
        unit=place.unit,
        container=place.container,
        runtime=place.runtime,
        pod=place.pod,
        terminal=_terminal(int(numbers[4])),
        threads=int(numbers[17]),
        group=int(numbers[2]),
        session=int(numbers[3]),
        login=_login(login),
        inner_pids=tuple(_numbers(status.get(b"NSpid"), 0)[1:]),
        descriptors=_descriptors(f"{home}/fd") if descriptors else None,
    )


def _booted() -> int:
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _status(raw: bytes) -> dict[bytes, bytes]:
    """/proc/PID/status: a name, a colon, a value in each line. The kernel escapes what would break a line."""
    pairs = (line.partition(b":") for line in raw.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _numbers(value: bytes | None, least: int = 4) -> list[int]:
    found = [int(word) for word in (value or b"").split()]
    return found + [0] * (least - len(found))


def _argv(raw: bytes) -> tuple[str, ...]:
    """What lies between NUL bytes; a program that overwrites its title (setproctitle) may leave out the last."""
    return tuple(proc.text(word) for word in raw.rstrip(b"\0").split(b"\0")) if raw.rstrip(b"\0") else ()


def _known(path: str) -> str | None:
    """What a link refers to; None for a kernel thread, which has neither program nor directory."""
    try:
        return proc.link(path)
    except Gone:
        return None


def _namespace(home: str) -> int:
    """The inode of the network namespace; 0 for a zombie, which is in none, and where it is not to be known."""
    link = _known(f"{home}/ns/net") or ""
    return int(link[5:-1]) if link.startswith("net:[") else 0


def _login(raw: bytes | None) -> int | None:
    """The user that the session was opened by (pam_loginuid(8)); None where nobody logged in."""
    uid = int(raw) if raw else _NOBODY
    return None if uid == _NOBODY else uid


def _terminal(device: int) -> str | None:
    """The controlling terminal by its number: devices.txt of the kernel."""
    if not device:
        return None
    major, minor = os.major(device), os.minor(device)
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    if major == 4:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    if (major, minor) == (5, 1):
        return "console"
    return f"{major}:{minor}"


def _descriptors(path: str) -> tuple[tuple[int, str], ...] | None:
    try:
        names = sorted(int(name) for name in os.listdir(path))
    except OSError as error:
        if error.errno in proc.GONE:
            raise Gone from error
        if error.errno in proc.DENIED:
            return None
        raise
    found = []
    for name in names:
        try:
            target = proc.link(f"{path}/{name}")
        except Gone:
            continue  # closed meanwhile
        if target is None:
            return None
        found.append((name, target))
    return tuple(found)
