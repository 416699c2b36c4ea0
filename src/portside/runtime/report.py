"""What a program's failure looks like: its own frames, in the interpreter's words, on its own standard error."""

from __future__ import annotations

import linecache
import sys
import traceback
from types import FrameType, TracebackType
from typing import Final

from portside.runtime.program import current_program
from portside.runtime.trap import outside

_OURS: Final = "portside."
_BORDER: Final = "portside.runtime."
_INTERRUPTIBLE: Final = ("portside.runtime.real_file", "portside.runtime.patches.sys")
"""Where nothing is left half done: read(2) of a real file, and what forwards print(...) to a program's stream."""


def is_ours(frame: FrameType) -> bool:
    """Whether a frame is portside's own or the import system's: there the interpreter shows none.

    It is told by the module, which a frame of compiled code has too; the path of its file is that of the build.
    """
    return _module(frame).startswith(_OURS) or frame.f_code.co_filename.startswith("<frozen importlib")


def is_interruptible(frame: FrameType | None) -> bool:
    """Whether an exception may be raised in a frame: the program's own code runs in it, or what bears it."""
    if frame is not None and _module(frame) in _INTERRUPTIBLE:
        return True
    while frame is not None and not is_ours(frame):
        frame = frame.f_back
    while frame is not None and is_ours(frame):
        frame = frame.f_back
    return frame is None  # and not in what the simulation calls for the program


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def strip(trace: TracebackType | None) -> TracebackType | None:
    """The same traceback without our frames."""
    kept: list[TracebackType] = []
    while trace is not None:
        if not is_ours(trace.tb_frame):
            kept.append(trace)
        trace = trace.tb_next
    following: TracebackType | None = None
    for one in reversed(kept):
        if one.tb_next is not following:
            one = TracebackType(following, one.tb_frame, one.tb_lasti, one.tb_lineno)  # noqa: PLW2901
        following = one
    return following


def is_a_bug(error: BaseException) -> bool:
    """Whether the exception is a mistake of portside's own: raised below the border, and no answer of the kernel."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or isinstance(error, (OSError, KeyboardInterrupt)):
        return False
    module = _module(trace.tb_frame)
    return module.startswith(_OURS) and not module.startswith(_BORDER)


def strip_all(error: BaseException) -> None:
    """Take our frames out of the traceback of an exception and of those that led to it."""
    if is_a_bug(error):
        return
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = strip(one.__traceback__)
            pending += (one.__cause__, one.__context__, *getattr(one, "exceptions", ()))


def print_exception(error: BaseException, title: str | None = None) -> None:
    """Write the traceback of `error` to the current program's sys.stderr, after a line that says where."""
    strip_all(error)
    stream = sys.stderr
    if stream is not None:
        text = _format(error)
        stream.write(text if title is None else f"{title}\n{text}")
        stream.flush()


def _format(error: BaseException) -> str:
    """The text of a traceback; from Python 3.13 on with the lines of a program that was given as text (`-c`)."""
    program = current_program()
    source = None if program is None or sys.version_info < (3, 13) else program.source
    if source is not None:
        lines = [f"{line}\n" for line in source.splitlines()]
        linecache.cache["<string>"] = len(source), None, lines, "<string>"
    try:
        return "".join(outside(traceback.format_exception, error))
    finally:
        if source is not None:
            linecache.cache.pop("<string>", None)
