"""Reassembly: any order, repetitions, overlaps, missing pieces, bounded memory."""

from __future__ import annotations

import random
import socket
import struct

import ip_kernel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ip_world import World

from portside.addr.abi import SECOND
from portside.addr.ip import parse
from portside.ip.fragment import HIGH_THRESHOLD, Reassembler, split
from portside.wire.codec import encode_ip
from portside.wire.packet import Fragment, Packet, UdpDatagram

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


def same(one: Packet | None, other: Packet) -> bool:
    return type(one) is type(other) and encode_ip(one) == encode_ip(other)


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
    assert same(results[-1], packet)
    assert results[:-1] == [None] * (len(results) - 1)
    assert reassembler.memory == {True: 0, False: 0}


@pytest.mark.parametrize("length", [0, 4000])
def test_each_receiver_has_a_datagram_of_its_own_with_the_header_of_its_first_piece(length: int) -> None:
    sent = datagram(4, length)
    received = []
    for ttl, tos in ((63, 0), (9, 3)):  # the same datagram, over ways of different length and congestion
        pieces = split(sent, 1500)
        reassembler = Reassembler(Host())
        for each in pieces:
            each.ttl, each.tos = ttl, tos
            whole = reassembler.add(each, 2)
        assert whole is not None
        received.append(whole)
    assert [(each.ttl, each.tos) for each in received] == [(63, 0), (9, 3)]
    assert (sent.ttl, sent.tos) == (64, 0)


@pytest.mark.parametrize(
    ("ranges", "alive"),
    [
        ([(0, 16), (8, 24)], False),  # overlaps: the datagram is void (RFC 5722)
        ([(8, 24), (0, 16)], False),
        ([(0, 16), (0, 16)], True),  # a repetition
        ([(0, 24), (8, 16)], True),  # within what came: a repetition too
        ([(8, 16), (0, 24)], False),  # more than what came
        ([(0, 8), (8, 16), (0, 16)], True),  # a repetition of what came in order
        ([(8, 16), (0, 8), (0, 16)], False),  # and of what did not
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
    assert same(reassembler.add(two[0], 2), two[0].whole)
    assert same(reassembler.add(one[1], 2), one[0].whole)


def test_an_mtu_without_room() -> None:
    with pytest.raises(ValueError, match="27"):
        split(datagram(4, 100), 27)


# -- held against the kernel: pieces of a datagram with 40 bytes of payload, sent through raw sockets over lo --

SIZE = 40


def generate(seed: int) -> list[tuple[int, int, bool]]:
    draw = random.Random(seed)
    pieces = []
    for _ in range(draw.randint(2, 7)):
        start = draw.randrange(0, 5)
        end = draw.randrange(start + 1, 6)
        more = end * 8 != SIZE if draw.random() < 0.95 else draw.random() < 0.5
        if start or more:
            pieces.append((start * 8, end * 8, more))
    return pieces


def model(pieces: list[tuple[int, int, bool]], version: int) -> list[bool]:
    """After which pieces the datagram is there, in full length."""
    reassembler = Reassembler(Host())
    whole = datagram(version, SIZE - 8)
    answers = []
    for start, end, more in pieces:
        queues = list(reassembler.queues.values())
        done = reassembler.add(piece(whole, start, end, more), 1) is not None
        length = queues[0].end if queues and queues[0].end >= 0 else end
        answers.append(done and length == SIZE)
    return answers


def linux(cases: list[list[tuple[int, int, bool]]]) -> list[list[list[bool]]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink4,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sink6,
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw4,
        socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw6,
    ):  # fmt: skip
        sink4.bind(("127.0.0.1", 5000))
        sink6.bind(("::1", 5000))
        sink4.setblocking(False)
        sink6.setblocking(False)
        return [[_linux_v4(raw4, sink4, case, ident), _linux_v6(raw6, sink6, case, ident)]
                for ident, case in enumerate(cases, 1)]  # fmt: skip


def _arrived(sink: socket.socket) -> bool:
    return not isinstance(ip_kernel.outcome(sink.recv, 100), str)


def _linux_v4(raw: socket.socket, sink: socket.socket, case: list[tuple[int, int, bool]], ident: int) -> list[bool]:
    address = socket.inet_aton("127.0.0.1")
    udp = struct.pack("!HHHH", 4000, 5000, SIZE, 0) + bytes(SIZE - 8)
    answers = []
    for start, end, more in case:
        offset = (0x2000 if more else 0) | start // 8
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + end - start, ident, offset, 64, 17, 0, address, address)
        raw.sendto(head + udp[start:end], ("127.0.0.1", 0))
        answers.append(_arrived(sink))
    return answers


def _linux_v6(raw: socket.socket, sink: socket.socket, case: list[tuple[int, int, bool]], ident: int) -> list[bool]:
    address = socket.inet_pton(socket.AF_INET6, "::1")
    # The checksum of this very datagram: of its pseudo-header, ports and length.
    total = 1 + 1 + SIZE + 17 + 4000 + 5000 + SIZE
    udp = struct.pack("!HHHH", 4000, 5000, SIZE, ~total & 0xFFFF) + bytes(SIZE - 8)
    answers = []
    for start, end, more in case:
        head = struct.pack("!IHBB16s16s", 6 << 28, 8 + end - start, 44, 64, address, address)
        fragment = struct.pack("!BBHI", 17, 0, start | more, ident)
        raw.sendto(head + fragment + udp[start:end], ("::1", 0))
        answers.append(_arrived(sink))
    return answers


@pytest.mark.linux
@pytest.mark.skipif(not ip_kernel.available(), reason="needs root and network namespaces")
def test_pieces_in_any_combination_as_on_linux() -> None:
    cases = [generate(seed) for seed in range(800)]  # more would fill the kernel's memory for fragments
    answers = ip_kernel.in_namespace(linux, cases)
    assert any(any(v4) and any(v6) for v4, v6 in answers)
    for case, answer in zip(cases, answers, strict=True):
        assert [model(case, 4), model(case, 6)] == answer, case
