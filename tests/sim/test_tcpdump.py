"""Packets in the words of tcpdump."""

import pytest

from portside.addr.ip import parse
from portside.ip.link import NeighborMessage
from portside.sim.tcpdump import Describer
from portside.wire.packet import Fragment, IcmpMessage, TcpSegment, UdpDatagram

A, B = parse("10.0.0.1"), parse("10.0.0.2")
A6, B6 = parse("fd00::1"), parse("fd00::2")
SYN, ACK, PSH, FIN, RST = 2, 16, 8, 1, 4


def udp(src=A, dst=B, data=b"four"):
    return UdpDatagram(src, dst, 40000, 53, data)


def test_a_connection_is_shown_relative_to_its_first_numbers():
    describe = Describer()
    syn = TcpSegment(A, B, 40000, 80, 1000, 0, SYN, 64240)
    syn.mss, syn.sack_permitted, syn.timestamps, syn.window_scale = 1460, True, (7, 0), 10
    answer = TcpSegment(B, A, 80, 40000, 5000, 1001, SYN | ACK, 65160)
    data = TcpSegment(A, B, 40000, 80, 1001, 5001, PSH | ACK, 63, b"x" * 10)
    got = TcpSegment(B, A, 80, 40000, 5001, 1011, ACK, 64)
    fin = TcpSegment(A, B, 40000, 80, 1011, 5001, FIN | ACK, 63)
    reset = TcpSegment(B, A, 80, 40000, 5001, 0, RST, 0)
    assert [describe(each) for each in (syn, answer, data, got, fin, reset)] == [
        "IP 10.0.0.1.40000 > 10.0.0.2.80: Flags [S], seq 1000, win 64240, "
        "options [mss 1460,sackOK,TS val 7 ecr 0,wscale 10], length 0",
        "IP 10.0.0.2.80 > 10.0.0.1.40000: Flags [S.], seq 5000, ack 1, win 65160, length 0",
        "IP 10.0.0.1.40000 > 10.0.0.2.80: Flags [P.], seq 1:11, ack 1, win 63, length 10",
        "IP 10.0.0.2.80 > 10.0.0.1.40000: Flags [.], ack 11, win 64, length 0",
        "IP 10.0.0.1.40000 > 10.0.0.2.80: Flags [F.], seq 11, ack 1, win 63, length 0",
        "IP 10.0.0.2.80 > 10.0.0.1.40000: Flags [R], seq 1, win 0, length 0",
    ]


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (udp(), "IP 10.0.0.1.40000 > 10.0.0.2.53: UDP, length 4"),
        (udp(A6, B6), "IP6 fd00::1.40000 > fd00::2.53: UDP, length 4"),
        (
            IcmpMessage(B, A, 1, 3, 3, quoted=udp()),
            "IP 10.0.0.2 > 10.0.0.1: ICMP 10.0.0.2 udp port 53 unreachable, length 40",
        ),
        (
            IcmpMessage(B6, A6, 58, 1, 4, quoted=udp(A6, B6)),
            "IP6 fd00::2 > fd00::1: ICMP6, unreachable port, fd00::2 udp port 53, length 60",
        ),
        (
            IcmpMessage(A, B, 1, 8, 0, extra=5 << 16 | 2, data=b"x" * 56),
            "IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 5, seq 2, length 64",
        ),
        (IcmpMessage(B, A, 1, 11, 0), "IP 10.0.0.2 > 10.0.0.1: ICMP time exceeded in-transit, length 8"),
        (
            IcmpMessage(B6, A6, 58, 2, 0, extra=1280),
            "IP6 fd00::2 > fd00::1: ICMP6, packet too big, mtu 1280, length 8",
        ),
        (IcmpMessage(B, A, 1, 12, 0), "IP 10.0.0.2 > 10.0.0.1: ICMP type 12 code 0, length 8"),
        (
            NeighborMessage(A, B, 0x020000010002, True),
            "ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28",
        ),
        (
            NeighborMessage(B, A, 0x020000010002, False),
            "ARP, Reply 10.0.0.2 is-at 02:00:00:01:00:02, length 28",
        ),
        (Fragment(udp(), 8, 16, True), "IP 10.0.0.1 > 10.0.0.2: frag (proto 17, 16@8+)"),
    ],
)
def test_other_packets(packet, words):
    assert Describer()(packet) == words
