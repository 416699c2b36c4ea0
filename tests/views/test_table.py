"""Tables on terminals of every width: what is shown of an address is the whole address."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.views.table import Pages, columns, padded, show

HEADING = ("PROTO", "ADDRESS", "PROCESS", "FROM WHERE")
ROWS = (
    ("tcp", "0.0.0.0:80", "nginx (811, 812)", "! everywhere, the filter drops the rest"),
    ("udp", "[2607:fb90:1788:efbd:d3f9:555:4ddb:c8ed]:35871", "python3 (40000)", "this machine only"),
)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(width: int, monkeypatch: pytest.MonkeyPatch, rows: tuple[tuple[str, ...], ...] = ROWS) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    terminal = Terminal()
    show(HEADING, rows, terminal, color=True)
    return re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()


@pytest.mark.parametrize("width", [20, 40, 60, *range(86, 126), 200])
def test_no_width_divides_an_address_or_a_process(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(width, monkeypatch)
    for row in ROWS:
        for cell in row[:-1]:
            assert any(cell in line for line in lines), (width, cell)
        assert all(word in "\n".join(lines) for word in row[-1].split())
    if not lines[0].startswith("PROTO:"):
        assert max(map(len, lines)) <= width


def test_a_narrow_terminal_has_the_words_folded_and_a_narrower_one_has_records(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ROWS[:1]
    assert shown(100, monkeypatch, rows)[2].split("   ")[-1].strip() == rows[0][-1]
    folded = shown(60, monkeypatch, rows)
    assert "0.0.0.0:80" in folded[2]
    assert len(folded) > 3
    assert shown(40, monkeypatch, rows) == [
        "PROTO: tcp", "  ADDRESS: 0.0.0.0:80", "  PROCESS: nginx (811, 812)",
        "  FROM WHERE: ! everywhere, the filter drops the rest",
    ]  # fmt: skip


def test_colours_that_go_to_no_terminal_have_whole_lines() -> None:
    to = io.StringIO()
    show(HEADING, ROWS, to, color=True)
    for row in ROWS:
        assert any(all(cell in line for cell in row) for line in to.getvalue().splitlines())


@given(st.lists(st.tuples(*[st.text("ab ", max_size=5)] * 3), max_size=30), st.integers(1, 7))
def test_pages_keep_the_rows_and_know_the_widths(rows: list[tuple[str, ...]], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("portside.views.table._ROWS_OF_A_PAGE", size)
        pages = Pages(iter(rows))
    assert [row for page in pages for row in zip(*page, strict=True)] == rows
    assert pages.widths == [max(map(len, column)) for column in zip(*rows, strict=True)]
    assert pages.before_last == max((len(row[-1]) for row in rows[:-1]), default=0)


def test_a_long_table_is_aligned_from_its_first_line_to_its_last() -> None:
    rows = [(str(i), "x" * (i % 7), "end" if i % 2 else "") for i in range(5000)]
    lines = "".join(columns([("N", "X", "E"), *rows], frozenset((0,)))).splitlines()
    assert len(lines) == 5001
    assert lines[0] == "   N  X       E"
    for line, (number, cell, end) in zip(lines[1:], rows, strict=True):
        assert line == f"{number:>4}  {cell:6}  {end}".rstrip()


def test_what_is_wider_than_its_column_stays_as_it_is() -> None:
    assert padded(["a", "abc"], 2) == ["a ", "abc"]
    assert padded(["a", "abc"], 2, at_right=True) == [" a", "abc"]
