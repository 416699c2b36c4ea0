"""A world's packets in a capture."""

from io import BytesIO

from portside.addr.ip import parse
from portside.ip.interface import Interface
from portside.ip.link import NeighborMessage
from portside.sim.capture import Capture
from portside.sim.trace import Trace
from portside.wire import pcapng
from portside.wire.codec import encode_ip
from portside.wire.packet import UdpDatagram

A, B = parse("10.0.0.1"), parse("10.0.0.2")
EPOCH = 1_577_836_800_000_000_000


class World:
    now = 1_500_000_001


def captured(both):
    stream = BytesIO()
    trace = Trace(World())
    trace.observe(Capture(stream, EPOCH, both=both))
    packet = UdpDatagram(A, B, 1, 2, b"four")
    eth0 = Interface(2, "eth0")
    trace.note("alpha", "begins")
    trace.packet("alpha", "send", NeighborMessage(A, B, 1, True), eth0)
    trace.packet("alpha", "send", packet, eth0)
    trace.packet("beta", "receive", packet, eth0)
    trace.packet("beta", "drop", packet, eth0, "policy of input")
    stream.seek(0)
    read = list(pcapng.read(stream))
    assert {each.data for each in read} == {encode_ip(packet)}
    assert {each.when for each in read} == {EPOCH + World.now}
    return [(each.interface.name, each.direction) for each in read]


def test_each_packet_once_where_it_leaves():
    assert captured(both=False) == [("alpha/eth0", pcapng.OUTBOUND)]


def test_or_at_both_ends():
    assert captured(both=True) == [("alpha/eth0", pcapng.OUTBOUND), ("beta/eth0", pcapng.INBOUND)]
