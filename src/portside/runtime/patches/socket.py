"""`socket` and `_socket`: sockets of simulated programs, and what the module tells of the host."""

from __future__ import annotations

import _socket
import errno
import os
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Final, cast

from greenlet import getcurrent

from portside.addr.abi import AF_UNIX, SOCK_CLOEXEC
from portside.host.errors import fail
from portside.host.syscalls import files
from portside.host.syscalls import process as _processes
from portside.host.syscalls import socket as _calls
from portside.runtime import addrinfo, allocator, collector, names, services
from portside.runtime.arguments import integer, timeout_argument
from portside.runtime.patcher import Patcher
from portside.runtime.program import program_of
from portside.runtime.sim_socket import CSimSocket, SimSocketMethods, forget_twins, make, twin_of
from portside.runtime.trap import process_of
from portside.sim.scheduler import Task

if TYPE_CHECKING:
    from portside.host.kernel import Host

Real = Callable[..., object]

_Socket: Final = socket.socket
_C: Final = _socket.socket
_c_new: Final = _C.__new__


def new(kind: type, *_: object, **__: object) -> object:
    """socket.socket.__new__: in a simulated program an instance of the twin class."""
    if type(getcurrent()) is Task and not issubclass(kind, SimSocketMethods):
        return _c_new(twin_of(kind))
    return _c_new(kind)


class SocketModule(ModuleType):
    """The class of the `socket` module while worlds run.

    In a simulated program `socket.socket` is the class that its sockets are of, for who compares (`type(s) is
    socket.socket`). A module that is being imported may be shared with the code outside: it gets the class of all.
    """

    @property
    def socket(self) -> object:
        """The class, or what has been put in its place."""
        found = self.__dict__["socket"]
        if found is not _Socket or type(getcurrent()) is not Task:
            return found
        asking = sys._getframe(1).f_globals.get("__spec__")
        return found if getattr(asking, "_initializing", False) else twin_of(_Socket)

    @socket.setter
    def socket(self, value: object) -> None:
        self.__dict__["socket"] = _Socket if value is twin_of(_Socket) else value  # who puts back what he found

    @socket.deleter
    def socket(self) -> None:
        del self.__dict__["socket"]


def _enter() -> None:
    forget_twins()
    socket.__class__ = SocketModule


def _leave() -> None:
    socket.__class__ = ModuleType
    forget_twins()


class CSocket:
    """Stands for the type `_socket.socket` during a run: a simulated socket's methods for it, the type's own else."""

    __slots__ = ()

    def __call__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: object = None) -> object:
        """Make a socket: a simulated program's, or a real one."""
        if current() is None:
            return _C(family, type, proto, fileno)  # type: ignore[arg-type]
        made = cast(SimSocketMethods, _c_new(CSimSocket))
        made._io_refs = 0
        made._closed = False
        made._sim_make(family, type, proto, fileno)
        return made

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return (_C,)

    def __instancecheck__(self, thing: object) -> bool:
        return isinstance(thing, _C)

    def __subclasscheck__(self, kind: type) -> bool:
        return issubclass(kind, _C)

    def __getattribute__(self, name: str) -> object:
        # Not __getattr__: `__init__` too is asked for as the type's.
        return object.__getattribute__(self, name) if name in ("__class__", "__mro_entries__") else _method(name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(_C, name, value)  # which refuses: the type is immutable

    def __delattr__(self, name: str) -> None:
        delattr(_C, name)

    def __repr__(self) -> str:
        return repr(_C)


_C_METHODS: Final[dict[str, object]] = {}


def _method(name: str) -> object:
    """`_socket.socket.name` as called on an instance: of a simulated one it is the simulated method."""
    found = _C_METHODS.get(name)
    if found is None:
        real = getattr(_C, name)
        if not callable(real) or name == "__new__":
            return real
        simulated = {"__init__": SimSocketMethods._sim_make, "close": SimSocketMethods._real_close,
                     "detach": SimSocketMethods._sim_detach}.get(name) or getattr(SimSocketMethods, name)  # fmt: skip

        def method(self: object, *args: object, **kwargs: object) -> object:
            chosen = simulated if isinstance(self, SimSocketMethods) else real
            return cast("Callable[..., object]", chosen)(self, *args, **kwargs)

        found = _C_METHODS[name] = method
    return found


def current() -> Task | None:
    """The simulated task that runs now."""
    task = getcurrent()
    return task if type(task) is Task else None


def _host(task: Task) -> Host:
    return process_of(task).host


# -- descriptors --


def socketpair(real: Real, family: int = AF_UNIX, type: int = 1, proto: int = 0, /) -> object:
    """_socket.socketpair."""
    task = current()
    if task is None:
        return real(family, type, proto)
    process = process_of(task)
    one, two = _calls.socketpair(process, family, type | SOCK_CLOEXEC, proto)
    return make(process, one, family, type, proto), make(process, two, family, type, proto)


def close(real: Real, fd: object, /) -> object:
    """_socket.close."""
    task = current()
    if task is None:
        return real(fd)
    files.close(process_of(task), integer(fd))
    return None


def dup(real: Real, fd: object, /) -> object:
    """_socket.dup: with close-on-exec."""
    task = current()
    if task is None:
        return real(fd)
    return files.fcntl(process_of(task), integer(fd), files.F_DUPFD_CLOEXEC, 0)


def getdefaulttimeout(real: Real) -> object:
    """_socket.getdefaulttimeout."""
    task = current()
    if task is None:
        return real()
    timeout = program_of(process_of(task)).default_timeout
    return None if timeout is None else timeout / 1e9


def setdefaulttimeout(real: Real, value: object, /) -> object:
    """_socket.setdefaulttimeout: the program's own."""
    task = current()
    if task is None:
        return real(value)
    timeout = timeout_argument(value)
    program_of(process_of(task)).default_timeout = None if timeout < 0 else timeout
    return None


# -- names --


def gethostname(real: Real) -> object:
    """_socket.gethostname."""
    task = current()
    return real() if task is None else _host(task).hostname


def sethostname(real: Real, name: object, /) -> object:
    """_socket.sethostname."""
    task = current()
    if task is None:
        return real(name)
    _processes.sethostname(process_of(task), name if isinstance(name, bytes) else os.fsencode(cast(str, name)))
    return None


def getaddrinfo(
    real: Real, host: object, port: object, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> object:
    """_socket.getaddrinfo."""
    task = current()
    if task is None:
        return real(host, port, family, type, proto, flags)
    return addrinfo.getaddrinfo(_host(task), host, port, int(family), int(type), proto, int(flags))


def getnameinfo(real: Real, address: object, flags: int, /) -> object:
    """_socket.getnameinfo."""
    task = current()
    if task is None:
        return real(address, flags)
    if not isinstance(address, tuple):
        del address  # a traceback holds the arguments of this function; of the one in C it does not
        raise TypeError("getnameinfo() argument 1 must be a tuple")
    return names.getnameinfo(_host(task), address, flags)


def gethostbyname(real: Real, name: object, /) -> object:
    """_socket.gethostbyname: an IPv4 address."""
    task = current()
    return real(name) if task is None else names.gethostbyname(_host(task), name)


def gethostbyname_ex(real: Real, name: object, /) -> object:
    """_socket.gethostbyname_ex: name, aliases, IPv4 addresses."""
    task = current()
    return real(name) if task is None else names.gethostbyname_ex(_host(task), name)


def gethostbyaddr(real: Real, address: object, /) -> object:
    """_socket.gethostbyaddr: name, aliases, addresses."""
    task = current()
    return real(address) if task is None else names.gethostbyaddr(_host(task), address)


def getservbyname(real: Real, name: str, protocol: str | None = None, /) -> object:
    """_socket.getservbyname."""
    if current() is None:
        return real(name) if protocol is None else real(name, protocol)
    port = services.port_of(name, protocol)
    if port is None:
        raise OSError("service/proto not found")
    return port


def getservbyport(real: Real, port: int, protocol: str | None = None, /) -> object:
    """_socket.getservbyport."""
    if current() is None:
        return real(port) if protocol is None else real(port, protocol)
    if not 0 <= port <= 0xFFFF:
        raise OverflowError("getservbyport: port must be 0-65535.")
    name = services.service_of(port, protocol)
    if name is None:
        raise OSError("port/proto not found")
    return name


# -- interfaces --


def if_nameindex(real: Real) -> object:
    """_socket.if_nameindex."""
    task = current()
    if task is None:
        return real()
    return [(index, interface.name) for index, interface in sorted(_host(task).ip.interfaces.items())]


def if_nametoindex(real: Real, name: object, /) -> object:
    """_socket.if_nametoindex."""
    task = current()
    if task is None:
        return real(name)
    interface = _host(task).ip.interface_named(os.fsdecode(cast(str, name)))
    if interface is None:
        raise OSError("no interface with this name")
    return interface.index


def _interface_index(value: object) -> int:
    """An unsigned int, of which Python before 3.13 takes the lower 32 bits."""
    if not isinstance(value, int):
        raise TypeError("an integer is required")
    number = int(value)
    if number < 0:
        raise OverflowError("can't convert negative value to unsigned int")
    if number >> 64:
        raise OverflowError("Python int too large to convert to C unsigned long")
    if number >> 32 and sys.version_info >= (3, 13):
        raise OverflowError("index is too large")
    return number & 0xFFFFFFFF


def if_indextoname(real: Real, index: object, /) -> object:
    """_socket.if_indextoname."""
    task = current()
    if task is None:
        return real(index)
    interface = _host(task).ip.interfaces.get(_interface_index(index))
    if interface is None:
        raise fail(errno.ENXIO)
    return interface.name


FUNCTIONS: Final = (
    socketpair, close, dup, getdefaulttimeout, setdefaulttimeout, gethostname, sethostname, getaddrinfo, getnameinfo,
    gethostbyname, gethostbyname_ex, gethostbyaddr, getservbyname, getservbyport, if_nameindex, if_nametoindex,
    if_indextoname,
)  # fmt: skip


def _inherited() -> list[str]:
    """The methods that socket.socket has from the C type."""
    return [name for name in vars(_C) if not name.startswith("__") and name not in vars(socket.socket)
            and callable(getattr(_C, name))]  # fmt: skip


def add(patcher: Patcher) -> None:
    """Replace the constructor of the class, its methods from C, the name of the C type, and functions of `_socket`."""
    patcher.attribute(socket.socket, "__new__", staticmethod(new))
    for name in _inherited():
        # `socket.socket.recv(self, n)` in a user's class names the C method, which knows no simulated socket.
        patcher.attribute(socket.socket, name, _method(name))
    patcher.value(_C, CSocket())
    patcher.hook(allocator.keep_blocks, lambda: None)
    patcher.hook(collector.begin, collector.end)
    patcher.hook(_enter, _leave)
    for function in FUNCTIONS:
        patcher.function(_socket, function.__name__, function)
