"""Connection states for the filter."""

from __future__ import annotations

import pytest

from portside.addr.abi import SECOND
from portside.addr.ip import parse
from portside.ip.conntrack import ESTABLISHED, INVALID, MAX_ENTRIES, NEW, RELATED, Conntrack
from portside.wire.packet import ACK, FIN, RST, SYN, IcmpMessage, Packet, TcpSegment, UdpDatagram

A, B = parse("10.0.0.1"), parse("10.0.0.2")


def tcp(flags: int, back: bool = False) -> TcpSegment:
    return TcpSegment(B, A, 80, 4000, 1, 1, flags, 1) if back else TcpSegment(A, B, 4000, 80, 1, 1, flags, 1)


def udp(back: bool = False) -> UdpDatagram:
    return UdpDatagram(B, A, 53, 4000, b"") if back else UdpDatagram(A, B, 4000, 53, b"")


def see(track: Conntrack, packet: Packet, now: int = 0) -> int:
    """The state of a packet that the filter lets pass."""
    state = track.state(packet, now)
    if state != INVALID:
        track.confirm(packet, now)
    return state


@pytest.mark.parametrize("flags", [SYN | ACK, RST, RST | ACK, FIN, FIN | ACK, 0])
def test_what_begins_no_connection(flags: int) -> None:
    assert Conntrack().state(tcp(flags), 0) == INVALID


def test_a_connection_is_new_until_it_is_answered() -> None:
    track = Conntrack()
    assert see(track, tcp(SYN)) == NEW
    assert see(track, tcp(SYN)) == NEW
    assert see(track, tcp(SYN | ACK, back=True)) == ESTABLISHED
    assert see(track, tcp(ACK)) == ESTABLISHED


def test_a_connection_that_began_unseen_is_picked_up() -> None:
    track = Conntrack()
    assert see(track, tcp(ACK)) == NEW
    assert see(track, tcp(ACK, back=True)) == ESTABLISHED


def test_what_was_not_let_pass_is_not_remembered() -> None:
    track = Conntrack()
    assert track.state(udp(), 0) == NEW
    assert track.state(udp(back=True), 0) == NEW


def test_udp_times_out() -> None:
    track = Conntrack()
    see(track, udp())
    assert see(track, udp(back=True), 29 * SECOND) == ESTABLISHED
    assert track.state(udp(), 148 * SECOND) == ESTABLISHED
    assert track.state(udp(), 150 * SECOND) == NEW


def test_a_connection_is_remembered_for_five_days() -> None:
    """nf_conntrack_tcp_timeout_established."""
    track = Conntrack()
    for segment in (tcp(SYN), tcp(SYN | ACK, back=True), tcp(ACK)):
        see(track, segment)
    assert track.state(tcp(ACK), 432_000 * SECOND - 1) == ESTABLISHED
    assert track.state(tcp(ACK), 432_000 * SECOND) == NEW


@pytest.mark.parametrize("end", [(tcp(RST, back=True),), (tcp(FIN | ACK), tcp(FIN | ACK, back=True))])
def test_a_syn_reopens_what_is_over(end: tuple[TcpSegment, ...]) -> None:
    track = Conntrack()
    for segment in (tcp(SYN), tcp(SYN | ACK, back=True), tcp(ACK), *end):
        see(track, segment)
    assert track.state(tcp(ACK), 0) == ESTABLISHED
    assert see(track, tcp(SYN)) == NEW
    assert track.state(tcp(ACK, back=True), 0) == ESTABLISHED


def test_icmp_errors_are_related_to_what_they_quote() -> None:
    track = Conntrack()
    error = IcmpMessage(B, A, 1, 3, 3, quoted=udp())
    assert track.state(error, 0) == INVALID
    assert track.state(error, 0, ours=True) == RELATED
    see(track, udp())
    assert track.state(error, 0) == RELATED


def test_echo() -> None:
    track = Conntrack()
    assert track.state(IcmpMessage(B, A, 1, 0, 0, extra=7 << 16), 0) == INVALID
    assert see(track, IcmpMessage(A, B, 1, 8, 0, extra=7 << 16)) == NEW
    assert see(track, IcmpMessage(B, A, 1, 0, 0, extra=7 << 16)) == ESTABLISHED


def test_memory_is_bounded() -> None:
    track = Conntrack()
    for number in range(MAX_ENTRIES + 100):
        see(track, UdpDatagram(A + number, B, 1, 2, b""))
    assert len(track.connections) == 2 * MAX_ENTRIES
    see(track, UdpDatagram(A - 1, B, 1, 2, b""), 31 * SECOND)
    assert len(track.connections) == 2
