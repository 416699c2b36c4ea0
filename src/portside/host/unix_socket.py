"""AF_UNIX sockets (unix(7)): streams, datagrams and sequenced packets between the processes of one host."""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, Final

from portside.addr.abi import (
    AF_UNIX,
    MSG_CTRUNC,
    MSG_OOB,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLPRI,
    POLLRDBAND,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRBAND,
    POLLWRNORM,
    RCV_SHUTDOWN,
    SEND_SHUTDOWN,
    SHUTDOWN_BOTH,
    SOCK_DGRAM,
    SOCK_SEQPACKET,
    SOCK_STREAM,
)
from portside.facts.sockaddr import SockAddr
from portside.facts.state import CLOSED, ESTABLISHED, LISTEN
from portside.host import unix_dgram, unix_gc, unix_options, unix_stream
from portside.host.errors import fail
from portside.host.file import File
from portside.host.options import SOL_SOCKET
from portside.host.processes import Process
from portside.host.socket_file import Ancillary, Received, SocketFile
from portside.host.unix_message import (
    NOBODY,
    Credentials,
    Message,
    drop_files,
    make_ancillary,
    parse_ancillary,
)
from portside.host.unix_names import PATH_MAX, Place, UnixNames
from portside.host.waiting import ANY_EVENT, unhold, wait_for

if TYPE_CHECKING:
    from portside.host.kernel import Host
    from portside.wire.packet import Payload

__all__ = ["UnixNames", "UnixSocket"]

# data, sender, MSG_* flags of the answer, the sender's credentials, descriptors (held for the caller)
Taken = tuple[bytes, "UnixSocket | None", int, Credentials | None, list[File] | None]

_IN: Final = POLLIN | POLLRDNORM
_DATA: Final = POLLIN | POLLPRI | POLLRDNORM | POLLRDBAND  # what sock_def_readable wakes
_OUT: Final = POLLOUT | POLLWRNORM | POLLWRBAND

_TYPE_NAMES: Final = {SOCK_STREAM: "stream", SOCK_DGRAM: "dgram", SOCK_SEQPACKET: "seqpacket"}


class PeerWait(File):
    """Where those wait for whom a socket's queue is full (peer_wait of struct unix_sock)."""

    __slots__ = ("owner",)

    def __init__(self, owner: UnixSocket) -> None:
        super().__init__()
        self.owner = owner
        self.references = 1  # it lives as long as its owner

    def describe(self) -> str:
        """The owner."""
        return self.owner.describe()


class UnixSocket(SocketFile):
    """An AF_UNIX socket.

    `name` is what it is bound to (b"": nothing), `place` its socket file. `peer` is whom it is connected to, `queue`
    what it has received, `pending` the connections that wait for accept(2) when it listens, `backlog` how many may
    wait in either. `wmem` is what is charged for messages of its own that nobody has read yet; it bounds what it can
    send. `listener` is where it waits to be accepted.
    """

    __slots__ = (
        "backlog",
        "credentials",
        "dead",
        "error",
        "had_oob",
        "inq",
        "linger",
        "listener",
        "name",
        "names",
        "oob",
        "passcred",
        "peer",
        "peer_wait",
        "pending",
        "place",
        "queue",
        "rcvbuf",
        "rcvlowat",
        "rcvtimeo",
        "relay",
        "relays",
        "shut",
        "sndbuf",
        "sndtimeo",
        "state",
        "stored",
        "wmem",
    )

    def __init__(self, host: Host, type: int, process: Process | None = None) -> None:
        super().__init__(host, AF_UNIX, type, 0)
        settings = host.settings
        self.names: UnixNames = host.unix
        self.state: int = CLOSED
        self.name = b""
        self.place: Place | None = None
        self.peer: UnixSocket | None = None
        self.queue: deque[Message] = deque()
        self.pending: deque[UnixSocket] = deque()
        self.backlog = settings.unix_max_dgram_qlen
        self.listener: UnixSocket | None = None
        self.shut = 0
        self.error = 0
        self.dead = False
        self.wmem = 0
        self.oob: Message | None = None  # the urgent byte, while it was not read
        self.had_oob = False
        self.inq = 0
        self.linger: tuple[int, int] = (0, 0)  # on, seconds
        self.sndbuf: int = settings.wmem_default
        self.rcvbuf: int = settings.rmem_default
        self.rcvlowat: int = 1
        self.rcvtimeo: int = 0  # ns; as `SocketFile.wait_limit` takes it
        self.sndtimeo: int = 0
        self.passcred: bool = False
        self.credentials: Credentials = (0, -1, -1)
        self.peer_wait: PeerWait | None = None
        self.relays: dict[UnixSocket, None] = {}  # who is told of room in our queue: datagram sockets connected to us
        self.relay: UnixSocket | None = None  # who tells us
        self.stored: dict[int, int] = {}  # options that are kept and read back; nothing acts on them
        self.names.sockets[self] = None

    # -- names --

    def checked_name(self, address: SockAddr) -> bytes:
        """The name in an address; EINVAL for an empty or overlong one or another family (unix_validate_addr)."""
        if address[0] != AF_UNIX or len(address) != 2:
            raise fail(errno.EINVAL)
        name = address[1]
        if not isinstance(name, bytes) or not 0 < len(name) <= PATH_MAX:
            raise fail(errno.EINVAL)
        return name

    def bind(self, process: Process, address: SockAddr) -> None:
        """Make a socket file, or take an abstract name, or any free one for the empty name (unix_bind).

        EADDRINUSE when the name exists, EINVAL when the socket has one, ENOENT, ENOTDIR and EACCES for the directory.
        """
        if address == (AF_UNIX, b""):
            self.autobind()
            return
        name = self.checked_name(address)
        if name[0] == 0:
            if self.name:
                raise fail(errno.EINVAL)
            self.names.bind_abstract(self, name)
            self.name = name
            return
        name = name.split(b"\0", 1)[0]
        if self.name:
            self.names.check_free(process, name)
            raise fail(errno.EINVAL)
        self.place = self.names.make(process, self, name)
        self.name = name

    def autobind(self) -> None:
        """Take a free abstract name, unless the socket has a name (unix_autobind)."""
        if not self.name:
            self.name = self.names.autobind(self, self.host.world)

    def find(self, name: bytes, process: Process | None = None) -> UnixSocket:
        """The socket of our type that answers to `name`; errors as `UnixNames.find`."""
        caller = process or self.host.world.current().process
        return self.names.find(name, self.type, caller if isinstance(caller, Process) else None)

    def getsockname(self) -> SockAddr:
        """The name it is bound to; empty when it is not (unix_getname)."""
        return AF_UNIX, self.name

    def getpeername(self) -> SockAddr:
        """The name of the peer, also of one that was closed; ENOTCONN without one."""
        if self.peer is None:
            raise fail(errno.ENOTCONN)
        return AF_UNIX, self.peer.name

    # -- connections --

    def pair(self, other: UnixSocket, process: Process) -> None:
        """Connect two new sockets back to back (unix_socketpair)."""
        for one, two in ((self, other), (other, self)):
            one.peer = two
            one.state = ESTABLISHED
            one.credentials = (process.pid, process.euid, process.egid)

    def listen(self, process: Process, backlog: int) -> None:
        """Accept connections; one more than `backlog` of them may wait (unix_listen).

        EOPNOTSUPP for a datagram socket; EINVAL when it has no name or is connected.
        """
        if self.type == SOCK_DGRAM:
            raise fail(errno.EOPNOTSUPP)
        if not self.name or self.state not in (CLOSED, LISTEN):
            raise fail(errno.EINVAL)
        somaxconn = self.host.settings.somaxconn
        limit = backlog if 0 <= backlog <= somaxconn else somaxconn  # __sys_listen: compared as unsigned
        more = limit > self.backlog
        self.backlog = limit
        self.state = LISTEN
        self.credentials = (process.pid, process.euid, process.egid)
        if more:
            self._wake_peers(ANY_EVENT)

    def connect(self, process: Process, address: SockAddr, deadline: int | None = None) -> None:
        """Connect to the socket of that name (unix_stream_connect, unix_dgram_connect).

        A stream's connection is made at once, before it is accepted. ENOENT, ECONNREFUSED, EPROTOTYPE, EACCES, EISCONN,
        EINVAL; EAGAIN when the backlog is full and the call may not wait; EPERM when a datagram socket is connected
        to another. AF_UNSPEC disconnects a datagram socket.
        """
        if self.type == SOCK_DGRAM:
            self._connect_dgram(process, address)
            return
        name = self.checked_name(address)
        if self.passcred:
            self.autobind()
        limit = self.send_limit(0, deadline)
        while True:
            listener = self.find(name, process)
            if listener.state != LISTEN or listener.shut & RCV_SHUTDOWN:
                raise fail(errno.ECONNREFUSED)
            if not listener.queue_full():
                break
            if limit is not None and limit <= self.host.world.now:
                raise fail(errno.EAGAIN)
            self.wait_for_peer(listener, limit, "connect")
        if self.state != CLOSED:
            raise fail(errno.EISCONN if self.state == ESTABLISHED else errno.EINVAL)
        self._join(listener, process)

    def _join(self, listener: UnixSocket, process: Process) -> None:
        """Make the other end of the connection and queue it at the listener."""
        new = UnixSocket(self.host, self.type)
        new.peer = self
        new.state = ESTABLISHED
        new.credentials = (process.pid, process.euid, process.egid)
        new.listener = listener
        new.name = listener.name
        new.place = listener.place
        self.credentials = listener.credentials
        self.state = ESTABLISHED
        self.peer = new
        listener.pending.append(new)
        listener.wake(_DATA)

    def _connect_dgram(self, process: Process, address: SockAddr) -> None:
        other: UnixSocket | None = None
        if address[0] != 0:
            name = self.checked_name(address)
            if self.passcred:
                self.autobind()
            other = self.find(name, process)
            if other.peer is not None and other.peer is not self:
                raise fail(errno.EPERM)
            self.state = ESTABLISHED
            other.state = ESTABLISHED
        old = self.peer
        self.peer = other
        if old is None:
            return
        if other is None:
            self.state = CLOSED
        self.no_relay_from(old)
        self.wake(_OUT)
        if other is not old:
            self.disconnected_from(old)
            if old.peer is None:
                old.state = CLOSED

    def disconnected_from(self, old: UnixSocket) -> None:
        """What was received from the former peer is thrown away, and it hears of that (unix_dgram_disconnected)."""
        if not self.queue:
            return
        self._flush()
        self._wake_peers(ANY_EVENT)
        if not old.dead and old.peer is self:
            old.error = errno.ECONNRESET
            old.wake(POLLERR)

    def accept(self, deadline: int | None = None) -> tuple[SocketFile, SockAddr]:
        """The first connection that waits, and the name of its other end (unix_accept). EOPNOTSUPP, EINVAL, EAGAIN."""
        if self.type == SOCK_DGRAM:
            raise fail(errno.EOPNOTSUPP)
        if self.state != LISTEN:
            raise fail(errno.EINVAL)
        limit = self.receive_limit(0, deadline)
        while not self.pending:
            if limit is not None and limit <= self.host.world.now:
                raise fail(errno.EAGAIN)
            if self.shut & RCV_SHUTDOWN:
                raise fail(errno.EINVAL)
            wait_for(self.host.world, self, _IN, limit, "accept")
        new = self.pending.popleft()
        new.listener = None
        new.passcred = self.passcred
        self._wake_peers(ANY_EVENT)
        return new, (AF_UNIX, new.peer.name if new.peer is not None else b"")

    def shutdown(self, how: int) -> None:
        """Close one direction or both, here and in mirror image at the peer of a connection (unix_shutdown). EINVAL."""
        if not 0 <= how <= 2:
            raise fail(errno.EINVAL)
        mode = how + 1
        self.shut |= mode
        self.wake(ANY_EVENT)
        peer = self.peer
        if peer is not None and self.type != SOCK_DGRAM:
            peer.shut |= (mode & RCV_SHUTDOWN) << 1 | mode >> 1
            peer.wake(ANY_EVENT)

    def release(self) -> None:
        """Close the socket: the peer reads what is left, and then the end or ECONNRESET if we left data unread."""
        # An urgent byte that was read, and is still there for its place, is not unread data (unix_release_sock, 6.16).
        self._release(len(self.queue) > 1 or (bool(self.queue) and self.queue[0].start < len(self.queue[0].data)))

    def _release(self, reset: bool) -> None:
        self.names.forget(self)
        self.dead = True
        self.shut = SHUTDOWN_BOTH
        self.state = CLOSED
        peer = self.peer
        self.peer = None
        self.oob = None
        self._wake_peers(ANY_EVENT)
        if peer is not None:
            if self.type != SOCK_DGRAM:
                peer.shut = SHUTDOWN_BOTH
                if reset:
                    peer.error = errno.ECONNRESET
                peer.wake(ANY_EVENT)
            self.no_relay_from(peer)
        while self.pending:
            self.pending.popleft()._release(True)
        self._flush()
        if self.names.in_flight:
            unix_gc.collect(self.names)

    def _flush(self) -> None:
        while self.queue:
            self.discard(self.queue.popleft())

    def discard(self, message: Message) -> None:
        """Throw away a message that has left the queue unread."""
        files = message.files
        if files is not None:
            unix_gc.landed(self.names, self, files)
            drop_files(files)
        message.sender.uncharge(message.truesize)

    # -- data --

    def send(
        self, data: Payload, flags: int = 0, address: SockAddr | None = None, deadline: int | None = None
    ) -> int:
        """Send `data` to the peer or to `address`: the number of bytes taken; errors as unix_stream and unix_dgram."""
        if self.type == SOCK_STREAM:
            return unix_stream.send(self, data, flags, address, deadline, None, None)
        self._check_connected()
        return unix_dgram.send(self, data, flags, address, deadline, None, None)

    def sendmsg(
        self,
        process: Process,
        data: Payload,
        ancillary: list[Ancillary],
        flags: int = 0,
        address: SockAddr | None = None,
        deadline: int | None = None,
    ) -> int:
        """As `send`, with SCM_RIGHTS and SCM_CREDENTIALS. EBADF, EINVAL, EPERM, ESRCH for what is wrong with those."""
        self._check_connected()
        call = unix_stream.send if self.type == SOCK_STREAM else unix_dgram.send
        files, credentials = parse_ancillary(process, ancillary)
        try:
            return call(self, data, flags, address, deadline, files, credentials)
        finally:
            drop_files(files)  # what the message has not taken over

    def _check_connected(self) -> None:
        """Sequenced packets look at their connection before all else (unix_seqpacket_sendmsg)."""
        if self.type == SOCK_SEQPACKET:
            error = self.take_error()
            if error or self.state != ESTABLISHED:
                raise fail(error or errno.ENOTCONN)

    def _receive(self, length: int, flags: int, deadline: int | None) -> Taken:
        if self.type == SOCK_STREAM:
            return unix_stream.receive(self, length, flags, deadline)
        return unix_dgram.receive(self, length, flags, deadline)

    def recv(self, length: int, flags: int = 0, deadline: int | None = None) -> Received:
        """Receive: data, the sender's name (None when it has none), MSG_* flags; errors as in unix_stream."""
        data, sender, out, credentials, files = self._receive(length, flags, deadline)
        if files is not None or self._shown(sender, out, credentials) is not None:
            out |= MSG_CTRUNC
            drop_files(files)
        return data, _name_of(sender), out

    def recv_data(self, length: int, flags: int = 0, deadline: int | None = None) -> bytes:
        """Receive the data alone."""
        taken = self._receive(length, flags, deadline)
        if taken[4] is not None:
            drop_files(taken[4])
        return taken[0]

    def recvmsg(
        self, process: Process, length: int, ancillary_length: int, flags: int = 0, deadline: int | None = None
    ) -> tuple[bytes, list[Ancillary], int, SockAddr | None]:
        """As `recv`, with control messages: SCM_CREDENTIALS when SO_PASSCRED is set, then SCM_RIGHTS."""
        data, sender, out, credentials, files = self._receive(length, flags, deadline)
        credentials = self._shown(sender, out, credentials)
        if credentials is None and files is None:
            return data, [], out, _name_of(sender)
        answer, more = make_ancillary(process, ancillary_length, flags, credentials, files)
        return data, answer, out | more, _name_of(sender)

    def _shown(self, sender: UnixSocket | None, out: int, credentials: Credentials | None) -> Credentials | None:
        """The credentials that a receiver with SO_PASSCRED is shown."""
        if not self.passcred or (sender is None and (out & MSG_OOB or self.type != SOCK_STREAM)):
            return None
        if sender is None:  # the end of a stream: an empty scm_cookie
            return 0, 0, 0
        return credentials or NOBODY

    def deliver(self, other: UnixSocket, message: Message) -> None:
        """Queue a message of ours at its receiver and charge us for it."""
        if message.credentials is None and (self.passcred or other.passcred or other.listener is not None):
            # maybe_add_creds: one end wants them, or the receiver has not been accepted and may come to want them.
            caller = self.host.world.current().process
            if isinstance(caller, Process):
                message.credentials = (caller.pid, caller.uid, caller.gid)
        self.wmem += message.truesize
        other.queue.append(message)
        other.wake(_DATA)

    def uncharge(self, truesize: int) -> None:
        """A message of ours is gone; writers are woken when three quarters are free (unix_write_space)."""
        self.wmem -= truesize
        if self.waiters and (self.wmem + 2) << 2 <= self.sndbuf and self.state != LISTEN:
            self.wake(_OUT)

    def wait_for_room(self, flags: int, deadline: int | None, call: str) -> int:
        """Wait until a message can be charged: 0, or the errno that ends the call (sock_alloc_send_pskb)."""
        limit: int | None = 0
        first = True
        while True:
            if self.error:
                return self.take_error()
            if self.shut & SEND_SHUTDOWN:
                return errno.EPIPE
            if self.wmem < self.sndbuf:
                return 0
            if first:
                limit = self.send_limit(flags, deadline)
                first = False
            if not wait_for(self.host.world, self, _OUT, limit, call):
                return errno.EAGAIN

    def wait_readable(self, flags: int, deadline: int | None, call: str) -> bool:
        """Wait until something may be read; False when the call may not wait, or no longer."""
        limit = self.receive_limit(flags, deadline)
        return wait_for(self.host.world, self, _IN, limit, call)

    def receive_limit(self, flags: int, deadline: int | None) -> int | None:
        """Until when a receiving call may wait: `deadline`, else as MSG_DONTWAIT, O_NONBLOCK and SO_RCVTIMEO say."""
        return self.wait_limit(self.rcvtimeo, flags, deadline)

    def send_limit(self, flags: int, deadline: int | None) -> int | None:
        """Until when a sending call may wait: `deadline`, else as MSG_DONTWAIT, O_NONBLOCK and SO_SNDTIMEO say."""
        return self.wait_limit(self.sndtimeo, flags, deadline)

    # -- who waits for room in whose queue --

    def queue_full(self) -> bool:
        """Whether more wait than the backlog, of connections or of datagrams (unix_recvq_full)."""
        return len(self.pending if self.state == LISTEN else self.queue) > self.backlog

    def wait_for_peer(self, other: UnixSocket, limit: int | None, call: str) -> None:
        """Wait until `other` has made room, or is shut down or closed, or `limit` has come (unix_wait_for_peer)."""
        if other.peer_wait is None:
            other.peer_wait = PeerWait(other)
        world = self.host.world
        self.references += 1
        try:
            wait_for(world, other.peer_wait, _OUT, limit, call)
        finally:
            unhold(world, self)

    def room_made(self) -> None:
        """A datagram has left our queue."""
        self._wake_peers(_OUT)

    def relay_from(self, other: UnixSocket) -> bool:
        """Hear of room in the queue of `other`, to which we are connected but it not to us; False if there is room.

        unix_dgram_peer_wake_me: one association at a time.
        """
        if self.relay is None:
            self.relay = other
            other.relays[self] = None
        if other.queue_full() and not other.dead:
            return True
        self.no_relay_from(other)
        return False

    def no_relay_from(self, other: UnixSocket) -> None:
        """Hear of it no more."""
        if self.relay is other:
            self.relay = None
            other.relays.pop(self, None)

    def _wake_peers(self, events: int) -> None:
        if self.relays:
            relays, self.relays = self.relays, {}
            for socket in reversed(relays):  # add_wait_queue: the newest first
                socket.relay = None
                socket.wake(events)
        if self.peer_wait is not None:
            self.peer_wait.wake(events)

    # -- state --

    def take_error(self) -> int:
        """The pending error, which is then none (sock_error)."""
        error = self.error
        self.error = 0
        return error

    def poll(self) -> int:
        """What is true now: unix_poll for streams, unix_dgram_poll for the others."""
        shut = self.shut
        mask = POLLERR if self.error else 0
        if shut & RCV_SHUTDOWN:
            mask |= POLLRDHUP | _IN
            if shut == SHUTDOWN_BOTH:
                mask |= POLLHUP
        if self.queue or self.pending:
            mask |= _IN
        if self.oob is not None:
            mask |= POLLPRI
        if self.state == CLOSED and self.type != SOCK_DGRAM:
            mask |= POLLHUP
        if self.state == LISTEN or (self.wmem + 1) << 2 > self.sndbuf:
            return mask
        if self.type == SOCK_STREAM or not self._flow_controlled():
            mask |= _OUT
        return mask

    def _flow_controlled(self) -> bool:
        peer = self.peer
        return peer is not None and peer.peer is not self and peer.queue_full() and self.relay_from(peer)

    def describe(self) -> str:
        """`unix stream /run/x.sock`."""
        kind = f"unix {_TYPE_NAMES[self.type]}"
        name = self.name or (self.peer.name if self.peer is not None else b"")
        return f"{kind} {name.replace(bytes(1), b'@').decode(errors='backslashreplace')}" if name else kind

    def ioctl_inq(self) -> int:
        """Bytes that wait, of the first datagram alone for a datagram socket (unix_inq_len). EINVAL for a listener."""
        if self.state == LISTEN:
            raise fail(errno.EINVAL)
        if self.type == SOCK_STREAM:
            return self.inq  # since 6.17 a count that is kept, in which an urgent byte that was passed over stays
        if self.type == SOCK_DGRAM:
            return len(self.queue[0].data) if self.queue else 0
        return sum(len(message.data) - message.start for message in self.queue)

    def ioctl_outq(self) -> int:
        """What is charged for messages not read yet, overhead included (unix_outq_len)."""
        return self.wmem

    def ioctl_atmark(self) -> int:
        """SIOCATMARK: 1 when the urgent byte, or its place, is what comes next. EOPNOTSUPP but for a stream."""
        if self.type != SOCK_STREAM:
            raise fail(errno.EOPNOTSUPP)
        queue = self.queue
        if not queue:
            return int(bool(self.pending))  # a connection that waits is an empty message
        if queue[0] is self.oob:
            return 1
        following = queue[1] if len(queue) > 1 else None
        spent = queue[0].start == len(queue[0].data)
        return int(spent and (self.oob is None or following is self.oob))

    # -- options --

    def getsockopt(self, level: int, name: int, length: int) -> bytes:
        """An option of level SOL_SOCKET (socket(7)); EOPNOTSUPP for another level, ENOPROTOOPT for an unknown one."""
        if level != SOL_SOCKET:
            raise fail(errno.EOPNOTSUPP)
        return unix_options.get_option(self, name)[:length]

    def setsockopt(self, process: Process, level: int, name: int, value: bytes) -> None:
        """Set an option of level SOL_SOCKET (socket(7)). EOPNOTSUPP, ENOPROTOOPT, EINVAL, EPERM, EDOM."""
        if level != SOL_SOCKET:
            raise fail(errno.EOPNOTSUPP)
        unix_options.set_option(self, process, name, value)


def _name_of(sender: UnixSocket | None) -> SockAddr | None:
    return (AF_UNIX, sender.name) if sender is not None and sender.name else None
