"""What `why` predicts is what happens: on generated machines, and on small ones made by hand."""

from __future__ import annotations

import pytest
from tests.explain.compare import hold_all
from tests.explain.machines import generate
from tests.live.apart import lacking

MACHINES = 24
FOUND = (50001, 50040, 70053, 70101, 91481, 104123)
"""Machines of the deep profile that were foretold wrong: neighbours not there, redirected, rejected, ways by flow."""


@pytest.mark.linux
@pytest.mark.skipif(lacking("ip", "nft") != "", reason=lacking("ip", "nft"))
def test_what_is_predicted_happens() -> None:
    found = hold_all([generate(seed, 40) for seed in range(MACHINES)] + [generate(seed) for seed in FOUND])
    assert sum(each.compared for each in found) > 20 * MACHINES
    differences = [difference for each in found for difference in each.differences]
    assert not differences, "\n".join(differences)
    assert sum(each.unknown.total() for each in found) < 2 * MACHINES
