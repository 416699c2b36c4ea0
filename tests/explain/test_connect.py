"""What `why` predicts is what happens: on generated machines, and on small ones made by hand."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from tests.explain.compare import compare
from tests.live.apart import lacking

MACHINES = 24


@pytest.mark.linux
@pytest.mark.skipif(lacking("ip", "nft") != "", reason=lacking("ip", "nft"))
def test_what_is_predicted_happens() -> None:
    """Most of the time is spent waiting for what times out: several machines wait at once."""
    with ProcessPoolExecutor(8, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(compare, range(MACHINES), [40] * MACHINES))
    assert sum(each.compared for each in found) > 20 * MACHINES
    differences = [difference for each in found for difference in each.differences]
    assert not differences, "\n".join(map(str, differences))
    assert sum(each.unknown for each in found) < 2 * MACHINES
