"""What becomes of a packet: each fault alone, and all of a link together."""

from random import Random

import pytest

from portside.addr.ip import parse
from portside.sim import faults
from portside.sim.faults import PASS, Cut, Deliver, Drop, DropNth, Duplicate, Jitter, Loss, Reorder, When
from portside.wire.packet import UdpDatagram

MS = 1_000_000


def packet(sport=1):
    return UdpDatagram(parse("10.0.0.1"), parse("10.0.0.2"), sport, 2, b"")


def decide(*listed, now=0, times=1, seed=1):
    entries = [(fault, Random(f"{seed} {number}")) for number, fault in enumerate(listed)]
    return [faults.decide(entries, packet(), now) for _ in range(times)]


def test_without_faults_packets_pass():
    assert decide() == [PASS]


def test_loss_drops_about_its_rate():
    lost = sum(bool(decision.reason) for decision in decide(Loss(0.3), times=10_000))
    assert 2_800 < lost < 3_200
    assert not any(decision.reason for decision in decide(Loss(0), times=100))
    assert all(decision.reason == "lost" for decision in decide(Loss(1), times=100))


def test_jitter_is_spread_up_to_its_most():
    delays = [decision.delay for decision in decide(Jitter("10ms"), times=1000)]
    assert max(delays) <= 10 * MS
    assert max(delays) > 9 * MS
    assert min(delays) < MS


def test_reorder_holds_some_back():
    delays = {decision.delay for decision in decide(Reorder(0.5, "2ms"), times=100)}
    assert delays == {0, 2 * MS}


def test_duplicate_sends_a_copy_later():
    assert decide(Duplicate(1, "3ms"))[0].duplicates == (3 * MS,)


@pytest.mark.parametrize(("now", "reason"), [(0, ""), (1000 * MS, "cut"), (1999 * MS, "cut"), (2000 * MS, "")])
def test_a_cut_has_a_beginning_and_an_end(now, reason):
    assert decide(Cut(1, 2), now=now)[0].reason == reason


def test_a_cut_without_end_lasts():
    assert decide(Cut(), now=10**18)[0].reason == "cut"


def test_the_nth_packet_is_dropped():
    assert [bool(each.reason) for each in decide(DropNth(2, 4), times=5)] == [False, True, False, True, False]


def test_the_nth_of_those_that_match():
    fault = DropNth(1, match=lambda each: each.sport == 7)
    decisions = [fault.decide(packet(sport), 0, Random(0)).reason for sport in (1, 7, 7)]
    assert decisions == ["", "lost", ""]


def test_a_function_decides():
    assert decide(When(lambda each: Drop("rude") if each.sport == 1 else None))[0].reason == "rude"
    assert decide(When(lambda each: None)) == [PASS]


def test_delays_add_up_and_the_first_drop_is_final():
    later = When(lambda each: Deliver("1ms", duplicates=("5ms",)))
    assert repr(decide(later, later)[0]) == f"Deliver({2 * MS}, ({5 * MS}, {5 * MS}))"
    assert decide(later, When(lambda each: Drop()), later)[0].reason == "lost"


def test_one_fault_does_not_move_the_chance_of_another():
    alone = [decision.reason for decision in decide(Loss(0.5), times=50)]
    together = [decision.reason for decision in decide(Loss(0.5), Jitter(1), times=50)]
    assert alone == together


@pytest.mark.parametrize("make", [lambda: Loss(1.5), lambda: Duplicate(-0.1), lambda: Reorder(2), lambda: DropNth(0)])
def test_nonsense_is_refused(make):
    with pytest.raises(ValueError, match=r"probability|counted from 1"):
        make()
