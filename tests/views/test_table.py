"""Tables on terminals of every width: what is shown of an address is the whole address."""

from __future__ import annotations

import io
import re

import pytest

from portside.views.table import show

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
