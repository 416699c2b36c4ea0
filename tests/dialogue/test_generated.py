"""Generated dialogues: the fast profile. `python -m tests.dialogue.deep` is the deep one."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.dialogue import simulated
from tests.dialogue.compare import Difference, compare, shrink
from tests.dialogue.generate import programs
from tests.dialogue.linux import Linux
from tests.dialogue.program import Program


@pytest.mark.linux
def test_generated_programs_are_answered_alike(linux: Linux) -> None:
    found: list[Difference] = []

    # Hypothesis makes the programs; those that differ are made short by leaving calls out, which knows what a
    # call is and takes a fraction of the time.
    @settings(
        max_examples=200, deadline=None, derandomize=True, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(programs())
    def agree(program: Program) -> None:
        if not found and (os.geteuid() == 0 or not program.needs_root):
            difference = compare(program, linux.run, simulated.run)
            if difference is not None:
                found.append(difference)

    agree()
    assert not found, f"\n{shrink(found[0], linux.run, simulated.run)}"


@pytest.mark.linux
def test_linux_agrees_with_itself(linux: Linux) -> None:
    """What is left to chance is symbols or in one of a few runs: otherwise no transcript could be held against it.

    Some answers come again, then. Not always the first: that may be the rare run in which the kernel's clock ticked
    between two calls.
    """

    @settings(
        max_examples=40, deadline=None, derandomize=True, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(programs())
    def agree(program: Program) -> None:
        seen: list[list[str]] = []
        for _ in range(60):
            answers = linux.run(program)
            if answers in seen:
                return
            seen.append(answers)
        raise AssertionError(f"\n{Difference(program, seen[0], seen[1])}")

    agree()
