"""TIME-WAIT and the heir of an orphan: what they answer, what ends them, who may take their place."""

from __future__ import annotations

import pytest
from pair import ALICE, BOB, World
from speak import Dialogue

from portside.addr.abi import MILLISECOND, SECOND
from portside.tcp import calls, listen, timewait
from portside.tcp.timewait import TimeWait


def waiting(**settings: int) -> Dialogue:
    dialogue = Dialogue(**settings).established().in_state("FIN-WAIT-2")
    dialogue.say("FA", seq=1, ack=2)
    dialogue.hear("A", seq=2, ack=2)
    assert dialogue.heir == "TIME-WAIT"
    return dialogue


def test_a_repeated_fin_is_acknowledged_and_starts_the_time_anew() -> None:
    dialogue = waiting()
    dialogue.wait(50_000)
    dialogue.say("FA", seq=1, ack=2)
    dialogue.hear("A", seq=2, ack=2)
    dialogue.wait(59_000)
    assert dialogue.heir == "TIME-WAIT"
    dialogue.wait(1_001)
    assert dialogue.heir is None


def test_acks_to_strays_are_limited() -> None:
    dialogue = waiting()
    for _ in range(3):
        dialogue.say("FA", seq=1, ack=2)
    dialogue.hear("A")
    dialogue.silent()


def test_a_bare_ack_at_the_edge_is_taken_in_silence() -> None:
    dialogue = waiting()
    dialogue.say("A", seq=2, ack=2)
    dialogue.silent()
    assert dialogue.heir == "TIME-WAIT"


@pytest.mark.parametrize(("rfc1337", "left"), [(0, None), (1, "TIME-WAIT")])
def test_a_reset_kills_it_unless_rfc1337(rfc1337: int, left: str | None) -> None:
    dialogue = waiting(tcp_rfc1337=rfc1337)
    dialogue.say("R", seq=2)
    assert dialogue.heir == left


def test_a_reset_elsewhere_does_not() -> None:
    dialogue = waiting()
    dialogue.say("R", seq=3)
    dialogue.silent()
    assert dialogue.heir == "TIME-WAIT"


def test_a_new_syn_past_the_old_numbers_opens_anew() -> None:
    dialogue = waiting()
    listener = dialogue.host.listen(dialogue.tcb.lport)
    dialogue.say("S", seq=3)
    answer = dialogue.hear("SA", ack=4)
    assert answer.seq == (dialogue.tcb.snd_nxt + 65535 + 2) & 0xFFFFFFFF
    assert dialogue.heir == "SYN-RECEIVED"
    assert listener.half_open


def test_an_old_syn_is_acknowledged() -> None:
    dialogue = waiting()
    dialogue.host.listen(dialogue.tcb.lport)
    dialogue.say("S", seq=-10)
    dialogue.hear("A", seq=2, ack=2)
    assert dialogue.heir == "TIME-WAIT"


def test_a_new_syn_without_a_listener_is_acknowledged() -> None:
    dialogue = waiting()
    dialogue.say("S", seq=3)
    dialogue.hear("A", seq=2, ack=2)
    assert dialogue.heir == "TIME-WAIT"


def test_a_syn_with_a_newer_timestamp_opens_anew_whatever_its_number() -> None:
    dialogue = Dialogue()
    dialogue.connect()
    echo = dialogue.hear("S").timestamps
    assert echo is not None
    dialogue.say("SA", seq=0, ack=1, ts=(100, echo[0]))
    dialogue.shutdown(1)
    dialogue.say("FA", seq=1, ack=2, ts=(101, echo[0]))
    assert dialogue.heir == "TIME-WAIT"
    dialogue.heard()
    dialogue.host.listen(dialogue.tcb.lport)
    dialogue.say("S", seq=-5000, ts=(100, 0))
    dialogue.hear("A")
    dialogue.say("S", seq=-5000, ts=(102, 0))
    dialogue.hear("SA")


@pytest.mark.parametrize(
    ("letters", "seq", "answer"),
    [("PA", 1, "R"), ("S", 5, "RA"), ("R", 1, None), ("FPA", 1, "R")],
)
def test_what_ends_an_orphan_in_fin_wait_2(letters: str, seq: int, answer: str | None) -> None:
    dialogue = Dialogue().established()
    dialogue.close()
    dialogue.hear("FA")
    dialogue.say("A", ack=2)
    dialogue.say(letters, seq=seq, ack=2, data=b"x" if "P" in letters else b"")
    if answer:
        dialogue.hear(answer)
    dialogue.silent()
    assert dialogue.heir is None


# -- tcp_tw_reuse --


def heir_of(**settings: int) -> tuple[World, TimeWait]:
    world = World()
    alice, bob = world.host(ALICE, **settings), world.host(BOB, **settings)
    listener = bob.listen(80)
    client = alice.connect(BOB, 80)
    world.settle()
    server = listen.accept(listener)
    assert server is not None
    calls.close(client, world.now)
    calls.close(server, world.now)
    world.advance(SECOND // 10)
    heir = next(who for who in alice.connections.values() if isinstance(who, TimeWait))
    return world, heir


@pytest.mark.parametrize(
    ("reuse", "loopback", "allowed"),
    [(0, True, False), (1, True, True), (1, False, True), (2, True, True), (2, False, False)],
)
def test_who_may_reuse(reuse: int, loopback: bool, allowed: bool) -> None:
    world, heir = heir_of(tcp_tw_reuse=reuse)
    opens = timewait.reusable_from(heir, loopback=loopback)
    later = heir.ts_recent_at + 1000 * MILLISECOND
    assert (opens is not None) == allowed
    assert not allowed or world.now < opens <= later, "not within tcp_tw_reuse_delay"
    assert timewait.reusable_from(heir, loopback=loopback, bound=True) == 0


def test_without_timestamps_nobody_may() -> None:
    _, heir = heir_of(tcp_timestamps=0)
    assert timewait.reusable_from(heir, loopback=True, bound=True) is None


def test_a_successor_begins_past_the_old_numbers() -> None:
    world, heir = heir_of()
    alice = world.hosts[ALICE]
    tcb = alice.tcb(ts_offset=5)
    isn = timewait.succeed(tcb, heir, world.now)
    assert isn == (heir.snd_nxt + 65537) & 0xFFFFFFFF
    assert tcb.ts_recent == heir.ts_recent
    assert not alice.connections
    world.advance(100 * SECOND)


def test_time_wait_is_small() -> None:
    _, heir = heir_of()
    assert not hasattr(heir, "__dict__")
    assert heir.__sizeof__() < 250
