"""Loss: duplicate ACKs, fast retransmit, NewReno, timeouts, and windows that shrink and grow (RFC 5681, 6582)."""

from __future__ import annotations

import pytest
from pair import World, connected
from speak import Dialogue

from portside.addr.abi import MILLISECOND, SECOND
from portside.tcp import calls, loss
from portside.tcp.congestion import control


def flight(segments: int = 10) -> Dialogue:
    dialogue = Dialogue().established()
    dialogue.say("A")  # counts as the window's update after the SYN, or the first duplicate would
    dialogue.send(b"x" * 1000 * segments)
    assert len(dialogue.heard()) == min(segments, 10)
    return dialogue


def test_three_duplicates_bring_the_segment_again() -> None:
    dialogue = flight()
    dialogue.say("A")
    dialogue.say("A")
    dialogue.silent()
    assert dialogue.tcb.ca_state == loss.DISORDER
    dialogue.say("A")
    assert len(dialogue.hear("A", seq=1).data) == 1000
    dialogue.silent()
    assert dialogue.tcb.ca_state == loss.RECOVERY
    assert dialogue.tcb.ssthresh == 5


def test_limited_transmit_sends_new_data_for_the_first_duplicates() -> None:
    """RFC 3042."""
    dialogue = flight(15)
    dialogue.say("A")
    dialogue.hear("A", seq=10_001)
    dialogue.say("A")
    dialogue.hear("A", seq=11_001)


def test_window_updates_and_data_are_no_duplicates() -> None:
    dialogue = flight()
    dialogue.say("A", data=b"x", window=60_000)
    for more in range(1, 5):
        dialogue.say("A", window=60_000 + more, seq=1 + more)
        dialogue.say("A", window=60_000 + more, seq=1 + more, data=b"x")
    assert dialogue.tcb.ca_state == loss.OPEN
    assert dialogue.tcb.dupacks == 0


def test_a_full_ack_ends_recovery_at_half_the_window() -> None:
    dialogue = flight()
    for _ in range(3):
        dialogue.say("A")
    dialogue.hear("A", seq=1)
    dialogue.say("A", ack=10_001)
    assert dialogue.tcb.ca_state == loss.OPEN
    assert dialogue.tcb.cwnd == 5
    dialogue.send(b"y" * 20_000)
    assert len(dialogue.heard()) == 5


def test_a_partial_ack_shows_the_next_hole() -> None:
    dialogue = flight()
    for _ in range(8):  # the first and the fifth are lost
        dialogue.say("A")
    dialogue.hear("A", seq=1)
    dialogue.silent()
    dialogue.say("A", ack=4001)
    dialogue.hear("A", seq=4001)
    assert dialogue.tcb.ca_state == loss.RECOVERY
    dialogue.say("A", ack=10_001)
    assert dialogue.tcb.ca_state == loss.OPEN


def test_old_duplicates_after_recovery_start_no_other() -> None:
    dialogue = flight(20)
    for _ in range(3):
        dialogue.say("A")
    dialogue.heard()
    end = dialogue.tcb.recover - dialogue.isn
    dialogue.say("A", ack=end)
    dialogue.heard()
    ssthresh = dialogue.tcb.ssthresh
    for _ in range(2):
        dialogue.say("A", ack=end)
    assert dialogue.tcb.ssthresh == ssthresh


def test_a_timeout_begins_again_with_one_segment() -> None:
    dialogue = flight()
    dialogue.wait(201)
    dialogue.hear("A", seq=1)
    dialogue.silent()
    assert (dialogue.tcb.cwnd, dialogue.tcb.ssthresh, dialogue.tcb.ca_state) == (1, 5, loss.LOSS)
    dialogue.say("A", ack=1001)
    assert [said.seq - dialogue.isn for said in dialogue.heard()] == [1001, 2001]
    dialogue.say("A", ack=3001)
    assert [said.seq - dialogue.isn for said in dialogue.heard()] == [3001, 4001, 5001, 6001]
    dialogue.say("A", ack=10_001)
    dialogue.send(b"z")
    dialogue.say("A", ack=10_002)
    assert dialogue.tcb.ca_state == loss.OPEN
    assert dialogue.tcb.sent is None


def test_a_timeout_that_was_for_nothing_is_undone() -> None:
    """The Eifel algorithm by timestamps: the ACK echoes the original, not the retransmission."""
    world, client, _ = connected()
    world.latency = 0
    held: list = []
    world.cut = lambda segment: held.append(segment) or True
    calls.send(client, b"x" * 10_000, world.now)
    original = list(held)
    world.advance(250 * MILLISECOND)
    assert client.ca_state == loss.LOSS
    world.cut = lambda segment: False
    for segment in original:
        world.wire.append((world.hosts[segment.dst], segment))
    world.settle()
    assert client.ca_state == loss.OPEN
    assert client.cwnd >= 7


def test_slow_start_doubles_and_congestion_avoidance_adds_one() -> None:
    tcb = Dialogue().tcb
    tcb.ssthresh = 20
    tcb.max_packets_out = 10
    control.acked(tcb, 10)
    assert tcb.cwnd == 20
    tcb.cwnd_limited = True
    control.acked(tcb, 20)
    assert tcb.cwnd == 21


def test_the_window_doubles_while_more_than_half_of_it_is_used() -> None:
    """tcpi_snd_cwnd of Linux on a real wire after bursts of so many segments, each acknowledged by itself."""
    dialogue = Dialogue().established(sndbuf=1_000_000, sndbuf_locked=True)
    ack = 1
    seen = []
    for count in (10, 20, 40, 60, 60, 30):
        assert dialogue.send(b"x" * 1000 * count) == 1000 * count
        assert len(dialogue.heard()) == count
        for _ in range(count):
            ack += 1000
            dialogue.say("A", ack=ack)
        seen.append(dialogue.tcb.cwnd)
    assert seen == [20, 40, 80, 120, 120, 120]


def test_single_segments_after_a_burst_that_filled_the_window_do_not_open_it_further() -> None:
    dialogue = Dialogue().established()
    ack = 1
    for data in (b"x" * 10_000, b"x", b"x", b"x"):
        dialogue.send(data)
        for segment in dialogue.heard():
            ack += len(segment.data)
            dialogue.say("A", ack=ack)
        assert dialogue.tcb.cwnd == 20


def test_an_unused_window_does_not_grow() -> None:
    tcb = Dialogue().tcb
    for _ in range(100):
        control.acked(tcb, 1)
    assert tcb.cwnd == 10


def test_after_a_pause_slow_start_begins_again() -> None:
    tcb = Dialogue().tcb
    tcb.cwnd = 80
    tcb.rto = SECOND
    control.restart(tcb, 3 * SECOND)
    assert tcb.cwnd == 20
    assert tcb.ssthresh >= 60
    control.restart(tcb, 60 * SECOND)
    assert tcb.cwnd == 10


@pytest.mark.parametrize("lost", [0, 1, 4, 8, 9])
def test_one_lost_segment_of_a_flight_is_repaired(lost: int) -> None:
    world = World()
    world.latency = 10 * MILLISECOND
    _, client, server = connected(world)
    count = 0

    def cut(segment: object) -> bool:
        nonlocal count
        if getattr(segment, "data", b""):
            count += 1
            return count - 1 == lost
        return False

    world.cut = cut
    data = bytes(range(250)) * 58
    assert calls.send(client, data, world.now) == len(data)
    start = world.now
    got = b""
    while len(got) < len(data):
        world.advance(5 * MILLISECOND)
        part = calls.receive(server, 65536, world.now)
        got += part if isinstance(part, bytes) else b""
        assert world.now - start < 2 * SECOND
    assert got == data
    if lost < 7:
        assert world.now - start < 100 * MILLISECOND, "by duplicates, not by the timer"


def test_a_smaller_segment_size_cuts_what_is_sent_again() -> None:
    dialogue = flight(2)
    dialogue.tcb.mss = 600
    dialogue.wait(201)
    assert len(dialogue.hear("A", seq=1).data) == 600
    dialogue.say("A", ack=601)
    assert len(dialogue.hear("A", seq=601).data) == 400
