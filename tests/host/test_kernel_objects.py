"""Generated dialogues over pipes, epolls and AF_UNIX sockets: the simulated kernel answers as the real one.

`PORTSIDE_DEEP=1` runs twenty times as many: some 600,000 calls.
"""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_objects import DGRAM, SEQPACKET, STREAM, compare

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the real kernel is the oracle")

DEEP = os.environ.get("PORTSIDE_DEEP") == "1"
generated = settings(
    max_examples=4000 if DEEP else 200,
    deadline=None,
    derandomize=not DEEP,
    database=None,
    suppress_health_check=list(HealthCheck),
)

IN, PRI, OUT, ERR, HUP, RDHUP = 0x1, 0x2, 0x4, 0x8, 0x10, 0x2000
NORM = 0x40 | 0x100
ET, ONESHOT, EXCLUSIVE = 1 << 31, 1 << 30, 1 << 28

slot = st.integers(0, 9)
size = st.one_of(
    st.integers(0, 20), st.sampled_from([100, 192, 193, 4095, 4096, 4097, 5000, 16065, 40000, 70000, 110000, 220000])
)
length = st.one_of(st.integers(0, 30), st.sampled_from([100, 4095, 4096, 10000, 100000, 300000]))
# Without MSG_TRUNC: CPython then shows bytes that it never read.
peek = st.sampled_from([0, 0, 0, 0x2, 0x100, 0x102, 0x1])
name = st.sampled_from(["a", "b", "c", "@a", "@b", "missing/x", ""])
interest = st.sampled_from([IN, OUT, PRI, RDHUP, NORM, HUP])
events = st.builds(
    lambda masks, modes: sum(set(masks)) | sum(set(modes)),
    st.lists(interest, max_size=3),
    st.lists(st.sampled_from([ET, ET, ONESHOT, EXCLUSIVE]), max_size=1),
)
kind = st.sampled_from([STREAM, DGRAM, SEQPACKET])


def call(name_, *arguments):
    return st.tuples(st.just(name_), *arguments)


FILES = [call("close", slot), call("dup", slot), call("dup2", slot, slot)]
POLLS = [
    call("poll", st.tuples(slot, st.just(0x7FF | RDHUP))),
    call("poll", st.tuples(slot, st.just(0x7FF | RDHUP)), st.tuples(slot, st.just(IN | OUT))),
    call("select", slot, slot),
]
PIPES = [
    call("pipe"),
    call("pipe", st.just(os.O_DIRECT)),
    call("write", slot, size),
    call("write", slot, size),
    call("read", slot, length),
    call("read", slot, length),
    call("fill", slot, size.filter(bool)),
    call("ioctl", slot, st.just(0x541B)),
    call("fcntl", slot, st.just(1032)),
    call("fcntl", slot, st.just(1031), st.sampled_from([0, 4096, 10000, 65536, 262144])),
]
EPOLLS = [
    call("epoll"),
    call("ctl", slot, st.sampled_from([1, 1, 1, 2, 3, 4]), slot, events),
    call("ctl", slot, st.just(1), slot, events),
    call("wait", slot, st.sampled_from([1, 2, 3, 10, 0, -1])),
    call("wait", slot, st.just(10)),
]
SOCKETS = [
    call("socketpair", kind),
    call("send", slot, size, st.sampled_from([0, 0, 0, 0, 0x1])),
    call("send", slot, size),
    call("recv", slot, length.filter(bool), peek),
    call("recvfrom", slot, length, peek),
    call("fill", slot, size.filter(bool)),
    call("shutdown", slot, st.integers(0, 3)),
    call("ioctl", slot, st.sampled_from([0x541B, 0x5411, 0x8905])),
    call("getpeername", slot),
    call("getsockname", slot),
    call("getsockopt", slot, st.sampled_from([3, 4, 7, 8, 16, 17, 18, 30, 38, 39, 999])),
    call("setsockopt", slot, st.sampled_from([7, 8, 10, 16, 18]), st.sampled_from([0, 1, 100, 5000, 300000])),
]
NAMED = [
    call("socket", kind),
    call("bind", slot, name),
    call("bind", slot, name),
    call("listen", slot, st.integers(0, 2)),
    call("listen", slot, st.integers(0, 2)),
    call("connect", slot, name),
    call("connect", slot, name),
    call("disconnect", slot),
    call("accept", slot),
    call("sendto", slot, size, name),
    call("unlink", st.sampled_from(["a", "b", "c"])),
]
PASSING = [
    call("sendplain", slot, st.sampled_from([0, 1, 5, 40000]), st.lists(slot, max_size=3)),
    call("sendplain", slot, st.sampled_from([1, 5]), st.lists(slot, min_size=1, max_size=2)),
    call("sendcreds", slot, st.sampled_from([0, 1, 5]), st.booleans()),
    call("recvmsg", slot, length, st.sampled_from([0, 10, 16, 20, 24, 28, 32, 100]), peek),
    call("recvmsg", slot, length, st.just(200)),
    call("setsockopt", slot, st.just(16), st.integers(0, 1)),
]


def dialogues(first, *groups):
    """Dialogues that begin with `first` and go on with calls of the groups, each group as likely as the next."""
    steps = st.lists(st.one_of([st.one_of(group) for group in groups]), min_size=5, max_size=40)
    return st.builds(lambda begin, rest: list(begin) + flat(rest), st.sampled_from(first), steps)


def flat(steps):
    """The steps, where one may be a list of several."""
    return [step for one in steps for step in (one if isinstance(one, list) else [one])]


@generated
@given(dialogues([[("pipe",)], [("pipe",), ("pipe",)]], PIPES, PIPES, POLLS, FILES))
def test_pipes(steps):
    compare(steps)


@generated
@given(
    dialogues(
        [[("pipe",), ("epoll",), ("epoll",)], [("epoll",), ("pipe",), ("socketpair", STREAM)]],
        PIPES, EPOLLS, EPOLLS, EPOLLS, POLLS, FILES, SOCKETS,
    )
)  # fmt: skip
def test_epoll(steps):
    compare(steps)


@generated
@given(
    dialogues(
        [[("socketpair", STREAM)], [("socketpair", DGRAM)], [("socketpair", SEQPACKET)]],
        SOCKETS, SOCKETS, POLLS, FILES,
    )
)  # fmt: skip
def test_socket_pairs(steps):
    compare(steps)


def _started(kind_):
    return [
        ("socket", kind_), ("bind", 0, "a"), ("listen", 0, 1), ("socket", kind_), ("connect", 1, "a"),
        ("socket", kind_),
        ("epoll",), ("ctl", 3, 1, 0, IN | OUT), ("ctl", 3, 1, 1, IN | OUT | ET | RDHUP),
    ]  # fmt: skip


@generated
@given(
    dialogues(
        [_started(STREAM), _started(DGRAM), _started(SEQPACKET)],
        NAMED, NAMED, SOCKETS, POLLS, FILES, EPOLLS,
    )
)  # fmt: skip
def test_named_sockets(steps):
    compare(steps)


@generated
@given(
    dialogues(
        [[("socketpair", STREAM), ("pipe",)], [("socketpair", DGRAM), ("socketpair", STREAM)], _started(STREAM)],
        PASSING, PASSING, SOCKETS, POLLS, FILES, NAMED,
    )
)  # fmt: skip
def test_passing(steps):
    compare(steps)


LAID_OUT = [("pipe",), ("socketpair", STREAM), ("socketpair", DGRAM), ("epoll",), ("epoll",), ("epoll",), ("dup", 0)]
watched = st.integers(0, 9)
epolls = st.integers(6, 8)
ends = st.sampled_from([0, 1, 2, 3, 4, 5, 9])
small = st.sampled_from([1, 10, 5000, 70000])
WATCHING = [
    call("ctl", epolls, st.just(1), watched, events),
    call("ctl", epolls, st.just(1), watched, events),
    call("ctl", epolls, st.sampled_from([2, 3, 3]), watched, events),
]
COLLECTING = [call("wait", epolls, st.sampled_from([1, 2, 10])), call("poll", st.tuples(epolls, st.just(0x7FF)))]
MOVING = [
    call("write", ends, small),
    call("read", ends, small),
    call("read", ends, st.just(100000)),
    call("fill", ends, small),
    call("shutdown", ends, st.integers(0, 2)),
]
CLOSING = [call("close", watched), call("dup", ends), call("dup2", watched, watched), *POLLS]


@generated
@given(
    dialogues([LAID_OUT], WATCHING, WATCHING, COLLECTING, COLLECTING, COLLECTING, MOVING, MOVING, CLOSING),
)
def test_epoll_of_everything(steps):
    compare(steps)


# A listener, connected clients and two more; and an epoll that watches the first four at their edges.
SERVICE = [
    [
        ("socket", kind_), ("bind", 0, "a"), ("listen", 0, 2), ("socket", kind_), ("socket", kind_), ("socket", kind_),
        ("epoll",), *[("ctl", 4, 1, number, IN | OUT | RDHUP | PRI | ET) for number in range(4)],
        ("connect", 1, "a"), ("connect", 2, "a"), ("accept", 0),
    ]
    for kind_ in (STREAM, SEQPACKET)
]  # fmt: skip
# Four datagram sockets, three with names, two connected; watched alike.
POST = [
    [
        *[("socket", DGRAM)] * 4, ("epoll",), ("bind", 0, "a"), ("bind", 1, "b"), ("bind", 2, "@a"),
        *[("ctl", 4, 1, number, IN | OUT | RDHUP | ET) for number in range(4)],
        ("connect", 1, "a"), ("connect", 3, "a"),
    ]
]  # fmt: skip
mine = st.sampled_from([0, 1, 1, 2, 3, 5, 5, 6])
present = st.sampled_from(["a", "a", "b", "@a", "c"])
amount = st.sampled_from([0, 1, 2, 3, 8, 200, 5000, 40000])
room = st.sampled_from([1, 3, 9, 300, 5000, 300000])
TALK = [
    call("send", mine, amount, st.sampled_from([0, 0, 0, 1])),
    call("send", mine, amount),
    call("recv", mine, room, peek),
    call("recvfrom", mine, room),
    call("recvmsg", mine, room, st.sampled_from([0, 24, 60, 200]), peek),
    call("fill", mine, amount.filter(bool)),
]
anything = st.integers(0, 6)
pair = st.sampled_from([(1, 5), (5, 1), (3, 0), (1, 0)])
sends = st.one_of(
    call("send", st.just(0), amount, st.sampled_from([0, 0, 0, 1])),
    call("sendplain", st.just(0), st.sampled_from([1, 5, 300]), st.lists(anything, min_size=1, max_size=2)),
    call("fill", st.just(0), amount.filter(bool)),
)
takes = st.one_of(
    call("recv", st.just(0), room, peek),
    call("recvfrom", st.just(0), room, peek),
    call("recvmsg", st.just(0), room, st.sampled_from([0, 24, 60, 200]), peek),
)
EXCHANGE = [
    st.builds(
        lambda ends, given, taken: [(name_, ends[0], *rest) for name_, _, *rest in given]
        + [(name_, ends[1], *rest) for name_, _, *rest in taken],
        pair, st.lists(sends, min_size=1, max_size=3), st.lists(takes, min_size=1, max_size=4),
    )
]  # fmt: skip
MEET = [call("connect", mine, present), call("accept", st.just(0)), call("sendto", mine, amount, present)]
PART = [
    call("shutdown", mine, st.integers(0, 2)),
    call("close", mine),
    call("disconnect", mine),
    call("listen", mine, st.integers(0, 1)),
    call("getpeername", mine),
    call("getsockopt", mine, st.sampled_from([4, 17])),
    call("ioctl", mine, st.sampled_from([0x541B, 0x5411, 0x8905])),
    call("setsockopt", mine, st.sampled_from([7, 10, 16, 18]), st.sampled_from([0, 1, 5, 3000])),
]
LOOK = [call("wait", st.just(4), st.just(9)), call("poll", st.tuples(mine, st.just(0x7FF | RDHUP)))]
HAND = [
    call("sendfds", mine, st.sampled_from([0, 1, 5]), st.lists(mine, min_size=1, max_size=2)),
    call("sendcreds", mine, st.sampled_from([1, 5]), st.booleans()),
]


@generated
@given(dialogues(SERVICE, EXCHANGE, EXCHANGE, TALK, MEET, PART, LOOK, LOOK))
def test_a_service(steps):
    compare(steps)


@generated
@given(dialogues(POST, EXCHANGE, TALK, TALK, MEET, MEET, PART, LOOK, LOOK))
def test_datagrams(steps):
    compare(steps)


@generated
@given(dialogues(SERVICE + POST, EXCHANGE, EXCHANGE, TALK, HAND, HAND, MEET, [PART[0], *PART[2:]], LOOK))
def test_messages_with_sockets_that_stay_open(steps):
    compare(steps)
