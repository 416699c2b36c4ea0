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


OTHERS: Final = "others"
"""What a view's `wants` says when the snapshot's other network namespaces are needed."""


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


def _fits(rows: Sequence[Sequence[str]], wide: int) -> bool:
    """Whether only the last column must be folded, between words, to have the table in so many characters."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    longest = max(len(word) for row in rows for word in ("", *row[-1].split(" ")))
    readable = max(longest, min(widths[-1], 12))  # a word a line is no sentence
    return sum(width + 3 for width in widths[:-1]) + readable <= wide


def records(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Each row as lines of `HEADING: cell`, the first beginning at the margin; nothing is cut or folded."""
    lines = []
    for row in rows:
        for i, (name, cell) in enumerate(zip(heading, row, strict=True)):
            lines.append(f"{'  ' if i else ''}{name}: {cell}\n")
    return "".join(lines)


def show(heading: Sequence[str], rows: Sequence[Sequence[str]], to: TextIO, *, right: frozenset[int] = frozenset(),
         color: bool | None = None) -> None:  # fmt: skip
    """Print a table: with rich on a terminal, or when `color` says so; aligned columns otherwise.

    Every cell is cleaned here. On a narrow terminal the words of the last column are folded; where even they have no
    room, each row becomes a few lines. No other cell is ever divided: a part of an address reads as another one. rich
    is imported only when it prints.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    wide = 10_000  # nothing is folded but on a terminal
    if to.isatty():
        import shutil

        wide = shutil.get_terminal_size().columns
        if not _fits([list(heading), *cells], wide):
            to.write(records(heading, cells))
            return
    if not (to.isatty() if color is None else color):
        to.write(columns([list(heading), *cells], right))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, name in enumerate(heading):
        last = index == len(heading) - 1
        table.add_column(name, justify="right" if index in right else "left", no_wrap=not last)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))  # as Text, no cell is read as markup
    Console(file=to, force_terminal=True if color else None, highlight=False, width=wide).print(table)
