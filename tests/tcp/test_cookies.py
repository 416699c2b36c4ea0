"""SYN cookies: answers of a listener whose SYN queue is full, and what their ACKs bring back."""

from __future__ import annotations

import pytest
from speak import Dialogue

from portside.tcp import listen
from portside.tcp.tcb import Tcb
from portside.wire.packet import TcpSegment

PORTS = range(1000, 1100)


def full(backlog: int = 1, **settings: int) -> Dialogue:
    """A listener with as many half open connections as it may have."""
    dialogue = Dialogue(**settings).listening(backlog)
    for port in range(backlog + 1):
        dialogue.say("S", seq=0, mss=1000, port=port + 1)
        dialogue.hear("SA")
    return dialogue


def always() -> Dialogue:
    return Dialogue(tcp_syncookies=2).listening(100)


def cookie(dialogue: Dialogue, port: int = 1000, **syn: object) -> TcpSegment:
    """The answer to another SYN, to which numbers are relative from now on."""
    dialogue.say("S", seq=0, ack=None, port=port, **{"mss": 1460, **syn})
    answer = dialogue.hear("SA", ack=1)
    dialogue.silent()
    dialogue.isn = answer.seq
    return answer


def accepted(dialogue: Dialogue) -> Tcb:
    assert dialogue.listener is not None
    child = listen.accept(dialogue.listener)
    assert child is not None
    child.owner = object()
    dialogue.tcb = child
    return child


def test_nothing_is_kept_of_the_syn_and_the_ack_brings_the_connection_back() -> None:
    dialogue = full()
    assert dialogue.listener is not None
    before = len(dialogue.listener.half_open), len(dialogue.host.connections)
    cookie(dialogue)
    assert (len(dialogue.listener.half_open), len(dialogue.host.connections)) == before
    dialogue.say("PA", seq=1, data=b"hello", port=1000)
    child = accepted(dialogue)
    assert (dialogue.state, dialogue.recv(), child.mss) == ("ESTABLISHED", b"hello", 1460)
    dialogue.hear("A", seq=1, ack=6)
    assert dialogue.send(b"welcome") == 7
    dialogue.hear("PA", seq=1, ack=6, data=b"welcome")


@pytest.mark.parametrize(("asked", "kept"), [(None, 536), (100, 536), (1299, 536), (1300, 1300), (1459, 1440),
                                             (9000, 1460)])  # fmt: skip
def test_the_mss_is_one_of_four(asked: int | None, kept: int) -> None:
    dialogue = full()
    cookie(dialogue, mss=asked)
    dialogue.say("A", port=1000)
    assert accepted(dialogue).mss_clamp == kept


@pytest.mark.parametrize("scale", [None, 0, 7, 14])
def test_the_window_scale_lies_in_the_timestamp(scale: int | None) -> None:
    dialogue = always()
    dialogue.wait(123_457)
    answer = cookie(dialogue, scale=scale, ts=(5, 0))
    assert answer.timestamps is not None
    assert (answer.window_scale is None) == (scale is None)
    assert 0 <= dialogue.world.now // 1_000_000 - answer.timestamps[0] < 128
    dialogue.say("A", ts=(6, answer.timestamps[0]), window=1000, port=1000)
    child = accepted(dialogue)
    assert (child.timestamps_ok, child.snd_wnd) == (True, 1000 << (scale or 0))


def test_without_timestamps_there_is_no_scale() -> None:
    dialogue = full()
    assert cookie(dialogue, scale=7).window_scale is None
    dialogue.say("A", window=1000, port=1000)
    assert accepted(dialogue).snd_wnd == 1000


@pytest.mark.parametrize(("wrong", "port"), [({"ack": 2}, 1000), ({"ack": 5}, 1000), ({"seq": 2}, 1000), ({}, 1001)])
def test_another_ack_is_reset(wrong: dict[str, int], port: int) -> None:
    dialogue = full()
    cookie(dialogue)
    dialogue.say("A", port=port, **wrong)
    dialogue.hear("R", seq=wrong.get("ack", 1))
    dialogue.silent()


@pytest.mark.parametrize(("seconds", "letters"), [(58, None), (117, None), (118, "R"), (1000, "R")])
def test_a_cookie_is_good_for_two_minutes_at_most(seconds: int, letters: str | None) -> None:
    dialogue = always()
    dialogue.wait(1000)
    cookie(dialogue)
    dialogue.wait(seconds * 1000)
    dialogue.say("A", port=1000)
    if letters:
        dialogue.hear(letters)
    else:
        accepted(dialogue)
    dialogue.silent()


def test_nobody_guesses_a_cookie_where_none_was_sent() -> None:
    dialogue = full()
    answer = cookie(dialogue)
    other = Dialogue().listening(1)
    other.isn = answer.seq
    other.say("A", port=1000)
    other.hear("R")


def test_a_full_accept_queue_takes_no_more_and_says_nothing() -> None:
    dialogue = full(backlog=0)
    for port in PORTS[:2]:
        cookie(dialogue, port)
        dialogue.say("A", port=port)
        dialogue.silent()
        dialogue.say("S", seq=0, ack=None, port=port + 50)
        dialogue.silent()
        assert dialogue.listener is not None
        assert len(dialogue.listener.accept_queue) == 1
        if port == PORTS[0]:
            accepted(dialogue)
    assert dialogue.listener.overflows == 2


def test_room_in_the_accept_queue_is_asked_for_by_the_ack_too() -> None:
    dialogue = full(backlog=0)
    answers = {port: cookie(dialogue, port).seq for port in PORTS[:2]}
    for port, isn in answers.items():
        dialogue.isn = isn
        dialogue.say("A", port=port)
        dialogue.silent()
    assert dialogue.listener is not None
    assert [child.rport for child in dialogue.listener.accept_queue] == [1000]
    accepted(dialogue)
    dialogue.say("PA", data=b"x", port=1001)  # the client believes to be connected
    assert accepted(dialogue).rport == 1001
    assert dialogue.recv() == b"x"


def test_cookies_may_be_forbidden_or_wanted_always() -> None:
    dialogue = full(tcp_syncookies=0)
    dialogue.say("S", seq=0, ack=None, port=1000)
    dialogue.silent()
    assert dialogue.listener is not None
    assert dialogue.listener.overflows == 1
    dialogue = always()
    cookie(dialogue)
    assert dialogue.listener is not None
    assert not dialogue.listener.half_open
    dialogue.say("A", port=1000)
    accepted(dialogue)


def test_what_defers_accept_does_not_defer_it() -> None:
    dialogue = full(backlog=1)
    dialogue.listener.tcb.defer_accept = 5  # type: ignore[union-attr]
    cookie(dialogue)
    dialogue.say("A", port=1000)
    accepted(dialogue)
