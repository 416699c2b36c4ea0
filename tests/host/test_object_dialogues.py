"""Dialogues over pipes, polls, epolls and AF_UNIX sockets, each held on the real kernel and on the simulated one."""

from __future__ import annotations

import os
import sys

import pytest
from kernel_objects import DGRAM, SEQPACKET, STREAM, Dialogue, Real, Simulated, compare

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the real kernel is the oracle")

IN, PRI, OUT, ERR, HUP, NVAL, RDHUP = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x2000
ALL = 0x7FF | RDHUP
ET, ONESHOT, EXCLUSIVE = 1 << 31, 1 << 30, 1 << 28
ADD, DEL, MOD = 1, 2, 3
DIRECT = os.O_DIRECT
LISTENING = [("socket", STREAM), ("bind", 0, "a"), ("listen", 0, 1)]

DIALOGUES = {
    "a pipe holds sixteen pages, full or not": [
        ("pipe",), ("fill", 1, 4096), ("ioctl", 0, 0x541B), ("read", 0, 4095), ("write", 1, 1), ("read", 0, 1),
        ("write", 1, 1),
        ("pipe",), ("fill", 3, 4097), ("ioctl", 2, 0x541B), ("pipe",), ("fill", 5, 3000), ("ioctl", 4, 0x541B),
        ("pipe",), ("fill", 7, 1), ("pipe",), ("write", 9, 200000), ("poll", (9, ALL)), ("read", 8, 300000),
    ],
    "a pipe's size can be changed": [
        ("pipe",), ("fcntl", 0, 1032), ("fcntl", 1, 1031, 5000), ("fill", 1, 4096), ("fcntl", 1, 1031, 4096),
        ("fcntl", 1, 1031, 1048576), ("fill", 1, 65536), ("fcntl", 1, 1031, 0),
    ],
    "a pipe without a reader, without a writer": [
        ("pipe",), ("write", 1, 10), ("close", 1), ("poll", (0, ALL)), ("read", 0, 5), ("read", 0, 50), ("read", 0, 50),
        ("poll", (0, 0)), ("pipe",), ("close", 2), ("poll", (3, ALL)), ("write", 3, 1), ("write", 3, 0), ("select", 3),
    ],
    "the ends of a pipe go one way": [("pipe",), ("read", 1, 5), ("write", 0, 5), ("read", 0, 5), ("read", 0, 0)],
    "packets in a pipe": [
        ("pipe", DIRECT), ("write", 1, 10), ("write", 1, 10), ("write", 1, 5000), ("read", 0, 4), ("read", 0, 100),
        ("read", 0, 10000), ("read", 0, 10000), ("fcntl", 1, 3), ("fcntl", 0, 3),
    ],
    "the lowest free descriptor": [
        ("pipe",), ("pipe",), ("close", 1), ("dup", 0), ("close", 0), ("close", 2), ("pipe",), ("dup2", 3, 1),
        ("close", 0),
        ("socket", STREAM), ("dup2", 3, 3), ("close", 9), ("close", 9), ("dup", 9),
    ],
    "poll of what is not open, and of what is no business of its": [
        ("pipe",), ("close", 0), ("poll", (0, IN), (1, 0)), ("select", 0), ("poll", (1, NVAL)), ("poll", (1, OUT)),
    ],
    "epoll, level and edge": [
        ("pipe",), ("epoll",), ("ctl", 2, ADD, 0, IN), ("epoll",), ("ctl", 3, ADD, 0, IN | ET), ("wait", 2, 5),
        ("wait", 3, 5),
        ("write", 1, 10), ("wait", 2, 5), ("wait", 2, 5), ("wait", 3, 5), ("wait", 3, 5), ("write", 1, 1),
        ("wait", 3, 5),
        ("read", 0, 5), ("wait", 3, 5), ("read", 0, 50), ("wait", 2, 5), ("wait", 3, 5), ("close", 1), ("wait", 2, 5),
        ("wait", 3, 5), ("wait", 3, 5),
    ],
    "epoll, one-shot": [
        ("pipe",), ("epoll",), ("ctl", 2, ADD, 0, IN | ONESHOT), ("write", 1, 1), ("wait", 2, 5), ("wait", 2, 5),
        ("write", 1, 1), ("wait", 2, 5), ("ctl", 2, MOD, 0, IN | ONESHOT), ("wait", 2, 5), ("close", 1), ("wait", 2, 5),
    ],
    "epoll's errors": [
        ("pipe",), ("epoll",), ("ctl", 2, ADD, 0, IN), ("ctl", 2, ADD, 0, IN), ("ctl", 2, MOD, 1, IN),
        ("ctl", 2, DEL, 1, 0),
        ("ctl", 2, ADD, 2, IN), ("ctl", 0, ADD, 1, IN), ("ctl", 2, 9, 0, IN), ("close", 1), ("ctl", 2, ADD, 1, IN),
        ("ctl", 1, ADD, 0, IN), ("wait", 0, 1), ("wait", 1, 1), ("wait", 2, 0), ("wait", 2, -1),
        ("ctl", 2, DEL, 0, 0), ("ctl", 2, ADD, 0, IN | EXCLUSIVE), ("ctl", 2, MOD, 0, IN),
        ("ctl", 2, MOD, 0, IN | EXCLUSIVE),
        ("ctl", 2, DEL, 0, 0), ("ctl", 2, ADD, 0, IN | RDHUP | EXCLUSIVE), ("ctl", 2, ADD, 0, IN | ONESHOT | EXCLUSIVE),
        ("epoll",), ("ctl", 2, ADD, 3, IN | EXCLUSIVE), ("read", 2, 10), ("write", 2, 10), ("ioctl", 2, 0x541B),
    ],
    "epoll in epoll": [
        ("pipe",), ("epoll",), ("epoll",), ("ctl", 2, ADD, 0, IN), ("ctl", 3, ADD, 2, IN), ("poll", (3, ALL)),
        ("write", 1, 1), ("poll", (3, ALL)), ("wait", 3, 5), ("wait", 2, 5), ("wait", 3, 5), ("read", 0, 5),
        ("wait", 3, 5),
        ("poll", (2, ALL)), ("ctl", 2, ADD, 3, IN), ("epoll",), ("ctl", 4, ADD, 3, IN | ET), ("write", 1, 1),
        ("wait", 4, 5),
        ("wait", 4, 5), ("ctl", 2, ADD, 4, IN),
    ],
    "epolls no more than five deep": [
        ("epoll",), ("epoll",), ("epoll",), ("epoll",), ("epoll",), ("epoll",), ("epoll",),
        *[("ctl", n + 1, ADD, n, IN) for n in range(6)], ("ctl", 0, ADD, 5, IN), ("ctl", 6, ADD, 0, IN),
        ("epoll",), ("ctl", 7, ADD, 6, IN), ("ctl", 7, ADD, 3, IN), ("ctl", 0, ADD, 7, IN),
    ],
    "the ready list takes turns": [
        ("pipe",), ("pipe",), ("pipe",), ("epoll",), ("ctl", 6, ADD, 0, IN), ("ctl", 6, ADD, 2, IN),
        ("ctl", 6, ADD, 4, IN),
        ("write", 3, 1), ("write", 5, 1), ("write", 1, 1), ("wait", 6, 1), ("wait", 6, 1), ("wait", 6, 1),
        ("wait", 6, 1),
        ("wait", 6, 2), ("wait", 6, 2), ("wait", 6, 9), ("read", 2, 5), ("wait", 6, 1), ("wait", 6, 2),
    ],
    "a watched file leaves with its last descriptor": [
        ("pipe",), ("dup", 0), ("epoll",), ("ctl", 3, ADD, 0, IN), ("ctl", 3, ADD, 2, IN), ("write", 1, 1),
        ("wait", 3, 5),
        ("close", 0), ("wait", 3, 5), ("ctl", 3, DEL, 0, 0), ("close", 2), ("wait", 3, 5), ("pipe",),
        ("ctl", 3, ADD, 4, IN),
        ("ctl", 3, MOD, 4, IN),
    ],
    "what is interesting can be changed": [
        ("socketpair", STREAM), ("epoll",), ("ctl", 2, ADD, 0, 0), ("wait", 2, 5), ("close", 1), ("wait", 2, 5),
        ("ctl", 2, MOD, 0, IN | OUT | RDHUP), ("wait", 2, 5), ("ctl", 2, MOD, 0, OUT | ET), ("wait", 2, 5),
        ("wait", 2, 5),
    ],
    "edges of a socket pair": [
        ("socketpair", STREAM), ("epoll",), ("ctl", 2, ADD, 0, IN | OUT | ET), ("wait", 2, 5), ("send", 1, 10),
        ("wait", 2, 5),
        ("send", 0, 10), ("wait", 2, 5), ("recv", 1, 5), ("wait", 2, 5), ("recv", 1, 5), ("wait", 2, 5),
        ("fill", 0, 5000),
        ("wait", 2, 5), ("recv", 1, 5000), ("wait", 2, 5), ("recv", 1, 200000), ("wait", 2, 5), ("shutdown", 1, 1),
        ("wait", 2, 5),
    ],
    **{
        f"how much fits, by {size}, type {kind}": [
            ("socketpair", kind), ("fill", 0, size), ("ioctl", 0, 0x5411), ("ioctl", 1, 0x541B), ("poll", (0, ALL),
            (1, ALL)),
            ("recv", 1, 100000), ("ioctl", 0, 0x5411), ("poll", (0, ALL)), ("send", 0, size), ("recv", 1, 10),
        ]
        for kind in (STREAM, DGRAM, SEQPACKET)
        for size in (1, 193, 4096, 16065, 37000, 100000, 212960, 212961, 500000)
    },
    **{
        f"how it ends, type {kind}": [
            ("socketpair", kind), ("send", 0, 5), ("send", 1, 5), ("shutdown", 0, 1), ("poll", (0, ALL), (1, ALL)),
            ("send", 0, 1),
            ("recv", 1, 9), ("recv", 1, 9), ("recv", 1, 9), ("send", 1, 1), ("close", 1), ("poll", (0, ALL)),
            ("recv", 0, 9),
            ("recv", 0, 9), ("recv", 0, 9), ("recv", 0, 9), ("send", 0, 1), ("send", 0, 1), ("getpeername", 0),
            ("getsockopt", 0, 4),
        ]
        for kind in (STREAM, DGRAM, SEQPACKET)
    },
    **{
        f"closed with unread data, type {kind}": [
            ("socketpair", kind), ("send", 0, 5), ("send", 1, 5), ("close", 1), ("poll", (0, ALL)), ("recv", 0, 2),
            ("recv", 0, 9),
            ("poll", (0, ALL)), ("recv", 0, 9), ("recv", 0, 9), ("send", 0, 1), ("getsockopt", 0, 4),
        ]
        for kind in (STREAM, DGRAM, SEQPACKET)
    },
    "shutdown of what is connected to nobody": [
        ("socket", STREAM), ("shutdown", 0, 0), ("shutdown", 0, 3), ("poll", (0, ALL)), ("recv", 0, 5), ("send", 0, 5),
        ("socket", DGRAM), ("shutdown", 1, 2), ("poll", (1, ALL)), ("recv", 1, 5), ("send", 1, 5),
        ("socket", SEQPACKET),
        ("recv", 2, 5), ("send", 2, 5), ("poll", (2, ALL)), ("getpeername", 2), ("getsockname", 2),
    ],
    "names": [
        *LISTENING, ("getsockname", 0), ("bind", 0, "b"), ("bind", 0, "a"), ("socket", STREAM), ("bind", 1, "a"),
        ("bind", 1, "missing/x"), ("bind", 1, ""), ("getsockname", 1), ("bind", 1, ""), ("bind", 1, "b"),
        ("socket", DGRAM),
        ("connect", 2, "a"), ("connect", 2, "c"), ("bind", 2, "@a"), ("socket", STREAM), ("bind", 3, "@a"),
        ("listen", 3, 0),
        ("getsockname", 3), ("socket", DGRAM), ("bind", 4, "@a"), ("connect", 4, "@a"), ("socket", SEQPACKET),
        ("connect", 5, "@a"),
        ("close", 0), ("connect", 1, "a"), ("socket", STREAM), ("bind", 6, "a"), ("unlink", "a"), ("connect", 1, "a"),
        ("bind", 6, "a"), ("unlink", "a"), ("unlink", "a"),
    ],
    "listen and connect": [
        ("socket", STREAM), ("listen", 0, 1), ("bind", 0, "a"), ("socket", STREAM), ("connect", 1, "a"),
        ("accept", 0), ("listen", 0, 1),
        ("accept", 0), ("connect", 1, "a"), ("poll", (0, ALL), (1, ALL)), ("connect", 1, "a"), ("listen", 1, 1),
        ("socket", STREAM),
        ("connect", 2, "a"), ("socket", STREAM), ("connect", 3, "a"), ("send", 1, 10), ("accept", 0),
        ("poll", (0, ALL), (4, ALL)),
        ("recv", 4, 20), ("getsockname", 4), ("getpeername", 4), ("getpeername", 1), ("connect", 3, "a"), ("close", 0),
        ("poll", (2, ALL), (3, ALL)), ("recv", 2, 5), ("recv", 2, 5), ("send", 2, 5), ("getsockopt", 4, 17),
        ("getsockopt", 1, 17),
        ("connect", 0, "a"), ("sendto", 1, 5, "a"), ("sendto", 0, 5, "a"),
    ],
    "a listener that is shut down": [
        *LISTENING, ("shutdown", 0, 0), ("accept", 0), ("socket", STREAM), ("connect", 1, "a"), ("poll", (0, ALL)),
        ("recv", 0, 5),
        ("send", 0, 5), ("ioctl", 0, 0x541B), ("getsockopt", 0, 30), ("connect", 0, "a"),
    ],
    "datagrams by name": [
        ("socket", DGRAM), ("bind", 0, "a"), ("socket", DGRAM), ("sendto", 1, 5, "a"), ("recvfrom", 0, 9),
        ("bind", 1, "@x"),
        ("sendto", 1, 0, "a"), ("recvfrom", 0, 9), ("recvfrom", 0, 9), ("sendto", 1, 9, "a"), ("recvmsg", 0, 4, 0),
        ("connect", 0, "@x"),
        ("send", 0, 3), ("recvfrom", 1, 9), ("socket", DGRAM), ("sendto", 2, 3, "a"), ("connect", 2, "a"),
        ("sendto", 2, 3, "c"),
        ("connect", 1, "a"), ("sendto", 2, 3, "@x"), ("disconnect", 0), ("connect", 2, "a"), ("send", 2, 3),
        ("recvfrom", 0, 9),
        ("listen", 0, 1), ("accept", 0), ("getpeername", 0), ("getpeername", 2), ("close", 0), ("send", 2, 1),
        ("send", 2, 1),
        ("poll", (2, ALL)), ("getpeername", 2),
    ],
    "a datagram socket's queue is short": [
        ("socket", DGRAM), ("bind", 0, "a"), ("socket", DGRAM), ("connect", 1, "a"), ("fill", 1, 10),
        ("poll", (1, ALL)), ("epoll",),
        ("ctl", 2, ADD, 1, OUT | ET), ("wait", 2, 5), ("recv", 0, 10), ("wait", 2, 5), ("poll", (1, ALL)),
        ("send", 1, 1), ("send", 1, 1),
        ("socket", DGRAM), ("sendto", 3, 5, "a"), ("poll", (3, ALL)), ("close", 0), ("wait", 2, 5), ("send", 1, 5),
        ("wait", 2, 5),
    ],
    "reconnecting throws away what was received": [
        ("socketpair", DGRAM), ("send", 0, 5), ("disconnect", 1), ("recv", 1, 9), ("getsockopt", 0, 4),
        ("send", 0, 5), ("recv", 1, 5),
        ("send", 1, 5), ("socketpair", DGRAM), ("send", 2, 5), ("disconnect", 3), ("send", 2, 5), ("send", 2, 5),
    ],
    "descriptors in messages": [
        ("socketpair", STREAM), ("pipe",), ("sendfds", 0, 5, [2, 3]), ("close", 3), ("recvmsg", 1, 9, 100),
        ("write", 5, 7),
        ("read", 2, 9), ("sendfds", 0, 5, [2]), ("send", 0, 5), ("recvmsg", 1, 99, 100), ("recvmsg", 1, 99, 100),
        ("sendfds", 0, 5, [99]),
        ("sendfds", 0, 0, [2]), ("recvmsg", 1, 9, 100), ("sendfds", 0, 5, [2, 4]), ("recvmsg", 1, 9, 20),
        ("sendfds", 0, 5, [2]),
        ("recvmsg", 1, 9, 0), ("sendfds", 0, 5, [2]), ("recv", 1, 9), ("send", 0, 3), ("sendfds", 0, 5, [2]),
        ("send", 0, 3),
        ("recvmsg", 1, 2, 100), ("recvmsg", 1, 90, 100), ("recvmsg", 1, 90, 100), ("sendfds", 0, 5, [2]),
        ("recvmsg", 1, 2, 100, 0x2),
        ("recvmsg", 1, 9, 100), ("sendfds", 2, 5, [2]),
    ],
    "the last descriptor in flight keeps a file open": [
        ("socketpair", DGRAM), ("pipe",), ("sendfds", 0, 0, [3]), ("close", 3), ("read", 2, 5), ("close", 1),
        ("read", 2, 5),
        ("poll", (2, ALL)),
    ],
    "a socket sent over itself": [
        ("socketpair", STREAM), ("sendfds", 0, 1, [0, 1]), ("sendfds", 1, 1, [0, 1]), ("close", 0), ("close", 1),
        ("socketpair", STREAM),
        ("close", 2), ("close", 3),
    ],
    "credentials": [
        ("socketpair", STREAM), ("sendcreds", 0, 5, True), ("recvmsg", 1, 9, 100), ("setsockopt", 1, 16, 1),
        ("send", 0, 5),
        ("recvmsg", 1, 9, 100), ("sendcreds", 0, 5, False), ("send", 0, 5), ("recvmsg", 1, 9, 20), ("send", 0, 5),
        ("recvmsg", 1, 9, 4),
        ("socketpair", DGRAM), ("send", 2, 5), ("setsockopt", 3, 16, 1), ("recvmsg", 3, 9, 100), ("sendfds", 2, 5, [0]),
        ("recvmsg", 3, 9, 100), ("getsockname", 3), ("send", 3, 5), ("getsockname", 3), ("recvfrom", 2, 9),
        ("shutdown", 2, 2),
        ("recvmsg", 3, 9, 100),
    ],
    "urgent data": [
        ("socketpair", STREAM), ("send", 0, 5), ("send", 0, 3, 1), ("poll", (1, ALL)), ("ioctl", 1, 0x8905),
        ("recv", 1, 20),
        ("ioctl", 1, 0x8905), ("recv", 1, 1, 1), ("recv", 1, 1, 1), ("poll", (1, ALL)), ("recv", 1, 9),
        ("send", 0, 4, 1), ("recv", 1, 9),
        ("recv", 1, 9), ("setsockopt", 1, 10, 1), ("send", 0, 4, 1), ("recv", 1, 9), ("recv", 1, 9), ("recv", 1, 1, 1),
    ],
    "an urgent byte that is passed over": [
        ("socketpair", STREAM), ("send", 0, 1, 1), ("ioctl", 1, 0x541B), ("recv", 1, 1), ("ioctl", 1, 0x541B),
        ("poll", (1, ALL)), ("recv", 1, 1, 1), ("send", 0, 3), ("ioctl", 1, 0x541B), ("recv", 1, 9),
        ("ioctl", 1, 0x541B),
        ("close", 1), ("recv", 0, 5),
    ],
    "options": [
        ("socketpair", STREAM),
        *[("getsockopt", 0, name) for name in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 18, 30, 38, 39, 999)],
        *[step for value in (0, 1, 2304, 5000, 100000, 1 << 30) for step in (("setsockopt", 0, 7, value),
        ("getsockopt", 0, 7))],
        *[step for value in (0, 1, 2304, 5000, 100000, 1 << 30) for step in (("setsockopt", 0, 8, value),
        ("getsockopt", 0, 8))],
        ("setsockopt", 0, 18, 6), ("send", 1, 5), ("recv", 0, 10), ("getsockopt", 0, 18), ("setsockopt", 0, 18, 0),
        ("getsockopt", 0, 18),
        ("setsockopt", 0, 2, 7), ("getsockopt", 0, 2), ("setsockopt", 0, 15, 1), ("setsockopt", 0, 999, 1),
    ],
}  # fmt: skip


@pytest.mark.parametrize("title", DIALOGUES)
def test_dialogue(title):
    compare(DIALOGUES[title])


def test_the_two_kernels_can_differ(monkeypatch):
    """The comparison is able to fail."""

    def talkative(self, flags=0):
        return [*self._new(*self.kernel.pipe(flags)), self.kernel.first]

    monkeypatch.setattr(Dialogue, "_pipe", talkative)
    with pytest.raises(AssertionError, match="step 0"):
        compare([("pipe",)])


def test_both_clean_up():
    before = len(os.listdir("/proc/self/fd"))
    for kernel in (Real, Simulated):
        with kernel() as one:
            dialogue = Dialogue(one)
            dialogue.step("pipe")
            dialogue.step("socketpair", STREAM)
    assert len(os.listdir("/proc/self/fd")) == before
