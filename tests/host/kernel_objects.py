"""One dialogue of calls over pipes, epolls and AF_UNIX sockets, held on the real kernel and on the simulated one.

A dialogue is a list of tuples: the call and its arguments. Descriptors are named by slots: slot N is the Nth descriptor
that a call has given. Both kernels answer in the same words: values, `OSError` names, digests of data.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import select
import shutil
import socket
import stat
import struct
import tempfile
from pathlib import Path
from random import Random

from portside.addr.abi import AF_UNIX
from portside.facts.settings import Settings
from portside.host.file import Blocked, World
from portside.host.processes import SIGPIPE, Processes
from portside.host.syscalls import files as sys_files
from portside.host.syscalls import io as sys_io
from portside.host.syscalls import name as sys_name
from portside.host.syscalls import options as sys_options
from portside.host.syscalls import poll as sys_poll
from portside.host.syscalls import socket as sys_socket
from portside.host.syscalls import socket_files as sys_socket_files
from portside.host.unix_names import NoDisk
from portside.host.unix_socket import UnixNames, UnixSocket
from portside.host.users import Users

BASE = 700  # where the real process keeps the descriptors of a dialogue
SOL_SOCKET, SCM_RIGHTS, SCM_CREDENTIALS = 1, 1, 2
STREAM, DGRAM, SEQPACKET = 1, 2, 5
TRUNCATED = socket.MSG_TRUNC | socket.MSG_CTRUNC


class FakeWorld(World):
    """A world in which nobody may wait: what is put off is done by `settle`."""

    class _Nobody:
        process: object = None
        name = "nobody"

    def __init__(self) -> None:
        self.now = 0
        self.task = self._Nobody()
        self.later = []

    def at(self, when, action, *arguments) -> None:
        self.later.append((action, arguments))

    def settle(self) -> None:
        while self.later:
            action, arguments = self.later.pop(0)
            action(*arguments)

    def current(self):
        return self.task

    def block(self, deadline, why: Blocked) -> bool:
        raise AssertionError(f"would wait: {why}")

    def wake(self, task) -> None: ...

    def kill(self, task, exception) -> None: ...

    def stream(self, name: str) -> Random:
        return Random(name)


class FakeHost:
    """As much of a host as pipes, epolls and AF_UNIX sockets ask for."""

    def __init__(self, world=None, settings: Settings | None = None) -> None:
        self.name = "host"
        self.world = world or FakeWorld()
        self.settings = settings or Settings()
        self.users = Users()
        self.processes = Processes(self)
        self.unix = UnixNames()
        self._inode = 100

    def new_inode(self) -> int:
        self._inode += 1
        return self._inode

    def new_socket(self, process, family, type, proto):
        return UnixSocket(self, type, process)

    def new_socketpair(self, process, family, type, proto):
        one, two = UnixSocket(self, type, process), UnixSocket(self, type, process)
        one.pair(two, process)
        return one, two


def sysctl(name: str) -> int:
    return int(Path("/proc/sys/net", name).read_text())


class OneDirectory(NoDisk):
    """A disk on which `missing` does not exist."""

    def is_directory(self, path: bytes) -> bool:
        return not path.endswith(b"missing")


class Simulated:
    """The calls of a dialogue on a simulated host."""

    first = 3
    number = 0

    def __init__(self) -> None:
        settings = Settings(
            wmem_default=sysctl("core/wmem_default"),
            rmem_default=sysctl("core/rmem_default"),
            wmem_max=sysctl("core/wmem_max"),
            rmem_max=sysctl("core/rmem_max"),
            unix_max_dgram_qlen=sysctl("unix/max_dgram_qlen"),
        )
        self.host = FakeHost(settings=settings)
        self.host.unix.disk = OneDirectory()
        self.ids = (os.getuid(), os.getgid())  # those of the one that it is compared with
        self.process = self.host.processes.create("test", uid=self.ids[0], gid=self.ids[1])
        self.process.handlers[SIGPIPE] = int  # it is ignored, as Python does
        self.host.world.task.process = self.process
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.process.files.close_all()

    def pipe(self, flags):
        return sys_files.pipe2(self.process, flags | os.O_NONBLOCK)

    def socket(self, kind):
        return sys_socket.socket(self.process, AF_UNIX, kind | socket.SOCK_NONBLOCK)

    def socketpair(self, kind):
        return sys_socket.socketpair(self.process, AF_UNIX, kind | socket.SOCK_NONBLOCK)

    def bind(self, fd, name):
        sys_socket.bind(self.process, fd, (AF_UNIX, name))

    def listen(self, fd, backlog):
        sys_socket.listen(self.process, fd, backlog)

    def accept(self, fd):
        new, address = sys_socket.accept(self.process, fd, socket.SOCK_NONBLOCK)
        return new, address[1]

    def connect(self, fd, name):
        sys_socket.connect(self.process, fd, (0,) if name is None else (AF_UNIX, name))

    def shutdown(self, fd, how):
        sys_socket.shutdown(self.process, fd, how)

    def send(self, fd, data, flags):
        return sys_io.send(self.process, fd, data, flags)

    def sendto(self, fd, data, name):
        return sys_io.sendto(self.process, fd, data, 0, (AF_UNIX, name))

    def sendmsg(self, fd, data, ancillary):
        return sys_io.sendmsg(self.process, fd, [data], ancillary, 0)

    def recv(self, fd, length, flags):
        return sys_io.recv(self.process, fd, length, flags)

    def recvfrom(self, fd, length, flags):
        data, address = sys_io.recvfrom(self.process, fd, length, flags)
        return data, None if address is None else address[1]

    def recvmsg(self, fd, length, room, flags):
        data, ancillary, out, address = sys_io.recvmsg(self.process, fd, length, room, flags)
        return data, ancillary, out, None if address is None else address[1]

    def getsockname(self, fd):
        return sys_name.getsockname(self.process, fd)[1]

    def getpeername(self, fd):
        return sys_name.getpeername(self.process, fd)[1]

    def setsockopt(self, fd, name, value):
        sys_options.setsockopt(self.process, fd, SOL_SOCKET, name, value)

    def getsockopt(self, fd, name, length):
        return sys_options.getsockopt(self.process, fd, SOL_SOCKET, name, length)

    def read(self, fd, length):
        return sys_files.read(self.process, fd, length)

    def write(self, fd, data):
        return sys_files.write(self.process, fd, data)

    def close(self, fd):
        sys_files.close(self.process, fd)

    def dup(self, fd):
        return sys_files.dup(self.process, fd)

    def dup2(self, fd, new):
        return sys_files.dup2(self.process, fd, new)

    def ioctl(self, fd, request):
        return sys_files.ioctl(self.process, fd, request)

    def fcntl(self, fd, command, argument):
        return sys_files.fcntl(self.process, fd, command, argument)

    def poll(self, asked):
        return sys_poll.poll(self.process, asked, 0)

    def select(self, readers, writers, exceptional):
        return sys_poll.select(self.process, readers, writers, exceptional, 0)

    def epoll_create(self):
        return sys_poll.epoll_create1(self.process)

    def epoll_ctl(self, epfd, op, fd, events, data):
        sys_poll.epoll_ctl(self.process, epfd, op, fd, events, data)

    def epoll_wait(self, epfd, maxevents):
        return sys_poll.epoll_wait(self.process, epfd, maxevents, 0)

    def is_socket(self, fd):
        return sys_files.kind(self.process, fd) == sys_files.S_IFSOCK

    def path(self, name):
        return b"/tmp/" + name

    def short(self, name):
        return name.removeprefix(b"/tmp/")

    def unlink(self, name):
        sys_socket_files.unlink(self.process, name)


class _Event(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("events", ctypes.c_uint32), ("data", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


class Real:
    """The calls of a dialogue on the kernel underneath. Its descriptors stand from BASE on."""

    first = BASE

    def __init__(self) -> None:
        self.directory = os.fsencode(tempfile.mkdtemp(prefix="portside"))
        # Abstract names outlive their dialogue where sockets in flight wait for the kernel's garbage collector.
        self.number = hash(self.directory) & 0xFFFFFFFF
        self.pid = os.getpid()
        self.ids = (os.getuid(), os.getgid())

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        os.closerange(BASE, BASE + 200)
        shutil.rmtree(self.directory)

    def _up(self, fd):
        new = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, BASE)
        os.close(fd)
        return new

    @contextlib.contextmanager
    def _socket(self, fd):
        sock = socket.socket(AF_UNIX, STREAM, 0, fileno=fd)
        try:
            yield sock
        finally:
            sock.detach()

    def pipe(self, flags):
        one, two = os.pipe2(flags | os.O_NONBLOCK)
        return self._up(one), self._up(two)

    def socket(self, kind):
        return self._up(socket.socket(AF_UNIX, kind | socket.SOCK_NONBLOCK).detach())

    def socketpair(self, kind):
        one, two = socket.socketpair(AF_UNIX, kind | socket.SOCK_NONBLOCK)
        return self._up(one.detach()), self._up(two.detach())

    def bind(self, fd, name):
        with self._socket(fd) as sock:
            sock.bind(name)

    def listen(self, fd, backlog):
        with self._socket(fd) as sock:
            sock.listen(backlog)

    def accept(self, fd):
        with self._socket(fd) as sock:
            new, address = sock._accept()
        os.set_blocking(new, False)
        return self._up(new), os.fsencode(address)

    def connect(self, fd, name):
        if name is None:
            _checked(_libc.connect(fd, struct.pack("=H14x", 0), 16))
            return
        with self._socket(fd) as sock:
            sock.connect(name)

    def shutdown(self, fd, how):
        with self._socket(fd) as sock:
            sock.shutdown(how)

    def send(self, fd, data, flags):
        with self._socket(fd) as sock:
            return sock.send(data, flags)

    def sendto(self, fd, data, name):
        with self._socket(fd) as sock:
            return sock.sendto(data, name)

    def sendmsg(self, fd, data, ancillary):
        with self._socket(fd) as sock:
            return sock.sendmsg([data], ancillary)

    def recv(self, fd, length, flags):
        with self._socket(fd) as sock:
            return sock.recv(length, flags)

    def recvfrom(self, fd, length, flags):
        with self._socket(fd) as sock:
            data, address = sock.recvfrom(length, flags)
        return data, None if address is None else os.fsencode(address)

    def recvmsg(self, fd, length, room, flags):
        with self._socket(fd) as sock:
            data, ancillary, out, address = sock.recvmsg(length, room, flags)
        moved = []
        for level, kind, payload in ancillary:
            if kind == SCM_RIGHTS:
                fds = array.array("i", payload[: len(payload) & ~3])
                payload = array.array("i", [self._up(fd) for fd in fds]).tobytes()
            moved.append((level, kind, payload))
        return data, moved, out, None if address is None else os.fsencode(address)

    def getsockname(self, fd):
        with self._socket(fd) as sock:
            return os.fsencode(sock.getsockname())

    def getpeername(self, fd):
        with self._socket(fd) as sock:
            return os.fsencode(sock.getpeername())

    def setsockopt(self, fd, name, value):
        with self._socket(fd) as sock:
            sock.setsockopt(SOL_SOCKET, name, value)

    def getsockopt(self, fd, name, length):
        with self._socket(fd) as sock:
            return sock.getsockopt(SOL_SOCKET, name, length)

    def read(self, fd, length):
        return os.read(fd, length)

    def write(self, fd, data):
        return os.write(fd, data)

    def close(self, fd):
        os.close(fd)

    def dup(self, fd):
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, BASE)

    def dup2(self, fd, new):
        return os.dup2(fd, new)

    def ioctl(self, fd, request):
        number = array.array("i", [0])
        fcntl.ioctl(fd, request, number)
        return number[0]

    def fcntl(self, fd, command, argument):
        return fcntl.fcntl(fd, command, argument)

    def poll(self, asked):
        poller = select.poll()
        for fd, events in asked:
            poller.register(fd, events)
        return poller.poll(0)

    def select(self, readers, writers, exceptional):
        return select.select(readers, writers, exceptional, 0)

    def epoll_create(self):
        return self._up(_checked(_libc.epoll_create1(0)))

    def epoll_ctl(self, epfd, op, fd, events, data):
        _checked(_libc.epoll_ctl(epfd, op, fd, ctypes.byref(_Event(events, data))))

    def epoll_wait(self, epfd, maxevents):
        found = (_Event * max(1, maxevents))()
        number = _checked(_libc.epoll_wait(epfd, found, maxevents, 0))
        return [(event.data, event.events) for event in found[:number]]

    def is_socket(self, fd):
        return stat.S_ISSOCK(os.fstat(fd).st_mode)

    def path(self, name):
        return os.path.join(self.directory, name)

    def short(self, name):
        return os.path.basename(name)

    def unlink(self, name):
        os.unlink(name)


class Dialogue:
    """Runs the steps of a dialogue on one kernel and says what each answered."""

    def __init__(self, kernel) -> None:
        self.kernel = kernel
        self.slots: list[int] = []
        self.sent = 0

    def step(self, call: str, *arguments):
        """The answer to one call, in words that are the same on both kernels."""
        try:
            return getattr(self, "_" + call)(*arguments)
        except OSError as error:
            return errno.errorcode[error.errno]
        finally:
            if isinstance(self.kernel, Simulated):
                self.kernel.host.world.settle()

    def _fd(self, slot):
        return self.slots[slot % len(self.slots)] if self.slots else 9999

    def _new(self, *fds):
        self.slots.extend(fds)
        return [fd - self.kernel.first for fd in fds]

    def _name(self, name):
        if name.startswith("@"):
            return b"\0%08x-" % self.kernel.number + name[1:].encode()
        return self.kernel.path(name.encode()) if name else b""

    def _said(self, name):
        if name is None:
            return None
        if name[:1] == b"\0":
            return "@auto" if len(name) == 6 else "@" + name[10:].decode()
        return self.kernel.short(name).decode()

    def _data(self, size):
        """Bytes that differ from call to call, and are the same on both kernels."""
        self.sent += 1
        return (b"%07d." % self.sent * (size // 8 + 1))[:size]

    @staticmethod
    def _digest(data):
        return len(data), data[:16], hash(data) if len(data) > 16 else 0

    def _pipe(self, flags=0):
        return self._new(*self.kernel.pipe(flags))

    def _socket(self, kind):
        return self._new(self.kernel.socket(kind))

    def _socketpair(self, kind):
        return self._new(*self.kernel.socketpair(kind))

    def _bind(self, slot, name):
        self.kernel.bind(self._fd(slot), self._name(name))

    def _listen(self, slot, backlog):
        self.kernel.listen(self._fd(slot), backlog)

    def _accept(self, slot):
        new, address = self.kernel.accept(self._fd(slot))
        return self._new(new), self._said(address)

    def _connect(self, slot, name):
        self.kernel.connect(self._fd(slot), self._name(name))

    def _disconnect(self, slot):
        self.kernel.connect(self._fd(slot), None)

    def _shutdown(self, slot, how):
        self.kernel.shutdown(self._fd(slot), how)

    def _send(self, slot, size, flags=0):
        return self.kernel.send(self._fd(slot), self._data(size), flags)

    def _sendto(self, slot, size, name):
        return self.kernel.sendto(self._fd(slot), self._data(size), self._name(name))

    def _fill(self, slot, size):
        """Send until it fails: how many calls, how many bytes, and the error."""
        calls = total = 0
        fd, data = self._fd(slot), self._data(size)
        try:
            while calls < 2000:
                total += self.kernel.write(fd, data)
                calls += 1
        except OSError as error:
            return calls, total, errno.errorcode[error.errno]
        return calls, total, None

    def _sendfds(self, slot, size, passed):
        fds = array.array("i", [self._fd(other) for other in passed]).tobytes()
        return self.kernel.sendmsg(self._fd(slot), self._data(size), [(SOL_SOCKET, SCM_RIGHTS, fds)])

    def _sendplain(self, slot, size, passed):
        """As `sendfds`, but no sockets: when those in flight are found to be garbage is the kernel's own time."""
        return self._sendfds(slot, size, [other for other in passed if not self.kernel.is_socket(self._fd(other))])

    def _sendcreds(self, slot, size, mine):
        pid = self.kernel.pid if mine else 999999
        creds = struct.pack("=iII", pid, *self.kernel.ids)
        return self.kernel.sendmsg(self._fd(slot), self._data(size), [(SOL_SOCKET, SCM_CREDENTIALS, creds)])

    def _recv(self, slot, length, flags=0):
        return self._digest(self.kernel.recv(self._fd(slot), length, flags))

    def _recvfrom(self, slot, length, flags=0):
        data, address = self.kernel.recvfrom(self._fd(slot), length, flags)
        return self._digest(data), self._said(address)

    def _recvmsg(self, slot, length, room, flags=0):
        data, ancillary, out, address = self.kernel.recvmsg(self._fd(slot), length, room, flags)
        said = []
        for _, kind, payload in ancillary:
            if kind == SCM_RIGHTS:
                said.append(("fds", self._new(*array.array("i", payload))))
            elif len(payload) == 12:
                pid, uid, gid = struct.unpack("=iII", payload)
                said.append(("creds", "me" if pid == self.kernel.pid else pid, uid, gid))
            else:
                said.append(("creds", len(payload)))
        return self._digest(data), said, out & TRUNCATED, self._said(address)

    def _getsockname(self, slot):
        return self._said(self.kernel.getsockname(self._fd(slot)))

    def _getpeername(self, slot):
        return self._said(self.kernel.getpeername(self._fd(slot)))

    def _setsockopt(self, slot, name, value):
        self.kernel.setsockopt(self._fd(slot), name, struct.pack("=i", value))

    def _getsockopt(self, slot, name, length=12):
        data = self.kernel.getsockopt(self._fd(slot), name, length)
        if name == 17:
            pid, uid, gid = struct.unpack("=iii", data)
            return "me" if pid == self.kernel.pid else pid, uid, gid
        return data

    def _read(self, slot, length):
        return self._digest(self.kernel.read(self._fd(slot), length))

    def _write(self, slot, size):
        return self.kernel.write(self._fd(slot), self._data(size))

    def _close(self, slot):
        self.kernel.close(self._fd(slot))

    def _dup(self, slot):
        return self._new(self.kernel.dup(self._fd(slot)))

    def _dup2(self, slot, other):
        return self.kernel.dup2(self._fd(slot), self._fd(other)) - self.kernel.first

    def _ioctl(self, slot, request):
        return self.kernel.ioctl(self._fd(slot), request)

    def _fcntl(self, slot, command, argument=0):
        return self.kernel.fcntl(self._fd(slot), command, argument)

    def _poll(self, *asked):
        fds = {self._fd(slot): events for slot, events in asked}
        return [(fd - self.kernel.first, events) for fd, events in self.kernel.poll(list(fds.items()))]

    def _select(self, *slots):
        fds = [self._fd(slot) for slot in slots]
        return [[fd - self.kernel.first for fd in ready] for ready in self.kernel.select(fds, fds, fds)]

    def _epoll(self):
        return self._new(self.kernel.epoll_create())

    def _ctl(self, epoll, op, slot, events):
        self.kernel.epoll_ctl(self._fd(epoll), op, self._fd(slot), events, slot)

    def _wait(self, epoll, maxevents):
        return self.kernel.epoll_wait(self._fd(epoll), maxevents)

    def _unlink(self, name):
        self.kernel.unlink(self._name(name))


def run(kernel_class, steps) -> list[object]:
    """What each step answered."""
    with kernel_class() as kernel:
        dialogue = Dialogue(kernel)
        return [dialogue.step(*step) for step in steps]


def compare(steps) -> None:
    """Fail with the first step whose answers differ."""
    simulated = run(Simulated, steps)
    real = run(Real, steps)
    for number, (step, ours, linux) in enumerate(zip(steps, simulated, real, strict=True)):
        before = [f"  {at} {steps[at]}: {real[at]}" for at in range(number)]
        assert ours == linux, "\n".join(
            [f"step {number} {step}: Linux {linux}, portside {ours}; before it:", *before]
        )
