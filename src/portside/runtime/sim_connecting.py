"""An asyncio loop in a simulated program: how it connects and accepts, with transports over the host's own sockets.

What is usual is done here: a stream to a host that is a literal, without TLS, on the loop that asyncio.run() makes. All
else goes the way of the interpreter's own loop: other arguments, other loops, loops in debug mode, loops and modules
whose methods somebody has replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent

from portside.addr.abi import AF_INET, AF_INET6
from portside.addr.ip import is_v4, parse
from portside.runtime.numeric import dotted_quad
from portside.runtime.sim_loop import Watching
from portside.runtime.sim_transport import accepting, begin_to_connect, making, methods, outcome
from portside.runtime.trap import process_of
from portside.sim.scheduler import Task

if TYPE_CHECKING:
    from types import ModuleType

    from portside.facts.sockaddr import SockAddr

RELIED_ON: Final = {
    ("base_events", "BaseEventLoop"): ("_connect_sock", "_create_connection_transport", "_ensure_resolved"),
    ("selector_events", "BaseSelectorEventLoop"): (
        "_accept_connection2", "_sock_connect", "_sock_connect_cb", "sock_connect",
    ),
}  # fmt: skip
"""Methods whose work is done here. A program that puts another in place, on the class or on its loop, has it called."""

PASSED_OVER: Final = ("_add_reader", "_add_writer", "_remove_reader", "_remove_writer", "call_soon")
"""What a loop's own connections do without. A program that gives a loop another of these has it called as well."""


def _own_class(module: ModuleType, watching: Watching) -> type:
    """The transport of a connection on a simulated host: the loop's class with other methods."""
    base = module._SelectorSocketTransport
    namespace = methods(module, watching)
    for name, method in namespace.items():
        # A callback of the loop is told of by its name.
        if callable(method) and method.__module__ != module.__name__:
            method.__name__, method.__qualname__ = name, f"{base.__qualname__}.{name}"  # type: ignore[attr-defined]
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
    accept_connection = accepting(selecting._accept_connection, watching)
    make_transport = making(selecting._make_socket_transport, own)
    connect_otherwise = base.create_connection

    @wraps(connect_otherwise)
    async def create_connection(
        loop: Any, protocol_factory: Callable[[], object], host: object = None, port: object = None, **options: object
    ) -> tuple[object, object]:
        place = None if options or not watching.usual(loop) else place_of(host, port)
        if place is None:
            found: tuple[object, object] = await connect_otherwise(loop, protocol_factory, host, port, **options)
            return found
        task = getcurrent()
        assert type(task) is Task
        connection, error = begin_to_connect(process_of(task), place)
        try:
            if error is not None:
                raise error
            if connection.fd in loop._transports:
                loop._ensure_fd_no_transport(connection.fd)
            await outcome(watching, loop, connection, place, str(host))
        except:
            connection.close()
            raise
        protocol = protocol_factory()
        waiter = loop.create_future()
        transport = loop._make_socket_transport(connection, protocol, waiter)
        try:
            await waiter
        except:
            transport.close()
            raise
        return transport, protocol

    replaced = (
        (selecting, "_accept_connection", accept_connection), (selecting, "_make_socket_transport", make_transport),
        (base, "create_connection", create_connection),
    )  # fmt: skip
    yield from replaced
    for holder, names in RELIED_ON.items():
        kind = getattr(getattr(module, holder[0]), holder[1])
        watching.unchanged += [(kind, name, getattr(kind, name)) for name in names]
    watching.unchanged += [(watching.plain, name, getattr(watching.plain, name)) for name in PASSED_OVER]
    watching.names = frozenset(name for _, name, _ in watching.unchanged)
    for user in (module.base_events, module.selector_events):
        watching.unchanged.append((user, "socket", user.socket))
