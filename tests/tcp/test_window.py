"""The receive window: when it opens again, and how the buffer grows with a program that reads."""

from __future__ import annotations

import pytest
from speak import Dialogue

from portside.tcp import window
from portside.tcp.tcb import INITIAL_CWND


def scaled(**options: object) -> Dialogue:
    return Dialogue().established(scale=7, **options)  # type: ignore[arg-type]


def test_a_full_buffer_offers_nothing_until_a_sixteenth_of_it_is_free() -> None:
    """RFC 9293 section 3.8.6.2.2 by way of __tcp_select_window()."""
    dialogue = scaled(rcvbuf=1 << 20, rcvbuf_locked=True)
    tcb = dialogue.tcb
    while room := min(window.left(tcb), 1000):
        dialogue.say("A", seq=(tcb.rcv_nxt - dialogue.peer), data=bytes(room))
        dialogue.wait(40)
    assert dialogue.heard()[-1].window == 0
    silent = []
    while not (said := dialogue.heard()):
        silent.append(window.from_space(tcb, tcb.rcvbuf - tcb.rcv_memory) / window.full_space(tcb))
        assert len(dialogue.recv(500)) == 500  # type: ignore[arg-type]
    assert said[0].window > 0
    assert 1 / 32 < silent[-1] < 1 / 16
    assert window.from_space(tcb, tcb.rcvbuf - tcb.rcv_memory) / window.full_space(tcb) >= 1 / 16


@pytest.mark.parametrize(("size", "counted"), [(1000, 42_000), (1 << 20, 72_000)])
def test_the_buffer_grows_to_twice_of_what_comes_in_a_round_trip_and_more_the_faster_it_grew(
    size: int, counted: int
) -> None:
    """rcv_space of TCP_INFO and SO_RCVBUF: 20 segments each 100 ms, of which three rounds fill the first window.

    Linux on a real wire counts 42,000 bytes too when the program reads by 1,000: 61,000 were read when the first
    sk_buff was, and 19,000 still waited. Here 16 segments are one sk_buff, so a large read counts 76,000 - 4,000.
    """
    dialogue = scaled()
    tcb = dialogue.tcb
    spaces = []
    for turn in range(5):
        for piece in range(20):
            dialogue.say("A", seq=1 + 20_000 * turn + 1000 * piece, data=bytes(1000))
        dialogue.wait(5)
        while dialogue.recv(size):
            pass
        dialogue.wait(95)
        spaces.append(tcb.rcvq_space)
    first = INITIAL_CWND * 1460
    assert spaces == [first, first, first, counted, counted]
    want = 2 * counted + 2 * (2 * counted * (counted - first) // first)
    assert tcb.rcvbuf == (want << 8) // tcb.scaling_ratio
    assert tcb.window_clamp == window.full_space(tcb)
