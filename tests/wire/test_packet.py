"""Packets as objects: what a copy is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portside.addr.ip import parse
from portside.ip.link import NeighborMessage
from portside.wire.packet import Packet, UdpDatagram

from .support import fields, packets

neighbors = st.builds(
    NeighborMessage, st.just(parse("10.0.0.1")), st.just(parse("10.0.0.2")), st.integers(1, 9), st.booleans()
)


@given(st.one_of(packets, neighbors), st.integers(0, 255), st.integers(0, 255), st.integers(0, 0xFFFF))
def test_a_copy_has_the_same_fields_and_is_another_packet(packet: Packet, ttl: int, tos: int, ident: int) -> None:
    packet.ttl, packet.tos, packet.ident = ttl, tos, ident
    if isinstance(packet, UdpDatagram):
        packet.joined = tos
    copy = packet.copy()
    assert fields(copy) == fields(packet)
    copy.ttl -= 1
    assert packet.ttl == ttl
