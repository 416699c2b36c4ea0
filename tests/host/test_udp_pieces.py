"""The buffers that a datagram has before it is sent: what Linux 6.18 shows in /proc/net/udp after MSG_MORE."""

from __future__ import annotations

import pytest

from portside.host.udp_pieces import Pieces

PLENTY = 1 << 20


def memory(v4: bool, mtu: int, *lengths: int, paged: bool = False) -> int:
    pieces = Pieces(v4, mtu, paged)
    assert all(pieces.add(length, PLENTY) for length in lengths)
    return pieces.memory


@pytest.mark.parametrize(
    ("lengths", "v4", "v6"),
    [
        ([1], 832, 832), ([500], 1280, 1280), ([1452], 2304, 2304), ([1453], 2304, 3136), ([1472], 2304, 3136),
        ([1473], 3136, 3136), ([2000], 3584, 3584), ([2896], 4608, 5440), ([4344], 6912, 7744), ([6000], 10048, 10496),
        ([20000], 32256, 32256), ([60000], 94464, 95744), ([40000, 20000, 20], 94444, None),
        ([1440, 20], None, 3136), ([1450, 20], None, 3136), ([1450, 20, 2000], None, 5834),
    ],
)  # fmt: skip
def test_by_ethernet(lengths: list[int], v4: int | None, v6: int | None) -> None:
    if v4 is not None:
        assert memory(True, 1500, *lengths) == v4
    if v6 is not None:
        assert memory(False, 1500, *lengths) == v6


@pytest.mark.parametrize(("lengths", "v4", "v6"), [([16000], 16640, 16832), ([20000, 20000], 40832, 40832)])
def test_by_loopback(lengths: list[int], v4: int, v6: int) -> None:
    assert memory(True, 65535, *lengths) == v4
    assert memory(False, 65535, *lengths) == v6


def test_data_that_udp_segment_will_cut_lies_in_pages() -> None:
    assert memory(True, 65535, 5000, paged=True) == 5832


@pytest.mark.parametrize(("room", "taken"), [(2304, False), (2305, True)])
def test_room_for_another_piece(room: int, taken: bool) -> None:
    pieces = Pieces(True, 1500)
    assert pieces.add(1472, 0), "the first is always taken"
    assert pieces.add(1, room) is taken
