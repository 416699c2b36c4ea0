"""Both sides of a dialogue, and what to do where the real one cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:  # the worker and the simulated programs import `tests.dialogue` by its name
    sys.path.insert(0, ROOT)

from tests.dialogue import linux as linux_side  # noqa: E402


@pytest.fixture
def linux() -> linux_side.Linux:
    """The worker on the real kernel; the test is skipped where no namespaces can be had."""
    worker = linux_side.shared()
    if isinstance(worker, str):
        pytest.skip(worker)
    return worker
