"""What an asyncio loop has of a TCP connection instead of a socket object: a descriptor, and what it belongs to."""

from __future__ import annotations

import _socket
import weakref
from typing import TYPE_CHECKING, Any, Final, cast

from portside.addr.abi import SOCK_NONBLOCK, SOCK_STREAM
from portside.runtime.sim_socket import SimSocket
from portside.runtime.sim_watch import Watch

if TYPE_CHECKING:
    from portside.facts.sockaddr import SockAddr
    from portside.host.processes import Process
    from portside.host.tcp_socket import TcpSocket
    from portside.sim.scheduler import Scheduler

_new: Final[Any] = _socket.socket.__new__


class Connection:
    """Stands where asyncio has a socket object; one is made of it when somebody asks.

    `used` says that a transport has taken it. One that nobody took is a socket that was forgotten, and is told of as
    such.
    """

    def __init__(self, process: Process, fd: int, proto: int, peername: SockAddr | None) -> None:
        self.process = process
        self.files = process.files.open
        self.fd = fd
        self.file = cast("TcpSocket", self.files[fd])
        self.proto = proto
        self.sockname: SockAddr | None = None
        self.peername = peername
        self.used = False
        self.watch: Watch | None = None  # by the loop that has it, once it waits for something
        self.world = cast("Scheduler", process.host.world)

    def setblocking(self, flag: bool) -> None:
        """What asyncio asks of a socket object; this one never blocks."""

    def close(self) -> None:
        """Close the descriptor (close(2)); EBADF when somebody did."""
        self.used = True
        if self.process.alive:
            self.process.files.close(self.fd)

    def socket(self) -> Any:
        """A socket object for it; a closed one after its end."""
        self.used = True
        made: Any = _new(SimSocket)
        made._io_refs = 0
        made._closed = False
        made._sim_adopt(self.process, self.fd, self.file.family, SOCK_STREAM | SOCK_NONBLOCK, self.proto)
        if self.files.get(self.fd) is not self.file:
            made.detach()
        return made

    def __del__(self) -> None:
        if not self.used:
            self.socket()


class Transports:
    """The transports of a loop by descriptor, which keeps none alive: a WeakValueDictionary that costs less to fill."""

    def __init__(self, before: Any) -> None:
        self._references: dict[int, Any] = {fd: weakref.ref(transport) for fd, transport in before.items()}

    def get(self, fd: int, default: Any = None) -> Any:
        """The transport of a descriptor."""
        reference = self._references.get(fd)
        transport = None if reference is None else reference()
        return default if transport is None else transport

    def __contains__(self, fd: int) -> bool:
        return self.get(fd) is not None

    def __getitem__(self, fd: int) -> Any:
        transport = self.get(fd)
        if transport is None:
            raise KeyError(fd)
        return transport

    def __setitem__(self, fd: int, transport: Any) -> None:
        self._references[fd] = weakref.ref(transport)

    def __delitem__(self, fd: int) -> None:
        del self._references[fd]
