"""The dialogues written by hand: `dialogues/*.txt`, each under its title with the scenarios it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.dialogue.program import Program

DIRECTORY = Path(__file__).parent / "dialogues"
TITLE = re.compile(r"^== (.*?)(?: \[([^\]]*)\])?$", re.MULTILINE)


@dataclass(frozen=True)
class Dialogue:
    """A program with its title, the file that it stands in, and the numbers of the scenarios it shows."""

    title: str
    file: str
    scenarios: tuple[str, ...]
    program: Program


def dialogues() -> list[Dialogue]:
    """All of them, in the order of the files."""
    return [dialogue for path in sorted(DIRECTORY.glob("*.txt")) for dialogue in read(path)]


def read(path: Path) -> list[Dialogue]:
    """The dialogues of one file."""
    _, *parts = TITLE.split(path.read_text())
    found = []
    for title, scenarios, text in zip(parts[0::3], parts[1::3], parts[2::3], strict=True):
        found.append(Dialogue(title, path.stem, tuple((scenarios or "").split()), Program.parse(text)))
    return found
