"""An asyncio loop in a simulated program: how it connects and accepts, with transports over the host's own sockets.

What is usual is done here: a stream to a host that is a literal, without TLS, on the loop that asyncio.run() makes. All
else goes the way of the interpreter's own loop: other arguments, other loops, loops in debug mode, loops and modules
whose methods somebody has replaced.
"""

from __future__ import annotations

import socket
import weakref
from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent

from portside.addr.abi import AF_INET, AF_INET6
from portside.addr.ip import is_v4, parse
from portside.runtime.numeric import dotted_quad
from portside.runtime.sim_connection import Connection
from portside.runtime.sim_loop import Watching, epoll_of
from portside.runtime.sim_transport import accepting, await_connection, begin_to_connect, methods, shown_address
from portside.runtime.trap import process_of
from portside.sim.scheduler import Task

if TYPE_CHECKING:
    from types import ModuleType

    from portside.facts.sockaddr import SockAddr

_plain_socket: Final = socket.socket
REPLACED_ELSEWHERE: Final = frozenset({
    "_accept_connection", "_accept_connection2", "_connect_sock", "_create_connection_transport", "_ensure_resolved",
    "_make_socket_transport", "_sock_connect", "_sock_connect_cb", "create_task", "getaddrinfo", "sock_accept",
    "sock_connect",
})  # fmt: skip
"""Methods that a program may put in place on its loop: then it expects them to be called."""


class Transports(dict[int, "weakref.ref[Any]"]):
    """The transports of a loop by descriptor, which keeps none alive: a WeakValueDictionary that costs less to fill."""

    def __getitem__(self, fd: int) -> Any:
        transport = super().__getitem__(fd)()
        if transport is None:
            raise KeyError(fd)
        return transport

    def __setitem__(self, fd: int, transport: Any) -> None:
        super().__setitem__(fd, weakref.ref(transport))

    def get(self, fd: int, default: Any = None) -> Any:
        """The transport of a descriptor."""
        reference = super().get(fd)
        transport = None if reference is None else reference()
        return default if transport is None else transport


def _own_class(module: ModuleType, watching: Watching) -> type:
    """The transport of a connection on a simulated host: the loop's class with other methods."""
    base = module._SelectorSocketTransport
    namespace = methods(module, watching)
    namespace |= {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return type(base.__name__, (base,), namespace)


def place_of(host: object, port: object) -> SockAddr | None:
    """The address that a literal and a port number stand for; None for what has to be looked up."""
    if type(host) is not str or type(port) is not int or not 0 <= port <= 0xFFFF:
        return None
    address = dotted_quad(host)
    if address is not None:
        return (AF_INET, address, port) if host.count(".") == 3 else None
    if ":" not in host or "%" in host:
        return None
    try:
        address = parse(host)
    except ValueError:
        return None
    return None if is_v4(address) else (AF_INET6, address, port, 0, 0)


def connecting(module: ModuleType, watching: Watching) -> Iterator[tuple[type, str, Callable[..., Any]]]:
    """The methods that are replaced: class, name, method. `module` is asyncio.unix_events."""
    selecting = module.selector_events.BaseSelectorEventLoop
    base = module.base_events.BaseEventLoop
    own = _own_class(module.selector_events, watching)

    def usual(loop: Any) -> bool:
        if type(loop) is not watching.plain or loop._debug or epoll_of(loop) is None:
            return False
        if socket.__dict__["socket"] is not _plain_socket or not REPLACED_ELSEWHERE.isdisjoint(loop.__dict__):
            return False
        return all(getattr(holder, name) is method for holder, name, method in unchanged)

    accept_connection = accepting(selecting._accept_connection, usual)
    make_otherwise = selecting._make_socket_transport
    connect_otherwise = base.create_connection

    def make_transport(
        loop: Any, sock: object, protocol: object, waiter: object = None, *, extra: Any = None, server: Any = None
    ) -> Any:
        if type(sock) is not Connection:
            return make_otherwise(loop, sock, protocol, waiter, extra=extra, server=server)
        if type(loop._transports) is weakref.WeakValueDictionary:
            before, loop._transports = loop._transports, Transports()
            for fd, transport in before.items():
                loop._transports[fd] = transport
        return own(loop, sock, protocol, waiter, extra, server)

    @wraps(connect_otherwise)
    async def create_connection(
        loop: Any, protocol_factory: Callable[[], object], host: object = None, port: object = None, **options: object
    ) -> tuple[object, object]:
        place = None if options or not usual(loop) else place_of(host, port)
        if place is None:
            found: tuple[object, object] = await connect_otherwise(loop, protocol_factory, host, port, **options)
            return found
        connection = await _connected(loop, place, host)
        protocol = protocol_factory()
        waiter = loop.create_future()
        transport = loop._make_socket_transport(connection, protocol, waiter)
        try:
            await waiter
        except:
            transport.close()
            raise
        return transport, protocol

    async def _connected(loop: Any, place: SockAddr, host: Any) -> Connection:
        task = getcurrent()
        assert type(task) is Task
        connection, error = begin_to_connect(process_of(task), place)
        try:
            if error is not None:
                raise error
            loop._ensure_fd_no_transport(connection.fd)
            future = loop.create_future()
            await_connection(watching, loop, future, connection, shown_address(place, host))
            await future
        except:
            connection.close()
            raise
        return connection

    replaced = (
        (selecting, "_accept_connection", accept_connection), (selecting, "_make_socket_transport", make_transport),
        (base, "create_connection", create_connection),
    )  # fmt: skip
    unchanged = [(base, name, getattr(base, name)) for name in ("_ensure_resolved", "_connect_sock", "create_task")]
    unchanged += [(selecting, name, getattr(selecting, name)) for name in ("sock_connect", "_sock_connect")]
    yield from replaced
