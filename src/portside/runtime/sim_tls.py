# ruff: noqa: D102 - the methods have the docstrings of their C originals
"""TLS over sockets of simulated programs: what `ssl.SSLSocket` has in place of an `_ssl._SSLSocket`.

OpenSSL reads and writes memory here (`ssl.MemoryBIO`), and this file carries the bytes between that memory and the
simulated socket, in the way in which Modules/_ssl.c and OpenSSL's socket BIO do it (CPython 3.11 to 3.13, OpenSSL 3):

- What is received is one record and no byte more, so that `select` on the socket and what follows after `unwrap()` are
  as ever. The header of a record says how long it is (RFC 8446 section 5.1).
- What is sent is a record at a time. As without SSL_MODE_ENABLE_PARTIAL_WRITE, a write is over when all of its records
  have left; one that had to give up half way is continued by the next one, which brings the same data again.
- Timeouts hold for a call as a whole, and a call says that it wants to read or to write where a non-blocking socket
  cannot.
"""

from __future__ import annotations

import _ssl
import errno
import os
import socket
import ssl
import weakref
from collections.abc import Callable, Sized
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol, cast

from greenlet import getcurrent

from portside.addr.abi import MSG_DONTWAIT, POLLERR, POLLHUP, POLLIN, POLLOUT
from portside.host.errors import fail
from portside.host.file import Blocked
from portside.host.socket_file import SocketFile
from portside.host.waiting import wait_for
from portside.runtime import waiting
from portside.runtime.arguments import bytes_like
from portside.runtime.sim_socket import SimSocketMethods
from portside.runtime.trap import current_process, outside

if TYPE_CHECKING:
    from portside.sim.scheduler import Scheduler, Task
    from portside.wire.packet import Payload

_NOW: Final = -1
"""The deadline of a call that does not wait."""

_TURN: Final = Blocked("waiting for another thread's write to a TLS socket")

_HEADER: Final = 5
_ALERT: Final = 2
_MAX_PLAINTEXT: Final = 1 << 14
_MAX_RECORD: Final = _MAX_PLAINTEXT + 2048
_INT_MAX: Final = 0x7FFFFFFF
_READING: Final = "The read operation timed out"
_WRITING: Final = "The write operation timed out"
_TLS13: Final = "TLSv1.3"


class TlsSocket(Protocol):
    """What is used of an `_ssl._SSLSocket`."""

    context: ssl.SSLContext
    owner: object
    session: object
    server_side: bool

    def do_handshake(self) -> None: ...
    def read(self, *arguments: object) -> object: ...
    def write(self, data: object, /) -> int: ...
    def shutdown(self) -> None: ...
    def version(self) -> str | None: ...


class SimTls:
    """A TLS connection over a simulated socket, with the interface of `_ssl._SSLSocket`.

    What needs no socket (`cipher`, `getpeercert`, `pending`, `version` ...) is OpenSSL's own object's.
    """

    __slots__ = (
        "__weakref__", "_alert", "_broken", "_chunk", "_done", "_ended", "_fd", "_header", "_in", "_out", "_process",
        "_rest", "_socket", "_tls", "_unsent", "_unwrapped", "_writer",
    )  # fmt: skip

    def __init__(
        self, context: ssl.SSLContext, sock: SimSocketMethods, server_side: object, server_hostname: object = None, *,
        owner: object = None, session: object = None,
    ) -> None:  # fmt: skip
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: TlsSocket = context._wrap_bio(  # type: ignore[attr-defined]
            self._in, self._out, server_side, server_hostname, owner=owner, session=session
        )
        self._socket = weakref.ref(sock)
        self._process = sock._sim_process
        self._fd = sock._sim_fd  # stays that number, as in SSL_set_fd, whatever becomes of the socket object
        self._header = b""  # of the record that arrives, while it is not complete
        self._rest = 0  # bytes of that record that are still to come
        self._unsent: Payload = b""  # what OpenSSL has written and the socket has not taken yet
        self._done = 0  # bytes of the data of the write under way whose records have left
        self._chunk = 0  # bytes of that data in the record that is about to leave
        self._alert = False  # whether an alert waits to leave
        self._ended = False  # whether the peer has ended the stream (SSL_RECEIVED_SHUTDOWN)
        self._unwrapped = False  # whether we have (SSL_SENT_SHUTDOWN)
        self._broken = False  # whether a write of the wrong length has put OpenSSL's state machine out of order
        self._writer: Task | None = None  # who is in the middle of a write

    def __getattr__(self, name: str) -> object:
        return getattr(self._tls, name)

    def __dir__(self) -> list[str]:
        return dir(self._tls)

    @property
    def context(self) -> ssl.SSLContext:
        return self._tls.context

    @context.setter
    def context(self, value: ssl.SSLContext) -> None:
        self._tls.context = value

    @property
    def owner(self) -> object:
        return self._tls.owner

    @owner.setter
    def owner(self, value: object) -> None:
        self._tls.owner = value

    @property
    def session(self) -> object:
        return self._tls.session

    @session.setter
    def session(self, value: object) -> None:
        self._tls.session = value

    # -- the calls --

    def do_handshake(self) -> None:
        deadline = self._deadline(self._sock("do_handshake"))
        self._run("do_handshake", self._tls.do_handshake, (), deadline)
        try:
            self._flush("do_handshake", deadline)
        except (BrokenPipeError, ConnectionResetError):
            # A client may be gone before it has the session tickets: ossl_statem_server_post_work lets it.
            if not self._tls.server_side or self._tls.version() != _TLS13:
                raise
            self._unsent = b""

    def read(self, *arguments: object) -> object:
        deadline = self._deadline(self._sock("read"))
        if self._broken and not self._ended:
            raise self._as_the_end("read")
        result = self._run("read", self._tls.read, arguments, deadline)
        if self._out.pending:
            self._flush_what_goes()
        if not result and (len(cast("Sized", arguments[1])) if len(arguments) > 1 else arguments[0]):
            self._ended = True
        return result

    def write(self, *arguments: object) -> int:
        if len(arguments) != 1:
            raise TypeError(f"_SSLSocket.write() takes exactly one argument ({len(arguments)} given)")
        sock = self._sock("write")
        (b,) = arguments
        data = memoryview(b if isinstance(b, (bytes, bytearray)) else bytes_like(b))
        total = len(data)
        if total > _INT_MAX:
            raise OverflowError(f"string longer than {_INT_MAX} bytes")
        deadline = self._deadline(sock)
        self._wait_for_turn()
        try:
            if deadline is not None and deadline != _NOW:
                self._until_writable(sock, deadline)
            if self._unwrapped and (self._unsent or self._out.pending):
                # The alert of unwrap() has not left: PROTOCOL_IS_SHUTDOWN. An end that was taken for one in order, as
                # CPython did before 3.11.4, makes OpenSSL forget that (SSL_set_shutdown), and the alert is in the way.
                self._tls.write(data)
                raise _library_error("BAD_WRITE_RETRY", "bad write retry", "write")
            if self._done + (_ALERT if self._alert else self._chunk) > total:
                self._broken = True
                raise _library_error("BAD_LENGTH", "bad length", "write")
            if self._broken:
                raise self._as_the_end("write")
            return self._write_records(data, total, deadline)
        finally:
            self._writer = None
            waiting.wake_next(self)

    def shutdown(self) -> SimSocketMethods:
        sock = self._sock("shutdown")
        if sock._sim_fd == -1:
            raise _error(ssl.SSLError, 0, _gone()["shutdown"])
        if self._broken:
            raise _library_error("SHUTDOWN_WHILE_IN_INIT", "shutdown while in init", "shutdown")
        deadline = self._deadline(sock)
        unwrapped, self._unwrapped = self._unwrapped, True
        try:
            self._run("shutdown", self._tls.shutdown, (), deadline)
        except ssl.SSLError as error:
            if error.reason == "SHUTDOWN_WHILE_IN_INIT":
                self._unwrapped = unwrapped
            raise
        self._flush("shutdown", deadline)
        return sock

    # -- the socket --

    def _sock(self, call: str) -> SimSocketMethods:
        sock = self._socket()
        if sock is None:
            raise _error(ssl.SSLError, 0, _gone()[call])
        return sock

    def _file(self) -> SocketFile:
        file = self._process.files.open.get(self._fd)
        if not isinstance(file, SocketFile):
            current_process()  # which raises when it has ended
            raise fail(errno.EBADF if file is None else errno.ENOTSOCK)
        return file

    def _world(self) -> Scheduler:
        return cast("Scheduler", self._process.host.world)

    def _deadline(self, sock: SimSocketMethods) -> int | None:
        """Until when a call that begins now may wait: the socket's timeout; None for ever."""
        timeout = sock._sim_timeout
        if timeout > 0:
            return self._world().now + timeout
        return None if timeout else _NOW

    def _wait(self, file: SocketFile, events: int, deadline: int | None, call: str) -> None:
        """Wait for the socket (PySSL_select). TimeoutError in the words of the call."""
        if not wait_for(self._process.host.world, file, events, deadline, f"TLS {call}"):
            raise TimeoutError(_timed_out(call, events))

    def _until_writable(self, sock: SimSocketMethods, deadline: int) -> None:
        """A write with a timeout begins when something can be written."""
        if sock._sim_fd == -1:
            raise ssl.SSLError("Underlying socket has been closed.")
        file = self._file()
        while not file.poll() & (POLLOUT | POLLERR | POLLHUP):
            self._wait(file, POLLOUT, deadline, "write")

    def _wait_for_turn(self) -> None:
        """Let a thread that is in the middle of a write end it: records of two writes can't be mixed."""
        task = cast("Task", getcurrent())
        while self._writer is not None:
            waiting.wait(task, self, None, _TURN)
        self._writer = task

    # -- carrying --

    def _write_records(self, data: memoryview, total: int, deadline: int | None) -> int:
        """SSL_write: go on where the last write had to stop, and make and send records until all have left."""
        while True:
            if self._unsent or self._out.pending:
                self._flush("write", deadline)
            self._done += self._chunk
            self._chunk = 0
            piece = data[self._done : self._done + _MAX_PLAINTEXT]
            if not piece and total:
                self._done = 0
                return total
            self._chunk = cast(int, self._run("write", self._tls.write, (piece,), deadline))
            if not total:
                self._flush("write", deadline)
                return self._chunk

    def _run(
        self, name: str, call: Callable[..., object], arguments: tuple[object, ...], deadline: int | None
    ) -> object:
        """Let OpenSSL do what it can, and bring what it asks for, until the call is done or can't be yet."""
        while True:
            try:
                return call(*arguments)
            except ssl.SSLWantReadError as error:
                want = error
            except ssl.SSLSyscallError as error:
                self._flush_what_goes()
                raise _as_end_of_file(error) from None
            except ssl.SSLZeroReturnError:
                self._ended = True
                raise
            except BaseException:
                self._flush_what_goes()
                self._alert = bool(self._unsent) and not self._chunk
                raise
            if (self._out.pending or not self._chunk) and not (name == "read" and self._unwrapped):
                self._flush(name, deadline)  # reading does not send the alert that unwrap() could not
            if not self._receive(name, deadline):
                self._world().spin()
                raise want
            del want

    def _receive(self, call: str, deadline: int | None) -> bool:
        """Hand over what the socket has of the next record; False when it has nothing and the call does not wait."""
        while True:
            try:
                file = self._file()
                data = file.recv_data(self._rest or _HEADER - len(self._header), MSG_DONTWAIT)
            except BlockingIOError:
                if deadline == _NOW:
                    return False
                self._wait(file, POLLIN, deadline, call)
                continue
            except OSError as error:
                raise self._as_told(error, call) from None
            if not data:
                self._in.write_eof()
                return True
            self._in.write(data)
            if self._rest:
                self._rest -= len(data)
            else:
                self._header += data
                if len(self._header) < _HEADER:
                    continue
                self._rest = _length(self._header)
                self._header = b""
            if not self._rest:
                return True

    def _flush(self, call: str, deadline: int | None) -> None:
        """Send what OpenSSL has written. SSLWantWriteError, TimeoutError, and what send(2) raises."""
        while self._unsent or self._out.pending:
            try:
                self._send()
            except BlockingIOError:
                if deadline == _NOW:
                    self._world().spin()
                    words = f"The operation did not complete (write) (_ssl.c:{_lines()[call]})"
                    raise _error(ssl.SSLWantWriteError, ssl.SSL_ERROR_WANT_WRITE, words) from None
                self._wait(self._file(), POLLOUT, deadline, call)
            except OSError as error:
                raise self._as_told(error, call) from None
        self._alert = False

    def _as_told(self, error: OSError, call: str) -> OSError:
        """What a call says of a transport that fails: little where the stream had ended, or an alert can't leave."""
        if self._ended or self._alert or (call in ("read", "write") and _failures_look_like_the_end()):
            return self._as_the_end(call)
        return error

    def _as_the_end(self, call: str) -> ssl.SSLError:
        """What PySSL_SetError makes of a failure that says nothing of itself (SSL_get_error)."""
        if self._ended:
            words = f"TLS/SSL connection has been closed (EOF) (_ssl.c:{_lines()[call]})"
            return _error(ssl.SSLZeroReturnError, ssl.SSL_ERROR_ZERO_RETURN, words)
        words = f"EOF occurred in violation of protocol (_ssl.c:{_lines()[call]})"
        return _error(ssl.SSLEOFError, ssl.SSL_ERROR_EOF, words)

    def _flush_what_goes(self) -> None:
        """Send what can be sent at once, of what matters little: alerts, the answers to what was read."""
        try:
            while self._unsent or self._out.pending:
                self._send()
        except OSError:
            return

    def _send(self) -> None:
        if not self._unsent:
            self._unsent = self._out.read()
        data = self._unsent
        sent = self._file().send(data, MSG_DONTWAIT)
        self._unsent = b"" if sent == len(data) else memoryview(data)[sent:]


SimTls.__name__ = SimTls.__qualname__ = "_SSLSocket"
SimTls.__module__ = "_ssl"


def _length(header: bytes) -> int:
    """How many bytes follow the header of a record; 0 where it is none, which OpenSSL says by itself."""
    kind, major = header[0], header[1]
    if 20 <= kind <= 24 and major == 3:
        length = int.from_bytes(header[3:], "big")
        return length if length <= _MAX_RECORD else 0
    if kind & 0x80 and header[2] == 1:  # the hello of SSL 2.0, whose length stands before the type
        return max(0, ((kind & 0x7F) << 8 | major) + 2 - _HEADER)
    return 0


# -- errors --


def _error(kind: type[ssl.SSLError], number: int, words: str) -> ssl.SSLError:
    error = kind(int(number), words)
    error.reason = error.library = None  # type: ignore[assignment]  # which every error of the C code has
    return error


def _library_error(reason: str, words: str, call: str) -> ssl.SSLError:
    """An error that OpenSSL would give if it knew what has not been sent."""
    error = ssl.SSLError(int(ssl.SSL_ERROR_SSL), f"[SSL: {reason}] {words} (_ssl.c:{_lines()[call]})")
    error.reason, error.library = reason, "SSL"
    return error


def _as_end_of_file(error: ssl.SSLSyscallError) -> ssl.SSLError:
    """PySSL_SetError: an I/O error that is none is the end of the stream, over a socket."""
    if "Some I/O error occurred" not in str(error):
        return error
    words = str(error).replace("Some I/O error occurred", "EOF occurred in violation of protocol")
    return _error(ssl.SSLEOFError, ssl.SSL_ERROR_EOF, words)


def _timed_out(call: str, events: int) -> str:
    if call == "do_handshake":
        # Seventeen lines before the one that all other errors of a handshake name, in all versions.
        return f"_ssl.c:{_lines()[call] - 17}: The handshake operation timed out"
    if call == "shutdown":
        return _READING if events == POLLIN else _WRITING
    return _READING if call == "read" else _WRITING


@cache
def _failures_look_like_the_end() -> bool:
    """Whether reading and writing call a transport that fails the end of the stream: so did CPython 3.10 to 3.12.4.

    See gh-115627; it is tried out.
    """
    return outside(_write_to_nobody)


def _write_to_nobody() -> bool:
    one, two = socket.socketpair()
    two.close()
    with one:
        try:
            _client_context()._wrap_socket(one, False).write(b"x")  # type: ignore[attr-defined]
        except ssl.SSLEOFError:
            return True
        except OSError:
            pass
        return False


def _client_context() -> _ssl._SSLContext:
    context = _ssl._SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return context


@cache
def _lines() -> dict[str, int]:
    """The line of Modules/_ssl.c that errors of each call name, which differs by version."""
    return {name: int(words.rpartition(":")[2].rstrip(")")) for name, words in outside(_words_before_handshake).items()}


@cache
def _gone() -> dict[str, str]:
    """What each call says when its socket object is no more."""
    return outside(_words_without_socket)


def _words_before_handshake() -> dict[str, str]:
    return _words(_client_context()._wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), False))  # type: ignore[attr-defined]


def _words_without_socket() -> dict[str, str]:
    one, two = socket.socketpair()
    tls = _client_context()._wrap_socket(one, False)  # type: ignore[attr-defined]
    one.close()
    two.close()
    del one
    return _words(tls)


def _words(tls: TlsSocket) -> dict[str, str]:
    """With what words each call fails."""
    calls = {"do_handshake": (), "read": (1,), "write": (b"x",), "shutdown": ()}
    words = {}
    for name, arguments in calls.items():
        try:
            getattr(tls, name)(*arguments)
        except ssl.SSLError as error:
            words[name] = str(error)
    return words


def wrap_socket(self: ssl.SSLContext, *arguments: object, **keywords: object) -> object:
    """_SSLContext._wrap_socket: over a simulated socket or a real one."""
    sock = arguments[0] if arguments else keywords.get("sock")
    if isinstance(sock, SimSocketMethods):
        return cast("Callable[..., SimTls]", SimTls)(self, *arguments, **keywords)
    return _ssl._SSLContext._wrap_socket(self, *arguments, **keywords)  # type: ignore[attr-defined]


def set_default_verify_paths(self: ssl.SSLContext) -> None:
    """_SSLContext.set_default_verify_paths: by the environment of the simulated program, which OpenSSL can't see."""
    file_name, file, directory_name, directory = _ssl.get_default_verify_paths()
    own = {name: os.environ.get(name) for name in (file_name, directory_name)}
    if current_process() is None or all(outside(os.environ.get, name) == own[name] for name in own):
        _ssl._SSLContext.set_default_verify_paths(self)
        return
    with suppress(OSError):
        self.load_verify_locations(cafile=own[file_name] or file)
    with suppress(OSError):
        self.load_verify_locations(capath=own[directory_name] or directory)
