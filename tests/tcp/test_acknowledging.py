"""When an ACK comes and when it waits: what Linux 6.18 did with the same segments, its clock of 4 ms taken as exact."""

from __future__ import annotations

import socket

import pytest
from speak import Dialogue

from portside.addr.abi import MILLISECOND

AT_ONCE = 16  # TCP_MAX_QUICKACKS


class Sender:
    """We send data in order, and look how long each ACK takes; then the program reads, which would bring it on."""

    def __init__(self, round_trip: float = 0) -> None:
        self.dialogue = dialogue = Dialogue().connect()
        dialogue.hear("S")
        dialogue.wait(round_trip)
        dialogue.say("SA", seq=0, ack=1, mss=1000)
        dialogue.hear("A")
        self.seq = 1

    def delay(self, size: int = 10, letters: str = "PA", **fields: int) -> float | None:
        """ms until the ACK of one segment; None where half a second passes without one."""
        dialogue = self.dialogue
        dialogue.say(letters, seq=self.seq, data=b"x" * size, **fields)  # type: ignore[arg-type]
        self.seq += size
        began = dialogue.world.now
        while not dialogue.world.log:
            if dialogue.world.now - began > 500 * MILLISECOND:
                return None
            dialogue.wait(1)
        delay = (dialogue.world.now - began) / MILLISECOND
        dialogue.hear("A", ack=self.seq)
        dialogue.recv()
        dialogue.silent()
        return delay

    def delays(self, count: int, gap: float) -> list[float | None]:
        """The same for several, one each `gap` ms."""
        found = []
        for _ in range(count):
            began = self.dialogue.world.now
            found.append(self.delay())
            self.dialogue.wait(gap - (self.dialogue.world.now - began) / MILLISECOND)
        return found


def test_the_first_sixteen_segments_are_acknowledged_at_once() -> None:
    sender = Sender()
    assert sender.delays(AT_ONCE + 2, gap=60) == [0] * AT_ONCE + [40, 40]


def test_a_sender_that_pauses_longer_than_its_timeout_is_helped_again() -> None:
    sender = Sender()
    sender.delays(AT_ONCE + 1, gap=60)
    sender.dialogue.wait(1000)
    assert sender.delays(AT_ONCE + 1, gap=60) == [0] * AT_ONCE + [40]


def test_the_delay_doubles_while_the_program_does_not_answer() -> None:
    """MUST-40: up to the 196 ms that stay below the peer's shortest timeout (tcp_delack_max(), a tick less)."""
    sender = Sender(round_trip=400)
    assert sender.delays(AT_ONCE + 6, gap=300) == [0] * AT_ONCE + [40, 80, 160, 196, 196, 196]


def test_no_ack_waits_for_longer_than_a_round_trip() -> None:
    sender = Sender(round_trip=60)
    assert sender.delays(AT_ONCE + 4, gap=220) == [0] * AT_ONCE + [40, 60, 60, 60]


@pytest.mark.parametrize("half_closed", [False, True])
def test_one_full_segment_waits_for_the_second(half_closed: bool) -> None:
    """By header prediction and without: it takes more than a segment to make an ACK due."""
    sender = Sender()
    for _ in range(3 * AT_ONCE):  # while the window grows, more of them are acknowledged at once
        sender.delay(1000, "A")
    ack = 1
    if half_closed:
        sender.dialogue.shutdown(socket.SHUT_WR)
        sender.dialogue.hear("FA")
        ack = 2
    assert [sender.delay(1000, "A", ack=ack) for _ in range(3)] == [40, 40, 40]


@pytest.mark.parametrize(("gap", "acknowledged"), [(10, 40), (25, 40), (32, 32), (37, 37)])
def test_an_ack_that_is_nearly_due_takes_the_next_segment_along(gap: int, acknowledged: int) -> None:
    sender = Sender()
    sender.delays(AT_ONCE + 1, gap=60)
    dialogue = sender.dialogue
    began = dialogue.world.now
    dialogue.say("PA", seq=sender.seq, data=b"x" * 10)
    dialogue.wait(gap)
    dialogue.say("PA", seq=sender.seq + 10, data=b"x" * 10)
    dialogue.wait(200)
    ((when, segment),) = dialogue.world.log
    assert (when - began) // MILLISECOND == acknowledged
    assert segment.ack == dialogue.tcb.rcv_nxt


def test_a_quicker_pace_brings_a_delayed_ack_on() -> None:
    """160 ms were to come; a segment after 10 ms makes it 80 + 20 ms from there. Linux: 116 ms, ticks and all."""
    sender = Sender(round_trip=400)
    sender.delays(AT_ONCE + 2, gap=300)
    dialogue = sender.dialogue
    began = dialogue.world.now
    dialogue.say("PA", seq=sender.seq, data=b"x" * 10)
    dialogue.wait(10)
    dialogue.say("PA", seq=sender.seq + 10, data=b"x" * 10)
    dialogue.wait(300)
    ((when, _),) = dialogue.world.log
    assert (when - began) / MILLISECOND == 110
