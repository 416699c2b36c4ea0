"""`portside exec`: starts a server and says where it listens, from where it can be reached, and what to type."""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from dataclasses import replace
from typing import Final

import click

from portside.addr import ip
from portside.addr.abi import IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.cli import source as sources
from portside.cli import who_unix
from portside.cli.ls import WANT
from portside.cli.source import Complaint
from portside.explain.binding import Attempt, would_bind
from portside.explain.listening import Listener, listeners
from portside.explain.place import Caller
from portside.explain.words import programs
from portside.facts.socket import Owner, UnixSocket
from portside.facts.state import LISTEN
from portside.live import descriptors, machine, owners, proc, processes, tables
from portside.live.offspring import Offspring
from portside.live.tracer import Call
from portside.views.table import clean

PAUSE: Final = 0.5
"""How often (s) it is asked who listens, when nothing else happens."""
SETTLED: Final = 1.0
"""How long (s) after a new listener the program is taken to be up, and traced no more."""
BIND_WANT: Final = frozenset({"sockets", "owners", "options", "interfaces", "routes", "settings", "users"})

SO_REUSEADDR, SO_REUSEPORT, SO_PROTOCOL = 2, 15, 38
SOL_SOCKET, SOL_IP, SOL_IPV6, IPV6_V6ONLY, IP_FREEBIND = 1, 0, 41, 26, 15


def run(command: tuple[str, ...], timeout: float, *, trace: bool = True) -> int:
    """Start the command and follow it until it ends, or until its daemon is up. Returns its exit code.

    Args: timeout: how long (s) to wait for a daemon that has gone to the background to listen.
    Raises Complaint in a simulated process.
    """
    if sources.simulated() is not None:
        raise Complaint("exec starts processes of this machine; on a simulated host use `portside run`")
    return _Watch(Offspring(command, trace=trace), timeout).run()


class _Watch:
    """One run: what it has reported."""

    def __init__(self, program: Offspring, timeout: float) -> None:
        self.program = program
        self.timeout = timeout
        self.inodes: set[int] = set()  # of the listeners that were reported
        self.seen: set[int] = set()  # of all listeners of the machine when it was asked last
        self.unseen: set[int] = set()  # processes of it whose descriptors this user may not see
        self.refused: set[tuple[object, ...]] = set()
        self.changed = self.looked = time.monotonic()

    def run(self) -> int:
        program = self.program
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal gives it to the program, too
        ended = None
        while True:
            pause = PAUSE if program.status is None else PAUSE / 10
            calls = program.step(pause)
            for call in calls:
                self._heard(call)
            if calls or program.childless or time.monotonic() - self.looked > pause:
                self._look()
            if self.inodes and program.tracer is not None and time.monotonic() - self.changed > SETTLED:
                program.leave()
            if program.status is not None:
                ended = ended or time.monotonic()
                if program.childless or self._is_up(ended):
                    break
        program.leave()
        return self._end()

    def _pass_on(self, number: int, _: object) -> None:
        if self.program.status is None:
            os.kill(self.program.pid, number)

    def _is_up(self, ended: float) -> bool:
        """Whether a daemon has said all that it will say: it listens, or has had time enough."""
        now = time.monotonic()
        # What ended its parent, such as a signal to the group, may be about to end the rest.
        return now - ended > self.timeout or bool(self.inodes and now - max(self.changed, ended) > SETTLED)

    def _end(self) -> int:
        status = self.program.status or 0
        if reason := self.program.not_run:
            _say(f"cannot run {self.program.command[0]}: {reason}")
        elif not self.inodes:
            name = self.program.command[0]
            childless = self.program.childless
            if self.unseen:
                told = "what it listened on" if childless else "what it listens on"
                nothing = f"{told} can't be seen by this user: run portside itself as root"
            else:
                nothing = "and has listened on nothing" if childless else "and listens on nothing yet"
            _say(f"{name} {f'has ended with status {status}' if childless else 'runs in the background'}, {nothing}")
            if status and not self.refused:
                self._suspect()
        elif not self.program.childless and (living := self.program.living()):
            _say(f"it goes on in the background: {', '.join(f'{_name_of(pid)} ({pid})' for pid in living)}")
        return status

    # -- where it listens --

    def _look(self) -> None:
        """Report the listeners that are new."""
        self.looked = time.monotonic()
        found = {
            each.inode
            for each in tables.inet(lambda _: None, ask=0, tcp_states=1 << LISTEN)
            if each.inode and not each.rport and each.lport
        }
        unix = {each.inode: each for each in tables.unix() if each.inode and each.state == LISTEN}
        found |= set(unix)
        if found <= self.seen:
            self.seen = found
            return
        self.seen = found
        known = owners.walk(found - self.inodes, pids=self.program.living())
        self.unseen |= set(known.denied)
        held = known.found
        if not held:
            return
        self.inodes |= set(held)
        self.changed = time.monotonic()
        for each in listeners(machine.read(want=WANT)):
            if each.socket.inode in held:
                _report(each)
        for inode in held.keys() & unix.keys():
            _report_unix(unix[inode], held[inode])

    # -- what it was refused --

    def _heard(self, call: Call) -> None:
        """A bind or listen has returned."""
        where = call.endpoint
        if not call.errno or (call.name == "bind" and where is None):
            return
        key = (call.name, where, call.errno)
        if key in self.refused:
            return
        self.refused.add(key)
        name = _name_of(call.pid)
        shown = f"{name} (pid {call.pid})"
        if where is None or not where[2]:
            _say(f"{shown}: {call.name} failed: {errno.errorcode.get(call.errno, call.errno)}")
            return
        found = machine.read(want=BIND_WANT)
        answer = would_bind(found, _attempt(call, where), _caller(call.pid))
        if answer.errno == call.errno:
            first, *others = answer.lines
            _say(f"{shown} could not bind: {first}")
            for line in others:
                _say(line)
        else:
            _say(f"{shown} could not bind {where[1]} port {where[2]}: {os.strerror(call.errno)}")

    def _suspect(self) -> None:
        """Without a trace: the ports that the command names, and who has them."""
        text = " ".join(self.program.command[1:])
        ports = {int(each) for each in re.findall(r"(?<![\d.])\d{1,5}(?![\d.])", text) if 0 < int(each) < 65536}
        for each in listeners(machine.read(want=WANT)):
            if each.port in ports:
                _say(f"port {each.port}, which the command names, is taken: {_holder(each)}")


def _attempt(call: Call, where: tuple[int, str, int, int]) -> Attempt:
    """The attempt that failed, with the options that the socket has."""
    family, address, port, scope = where
    attempt = Attempt(address=ip.parse(address), port=port, family=family, scope=scope)
    try:
        with descriptors.process(call.pid) as process:
            inode = os.stat(f"{proc.PROC}/{call.pid}/fd/{call.descriptor}").st_ino
            with descriptors.copied(process, call.descriptor, inode) as copy:
                return _with_options(attempt, copy)
    except (proc.Gone, descriptors.Denied, FileNotFoundError):
        return attempt


def _with_options(attempt: Attempt, copy: int) -> Attempt:
    protocol = descriptors.option(copy, SOL_SOCKET, SO_PROTOCOL)
    v6only = descriptors.option(copy, SOL_IPV6, IPV6_V6ONLY)
    return replace(
        attempt,
        proto=protocol if protocol in (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE) else IPPROTO_TCP,
        reuseaddr=bool(descriptors.option(copy, SOL_SOCKET, SO_REUSEADDR)),
        reuseport=bool(descriptors.option(copy, SOL_SOCKET, SO_REUSEPORT)),
        freebind=bool(descriptors.option(copy, SOL_IP, IP_FREEBIND)),
        v6only=None if v6only is None else bool(v6only),
    )


def _caller(pid: int) -> Caller:
    try:
        process = processes.one(pid)
    except proc.Gone:
        return Caller.user(os.geteuid())
    if process.capabilities is None:
        return Caller.user(process.euid)
    return Caller(process.euid, process.capabilities)


def _name_of(pid: int) -> str:
    try:
        return proc.text((proc.read(f"{proc.PROC}/{pid}/comm") or b"?").rstrip(b"\n"))
    except proc.Gone:
        return "?"


def _holder(found: Listener) -> str:
    return f"{found.protocol} {found.address}, {programs(found.owners) or 'a process that cannot be seen'}"


def _report(found: Listener) -> None:
    inside = f" in the network namespace {found.namespace}" if found.namespace else ""
    _say(f"{_holder(found)}{inside}: reached from {_from(found)}")
    if found.exposure.calls:
        _say(f"  type {', '.join(found.exposure.calls)}")
    for finding in found.warnings:
        _say(f"  {finding.level}: {finding.sentence}")


def _report_unix(found: UnixSocket, held: tuple[Owner, ...]) -> None:
    name = who_unix.name(found)
    _say(f"unix {name}, {programs(held)}: reached from programs of this machine only")


def _from(found: Listener) -> str:
    words = found.exposure.words
    return words if words.startswith(("this", "everywhere", "nowhere")) else f"where is {words}"


def _say(line: str) -> None:
    click.echo(clean(f"portside: {line}"), err=True)
