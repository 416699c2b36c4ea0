"""What `why` predicts is what happens: on generated machines, and on small ones made by hand."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from tests.explain.deep import one
from tests.live.apart import lacking

MACHINES = 24
FOUND = (50001, 50040, 70053, 70101, 91481, 104123)
"""Machines of the deep profile that were foretold wrong: neighbours not there, redirected, rejected, ways by flow."""


@pytest.mark.linux
@pytest.mark.skipif(lacking("ip", "nft") != "", reason=lacking("ip", "nft"))
def test_what_is_predicted_happens() -> None:
    """Most of the time is spent waiting for what times out: several machines wait at once."""
    with ProcessPoolExecutor(8, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(one, (*range(MACHINES), *FOUND), [40] * MACHINES + [60] * len(FOUND)))
    assert sum(compared for _, compared, *_ in found) > 20 * MACHINES
    differences = [difference for *_, differences, _ in found for difference in differences]
    assert not differences, "\n".join(differences)
    assert sum(unknown for _, _, unknown, *_ in found) < 2 * MACHINES
