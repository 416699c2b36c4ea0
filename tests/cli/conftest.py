"""The tests of the command make snapshots by hand as those of the answers do: `tests.explain.hand`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
