"""Port ranges of RFC 6335 and of operating systems."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.addr import port


@pytest.mark.scenario("B1")
@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "system"), (1023, "system"), (1024, "user"), (49151, "user"), (49152, "dynamic"), (65535, "dynamic")],
)
def test_the_three_ranges_of_rfc_6335(number: int, name: str) -> None:
    assert port.range_of(number).name == name


@given(st.integers(0, 65535))
def test_every_port_is_in_exactly_one_range(number: int) -> None:
    assert [r for r in port.RANGES if number in r] == [port.range_of(number)]
    assert sum(len(r) for r in port.RANGES) == 65536


@pytest.mark.parametrize("number", [-1, 65536])
def test_what_is_no_port_has_no_range(number: int) -> None:
    with pytest.raises(ValueError, match="must be 0 to 65535"):
        port.range_of(number)


@pytest.mark.scenario("B7")
def test_ephemeral_ranges() -> None:
    assert [(r.name, str(r)) for r in port.EPHEMERAL] == [
        ("linux", "32768-60999"),
        ("windows", "49152-65535"),
        ("macos", "49152-65535"),
    ]
    assert len(port.LINUX) == 28232


@given(st.integers(0, 65535))
def test_a_decimal_number_is_read(number: int) -> None:
    assert port.parse(str(number)) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", "1 ", "0x50", "1_0", "１２", "http", "65536", "9" * 100_000])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a port number|more than 65535"):
        port.parse(text)
