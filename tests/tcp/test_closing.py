"""FIN-WAIT-1, FIN-WAIT-2, CLOSING, CLOSE-WAIT, LAST-ACK: orderly and other ends, and what the program sees of them."""

from __future__ import annotations

import errno

import pytest
from pair import connected
from speak import Dialogue

from portside.addr.abi import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM, SECOND
from portside.tcp import calls

READ_END = POLLIN | POLLRDNORM | POLLRDHUP
WRITE = POLLOUT | POLLWRNORM


def test_active_close_all_the_way() -> None:
    dialogue = Dialogue().established().in_state("FIN-WAIT-2")
    assert dialogue.poll() == WRITE
    dialogue.say("FA", seq=1, ack=2)
    dialogue.hear("A", seq=2, ack=2)
    assert dialogue.state == "CLOSED", "the socket is; its TIME-WAIT lives on"
    assert dialogue.heir == "TIME-WAIT"
    assert dialogue.poll() == READ_END | WRITE | POLLHUP
    assert dialogue.recv() == b""
    dialogue.wait(59_999)
    assert dialogue.heir == "TIME-WAIT"
    dialogue.wait(1)
    assert dialogue.heir is None


def test_fin_and_ack_of_ours_in_one_segment() -> None:
    dialogue = Dialogue().established().in_state("FIN-WAIT-1")
    dialogue.say("FA", seq=1, ack=2)
    dialogue.hear("A", ack=2)
    assert [new for _, _, new in dialogue.host.history][-3:] == [5, 6, 7], "through FIN-WAIT-2"


def test_passive_close_all_the_way() -> None:
    dialogue = Dialogue().established()
    dialogue.say("FA", seq=1)
    assert dialogue.state == "CLOSE-WAIT"
    assert dialogue.poll() == READ_END | WRITE
    dialogue.wait(40)
    dialogue.hear("A", ack=2)
    assert calls.receive_queue(dialogue.tcb) == 1
    assert dialogue.recv() == b""
    assert calls.receive_queue(dialogue.tcb) == 0
    assert dialogue.send(b"still") == 5
    dialogue.hear("PA", data=b"still")
    dialogue.close()
    dialogue.hear("FA", seq=6)
    assert dialogue.state == "LAST-ACK"
    dialogue.say("A", seq=2, ack=7)
    assert dialogue.state == "CLOSED"
    assert dialogue.heir is None


def test_simultaneous_close() -> None:
    dialogue = Dialogue().established().in_state("CLOSING")
    dialogue.say("A", seq=2, ack=2)
    assert dialogue.state == "CLOSED"
    assert dialogue.heir == "TIME-WAIT"


def test_half_close_still_receives() -> None:
    dialogue = Dialogue().established().in_state("FIN-WAIT-2")
    dialogue.say("PA", data=b"more", ack=2)
    assert dialogue.recv() == b"more"
    assert dialogue.send(b"x") == -errno.EPIPE
    dialogue.wait(3_600_000)
    assert dialogue.state == "FIN-WAIT-2", "a socket still open stays"


def test_fin_waits_behind_data_and_window() -> None:
    dialogue = Dialogue().established()
    dialogue.say("A", window=1000)
    dialogue.send(b"x" * 1500)
    dialogue.hear("A", data=b"x" * 1000)
    dialogue.shutdown(1)
    dialogue.silent()
    assert dialogue.state == "FIN-WAIT-1"
    assert calls.outq(dialogue.tcb) == 1501
    dialogue.say("A", ack=1001, window=1000)
    dialogue.hear("FPA", data=b"x" * 500)


def test_data_before_the_fin_is_read_then_the_end() -> None:
    dialogue = Dialogue().established()
    dialogue.say("FPA", data=b"last words")
    assert calls.receive_queue(dialogue.tcb) == 11
    assert calls.inq(dialogue.tcb) == 10
    assert dialogue.recv(4) == b"last"
    assert dialogue.recv() == b" words"
    assert dialogue.recv() == b""
    assert dialogue.recv() == b""


def test_a_fin_out_of_order_waits_for_the_data_before_it() -> None:
    dialogue = Dialogue().established()
    dialogue.say("FA", seq=4, data=b"def")
    assert dialogue.state == "ESTABLISHED"
    dialogue.say("A", seq=1, data=b"abc")
    assert dialogue.state == "CLOSE-WAIT"
    assert dialogue.recv() == b"abcdef"
    assert dialogue.recv() == b""


@pytest.mark.parametrize("state", ["CLOSE-WAIT", "CLOSING", "LAST-ACK"])
def test_data_after_the_fin_is_ignored(state: str) -> None:
    dialogue = Dialogue().established().in_state(state)
    dialogue.say("PA", seq=2, ack=1, data=b"more")
    assert dialogue.recv() == b""
    assert dialogue.state == state


@pytest.mark.parametrize("state", ["CLOSE-WAIT", "CLOSING", "LAST-ACK"])
def test_a_second_fin_past_the_first_is_none(state: str) -> None:
    dialogue = Dialogue().established().in_state(state)
    before = dialogue.tcb.rcv_nxt
    dialogue.say("FPA", seq=0, ack=1, data=b"xyz")
    assert dialogue.tcb.rcv_nxt == before
    assert dialogue.state == state


@pytest.mark.parametrize("state", ["CLOSE-WAIT", "CLOSING"])
def test_a_repeated_fin_is_acknowledged_again(state: str) -> None:
    dialogue = Dialogue().established().in_state(state)
    dialogue.say("FA", seq=1, ack=1)
    dialogue.hear("A", ack=2)
    assert dialogue.state == state


def test_close_with_unread_data_resets() -> None:
    dialogue = Dialogue().established()
    dialogue.say("PA", data=b"unread")
    dialogue.hear("A")
    dialogue.close()
    dialogue.hear("RA", seq=1, ack=7)
    assert dialogue.state == "CLOSED"
    assert dialogue.heir is None


def test_close_with_only_a_fin_unread_is_orderly() -> None:
    dialogue = Dialogue().established().in_state("CLOSE-WAIT")
    dialogue.close()
    dialogue.hear("FA")


def test_linger_zero_resets_and_throws_data_away() -> None:
    dialogue = Dialogue().established(linger=0)
    dialogue.say("A", window=0)
    dialogue.send(b"never sent")
    dialogue.close()
    dialogue.hear("RA", seq=1)
    assert dialogue.state == "CLOSED"


@pytest.mark.parametrize("state", ["CLOSING", "LAST-ACK"])
def test_linger_zero_says_nothing_to_a_peer_that_has_all(state: str) -> None:
    """Both FINs are sent: there is nothing to take back (tcp_disconnect()). The socket is gone all the same."""
    dialogue = Dialogue().established(linger=0).in_state(state)
    dialogue.close()
    dialogue.wait(10_000)
    dialogue.silent()
    assert dialogue.heir is None


@pytest.mark.parametrize("state", ["CLOSING", "LAST-ACK"])
def test_linger_zero_resets_where_the_fin_still_waits(state: str) -> None:
    dialogue = Dialogue().established(linger=0)
    if state == "LAST-ACK":
        dialogue.say("FA", seq=1)
        dialogue.wait(40)
    dialogue.say("A", seq=2 if state == "LAST-ACK" else 1, window=0)
    dialogue.heard()
    dialogue.send(b"more than the window takes")
    dialogue.shutdown(1)
    if state == "CLOSING":
        dialogue.say("FA", seq=1, window=0)
    assert dialogue.state == state
    dialogue.heard()
    dialogue.close()
    dialogue.hear("RA")
    assert dialogue.heir is None


def test_lingering_ends_when_the_fin_is_acknowledged() -> None:
    dialogue = Dialogue().established(linger=5)
    dialogue.send(b"x")
    dialogue.close()
    assert calls.lingering(dialogue.tcb)
    dialogue.say("A", ack=3)
    assert not calls.lingering(dialogue.tcb)


def test_writing_to_a_peer_that_closed_works_once_then_is_epipe() -> None:
    world, client, server = connected()
    calls.close(server, world.now)
    world.advance(SECOND)
    assert calls.send(client, b"first", world.now) == 5
    world.settle()
    assert calls.poll(client) == READ_END | WRITE | POLLERR | POLLHUP
    assert calls.receive(client, 10, world.now) == b""
    assert calls.send(client, b"second", world.now) == -errno.EPIPE


def test_reset_after_data_data_is_read_first() -> None:
    dialogue = Dialogue().established()
    dialogue.say("PA", data=b"data")
    dialogue.say("R", seq=5)
    assert dialogue.recv() == b"data"
    assert dialogue.recv() == -errno.ECONNRESET
    assert dialogue.send(b"x") == -errno.EPIPE


def test_send_after_reset_tells_the_reset_first() -> None:
    dialogue = Dialogue().established()
    dialogue.say("R", seq=1)
    assert dialogue.send(b"x") == -errno.ECONNRESET
    assert dialogue.send(b"x") == -errno.EPIPE


@pytest.mark.parametrize(
    ("state", "number"),
    [("ESTABLISHED", errno.ECONNRESET), ("CLOSE-WAIT", errno.EPIPE), ("FIN-WAIT-1", errno.ECONNRESET),
     ("FIN-WAIT-2", errno.ECONNRESET), ("CLOSING", errno.ECONNRESET), ("LAST-ACK", errno.ECONNRESET)],
)  # fmt: skip
def test_a_reset_in_each_state(state: str, number: int) -> None:
    dialogue = Dialogue().established().in_state(state)
    dialogue.say("R", seq=2 if state in ("CLOSE-WAIT", "CLOSING", "LAST-ACK") else 1)
    assert dialogue.state == "CLOSED"
    assert dialogue.tcb.error == number


@pytest.mark.parametrize("state", ["CLOSE-WAIT", "CLOSING", "LAST-ACK"])
def test_a_reset_with_the_number_of_the_fin_is_believed(state: str) -> None:
    dialogue = Dialogue().established().in_state(state)
    dialogue.say("R", seq=1)
    assert dialogue.state == "CLOSED"


STATES = ["ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSING", "CLOSE-WAIT", "LAST-ACK"]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("letters", "seq"), [("R", 100), ("S", 1), ("S", 5000), ("SA", 2), ("R", -5000), ("A", -9000), ("FA", 90_000)]
)
def test_stray_segments_move_no_state(state: str, letters: str, seq: int) -> None:
    dialogue = Dialogue().established().in_state(state)
    before = (dialogue.tcb.snd_una, dialogue.tcb.snd_nxt, dialogue.tcb.rcv_nxt)
    dialogue.say(letters, seq=seq, ack=1)
    assert dialogue.state == state
    assert (dialogue.tcb.snd_una, dialogue.tcb.snd_nxt, dialogue.tcb.rcv_nxt) == before
    assert all(said.flags == 16 for said in dialogue.heard())


@pytest.mark.parametrize("state", ["FIN-WAIT-1", "FIN-WAIT-2", "CLOSING", "CLOSE-WAIT", "LAST-ACK"])
def test_a_wrong_ack_is_challenged(state: str) -> None:
    dialogue = Dialogue().established().in_state(state)
    dialogue.say("A", seq=2 if state in ("CLOSING", "CLOSE-WAIT", "LAST-ACK") else 1, ack=50)
    dialogue.hear("A")
    assert dialogue.state == state


# -- shutdown(2) --


def test_shutdown_read_is_end_of_file_yet_later_data_can_be_read() -> None:
    dialogue = Dialogue().established()
    assert dialogue.shutdown(0) == 0
    dialogue.silent()
    assert dialogue.recv() == b""
    assert dialogue.poll() == READ_END | WRITE
    dialogue.say("PA", data=b"late")
    assert dialogue.recv() == b"late"
    assert dialogue.recv() == b""


def test_shutdown_both_says_fin_and_hangs_up() -> None:
    dialogue = Dialogue().established()
    dialogue.shutdown(2)
    dialogue.hear("FA")
    assert dialogue.poll() == READ_END | WRITE | POLLHUP
    assert dialogue.send(b"x") == -errno.EPIPE
    assert dialogue.recv() == b""


def test_data_after_shutdown_of_both_is_answered_with_a_reset() -> None:
    dialogue = Dialogue().established()
    dialogue.shutdown(2)
    dialogue.hear("FA")
    dialogue.say("PA", ack=2, data=b"x")
    dialogue.hear("R")
    assert dialogue.state == "CLOSED"


def test_shutdown_twice_is_harmless() -> None:
    dialogue = Dialogue().established()
    assert dialogue.shutdown(1) == 0
    assert dialogue.shutdown(1) == 0
    dialogue.hear("FA")
    dialogue.silent()


# -- orphans --


def test_an_orphan_in_fin_wait_2_lasts_a_minute() -> None:
    dialogue = Dialogue().established()
    dialogue.close()
    dialogue.hear("FA")
    dialogue.say("A", ack=2)
    assert dialogue.heir == "FIN-WAIT-2"
    dialogue.wait(59_000)
    assert dialogue.heir == "FIN-WAIT-2"
    dialogue.wait(1_001)
    assert dialogue.heir is None


def closed_by_the_program(**settings: int) -> Dialogue:
    dialogue = Dialogue(**settings).established()
    dialogue.close()
    dialogue.hear("FA")
    return dialogue


@pytest.mark.parametrize("data", [b"", b"abc"])
def test_the_fin_that_comes_with_the_acknowledgement_of_ours_finds_the_orphan(data: bytes) -> None:
    dialogue = Dialogue().established()
    if data:
        dialogue.say("PA", seq=1, data=data)
        assert dialogue.recv() == data
        dialogue.hear("A", ack=1 + len(data))
    dialogue.close()
    dialogue.hear("FA")
    dialogue.say("FA", seq=1, ack=2, data=data)
    dialogue.hear("A", seq=2, ack=2 + len(data))
    dialogue.silent()
    assert dialogue.heir == "TIME-WAIT"


def test_an_orphan_that_such_a_fin_did_not_end_leaves_by_a_reset_as_no_heir_does() -> None:
    dialogue = closed_by_the_program(tcp_fin_timeout=5)
    dialogue.say("FA", seq=0, ack=2)  # its number is that of the SYN: it is of no use
    dialogue.hear("A", seq=2, ack=1)
    assert (dialogue.state, dialogue.heir) == ("FIN-WAIT-2", "FIN-WAIT-2")
    dialogue.wait(4900)
    dialogue.silent()
    dialogue.wait(200)
    dialogue.hear("RA", seq=2, ack=1)
    assert (dialogue.state, dialogue.heir) == ("CLOSED", None)


@pytest.mark.parametrize("data", [b"", b"x"])
def test_a_fin_beyond_what_is_missing_resets_an_orphan(data: bytes) -> None:
    dialogue = closed_by_the_program()
    dialogue.say("FA", seq=11, ack=2, data=data)
    dialogue.hear("R", seq=2)
    dialogue.silent()
    assert dialogue.heir is None


def test_its_peer_may_still_close_in_order() -> None:
    dialogue = Dialogue().established()
    dialogue.close()
    dialogue.hear("FA")
    dialogue.say("A", ack=2)
    dialogue.say("FA", seq=1, ack=2)
    dialogue.hear("A", seq=2, ack=2)
    assert dialogue.heir == "TIME-WAIT"


@pytest.mark.parametrize("acked_before", [True, False])
def test_data_for_an_orphan_draws_a_reset(acked_before: bool) -> None:
    dialogue = Dialogue().established()
    dialogue.close()
    dialogue.hear("FA")
    if acked_before:
        dialogue.say("A", ack=2)
    dialogue.say("PA", ack=2, data=b"x")
    dialogue.hear("R")
    assert dialogue.heir is None


@pytest.mark.parametrize(("seconds", "expected"), [(5, 5), (90, 60), (120, 120), (0, 60)])
def test_fin_wait_2_of_an_orphan_follows_the_sysctl_and_the_option(seconds: int, expected: int) -> None:
    """Over 60 s Linux waits twice for what is over: 90 s are 30 s with the whole socket and 30 s with its heir."""
    dialogue = Dialogue().established(linger2=seconds)
    dialogue.close()
    dialogue.hear("FA")
    dialogue.say("A", ack=2)
    dialogue.wait(expected * 1000 - 500)
    assert dialogue.heir == "FIN-WAIT-2"
    dialogue.wait(1000)
    assert dialogue.heir is None


@pytest.mark.parametrize(
    ("round_trip", "unheard", "expected"),
    [(400, 400, 3.5 * 1.2), (0, 26_000, (3.5 * 25.6 - 60) + 3.5 * 25.6)],
    ids=["in TIME-WAIT's place", "over a minute, and so twice"],
)
def test_fin_wait_2_of_an_orphan_lasts_for_three_and_a_half_timeouts_at_least(
    round_trip: float, unheard: float, expected: float
) -> None:
    """tcp_fin_time(); TCP_LINGER2 of a second. Linux on a real wire: 4.2 s; 124 s, its timers being coarse by then."""
    dialogue = Dialogue().connect(linger2=1)
    dialogue.wait(round_trip)
    dialogue.say("SA", seq=0, ack=1, mss=1000)
    dialogue.close()
    dialogue.wait(unheard)
    dialogue.say("A", ack=2)
    dialogue.wait(expected * 1000 - 1)
    assert dialogue.heir == "FIN-WAIT-2"
    dialogue.wait(2)
    assert dialogue.heir is None


def test_negative_linger2_has_no_fin_wait_2() -> None:
    dialogue = Dialogue().established(linger2=-1)
    dialogue.close()
    dialogue.hear("FA")
    dialogue.say("A", ack=2)
    dialogue.hear("R")
    assert dialogue.heir is None


def test_closing_a_half_closed_socket_makes_it_an_orphan() -> None:
    dialogue = Dialogue().established().in_state("FIN-WAIT-2")
    dialogue.close()
    assert dialogue.heir == "FIN-WAIT-2"
    assert dialogue.state == "CLOSED"


def test_an_orphan_that_is_not_answered_gives_up_sooner() -> None:
    """tcp_orphan_retries 0 means 8, by time: 102.2 s after the first retransmission, at the next timeout."""
    dialogue = Dialogue().established()
    dialogue.send(b"x")
    dialogue.close()
    dialogue.wait(200_000)
    assert dialogue.state == "FIN-WAIT-1"
    dialogue.wait(5_000)
    assert dialogue.state == "CLOSED"
    assert not dialogue.host.connections


# -- disconnect --


def test_connect_to_af_unspec_resets_and_leaves_the_socket_as_new() -> None:
    dialogue = Dialogue().established(keepidle=7)
    dialogue.send(b"x")
    dialogue.heard()
    calls.disconnect(dialogue.tcb, dialogue.world.now)
    dialogue.hear("RA")
    assert dialogue.poll() == POLLERR | POLLHUP | WRITE
    assert calls.take_error(dialogue.tcb) == errno.ECONNRESET
    assert dialogue.recv() == -errno.ENOTCONN
    assert dialogue.tcb.keepidle == 7
    dialogue.wait(10_000)
    dialogue.silent()


def test_abort_resets() -> None:
    dialogue = Dialogue().established()
    calls.abort(dialogue.tcb, dialogue.world.now)
    dialogue.hear("RA")
    assert dialogue.recv() == -errno.ECONNABORTED
