"""Generated dialogues: the fast profile. `python -m tests.dialogue.deep` is the deep one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from tests.dialogue import simulated
from tests.dialogue.compare import compare
from tests.dialogue.generate import programs
from tests.dialogue.linux import Linux
from tests.dialogue.program import Program


@pytest.mark.linux
def test_generated_programs_are_answered_alike(linux: Linux) -> None:
    @settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(programs())
    @example(Program.parse("socket a tcp4\nlisten a 1\nsocket b tcp4\nconnect b 127.0.0.1 @a\neverything"))
    def agree(program: Program) -> None:
        difference = compare(program, linux.run, simulated.run)
        assert difference is None, f"\n{difference}"

    agree()
