"""`open`: files of the real disk and of the simulated /proc, under descriptors of the simulated process."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Final, cast

from portside.runtime.patcher import Patcher
from portside.runtime.program import program_of
from portside.runtime.raw import RawFile
from portside.runtime.trap import current_process

if TYPE_CHECKING:
    from portside.host.processes import Process
    from portside.runtime.program import Writer

Real = Callable[..., object]
Opener = Callable[[object, int], int]

_NEW: Final = os.O_WRONLY | os.O_CREAT
_BASE: Final = {"r": os.O_RDONLY, "w": _NEW | os.O_TRUNC, "a": _NEW | os.O_APPEND, "x": _NEW | os.O_EXCL}
_BUFFER: Final = 8192


def open_file(
    real: Real, file: object, mode: str = "r", buffering: int = -1, encoding: str | None = None,
    errors: str | None = None, newline: str | None = None, closefd: bool = True, opener: Opener | None = None,
) -> object:  # fmt: skip
    """builtins.open."""
    process = current_process()
    if process is None:
        return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
    if not isinstance(file, int):
        file = os.fspath(cast("str", file))
    # The original says what is wrong with the other arguments, on a file that is always there.
    cast("IO[bytes]", real("/dev/null", mode.replace("x", "w"), buffering, encoding, errors, newline)).close()
    raw = _open_raw(process, file, mode, closefd, opener)
    try:
        made = _wrap(raw, mode, buffering, encoding, errors, newline)
    except BaseException:
        raw.close()
        raise
    if made is not raw and raw.writable():
        program_of(process).opened(cast("Writer", made))
    return made


def _open_raw(process: Process, file: object, mode: str, closefd: bool, opener: Opener | None) -> RawFile:
    kind = next(letter for letter in mode if letter in _BASE)
    plus = "+" in mode
    if isinstance(file, int):
        if file < 0:
            raise ValueError("negative file descriptor")
        process.files.get(file)
        fd = file
    else:
        if not closefd:
            raise ValueError("Cannot use closefd=False with file name")
        flags = _BASE[kind] | os.O_CLOEXEC
        if plus:
            flags = flags & ~os.O_WRONLY | os.O_RDWR
        fd = os.open(cast(str, file), flags, 0o666) if opener is None else opener(file, flags)
        if opener is not None and fd < 0:
            raise ValueError(f"opener returned {fd}")
    raw = RawFile(
        process, fd, readable=plus or kind == "r", writable=plus or kind != "r", appending=kind == "a",
        created=kind == "x", closefd=closefd, name=file,
    )  # fmt: skip
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raw.close()
        raise IsADirectoryError(21, "Is a directory", file)
    if kind == "a" and raw.seekable():
        raw.seek(0, os.SEEK_END)
    return raw


def _wrap(
    raw: RawFile, mode: str, buffering: int, encoding: str | None, errors: str | None, newline: str | None
) -> object:
    binary = "b" in mode
    if buffering == 0:
        return raw
    line = buffering == 1 and not binary
    size = _BUFFER if buffering in (-1, 1) else buffering
    if "+" in mode:
        buffered: object = io.BufferedRandom(raw, size)
    elif "r" in mode:
        buffered = io.BufferedReader(raw, size)  # type: ignore[type-var]
    else:
        buffered = io.BufferedWriter(raw, size)
    if binary:
        return buffered
    text = io.TextIOWrapper(buffered, encoding, errors, newline, line)  # type: ignore[type-var]
    text.mode = mode  # type: ignore[misc]
    return text


def open_code(real: Real, path: str) -> object:
    """io.open_code."""
    return real(path) if current_process() is None else open_file(io.open, path, "rb")


def add(patcher: Patcher) -> None:
    """Replace `open`, which is `io.open`."""
    patcher.function(io, "open", open_file)
    patcher.function(io, "open_code", open_code)
