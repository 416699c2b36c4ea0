"""A TCP connection that an asyncio loop is about to have a transport for: a descriptor, and what it belongs to."""

from __future__ import annotations

import _socket
from typing import TYPE_CHECKING, Final, cast

from portside.addr.abi import SOCK_NONBLOCK, SOCK_STREAM
from portside.runtime.sim_socket import SimSocket, SimSocketMethods

if TYPE_CHECKING:
    from portside.facts.sockaddr import SockAddr
    from portside.host.processes import Process
    from portside.host.tcp_socket import TcpSocket
    from portside.sim.scheduler import Scheduler

_new: Final = _socket.socket.__new__


class Connection:
    """Stands where asyncio has a socket object; one is made of it when somebody asks.

    `used` says that a transport has taken it. One that nobody took is a socket that was forgotten, and is told of as
    such.
    """

    __slots__ = ("fd", "file", "files", "peername", "process", "proto", "sockname", "used", "world")

    def __init__(self, process: Process, fd: int, proto: int, peername: SockAddr | None) -> None:
        self.process = process
        self.files = process.files.open
        self.fd = fd
        self.file = cast("TcpSocket", self.files[fd])
        self.proto = proto
        self.sockname: SockAddr | None = None
        self.peername = peername
        self.used = False
        self.world = cast("Scheduler", process.host.world)

    def setblocking(self, flag: bool) -> None:
        """What asyncio asks of a socket object; this one never blocks."""

    def close(self) -> None:
        """Close the descriptor (close(2)); EBADF when somebody did."""
        self.used = True
        if self.process.alive:
            self.process.files.close(self.fd)

    def socket(self) -> SimSocketMethods:
        """A socket object for it; a closed one after its end."""
        self.used = True
        made = cast(SimSocketMethods, _new(SimSocket))
        made._io_refs = 0
        made._closed = False
        made._sim_adopt(self.process, self.fd, self.file.family, SOCK_STREAM | SOCK_NONBLOCK, self.proto)
        if self.files.get(self.fd) is not self.file:
            made.detach()
        return made

    def __del__(self) -> None:
        if not self.used:
            self.socket()
