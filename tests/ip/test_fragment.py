"""Reassembly: any order, repetitions, overlaps, missing pieces, bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ip_world import World

from portside.addr.abi import SECOND
from portside.addr.ip import parse
from portside.ip.fragment import HIGH_THRESHOLD, Reassembler, split
from portside.wire.packet import Fragment, UdpDatagram

ENDS = {4: (parse("10.0.0.1"), parse("10.0.0.2")), 6: (parse("2001:db8::1"), parse("2001:db8::2"))}


class Host(World):
    """The effects of a reassembler: a clock, and the timeouts that it told of."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[tuple[int, Fragment]] = []

    def reassembly_timed_out(self, first: Fragment, ifindex: int) -> None:
        self.timeouts.append((self.now, first))


def datagram(version: int, length: int, ident: int = 1) -> UdpDatagram:
    packet = UdpDatagram(*ENDS[version], 1, 2, bytes(length))
    packet.ident = ident
    return packet


def piece(whole: UdpDatagram, start: int, end: int, more: bool = True) -> Fragment:
    return Fragment(whole, start, end - start, more)


@given(st.sampled_from([4, 6]), st.integers(0, 20000), st.integers(1280, 9000))
def test_pieces_cover_the_datagram_and_fit(version: int, length: int, mtu: int) -> None:
    packet = datagram(version, length)
    pieces = split(packet, mtu)
    header = 20 if version == 4 else 40
    position = 0
    for number, each in enumerate(pieces):
        assert each.offset == position
        assert header + each.payload_length() <= mtu
        assert each.more is (number < len(pieces) - 1)
        assert not each.more or each.length % 8 == 0
        position += each.length
    assert position == packet.payload_length()


@given(st.sampled_from([4, 6]), st.integers(1, 20000), st.randoms(use_true_random=False), st.booleans())
def test_any_order_and_repetitions(version: int, length: int, draw, again: bool) -> None:
    packet = datagram(version, length)
    pieces = split(packet, 1280)
    if version == 4:  # a router on the way cuts some of them once more
        pieces = [small for each in pieces for small in (split(each, 576) if draw.random() < 0.5 else [each])]
    whole_of = [each for each in pieces for _ in range(2 if again else 1)]
    draw.shuffle(whole_of)
    reassembler = Reassembler(Host())
    results = []
    missing = set(range(len(pieces)))
    for each in whole_of:
        if missing:
            results.append(reassembler.add(each, 2))
            missing.discard(pieces.index(each))
    assert results[-1] is packet
    assert results[:-1] == [None] * (len(results) - 1)
    assert reassembler.memory == {True: 0, False: 0}


@pytest.mark.parametrize(
    ("ranges", "alive"),
    [
        ([(0, 16), (8, 24)], False),  # overlaps: the datagram is void (RFC 5722)
        ([(8, 24), (0, 16)], False),
        ([(0, 16), (0, 16)], True),  # a repetition
        ([(0, 24), (8, 16)], True),  # within what came: a repetition too
        ([(8, 16), (0, 24)], False),  # more than what came
        ([(0, 8), (8, 16), (0, 16)], True),  # inet_frag_queue_insert sees one run
        ([(0, 8), (16, 24), (8, 16)], True),
    ],
)
def test_overlaps(ranges: list[tuple[int, int]], alive: bool) -> None:
    reassembler = Reassembler(Host())
    whole = datagram(4, 100)
    for start, end in ranges:
        assert reassembler.add(piece(whole, start, end), 2) is None
    assert bool(reassembler.queues) is alive


def test_contradicting_ends_void_the_datagram() -> None:
    whole = datagram(4, 100)
    for pieces in (
        [piece(whole, 8, 20, False), piece(whole, 16, 28, False)],
        [piece(whole, 8, 16, False), piece(whole, 16, 24)],
        [piece(whole, 16, 24), piece(whole, 8, 16, False)],
    ):
        reassembler = Reassembler(Host())
        for each in pieces:
            assert reassembler.add(each, 2) is None
        assert not reassembler.queues


def test_no_datagram_beyond_65535_bytes() -> None:
    reassembler = Reassembler(Host())
    assert reassembler.add(Fragment(datagram(4, 10), 65528, 8, False), 2) is None
    assert not reassembler.queues


@pytest.mark.parametrize(("version", "seconds"), [(4, 30), (6, 60)])
@pytest.mark.parametrize("first", [True, False])
def test_missing_pieces_time_out(version: int, seconds: int, first: bool) -> None:
    host = Host()
    reassembler = Reassembler(host)
    pieces = split(datagram(version, 4000), 1280)
    reassembler.add(pieces[0 if first else 1], 2)
    host.run(seconds * SECOND - 1)
    assert reassembler.queues
    host.run(seconds * SECOND)
    assert not reassembler.queues
    assert reassembler.memory == {True: 0, False: 0}
    assert [when for when, _ in host.timeouts] == ([seconds * SECOND] if first else [])


def test_memory_is_bounded() -> None:
    reassembler = Reassembler(Host())
    for ident in range(1, 20000):
        reassembler.add(split(datagram(4, 4000, ident), 1500)[0], 2)
    assert reassembler.memory[True] <= HIGH_THRESHOLD + 3000
    assert len(reassembler.queues) < 2500


def test_datagrams_do_not_mix() -> None:
    reassembler = Reassembler(Host())
    one, two = (split(datagram(4, 2000, ident), 1500) for ident in (1, 2))
    assert reassembler.add(one[0], 2) is None
    assert reassembler.add(two[1], 2) is None
    assert reassembler.add(two[0], 2) is two[0].whole
    assert reassembler.add(one[1], 2) is one[0].whole


def test_an_mtu_without_room() -> None:
    with pytest.raises(ValueError, match="27"):
        split(datagram(4, 100), 27)
