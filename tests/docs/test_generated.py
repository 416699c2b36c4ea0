"""What the documentation shows of the source is up to date: `python tests/docs/generated.py` makes it so."""

from __future__ import annotations

import pytest
from generated import PARTS, ROOT, between


@pytest.mark.parametrize(("page", "name"), PARTS, ids=lambda each: each)
def test_a_part_is_what_the_source_says(page: str, name: str) -> None:
    text = (ROOT / page).read_text()
    assert between(text, name)[2] == PARTS[page, name]()
