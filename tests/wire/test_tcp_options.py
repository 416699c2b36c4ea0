"""TCP options in Linux's order and padding, and what Linux makes of options that are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.addr import ip
from portside.wire import tcp_options
from portside.wire.packet import ACK, SYN, TcpSegment


def segment(flags: int = ACK, **options: object) -> TcpSegment:
    made = TcpSegment(ip.V4_LOOPBACK, ip.V4_LOOPBACK, 1, 2, 3, 4, flags, 5)
    for name, value in options.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (segment(), ""),
        (segment(SYN, mss=1460), "020405b4"),
        (
            segment(SYN, mss=1460, sack_permitted=True, timestamps=(1, 2), window_scale=7),
            "020405b4 0402080a0000000100000002 01030307",
        ),
        (segment(SYN, mss=1460, timestamps=(1, 2)), "020405b4 0101080a0000000100000002"),
        (segment(SYN, mss=536, sack_permitted=True, window_scale=0), "02040218 01010402 01030300"),
        (segment(timestamps=(1, 2)), "0101080a0000000100000002"),
        (segment(sack=((1, 2),)), "0101050a 0000000100000002"),
        (
            segment(timestamps=(1, 2), sack=((3, 4), (5, 6), (7, 8))),
            "0101080a0000000100000002 0101051a 00000003 00000004 00000005 00000006 00000007 00000008",
        ),
    ],
)
def test_the_order_of_linux(made: TcpSegment, expected: str) -> None:
    encoded = tcp_options.encode(made)
    assert encoded == bytes.fromhex(expected)
    assert len(encoded) == made.header_length() - 20


def decoded(options: str, flags: int = SYN) -> TcpSegment:
    made = segment(flags)
    tcp_options.decode(bytes.fromhex(options), made)
    return made


def test_options_in_any_order_and_alignment() -> None:
    made = decoded("01030309 01 0402 080a0000000a0000000b 020405b4 00")
    assert (made.mss, made.window_scale, made.sack_permitted, made.timestamps) == (1460, 9, True, (10, 11))


def test_nothing_counts_after_the_end_of_options() -> None:
    assert decoded("00 020405b4").mss is None


def test_unknown_options_are_passed_over() -> None:
    assert decoded("fe06aabbccdd 1e0400ff 020405b4").mss == 1460


@pytest.mark.parametrize("options", ["02", "0200", "0201", "020505b4", "fe20aabb 020405b4"])
def test_what_does_not_fit_ends_the_options(options: str) -> None:
    assert decoded(options).mss is None


def test_options_of_a_wrong_length_are_passed_over() -> None:
    made = decoded("020305 03020405 04 01 080401020304 050402 0204 05b4".replace(" ", ""))
    assert (made.window_scale, made.timestamps, made.sack) == (None, None, ())


def test_options_of_a_syn_count_only_there() -> None:
    made = decoded("020405b4 01030307 01010402 0101080a0000000100000002", ACK)
    assert (made.mss, made.window_scale, made.sack_permitted) == (None, None, False)
    assert made.timestamps == (1, 2)


def test_a_window_scale_is_at_most_fourteen_and_an_mss_of_zero_is_none() -> None:
    made = decoded("02040000 010303ff")
    assert (made.mss, made.window_scale) == (None, 14)


@given(st.binary(max_size=40), st.integers(0, 255))
def test_arbitrary_options_never_fail(options: bytes, flags: int) -> None:
    made = segment(flags)
    tcp_options.decode(options, made)
    tcp_options.decode(memoryview(options), made)
    assert len(made.sack) <= 4
