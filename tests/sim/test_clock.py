"""Durations, rates and sizes as people write them."""

from datetime import UTC, datetime

import pytest

from portside.sim import clock

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("value", "ns"),
    [(0, 0), (1, SECOND), (0.25, SECOND // 4), ("10ms", 10_000_000), ("1.5s", 1_500_000_000),
     ("2min", 120 * SECOND), ("3 us", 3000), ("7ns", 7), ("1h", 3600 * SECOND),
     (".5ms", 500_000), ("10MS", 10_000_000)],
)  # fmt: skip
def test_durations(value, ns):
    assert clock.duration(value) == ns


@pytest.mark.parametrize(
    "value", ["", "10", "ms", "10 parsecs", "-1s", -1, float("nan"), float("inf"), 1e300, "9999999999h", True, None]
)
def test_what_is_no_duration_is_refused_with_an_example(value):
    with pytest.raises(ValueError, match="is no duration"):
        clock.duration(value)


@pytest.mark.parametrize(
    ("value", "rate"),
    [("100Mbit", 100_000_000), ("1gbit", 10**9), ("10kbps", 80_000), (9600, 9600), ("0.5mbit", 500_000)],
)
def test_bandwidths(value, rate):
    assert clock.bandwidth(value) == rate


@pytest.mark.parametrize("value", ["fast", "0bit", 0, "10"])
def test_what_is_no_bandwidth_is_refused(value):
    with pytest.raises(ValueError, match="bandwidth"):
        clock.bandwidth(value)


def test_sizes():
    assert [clock.size(value) for value in (5, "64kb", "1mb", "7b")] == [5, 65536, 1048576, 7]


@pytest.mark.parametrize("value", ["2020-01-01T00:00:00Z", "2020-01-01", 1577836800, datetime(2020, 1, 1, tzinfo=UTC)])
def test_starts(value):
    assert clock.start(value) == clock.DEFAULT_START


def test_a_start_keeps_its_microseconds():
    assert clock.start("1970-01-01T00:00:01.000001Z") == 1_000_001_000


@pytest.mark.parametrize(
    "value",
    ["yesterday", 1e300, float("inf"), float("nan"), -1, 10**20, "1969-12-31T23:59:59Z", "2300-01-01", True, None],
)
def test_a_start_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="is no time"):
        clock.start(value)


def test_the_longest_duration_and_the_latest_start():
    assert clock.duration(2**63 // SECOND) < 2**63
    assert clock.start(clock.LATEST_START // SECOND) == clock.LATEST_START
    assert clock.start(0.5) == SECOND // 2


def test_a_size_is_whole():
    with pytest.raises(ValueError, match="bytes are whole"):
        clock.size(1.5)


def test_shown_with_nanoseconds_only_where_there_are_any():
    assert [clock.show(time) for time in (0, 1_500_000_000, 1)] == ["0.000000", "1.500000", "0.000000001"]
