"""Data over AF_UNIX stream sockets: unix_stream_sendmsg and unix_stream_read_generic of net/unix/af_unix.c."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from portside.addr.abi import MSG_OOB, MSG_PEEK, MSG_WAITALL, RCV_SHUTDOWN, SEND_SHUTDOWN
from portside.facts.state import ESTABLISHED
from portside.host import unix_gc
from portside.host.errors import fail
from portside.host.processes import broken_pipe
from portside.host.signal_io import SIGURG
from portside.host.unix_message import STREAM_MAX, Credentials, Message, stream_truesize

if TYPE_CHECKING:
    from portside.facts.sockaddr import SockAddr
    from portside.host.file import File
    from portside.host.unix_socket import Taken, UnixSocket
    from portside.wire.packet import Payload

SO_OOBINLINE = 10


def send(
    sock: UnixSocket, data: Payload, flags: int, address: SockAddr | None, deadline: int | None,
    files: list[File] | None, credentials: Credentials | None,
) -> int:  # fmt: skip
    """Append `data` to the peer's queue: the number of bytes taken, all of them unless it may not wait.

    `files` go with the first byte: the message takes them out of the list.
    EISCONN, EOPNOTSUPP (an address was given), ENOTCONN, EPIPE, EAGAIN, ECONNRESET.
    """
    total = len(data)
    if flags & MSG_OOB and not total:
        raise fail(errno.EOPNOTSUPP)
    if address is not None:
        raise fail(errno.EISCONN if sock.state == ESTABLISHED else errno.EOPNOTSUPP)
    peer = sock.peer
    if peer is None:
        raise fail(errno.ENOTCONN)
    if sock.shut & SEND_SHUTDOWN:
        raise broken_pipe(sock.host.world, flags)
    ordinary = total - 1 if flags & MSG_OOB else total
    sent = 0
    while sent < total:
        # Two messages fit the buffer, so that sender and receiver take turns. An urgent byte is a message of its own.
        size = min(ordinary - sent, (sock.sndbuf >> 1) - 64, STREAM_MAX) or 1
        error = sock.wait_for_room(flags, deadline, "send")
        if not error and (peer.dead or peer.shut & RCV_SHUTDOWN):
            error = errno.EPIPE
            sock.uncharge(0)  # the buffer that was made for it is given back, and writers hear of room
        if error:
            if sent:
                break
            raise broken_pipe(sock.host.world, flags) if error == errno.EPIPE else fail(error)
        chunk = data if size == total else data[sent : sent + size]
        message = Message(chunk if type(chunk) is bytes else bytes(chunk), stream_truesize(size), sock)
        message.credentials = credentials
        if files and not sent:
            unix_gc.sent(sock.names, peer, message.take_files(files))
        if sent == ordinary:
            peer.oob = message
            peer.had_oob = True
        peer.inq += size
        if sent == ordinary and peer.signal_owner is not None:
            peer.signal_owner.send(SIGURG)
        sock.deliver(peer, message)
        sent += size
    return sent


def receive(sock: UnixSocket, length: int, flags: int, deadline: int | None) -> Taken:
    """Up to `length` bytes from the queue, from as many messages as there are; b"" at the end of the stream.

    Messages with descriptors are never joined with what follows them, nor messages of different senders when
    SO_PASSCRED is set. EINVAL when not connected, EAGAIN, ECONNRESET.
    """
    if sock.state != ESTABLISHED:
        raise fail(errno.EINVAL)
    if flags & MSG_OOB:
        return _urgent(sock, flags)
    target = (length if flags & MSG_WAITALL else min(sock.rcvlowat, length)) or 1
    if flags & MSG_PEEK:
        return _peek(sock, length, flags, deadline)
    queue = sock.queue
    pieces: list[bytes] = []
    copied = 0
    credentials: Credentials | None = None
    files: list[File] | None = None
    sender: UnixSocket | None = None
    while True:
        if sock.had_oob and queue and _mind_oob(sock, 0, False, copied) < 0 and copied:
            break
        if not queue:
            if copied >= target or not _more(sock, flags, deadline, copied):
                break
            continue
        message = queue[0]
        if not pieces:
            credentials = message.credentials
        elif sock.passcred and message.credentials != credentials:
            break
        sender = message.sender
        start = message.start
        piece = message.data[start : start + length] if start or length < len(message.data) else message.data
        pieces.append(piece)
        size = len(piece)
        copied += size
        length -= size
        sock.inq -= size
        message.start = start + size
        if message.files is not None:
            files = message.files
            message.files = None
            unix_gc.landed(sock.names, sock, files)
        if message.start < len(message.data):
            break
        queue.popleft()
        message.sender.uncharge(message.truesize)
        if files is not None or not length:
            break
    return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), sender, 0, credentials, files


def _more(sock: UnixSocket, flags: int, deadline: int | None, copied: int) -> bool:
    """Wait for data; False at the end of the stream, or when what was `copied` has to do."""
    error = sock.take_error()
    if not error:
        if sock.shut & RCV_SHUTDOWN:
            return False
        if sock.wait_readable(flags, deadline, "recv"):
            return True
        error = errno.EAGAIN
    if copied:
        return False
    raise fail(error)


def _peek(sock: UnixSocket, length: int, flags: int, deadline: int | None) -> Taken:
    """MSG_PEEK: what the next call would read, left in its place; descriptors are passed a second time."""
    queue = sock.queue
    pieces: list[bytes] = []
    credentials: Credentials | None = None
    files: list[File] | None = None
    sender: UnixSocket | None = None
    position = 0
    while True:
        at = position if position < len(queue) else -1
        if sock.had_oob and at >= 0:
            at = _mind_oob(sock, at, True, bool(pieces))
        if at < 0:
            if pieces or not _more(sock, flags, deadline, 0):
                break
            position = 0
            continue
        message = queue[at]
        position = at + 1
        if not pieces:
            credentials = message.credentials
        elif sock.passcred and message.credentials != credentials:
            break
        sender = message.sender
        piece = message.data[message.start : message.start + length]
        pieces.append(piece)
        length -= len(piece)
        if message.files is not None:
            files = list(message.files)
            for file in files:
                file.references += 1
            break
    return b"".join(pieces), sender, 0, credentials, files


# Urgent data: one byte, a message of its own that stays in the queue, empty, once it was read out of band.


def _urgent(sock: UnixSocket, flags: int) -> Taken:
    """MSG_OOB: the urgent byte; EINVAL without one, or when it is read in line (unix_stream_recv_urg)."""
    message = sock.oob
    if message is None or sock.stored.get(SO_OOBINLINE):
        raise fail(errno.EINVAL)
    if not flags & MSG_PEEK:
        sock.oob = None
        sock.inq -= 1
        message.start = 1
        before = sock.queue.index(message) - 1
        if before >= 0 and _spent(sock.queue[before]):
            spent = sock.queue[before]
            del sock.queue[before]
            sock.discard(spent)
    return message.data, None, MSG_OOB, None, None


def _mind_oob(sock: UnixSocket, at: int, peek: bool, copied: int | bool) -> int:
    """Where to read, when the message at `at` may be an urgent one: -1 for nowhere (manage_oob).

    Reading stops before the urgent byte; a later call passes over it, and it is lost, unless SO_OOBINLINE is set.
    """
    queue = sock.queue
    message = queue[at]
    if _spent(message):
        if copied and sock.oob is None:
            return -1
        if peek:
            at += 1
        else:
            del queue[at]
            sock.discard(message)
        if at >= len(queue):
            return -1
        message = queue[at]
    if message is not sock.oob:
        return at
    if copied:
        return -1
    inline = sock.stored.get(SO_OOBINLINE)
    if not peek:
        sock.oob = None
    if not inline:
        if peek:
            at += 1
        else:
            del queue[at]
            sock.discard(message)
            at = 0
    return at if at < len(queue) else -1


def _spent(message: Message) -> bool:
    return message.start == len(message.data)
