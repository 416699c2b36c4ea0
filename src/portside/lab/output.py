"""What programs print, as it comes: whole lines with the host's name before each where there are several
hosts.
"""

from __future__ import annotations

import sys
from typing import Final, Protocol

_COLOURS: Final = (36, 33, 35, 32, 34, 31, 96, 93, 95, 92, 94, 91)  # SGR foreground colours, ECMA-48 8.3.117


class Stream(Protocol):
    """Where text goes."""

    def write(self, text: str, /) -> object:
        """Take text."""

    def flush(self) -> object:
        """Let it be seen."""


class Output:
    """Standard output and error of many programs, on two streams, in the order in which they were written.

    A line appears when it is complete, the rest of one when its program ends. With one host there is no
    prefix, and text appears at once. Prefixes have colour only on a terminal. Nothing appears on a stream that
    was closed when the interpreter began.
    """

    def __init__(self, stdout: Stream | None = None, stderr: Stream | None = None) -> None:
        self._streams: dict[str, Stream | None] = {"stdout": stdout or sys.stdout, "stderr": stderr or sys.stderr}
        self._prefixes: dict[str, dict[str, str]] = {}  # host -> stream -> prefix
        self._partial: dict[tuple[str, object, str], bytes] = {}

    def hosts(self, names: list[str]) -> None:
        """Say which hosts there are, so that their prefixes have one width."""
        if list(self._prefixes) == names:
            return
        width = max(map(len, names), default=0)
        self._prefixes = {}
        if len(names) < 2:
            return
        for number, name in enumerate(names):
            plain = f"{name:<{width}} | "
            colour = f"\x1b[{_COLOURS[number % len(_COLOURS)]}m{plain}\x1b[0m"
            self._prefixes[name] = {
                stream: colour if _is_terminal(target) else plain for stream, target in self._streams.items()
            }

    def write(self, host: str, source: object, stream: str, data: bytes) -> None:
        """Take what a program (`source`) on `host` wrote to `stdout` or `stderr`."""
        key = (host, source, stream)
        data = self._partial.pop(key, b"") + data
        prefixes = self._prefixes.get(host)
        if prefixes is None:
            whole, rest = _split_utf8(data)
            if rest:
                self._partial[key] = rest
            self._put(stream, whole.decode(errors="replace"))
            return
        *lines, rest = data.split(b"\n")
        if rest:
            self._partial[key] = rest
        prefix = prefixes[stream]
        self._put(stream, "".join(f"{prefix}{line.decode(errors='replace')}\n" for line in lines))

    def end(self, host: str, source: object) -> None:
        """A program has ended: show what it left without a newline."""
        for stream in self._streams:
            rest = self._partial.pop((host, source, stream), b"").decode(errors="replace")
            if rest:
                prefixes = self._prefixes.get(host)
                self._put(stream, rest if prefixes is None else f"{prefixes[stream]}{rest}\n")

    def _put(self, stream: str, text: str) -> None:
        target = self._streams[stream]
        if text and target is not None:
            target.write(text)
            target.flush()


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return bool(isatty is not None and isatty())


def _split_utf8(data: bytes) -> tuple[bytes, bytes]:
    """The bytes, and what may be the beginning of a character at their end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        needed = 2 if byte >> 5 == 6 else 3 if byte >> 4 == 14 else 4 if byte >> 3 == 30 else 1
        return (data[:-back], data[-back:]) if needed > back else (data, b"")
    return data, b""
