"""The states of a connection, the edges between them, and the one setter (RFC 9293 section 3.3.2, figure 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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

if TYPE_CHECKING:
    from portside.tcp.tcb import Tcb

EDGES: Final[dict[tuple[int, int], str]] = {
    (CLOSED, LISTEN): "passive OPEN",
    (CLOSED, SYN_SENT): "active OPEN, send SYN",
    # Figure 5 draws this edge from LISTEN. In Linux the listener stays, and a new socket answers the SYN.
    (CLOSED, SYN_RECEIVED): "receive SYN on a listener, send SYN,ACK",
    (LISTEN, CLOSED): "CLOSE",
    (SYN_SENT, SYN_RECEIVED): "receive SYN, send SYN,ACK",
    (SYN_SENT, ESTABLISHED): "receive SYN,ACK, send ACK",
    (SYN_RECEIVED, ESTABLISHED): "receive ACK of SYN",
    (SYN_RECEIVED, FIN_WAIT_1): "CLOSE, send FIN",
    (ESTABLISHED, FIN_WAIT_1): "CLOSE, send FIN",
    (ESTABLISHED, CLOSE_WAIT): "receive FIN, send ACK",
    (FIN_WAIT_1, FIN_WAIT_2): "receive ACK of FIN",
    (FIN_WAIT_1, CLOSING): "receive FIN, send ACK",
    # Figure 5, note 2: through FIN-WAIT-2 when FIN and the ACK of ours come in one segment.
    (FIN_WAIT_2, TIME_WAIT): "receive FIN, send ACK",
    (CLOSING, TIME_WAIT): "receive ACK of FIN",
    (CLOSE_WAIT, LAST_ACK): "CLOSE, send FIN",
    (LAST_ACK, CLOSED): "receive ACK of FIN",
    (TIME_WAIT, CLOSED): "the TIME-WAIT lives on by itself",
    # Resets, timeouts and aborts: section 3.10.7, 3.10.5, and Linux's tcp_done().
    (SYN_SENT, CLOSED): "CLOSE, RST or timeout",
    (SYN_RECEIVED, CLOSED): "RST, timeout or abort",
    (ESTABLISHED, CLOSED): "RST, timeout or abort",
    (FIN_WAIT_1, CLOSED): "RST, timeout or abort",
    (FIN_WAIT_2, CLOSED): "RST, timeout or abort",
    (CLOSING, CLOSED): "RST, timeout or abort",
    (CLOSE_WAIT, CLOSED): "RST, timeout or abort",
}
"""Every edge that a connection may take, with what makes it do so."""

_ALLOWED: Final = frozenset(old << 4 | new for old, new in EDGES)

SYNCHRONIZED: Final = frozenset(
    (ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT)
)
"""The states in which both sides know each other's sequence numbers (RFC 9293 section 3.5.1)."""


def enter(tcb: Tcb, state: int) -> None:
    """Change the state of a connection, and tell the host. There is no other way.

    Source: tcp_set_state(), Linux 6.18.
    """
    old = tcb.state
    assert old << 4 | state in _ALLOWED, f"no edge from {NAMES[old]} to {NAMES[state]}"
    tcb.state = state
    if state != ESTABLISHED:
        tcb.predicted = 0
    tcb.effects.entered(tcb, old)
