"""Raw file objects on the descriptors of a simulated process: what `io` builds its buffers and text on."""

from __future__ import annotations

import io
import os
import warnings
from typing import TYPE_CHECKING

from portside.host.syscalls import files
from portside.runtime.program import program_of
from portside.runtime.trap import current_process

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from portside.host.processes import Process


class RawFile(io.RawIOBase):
    """io.FileIO of a simulated process: unbuffered reads and writes on a descriptor of its table."""

    name: object

    def __init__(
        self, process: Process, fd: int, *, readable: bool, writable: bool, appending: bool = False,
        created: bool = False, closefd: bool = True, name: object = None,
    ) -> None:  # fmt: skip
        self._process = process
        self._fd = fd
        self._readable = readable
        self._writable = writable
        self._appending = appending
        self._created = created
        self._closefd = closefd
        self.name = fd if name is None else name

    @property
    def mode(self) -> str:
        """The mode as io.FileIO tells it."""
        plus = self._readable and self._writable
        if self._created:
            return "xb+" if plus else "xb"
        if self._appending:
            return "ab+" if plus else "ab"
        return "rb+" if plus else "rb" if self._readable else "wb"

    @property
    def closefd(self) -> bool:
        """Whether closing the object closes the descriptor."""
        return self._closefd

    def fileno(self) -> int:
        """The descriptor, in the numbers of the simulated process."""
        self._check()
        return self._fd

    def readable(self) -> bool:
        """Whether it was opened for reading."""
        self._check()
        return self._readable

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        self._check()
        return self._writable

    def seekable(self) -> bool:
        """Whether lseek(2) works on it."""
        self._check()
        try:
            self.tell()
        except OSError:
            return False
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        self._check()
        return os.isatty(self._fd) if current_process() is self._process else False

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Read into `buffer`: the number of bytes, 0 at the end, None when it would block."""
        view = memoryview(buffer).cast("B")
        data = self._read(len(view))
        if data is None:
            return None
        view[: len(data)] = data
        return len(data)

    def _read(self, length: int) -> bytes | None:
        self._check()
        if not self._readable:
            raise io.UnsupportedOperation("File not open for reading")
        try:
            return files.read(self._process, self._fd, length)
        except BlockingIOError:
            return None

    def read(self, size: int | None = -1) -> bytes | None:
        """Read up to `size` bytes, all up to the end without it."""
        if size is None or size < 0:
            return self.readall()
        return self._read(size)

    def write(self, data: ReadableBuffer) -> int | None:
        """Write: the number of bytes taken, None when it would block."""
        self._check()
        if not self._writable:
            raise io.UnsupportedOperation("File not open for writing")
        if not self._process.alive:  # what a buffer still holds is lost with the memory of its process
            return memoryview(data).nbytes
        try:
            return files.write(self._process, self._fd, bytes(data))
        except BlockingIOError:
            return None

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """lseek(2)."""
        self._check()
        return os.lseek(self._fd, offset, whence)

    def tell(self) -> int:
        """The position."""
        return self.seek(0, 1)

    def truncate(self, size: int | None = None, /) -> int:
        """ftruncate(2) to `size`, by default to the position."""
        self._check()
        if not self._writable:
            raise io.UnsupportedOperation("File not open for writing")
        length = self.tell() if size is None else size
        os.ftruncate(self._fd, length)
        return length

    def close(self) -> None:
        """Close the object, and its descriptor unless closefd is false."""
        if self.closed:
            return
        try:
            super().close()
        finally:
            if self._closefd and self._fd in self._process.files.open:
                self._process.files.close(self._fd)

    def __del__(self) -> None:
        if not self.closed and self._closefd and self._process.alive and not program_of(self._process).ending:
            warnings.warn(f"unclosed file {self!r}", ResourceWarning, stacklevel=2, source=self)
        super().__del__()

    def __repr__(self) -> str:
        kind = "<_io.FileIO"
        if self.closed:
            return f"{kind} [closed]>"
        return f"{kind} name={self.name!r} mode={self.mode!r} closefd={self._closefd}>"


def standard_streams(process: Process) -> dict[str, object]:
    """`sys.stdin`, `stdout` and `stderr` over descriptors 0, 1 and 2: what is printed leaves at once.

    None stands for one whose descriptor is closed (create_stdio() of CPython).
    """
    streams: dict[str, object] = dict.fromkeys(("stdin", "stdout", "stderr"))
    if 0 in process.files.open:
        source = RawFile(process, 0, readable=True, writable=False, closefd=False, name="<stdin>")
        reader = io.BufferedReader(source)  # type: ignore[type-var]
        streams["stdin"] = io.TextIOWrapper(reader, "utf-8", "strict")
    for fd, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        if fd not in process.files.open:
            continue
        sink = RawFile(process, fd, readable=False, writable=True, closefd=False, name=f"<{name}>")
        buffered = io.BufferedWriter(sink)
        streams[name] = io.TextIOWrapper(buffered, "utf-8", errors, line_buffering=True, write_through=True)
    return streams
