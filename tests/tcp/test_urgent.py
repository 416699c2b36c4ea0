"""Urgent data: who is told where they end, and what the program reads (RFC 9293 section 3.8.5, RFC 6093)."""

from __future__ import annotations

import errno

from pair import connected
from speak import Dialogue

from portside.addr.abi import POLLIN, POLLPRI, POLLRDNORM
from portside.tcp import calls, urgent
from portside.tcp.tcb import Tcb
from portside.wire.packet import URG, TcpSegment

NOW = 1_000_000_000


def pointers(log: list[tuple[int, TcpSegment]]) -> list[tuple[int, int]]:
    """Length of each segment with data, and its urgent pointer."""
    return [(len(one.data), one.urgent if one.flags & URG else 0) for _, one in log if len(one.data)]


def read(tcb: Tcb, limit: int = 100, peek: bool = False) -> bytes | int | None:
    return calls.receive(tcb, limit, NOW, peek)


def ready(tcb: Tcb) -> int:
    return calls.poll(tcb) & (POLLIN | POLLPRI | POLLRDNORM)


def test_the_last_byte_of_what_was_sent_is_urgent() -> None:
    world, client, server = connected()
    assert calls.send_urgent(client, b"abc", NOW) == 3
    world.settle()
    assert pointers(world.log) == [(3, 3)]  # the byte before the one that it points at
    assert ready(server) == POLLIN | POLLRDNORM | POLLPRI
    assert calls.inq(server) == 2
    assert not urgent.at_mark(server)
    assert urgent.read(server, 1, True) == urgent.read(server, 1, False) == b"c"
    assert urgent.read(server, 1, False) == -errno.EINVAL
    assert read(server) == b"ab"
    assert urgent.at_mark(server)
    assert ready(server) == 0
    assert read(server) is None
    assert not urgent.at_mark(server)


def test_reading_stops_at_the_mark_and_passes_over_it() -> None:
    world, client, server = connected()
    calls.send_urgent(client, b"abU", NOW)
    calls.send(client, b"cd", NOW)
    world.settle()
    assert read(server, peek=True) == b"ab"
    assert read(server) == b"ab"
    assert read(server, peek=True) == b"cd"
    assert urgent.at_mark(server)
    assert read(server) == b"cd"
    assert urgent.read(server, 1, False) == -errno.EINVAL  # it went by unread


def test_in_line_it_is_read_from_the_mark_on() -> None:
    world, client, server = connected()
    server.oobinline = True
    calls.send_urgent(client, b"abU", NOW)
    calls.send(client, b"cd", NOW)
    world.settle()
    assert urgent.read(server, 1, False) == -errno.EINVAL
    assert ready(server) == POLLIN | POLLRDNORM | POLLPRI
    assert read(server) == b"ab"
    assert ready(server) == POLLIN | POLLRDNORM | POLLPRI
    assert read(server) == b"Ucd"
    assert ready(server) == 0


def test_urgent_data_do_not_wait_for_nagle_or_cork() -> None:
    world, client, _ = connected(cork=True)
    calls.send(client, b"a", NOW)
    world.settle()
    assert pointers(world.log) == []
    calls.send_urgent(client, b"b", NOW)
    world.settle()
    assert pointers(world.log) == [(2, 2)]


def test_each_segment_that_is_sent_again_points_there_until_it_is_acknowledged() -> None:
    world, client, server = connected()
    world.cut = lambda segment: bool(len(segment.data))
    calls.send_urgent(client, b"ab", NOW)
    world.advance(300_000_000)
    world.cut = lambda segment: False
    world.advance(2_000_000_000)
    assert len(pointers(world.log)) > 1
    assert set(pointers(world.log)) == {(2, 2)}
    assert read(server) == b"a"
    world.log.clear()
    calls.send(client, b"c", world.now)
    world.settle()
    assert pointers(world.log) == [(1, 0)]


def test_a_pointer_that_is_far_ahead() -> None:
    """The field tells 65,535 bytes; what is farther is told later."""
    world, client, server = connected()
    client.sndbuf = server.rcvbuf = 10_000_000
    client.cwnd = 1000
    client.snd_wnd = 1_000_000
    assert calls.send_urgent(client, bytes(100_000) + b"U", NOW) == 100_001
    assert calls.send_urgent(client, b"", NOW) == 0
    world.settle()
    told = [pointer for _, pointer in pointers(world.log)]
    assert told[-1] == pointers(world.log)[-1][0]
    assert max(told) <= 0xFFFF


def test_a_byte_that_is_announced_and_does_not_come() -> None:
    dialogue = Dialogue().established()
    dialogue.say("PA", urgent=10, data=b"abc")
    tcb = dialogue.tcb
    assert ready(tcb) == POLLIN | POLLRDNORM
    assert urgent.read(tcb, 1, False) == -errno.EAGAIN
    assert read(tcb) == b"abc"
    dialogue.say("PA", seq=4, data=b"defghijkl")
    assert ready(tcb) == POLLIN | POLLRDNORM | POLLPRI
    assert urgent.read(tcb, 1, False) == b"j"
    assert read(tcb) == b"defghi"
    assert read(tcb) == b"kl"


def test_an_old_pointer_and_one_that_is_repeated_say_nothing() -> None:
    dialogue = Dialogue().established()
    tcb = dialogue.tcb
    dialogue.say("PA", urgent=2, data=b"aU")
    assert urgent.read(tcb, 1, False) == b"U"
    assert read(tcb) == b"a"
    dialogue.say("PA", urgent=2, data=b"aU")
    assert urgent.read(tcb, 1, False) == -errno.EINVAL
    dialogue.say("PA", urgent=1, seq=3, data=b"V")
    assert urgent.read(tcb, 1, False) == b"V"
    assert read(tcb) is None


def test_the_end_of_the_stream_behind_an_urgent_byte() -> None:
    dialogue = Dialogue().established()
    dialogue.say("PAF", urgent=1, data=b"U")
    assert read(dialogue.tcb, peek=True) == b""
    assert read(dialogue.tcb) == b""
