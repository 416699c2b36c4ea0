"""Listening: the SYN queue, the accept queue and their limits (listen(2), accept(2); RFC 9293 section 3.10.7.2)."""

from __future__ import annotations

from portside.tcp.tcb import Tcb
from portside.wire.packet import TcpSegment


class Listener:
    """What a socket in LISTEN has besides its Tcb, whose options its connections inherit.

    `accept_queue` holds connections that wait for accept(2), oldest first; `half_open` those in SYN-RECEIVED.
    `backlog` is sk_max_ack_backlog: what listen(2) asked for, at most somaxconn.
    """

    __slots__ = ("accept_queue", "backlog", "half_open", "overflows", "tcb")

    def __init__(self, tcb: Tcb, backlog: int) -> None:
        self.tcb = tcb
        self.backlog = 0
        self.accept_queue: list[Tcb] = []
        self.half_open: dict[Tcb, None] = {}  # in order of arrival
        self.overflows = 0  # ListenOverflows and ListenDrops of this socket: sk_drops
        set_backlog(self, backlog)


def open_passive(tcb: Tcb, backlog: int, now: int) -> Listener:
    """Begin to listen: listen(2) on a CLOSED tcb whose address and port are bound. `tcb.listener` is the result.

    Source: RFC 9293 section 3.10.1; inet_csk_listen_start().
    """
    raise NotImplementedError


def set_backlog(listener: Listener, backlog: int) -> None:
    """listen(2) again: change the limit. Anything over somaxconn is somaxconn, negative numbers too (they are unsigned)."""
    raise NotImplementedError


def segment_arrives(listener: Listener, segment: TcpSegment, now: int, isn: int = 0) -> None:
    """A segment reaches a socket in LISTEN, and no connection of its own (RFC 9293 section 3.10.7.2).

    Args: isn: the sequence number that a reopened TIME-WAIT demands; 0: the host chooses.
    Source: tcp_rcv_state_process(), tcp_conn_request().
    """
    raise NotImplementedError


def accept(listener: Listener) -> Tcb | None:
    """Take the connection that waits longest (accept(2)); None when there is none. The host sets its `owner`.

    It may have been reset or closed meanwhile: accept(2) returns it all the same. Source: inet_csk_accept().
    """
    raise NotImplementedError


def close(listener: Listener, now: int) -> None:
    """Stop listening: close(2) or shutdown(2) on the listening socket. Its tcb becomes CLOSED.

    Connections that wait for accept are reset, those in SYN-RECEIVED forgotten. Source: inet_csk_listen_stop().
    """
    raise NotImplementedError


def poll(listener: Listener) -> int:
    """POLLIN | POLLRDNORM while a connection waits (inet_csk_listen_poll())."""
    raise NotImplementedError
