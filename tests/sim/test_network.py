"""Links: when a packet arrives, at whom, and what is lost on the way."""

from __future__ import annotations

import pytest

from portside.addr.ip import parse
from portside.ip.interface import Interface, make_link_address
from portside.sim.faults import Cut, Duplicate, Loss, Reorder
from portside.sim.network import Link
from portside.sim.scheduler import Scheduler
from portside.wire.packet import UdpDatagram

MS = 1_000_000
SECOND = 1_000_000_000


class Net:
    """Some interfaces on a link, and who got what when."""

    def __init__(self, count=2, seed=1, **settings):
        self.world = Scheduler(seed)
        self.link = Link(self.world, "wire", **settings)
        self.got = []
        self.lost = []
        self.taps = []
        self.link.tap = self.tap
        self.ends = []
        for number in range(count):
            end = Interface(2, f"eth{number}", link_address=make_link_address(number + 1, 2))
            end.receiver = lambda packet, interface: self.got.append((self.world.now, interface.name, packet.sport))
            self.link.plug(end)
            self.ends.append(end)

    def tap(self, kind, packet, interface, reason):
        self.taps.append((kind, interface.name, packet.sport))
        if kind == "drop":
            self.lost.append((packet.sport, reason))

    def send(self, number, sender=0, to=1, size=0):
        packet = UdpDatagram(parse("10.0.0.1"), parse("10.0.0.2"), number, 2, bytes(size))
        target = 0 if to is None else self.ends[to].link_address
        self.link.transmit(packet, self.ends[sender], target)
        return packet

    def run(self):
        self.world.spawn(None, lambda: None, "nobody")
        self.world.run(drain=3600 * SECOND)
        return self.got


def test_a_packet_arrives_after_the_latency():
    net = Net(latency=5 * MS)
    net.send(1)
    assert net.got == []  # never while it is sent
    assert net.run() == [(5 * MS, "eth1", 1)]


def test_without_latency_it_arrives_at_once_but_as_an_event_of_its_own():
    net = Net()
    net.send(1)
    assert net.got == []
    assert net.run() == [(0, "eth1", 1)]


def test_bandwidth_spaces_packets_out():
    net = Net(latency=MS, bandwidth=8_000_000)  # a byte per us
    for number in (1, 2, 3):
        net.send(number, size=1000 - 28)
    assert net.run() == [(2 * MS, "eth1", 1), (3 * MS, "eth1", 2), (4 * MS, "eth1", 3)]


@pytest.mark.parametrize(("addresses", "header"), [(("10.0.0.1", "10.0.0.2"), 20), (("fd00::1", "fd00::2"), 40)])
def test_the_ip_header_takes_its_time(addresses, header):
    net = Net(bandwidth=1_000_000)  # a byte per 8 us
    source, destination = map(parse, addresses)
    net.link.transmit(UdpDatagram(source, destination, 1, 2, bytes(100)), net.ends[0], net.ends[1].link_address)
    assert net.run() == [((header + 8 + 100) * 8_000, "eth1", 1)]


def test_each_direction_has_its_own_queue_and_settings():
    net = Net(0)
    a, b = (Interface(2, name, link_address=number) for number, name in ((1, "a"), (2, "b")))
    for end in (a, b):
        end.receiver = lambda packet, interface: net.got.append((net.world.now, interface.name))
        net.ends.append(end)
    net.link.plug(a, latency=MS)
    net.link.plug(b, latency=7 * MS, bandwidth=8_000_000)
    net.send(1)
    net.send(2, sender=1, to=0, size=1000 - 28)
    assert net.run() == [(MS, "b"), (8 * MS, "a")]


def test_what_does_not_fit_into_the_queue_is_lost():
    net = Net(bandwidth=8_000_000, queue=2000)
    for number in range(1, 6):
        net.send(number, size=1000 - 28)
    assert [number for _, _, number in net.run()] == [1, 2, 3]
    assert net.lost == [(4, "queue full"), (5, "queue full")]


def test_a_segment_knows_who_is_where():
    net = Net(4)
    net.send(1, sender=0, to=2)
    net.send(2, sender=3, to=0)
    assert net.run() == [(0, "eth2", 1), (0, "eth0", 2)]


def test_a_broadcast_reaches_all_but_the_sender_each_with_a_copy_of_its_own():
    net = Net(3)
    got = []
    for end in net.ends:
        end.receiver = lambda packet, interface: got.append(packet)
    sent = net.send(1, sender=1, to=None)
    net.run()
    assert len(got) == 2
    assert got[0] is not got[1]
    assert sent not in got


def test_an_address_that_nobody_has_is_silence():
    net = Net()
    net.link.transmit(UdpDatagram(0, 0, 1, 2, b""), net.ends[0], 0x42)
    assert net.run() == []


def test_an_interface_that_is_down_gets_nothing():
    net = Net()
    net.ends[1].up = False
    net.send(1)
    assert net.run() == []
    assert net.lost == [(1, "interface down")]


def test_a_link_that_goes_down_loses_what_is_on_its_way():
    net = Net(latency=2 * MS)
    net.send(1)
    net.world.at(MS, setattr, net.link, "up", False)
    assert net.run() == []
    net.send(2)
    assert net.lost == [(1, "link down"), (2, "link down")]


def test_faults_of_one_sender_leave_the_other_alone():
    net = Net()
    net.link.add_fault(Loss(1), net.ends[0])
    net.send(1)
    net.send(2, sender=1, to=0)
    assert net.run() == [(0, "eth0", 2)]
    assert net.lost == [(1, "lost")]


def test_faults_reach_who_is_plugged_in_later_and_can_be_removed():
    net = Net()
    cut = Cut()
    net.link.add_fault(cut)
    late = Interface(2, "late", link_address=99)
    net.link.plug(late)
    net.ends.append(late)
    net.send(1, sender=2, to=0)
    net.link.remove_fault(cut)
    net.send(2, sender=2, to=0)
    assert net.run() == [(0, "eth0", 2)]
    with pytest.raises(ValueError, match="not one of"):
        net.link.remove_fault(cut)


def test_duplicates_are_copies_and_held_packets_are_overtaken():
    net = Net(latency=MS)
    net.link.add_fault(Duplicate(1, "1ms"))
    net.send(1)
    assert net.run() == [(MS, "eth1", 1), (2 * MS, "eth1", 1)]
    net = Net(seed=3)
    net.link.add_fault(Reorder(0.5, "1ms"))
    for number in range(10):
        net.send(number)
    order = [number for _, _, number in net.run()]
    assert sorted(order) == list(range(10))
    assert order != list(range(10))


def test_the_same_seed_loses_the_same_packets():
    def lost(seed):
        net = Net(seed=seed)
        net.link.add_fault(Loss(0.5))
        for number in range(50):
            net.send(number)
        return net.lost

    assert lost(1) == lost(1)
    assert lost(1) != lost(2)


def test_an_interface_has_one_plug():
    net = Net()
    with pytest.raises(ValueError, match="already"):
        net.link.plug(net.ends[0])
    net.link.unplug(net.ends[0])
    net.link.plug(net.ends[0])
    with pytest.raises(ValueError, match="address of its own"):
        net.link.plug(Interface(2, "twin", link_address=net.ends[0].link_address))


def test_the_interface_gets_the_mtu_of_the_link():
    net = Net(mtu=1280)
    assert net.ends[0].mtu == 1280


def test_a_tap_hears_what_is_sent_received_and_dropped():
    net = Net(latency=MS)
    net.send(1)
    net.run()
    net.link.up = False
    net.send(2)
    assert net.taps == [("send", "eth0", 1), ("receive", "eth1", 1), ("send", "eth0", 2), ("drop", "eth0", 2)]
