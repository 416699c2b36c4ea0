"""The processes of a host: who they are, what they may do, and how they end."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from portside.addr.abi import MSG_NOSIGNAL, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from portside.host.errors import fail
from portside.host.fds import FdTable
from portside.host.file import File, Task, World

if TYPE_CHECKING:
    from portside.host.kernel import Host

# <linux/capability.h>
CAP_CHOWN: Final = 0
CAP_DAC_OVERRIDE: Final = 1
CAP_FOWNER: Final = 3
CAP_SETGID: Final = 6
CAP_SETUID: Final = 7
CAP_KILL: Final = 5
CAP_NET_BIND_SERVICE: Final = 10
CAP_NET_BROADCAST: Final = 11
CAP_NET_ADMIN: Final = 12
CAP_NET_RAW: Final = 13
CAP_SYS_ADMIN: Final = 21
CAP_SYS_RESOURCE: Final = 24
ALL_CAPABILITIES: Final = (1 << 41) - 1

SIGHUP: Final = 1
SIGINT: Final = 2
SIGKILL: Final = 9
SIGPIPE: Final = 13
SIGTERM: Final = 15
SIGSTOP: Final = 19
_IGNORED: Final = frozenset({17, 18, 23, 28})  # SIGCHLD, SIGCONT, SIGURG, SIGWINCH: signal(7), default "Ign" and "Cont"

UNCHANGED: Final = 0xFFFFFFFF
"""The id -1 of setreuid(2) and its neighbours: leave as it is."""

FIRST_PID: Final = 100


class ProcessExit(BaseException):
    """Thrown into the tasks of a process that ends; it unwinds them and goes no further."""


class NullInput(File):
    """Standard input: /dev/null, always at its end."""

    __slots__ = ()
    pollable: ClassVar[bool] = False
    kind: ClassVar[int] = 0o020000

    def read(self, length: int) -> bytes:
        """No bytes: the end of file (null(4))."""
        return b""

    def write(self, data: bytes | memoryview) -> int:
        """Take all and keep nothing (null(4))."""
        return len(data)

    def poll(self) -> int:
        """Always readable and writable: the mask of a file that has no poll operation."""
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM

    def describe(self) -> str:
        """`/dev/null`."""
        return "/dev/null"


class Output(File):
    """Standard output or error: what is written goes to `sink`, as it comes."""

    __slots__ = ("name", "sink")
    kind: ClassVar[int] = 0o010000

    def __init__(self, name: str, sink: Callable[[bytes], object] | None = None) -> None:
        super().__init__()
        self.name = name
        self.sink = sink

    def write(self, data: bytes | memoryview) -> int:
        """Hand the bytes on; all are taken."""
        if self.sink is not None:
            self.sink(bytes(data))
        return len(data)

    def poll(self) -> int:
        """Always writable."""
        return POLLOUT | POLLWRNORM

    def describe(self) -> str:
        """`stdout` or `stderr`."""
        return self.name


class Process:
    """A process: its ids, its capabilities, its descriptors and its tasks.

    `uid`, `euid`, `suid`, `fsuid` are the real, effective, saved and file system user ids, and so for groups
    (credentials(7)). `permitted` and `effective` are capability sets as bit masks (capabilities(7)). `exit_status`
    is None while it runs, then 0-255, or -N when signal N ended it. `handlers` maps a signal to what the program
    does on it; without an entry its default action is taken.
    """

    __slots__ = (
        "alive",
        "argv",
        "effective",
        "egid",
        "euid",
        "exit_status",
        "files",
        "fsgid",
        "fsuid",
        "gid",
        "groups",
        "handlers",
        "host",
        "name",
        "permitted",
        "pid",
        "posted",
        "ppid",
        "program",
        "sgid",
        "started",
        "stderr",
        "stdin",
        "stdout",
        "suid",
        "tasks",
        "uid",
        "umask",
    )  # fmt: skip

    def __init__(
        self, host: Host, pid: int, ppid: int, name: str, argv: Sequence[str], uid: int, gid: int
    ) -> None:
        self.host = host
        self.pid = pid
        self.ppid = ppid
        self.name = name
        self.argv = tuple(argv)
        self.uid = self.euid = self.suid = self.fsuid = uid
        self.gid = self.egid = self.sgid = self.fsgid = gid
        self.groups: tuple[int, ...] = ()
        self.umask: int | None = None  # None: that of whoever runs the world
        self.permitted = self.effective = 0 if uid else ALL_CAPABILITIES
        self.files = FdTable()
        self.tasks: list[Task] = []
        self.handlers: dict[int, Callable[[int], object]] = {}
        self.posted: set[int] = set()  # signals that are about to arrive
        self.alive = True
        self.exit_status: int | None = None
        self.started = host.world.now
        self.program: object = None  # what the runtime keeps of the program that it runs
        self.stdin: File = NullInput()
        self.stdout = Output("stdout")
        self.stderr = Output("stderr")
        for file in (self.stdin, self.stdout, self.stderr):
            self.files.install(file)

    def capable(self, capability: int) -> bool:
        """Whether the effective set has that capability (capabilities(7))."""
        return bool(self.effective >> capability & 1)

    def may(self, wanted: int, mode: int, uid: int, gid: int) -> bool:
        """Whether it may read (4), write (2) or search (1) a file of that mode and owner (acl_permission_check)."""
        if self.fsuid == uid:
            mode >>= 6
        elif gid == self.fsgid or gid in self.groups:
            mode >>= 3
        return not wanted & ~mode or self.capable(CAP_DAC_OVERRIDE)

    def exit(self, status: int) -> None:
        """End the process: its tasks end, its descriptors are closed in order, its number is free (_exit(2)).

        `status` is the exit status, or -N for the end by signal N. The task that calls must stop by itself, by raising
        ProcessExit; the others have it thrown in. No effect on a process that has ended.
        """
        if not self.alive:
            return
        self.alive = False
        self.exit_status = status if status < 0 else status & 0xFF
        world = self.host.world
        current = world.current()
        for task in tuple(self.tasks):
            if task is not current:
                world.kill(task, ProcessExit())
        self.files.close_all()
        self.host.processes.remove(self)

    def kill(self, signal: int) -> None:
        """Deliver a signal: run its handler, or take its default action (signal(7)). SIGKILL can't be handled."""
        handler = self.handlers.get(signal)
        if handler is not None and signal not in (SIGKILL, SIGSTOP):
            handler(signal)
        elif signal and signal not in _IGNORED and signal not in (SIGSTOP, 20, 21, 22):
            self.exit(-signal)

    def deliver(self, signal: int) -> None:
        """Deliver a signal that no task sends. Where it ends the process, a task of it does that."""
        if signal in self.handlers or not self.tasks:
            self.kill(signal)
        else:
            self.host.world.spawn(self, partial(self.kill, signal), "signal")

    def post(self, signal: int) -> None:
        """Deliver a signal when the event that causes it is over; once, however often there is cause until then."""
        if signal not in self.posted:
            self.posted.add(signal)
            self.host.world.at(self.host.world.now, self._posted, signal)

    def _posted(self, signal: int) -> None:
        self.posted.discard(signal)
        if self.alive:
            self.deliver(signal)

    # Changing ids: kernel/sys.c, and cap_emulate_setxuid of security/commoncap.c for the capabilities.

    def setuid(self, uid: int) -> None:
        """Set the user ids (setuid(2)): all of them with CAP_SETUID, else the effective one. EPERM, EINVAL."""
        if self.capable(CAP_SETUID):
            self._set_uids(uid, uid, uid)
        elif uid in (self.uid, self.suid):
            self._set_uids(self.uid, uid, self.suid)
        else:
            raise fail(errno.EPERM)

    def setreuid(self, real: int, effective: int) -> None:
        """Set real and effective user id (setreuid(2)). EPERM without CAP_SETUID for an id that is not one's own."""
        privileged = self.capable(CAP_SETUID)
        new_real = self.uid if real == UNCHANGED else real
        new_effective = self.euid if effective == UNCHANGED else effective
        if not privileged and new_real not in (self.uid, self.euid):
            raise fail(errno.EPERM)
        if not privileged and new_effective not in (self.uid, self.euid, self.suid):
            raise fail(errno.EPERM)
        follows = real != UNCHANGED or (effective != UNCHANGED and new_effective != self.uid)
        self._set_uids(new_real, new_effective, new_effective if follows else self.suid)

    def setresuid(self, real: int, effective: int, saved: int) -> None:
        """Set real, effective and saved user id (setresuid(2)). EPERM for an id that is none of the three."""
        mine = (self.uid, self.euid, self.suid)
        wanted = _filled(mine, (real, effective, saved))
        if not self.capable(CAP_SETUID) and any(new not in mine for new in wanted):
            raise fail(errno.EPERM)
        self._set_uids(*wanted)

    def setgid(self, gid: int) -> None:
        """Set the group ids (setgid(2)): all of them with CAP_SETGID, else the effective one. EPERM, EINVAL."""
        if self.capable(CAP_SETGID):
            self._set_gids(gid, gid, gid)
        elif gid in (self.gid, self.sgid):
            self._set_gids(self.gid, gid, self.sgid)
        else:
            raise fail(errno.EPERM)

    def setregid(self, real: int, effective: int) -> None:
        """Set real and effective group id (setregid(2)). EPERM without CAP_SETGID for an id that is not one's own."""
        privileged = self.capable(CAP_SETGID)
        new_real = self.gid if real == UNCHANGED else real
        new_effective = self.egid if effective == UNCHANGED else effective
        if not privileged and new_real not in (self.gid, self.egid):
            raise fail(errno.EPERM)
        if not privileged and new_effective not in (self.gid, self.egid, self.sgid):
            raise fail(errno.EPERM)
        follows = real != UNCHANGED or (effective != UNCHANGED and new_effective != self.gid)
        self._set_gids(new_real, new_effective, new_effective if follows else self.sgid)

    def setresgid(self, real: int, effective: int, saved: int) -> None:
        """Set real, effective and saved group id (setresgid(2)). EPERM for an id that is none of the three."""
        mine = (self.gid, self.egid, self.sgid)
        wanted = _filled(mine, (real, effective, saved))
        if not self.capable(CAP_SETGID) and any(new not in mine for new in wanted):
            raise fail(errno.EPERM)
        self._set_gids(*wanted)

    def setgroups(self, groups: Sequence[int]) -> None:
        """Set the supplementary groups (setgroups(2)). EPERM without CAP_SETGID, EINVAL for more than 65536."""
        if not self.capable(CAP_SETGID):
            raise fail(errno.EPERM)
        if len(groups) > 65536:
            raise fail(errno.EINVAL)
        self.groups = tuple(sorted(groups))

    def _set_uids(self, real: int, effective: int, saved: int) -> None:
        if UNCHANGED in (real, effective, saved):
            raise fail(errno.EINVAL)
        had_root = 0 in (self.uid, self.euid, self.suid)
        was_effective_root = self.euid == 0
        self.uid, self.euid, self.suid, self.fsuid = real, effective, saved, effective
        if had_root and 0 not in (real, effective, saved):
            self.permitted = self.effective = 0
        if was_effective_root and effective != 0:
            self.effective = 0
        if not was_effective_root and effective == 0:
            self.effective = self.permitted

    def _set_gids(self, real: int, effective: int, saved: int) -> None:
        if UNCHANGED in (real, effective, saved):
            raise fail(errno.EINVAL)
        self.gid, self.egid, self.sgid, self.fsgid = real, effective, saved, effective


def broken_pipe(world: World, flags: int = 0) -> OSError:
    """EPIPE, for the task that writes to nobody, whose process has had SIGPIPE by then: not with MSG_NOSIGNAL.

    Raises ProcessExit when the signal ends the process, and what its handler raises (send_sig() of sk_stream_error(),
    unix_stream_sendmsg() and pipe_write()).
    """
    process: Process | None = world.current().process  # type: ignore[assignment]
    if process is not None and not flags & MSG_NOSIGNAL:
        process.kill(SIGPIPE)
        if not process.alive:
            raise ProcessExit
    return fail(errno.EPIPE)


def _filled(old: tuple[int, int, int], new: tuple[int, int, int]) -> tuple[int, int, int]:
    """The new ids, with the old ones in place of -1."""
    one, two, three = (was if now == UNCHANGED else now for was, now in zip(old, new, strict=True))
    return one, two, three


class Processes:
    """The processes of one host by their pid, which count up from 100; 1 is init, the parent of all that has none."""

    __slots__ = ("_next", "_table", "host")

    def __init__(self, host: Host) -> None:
        self.host = host
        self._next = FIRST_PID
        self._table: dict[int, Process] = {}

    def create(
        self, name: str, argv: Sequence[str] = (), uid: int = 0, gid: int | None = None, parent: int = 1
    ) -> Process:
        """A new process of that user, with descriptors 0, 1 and 2 open.

        Its group has the user's number unless given.
        """
        pid = self._next
        self._next += 1
        process = Process(self.host, pid, parent, name, argv or (name,), uid, uid if gid is None else gid)
        self._table[pid] = process
        return process

    def get(self, pid: int) -> Process | None:
        """The process of that number that runs, or None."""
        return self._table.get(pid)

    def remove(self, process: Process) -> None:
        """Forget a process that has ended; its children are init's (exit_group(2))."""
        if self._table.pop(process.pid, None) is not None:
            for other in self._table.values():
                if other.ppid == process.pid:
                    other.ppid = 1

    def __iter__(self) -> Iterator[Process]:
        return iter(tuple(self._table.values()))

    def __len__(self) -> int:
        return len(self._table)
