# ruff: noqa: D102 - the methods have the docstrings of their C originals
"""Sockets of simulated programs: subclasses of `socket.socket` that override every method of its C base.

The C base stays inert: its descriptor is -1. What `socket.socket` itself defines in Python (makefile, sendfile, dup,
create_server, the representation ...) stays the interpreter's own. Argument checks, their errors, and the way timeouts
work are those of Modules/socketmodule.c: with a timeout the descriptor is non-blocking and each try follows a poll.
"""

from __future__ import annotations

import _socket
import errno
import socket as _stdlib
import sys
import warnings
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from greenlet import getcurrent

from portside.addr.abi import AF_INET, POLLERR, POLLHUP, POLLIN, POLLOUT, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK
from portside.host.errors import fail
from portside.host.socket_file import SocketFile
from portside.host.syscalls import io as _io
from portside.host.syscalls import name as _name
from portside.host.syscalls import options as _options
from portside.host.syscalls import socket as _calls
from portside.host.waiting import wait_for
from portside.runtime import collector
from portside.runtime.arguments import bytes_like, c_int, integer, timeout_argument, writable
from portside.runtime.program import program_of
from portside.runtime.sockaddr import python_address, sockaddr
from portside.runtime.trap import current_process, process_of
from portside.sim.scheduler import Scheduler

if TYPE_CHECKING:
    from portside.facts.sockaddr import SockAddr
    from portside.host.file import File
    from portside.host.processes import Process
    from portside.wire.packet import Payload

_C: Final = _socket.socket
_c_new: Final = _C.__new__
_plain_socket: Final = _stdlib.socket
_accept: Final = _stdlib.socket.accept
_SOL_SOCKET: Final = 1
_SO_TYPE: Final = 3
_SO_ERROR: Final = 4
_SO_PROTOCOL: Final = 38

STORAGE: Final = (
    "_sim_family", "_sim_fd", "_sim_open", "_sim_process", "_sim_proto", "_sim_timeout", "_sim_type",
)  # fmt: skip
"""What a simulated socket has of its own, by names that no user's class has."""


@lru_cache(maxsize=256)
def _as_family(number: int) -> object:
    return _stdlib._intenum_converter(number, _stdlib.AddressFamily)  # type: ignore[attr-defined]


@lru_cache(maxsize=256)
def _as_type(number: int) -> object:
    return _stdlib._intenum_converter(number, _stdlib.SocketKind)  # type: ignore[attr-defined]


class SimSocketMethods(_stdlib.socket):
    """The methods; each subclass adds the slots, so that a user's class with slots of its own can take part."""

    __slots__ = ()

    _sim_family: int
    _sim_fd: int
    _sim_open: dict[int, File]
    _sim_process: Process
    _sim_proto: int
    _sim_timeout: int  # ns; -1 waits for ever, 0 does not wait
    _sim_type: int

    # -- making and ending --

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: object = None) -> None:
        # As socket.__init__, which reaches `_make` by way of the stand-in for the C type: 2 us longer.
        self._sim_make(family, type, proto, fileno)
        self._io_refs = 0
        self._closed = False

    def _sim_make(self, family: int, type: int, proto: int, fileno: object = None) -> None:
        """What _socket.socket.__init__ does (sock_initobj)."""
        process = process_of(getcurrent())  # type: ignore[arg-type]
        family, type, proto = c_int(family), c_int(type), c_int(proto)
        if fileno is None:
            if family == -1:
                family = AF_INET
            if type == -1:
                type = 1
            if proto == -1:
                proto = 0
            fd = _calls.socket(process, family, type | SOCK_CLOEXEC, proto)
        else:
            fd = c_int(fileno)
            if fd < 0:
                raise ValueError("negative file descriptor")
            file = _calls.socket_of(process, fd)
            family = file.family if family == -1 else family
            type = file.type if type == -1 else type
            proto = file.proto if proto == -1 else proto
        self._sim_adopt(process, fd, family, type, proto)

    def _sim_adopt(self, process: Process, fd: int, family: int, type: int, proto: int) -> None:
        self._sim_process = process
        self._sim_open = process.files.open
        self._sim_fd = fd
        self._sim_family = family
        self._sim_type = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)
        self._sim_proto = proto
        default = (process.program or program_of(process)).default_timeout  # type: ignore[attr-defined]
        if type & SOCK_NONBLOCK:
            self._sim_timeout = 0
        elif default is None:
            self._sim_timeout = -1
        else:
            self._sim_timeout = default
            self._sim_open[fd].nonblocking = True

    def _sim_file(self) -> SocketFile:
        file = self._sim_open.get(self._sim_fd)
        if not isinstance(file, SocketFile):
            current_process()  # which raises when it has ended
            raise fail(errno.EBADF if file is None else errno.ENOTSOCK)
        return file

    def _sim_world(self) -> Scheduler:
        return self._sim_process.host.world  # type: ignore[return-value]

    def _real_close(self, _ss: object = None) -> None:
        fd = self._sim_fd
        if fd != -1:
            self._sim_fd = -1
            if self._sim_process.alive:
                self._sim_process.files.close(fd)

    def detach(self) -> int:
        self._closed = True
        return self._sim_detach()

    def _sim_detach(self) -> int:
        fd = self._sim_fd
        self._sim_fd = -1
        return fd

    def fileno(self) -> int:
        return self._sim_fd

    def __del__(self) -> None:
        try:
            fd = self._sim_fd
            process = self._sim_process
        except AttributeError:  # it was never made
            return
        if fd == -1 or not process.alive:
            return
        try:
            if not program_of(process).ending:
                warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
        finally:
            self._sim_fd = -1
            self._sim_close_forgotten(process, fd)

    def _sim_close_forgotten(self, process: Process, fd: int) -> None:
        if fd in self._sim_open:
            if collector.collecting:  # in the middle of anything: a little later
                world = cast(Scheduler, process.host.world)
                world.at(world.now, _close_later, process, fd, self._sim_open[fd])
            else:
                process.files.close(fd)

    # -- what it is --

    @property
    def family(self) -> Any:
        return _as_family(self._sim_family)

    @property
    def type(self) -> Any:
        return _as_type(self._sim_type)

    @property
    def proto(self) -> int:
        return self._sim_proto

    @property
    def timeout(self) -> float | None:
        return None if self._sim_timeout < 0 else self._sim_timeout / 1e9

    @timeout.setter
    def timeout(self, value: object) -> None:
        raise AttributeError("attribute 'timeout' of '_socket.socket' objects is not writable")

    def gettimeout(self) -> float | None:
        return None if self._sim_timeout < 0 else self._sim_timeout / 1e9

    def settimeout(self, value: object, /) -> None:
        timeout = timeout_argument(value)
        self._sim_timeout = timeout
        self._sim_set_nonblocking(timeout >= 0)

    def setblocking(self, flag: object, /) -> None:
        blocking = bool(flag if sys.version_info >= (3, 12) else integer(flag))
        self._sim_timeout = -1 if blocking else 0
        self._sim_set_nonblocking(not blocking)

    def _sim_set_nonblocking(self, nonblocking: bool) -> None:
        file = self._sim_open.get(self._sim_fd)
        if file is None:
            raise fail(errno.EBADF)
        file.nonblocking = nonblocking

    def getblocking(self) -> bool:
        return self._sim_timeout != 0

    def getsockname(self) -> Any:
        return python_address(_name.getsockname(self._sim_process, self._sim_fd))

    def getpeername(self) -> Any:
        return python_address(_name.getpeername(self._sim_process, self._sim_fd))

    # -- waiting --

    def _sim_timed(
        self, events: int, call: str, attempt: Callable[[SocketFile], object], timeout: int | None = None
    ) -> Any:
        """sock_call_ex: poll until the deadline, try, and begin again when the try would block after all."""
        world = self._sim_world()
        deadline = world.now + (self._sim_timeout if timeout is None else timeout)
        mask = events | POLLERR | POLLHUP
        while True:
            file = self._sim_file()
            while not file.poll() & mask:
                if not wait_for(self._sim_process.host.world, file, events, deadline, call):
                    raise TimeoutError("timed out")
            try:
                return attempt(file)
            except BlockingIOError:
                if world.now >= deadline:
                    raise TimeoutError("timed out") from None
                # Readable and yet nothing to read, as a UDP socket after shutdown(2): CPython goes round in circles.
                world.spin()

    def _sim_plain(self, attempt: Callable[[SocketFile], object]) -> Any:
        """A call without a timeout: the descriptor's own mode decides whether it waits."""
        try:
            return attempt(self._sim_file())
        except BlockingIOError:
            self._sim_world().spin()
            raise

    def _sim_call(self, events: int, call: str, attempt: Callable[[SocketFile], object]) -> Any:
        return self._sim_timed(events, call, attempt) if self._sim_timeout > 0 else self._sim_plain(attempt)

    # -- connections --

    def bind(self, address: object, /) -> None:
        place = sockaddr(self._sim_process.host, self._sim_family, address, "bind")
        _calls.bind(self._sim_process, self._sim_fd, place)

    def listen(self, *backlog: object) -> None:
        if len(backlog) > 1:
            raise TypeError(f"listen expected at most 1 argument, got {len(backlog)}")
        _calls.listen(self._sim_process, self._sim_fd, max(0, c_int(backlog[0])) if backlog else 128)

    def _accept(self) -> tuple[int, object]:
        if self._sim_timeout > 0:
            fd, address = self._sim_timed(POLLIN, "accept", self._sim_accept_one)
        else:
            fd, address = self._sim_plain(self._sim_accept_one)
        return fd, python_address(address)

    def _sim_accept_one(self, file: SocketFile) -> tuple[int, object]:
        return _calls.accept(self._sim_process, self._sim_fd, SOCK_CLOEXEC)

    def accept(self) -> tuple[_stdlib.socket, Any]:
        if _stdlib.socket is not _plain_socket:  # a program has put a class of its own in its place
            return _accept(self)
        fd, address = self._accept()
        made: SimSocketMethods = _c_new(SimSocket)
        made._io_refs = 0
        made._closed = False
        made._sim_adopt(self._sim_process, fd, self._sim_family, self._sim_type, self._sim_proto)
        # As socket.accept: without a default timeout the new socket blocks, whatever the listener's descriptor said.
        if made._sim_timeout < 0 and self._sim_timeout > 0:
            made.setblocking(True)
        return made, address

    def connect(self, address: object, /) -> None:
        place = sockaddr(self._sim_process.host, self._sim_family, address, "connect")
        if self._sim_timeout <= 0:
            self._sim_connect(place)
            return
        try:
            self._sim_connect(place)
        except BlockingIOError as error:
            if error.errno != errno.EINPROGRESS:
                raise
        else:
            return
        self._sim_timed(POLLOUT, "connect", self._sim_connected)

    def _sim_connect(self, place: SockAddr) -> None:
        """connect(2); a program may try until somebody listens."""
        try:
            self._sim_file().connect(self._sim_process, place, None)
        except OSError:
            self._sim_world().spin()
            raise

    def _sim_connected(self, file: SocketFile) -> None:
        """sock_connect_impl: how the connection attempt went."""
        number = int.from_bytes(file.getsockopt(_SOL_SOCKET, _SO_ERROR, 4), "little")
        if number and number != errno.EISCONN:
            raise fail(number)

    def connect_ex(self, address: object, /) -> int:
        place = sockaddr(self._sim_process.host, self._sim_family, address, "connect_ex")
        try:
            self._sim_connect(place)
        except OSError as error:
            number = error.errno or 0
            if number != errno.EINPROGRESS or self._sim_timeout <= 0:
                return number
        else:
            return 0
        try:
            self._sim_timed(POLLOUT, "connect", self._sim_connected)
        except TimeoutError as error:
            return error.errno or errno.EWOULDBLOCK
        except OSError as error:
            return error.errno or 0
        return 0

    def shutdown(self, how: object, /) -> None:
        _calls.shutdown(self._sim_process, self._sim_fd, c_int(how))

    # -- sending --

    def send(self, data: object, flags: int = 0, /) -> int:
        payload = data if type(data) is bytes else bytes_like(data)
        if self._sim_type == SOCK_DGRAM:
            self._sim_world().sends()
        if self._sim_timeout <= 0 and not flags:
            # The common case, and nothing else: one dictionary, one method.
            file = self._sim_open.get(self._sim_fd)
            if isinstance(file, SocketFile):
                try:
                    return file.send(payload)
                except BlockingIOError:
                    self._sim_world().spin()
                    raise
        number = c_int(flags)
        return cast(int, self._sim_call(POLLOUT, "send", lambda file: file.send(payload, number)))

    def sendall(self, data: object, flags: int = 0, /) -> None:
        payload: Payload = data if type(data) is bytes else bytes_like(data)
        number = c_int(flags) if flags else 0
        left = len(payload)
        timeout = self._sim_timeout
        if timeout < 0:
            file = self._sim_open.get(self._sim_fd)
            if isinstance(file, SocketFile):
                sent = file.send(payload, number)
                if sent == left:
                    return
                payload = memoryview(payload)[sent:]
                left -= sent
        world = self._sim_world()
        deadline = world.now + timeout
        first = True
        while True:
            rest = payload
            if timeout <= 0:
                sent = self._sim_plain(lambda file: file.send(rest, number))  # noqa: B023 - called at once
            else:
                if not first and world.now >= deadline:
                    raise TimeoutError("timed out")
                left_over = deadline - world.now
                sent = self._sim_timed(POLLOUT, "send", lambda file: file.send(rest, number), left_over)  # noqa: B023
            first = False
            left -= sent
            if left <= 0:
                return
            payload = memoryview(payload)[sent:]

    def sendto(self, *arguments: object) -> int:
        if not 2 <= len(arguments) <= 3:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({len(arguments)} given)")
        data, address = arguments[0], arguments[-1]
        payload = bytes_like(data)
        flags = c_int(arguments[1]) if len(arguments) == 3 else 0
        place = sockaddr(self._sim_process.host, self._sim_family, address, "sendto")
        if self._sim_type == SOCK_DGRAM:
            self._sim_world().sends()
        return cast(int, self._sim_call(POLLOUT, "sendto", lambda file: file.send(payload, flags, place)))

    def sendmsg(
        self, buffers: Iterable[object], ancdata: Iterable[object] = (), flags: object = 0, address: object = None, /
    ) -> int:
        try:
            pieces = [bytes_like(one) for one in buffers]
        except TypeError as error:
            if not isinstance(buffers, Iterable):
                raise TypeError("sendmsg() argument 1 must be an iterable") from None
            raise error from None
        if not isinstance(ancdata, Iterable):
            raise TypeError("sendmsg() argument 2 must be an iterable")
        ancillary = [_ancillary(item) for item in ancdata]
        number = c_int(flags)
        host = self._sim_process.host
        place = None if address is None else sockaddr(host, self._sim_family, address, "sendmsg")
        fd, process = self._sim_fd, self._sim_process
        if self._sim_type == SOCK_DGRAM:
            self._sim_world().sends()
        return cast(
            int,
            self._sim_call(POLLOUT, "sendmsg", lambda _: _io.sendmsg(process, fd, pieces, ancillary, number, place)),
        )

    def sendmsg_afalg(self, *arguments: object, **keywords: object) -> int:
        raise OSError("algset is only supported for AF_ALG")

    # -- receiving --

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        if self._sim_timeout <= 0 and type(bufsize) is int and bufsize > 0 and not flags:
            file = self._sim_open.get(self._sim_fd)
            if isinstance(file, SocketFile):
                try:
                    return file.recv_data(bufsize)
                except BlockingIOError:
                    self._sim_world().spin()
                    raise
        length, number = integer(bufsize), c_int(flags)
        if length < 0:
            raise ValueError("negative buffersize in recv")
        return self._sim_receive(length, number, "recv")

    def _sim_receive(self, length: int, flags: int, call: str) -> bytes:
        if not length:
            return b""  # "If 0 bytes were requested, do nothing": sock_recv_guts
        return cast(bytes, self._sim_call(POLLIN, call, lambda file: file.recv_data(length, flags)))

    def recv_into(self, buffer: object, nbytes: int = 0, flags: int = 0) -> int:
        view = writable(buffer, "recv_into()")
        length = integer(nbytes)
        number = c_int(flags)
        if length < 0:
            raise ValueError("negative buffersize in recv_into")
        if length == 0:
            length = len(view)
        if length > len(view):
            raise ValueError("buffer too small for requested bytes")
        data = self._sim_receive(length, number, "recv_into")
        got = min(len(data), length)
        view[:got] = data[:got]
        return len(data)  # with MSG_TRUNC more than the buffer holds

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        length, number = integer(bufsize), c_int(flags)
        if length < 0:
            raise ValueError("negative buffersize in recvfrom")
        data, sender, _ = self._sim_call(POLLIN, "recvfrom", lambda file: file.recv(length, number))
        return data, python_address(sender)

    def recvfrom_into(self, buffer: object, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        view = writable(buffer, "recvfrom_into()")
        length = integer(nbytes)
        number = c_int(flags)
        if length < 0:
            raise ValueError("negative buffersize in recvfrom_into")
        if length == 0:
            length = len(view)
        elif length > len(view):
            raise ValueError("nbytes is greater than the length of the buffer")
        data, sender, _ = self._sim_call(POLLIN, "recvfrom_into", lambda file: file.recv(length, number))
        got = min(len(data), length)
        view[:got] = data[:got]
        return len(data), python_address(sender)

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> tuple[bytes, list[Any], int, Any]:
        length, room, number = integer(bufsize), integer(ancbufsize), c_int(flags)
        if length < 0:
            raise ValueError("negative buffer size in recvmsg()")
        return self._sim_receive_message(length, room, number, "recvmsg")

    def _sim_receive_message(self, length: int, room: int, flags: int, call: str) -> tuple[bytes, list[Any], int, Any]:
        if not 0 <= room <= 0x7FFFFFFF:
            raise ValueError("invalid ancillary data buffer length")
        fd, process = self._sim_fd, self._sim_process
        data, ancillary, answer, sender = self._sim_call(
            POLLIN, call, lambda _: _io.recvmsg(process, fd, length, room, flags)
        )
        return data, ancillary, answer, python_address(sender)

    def recvmsg_into(
        self, buffers: Iterable[object], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[Any], int, Any]:
        if not isinstance(buffers, Iterable):
            raise TypeError("recvmsg_into() argument 1 must be an iterable")
        views = []
        for one in buffers:
            try:
                views.append(writable(one, "recvmsg_into()"))
            except TypeError:
                words = "recvmsg_into() argument 1 must be an iterable of single-segment read-write buffers"
                raise TypeError(words) from None
        total = sum(len(view) for view in views)
        data, ancillary, answer, sender = self._sim_receive_message(
            total, integer(ancbufsize), c_int(flags), "recvmsg_into"
        )
        at = 0
        for view in views:
            piece = data[at : at + len(view)]
            view[: len(piece)] = piece
            at += len(piece)
        return at, ancillary, answer, sender

    # -- options --

    def getsockopt(self, level: object, optname: object, buflen: object = 0, /) -> Any:
        kind, option, length = c_int(level), c_int(optname), c_int(buflen)
        if length == 0:
            value = _options.getsockopt(self._sim_process, self._sim_fd, kind, option, 4)
            return int.from_bytes(value, "little", signed=True)
        if not 0 < length <= 1024:
            raise OSError("getsockopt buflen out of range")
        return _options.getsockopt(self._sim_process, self._sim_fd, kind, option, length)

    def setsockopt(self, level: object, optname: object, *rest: object) -> None:
        kind, option = c_int(level), c_int(optname)
        value = rest[0] if rest else None
        if len(rest) == 2 and value is None and isinstance(rest[1], int):
            _options.set_null(self._sim_process, self._sim_fd, kind, option, rest[1])
            return
        elif len(rest) != 1:
            raise TypeError(f"setsockopt() takes exactly 3 arguments ({len(rest) + 2} given)")
        elif isinstance(value, int) and -0x80000000 <= value <= 0x7FFFFFFF:
            data = (value & 0xFFFFFFFF).to_bytes(4, "little")
        else:
            data = bytes_like(value)
        _options.setsockopt(self._sim_process, self._sim_fd, kind, option, data)


for _method in (
    name for name, value in vars(SimSocketMethods).items() if callable(value) and not name.startswith("__")
):
    _original = getattr(_stdlib.socket, _method, None)
    if _original is not None:
        _own = getattr(SimSocketMethods, _method)
        _own.__doc__ = _original.__doc__
        _own.__qualname__ = _own.__name__  # which is what errors about arguments say


def _ancillary(item: object) -> tuple[int, int, bytes]:
    if not isinstance(item, (tuple, list)) or len(item) != 3:
        words = "[sendmsg() ancillary data items]() argument must be 3-item sequence"
        raise TypeError(words if isinstance(item, (tuple, list)) else f"{words}, not {type(item).__name__}")
    return c_int(item[0]), c_int(item[1]), bytes_like(item[2])


def _close_later(process: Process, fd: int, file: File) -> None:
    """Close what a collection has found, now that it has ended."""
    if process.alive and process.files.open.get(fd) is file:
        process.files.close(fd)


SimSocket: Final = type("socket", (SimSocketMethods,), {"__slots__": STORAGE, "__module__": "socket"})
"""What `socket.socket()` makes in a simulated program: a twin of `socket.socket` that looks like it."""


def _c_repr(self: SimSocketMethods) -> str:
    fd, family, kind, proto = self._sim_fd, self._sim_family, self._sim_type, self._sim_proto
    return f"<socket object, fd={fd}, family={family}, type={kind}, proto={proto}>"


CSimSocket: Final = type(
    "socket", (SimSocketMethods,), {"__slots__": STORAGE, "__module__": "_socket", "__repr__": _c_repr}
)
"""What `_socket.socket()` makes, and `_socket.socketpair()`."""

_twins: Final[dict[type, type]] = {_stdlib.socket: SimSocket}


def twin_of(kind: type) -> type:
    """The class of which a simulated program's `kind()` is an instance: `kind` over the simulated methods."""
    twin = _twins.get(kind)
    if twin is None:
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        try:
            twin = type(kind)(kind.__name__, (kind, SimSocket), {**names, "__slots__": ()})
        except TypeError:  # it has slots of its own, which two bases can't both have
            twin = type(kind)(kind.__name__, (kind, SimSocketMethods), {**names, "__slots__": STORAGE})
        _twins[kind] = twin
    return twin


def forget_twins() -> None:
    """Let go of the twins of users' classes."""
    _twins.clear()
    _twins[_stdlib.socket] = SimSocket


def make(process: Process, fd: int, family: int, type: int, proto: int) -> _stdlib.socket:
    """A socket object of the C module on an open descriptor of the process."""
    made = cast(SimSocketMethods, _c_new(CSimSocket))
    made._io_refs = 0
    made._closed = False
    made._sim_adopt(process, fd, family, type, proto)
    return made
