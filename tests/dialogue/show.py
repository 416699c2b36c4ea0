"""`python -m tests.dialogue.show [PART OF A TITLE | FILE | -]`: what the real kernel answers.

`-` reads a program from standard input.
"""

from __future__ import annotations

import sys

from tests.dialogue.handwritten import dialogues
from tests.dialogue.linux import Linux
from tests.dialogue.program import Program, side_by_side


def main() -> None:
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    if part == "-":
        chosen = [("standard input", Program.parse(sys.stdin.read()))]
    else:
        chosen = [(d.title, d.program) for d in dialogues() if part in d.title or part == d.file]
    with Linux() as linux:
        for title, program in chosen:
            answers = linux.run(program)
            print(f"== {title}")
            print(side_by_side(program, answers, answers))


if __name__ == "__main__":
    main()
