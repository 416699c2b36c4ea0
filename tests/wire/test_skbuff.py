"""What packets take of buffers, as measured on Linux 6.18."""

from __future__ import annotations

import pytest

from portside.addr.ip import parse
from portside.ip.fragment import split
from portside.wire.packet import UdpDatagram
from portside.wire.skbuff import cost, cost_of

V4, V6 = parse("10.0.0.1"), parse("fd00::1")


@pytest.mark.parametrize(
    ("length", "v4", "expected"),
    [(1, True, 832), (100, False, 832), (500, True, 1280), (1000, True, 2304), (1472, True, 2304), (2000, True, 4352),
     (16004, True, 16640), (16005, True, 16837), (15991, False, 16640), (15992, False, 16824), (60000, False, 60832)],
)  # fmt: skip
def test_a_datagram_with_so_much_data(length: int, v4: bool, expected: int) -> None:
    assert cost(length + 8, v4) == expected


@pytest.mark.parametrize(("address", "expected"), [(V4, [2304, 2304, 2304, 1280]), (V6, [2304] * 4)])
def test_a_piece_counts_by_itself(address: int, expected: list[int]) -> None:
    pieces = split(UdpDatagram(address, address, 1, 2, bytes(5000)), 1500)
    assert [cost_of(piece) for piece in pieces] == expected
