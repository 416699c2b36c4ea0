"""`python -m tests.dialogue.record`: ask the real kernel every hand-written dialogue and keep what it answers.

The transcripts in `recorded/` stand in for the kernel where no network namespaces can be had. A dialogue whose
answers are not the same each time is named: it depends on chance and needs another form.
"""

from __future__ import annotations

import itertools
import json
import platform
import sys
from pathlib import Path

from tests.dialogue.functions import FUNCTIONS
from tests.dialogue.handwritten import Dialogue, dialogues
from tests.dialogue.linux import Linux

DIRECTORY = Path(__file__).parent / "recorded"
FUNCTIONS_FILE = DIRECTORY / "functions.json"
TIMES = 5


def recorded(dialogue: Dialogue) -> list[str] | None:
    """The answers that were recorded for this dialogue as it stands now; None if there are none."""
    path = DIRECTORY / f"{dialogue.file}.json"
    if not path.exists():
        return None
    kept = json.loads(path.read_text())["dialogues"].get(dialogue.title)
    if kept is None or kept["program"] != str(dialogue.program).split("\n"):
        return None
    answers: list[str] = kept["answers"]
    return answers


def main() -> int:
    """Record all; the number of dialogues that depend on chance."""
    chance = 0
    DIRECTORY.mkdir(exist_ok=True)
    with Linux() as linux:
        for file, group in itertools.groupby(dialogues(), key=lambda dialogue: dialogue.file):
            kept = {}
            for dialogue in group:
                answers = linux.run(dialogue.program)
                if any(linux.run(dialogue.program) != answers for _ in range(TIMES - 1)):
                    print(f"{file}: {dialogue.title}: not the same each time", file=sys.stderr)
                    chance += 1
                kept[dialogue.title] = {"program": str(dialogue.program).split("\n"), "answers": answers}
            text = json.dumps({"kernel": platform.release(), "dialogues": kept}, indent=1)
            (DIRECTORY / f"{file}.json").write_text(text + "\n")
        seen = {f.__name__: linux.call(f"{f.__module__}:{f.__name__}") for f in FUNCTIONS}
        FUNCTIONS_FILE.write_text(json.dumps({"kernel": platform.release(), "functions": seen}, indent=1) + "\n")
    return chance


if __name__ == "__main__":
    sys.exit(main())
