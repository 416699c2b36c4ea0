"""Datagrams over AF_UNIX: unix_dgram_sendmsg and __unix_dgram_recvmsg of net/unix/af_unix.c, SOCK_SEQPACKET too."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from portside.addr.abi import (
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    POLLOUT,
    POLLWRBAND,
    POLLWRNORM,
    RCV_SHUTDOWN,
    SOCK_SEQPACKET,
)
from portside.facts.state import CLOSED, ESTABLISHED
from portside.host import unix_gc
from portside.host.errors import fail
from portside.host.unix_message import Credentials, Message, dgram_truesize

if TYPE_CHECKING:
    from portside.facts.sockaddr import SockAddr
    from portside.host.file import File
    from portside.host.unix_socket import Taken, UnixSocket
    from portside.wire.packet import Payload


def send(
    sock: UnixSocket, data: Payload, flags: int, address: SockAddr | None, deadline: int | None,
    files: list[File] | None, credentials: Credentials | None,
) -> int:  # fmt: skip
    """Send one datagram to `address`, or to the peer: its length.

    The message takes `files` out of the list. EMSGSIZE when it is longer than the send buffer; ENOTCONN,
    ECONNREFUSED, ENOENT, EPROTOTYPE, EPERM (the receiver is connected to another), EPIPE, EAGAIN (the send buffer or
    the receiver's queue is full).
    """
    if flags & MSG_OOB:
        raise fail(errno.EOPNOTSUPP)
    name = None if address is None or sock.type == SOCK_SEQPACKET else sock.checked_name(address)
    if sock.passcred:
        sock.autobind()
    length = len(data)
    if length > sock.sndbuf - 32:
        raise fail(errno.EMSGSIZE)
    error = sock.wait_for_room(flags, deadline, "sendto")
    if error:
        raise fail(error)
    try:
        other = _receiver(sock, name, flags, deadline)
    except OSError:
        sock.uncharge(0)  # the buffer that was made for it is given back, and writers hear of room
        raise
    message = Message(data if type(data) is bytes else bytes(data), dgram_truesize(length), sock)
    message.credentials = credentials
    if files:
        unix_gc.sent(sock.names, other, message.take_files(files))
    sock.deliver(other, message)
    return length


def _receiver(sock: UnixSocket, name: bytes | None, flags: int, deadline: int | None) -> UnixSocket:
    """The socket that takes the datagram, once there is room in its queue."""
    while True:
        other = sock.peer if name is None else sock.find(name)
        if other is None:
            raise fail(errno.ENOTCONN)
        if other.peer is not None and other.peer is not sock:
            raise fail(errno.EPERM)
        if other.dead:
            _peer_died(sock, other)
        if other.shut & RCV_SHUTDOWN:
            raise fail(errno.EPIPE)
        if other is sock or other.peer is sock or not other.queue_full():
            return other
        limit = sock.send_limit(flags, deadline)
        if limit is not None and limit <= sock.host.world.now:
            if sock.peer is other:
                sock.relay_from(other)
            raise fail(errno.EAGAIN)
        sock.wait_for_peer(other, limit, "sendto")


def _peer_died(sock: UnixSocket, other: UnixSocket) -> None:
    if sock.type == SOCK_SEQPACKET:
        raise fail(errno.EPIPE)
    sock.peer = None
    sock.no_relay_from(other)
    sock.wake(POLLOUT | POLLWRNORM | POLLWRBAND)
    sock.state = CLOSED
    sock.disconnected_from(other)
    raise fail(errno.ECONNREFUSED)


def receive(sock: UnixSocket, length: int, flags: int, deadline: int | None) -> Taken:
    """One datagram, cut to `length` with MSG_TRUNC when it is longer. EAGAIN; b"" after shutdown(SHUT_RD)."""
    if sock.type == SOCK_SEQPACKET and sock.state != ESTABLISHED:
        raise fail(errno.ENOTCONN)
    if flags & MSG_OOB:
        raise fail(errno.EOPNOTSUPP)
    queue = sock.queue
    while True:
        error = sock.take_error()
        if error:
            raise fail(error)
        if queue:
            break
        limit = sock.receive_limit(flags, deadline)
        waits = limit is None or limit > sock.host.world.now
        if sock.shut & RCV_SHUTDOWN and (waits or sock.type == SOCK_SEQPACKET):
            return b"", None, 0, None, None
        if not waits or not sock.wait_readable(flags, deadline, "recv"):
            raise fail(errno.EAGAIN)
    message = queue[0]
    whole = message.data
    out = MSG_TRUNC if length < len(whole) else 0
    data = whole[:length] if out else whole
    files = message.files
    if flags & MSG_PEEK:
        for file in files or ():
            file.references += 1
        sock.room_made()
        return data, message.sender, out, message.credentials, list(files) if files else None
    queue.popleft()
    if files is not None:
        message.files = None
        unix_gc.landed(sock.names, sock, files)
    sock.room_made()
    message.sender.uncharge(message.truesize)
    return data, message.sender, out, message.credentials, files
