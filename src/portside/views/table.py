"""Text that is safe to show, and columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple, TextIO

# What moves a terminal or hides its neighbours: control characters (ECMA-48), bytes that are no UTF-8 (surrogate
# escapes, PEP 383), line separators, the marks that turn the direction of writing, and invisible ones (Unicode 15,
# general category Cf of the general punctuation and tag blocks).
_HOSTILE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


class Misuse(ValueError):
    """A command line that a view does not understand; the text is one sentence, clean of what was typed."""

    def __init__(self, sentence: str) -> None:
        super().__init__(clean(sentence))


class Report(NamedTuple):
    """What a command prints, and its exit code. `parts` pairs a stream, 1 or 2 as file descriptors, with text."""

    parts: tuple[tuple[int, str], ...]
    status: int = 0

    @property
    def text(self) -> str:
        """What goes to standard output."""
        return "".join(text for stream, text in self.parts if stream == 1)

    @property
    def errors(self) -> str:
        """What goes to standard error."""
        return "".join(text for stream, text in self.parts if stream == 2)

    def __str__(self) -> str:
        """Both as a terminal shows them."""
        return "".join(text for _, text in self.parts)


def printed(text: str, errors: str = "", status: int = 0) -> Report:
    """A report that has all its output before its errors."""
    return Report(((1, text), (2, errors)) if errors else ((1, text),), status)


def clean(text: str | bytes) -> str:
    r"""The text with everything that could move a terminal made visible: `\x1b`, `\u202e`.

    Bytes are taken for UTF-8; those that are not become `\xNN`, as do their surrogate escapes. A backslash stays as it
    is. What is clean comes back unchanged.
    """
    if isinstance(text, bytes):
        text = text.decode(errors="surrogateescape")
    return _HOSTILE.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quoted(name: str) -> str:
    """A name that stands between quotation marks: it cannot end them and go on as something else."""
    return clean(name).replace('"', "\\x22")


def unix_name(path: bytes | None) -> str:
    """The name of an AF_UNIX socket as /proc/net/unix writes it: `@` for the NULs of an abstract one; clean."""
    if path is None:
        return ""
    return clean(path.replace(b"\0", b"@") if path.startswith(b"\0") else path)


def columns(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """Rows of cells as aligned columns, two spaces between them, without spaces at the ends of lines.

    Args:
        rows: the cells; the first row may be a heading.
        right: which columns are aligned at their right side.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "".join(line.rstrip() + "\n" for line in lines)


def show(heading: Sequence[str], rows: Sequence[Sequence[str]], to: TextIO, *, right: frozenset[int] = frozenset(),
         color: bool | None = None) -> None:  # fmt: skip
    """Print a table: with rich on a terminal, or when `color` says so; aligned columns otherwise.

    Every cell is cleaned here. rich is imported only when it prints.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    if not (to.isatty() if color is None else color):
        to.write(columns([list(heading), *cells], right))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, name in enumerate(heading):
        table.add_column(name, justify="right" if index in right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))  # as Text, no cell is read as markup
    Console(file=to, force_terminal=True if color else None, highlight=False).print(table)
