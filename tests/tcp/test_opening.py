"""CLOSED, LISTEN, SYN-SENT and SYN-RECEIVED: how connections begin, or do not."""

from __future__ import annotations

import errno

import pytest
from pair import ALICE, BOB, World, connected
from speak import Dialogue

from portside.addr.abi import (
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRNORM,
    SECOND,
)  # fmt: skip
from portside.tcp import arrives, calls, listen
from portside.tcp.tcb import Tcb
from portside.wire.packet import ACK, RST, SYN, TcpSegment

# -- CLOSED --


def test_a_new_socket_polls_out_and_hup() -> None:
    tcb = Dialogue().tcb
    assert calls.poll(tcb) == POLLOUT | POLLHUP | POLLWRNORM


def test_a_new_socket_neither_sends_nor_receives() -> None:
    tcb = Dialogue().tcb
    assert calls.send(tcb, b"x", 1) == -errno.EPIPE
    assert calls.receive(tcb, 1, 1) == -errno.ENOTCONN


def test_shutdown_of_a_new_socket_fails_but_marks_it() -> None:
    tcb = Dialogue().tcb
    assert calls.shutdown(tcb, 0, 1) == -errno.ENOTCONN
    assert calls.poll(tcb) & (POLLIN | POLLRDHUP) == POLLIN | POLLRDHUP
    assert calls.receive(tcb, 1, 1) == b""


@pytest.mark.parametrize(
    ("flags", "data", "answer"),
    [
        (SYN, b"", (0, 101, RST | ACK)),
        (SYN, b"abc", (0, 104, RST | ACK)),
        (ACK, b"abc", (7777, 0, RST)),
        (SYN | ACK, b"", (7777, 0, RST)),
        (0, b"ab", (0, 102, RST | ACK)),
    ],
)
def test_no_connection_draws_a_reset(flags: int, data: bytes, answer: tuple[int, int, int]) -> None:
    reset = arrives.reset_for(TcpSegment(ALICE, BOB, 1, 2, 100, 7777 if flags & ACK else 0, flags, 10, data))
    assert reset is not None
    assert (reset.seq, reset.ack, reset.flags) == answer
    assert (reset.src, reset.dst, reset.sport, reset.dport) == (BOB, ALICE, 2, 1)


def test_a_reset_draws_no_reset() -> None:
    assert arrives.reset_for(TcpSegment(ALICE, BOB, 1, 2, 100, 0, RST, 0)) is None


# -- SYN-SENT --


def test_the_syn_offers_what_we_can() -> None:
    dialogue = Dialogue().connect()
    syn = dialogue.hear("S", seq=0)
    assert (syn.ack, syn.mss, syn.window_scale) == (0, 1460, 10)
    assert syn.timestamps is not None
    assert syn.timestamps[1] == 0
    assert not syn.sack_permitted
    assert syn.window == 64240  # 65536 rounded down to whole segments


def test_without_the_sysctls_the_syn_offers_less() -> None:
    syn = Dialogue(tcp_timestamps=0, tcp_window_scaling=0).connect().hear("S")
    assert syn.timestamps is None
    assert syn.window_scale is None


def test_loopback_offers_what_linux_offers() -> None:
    dialogue = Dialogue()
    dialogue.host.mtu = 65536
    syn = dialogue.connect().hear("S")
    assert (syn.mss, syn.window) == (65495, 65495)


def test_a_handshake_makes_both_established() -> None:
    _, client, server = connected()
    assert (client.state, server.state) == (1, 1)
    assert client.snd_nxt == server.rcv_nxt
    assert server.snd_nxt == client.rcv_nxt
    assert client.timestamps_ok
    assert server.timestamps_ok
    assert (client.snd_wscale, server.snd_wscale) == (10, 10)
    assert (client.mss, server.mss) == (1448, 1448)


def test_while_connecting_nothing_is_ready() -> None:
    dialogue = Dialogue().connect()
    assert dialogue.poll() == 0
    assert dialogue.send(b"x") == 0
    assert dialogue.recv() is None


def test_a_reset_refuses_the_connection() -> None:
    dialogue = Dialogue().connect()
    dialogue.hear("S")
    dialogue.say("RA", seq=0, ack=1)
    assert dialogue.state == "CLOSED"
    assert dialogue.poll() == POLLIN | POLLRDNORM | POLLRDHUP | POLLOUT | POLLWRNORM | POLLERR | POLLHUP
    assert calls.take_error(dialogue.tcb) == errno.ECONNREFUSED
    assert calls.take_error(dialogue.tcb) == 0


@pytest.mark.parametrize("ack", [0, 2, 100])
def test_a_wrong_ack_is_reset_and_changes_nothing(ack: int) -> None:
    dialogue = Dialogue().connect()
    dialogue.hear("S")
    dialogue.say("SA", seq=0, ack=ack)
    dialogue.hear("R", seq=ack)
    assert dialogue.state == "SYN-SENT"
    # RFC 9293 figure 9: the old connection is gone now, and the SYN is worth another try at once.
    dialogue.wait(8)
    dialogue.hear("S", seq=0)


@pytest.mark.parametrize(("letters", "ack"), [("R", None), ("RA", 0), ("A", 1), ("FA", 1), ("", None)])
def test_what_is_no_answer_is_ignored(letters: str, ack: int | None) -> None:
    dialogue = Dialogue().connect()
    dialogue.hear("S")
    dialogue.say(letters, seq=0, ack=ack)
    assert dialogue.state == "SYN-SENT"


def test_an_echo_of_a_timestamp_never_sent_is_reset() -> None:
    dialogue = Dialogue().connect()
    dialogue.hear("S")
    dialogue.say("SA", seq=0, ack=1, ts=(1, 999_999))
    dialogue.hear("R")
    assert dialogue.state == "SYN-SENT"


def test_syns_go_out_as_linux_sends_them_and_time_out() -> None:
    world = World()
    alice = world.host(ALICE)
    tcb = alice.connect(BOB, 80)
    start = world.now
    world.advance(200 * SECOND)
    assert [round((at - start) / SECOND) for at, _ in world.log] == [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]
    assert tcb.error == errno.ETIMEDOUT
    assert alice.history[-1][2] == 7


@pytest.mark.parametrize(("retries", "seconds"), [(1, 3), (2, 7), (6, 131)])
def test_fewer_syns_end_sooner(retries: int, seconds: int) -> None:
    """With few retries the time that they would take by the book decides: measured, 3 s and 7 s."""
    world = World()
    tcb = world.host(ALICE, tcp_syn_retries=retries).connect(BOB, 80)
    world.advance((seconds - 1) * SECOND)
    assert tcb.state == 2
    world.advance(2 * SECOND)
    assert tcb.error == errno.ETIMEDOUT


def test_user_timeout_ends_connecting() -> None:
    world = World()
    alice = world.host(ALICE)
    tcb = alice.connect(BOB, 80, alice.tcb(user_timeout=2500))
    world.advance(2400 * 1_000_000)
    assert tcb.state == 2
    world.advance(200 * 1_000_000)
    assert tcb.error == errno.ETIMEDOUT


def test_an_icmp_error_ends_connecting_at_once() -> None:
    dialogue = Dialogue().connect()
    syn = dialogue.hear("S")
    arrives.icmp_error(dialogue.tcb, errno.EHOSTUNREACH, True, syn, 0, dialogue.world.now)
    assert dialogue.state == "CLOSED"
    assert calls.take_error(dialogue.tcb) == errno.EHOSTUNREACH


def test_an_icmp_error_about_another_segment_is_not_believed() -> None:
    dialogue = Dialogue().connect()
    syn = dialogue.hear("S")
    syn.seq += 100
    arrives.icmp_error(dialogue.tcb, errno.EHOSTUNREACH, True, syn, 0, dialogue.world.now)
    assert dialogue.state == "SYN-SENT"


def test_closing_while_connecting_says_nothing() -> None:
    dialogue = Dialogue().connect()
    dialogue.hear("S")
    dialogue.close()
    assert dialogue.state == "CLOSED"
    dialogue.silent()


def test_after_a_syn_was_lost_twice_one_segment_goes_first() -> None:
    dialogue = Dialogue().connect()
    dialogue.wait(2500)
    assert len(dialogue.heard()) == 3
    dialogue.say("SA", seq=0, ack=1, mss=1000)
    dialogue.hear("A")
    assert dialogue.tcb.cwnd == 1
    assert dialogue.tcb.rto == 3 * SECOND


def test_initial_sequence_numbers_may_wrap() -> None:
    dialogue = Dialogue(isn=0xFFFFFFFF, peer=0xFFFFFFFE).established()
    assert dialogue.tcb.snd_una == 0
    assert dialogue.tcb.rcv_nxt == 0xFFFFFFFF


# -- simultaneous open, and a connection to oneself --


def test_simultaneous_open() -> None:
    world = World()
    world.latency = SECOND // 100
    alice, bob = world.host(ALICE), world.host(BOB)
    first, second = alice.tcb(), bob.tcb()
    alice.next_port = bob.next_port = 6999
    alice.connect(BOB, 7000, first)
    bob.connect(ALICE, 7000, second)
    world.advance(SECOND)
    assert (first.state, second.state) == (1, 1)
    assert [new for _, _, new in alice.history] == [2, 3, 1]
    calls.send(first, b"hello", world.now)
    world.advance(SECOND)
    assert calls.receive(second, 10, world.now) == b"hello"


def test_self_connect() -> None:
    world = World()
    alice = world.host(ALICE)
    alice.next_port = 6999
    tcb = alice.connect(ALICE, 7000)
    world.settle()
    assert tcb.state == 1
    calls.send(tcb, b"to myself", world.now)
    world.settle()
    assert calls.receive(tcb, 100, world.now) == b"to myself"
    calls.shutdown(tcb, 1, world.now)
    world.advance(SECOND)
    assert calls.receive(tcb, 100, world.now) == b""


def test_crossed_syn_is_answered_with_syn_ack_and_reset_ends_it() -> None:
    dialogue = Dialogue().connect()
    dialogue.hear("S")
    dialogue.say("S", seq=0)
    dialogue.hear("SA", seq=0, ack=1)
    assert dialogue.state == "SYN-RECEIVED"
    dialogue.say("A", seq=1, ack=77)
    dialogue.hear("R", seq=77)
    dialogue.say("R", seq=1)
    assert dialogue.state == "CLOSED"
    assert dialogue.tcb.error == errno.ECONNRESET


# -- LISTEN --


def test_a_syn_is_answered_and_the_ack_makes_a_connection() -> None:
    dialogue = Dialogue().accepted()
    assert dialogue.state == "ESTABLISHED"
    assert dialogue.tcb.mss == 1000


def test_the_syn_ack_answers_options_only() -> None:
    dialogue = Dialogue().listening()
    dialogue.say("S", seq=0)
    answer = dialogue.hear("SA", seq=0, ack=1)
    assert answer.timestamps is None
    assert answer.window_scale is None
    dialogue.port += 1
    dialogue.say("S", seq=0, scale=3, ts=(77, 0), mss=500)
    answer = dialogue.hear("SA")
    assert answer.window_scale == 10
    assert answer.timestamps is not None
    assert answer.timestamps[1] == 77


@pytest.mark.parametrize("letters", ["A", "FA", "SA", "PA"])
def test_an_ack_to_a_listener_draws_a_reset(letters: str) -> None:
    dialogue = Dialogue().listening()
    dialogue.say(letters, ack=50)
    dialogue.hear("R", seq=50)


@pytest.mark.parametrize("letters", ["R", "RA", "F", "", "P", "SF"])
def test_what_begins_nothing_is_dropped(letters: str) -> None:
    dialogue = Dialogue().listening()
    dialogue.say(letters)
    dialogue.silent()
    assert dialogue.listener is not None
    assert not dialogue.listener.half_open


def test_the_accept_queue_wakes_and_polls() -> None:
    dialogue = Dialogue().listening()
    assert dialogue.poll() == 0
    dialogue.say("S", seq=0)
    assert dialogue.poll() == 0
    dialogue.say("A")
    assert dialogue.poll() == POLLIN | POLLRDNORM
    assert dialogue.host.events[-1][0] is dialogue.tcb
    assert calls.receive_queue(dialogue.tcb) == 1
    assert calls.send_queue(dialogue.tcb) == 5


def test_data_with_the_third_segment_is_there_at_once() -> None:
    dialogue = Dialogue().listening()
    dialogue.say("S", seq=0)
    dialogue.hear("SA")
    dialogue.say("PA", data=b"early")
    assert dialogue.listener is not None
    child = listen.accept(dialogue.listener)
    assert child is not None
    assert calls.receive(child, 10, dialogue.world.now) == b"early"


def test_without_cookies_three_quarters_of_the_longest_syn_queue_are_used() -> None:
    """tcp_max_syn_backlog 8 and no cookies: of Linux too the eighth SYN hears nothing."""
    dialogue = Dialogue(tcp_syncookies=0, tcp_max_syn_backlog=8).listening(backlog=100)
    for port in range(1, 8):
        dialogue.say("S", seq=0, mss=1000, port=port)
        dialogue.hear("SA", seq=100_000 * (port - 1), ack=1)
    dialogue.say("S", seq=0, mss=1000, port=8)
    dialogue.silent()


def test_backlog_plus_one_wait_and_then_syns_are_dropped() -> None:
    dialogue = Dialogue().listening(backlog=1)
    for _ in range(2):
        dialogue.say("S", seq=0)
        dialogue.say("A")
        dialogue.hear("SA")
        dialogue.port += 1
        dialogue.host.next_isn = dialogue.isn - 100_000
    dialogue.say("S", seq=0)
    dialogue.silent()
    assert dialogue.listener is not None
    assert dialogue.listener.overflows == 1
    assert len(dialogue.listener.accept_queue) == 2


def _third_ack_to_a_full_queue(**settings: int) -> Dialogue:
    dialogue = Dialogue(**settings).listening(backlog=0)
    dialogue.say("S", seq=0)
    dialogue.hear("SA")
    first = dialogue.port
    dialogue.port += 1
    dialogue.host.next_isn = dialogue.isn - 100_000
    # A second one may only begin while the first is not complete: the SYN queue has a place per backlog.
    assert dialogue.listener is not None
    dialogue.listener.backlog = 5
    dialogue.say("S", seq=0)
    dialogue.hear("SA")
    dialogue.listener.backlog = 0
    dialogue.port = first
    dialogue.say("A")
    dialogue.port += 1
    return dialogue


def test_queue_full_at_the_third_ack_is_ignored_and_asked_again() -> None:
    dialogue = _third_ack_to_a_full_queue()
    dialogue.say("A")
    dialogue.silent()
    assert dialogue.listener is not None
    assert len(dialogue.listener.accept_queue) == 1
    dialogue.wait(1001)
    dialogue.hear("SA", seq=0, ack=1)
    listen.accept(dialogue.listener)
    dialogue.say("A")
    assert len(dialogue.listener.accept_queue) == 1


def test_abort_on_overflow_resets() -> None:
    dialogue = _third_ack_to_a_full_queue(tcp_abort_on_overflow=1)
    dialogue.say("A")
    dialogue.hear("R", seq=1)
    assert dialogue.listener is not None
    assert not dialogue.listener.half_open


@pytest.mark.parametrize(("asked", "given"), [(5, 5), (100, 7), (-1, 7), (0, 0)])
def test_somaxconn_cuts_the_backlog(asked: int, given: int) -> None:
    dialogue = Dialogue(somaxconn=7).listening(backlog=asked)
    assert dialogue.listener is not None
    assert dialogue.listener.backlog == given


def test_syn_acks_are_sent_five_times_more_and_then_forgotten() -> None:
    dialogue = Dialogue().listening()
    dialogue.say("S", seq=0)
    start = dialogue.world.now
    dialogue.wait(100_000)
    times = [round((at - start) / SECOND) for at, _ in dialogue.world.log]
    assert times == [0, 1, 3, 7, 15, 31]
    assert dialogue.listener is not None
    assert not dialogue.listener.half_open
    assert not dialogue.host.connections


def test_a_repeated_syn_is_answered_again_not_too_often() -> None:
    dialogue = Dialogue().listening()
    dialogue.say("S", seq=0)
    dialogue.hear("SA")
    dialogue.say("S", seq=0)
    dialogue.hear("SA")
    dialogue.say("S", seq=0)
    dialogue.silent()
    dialogue.wait(501)
    dialogue.say("S", seq=0)
    dialogue.hear("SA")


def test_in_syn_received_a_wrong_ack_is_reset_and_the_right_one_still_works() -> None:
    dialogue = Dialogue().listening()
    dialogue.say("S", seq=0)
    dialogue.hear("SA")
    dialogue.say("A", ack=55)
    dialogue.hear("R", seq=55)
    dialogue.say("A")
    assert dialogue.listener is not None
    assert len(dialogue.listener.accept_queue) == 1


@pytest.mark.parametrize(("letters", "seq"), [("R", 1), ("S", 1), ("SA", 1)])
def test_a_reset_or_another_syn_ends_syn_received(letters: str, seq: int) -> None:
    dialogue = Dialogue().listening()
    dialogue.say("S", seq=0)
    dialogue.hear("SA")
    dialogue.say(letters, seq=seq)
    assert dialogue.listener is not None
    assert not dialogue.listener.half_open
    if letters != "R":
        dialogue.hear("RA" if letters == "S" else "R")
    dialogue.silent()


def test_out_of_window_in_syn_received_is_acknowledged_not_believed() -> None:
    dialogue = Dialogue().listening()
    dialogue.say("S", seq=0)
    dialogue.hear("SA")
    dialogue.say("A", seq=1_000_000)
    dialogue.hear("A", seq=1, ack=1)
    assert dialogue.listener is not None
    assert len(dialogue.listener.half_open) == 1


def test_a_waiting_connection_that_was_reset_keeps_its_place() -> None:
    dialogue = Dialogue().listening()
    dialogue.say("S", seq=0)
    dialogue.say("PA", data=b"data")
    dialogue.say("R", seq=5)
    assert dialogue.listener is not None
    child = listen.accept(dialogue.listener)
    assert isinstance(child, Tcb)
    assert calls.receive(child, 10, 0) == b"data"
    assert calls.receive(child, 10, 0) == -errno.ECONNRESET
    assert calls.receive(child, 10, 0) == b""
    assert calls.send(child, b"x", 0) == -errno.EPIPE


def test_defer_accept_waits_for_data() -> None:
    dialogue = Dialogue().listening(defer_accept=1)
    dialogue.say("S", seq=0)
    dialogue.hear("SA")
    dialogue.say("A")
    assert dialogue.poll() == 0
    dialogue.say("PA", data=b"now")
    assert dialogue.poll() == POLLIN | POLLRDNORM


def test_closing_the_listener_resets_who_waits_and_then_who_completes_the_handshake() -> None:
    dialogue = Dialogue().listening()
    dialogue.say("S", seq=0)
    dialogue.hear("SA")
    dialogue.say("A")
    dialogue.port += 1
    dialogue.host.next_isn = dialogue.isn - 100_000
    dialogue.say("S", seq=0)
    dialogue.hear("SA")
    dialogue.close()
    dialogue.hear("RA", seq=1)
    dialogue.silent()
    assert dialogue.state == "CLOSED"
    dialogue.say("A")
    dialogue.hear("R", seq=1)
    assert not dialogue.host.connections


def test_nobody_waits_for_ever_for_a_listener_that_has_closed() -> None:
    dialogue = Dialogue().listening()
    dialogue.say("S", seq=0)
    dialogue.hear("SA")
    dialogue.close()
    dialogue.wait(1000)
    dialogue.silent()
    assert not dialogue.host.connections


def test_children_inherit_the_listeners_options() -> None:
    child = Dialogue().accepted(nodelay=True, keepidle=33, rcvbuf=20000, rcvbuf_locked=True, linger=4).tcb
    assert (child.nodelay, child.keepidle, child.rcvbuf, child.linger) == (True, 33, 20000, 4)
