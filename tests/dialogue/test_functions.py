"""Dialogues that are functions: threads, blocking calls, files; the same on Linux and on a simulated host."""

from __future__ import annotations

import json

import pytest
from tests.dialogue import linux, simulated
from tests.dialogue.functions import FUNCTIONS
from tests.dialogue.record import FUNCTIONS_FILE

NAMES = [function.__name__ for function in FUNCTIONS]


@pytest.mark.linux
@pytest.mark.parametrize("name", NAMES)
def test_a_function_sees_the_same_on_both(name: str) -> None:
    worker = linux.shared()
    if isinstance(worker, str):
        expected = json.loads(FUNCTIONS_FILE.read_text())["functions"][name]
    else:
        expected = worker.call(f"tests.dialogue.functions:{name}")
    ours = simulated.call(f"tests.dialogue.functions:{name}")
    assert json.loads(json.dumps(ours)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_what_linux_saw_is_recorded(name: str) -> None:
    assert name in json.loads(FUNCTIONS_FILE.read_text())["functions"], "python -m tests.dialogue.record"
