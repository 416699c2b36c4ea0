"""The deep comparisons of these tests are programs too: `python -m tests.explain.bind_deep`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
