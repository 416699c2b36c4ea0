"""Hand-written dialogues: what a simulated host answers is what the real kernel answers."""

from __future__ import annotations

import os

import pytest
from tests.dialogue import linux, simulated
from tests.dialogue.compare import compare
from tests.dialogue.handwritten import Dialogue, dialogues
from tests.dialogue.program import Program
from tests.dialogue.record import recorded

DIALOGUES = [
    pytest.param(
        dialogue, id=f"{dialogue.file}: {dialogue.title}",
        marks=[pytest.mark.linux, *(pytest.mark.scenario(number) for number in dialogue.scenarios)],
    )
    for dialogue in dialogues()
]  # fmt: skip


@pytest.mark.parametrize("dialogue", DIALOGUES)
def test_a_simulated_host_answers_as_linux(dialogue: Dialogue) -> None:
    def kept(program: Program) -> list[str]:
        answers = recorded(dialogue)
        assert answers is not None
        return answers

    worker = linux.shared()
    possible = os.geteuid() == 0 or not dialogue.program.needs_root
    real = kept if isinstance(worker, str) or not possible else worker.run
    difference = compare(dialogue.program, real, simulated.run)
    assert difference is None, f"\n{difference}"


@pytest.mark.parametrize("dialogue", DIALOGUES)
def test_the_kernels_answers_are_recorded(dialogue: Dialogue) -> None:
    assert recorded(dialogue) is not None, "python -m tests.dialogue.record"


def test_titles_are_unique() -> None:
    titles = [(dialogue.file, dialogue.title) for dialogue in dialogues()]
    assert len(set(titles)) == len(titles)
