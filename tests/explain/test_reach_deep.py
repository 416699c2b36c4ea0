"""From where listeners are said to be reached, and what happens on the real kernel: some machines of `reach_deep`."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from tests.explain.reach_deep import several
from tests.live.apart import lacking

MACHINES = 400 if os.environ.get("PORTSIDE_DEEP") else 16
SEED = int(os.environ.get("PORTSIDE_SEED", "1"))


@pytest.mark.linux
@pytest.mark.scenario("B9")
@pytest.mark.scenario("C4")
@pytest.mark.scenario("C5")
@pytest.mark.skipif(lacking("ip", "nft") != "", reason=lacking("ip", "nft"))
def test_a_real_connection_from_each_place_agrees_with_what_is_said() -> None:
    counts: Counter[str] = Counter()
    wrong = []
    for more, different in several(MACHINES, SEED):
        counts += more
        wrong += different
    assert not wrong, min(wrong, key=len)
    assert sum(counts.values()) > 40 * MACHINES
    assert counts["open accepted"] > 15 * MACHINES
    assert counts["dropped ETIMEDOUT"] > MACHINES
