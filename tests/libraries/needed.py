"""Whether a library is there."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def skip_without(library: str) -> None:
    """Skip the test where the library is not installed.

    It is not imported for that, as by importorskip(): what is imported here is there for all other tests too.
    """
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed: tests/libraries/requirements.txt")
