"""The files of /proc that tell of the host and not of the machine underneath (proc(5)).

/proc/sys/net, /proc/net, and of the host's processes fd, comm, cmdline, status and net. Of every other path each
function here says None: it is none of the host's, and whoever asked may look on the real disk.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from posixpath import normpath
from typing import TYPE_CHECKING, ClassVar, Final

from portside.addr.abi import POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from portside.host.epoll import Epoll
from portside.host.errors import fail
from portside.host.file import File
from portside.host.pipe import PipeEnd
from portside.host.processes import CAP_NET_ADMIN, Process
from portside.host.socket_file import SocketFile
from portside.host.sysctl import Sysctls
from portside.host.sysctl_codec import Codec
from portside.views import proc_net

if TYPE_CHECKING:
    from portside.host.kernel import Host

O_ACCMODE: Final = 3
O_RDONLY: Final = 0
S_IFDIR: Final = 0o040000
S_IFREG: Final = 0o100000
S_IFLNK: Final = 0o120000
COMM_LENGTH: Final = 15  # TASK_COMM_LEN - 1

Writer = Callable[[bytes], int]


class ProcFile(File):
    """An open file of /proc: its text is made when it is read from the start, and a write is taken at once."""

    __slots__ = ("_text", "may_read", "may_write", "offset", "path", "read_text", "write_data")
    kind: ClassVar[int] = S_IFREG

    def __init__(self, path: str, flags: int, read_text: Callable[[], str], write_data: Writer | None) -> None:
        super().__init__()
        self.path = path
        self.offset = 0
        self.may_read = flags & O_ACCMODE != 1
        self.may_write = flags & O_ACCMODE != O_RDONLY
        self.read_text = read_text
        self.write_data = write_data
        self._text = b""

    def read(self, length: int) -> bytes:
        """Up to `length` bytes from the offset on. EBADF when it was opened for writing."""
        if not self.may_read:
            raise fail(errno.EBADF)
        if not self.offset:
            self._text = self.read_text().encode("utf-8", "surrogateescape")
        data = self._text[self.offset : self.offset + length]
        self.offset += len(data)
        return data

    def write(self, data: bytes | memoryview) -> int:
        """Hand the text over: the number of bytes taken. EBADF when it was opened for reading; EINVAL, EPERM.

        What is written behind the start is taken and changes nothing (sysctl_writes_strict).
        """
        if not self.may_write or self.write_data is None:
            raise fail(errno.EBADF)
        text = bytes(data)
        used = self.write_data(text) if text and not self.offset else len(text)
        self.offset += used
        return used

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the offset (lseek(2)): SEEK_SET and SEEK_CUR; EINVAL for another place to count from."""
        if whence not in (0, 1):
            raise fail(errno.EINVAL)
        place = offset if whence == 0 else self.offset + offset
        if place < 0:
            raise fail(errno.EINVAL)
        self.offset = place
        return place

    def poll(self) -> int:
        """Always readable and writable."""
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM

    def describe(self) -> str:
        """The path."""
        return self.path


class _Node:
    """What is at a path: a directory (`names`), a link (`target`) or a file (`read`, `write`)."""

    __slots__ = ("mode", "names", "read", "target", "write")

    def __init__(self, mode: int) -> None:
        self.mode = mode
        self.names: list[str] = []
        self.target = ""
        self.read: Callable[[], str] = str
        self.write: Writer | None = None


def open(process: Process, path: str, flags: int = O_RDONLY) -> ProcFile | None:
    """Open a file of /proc (open(2)): `path` is absolute. None when the path is not the host's.

    ENOENT, ENOTDIR; EISDIR for a directory; EACCES for a sysctl that may not be written: by another than root or
    without CAP_NET_ADMIN, or by anyone.
    """
    node = _locate(process, path)
    if node is None:
        return None
    if node.mode & S_IFDIR == S_IFDIR and not node.mode & S_IFREG:
        raise fail(errno.EISDIR)
    if node.target:
        raise fail(errno.ENXIO)
    if flags & O_ACCMODE and node.write is None:
        raise fail(errno.EACCES)
    return ProcFile(normpath(path), flags, node.read, node.write)


def listdir(process: Process, path: str) -> list[str] | None:
    """The names in a directory of /proc, in order; None when the path is not the host's. ENOENT, ENOTDIR."""
    node = _locate(process, path)
    if node is None:
        return None
    if node.mode >> 12 != S_IFDIR >> 12:
        raise fail(errno.ENOTDIR)
    return node.names


def readlink(process: Process, path: str) -> str | None:
    """What a link of /proc says: `/proc/self`, `/proc/self/fd/3`. None when the path is not the host's.

    EINVAL for what is no link, ENOENT.
    """
    if normpath(path) in ("/proc/self", "/proc/thread-self"):
        return str(process.pid) if path.endswith("/self") else f"{process.pid}/task/{process.pid}"
    node = _locate(process, path)
    if node is None:
        return None
    if not node.target:
        raise fail(errno.EINVAL)
    return node.target


def mode(process: Process, path: str) -> int | None:
    """st_mode of a file of /proc (stat(2)); None when the path is not the host's. ENOENT."""
    node = _locate(process, path)
    return None if node is None else node.mode


def sysctls(host: Host) -> Sysctls:
    """The sysctls of a host."""
    return Sysctls(host.settings, lambda: [interface.name for interface in host.ip.interfaces.values()])


def _locate(process: Process, path: str) -> _Node | None:
    path = normpath(path)
    if not path.startswith("/proc/"):
        return None
    first, _, rest = path[6:].partition("/")
    if first == "sys":
        return _sysctl_node(process, rest) if rest == "net" or rest.startswith("net/") else None
    if first == "net":
        return _net_node(process.host, rest)
    if first in ("self", "thread-self"):
        return _process_node(process, process, rest) if rest else None
    if not first.isdecimal():
        return None
    other = process.host.processes.get(int(first))
    if other is None:
        raise fail(errno.ENOENT)
    node = _process_node(process, other, rest)
    if node is None:
        raise fail(errno.ENOENT)
    return node


def _directory(names: list[str], permissions: int = 0o555) -> _Node:
    node = _Node(S_IFDIR | permissions)
    node.names = names
    return node


def _file(read: Callable[[], str], permissions: int = 0o444) -> _Node:
    node = _Node(S_IFREG | permissions)
    node.read = read
    return node


def _link(target: str) -> _Node:
    node = _Node(S_IFLNK | 0o700)
    node.target = target
    return node


def _sysctl_node(process: Process, path: str) -> _Node:
    tree = sysctls(process.host)
    codec = tree.find(path)
    if codec is None:
        if tree.is_directory(path):
            return _directory(tree.listdir(path))
        raise fail(errno.ENOTDIR if tree.find(path.rpartition("/")[0]) is not None else errno.ENOENT)
    settings = process.host.settings
    node = _file(lambda: codec.read(settings), 0o644 if codec.writable else 0o444)
    if codec.writable and _may_administer(process):
        node.write = lambda data: _write_sysctl(process, codec, data)
    return node


def _write_sysctl(process: Process, codec: Codec, data: bytes) -> int:
    if not _may_administer(process):  # it had the right when it opened the file (proc_sys_call_handler)
        raise fail(errno.EPERM)
    return codec.write(process.host.settings, data)


def _may_administer(process: Process) -> bool:
    """net_ctl_permissions: root, or who may administer the network."""
    return process.euid == 0 or process.capable(CAP_NET_ADMIN)


def _net_node(host: Host, name: str) -> _Node:
    if not name:
        return _directory(sorted(proc_net.FILES))
    text = proc_net.FILES.get(name)
    if text is None:
        raise fail(errno.ENOENT)

    def read() -> str:
        from portside.host.snapshot import snapshot

        return text(snapshot(host))

    return _file(read)


def _process_node(process: Process, other: Process, path: str) -> _Node | None:
    """What is under /proc/PID; None for what is told of no simulated process."""
    first, _, rest = path.partition("/")
    if first == "net":
        return _net_node(process.host, rest)
    if first == "fd":
        if process.euid not in (0, other.euid):
            raise fail(errno.EACCES)
        return _fd_node(other, rest)
    if first == "task" and rest == str(other.pid):
        return _directory(["comm", "fd", "net", "status"])
    if rest:
        return None
    if not first:
        return _directory(["cmdline", "comm", "fd", "net", "status", "task"])
    if first == "comm":
        node = _file(lambda: other.name[:COMM_LENGTH] + "\n", 0o644)
        if process is other:
            node.write = lambda data: _rename(other, data)
        return node
    if first == "cmdline":
        return _file(lambda: "".join(word + "\0" for word in other.argv))
    if first == "status":
        return _file(lambda: _status(other))
    return None


def _rename(process: Process, data: bytes) -> int:
    process.name = data[:COMM_LENGTH].split(b"\0")[0].rstrip(b"\n").decode("utf-8", "surrogateescape")
    return len(data)


def _fd_node(process: Process, name: str) -> _Node:
    opened = process.files.open
    if not name:
        return _directory([str(fd) for fd in sorted(opened)], 0o500)
    file = opened.get(int(name)) if name.isdecimal() else None
    if file is None:
        raise fail(errno.ENOENT)
    return _link(link_of(file))


def link_of(file: File) -> str:
    """What /proc/PID/fd/N says of a file: `socket:[4711]`, `pipe:[12]`, `anon_inode:[eventpoll]`, a path."""
    if isinstance(file, SocketFile):
        return f"socket:[{file.inode}]"
    if isinstance(file, PipeEnd):
        return f"pipe:[{file.inode}]"
    return "anon_inode:[eventpoll]" if isinstance(file, Epoll) else file.describe()


def _status(process: Process) -> str:
    """The lines of /proc/PID/status that a simulated process has an answer for."""
    uids = "\t".join(map(str, (process.uid, process.euid, process.suid, process.fsuid)))
    gids = "\t".join(map(str, (process.gid, process.egid, process.sgid, process.fsgid)))
    size = max(64, 1 << (max(process.files.open, default=0)).bit_length())
    return (
        f"Name:\t{process.name[:COMM_LENGTH]}\n"
        f"Umask:\t0022\n"
        f"State:\tS (sleeping)\n"
        f"Tgid:\t{process.pid}\n"
        f"Ngid:\t0\n"
        f"Pid:\t{process.pid}\n"
        f"PPid:\t{process.ppid}\n"
        f"TracerPid:\t0\n"
        f"Uid:\t{uids}\n"
        f"Gid:\t{gids}\n"
        f"FDSize:\t{size}\n"
        f"Groups:\t{''.join(f'{group} ' for group in process.groups)}\n"
        f"Threads:\t{max(1, len(process.tasks))}\n"
        f"CapInh:\t{0:016x}\n"
        f"CapPrm:\t{process.permitted:016x}\n"
        f"CapEff:\t{process.effective:016x}\n"
    )
