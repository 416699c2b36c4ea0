"""The table of states against RFC 9293, figure 5, and the one setter."""

from __future__ import annotations

import pytest
from speak import Dialogue

from portside.facts.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    NAMES,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)  # fmt: skip
from portside.tcp.states import EDGES, SYNCHRONIZED, enter

# Figure 5, drawn as a list. LISTEN to SYN-SENT (SEND on a listener) is an edge that Linux does not have, and the one
# from LISTEN to SYN-RECEIVED is taken by a new socket. FIN-WAIT-1 to TIME-WAIT goes through FIN-WAIT-2 (note 2).
FIGURE_5 = {
    (CLOSED, LISTEN), (CLOSED, SYN_SENT), (LISTEN, CLOSED), (SYN_SENT, CLOSED), (SYN_SENT, SYN_RECEIVED),
    (SYN_SENT, ESTABLISHED), (SYN_RECEIVED, ESTABLISHED), (SYN_RECEIVED, FIN_WAIT_1), (ESTABLISHED, FIN_WAIT_1),
    (ESTABLISHED, CLOSE_WAIT), (FIN_WAIT_1, FIN_WAIT_2), (FIN_WAIT_1, CLOSING), (FIN_WAIT_2, TIME_WAIT),
    (CLOSING, TIME_WAIT), (CLOSE_WAIT, LAST_ACK), (LAST_ACK, CLOSED), (TIME_WAIT, CLOSED),
}  # fmt: skip
ABORTS = {(state, CLOSED) for state in NAMES if state not in (CLOSED, LISTEN)}


def test_every_edge_of_the_figure_is_there() -> None:
    assert set(EDGES) >= FIGURE_5


def test_no_edge_besides_but_aborts_and_the_new_socket_of_a_listener() -> None:
    assert set(EDGES) - FIGURE_5 == ABORTS - FIGURE_5 | {(CLOSED, SYN_RECEIVED)}


def test_every_edge_says_what_makes_a_connection_take_it() -> None:
    assert all(EDGES.values())


def test_every_state_can_be_reached_and_left() -> None:
    assert {source for source, _ in EDGES} == set(NAMES)
    assert {target for _, target in EDGES} == set(NAMES)


def test_synchronized_states() -> None:
    assert {NAMES[state] for state in NAMES if state not in SYNCHRONIZED} == {
        "CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED"
    }  # fmt: skip


def test_the_setter_refuses_what_the_table_does_not_have() -> None:
    dialogue = Dialogue().established()
    with pytest.raises(AssertionError, match="no edge from ESTABLISHED to LAST-ACK"):
        enter(dialogue.tcb, LAST_ACK)
    assert dialogue.state == "ESTABLISHED"


def test_the_setter_tells_the_host() -> None:
    dialogue = Dialogue().established()
    assert [(old, new) for _, old, new in dialogue.host.history] == [(CLOSED, SYN_SENT), (SYN_SENT, ESTABLISHED)]
