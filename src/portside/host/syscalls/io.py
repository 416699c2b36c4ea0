"""send(2), sendto(2), sendmsg(2), recv(2), recvfrom(2), recvmsg(2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from portside.addr.abi import MSG_CMSG_CLOEXEC
from portside.facts.sockaddr import SockAddr
from portside.host.syscalls.socket import socket_of

if TYPE_CHECKING:
    from portside.host.processes import Process
    from portside.host.socket_file import Ancillary
    from portside.wire.packet import Payload


def send(process: Process, fd: int, data: Payload, flags: int = 0, deadline: int | None = None) -> int:
    """Send a message on a socket (send(2)): the number of bytes sent. EBADF, ENOTSOCK, EAGAIN, EPIPE ..."""
    return socket_of(process, fd).send(data, flags, None, deadline)


def sendto(
    process: Process, fd: int, data: Payload, flags: int, address: SockAddr | None, deadline: int | None = None
) -> int:
    """Send a message to `address` (sendto(2)): the number of bytes sent."""
    return socket_of(process, fd).send(data, flags, address, deadline)


def sendmsg(
    process: Process, fd: int, buffers: Sequence[Payload], ancillary: list[Ancillary], flags: int = 0,
    address: SockAddr | None = None, deadline: int | None = None,
) -> int:  # fmt: skip
    """Send a message gathered from `buffers`, with control messages (sendmsg(2)): the number of bytes sent."""
    data = buffers[0] if len(buffers) == 1 else b"".join(buffers)
    return socket_of(process, fd).sendmsg(process, data, ancillary, flags, address, deadline)


def recv(process: Process, fd: int, length: int, flags: int = 0, deadline: int | None = None) -> bytes:
    """Receive up to `length` bytes (recv(2))."""
    return socket_of(process, fd).recv_data(length, flags, deadline)


def recvfrom(
    process: Process, fd: int, length: int, flags: int = 0, deadline: int | None = None
) -> tuple[bytes, SockAddr | None]:
    """Receive up to `length` bytes, and who sent them (recvfrom(2)); None where the protocol does not say."""
    data, sender, _ = socket_of(process, fd).recv(length, flags, deadline)
    return data, sender


def recvmsg(
    process: Process, fd: int, length: int, ancillary_length: int, flags: int = 0, deadline: int | None = None
) -> tuple[bytes, list[Ancillary], int, SockAddr | None]:
    """Receive a message (recvmsg(2)): data, control messages, MSG_* flags, sender."""
    data, control, answer, sender = socket_of(process, fd).recvmsg(process, length, ancillary_length, flags, deadline)
    return data, control, answer | flags & MSG_CMSG_CLOEXEC, sender  # which ____sys_recvmsg leaves in msg_flags
