"""Signals of sockets: SIGURG for urgent data, SIGIO for input and output (F_SETOWN and O_ASYNC of fcntl(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portside.addr.abi import AF_UNIX, POLLERR, POLLHUP, POLLIN, SOCK_STREAM
from portside.host.file import Blocked
from portside.host.socket_file import SocketFile

if TYPE_CHECKING:
    from portside.host.file import File
    from portside.host.processes import Process

SIGURG: Final = 23
SIGIO: Final = 29


class Owner:
    """Whom the signals of a file go to: a process, or minus its group, by leave of who set it (struct fown_struct)."""

    __slots__ = ("_euid", "_processes", "_uid", "who")

    def __init__(self, process: Process, who: int) -> None:
        self.who = who
        self._processes = process.host.processes
        self._uid, self._euid = process.uid, process.euid

    def send(self, signal: int) -> None:
        """Signal the owner, if it still runs and who set it may do so (send_sigurg(), sigio_perm())."""
        target = self._processes.get(abs(self.who))
        if target is None:
            return
        ids = (target.uid, target.suid)
        if not self._euid or self._euid in ids or self._uid in ids:
            target.post(signal)


class Asynchronous:
    """A waiter that never waits: O_ASYNC. What happens on the socket is told to its owner (sk_wake_async())."""

    __slots__ = ()

    def notify(self, file: File, events: int) -> None:
        """Send SIGIO: for data that no call of a stream waits for, for room that one of TCP missed, for errors."""
        owner = file.signal_owner
        if owner is None or not file.references or not isinstance(file, SocketFile):
            return
        if not events & (POLLERR | POLLHUP):
            if file.type == SOCK_STREAM and events & POLLIN and _in_recv(file):
                return  # SOCKWQ_ASYNC_WAITDATA
            if file.family == AF_UNIX and not events & POLLIN:
                return  # who missed room is not known: SOCKWQ_ASYNC_NOSPACE
        owner.send(SIGIO)


def _in_recv(file: File) -> bool:
    return any(isinstance(waiter, Blocked) and waiter.call == "recv" for waiter in file.waiters)


def is_asynchronous(file: File) -> bool:
    """Whether O_ASYNC is on."""
    return any(type(waiter) is Asynchronous for waiter in file.waiters)


def set_asynchronous(file: File, on: bool) -> None:
    """Switch O_ASYNC on or off (sock_fasync()); what is no socket has none."""
    if not isinstance(file, SocketFile) or is_asynchronous(file) == on:
        return
    if on:
        file.waiters.append(Asynchronous())
    else:
        file.waiters[:] = [waiter for waiter in file.waiters if type(waiter) is not Asynchronous]
