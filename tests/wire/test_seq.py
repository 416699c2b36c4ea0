"""Sequence numbers across the wrap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.wire import seq

numbers = st.integers(0, seq.MASK)
steps = st.integers(1, seq.HALF - 1)


@pytest.mark.parametrize(
    ("a", "b"), [(0, 1), (1, 2), (0xFFFFFFFF, 0), (0xFFFFFFF0, 0x10), (0, 0x7FFFFFFF), (0x80000001, 0)]
)
def test_order_across_the_wrap(a: int, b: int) -> None:
    assert seq.lt(a, b)
    assert seq.le(a, b)
    assert seq.gt(b, a)
    assert seq.ge(b, a)
    assert not seq.lt(b, a)
    assert not seq.le(b, a)
    assert not seq.gt(a, b)
    assert not seq.ge(a, b)
    assert seq.latest(a, b) == seq.latest(b, a) == b


@given(numbers, steps)
def test_a_number_is_before_what_is_less_than_half_the_space_further_on(a: int, step: int) -> None:
    b = seq.add(a, step)
    assert seq.lt(a, b)
    assert not seq.ge(a, b)
    assert seq.diff(b, a) == step
    assert seq.diff(a, b) == -step
    assert seq.add(b, -step) == a


@given(numbers)
def test_a_number_is_neither_before_nor_after_itself(a: int) -> None:
    assert not seq.lt(a, a)
    assert not seq.gt(a, a)
    assert seq.le(a, a)
    assert seq.ge(a, a)
    assert seq.diff(a, a) == 0
    assert seq.between(a, a, a)


@given(numbers, st.integers(0, seq.MASK), st.integers(0, seq.MASK))
def test_between_counts_the_way_forward(low: int, size: int, step: int) -> None:
    assert seq.between(low, seq.add(low, step), seq.add(low, size)) == (step <= size)


def test_half_the_space_apart() -> None:
    # As before() of Linux has it: each is before the other.
    assert seq.lt(0, seq.HALF)
    assert seq.lt(seq.HALF, 0)
    assert seq.diff(seq.HALF, 0) == -seq.HALF
