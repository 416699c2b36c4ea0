"""The calls that every kind of socket answers, each with the refusal of a socket that does not support it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NoReturn

from portside.addr.abi import MSG_DONTWAIT
from portside.addr.compiled import mypyc_attr
from portside.facts.sockaddr import SockAddr
from portside.host.errors import fail
from portside.host.file import File

if TYPE_CHECKING:
    from portside.host.kernel import Host
    from portside.host.processes import Process
    from portside.wire.packet import Payload

MIN_SNDBUF = 4608  # SOCK_MIN_SNDBUF: 2 * TCP_SKB_MIN_TRUESIZE
MIN_RCVBUF = 2304  # SOCK_MIN_RCVBUF: TCP_SKB_MIN_TRUESIZE

Ancillary = tuple[int, int, bytes]  # level, type, data: what cmsg(3) carries
Received = tuple[bytes, SockAddr | None, int]  # data, sender, MSG_* flags of the answer


@mypyc_attr(allow_interpreted_subclasses=True)
class SocketFile(File):
    """A socket: an open file description that takes the socket calls.

    `deadline` is an absolute virtual time in nanoseconds until which a call may wait even when the file is
    non-blocking; None obeys O_NONBLOCK, MSG_DONTWAIT and SO_RCVTIMEO or SO_SNDTIMEO. A call that may not wait any
    longer fails with EAGAIN. Defaults here are those of net/core/sock.c: sock_no_bind and its neighbours.
    """

    __slots__ = ("family", "host", "inode", "proto", "type")

    host: Host

    def __init__(self, host: Host, family: int, type: int, proto: int) -> None:
        super().__init__()
        self.host = host
        self.family = family
        self.type = type
        self.proto = proto
        self.inode = host.new_inode()

    def _unsupported(self) -> NoReturn:
        raise fail(errno.EOPNOTSUPP)

    def wait_limit(self, timeout: int, flags: int, deadline: int | None) -> int | None:
        """Until when a call may wait: None for ever, a time that has passed for not at all.

        Args: timeout: SO_RCVTIMEO or SO_SNDTIMEO (ns), 0 for ever, negative not at all. MSG_DONTWAIT in `flags` comes
        first, then `deadline` (ns, absolute), then O_NONBLOCK and `timeout` (sock_rcvtimeo, sock_sndtimeo).
        """
        if flags & MSG_DONTWAIT:
            return 0
        if deadline is not None:
            return deadline
        if self.nonblocking:
            return 0
        return self.host.world.now + timeout if timeout else None

    def bind(self, process: Process, address: SockAddr) -> None:
        """Give the socket a name (bind(2))."""
        self._unsupported()

    def listen(self, process: Process, backlog: int) -> None:
        """Mark the socket as one that accepts connections (listen(2))."""
        self._unsupported()

    def accept(self, deadline: int | None = None) -> tuple[SocketFile, SockAddr]:
        """Take the first connection of the queue (accept(2)): its socket and the peer's address."""
        self._unsupported()

    def adopted(self, process: Process) -> None:
        """accept(2) has given the socket to a process."""

    def connect(self, process: Process, address: SockAddr, deadline: int | None = None) -> None:
        """Connect to `address`, or set the default destination of a datagram socket (connect(2))."""
        self._unsupported()

    def send(
        self, data: Payload, flags: int = 0, address: SockAddr | None = None, deadline: int | None = None
    ) -> int:
        """Send `data`; the number of bytes taken (send(2), sendto(2))."""
        self._unsupported()

    def recv(self, length: int, flags: int = 0, deadline: int | None = None) -> Received:
        """Receive up to `length` bytes: the data, the sender and the MSG_* flags of the answer (recvmsg(2))."""
        self._unsupported()

    def recv_data(self, length: int, flags: int = 0, deadline: int | None = None) -> bytes:
        """Receive up to `length` bytes, without the sender: recv(2)'s way, which streams shorten."""
        return self.recv(length, flags, deadline)[0]

    def sendmsg(
        self, process: Process, data: Payload, ancillary: list[Ancillary], flags: int = 0,
        address: SockAddr | None = None, deadline: int | None = None,
    ) -> int:  # fmt: skip
        """Send `data` with control messages (sendmsg(2))."""
        return self.send(data, flags, address, deadline)

    def recvmsg(
        self, process: Process, length: int, ancillary_length: int, flags: int = 0, deadline: int | None = None
    ) -> tuple[bytes, list[Ancillary], int, SockAddr | None]:
        """Receive with control messages (recvmsg(2)): data, control messages, MSG_* flags, sender."""
        data, sender, answer = self.recv(length, flags, deadline)
        return data, [], answer, sender

    def shutdown(self, how: int) -> None:
        """Close one direction or both: SHUT_RD, SHUT_WR, SHUT_RDWR (shutdown(2))."""
        self._unsupported()

    def getsockname(self) -> SockAddr:
        """The socket's own address (getsockname(2))."""
        self._unsupported()

    def getpeername(self) -> SockAddr:
        """The address of the peer (getpeername(2)); ENOTCONN without one."""
        self._unsupported()

    def setsockopt(self, process: Process, level: int, name: int, value: bytes) -> None:
        """Set an option (setsockopt(2)); ENOPROTOOPT for one that this socket does not know."""
        raise fail(errno.ENOPROTOOPT)

    def getsockopt(self, level: int, name: int, length: int) -> bytes:
        """An option's value, cut to `length` (getsockopt(2)); ENOPROTOOPT for one that this socket does not know."""
        raise fail(errno.ENOPROTOOPT)

    def ioctl_inq(self) -> int:
        """SIOCINQ (FIONREAD): bytes that can be read at once."""
        raise fail(errno.ENOTTY)

    def ioctl_atmark(self) -> int:
        """SIOCATMARK: 1 when the urgent byte, or its place, comes next (sockatmark(3)). ENOTTY where there is none."""
        raise fail(errno.ENOTTY)

    def ioctl_outq(self) -> int:
        """SIOCOUTQ: bytes in the send queue."""
        raise fail(errno.ENOTTY)
