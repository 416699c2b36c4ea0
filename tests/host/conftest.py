"""Makes the helpers of this directory importable: `kernel_objects` runs one dialogue on two kernels."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
