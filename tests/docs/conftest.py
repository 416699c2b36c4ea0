"""The helpers beside the tests are plain modules; dialogues are imported by their full name."""

import sys
from pathlib import Path

for directory in (Path(__file__).parent, Path(__file__).parents[2]):
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
