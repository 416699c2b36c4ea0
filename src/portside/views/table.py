"""Text that is safe to show, and columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Final, NamedTuple, TextIO

# What moves a terminal or hides its neighbours: control characters (ECMA-48), bytes that are no UTF-8 (surrogate
# escapes, PEP 383), line separators, the marks that turn the direction of writing, and invisible ones (Unicode 15,
# general category Cf of the general punctuation and tag blocks).
_HOSTILE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


_ROWS_OF_A_PAGE: Final = 1024

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


def printed(text: str | Iterable[str], errors: str = "", status: int = 0) -> Report:
    """A report that has all its output, in one or more pieces, before its errors."""
    output = tuple((1, piece) for piece in ((text,) if isinstance(text, str) else text))
    return Report((*output, (2, errors)) if errors else output, status)


def clean(text: str | bytes) -> str:
    r"""The text with everything that could move a terminal made visible: `\x1b`, `\u202e`.

    Bytes are taken for UTF-8; those that are not become `\xNN`, as do their surrogate escapes. A backslash stays as it
    is. What is clean comes back unchanged.
    """
    if isinstance(text, bytes):
        text = text.decode(errors="surrogateescape")
    if text.isascii() and text.isprintable():  # nearly everything, in half of the time
        return text
    return _HOSTILE.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@lru_cache(maxsize=1024)  # a process that holds many sockets has one name
def quoted(name: str) -> str:
    """A name that stands between quotation marks: it cannot end them and go on as something else."""
    return clean(name).replace('"', "\\x22")


def unix_name(path: bytes | None) -> str:
    """The name of an AF_UNIX socket as /proc/net/unix writes it: `@` for the NULs of an abstract one; clean."""
    if path is None:
        return ""
    return clean(path.replace(b"\0", b"@") if path.startswith(b"\0") else path)


class Pages:
    """Rows of cells on their way into columns: a text for each page, until the widest cell of each column is known.

    The cells of a hundred thousand sockets, each filled with spaces, would take a hundred megabytes.

    Args: rows: cells that are clean; each row has equally many.
    """

    def __init__(self, rows: Iterable[Sequence[str]]) -> None:
        self.widths: list[int] = []  # of each column
        self.before_last = 0  # of the last column, without the last row
        self._texts: list[str] = []
        waiting = iter(rows)
        while page := list(islice(waiting, _ROWS_OF_A_PAGE)):
            columns = list(zip(*page, strict=True))
            widths = [max(map(len, column)) for column in columns]
            self.before_last = max((*self.widths[-1:], *map(len, columns[-1][:-1])), default=0)
            self.widths = list(map(max, self.widths, widths)) if self.widths else widths
            self._texts.append("\0".join(chain.from_iterable(columns)))  # no cell that is clean has a NUL

    def __iter__(self) -> Iterator[list[list[str]]]:
        """The columns of each page."""
        for text in self._texts:
            cells = text.split("\0")
            rows = len(cells) // len(self.widths)
            yield [cells[start : start + rows] for start in range(0, len(cells), rows)]


def padded(column: Sequence[str], width: int, *, at_right: bool = False) -> list[str]:
    """The cells of a column, each filled with spaces to this many characters; what is wider stays as it is."""
    return [cell.rjust(width) for cell in column] if at_right else [cell.ljust(width) for cell in column]


def columns(rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> Iterator[str]:
    """Rows of cells as aligned columns, two spaces between them, without spaces at the ends of lines; in pieces.

    Args:
        rows: the cells; the first row may be a heading.
        right: which columns are aligned at their right side.
    """
    pages = Pages(rows)
    for page in pages:
        filled = [padded(column, pages.widths[i], at_right=i in right) for i, column in enumerate(page)]
        yield "".join("  ".join(row).rstrip() + "\n" for row in zip(*filled, strict=True))


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


def show(heading: Sequence[str], rows: Iterable[Sequence[str]], to: TextIO | None, *,
         right: frozenset[int] = frozenset(), color: bool | None = None) -> None:  # fmt: skip
    """Print a table: with rich on a terminal, or when `color` says so; aligned columns otherwise.

    Every cell is cleaned here. On a narrow terminal the words of the last column are folded; where even they have no
    room, each row becomes a few lines. No other cell is ever divided: a part of an address reads as another one. rich
    is imported only when it prints. `to` is None where standard output was closed from the beginning.
    """
    if to is None:
        return
    cleaned = ([clean(cell) for cell in row] for row in rows)
    if not (to.isatty() or color):
        to.writelines(columns(chain([list(heading)], cleaned), right))
        return
    cells = list(cleaned)
    wide = 10_000  # nothing is folded but on a terminal
    if to.isatty():
        import shutil

        wide = shutil.get_terminal_size().columns
        if not _fits([list(heading), *cells], wide):
            to.write(records(heading, cells))
            return
    if not (to.isatty() if color is None else color):
        to.writelines(columns([list(heading), *cells], right))
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
