"""How a process came to run: by a container runtime, a service manager, cron, a login over ssh, a shell ...

What decides is the chain of parents and the control groups, from the facts of a snapshot; nothing is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from portside.facts.process import Process


@dataclass(frozen=True, slots=True)
class Origin:
    """How a process came to run. `kind` is one of KINDS, `name` says which, `by` is the ancestor that tells it."""

    kind: str
    name: str = ""
    by: Process | None = None

    @property
    def sentence(self) -> str:
        """In words, without a full stop: `in the docker container 3f2a9c1b5d7e`."""
        return KINDS[self.kind].format(name=self.name, by=self.by.pid if self.by else 0)


KINDS: Final = {
    "kernel": "a thread of the kernel",
    "init": "the first process, which the kernel starts",
    "container": "in the {name}",
    "cron": "by a job of {name} (process {by})",
    "ssh": "in the ssh session of {name}",
    "multiplexer": "in {name} (process {by})",
    "supervisor": "kept running by {name} (process {by})",
    "service": "as the systemd unit {name}",
    "console": "in a login on {name}",
    "shell": "from the shell {name} (process {by})",
    "orphan": "by a process that has ended since",
    "parent": "by {name} (process {by})",
}

_SSH: Final = re.compile(r"sshd(?:-session)?: ([^/\[@\s][^\[@\s]*)(?:@(\S+)| \[(?:priv|accepted)\])?\s*\Z")
_CRON: Final = frozenset({"cron", "crond", "anacron", "atd", "fcron"})
_MULTIPLEXERS: Final = {
    "tmux: server": "tmux",
    "tmux": "tmux",
    "screen": "screen",
    "SCREEN": "screen",
    "zellij": "zellij",
}
_SUPERVISORS: Final = re.compile(
    r"supervisord|runsv|s6-supervise|supervise|PM2 v.*|circusd|monit|inetd|xinetd|start-stop-daemon|god|launchd"
)
_SHELLS: Final = frozenset({"bash", "sh", "dash", "zsh", "fish", "ksh", "tcsh", "csh", "ash", "busybox", "nu", "xonsh"})
_MANAGED: Final = re.compile(r"(?!user@\d+\.service\Z|init\.scope\Z).+\.(?:service|socket|timer|mount)\Z")


def ancestry(processes: Iterable[Process], pid: int) -> tuple[Process, ...]:
    """The process, its parent, that one's parent and so on; as far as they are known."""
    return chain({process.pid: process for process in processes}, pid)


def chain(by_pid: Mapping[int, Process], pid: int) -> tuple[Process, ...]:
    """As `ancestry`, from a table that is made already."""
    found: list[Process] = []
    while pid in by_pid and by_pid[pid] not in found:  # numbers read one after another may form a ring
        found.append(by_pid[pid])
        pid = found[-1].ppid
    return tuple(found)


def origin(line: tuple[Process, ...]) -> Origin:
    """How the first process of the chain came to run; the nearest reason that a person would give."""
    process, ancestors = line[0], line[1:]
    if not process.argv and (process.pid == 2 or process.ppid == 2):
        return Origin("kernel")
    if process.container is not None:
        return Origin("container", _container(process))
    if process.pid == 1:
        return Origin("init")
    for each in ancestors:
        if each.name in _CRON:
            return Origin("cron", each.name, each)
        if each.name in _MULTIPLEXERS:
            return Origin("multiplexer", _MULTIPLEXERS[each.name], each)
        if _SUPERVISORS.fullmatch(each.name):
            return Origin("supervisor", each.name, each)
    for each in line:
        if user := _SSH.match(_title(each)):
            return Origin("ssh", user[1] + (f" ({user[2]})" if user[2] and user[2] != "notty" else ""), each)
    if process.unit is not None and _MANAGED.match(process.unit):
        return Origin("service", process.unit)
    return _started_by(process, ancestors)


def _started_by(process: Process, ancestors: tuple[Process, ...]) -> Origin:
    for each in ancestors:
        if each.name == "login":
            return Origin("console", process.terminal or "a terminal", each)
    for each in ancestors:
        if each.name in _SHELLS and each.terminal is not None:
            return Origin("shell", f"{each.name} on {each.terminal}", each)
    if process.ppid == 1 or (ancestors and _adopts(ancestors[0])):
        return Origin("orphan")
    if not ancestors:
        return Origin("orphan")
    return Origin("parent", ancestors[0].name, ancestors[0])


def _adopts(parent: Process) -> bool:
    """Whether it takes in processes whose parents have ended: a user's manager does (PR_SET_CHILD_SUBREAPER)."""
    return parent.name == "systemd" and "--user" in parent.argv


def _title(process: Process) -> str:
    """What the process calls itself: sshd tells there whose session it serves."""
    return process.argv[0] if process.argv else process.name


def _container(process: Process) -> str:
    name = process.container or ""
    short = name[:12] if re.fullmatch(r"[0-9a-f]{32,}", name) else name
    runtime = "" if process.runtime in (None, "container") else f"{process.runtime} "
    pod = f" of the pod {process.pod}" if process.pod else ""
    return f"{runtime}container {short}{pod}"
