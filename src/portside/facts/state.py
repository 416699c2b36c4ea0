"""TCP states with the numbers that Linux gives them in /proc/net/tcp and sock_diag (<net/tcp_states.h>)."""

from __future__ import annotations

from typing import Final

ESTABLISHED: Final = 1
SYN_SENT: Final = 2
SYN_RECEIVED: Final = 3
FIN_WAIT_1: Final = 4
FIN_WAIT_2: Final = 5
TIME_WAIT: Final = 6
CLOSED: Final = 7
CLOSE_WAIT: Final = 8
LAST_ACK: Final = 9
LISTEN: Final = 10
CLOSING: Final = 11

NAMES: Final = {
    ESTABLISHED: "ESTABLISHED",
    SYN_SENT: "SYN-SENT",
    SYN_RECEIVED: "SYN-RECEIVED",
    FIN_WAIT_1: "FIN-WAIT-1",
    FIN_WAIT_2: "FIN-WAIT-2",
    TIME_WAIT: "TIME-WAIT",
    CLOSED: "CLOSED",
    CLOSE_WAIT: "CLOSE-WAIT",
    LAST_ACK: "LAST-ACK",
    LISTEN: "LISTEN",
    CLOSING: "CLOSING",
}
"""The names of RFC 9293 section 3.3.2."""
