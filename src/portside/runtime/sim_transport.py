"""asyncio's transport of a TCP connection on a simulated host: over the host's socket itself, with nothing between.

The class is the loop's own `_SelectorSocketTransport`; the methods here, which every connection and every byte passes
through, take the place of its own. They do what those do, in the same turns of the loop and in the same order. A socket
object is made when somebody asks for one. Measured: a quarter of what a connection costs.
"""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_WR
from typing import TYPE_CHECKING, Any, Final

from portside.addr.abi import AF_INET6, IPPROTO_TCP, POLLIN, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM
from portside.facts.sockaddr import SockAddr
from portside.host.errors import fail
from portside.host.syscalls import io as _io
from portside.host.syscalls import socket as _calls
from portside.host.tcp_socket import TcpSocket
from portside.runtime.sim_connection import Connection, Transports
from portside.runtime.sim_loop import Watching
from portside.runtime.sim_watch import READ, WRITE
from portside.runtime.sockaddr import python_address
from portside.tcp import calls

if TYPE_CHECKING:
    from types import ModuleType

    from portside.host.processes import Process

    Methods = dict[str, object]

HIGH_WATER: Final = 64 * 1024
LOW_WATER: Final = 16 * 1024
_NONBLOCKING: Final = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK


def _receive(connection: Connection, length: int) -> bytes:
    """recv(2), of what the descriptor refers to: somebody may have closed it, and may have another file there."""
    if connection.files.get(connection.fd) is connection.file:
        return connection.file.recv_data(length)
    return _io.recv(connection.process, connection.fd, length)


def _send(connection: Connection, data: bytes) -> int:
    """send(2), to what the descriptor refers to."""
    if connection.files.get(connection.fd) is connection.file:
        return connection.file.send(data)
    return _io.send(connection.process, connection.fd, data)


DEFAULTS: Final[dict[str, object]] = {
    "_closing": False, "_conn_lost": 0, "_empty_waiter": None, "_eof": False, "_paused": False,
    "_protocol_connected": True, "_read_ready_cb": None, "_sim_open": False, "_sim_socket": None,
}  # fmt: skip
"""What a transport has until it is changed."""


# -- its life --


def methods(module: ModuleType, watching: Watching) -> Methods:
    """What the class has instead of its own. `module` is asyncio.selector_events."""
    found = {**DEFAULTS, **_beginning(module, watching), **_ending(module, watching), **_for_who_asks(module)}
    return {**found, **_reading(module, watching), **_writing(module, watching)}


def _servers_know_transports(module: ModuleType) -> bool:
    """Whether a server is told which transport it has, as it is since Python 3.13."""
    return "transport" in module.base_events.Server._attach.__code__.co_varnames


def _beginning(module: ModuleType, watching: Watching) -> Methods:
    buffered = module.protocols.BufferedProtocol
    make_buffer = getattr(module._SelectorSocketTransport, "_buffer_factory", None) or module.collections.deque
    set_result = module.futures._set_result_unless_cancelled
    known = _servers_know_transports(module)

    def begin(
        self: Any, loop: Any, connection: Connection, protocol: Any, waiter: Any = None, extra: Any = None,
        server: Any = None,
    ) -> None:  # fmt: skip
        file = connection.file
        self._sim_connection = connection
        self._sim_open = True
        self._sock_fd = fd = connection.fd
        connection.used = True
        self._extra = {} if extra is None else extra
        self._loop = loop
        self._protocol_paused = False
        self._high_water = HIGH_WATER
        self._low_water = LOW_WATER
        if isinstance(protocol, buffered):
            self.set_protocol(protocol)
        else:
            self._protocol = protocol
        self._server = server
        self._buffer = make_buffer()
        if server is not None:
            if known:
                server._attach(self)
            else:
                server._attach()
        loop._transports[fd] = self
        connection.sockname = file.getsockname()
        if connection.peername is None:
            with suppress(OSError):  # it may have ended again already
                connection.peername = file.getpeername()
        tcb = file.tcb
        tcb.nodelay = True
        calls.options_changed(tcb, file.stack.world.now, True)
        file.stack.settle()
        watching.soon(loop, protocol.connection_made, self)
        watching.soon(loop, self._add_reader, fd, self._read_ready)
        if waiter is not None:
            watching.soon(loop, set_result, waiter, None)

    return {"__init__": begin}


def _ending(module: ModuleType, watching: Watching) -> Methods:
    known = _servers_know_transports(module)

    def close(self: Any) -> None:
        if self._closing:
            return
        self._closing = True
        self._read_ready_cb = None
        loop = self._loop
        connection: Connection = self._sim_connection
        watching.remove_from(loop, connection, READ)
        if not self._buffer:
            self._conn_lost += 1
            watching.remove_from(loop, connection, WRITE)
            watching.soon(loop, self._call_connection_lost, None)

    def force_close(self: Any, exc: Any) -> None:
        if self._conn_lost:
            return
        loop, fd = self._loop, self._sock_fd
        if self._buffer:
            self._buffer.clear()
            loop._remove_writer(fd)
        if not self._closing:
            self._closing = True
            loop._remove_reader(fd)
        self._conn_lost += 1
        watching.soon(loop, self._call_connection_lost, exc)

    def lost(self: Any, exc: Any) -> None:
        try:
            if self._protocol_connected:
                self._protocol.connection_lost(exc)
        finally:
            sock = self._sim_socket
            if sock is not None:
                sock.close()
            else:
                self._sim_connection.close()
            self._sock = None
            self._protocol = None
            self._loop = None
            server = self._server
            if server is not None:
                if known:
                    server._detach(self)
                else:
                    server._detach()
                self._server = None

    return {"close": close, "_force_close": force_close, "_call_connection_lost": lost}


def _for_who_asks(module: ModuleType) -> Methods:
    delete_otherwise = module._SelectorSocketTransport.__del__

    def get_socket(self: Any) -> object:
        if not self._sim_open:
            return None
        sock = self._sim_socket
        if sock is None:
            self._sim_socket = sock = self._sim_connection.socket()
        return sock

    def set_socket(self: Any, sock: object) -> None:
        self._sim_socket = sock
        self._sim_open = sock is not None

    def get_extra_info(self: Any, name: Any, default: object = None) -> object:
        extra = self._extra
        if name not in extra:
            connection = self._sim_connection
            if name == "socket":
                extra[name] = module.trsock.TransportSocket(self._sock or connection.socket())
            elif name == "sockname":
                extra[name] = python_address(connection.sockname)
            elif name == "peername":
                extra[name] = python_address(connection.peername)
        return extra.get(name, default)

    def forgotten(self: Any, *arguments: Any) -> None:
        if self._sim_open:
            if self._sim_socket is None:  # a socket object is forgotten with its transport, and both are told of
                sock = self._sock
                warnings.warn(f"unclosed {sock!r}", ResourceWarning, source=sock, stacklevel=2)
            delete_otherwise(self, *arguments)

    return {"__del__": forgotten, "get_extra_info": get_extra_info, "_sock": property(get_socket, set_socket)}


# -- its data --


def _reading(module: ModuleType, watching: Watching) -> Methods:
    eof_otherwise = module._SelectorSocketTransport._read_ready__on_eof

    # Before Python 3.11.5 one that was paused when its connection was made began to read all the same.
    heeds_pause = "is_reading" in module._SelectorTransport._add_reader.__code__.co_names

    def add_reader(self: Any, fd: int, callback: Any, *args: Any) -> None:
        if self._closing or (heeds_pause and self._paused):
            return
        if args or fd != self._sock_fd:
            watching.add(self._loop, fd, READ, callback, args)
        else:
            watching.add_to(self._loop, self._sim_connection, READ, callback)

    def on_eof(self: Any) -> None:
        loop = self._loop
        if loop._debug:
            eof_otherwise(self)
            return
        try:
            keep_open = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.eof_received() call failed.")
            return
        if keep_open:
            watching.remove_from(loop, self._sim_connection, READ)
        else:
            self.close()

    def data_received(self: Any) -> None:
        if self._conn_lost:
            return
        try:
            data = _receive(self._sim_connection, self.max_size)
        except (BlockingIOError, InterruptedError):
            self._sim_connection.world.spin()
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal read error on socket transport")
            return
        if not data:
            self._read_ready__on_eof()
            return
        try:
            self._protocol.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.data_received() call failed.")

    def read_ready(self: Any) -> None:
        buffered = self._read_ready_cb
        if buffered is None:
            data_received(self)
        else:
            buffered()

    return {"_add_reader": add_reader, "_read_ready": read_ready, "_read_ready__data_received": data_received,
            "_read_ready__on_eof": on_eof}  # fmt: skip


def _writing(module: ModuleType, watching: Watching) -> Methods:
    base = module._SelectorSocketTransport
    write_otherwise = base.write
    one_buffer = hasattr(base, "_buffer_factory")

    def write(self: Any, data: Any) -> None:
        if (
            data.__class__ is not bytes or not data or self._eof or self._conn_lost or self._buffer
            or self._empty_waiter is not None
        ):  # fmt: skip
            write_otherwise(self, data)
            return
        try:
            taken = _send(self._sim_connection, data)
        except (BlockingIOError, InterruptedError):
            self._sim_connection.world.spin()
            taken = 0
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal write error on socket transport")
            return
        if taken == len(data):
            return
        watching.add_to(self._loop, self._sim_connection, WRITE, self._write_ready)
        if one_buffer:
            self._buffer.extend(data[taken:])
        else:
            self._buffer.append(memoryview(data)[taken:])
        self._maybe_pause_protocol()

    def write_eof(self: Any) -> None:
        if self._closing or self._eof:
            return
        self._eof = True
        if not self._buffer:
            connection: Connection = self._sim_connection
            _calls.shutdown(connection.process, connection.fd, SHUT_WR)

    own: Methods = {"write": write, "write_eof": write_eof}
    if not one_buffer:  # since Python 3.12 each transport chooses
        own["_write_ready"] = base._write_sendmsg
    return own


# -- where connections come from --


def making(original: Any, own: Any) -> Callable[..., object]:
    """BaseSelectorEventLoop._make_socket_transport; `own` is the class of the transports of connections."""
    # Since Python 3.12 a descriptor that was closed behind the loop, and is another's now, is no other's transport.
    ensures = "_ensure_fd_no_transport" in original.__code__.co_names

    def make_transport(
        loop: Any, sock: Any, protocol: object, waiter: object = None, *, extra: Any = None, server: Any = None
    ) -> object:
        if type(sock) is not Connection:
            return original(loop, sock, protocol, waiter, extra=extra, server=server)
        if type(loop._transports) is not Transports:
            loop._transports = Transports(loop._transports)
        if ensures and sock.fd in loop._transports:
            loop._ensure_fd_no_transport(sock.fd)
        return own(loop, sock, protocol, waiter, extra, server)

    return make_transport


def accepting(original: Callable[..., None], watching: Watching) -> Callable[..., None]:
    """BaseSelectorEventLoop._accept_connection, without socket objects between where that is usual."""

    def accept_connection(
        self: Any, protocol_factory: Any, sock: Any, sslcontext: Any = None, server: Any = None, backlog: int = 100,
        *timeouts: Any,
    ) -> None:  # fmt: skip
        process: Any = getattr(sock, "_sim_process", None)
        file = None if process is None else process.files.open.get(sock._sim_fd)
        if sslcontext or not watching.usual(self) or not isinstance(file, TcpSocket):
            original(self, protocol_factory, sock, sslcontext, server, backlog, *timeouts)
            return
        for _ in range(backlog):
            if not file.poll() & POLLIN:
                file.stack.world.spin()  # type: ignore[attr-defined]
                return
            try:
                fd, peer = _calls.accept(process, sock._sim_fd, SOCK_CLOEXEC | SOCK_NONBLOCK)
            except OSError:  # which it meets as well, and knows what to do
                original(self, protocol_factory, sock, sslcontext, server, backlog, *timeouts)
                return
            accepted = Connection(process, fd, sock._sim_proto, peer)
            self.create_task(self._accept_connection2(protocol_factory, accepted, {}, sslcontext, server, *timeouts))

    return accept_connection


def begin_to_connect(process: Process, address: SockAddr) -> tuple[Connection, OSError | None]:
    """Make a socket that does not block and connect it: what socket(2) and connect(2) answer; None: it is under way."""
    fd = _calls.socket(process, address[0], _NONBLOCKING, IPPROTO_TCP)
    connection = Connection(process, fd, IPPROTO_TCP, None)
    try:
        number = connection.file.begin_to_connect(address)
    except OSError as error:  # it could not begin
        connection.world.spin()
        return connection, error
    if number:
        connection.world.spin()
        if number != errno.EINPROGRESS:
            return connection, fail(number)
    return connection, None


def outcome(watching: Watching, loop: Any, connection: Connection, address: SockAddr, host: str) -> Any:
    """A future with the outcome of a connection attempt to `host` (BaseSelectorEventLoop._sock_connect)."""
    future = loop.create_future()

    def decided(*_: object) -> None:
        if future.done():
            return
        try:
            number: int = connection.file.take_error()
            if number:
                raise OSError(number, f"Connect call failed {shown_address(address, host)}")
        except (BlockingIOError, InterruptedError):
            pass
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    handle = watching.add_to(loop, connection, WRITE, decided)

    def forget(_: object) -> None:
        if not handle._cancelled:
            watching.remove_from(loop, connection, WRITE)

    future.add_done_callback(forget)
    return future


def shown_address(address: SockAddr, host: str) -> object:
    """An address as asyncio shows it: what _ipaddr_info makes of a host that is a literal."""
    return (host, address[2], 0, 0) if address[0] == AF_INET6 else (host, address[2])  # type: ignore[misc]
