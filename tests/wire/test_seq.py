"""Sequence numbers across the wrap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.wire.seq import diff

SPACE = 1 << 32
HALF = 1 << 31


@pytest.mark.parametrize(
    ("a", "b"), [(0, 1), (1, 2), (0xFFFFFFFF, 0), (0xFFFFFFF0, 0x10), (0, 0x7FFFFFFF), (0x80000001, 0)]
)
def test_order_across_the_wrap(a: int, b: int) -> None:
    assert diff(a, b) < 0 < diff(b, a)


@given(st.integers(0, SPACE - 1), st.integers(0, HALF - 1))
def test_a_number_is_before_what_is_less_than_half_the_space_further_on(a: int, step: int) -> None:
    b = (a + step) % SPACE
    assert diff(b, a) == step
    assert diff(a, b) == -step


def test_half_the_space_apart() -> None:
    # As before() of Linux has it: each is before the other.
    assert diff(0, HALF) == diff(HALF, 0) == -HALF
