"""TCP sockets (tcp(7); net/ipv4/af_inet.c, net/ipv4/tcp.c): the calls of a program, and where they wait."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from portside.addr.abi import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    MSG_FASTOPEN,
    MSG_MORE,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    MSG_WAITALL,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    RCV_SHUTDOWN,
    SECOND,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
    SOCK_STREAM,
)
from portside.addr.ip import V4_LOOPBACK, V6_ANY, V6_LOOPBACK, is_any, is_multicast, is_v4, needs_scope
from portside.facts.sockaddr import SockAddr
from portside.facts.state import CLOSE_WAIT, CLOSED, ESTABLISHED, LISTEN, SYN_RECEIVED, SYN_SENT
from portside.facts.verdict import Verdict
from portside.host import socket_control
from portside.host.errors import fail
from portside.host.inet_socket import IP_MAX_MTU, InetSocket, describe, refuse
from portside.host.options import DEFAULTS, SO_OOBINLINE, SOL_SOCKET
from portside.host.processes import broken_pipe
from portside.host.socket_file import MIN_RCVBUF, MIN_SNDBUF, Ancillary, Received
from portside.host.tcp_options import TCP_OPTIONS
from portside.host.waiting import wait_for
from portside.ip.route import BROADCAST, MULTICAST, Route
from portside.sockets import bind as bind_rules
from portside.sockets import connect as connect_rules
from portside.tcp import calls, listen, timewait, urgent
from portside.tcp.calls import receive as tcp_receive
from portside.tcp.calls import send as tcp_send
from portside.tcp.timewait import TimeWait
from portside.wire.packet import Payload

if TYPE_CHECKING:
    from portside.host.kernel import Host
    from portside.host.processes import Process
    from portside.host.stack import Connection, Stack

# socket_state of <linux/net.h>: what connect(2) goes by, besides the state of TCP.
UNCONNECTED: Final = 1
CONNECTING: Final = 2
CONNECTED: Final = 3
DISCONNECTING: Final = 4

OPENING: Final = (SYN_SENT, SYN_RECEIVED)


class TcpSocket(InetSocket):
    """A TCP socket that a program holds. `tcb` is its connection, `phase` the socket_state of Linux."""

    __slots__ = ("phase", "stack", "tcb")

    stack: Stack
    tcb: Connection
    level = IPPROTO_TCP
    level_options = TCP_OPTIONS

    def __init__(self, host: Host, family: int, uid: int, tcb: Connection | None = None) -> None:
        stack: Stack = host.stack
        if tcb is None:
            tcb = stack.new_connection(self)
            tcb.entry = stack.tcp.open(family, uid, tcb)
            self.phase = UNCONNECTED
        else:
            self.phase = CONNECTED
            tcb.owner = self
        super().__init__(host, family, SOCK_STREAM, IPPROTO_TCP, tcb.entry)
        self.stack = stack
        self.tcb = tcb

    # -- names --

    def bind(self, process: Process, address: SockAddr) -> None:
        """Give the socket an address and a port, any free one for port 0 (bind(2))."""
        value, port, scope = self.target(address)
        verdict = self.stack.bind(process, self.entry, value, port, scope)
        if not verdict:
            raise refuse(verdict)
        self.tcb.route = None
        if self.family == AF_INET:
            self.tcb.raddr = 0  # the last peer is forgotten; inet6_bind() does not

    def getsockname(self) -> SockAddr:
        """The local address: where it listens, or the source it sends from (inet_getname)."""
        entry = self.entry
        address = entry.saddr if is_any(entry.laddr) else entry.laddr
        return self.sockaddr(address, entry.sport)

    def getpeername(self) -> SockAddr:
        """The peer's address; ENOTCONN before the handshake is done and after the end (inet_getname)."""
        entry = self.entry
        if not entry.rport or self.tcb.state in (CLOSED, SYN_SENT):
            raise fail(errno.ENOTCONN)
        return self.sockaddr(entry.raddr, entry.rport)

    # -- passive open --

    def listen(self, process: Process, backlog: int) -> None:
        """Begin to listen, or change the backlog (inet_listen). EINVAL when connected, EADDRINUSE (listen(2))."""
        tcb = self.tcb
        if self.phase != UNCONNECTED or tcb.state not in (CLOSED, LISTEN):
            raise fail(errno.EINVAL)
        if tcb.state == LISTEN:
            assert tcb.listener is not None
            listen.set_backlog(tcb.listener, backlog)
            return
        verdict = bind_rules.listen(self.stack.tcp, self.entry, self.stack.ports)
        if not verdict:
            raise refuse(verdict)
        tcb.lport = self.entry.lport
        tcb.laddr = self.entry.laddr
        listen.open_passive(tcb, backlog, self.host.world.now)

    def accept(self, deadline: int | None = None) -> tuple[TcpSocket, SockAddr]:
        """Take the connection that waits longest (inet_csk_accept). EINVAL when not listening, EAGAIN."""
        limit = self.read_limit(0, deadline)
        while True:
            tcb = self.tcb
            if tcb.state != LISTEN:
                raise fail(errno.EINVAL)
            assert tcb.listener is not None
            child = listen.accept(tcb.listener)
            if child is not None:
                break
            if not self.wait(POLLIN, limit, "accept"):
                raise fail(errno.EAGAIN)
        connection: Connection = child  # type: ignore[assignment]
        file = TcpSocket(self.host, self.family, 0, connection)
        if self.knobs is not DEFAULTS:
            file.knobs = self.knobs.copy()
        entry = file.entry
        return file, file.sockaddr(entry.raddr, entry.rport)

    # -- active open --

    def connect(self, process: Process, address: SockAddr, deadline: int | None = None) -> None:
        """Connect (inet_stream_connect): waits for the handshake, or says EINPROGRESS, EALREADY, EISCONN.

        ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH ...: how the attempt ended. ENETUNREACH, EADDRNOTAVAIL ...: it never
        began.
        """
        if address[0] == AF_UNSPEC:
            self._disconnect()
            return
        number = self._connect(address, self.write_limit(0, deadline))
        if number:
            raise fail(number)

    def begin_to_connect(self, address: SockAddr) -> int:
        """As `connect`, without waiting: the errno of what is under way or has failed at once; 0: it is connected."""
        return self._connect(address, self.host.world.now)

    def _connect(self, address: SockAddr | None, limit: int | None) -> int:
        """Connect, waiting until `limit`: an errno, or 0. What keeps the attempt from beginning is raised."""
        tcb = self.tcb
        if self.phase == CONNECTED:
            return errno.EISCONN
        if self.phase == CONNECTING:
            verdict = errno.EALREADY
        elif self.phase == DISCONNECTING:
            return errno.EINVAL
        else:
            if tcb.state != CLOSED:
                return errno.EISCONN
            assert address is not None
            self._open(address)
            self.phase = CONNECTING
            verdict = errno.EINPROGRESS
        if tcb.state in OPENING and not self._wait_for_handshake(limit):
            return verdict
        if tcb.state == CLOSED:
            number = calls.take_error(tcb) or errno.ECONNABORTED
            self.phase = UNCONNECTED
            self._to_unconnected()
            return number
        self.phase = CONNECTED
        return 0

    def _wait_for_handshake(self, limit: int | None) -> bool:
        """Send what there is to send, and wait for the handshake's end; False when `limit` came first."""
        too_late = limit is not None and limit <= self.host.world.now
        self.stack.settle()
        while not too_late and self.tcb.state in OPENING:
            too_late = not self.wait(POLLOUT, limit, "connect")
        return not too_late

    def _open(self, address: SockAddr) -> None:
        """Find route, source and port, and send the SYN (tcp_v4_connect, tcp_v6_connect)."""
        remote, port, scope = self._destination(address)
        stack, entry, tcb = self.stack, self.entry, self.tcb
        mixed = is_v4(entry.saddr) != is_v4(remote) and entry.saddr != V6_ANY
        source = V6_ANY if mixed or entry.transparent else entry.saddr
        if scope and needs_scope(remote):
            stack.tcp.set_device(entry, scope)  # and so it stays, whatever becomes of the connection
        route = stack.ip.lookup(remote, source, entry.device)
        if isinstance(route, Verdict):
            raise refuse(route)
        if mixed and not is_v4(remote):
            raise fail(errno.EAFNOSUPPORT)  # ip6_dst_lookup_tail asks this after the route
        if route.kind in (BROADCAST, MULTICAST):
            raise fail(errno.ENETUNREACH)
        tcb.raddr = route.dst  # and LISTEN shows it later, even if there is no port for it
        now = self.host.world.now
        verdict = connect_rules.connect(
            stack.tcp, entry, route.dst, port, route.src, now, stack.ports, stack.reusable_at
        )
        if not verdict:
            raise refuse(verdict)
        self._set_path(route)
        tcb.ts_offset = stack.timestamp_offset(tcb)
        isn = stack.new_isn(tcb)
        if verdict.because:
            heir = verdict.because[0].owner  # type: ignore[attr-defined]
            assert isinstance(heir, TimeWait)
            isn = timewait.succeed(tcb, heir, now)
        entry.owner = tcb
        calls.open_active(tcb, now, isn)

    def _set_path(self, route: Route) -> None:
        tcb, entry = self.tcb, self.entry
        if self.family == AF_INET6:
            tcb.mapped |= is_v4(route.dst)
        tcb.route = None if tcb.mapped and not is_v4(route.dst) else route
        tcb.path_mtu = route.mtu
        tcb.replaced = False
        tcb.laddr, tcb.lport = entry.saddr, entry.lport
        tcb.raddr, tcb.rport = entry.raddr, entry.rport
        self.stack.mark(tcb, self.knobs)

    def _destination(self, address: SockAddr) -> tuple[int, int, int]:
        """Where a destination leads: the wildcard is this host's loopback (tcp_v6_connect)."""
        remote, port, scope = self.target(address)
        if self.family == AF_INET:
            return self.this_host(remote), port, 0
        if address[0] != AF_INET6:
            raise fail(errno.EAFNOSUPPORT)
        entry = self.entry
        mapped = is_v4(entry.laddr)
        if remote == 0:
            remote = V4_LOOPBACK if mapped else V6_LOOPBACK
        if is_multicast(remote) and not is_v4(remote):
            raise fail(errno.ENETUNREACH)
        if is_v4(remote):
            self.tcb.raddr = remote
            if entry.v6only:
                raise fail(errno.ENETUNREACH)
            return self.this_host(remote), port, 0
        if needs_scope(remote):
            if entry.device and scope and scope != entry.device:
                raise fail(errno.EINVAL)
            scope = scope or entry.device
            if not scope:
                raise fail(errno.EINVAL)
        self.tcb.raddr = remote  # and LISTEN shows it later, even if there is no way to it
        return remote, port, scope

    def _disconnect(self) -> None:
        """connect(2) with AF_UNSPEC (tcp_disconnect): the connection is reset, the socket is as new."""
        tcb = self.tcb
        if tcb.state == LISTEN:
            self._stop_listening()
        else:
            calls.disconnect(tcb, self.host.world.now)
            self._to_unconnected()
        self.phase = UNCONNECTED
        self.stack.settle()
        self.wake(-1)

    def _to_unconnected(self) -> None:
        """The address and port that connect(2) chose are given back."""
        tcb = self.tcb
        if tcb.state != CLOSED or tcb.iss:
            calls.disconnect(tcb, self.host.world.now)
        connect_rules.disconnect(self.stack.tcp, self.entry)
        tcb.route = None
        self.stack.settle()

    # -- data --

    def send(
        self, data: Payload, flags: int = 0, address: SockAddr | None = None, deadline: int | None = None
    ) -> int:
        """Send, waiting for room in the send buffer until all is taken (tcp_sendmsg).

        A `deadline` that passes, or O_NONBLOCK, gives the number taken so far, or EAGAIN for none. EPIPE after SHUT_WR
        or the end of the connection; ECONNRESET and its neighbours when that was not yet told. With MSG_OOB the last
        byte is urgent.
        """
        stack = self.stack
        if flags & MSG_FASTOPEN:
            self._fast_open(flags, address, deadline)
        call = calls.send_urgent if flags & MSG_OOB else tcp_send
        taken = call(self.tcb, data, stack.world.now, bool(flags & MSG_MORE))
        if stack.ip.backlog:
            stack.ip.run_backlog()
        if taken == len(data) and (taken or self.tcb.state not in OPENING):
            return taken
        return self._send_rest(data, taken, flags, deadline)

    def sendmsg(
        self, process: Process, data: Payload, ancillary: list[Ancillary], flags: int = 0,
        address: SockAddr | None = None, deadline: int | None = None,
    ) -> int:  # fmt: skip
        """As `send`, with control messages, which have no effect: EINVAL for what is wrong with them, EPERM."""
        if ancillary and self.tcb.state in (ESTABLISHED, CLOSE_WAIT):
            socket_control.check_all(process, ancillary)
        return self.send(data, flags, address, deadline)

    def _fast_open(self, flags: int, address: SockAddr | None, deadline: int | None) -> None:
        """MSG_FASTOPEN connects before it sends: without a cookie, in the usual way (tcp_sendmsg_fastopen)."""
        if address is not None and address[0] == AF_UNSPEC:
            raise fail(errno.EOPNOTSUPP)
        if address is None and self.phase == UNCONNECTED and self.tcb.state == CLOSED:
            raise fail(errno.EINVAL)
        number = self._connect(address, self.write_limit(flags, deadline))
        if number:
            raise fail(number)

    def _send_rest(self, data: Payload, taken: int, flags: int, deadline: int | None) -> int:
        if taken < 0:
            raise self._refused(-taken, flags)
        stack, world = self.stack, self.host.world
        limit = self.write_limit(flags, deadline)
        view = memoryview(data)
        call = calls.send_urgent if flags & MSG_OOB else tcp_send
        while taken < len(view) or self.tcb.state in OPENING:
            if (limit is not None and limit <= world.now) or not self.wait(POLLOUT, limit, "send"):
                if not taken:
                    raise fail(errno.EAGAIN)
                break
            more = call(self.tcb, view[taken:], world.now, bool(flags & MSG_MORE))
            stack.settle()
            if more < 0:
                return self._broken_off(taken, -more, flags)
            taken += more
        return taken

    def _refused(self, number: int, flags: int) -> OSError:
        """What a send fails with; EPIPE comes with a signal (sk_stream_error)."""
        return broken_pipe(self.host.world, flags) if number == errno.EPIPE else fail(number)

    def _broken_off(self, taken: int, number: int, flags: int) -> int:
        """An error after a part was taken: the part is the answer, the error is for the next call (do_error)."""
        if not taken:
            raise self._refused(number, flags)
        if number != errno.EPIPE:
            self.tcb.error = number
        return taken

    def recv_data(self, length: int, flags: int = 0, deadline: int | None = None) -> bytes:
        """Receive what is there, up to `length` bytes, waiting for the first of it (tcp_recvmsg)."""
        if flags & ~MSG_DONTWAIT:
            return self._recv_with_flags(length, flags, deadline)
        stack = self.stack
        data = tcp_receive(self.tcb, length, stack.world.now)
        if stack.ip.backlog:
            stack.ip.run_backlog()
        if data.__class__ is bytes:
            return data
        if data is None and not self.nonblocking and not flags and deadline is None and self.knobs is DEFAULTS:
            # It waits, for ever if need be: three calls fewer than by way of `_recv_later`, of a round trip's 50.
            world = self.host.world
            while data is None:
                wait_for(world, self, POLLIN | POLLRDHUP, None, "recv")
                data = tcp_receive(self.tcb, length, world.now)
                if stack.ip.backlog:
                    stack.ip.run_backlog()
            if data.__class__ is bytes:
                return data
        return self._recv_later(length, False, data, self.read_limit(flags, deadline))  # type: ignore[arg-type]

    def recv(self, length: int, flags: int = 0, deadline: int | None = None) -> Received:
        """As `recv_data`; a stream tells no sender."""
        data = self.recv_data(length, flags, deadline)
        return data, None, MSG_OOB if flags & MSG_OOB and data else 0

    def _recv_later(self, length: int, peek: bool, answer: int | None, limit: int | None) -> bytes:
        """Nothing was there: fail, or wait and look again."""
        world = self.host.world
        while True:
            if isinstance(answer, int):
                raise fail(-answer)
            if (limit is not None and limit <= world.now) or not self.wait(POLLIN | POLLRDHUP, limit, "recv"):
                raise fail(errno.EAGAIN)
            data = tcp_receive(self.tcb, length, world.now, peek)
            self.stack.settle()
            if isinstance(data, bytes):
                return data
            answer = data

    def _recv_with_flags(self, length: int, flags: int, deadline: int | None) -> bytes:
        if flags & MSG_ERRQUEUE:
            raise fail(errno.EAGAIN)
        if self.tcb.state == LISTEN:
            raise fail(errno.ENOTCONN)
        peek = bool(flags & MSG_PEEK)
        if flags & MSG_OOB:
            byte = urgent.read(self.tcb, length, peek)
            if isinstance(byte, int):
                raise fail(-byte)
            return byte
        limit = self.read_limit(flags, deadline)
        if flags & MSG_WAITALL:
            data = self._recv_all(length, peek, limit)
        else:
            now = tcp_receive(self.tcb, length, self.host.world.now, peek)
            self.stack.settle()
            data = now if isinstance(now, bytes) else self._recv_later(length, peek, now, limit)
        # MSG_TRUNC throws the bytes away instead of copying them; only their number is told (tcp(7)).
        return bytes(len(data)) if flags & MSG_TRUNC else data

    def _recv_all(self, length: int, peek: bool, limit: int | None) -> bytes:
        """MSG_WAITALL: wait until all is there, the stream ends or fails, or the time is over."""
        parts: list[bytes] = []
        wanted = length
        world = self.host.world
        while True:
            data = tcp_receive(self.tcb, wanted, world.now, peek)
            self.stack.settle()
            if isinstance(data, int):
                if not parts:
                    raise fail(-data)
                self.tcb.error = self.tcb.error or (-data if -data != errno.ENOTCONN else 0)
                break
            if data is not None:
                parts = [data] if peek else [*parts, data]
                wanted -= 0 if peek else len(data)
                if not data or wanted <= 0 or (peek and len(data) >= length):
                    break
                if self.tcb.shutdown & RCV_SHUTDOWN:
                    break  # the end of the stream comes next: it is for the next call to tell
            if (limit is not None and limit <= world.now) or not self.wait(POLLIN | POLLRDHUP, limit, "recv"):
                if not parts:
                    raise fail(errno.EAGAIN)
                break
        return b"".join(parts)

    # -- the end --

    def shutdown(self, how: int) -> None:
        """Close one direction or both (inet_shutdown). EINVAL, ENOTCONN."""
        if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
            raise fail(errno.EINVAL)
        tcb = self.tcb
        if self.phase == CONNECTING:
            self.phase = DISCONNECTING if tcb.state in (SYN_SENT, SYN_RECEIVED, CLOSED) else CONNECTED
        if tcb.state == LISTEN:
            if how != SHUT_WR:
                self._stop_listening()
                self.phase = UNCONNECTED
            error = 0
        elif tcb.state == SYN_SENT:
            calls.disconnect(tcb, self.host.world.now)
            connect_rules.disconnect(self.stack.tcp, self.entry)
            self.phase = UNCONNECTED
            error = 0
        else:
            error = calls.shutdown(tcb, how, self.host.world.now)
        self.stack.settle()
        self.wake(-1)
        if error:
            raise fail(-error)

    def _stop_listening(self) -> None:
        assert self.tcb.listener is not None
        listen.close(self.tcb.listener, self.host.world.now)
        calls.disconnect(self.tcb, self.host.world.now)
        connect_rules.disconnect(self.stack.tcp, self.entry)

    def adopted(self, process: Process) -> None:
        """accept(2) gave the connection to a process: it is that user's from now on (sock_graft)."""
        if self.entry.uid != process.fsuid:
            self.entry.uid = process.fsuid
            self.option_changed()

    def release(self) -> None:
        """close(2): the connection closes in order, or is reset; with SO_LINGER the call waits (tcp_close)."""
        tcb, stack = self.tcb, self.stack
        if tcb.state == LISTEN:
            assert tcb.listener is not None
            listen.close(tcb.listener, self.host.world.now)
        else:
            calls.close(tcb, self.host.world.now)
        if tcb.state == CLOSED and not tcb.replaced:
            stack.tcp.remove(self.entry)
        stack.settle()
        if tcb.linger and calls.lingering(tcb):
            self._linger(tcb.linger)
        if tcb.state == CLOSED and tcb.owner is not None:
            stack.part(tcb)

    def _linger(self, seconds: int) -> None:
        """SO_LINGER: wait until all is acknowledged or the time is over. A process that exits does not wait."""
        task = self.host.world.current()
        if not getattr(task.process, "alive", False):
            return
        limit = self.host.world.now + seconds * SECOND
        self.references += 1
        while calls.lingering(self.tcb) and self.wait(POLLHUP, limit, "close"):
            pass

    # -- what is true --

    def poll(self) -> int:
        """The events that are true now (tcp_poll)."""
        tcb = self.tcb
        if tcb.state == LISTEN:
            assert tcb.listener is not None
            return listen.poll(tcb.listener)
        return calls.poll(tcb)

    def describe(self) -> str:
        """`tcp 10.0.0.1:80 LISTEN`."""
        return describe(self.entry)

    @property
    def listening(self) -> bool:
        """Whether the socket is in LISTEN: SO_ACCEPTCONN."""
        return self.tcb.state == LISTEN

    # -- options --

    def take_error(self) -> int:
        """SO_ERROR: the pending error, else the soft one; either is then forgotten (sk_getsockopt)."""
        tcb = self.tcb
        number = calls.take_error(tcb)
        if not number:
            number, tcb.soft_error = tcb.soft_error, 0
        return number

    def sndbuf(self) -> int:
        """SO_SNDBUF as it is shown."""
        return self.tcb.sndbuf

    def rcvbuf(self) -> int:
        """SO_RCVBUF as it is shown."""
        return self.tcb.rcvbuf

    def set_sndbuf(self, asked: int) -> None:
        """Set the send buffer to twice what was asked for, at least SOCK_MIN_SNDBUF; it is tuned no more."""
        self.tcb.sndbuf = max(asked * 2, MIN_SNDBUF)
        self.tcb.sndbuf_locked = True
        self.wake(POLLOUT)

    def set_rcvbuf(self, asked: int) -> None:
        """Set the receive buffer to twice what was asked for, at least SOCK_MIN_RCVBUF; it is tuned no more."""
        self.tcb.rcvbuf = max(asked * 2, MIN_RCVBUF)
        self.tcb.rcvbuf_locked = True

    def set_rcvlowat(self, number: int) -> None:
        """Set how many bytes make the socket readable: SO_RCVLOWAT (tcp_set_rcvlowat)."""
        limit = self.tcb.rcvbuf >> 1 if self.tcb.rcvbuf_locked else self.host.settings.tcp_rmem[2] >> 1
        number = min(number, limit)
        self.own_knobs().rcvlowat = number
        self.tcb.rcvlowat = number

    def setsockopt(self, process: Process, level: int, name: int, value: bytes) -> None:
        """Set an option (setsockopt(2)); IP_TTL, IP_TOS and their kin count for what is sent from now on."""
        super().setsockopt(process, level, name, value)
        if level in (IPPROTO_IP, IPPROTO_IPV6) and self.tcb.raddr:
            self.stack.mark(self.tcb, self.knobs)

    def keepalive_changed(self) -> None:
        """SO_KEEPALIVE was set: its timer starts or stops."""
        self.tcb.keepalive = self.knobs.keepalive
        calls.options_changed(self.tcb, self.host.world.now)
        self.stack.settle()

    def linger_changed(self) -> None:
        """SO_LINGER was set."""
        on, seconds = self.knobs.linger
        self.tcb.linger = seconds if on else None

    def set_device(self, index: int) -> None:
        """Bind to the interface of that index, 0 for none: SO_BINDTODEVICE."""
        self.stack.tcp.set_device(self.entry, index)
        self.tcb.route = None

    def path_mtu(self) -> int:
        """The MTU of the path to the peer; 0 when not connected."""
        route = self.tcb.route
        if route is None:
            return 0
        return min(route.mtu, IP_MAX_MTU) if is_v4(route.dst) else route.mtu

    def ioctl_inq(self) -> int:
        """FIONREAD: bytes that can be read at once; EINVAL on a listener (tcp_ioctl)."""
        if self.tcb.state == LISTEN:
            raise fail(errno.EINVAL)
        return calls.inq(self.tcb)

    def ioctl_outq(self) -> int:
        """SIOCOUTQ: bytes not yet acknowledged; EINVAL on a listener (tcp_ioctl)."""
        if self.tcb.state == LISTEN:
            raise fail(errno.EINVAL)
        return calls.outq(self.tcb)

    def ioctl_atmark(self) -> int:
        """SIOCATMARK: 1 when the urgent byte, or its place, comes next (tcp_ioctl)."""
        return int(urgent.at_mark(self.tcb))

    def oobinline_changed(self) -> None:
        """SO_OOBINLINE was set: whether the urgent byte is one like the others."""
        self.tcb.oobinline = bool(self.knobs.other.get((SOL_SOCKET, SO_OOBINLINE)))
