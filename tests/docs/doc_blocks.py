"""The documentation as programs: which blocks of code it has, and what becomes of each.

The rule for every page: a `python` block that begins with a comment `# NAME.py` is a file of that name; any other is a
program that must end well. A `console` block is what a terminal shows: lines after `$ ` are typed, the rest comes out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line where it begins, its language and text, and the comment before it."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def file_name(self) -> str:
        """The name in the comment that a file begins with; empty when it is none."""
        found = re.match(r"# ([\w./]+\.py)\n", self.text)
        return found[1] if found else ""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text()
    found = re.finditer(r"(?:^<!-- ([\w-]+) -->\n)?^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(page, text.count("\n", 0, each.start()) + 1, each[2], each[3], each[1] or "") for each in found]


def told(page: str, after: str) -> set[str]:
    """What stands between backticks in the first column of the table that follows these words of a page."""
    table = re.search(r"\n\n((?:\|.*\n)+)", page[page.index(after) :])
    assert table is not None, after
    rows = table[1].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def of_language(language: str) -> list[Block]:
    """The blocks of one language on all pages."""
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def run(command: list[str], where: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that may import what this interpreter imports; its output, errors among it, is text."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "80", "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=where, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )


def shell(command: str, where: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Type a command line, in which `portside` and `python` are those under test."""
    functions = f'portside() {{ "{sys.executable}" -m portside "$@"; }}; python() {{ "{sys.executable}" "$@"; }}\n'
    return run(["bash", "-c", functions + command], where)


def typed(block: Block) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output shown below it."""
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)
    assert not parts[0], f"{block}: output without a command"
    return list(zip(parts[1::2], parts[2::2], strict=True))
