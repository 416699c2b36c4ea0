"""ESTABLISHED: data, acknowledgments, and segments that must not move the connection (RFC 9293 3.10.7.4, RFC 5961)."""

from __future__ import annotations

import errno

import pytest
from pair import connected
from speak import Dialogue

from portside.addr.abi import (
    MILLISECOND,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRNORM,
)  # fmt: skip
from portside.tcp import arrives, calls, send
from portside.tcp.effects import READABLE
from portside.tcp.tcb import RTO_MIN

OPEN = POLLOUT | POLLWRNORM


# -- receiving --


def test_data_is_delivered_and_acknowledged_at_once_at_the_start() -> None:
    dialogue = Dialogue().established()
    assert dialogue.poll() == OPEN
    dialogue.say("PA", data=b"hello")
    dialogue.hear("A", seq=1, ack=6)
    assert dialogue.poll() == OPEN | POLLIN | POLLRDNORM
    assert dialogue.host.events[-1] == (dialogue.tcb, READABLE)
    assert calls.inq(dialogue.tcb) == 5
    assert dialogue.recv(2) == b"he"
    assert dialogue.recv(2, peek=True) == b"ll"
    assert dialogue.recv() == b"llo"
    assert dialogue.recv() is None


def test_receiving_no_bytes_waits_for_data_all_the_same() -> None:
    dialogue = Dialogue().established()
    assert dialogue.recv(0) is None
    dialogue.say("PA", data=b"hello")
    assert dialogue.recv(0) == b""
    assert dialogue.recv() == b"hello"


def test_every_arrival_wakes_though_there_was_data() -> None:
    dialogue = Dialogue().established()
    before = len(dialogue.host.events)
    dialogue.say("PA", seq=1, data=b"a")
    dialogue.say("PA", seq=2, data=b"b")
    assert dialogue.host.events[before:] == [(dialogue.tcb, READABLE)] * 2


def test_low_water_mark() -> None:
    dialogue = Dialogue().established(rcvlowat=5)
    before = len(dialogue.host.events)
    dialogue.say("PA", seq=1, data=b"abc")
    assert dialogue.poll() == OPEN
    assert len(dialogue.host.events) == before
    dialogue.say("PA", seq=4, data=b"de")
    assert dialogue.poll() & POLLIN
    assert len(dialogue.host.events) == before + 1


def test_out_of_order_data_is_kept_and_duplicate_acks_say_so() -> None:
    dialogue = Dialogue().established()
    dialogue.say("A", seq=4, data=b"def")
    dialogue.hear("A", ack=1)
    dialogue.say("A", seq=10, data=b"jkl")
    dialogue.hear("A", ack=1)
    assert dialogue.recv() is None
    dialogue.say("A", seq=1, data=b"abc")
    dialogue.hear("A", ack=7)
    dialogue.say("A", seq=7, data=b"ghi")
    dialogue.hear("A", ack=13)
    assert dialogue.recv() == b"abcdefghijkl"
    assert dialogue.tcb.out_of_order is None


@pytest.mark.parametrize(
    "pieces",
    [
        [(4, 3), (1, 10)], [(4, 3), (2, 6), (1, 2)], [(2, 2), (6, 2), (1, 9)], [(5, 5), (3, 4), (1, 3)],
        [(3, 1), (5, 1), (7, 1), (2, 7), (1, 1)], [(8, 2), (6, 3), (1, 6)],
    ],
)  # fmt: skip
def test_overlaps_deliver_each_byte_once(pieces: list[tuple[int, int]]) -> None:
    stream = b".abcdefghijklmnop"
    dialogue = Dialogue().established()
    for seq, length in pieces:
        dialogue.say("A", seq=seq, data=stream[seq : seq + length])
    end = max(seq + length for seq, length in pieces)
    assert dialogue.recv() == stream[1:end]
    assert dialogue.tcb.rcv_memory == 0


def test_old_data_is_acknowledged_again_at_once() -> None:
    dialogue = Dialogue().established()
    dialogue.say("PA", data=b"hello")
    dialogue.hear("A", ack=6)
    dialogue.say("PA", data=b"hello")
    dialogue.hear("A", ack=6)
    assert dialogue.recv() == b"hello"


def test_partly_old_data_gives_its_new_part() -> None:
    dialogue = Dialogue().established()
    dialogue.say("A", seq=1, data=b"hello")
    dialogue.say("A", seq=4, data=b"lo world")
    assert dialogue.recv() == b"hello world"


def test_data_across_the_wrap_of_sequence_numbers() -> None:
    dialogue = Dialogue(isn=0xFFFFFFFA, peer=0xFFFFFFFC).established()
    dialogue.say("A", seq=5, data=b"5678")
    dialogue.say("A", seq=1, data=b"1234")
    assert dialogue.recv() == b"12345678"
    assert dialogue.send(b"x" * 20) == 20
    dialogue.heard()
    dialogue.say("A", seq=9, ack=21)
    assert dialogue.tcb.sent is None
    assert calls.outq(dialogue.tcb) == 0


def test_one_segment_read_whole_is_not_copied() -> None:
    dialogue = Dialogue().established()
    data = b"x" * 500
    dialogue.say("A", data=data)
    assert dialogue.recv(500) is data


# -- what must be ignored --


@pytest.mark.parametrize("seq", [-70_000, 70_000, 200_000, -1])
def test_data_outside_of_the_window_draws_an_ack_and_nothing_else(seq: int) -> None:
    dialogue = Dialogue().established()
    dialogue.say("PA", seq=seq, data=b"x")
    dialogue.hear("A", seq=1, ack=1)
    dialogue.silent()
    assert dialogue.recv() is None
    assert dialogue.state == "ESTABLISHED"


def test_empty_segments_outside_of_the_window_are_answered_seldom() -> None:
    dialogue = Dialogue().established()
    for _ in range(3):
        dialogue.say("A", seq=-10)
    dialogue.hear("A")
    dialogue.silent()
    dialogue.wait(500)
    dialogue.say("A", seq=-10)
    dialogue.hear("A")


def test_exact_reset_is_believed() -> None:
    dialogue = Dialogue().established()
    dialogue.say("R", seq=1)
    assert dialogue.state == "CLOSED"
    assert dialogue.poll() == OPEN | POLLIN | POLLRDNORM | POLLRDHUP | POLLERR | POLLHUP
    assert dialogue.recv() == -errno.ECONNRESET
    assert dialogue.recv() == b""
    assert dialogue.send(b"x") == -errno.EPIPE


@pytest.mark.parametrize("seq", [2, 100, 60_000])
def test_a_reset_inside_the_window_is_challenged(seq: int) -> None:
    dialogue = Dialogue().established()
    dialogue.say("R", seq=seq)
    dialogue.hear("A", seq=1, ack=1)
    assert dialogue.state == "ESTABLISHED"


@pytest.mark.parametrize("seq", [0, -1, 70_000, -70_000])
def test_a_reset_outside_the_window_is_nothing(seq: int) -> None:
    dialogue = Dialogue().established()
    dialogue.say("R", seq=seq)
    dialogue.silent()
    assert dialogue.state == "ESTABLISHED"


@pytest.mark.parametrize("letters", ["S", "SA", "SP"])
@pytest.mark.parametrize("seq", [0, 1, 50, 100_000, -100_000])
def test_a_syn_is_challenged_wherever_it_is(letters: str, seq: int) -> None:
    dialogue = Dialogue().established()
    dialogue.say(letters, seq=seq)
    dialogue.hear("A", seq=1, ack=1)
    assert dialogue.state == "ESTABLISHED"


def test_challenges_are_limited() -> None:
    dialogue = Dialogue().established()
    for _ in range(10):
        dialogue.say("R", seq=7)
    dialogue.hear("A")
    dialogue.silent()


def test_an_ack_of_what_was_never_sent_is_dropped_with_its_data() -> None:
    dialogue = Dialogue().established()
    dialogue.say("PA", ack=2, data=b"x")
    dialogue.silent()
    assert dialogue.recv() is None


def test_a_blind_old_ack_is_challenged_and_its_data_dropped() -> None:
    dialogue = Dialogue().established()
    dialogue.say("PA", ack=-100_000, data=b"x")
    dialogue.hear("A")
    assert dialogue.recv() is None


def test_an_old_ack_in_the_window_still_brings_its_data() -> None:
    dialogue = Dialogue().established()
    dialogue.send(b"abc")
    dialogue.hear("PA")
    dialogue.say("A", ack=4)
    dialogue.say("PA", ack=1, data=b"late")
    assert dialogue.recv() == b"late"
    assert dialogue.tcb.snd_una == dialogue.tcb.snd_nxt


@pytest.mark.parametrize("letters", ["", "F", "P", "FP"])
def test_no_ack_bit_no_effect(letters: str) -> None:
    dialogue = Dialogue().established()
    dialogue.say(letters, data=b"x")
    dialogue.silent()
    assert dialogue.recv() is None
    assert dialogue.state == "ESTABLISHED"


def test_icmp_is_a_soft_error_told_at_the_end() -> None:
    dialogue = Dialogue().established()
    dialogue.send(b"x")
    segment = dialogue.hear("PA")
    arrives.icmp_error(dialogue.tcb, errno.EHOSTUNREACH, True, segment, 0, dialogue.world.now)
    assert dialogue.state == "ESTABLISHED"
    assert dialogue.tcb.error == 0
    dialogue.wait(2_000_000)
    assert dialogue.recv() == -errno.EHOSTUNREACH


def test_an_ack_clears_the_soft_error() -> None:
    dialogue = Dialogue().established()
    dialogue.send(b"x")
    segment = dialogue.hear("PA")
    arrives.icmp_error(dialogue.tcb, errno.EHOSTUNREACH, True, segment, 0, dialogue.world.now)
    dialogue.say("A", ack=2)
    assert dialogue.tcb.soft_error == 0


def test_timestamps_are_echoed_and_old_ones_do_not_replace_new() -> None:
    dialogue = Dialogue()
    dialogue.connect()
    echo = dialogue.hear("S").timestamps
    assert echo is not None
    dialogue.say("SA", seq=0, ack=1, ts=(100, echo[0]))
    assert dialogue.hear("A").timestamps[1] == 100  # type: ignore[index]
    dialogue.say("PA", data=b"x", ts=(200, echo[0]))
    assert dialogue.hear("A").timestamps[1] == 200  # type: ignore[index]
    # Out of order: not at the left edge, so not echoed (RFC 7323 section 4.3).
    dialogue.say("PA", seq=5, data=b"x", ts=(300, echo[0]))
    assert dialogue.hear("A").timestamps[1] == 200  # type: ignore[index]


# -- acknowledging --


def test_in_a_conversation_acks_ride_on_the_answers() -> None:
    world, client, server = connected()
    for _ in range(5):
        calls.send(client, b"question", world.now)
        world.settle()
        calls.receive(server, 100, world.now)
        calls.send(server, b"answer", world.now)
        world.settle()
        calls.receive(client, 100, world.now)
    world.log.clear()
    calls.send(client, b"question", world.now)
    world.settle()
    calls.receive(server, 100, world.now)
    assert len(world.log) == 1
    calls.send(server, b"answer", world.now)
    world.settle()
    calls.receive(client, 100, world.now)
    assert len(world.log) == 2
    world.advance(39 * MILLISECOND)
    assert len(world.log) == 2
    world.advance(1 * MILLISECOND)
    assert len(world.log) == 3, "the last answer is acknowledged after 40 ms"


def test_quickack_off_and_on() -> None:
    dialogue = Dialogue().established()
    calls.set_quickack(dialogue.tcb, 0, dialogue.world.now)
    assert calls.quickack(dialogue.tcb) == 0
    dialogue.say("PA", data=b"x")
    calls.set_quickack(dialogue.tcb, 1, dialogue.world.now)
    dialogue.silent()  # what is unread is not acknowledged for that
    calls.set_quickack(dialogue.tcb, 0, dialogue.world.now)
    assert calls.receive(dialogue.tcb, 10, dialogue.world.now) == b"x"
    dialogue.silent()
    calls.set_quickack(dialogue.tcb, 1, dialogue.world.now)
    dialogue.hear("A", ack=2)
    assert calls.quickack(dialogue.tcb) == 1


def test_every_second_full_segment_is_acknowledged() -> None:
    dialogue = Dialogue().established()
    seq = 1
    for _ in range(40):
        dialogue.say("A", seq=seq, data=bytes(1000))
        seq += 1000
        dialogue.recv()
    dialogue.heard()
    dialogue.tcb.quick = 0
    acks = []
    for _ in range(10):
        dialogue.say("A", seq=seq, data=bytes(1000))
        seq += 1000
        acks.append(len(dialogue.heard()))
        dialogue.recv()
    assert sum(acks) == 5


# -- sending --


def test_what_is_sent_is_remembered_until_acknowledged() -> None:
    dialogue = Dialogue().established()
    assert dialogue.send(b"hello") == 5
    dialogue.hear("PA", seq=1, ack=1, data=b"hello")
    assert calls.outq(dialogue.tcb) == 5
    dialogue.say("A", ack=3)
    assert calls.outq(dialogue.tcb) == 3
    dialogue.wait(300)
    dialogue.hear("PA", seq=3, data=b"llo")
    dialogue.say("A", ack=6)
    assert calls.outq(dialogue.tcb) == 0
    assert dialogue.tcb.snd_memory == 0


def test_a_large_send_is_cut_into_segments_the_last_with_push() -> None:
    dialogue = Dialogue().established()
    assert dialogue.send(b"x" * 2500) == 2500
    dialogue.hear("A", seq=1, data=b"x" * 1000)
    dialogue.hear("A", seq=1001, data=b"x" * 1000)
    dialogue.hear("PA", seq=2001, data=b"x" * 500)


def test_nagle_holds_a_small_segment_while_another_is_in_flight() -> None:
    dialogue = Dialogue().established()
    dialogue.send(b"a")
    dialogue.hear("PA", data=b"a")
    dialogue.send(b"b")
    dialogue.send(b"c")
    dialogue.silent()
    dialogue.say("A", ack=2)
    dialogue.hear("PA", data=b"bc")


def test_nodelay_sends_at_once_and_releases_what_waits() -> None:
    dialogue = Dialogue().established()
    dialogue.send(b"a")
    dialogue.send(b"b")
    dialogue.heard()
    dialogue.tcb.nodelay = True
    calls.options_changed(dialogue.tcb, dialogue.world.now, push=True)
    dialogue.hear("PA", data=b"b")
    dialogue.send(b"c")
    dialogue.hear("PA", data=b"c")


def test_cork_collects_full_segments() -> None:
    dialogue = Dialogue().established(cork=True)
    dialogue.send(b"a" * 700)
    dialogue.silent()
    dialogue.send(b"b" * 700)
    dialogue.hear("A", data=b"a" * 700 + b"b" * 300)
    dialogue.silent()
    dialogue.tcb.cork = False
    calls.options_changed(dialogue.tcb, dialogue.world.now, push=True)
    dialogue.say("A", ack=1001)
    dialogue.hear("PA", data=b"b" * 400)


def test_msg_more_waits_for_the_rest() -> None:
    dialogue = Dialogue().established()
    dialogue.send(b"head", more=True)
    dialogue.silent()
    dialogue.send(b"body")
    dialogue.hear("PA", data=b"headbody")


def test_the_peers_window_is_never_exceeded() -> None:
    dialogue = Dialogue().established()
    dialogue.say("A", window=1500)
    dialogue.send(b"x" * 5000)
    dialogue.hear("A", data=b"x" * 1000)
    dialogue.hear("A", seq=1001, data=b"x" * 500)  # to Linux a part of the same: it asks for the first to fit
    dialogue.silent()
    dialogue.say("A", ack=1001, window=2000)
    dialogue.hear("A", seq=1501, data=b"x" * 1000)
    dialogue.silent()  # 500 more would fit, and are held back: a small segment is in flight


def test_scaled_windows_are_scaled() -> None:
    dialogue = Dialogue().established(scale=7)
    assert dialogue.tcb.snd_wnd == 65535  # that of the SYN is not
    dialogue.say("A", window=1000)
    assert dialogue.tcb.snd_wnd == 128_000
    dialogue.send(b"x")
    dialogue.say("A", ack=2, window=500)
    assert dialogue.tcb.snd_wnd == 64_000


def test_the_initial_window_is_ten_segments() -> None:
    dialogue = Dialogue().established()
    dialogue.send(b"x" * 20_000)
    assert len(dialogue.heard()) == 10
    dialogue.say("A", ack=1001)
    assert len(dialogue.heard()) == 2, "slow start: one for the one that left, one more"


@pytest.mark.parametrize(
    ("idle", "restart", "first"), [(100, 1, 60), (300, 1, 60), (500, 1, 30), (2000, 1, 10), (2000, 0, 60)]
)
def test_a_pause_halves_the_congestion_window_once_for_each_timeout(idle: int, restart: int, first: int) -> None:
    """How much of 60 segments leaves at once: the window of 120 counts no more after a pause (RFC 5681 section 4.1)."""
    dialogue = Dialogue(tcp_slow_start_after_idle=restart).established(sndbuf=1_000_000, sndbuf_locked=True)
    ack = 1
    for count in (10, 20, 40, 60):
        dialogue.send(b"x" * 1000 * count)
        for _ in dialogue.heard():
            ack += 1000
            dialogue.say("A", ack=ack)
    assert dialogue.tcb.cwnd == 120
    assert dialogue.tcb.rto == RTO_MIN
    dialogue.wait(idle)
    dialogue.send(b"x" * 60_000)
    assert len(dialogue.heard()) == first


def test_no_pollout_until_a_third_of_the_buffer_is_free() -> None:
    dialogue = Dialogue().established(sndbuf=60_000, sndbuf_locked=True)
    dialogue.say("A", window=0)
    assert dialogue.send(b"x" * 36_000) == 36_000
    assert dialogue.poll() == OPEN
    assert dialogue.send(b"x" * 6_000) == 6_000
    assert dialogue.poll() == 0
    assert dialogue.send(b"x" * 6_000) == 6_000, "and yet there is room"


def test_backpressure_and_its_end() -> None:
    dialogue = Dialogue().established(sndbuf=20_000, sndbuf_locked=True)
    taken = dialogue.send(b"x" * 100_000)
    assert 18_000 <= taken < 100_000
    while dialogue.send(b"x" * 1000):
        pass
    assert dialogue.poll() == 0
    before = len(dialogue.host.events)
    while dialogue.tcb.sent:
        dialogue.heard()
        dialogue.say("A", ack=(dialogue.tcb.snd_nxt - dialogue.isn) & 0xFFFFFFFF)
    assert dialogue.poll() == OPEN
    assert any(events & POLLOUT for _, events in dialogue.host.events[before:])


def test_data_that_may_change_is_copied() -> None:
    dialogue = Dialogue().established()
    data = bytearray(b"hello")
    dialogue.send(data)  # type: ignore[arg-type]
    data[0] = 0
    assert bytes(dialogue.hear("PA").data) == b"hello"


def test_tcp_maxseg_limits_both_ways() -> None:
    dialogue = Dialogue().connect(maxseg=400)
    assert dialogue.hear("S").mss == 400
    dialogue.say("SA", seq=0, ack=1, mss=1000)
    dialogue.hear("A")
    dialogue.send(b"x" * 1000)
    assert len(dialogue.hear("A").data) == 400
    assert POLLHUP & dialogue.poll() == 0


@pytest.mark.parametrize(("mss", "together"), [(20_000, True), (32_000, True), (47_616, False), (65_483, False)])
def test_segments_leave_together_while_a_device_takes_them_so(mss: int, together: bool) -> None:
    world, client, _ = connected(mtu=65536)
    client.mss, client.cwnd = mss, 100
    client.max_window = client.sndbuf = 1_000_000
    client.snd_wnd = 0
    assert calls.send(client, bytes(300_000), world.now) == 300_000
    client.snd_wnd = 1_000_000
    send.push(client, world.now)
    sent = [segment for _, segment in world.log]
    assert any(segment.gso_size == mss and len(segment.data) > mss for segment in sent) is together
    assert max(len(segment.data) for segment in sent) >= min(mss, 60_000)
    assert all(14 + 20 + segment.payload_length() < 65536 for segment in sent if segment.gso_size)
    assert all(20 + segment.payload_length() <= 65536 for segment in sent)
    assert [segment.seq for segment in sent] == sorted(segment.seq for segment in sent)
