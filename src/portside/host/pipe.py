"""Pipes (pipe(7), fs/pipe.c): a ring of page buffers between two ends."""

from __future__ import annotations

import errno
from collections import deque
from typing import Final

from portside.addr.abi import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from portside.host.errors import fail
from portside.host.file import File, World
from portside.host.processes import broken_pipe
from portside.host.waiting import ANY_EVENT, wait_for

PAGE: Final = 4096
PIPE_BUF: Final = 4096  # what is written at once up to here is never torn apart
DEFAULT_BUFFERS: Final = 16  # 64 KiB, where every buffer is full
MAX_SIZE: Final = 1048576  # fs.pipe-max-size

_IN: Final = POLLIN | POLLRDNORM
_OUT: Final = POLLOUT | POLLWRNORM


class Buffer:
    """One page of the ring: bytes from `start` on are unread. A packet (O_DIRECT) takes no more and is read whole."""

    __slots__ = ("data", "packet", "start")

    def __init__(self, data: bytes, packet: bool) -> None:
        self.data = data
        self.start = 0
        self.packet = packet


class Ring:
    """What the two ends share. Capacity is a number of buffers, not of bytes: small writes that do not fit into the
    last page begin a new one.
    """  # fmt: skip

    __slots__ = ("buffers", "capacity", "polled", "reader", "writer")

    def __init__(self) -> None:
        self.buffers: deque[Buffer] = deque()
        self.capacity = DEFAULT_BUFFERS
        self.polled = False  # pipe->poll_usage: from the first poll on, every write wakes readers
        self.reader: ReadEnd | None = None
        self.writer: WriteEnd | None = None

    def full(self) -> bool:
        """Whether no buffer is free (pipe_full)."""
        return len(self.buffers) >= self.capacity

    def queued(self) -> int:
        """Bytes that wait to be read (FIONREAD)."""
        return sum(len(buffer.data) - buffer.start for buffer in self.buffers)

    def broken(self) -> bool:
        """Whether nobody can read any more."""
        return self.reader is None

    def append(self, data: memoryview, packet: bool) -> None:
        """Begin a new buffer with up to a page of `data`."""
        self.buffers.append(Buffer(bytes(data[:PAGE]), packet))

    def merge(self, data: memoryview) -> bool:
        """Add `data` to the last page if it fits there."""
        last = self.buffers[-1]
        if last.packet or len(last.data) + len(data) > PAGE:
            return False
        last.data += data
        return True

    def wake_readers(self) -> None:
        """There is something to read."""
        if self.reader is not None:
            self.reader.wake(_IN)

    def wake_writers(self) -> None:
        """There is room to write."""
        if self.writer is not None:
            self.writer.wake(_OUT)


class PipeEnd(File):
    """One end of a pipe. `inode` names the pipe: both ends have the same."""

    __slots__ = ("inode", "ring", "world")

    def __init__(self, world: World, ring: Ring, inode: int) -> None:
        super().__init__()
        self.world = world
        self.ring = ring
        self.inode = inode

    def get_size(self) -> int:
        """The capacity in bytes (F_GETPIPE_SZ)."""
        return self.ring.capacity * PAGE

    def set_size(self, size: int, privileged: bool) -> int:
        """Change the capacity (F_SETPIPE_SZ): the one set, a power of two of pages.

        EPERM above fs.pipe-max-size without CAP_SYS_RESOURCE; EBUSY when more is queued; EINVAL.
        """
        if size > 1 << 31 or size < 0:
            raise fail(errno.EINVAL)
        buffers = 1
        while buffers * PAGE < size:
            buffers *= 2
        ring = self.ring
        if buffers > ring.capacity and buffers * PAGE > MAX_SIZE and not privileged:
            raise fail(errno.EPERM)
        if len(ring.buffers) > buffers:
            raise fail(errno.EBUSY)
        ring.capacity = buffers
        ring.wake_writers()
        return buffers * PAGE

    def describe(self) -> str:
        """`pipe:[inode]`, as /proc/PID/fd shows it."""
        return f"pipe:[{self.inode}]"


class ReadEnd(PipeEnd):
    """The end that is read from."""

    __slots__ = ()

    def read(self, length: int) -> bytes:
        """Up to `length` bytes; b"" when the write end is closed. EAGAIN when there is nothing yet (pipe_read)."""
        ring = self.ring
        waited = False
        while length:
            if ring.buffers:
                return self._take(length, waited)
            if ring.writer is None:
                break
            deadline = self.world.now if self.nonblocking else None
            if not wait_for(self.world, self, _IN, deadline, "read"):
                raise fail(errno.EAGAIN)
            waited = True
        return b""

    def write(self, data: bytes | memoryview) -> int:
        """EBADF: this end is open for reading."""
        raise fail(errno.EBADF)

    def _take(self, length: int, waited: bool) -> bytes:
        ring = self.ring
        buffers = ring.buffers
        was_full = False
        taken: list[bytes] = []
        while buffers and length:
            buffer = buffers[0]
            chunk = buffer.data[buffer.start : buffer.start + length]
            taken.append(chunk)
            length -= len(chunk)
            buffer.start += len(chunk)
            if buffer.packet or buffer.start == len(buffer.data):
                was_full = was_full or ring.full()
                buffers.popleft()
            if buffer.packet:
                break
        if was_full:
            ring.wake_writers()
        if waited and buffers:
            ring.wake_readers()
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def poll(self) -> int:
        """POLLIN with data, POLLHUP without a writer (pipe_poll)."""
        ring = self.ring
        ring.polled = True
        events = _IN if ring.buffers else 0
        return events | POLLHUP if ring.writer is None else events

    def release(self) -> None:
        """Writers get EPIPE from now on."""
        self.ring.reader = None
        if self.ring.writer is not None:
            self.ring.writer.wake(ANY_EVENT)


class WriteEnd(PipeEnd):
    """The end that is written to. `packets` is O_DIRECT: each write is read by itself."""

    __slots__ = ("packets",)

    def __init__(self, world: World, ring: Ring, inode: int) -> None:
        super().__init__(world, ring, inode)
        self.packets = False

    def write(self, data: bytes | memoryview) -> int:
        """Write `data`: the number of bytes taken, all of them unless O_NONBLOCK (pipe_write).

        Up to PIPE_BUF bytes are written whole or not at all. EPIPE without a reader, EAGAIN when it is full.
        """
        left = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
        total = len(left)
        if not total:
            return 0
        ring = self.ring
        if ring.broken():
            raise broken_pipe(self.world)
        was_empty = not ring.buffers
        odd = total % PAGE
        if odd and not was_empty and ring.merge(left[:odd]):
            left = left[odd:]
        waited = False
        while left:
            if ring.broken():
                told = broken_pipe(self.world)  # the signal comes though a part was written
                if len(left) == total:
                    raise told
                break
            if not ring.full():
                ring.append(left, self.packets)
                left = left[PAGE:]
                continue
            if self.nonblocking:
                if len(left) == total:
                    raise fail(errno.EAGAIN)
                break
            if was_empty:
                ring.wake_readers()
            wait_for(self.world, self, _OUT, None, "write")
            was_empty = not ring.buffers
            waited = True
        self._after_write(was_empty, waited)
        return total - len(left)

    def _after_write(self, was_empty: bool, waited: bool) -> None:
        ring = self.ring
        # An edge for each write, though the pipe was not empty: epoll's users have come to rely on it (pipe_write).
        if was_empty or ring.polled:
            ring.wake_readers()
        if waited and not ring.full():
            ring.wake_writers()

    def read(self, length: int) -> bytes:
        """EBADF: this end is open for writing."""
        raise fail(errno.EBADF)

    def poll(self) -> int:
        """POLLOUT with a free buffer, POLLERR without a reader (pipe_poll)."""
        ring = self.ring
        ring.polled = True
        events = 0 if ring.full() else _OUT
        return events | POLLERR if ring.broken() else events

    def release(self) -> None:
        """Readers come to the end of file once they have read what is there."""
        self.ring.writer = None
        if self.ring.reader is not None:
            self.ring.reader.wake(ANY_EVENT)


def make(world: World, inode: int) -> tuple[ReadEnd, WriteEnd]:
    """A new pipe: its read end and its write end."""
    ring = Ring()
    ring.reader = ReadEnd(world, ring, inode)
    ring.writer = WriteEnd(world, ring, inode)
    return ring.reader, ring.writer
