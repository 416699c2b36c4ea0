"""Time: retransmission, window probes, keepalive, TCP_USER_TIMEOUT, delayed acknowledgments."""

from __future__ import annotations

import errno

import pytest
from pair import connected
from speak import Dialogue

from portside.addr.abi import MILLISECOND, SECOND
from portside.tcp import calls, rto, timeouts
from portside.tcp.tcb import RTO_MIN, Tcb


def times(dialogue: Dialogue, start: int) -> list[float]:
    return [round((at - start) / SECOND, 1) for at, _ in dialogue.world.log]


# -- retransmission --


def test_retransmissions_back_off_and_end_with_etimedout() -> None:
    dialogue = Dialogue().established()
    start = dialogue.world.now
    dialogue.send(b"x")
    dialogue.wait(1_044_000)
    assert dialogue.state == "ESTABLISHED"
    dialogue.wait(1000)
    expected = [0, 0.2, 0.6, 1.4, 3.0, 6.2, 12.6, 25.4, 51.0, 102.2, *(204.6 + 120 * n for n in range(7))]
    assert times(dialogue, start) == expected
    assert dialogue.tcb.error == errno.ETIMEDOUT
    assert dialogue.recv() == -errno.ETIMEDOUT


def test_tcp_retries2_counts_time_not_retransmissions() -> None:
    """3 retries are (2^4 - 1) * 200 ms = 3 s from the first one, at the next timeout."""
    dialogue = Dialogue(tcp_retries2=3).established()
    start = dialogue.world.now
    dialogue.send(b"x")
    dialogue.wait(100_000)
    assert times(dialogue, start) == [0, 0.2, 0.6, 1.4, 3.0]
    assert dialogue.tcb.error == errno.ETIMEDOUT


def test_rto_max_bounds_the_backoff() -> None:
    dialogue = Dialogue(tcp_rto_max_ms=1000).established()
    start = dialogue.world.now
    dialogue.send(b"x")
    dialogue.wait(5000)
    assert times(dialogue, start) == [0, 0.2, 0.6, 1.4, 2.4, 3.4, 4.4]


def test_an_answer_ends_the_backoff() -> None:
    dialogue = Dialogue().established()
    dialogue.send(b"x")
    dialogue.wait(700)
    dialogue.heard()
    dialogue.say("A", ack=2)
    assert (dialogue.tcb.retransmits, dialogue.tcb.sent) == (0, None)
    dialogue.wait(10_000)
    dialogue.silent()


def test_user_timeout_ends_it_to_the_millisecond() -> None:
    dialogue = Dialogue().established(user_timeout=1000)
    dialogue.send(b"x")
    dialogue.wait(1199)
    assert dialogue.state == "ESTABLISHED"
    dialogue.wait(2)
    assert dialogue.tcb.error == errno.ETIMEDOUT


def test_round_trips_as_rfc_6298_with_the_minimum_variance_of_linux() -> None:
    tcb = Dialogue().tcb
    rto.measured(tcb, 100 * MILLISECOND)
    assert tcb.srtt >> 3 == 100_000
    assert tcb.rto == 300 * MILLISECOND
    rto.measured(tcb, 100 * MILLISECOND)
    assert tcb.rto == 300 * MILLISECOND
    for _ in range(100):
        rto.measured(tcb, 500 * MILLISECOND)
    assert 480_000 <= tcb.srtt >> 3 <= 500_000
    assert tcb.rto >= 500 * MILLISECOND + RTO_MIN // 2


def test_a_falling_round_trip_moves_the_deviation_by_an_eighth() -> None:
    """tcpi_rttvar after 100 ms, 20 ms and 20 ms; Linux on a real wire: 50.2, 51.1 and 51.7 ms."""
    tcb = Dialogue().tcb
    seen = []
    for sample in (100, 20, 20):
        rto.measured(tcb, sample * MILLISECOND)
        seen.append((tcb.mdev >> 2, tcb.rto // 1000))
    assert seen == [(50_000, 300_000), (50_937, 293_750), (51_533, 287_382)]


def test_the_timeout_falls_by_a_quarter_of_the_difference_each_round_trip() -> None:
    """tcpi_rto; Linux on a real wire, in ticks: 1204, 1204, 1116, 1024, 932, 848 ms."""
    dialogue = Dialogue().connect()
    dialogue.wait(400)
    dialogue.say("SA", seq=0, ack=1, mss=1000)
    seen = [dialogue.tcb.rto / MILLISECOND]
    for ack in (2, 3, 4, 5, 6):
        dialogue.send(b"x")
        dialogue.wait(400)
        dialogue.say("A", ack=ack)
        seen.append(dialogue.tcb.rto / MILLISECOND)
    assert seen == [1200, 1200, 1112.5, 1018.75, pytest.approx(927.343, abs=0.01), pytest.approx(845.508, abs=0.01)]


def test_a_network_without_latency_has_the_minimum() -> None:
    world, client, server = connected()
    for _ in range(50):
        calls.send(client, b"x", world.now)
        world.settle()
        calls.receive(server, 10, world.now)
        world.advance(50 * MILLISECOND)
    assert RTO_MIN <= client.rto <= RTO_MIN + 6 * MILLISECOND


def test_karn_a_retransmission_is_no_measurement() -> None:
    dialogue = Dialogue().established()
    before = dialogue.tcb.srtt
    dialogue.send(b"x")
    dialogue.wait(5000)
    dialogue.heard()
    dialogue.say("A", ack=2)
    assert dialogue.tcb.srtt == before


@pytest.mark.parametrize(("boundary", "seconds"), [(0, 0.2), (3, 3.0), (8, 102.2), (9, 204.6), (15, 924.6)])
def test_what_retries_mean_in_time(boundary: int, seconds: float) -> None:
    assert rto.model(Dialogue().tcb, boundary) == round(seconds * 10) * SECOND // 10


# -- zero window --


def test_a_closed_window_is_probed_with_backoff_for_ever() -> None:
    dialogue = Dialogue().established()
    dialogue.say("A", window=0)
    start = dialogue.world.now
    dialogue.send(b"waiting")
    dialogue.silent()
    for expected in (0.2, 0.6, 1.4, 3.0, 6.2):
        dialogue.wait(expected * 1000 - (dialogue.world.now - start) / MILLISECOND + 1)
        probe = dialogue.hear("A", seq=0)
        assert not probe.data
        dialogue.say("A", window=0)
    assert dialogue.state == "ESTABLISHED"
    dialogue.say("A", window=1000)
    dialogue.hear("PA", seq=1, data=b"waiting")


def test_unanswered_probes_end_it() -> None:
    dialogue = Dialogue(tcp_retries2=4).established()
    dialogue.say("A", window=0)
    dialogue.send(b"waiting")
    dialogue.wait(60_000)
    assert len(dialogue.heard()) == 4
    assert dialogue.tcb.error == errno.ETIMEDOUT


def test_user_timeout_also_ends_probing() -> None:
    dialogue = Dialogue().established(user_timeout=2000)
    dialogue.say("A", window=0)
    dialogue.send(b"waiting")
    for _ in range(10):
        dialogue.wait(500)
        dialogue.say("A", window=0)
    assert dialogue.tcb.error == errno.ETIMEDOUT


def test_a_small_window_is_used_only_after_waiting() -> None:
    """The sender's silly window avoidance (RFC 9293 section 3.8.6.2.1)."""
    dialogue = Dialogue().established()
    dialogue.say("A", window=100)
    dialogue.send(b"x" * 1000)
    dialogue.silent()
    dialogue.wait(201)
    assert len(dialogue.hear("PA", seq=1).data) == 100


def test_the_receiver_does_not_offer_a_silly_window() -> None:
    dialogue = Dialogue().established(rcvbuf=4096, rcvbuf_locked=True)
    for seq in (1, 501, 1001, 1501, 2001):
        dialogue.say("A", seq=seq, data=bytes(500))
        dialogue.wait(300)
    last = dialogue.heard()[-1]
    assert last.window == 72, "what was offered once is not taken back, and no more is offered"
    dialogue.recv(1)
    dialogue.silent()
    dialogue.recv(3000)
    assert dialogue.heard()[-1].window >= 1000, "opened by two segments"


# -- keepalive --


def test_keepalive_probes_and_gives_up() -> None:
    dialogue = Dialogue().established(keepalive=True, keepidle=10, keepintvl=2, keepcnt=3)
    start = dialogue.world.now
    dialogue.wait(30_000)
    assert times(dialogue, start) == [10, 12, 14, 16]
    for _ in range(3):
        dialogue.hear("A", seq=0)
    dialogue.hear("RA")
    assert dialogue.tcb.error == errno.ETIMEDOUT


def test_an_answered_keepalive_goes_on() -> None:
    dialogue = Dialogue().established(keepalive=True, keepidle=10, keepintvl=2, keepcnt=3)
    for _ in range(5):
        dialogue.wait(10_000)
        dialogue.hear("A", seq=0)
        dialogue.say("A")
    assert dialogue.state == "ESTABLISHED"


def test_traffic_puts_keepalive_off() -> None:
    dialogue = Dialogue().established(keepalive=True, keepidle=10)
    dialogue.wait(9000)
    dialogue.say("PA", data=b"x")
    dialogue.heard()
    dialogue.wait(9500)
    dialogue.silent()
    dialogue.wait(600)
    dialogue.hear("A", seq=0)


def test_keepalive_can_be_switched_on_and_off() -> None:
    dialogue = Dialogue().established(keepidle=5)
    dialogue.tcb.keepalive = True
    calls.options_changed(dialogue.tcb, dialogue.world.now)
    dialogue.wait(5001)
    dialogue.hear("A", seq=0)
    dialogue.say("A")
    dialogue.tcb.keepalive = False
    calls.options_changed(dialogue.tcb, dialogue.world.now)
    dialogue.wait(100_000)
    dialogue.silent()


def test_user_timeout_rules_keepalive() -> None:
    dialogue = Dialogue().established(keepalive=True, keepidle=10, keepintvl=2, keepcnt=9, user_timeout=13_000)
    dialogue.wait(15_000)
    assert dialogue.tcb.error == errno.ETIMEDOUT


def test_a_probe_is_answered() -> None:
    dialogue = Dialogue().established()
    dialogue.say("A", seq=0)
    dialogue.hear("A", seq=1, ack=1)


# -- the door itself --


def test_expiring_too_early_or_for_nothing_is_harmless() -> None:
    dialogue = Dialogue().established()
    dialogue.send(b"x")
    dialogue.heard()
    tcb: Tcb = dialogue.tcb
    for _ in range(5):
        timeouts.expire(tcb, dialogue.world.now)
    dialogue.silent()
    dialogue.say("R", seq=1)
    timeouts.expire(tcb, dialogue.world.now + SECOND)
    dialogue.silent()
