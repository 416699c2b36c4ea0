"""`python -m tests.dialogue.difference [PART OF A TITLE | FILE | -]`: Linux and portside side by side.

`-` reads a program from standard input. Only what differs is shown.
"""

from __future__ import annotations

import sys

from tests.dialogue import simulated
from tests.dialogue.compare import compare
from tests.dialogue.handwritten import dialogues
from tests.dialogue.linux import Linux
from tests.dialogue.program import Program


def main() -> int:
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    if part == "-":
        chosen = [("standard input", Program.parse(sys.stdin.read()))]
    else:
        chosen = [(d.title, d.program) for d in dialogues() if part in d.title or part == d.file]
    differ = 0
    with Linux() as linux:
        for title, program in chosen:
            difference = compare(program, linux.run, simulated.run)
            if difference is not None:
                differ += 1
                print(f"== {title}\n{difference}\n")
    print(f"{len(chosen) - differ} agree, {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
