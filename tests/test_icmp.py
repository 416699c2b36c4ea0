"""What ICMP errors mean to sockets, held against real ones; when errors are sent; echo."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "ip"))

import ip_kernel
from ip_world import Host, World

from portside.addr.abi import AF_INET, AF_INET6, MILLISECOND, SECOND
from portside.addr.ip import parse, text
from portside.facts.settings import Settings
from portside.icmp import RateLimits, errno_for, is_error, port_unreachable, protocol_unreachable
from portside.ip.fragment import split
from portside.wire.packet import IcmpMessage, TcpSegment, UdpDatagram

RECORDED = Path(__file__).parent / "ip" / "recorded" / "icmp.json"

ERRORS = {
    AF_INET: [*((3, code) for code in range(17)), (4, 0), (11, 0), (11, 1), (12, 0), (12, 1)],
    AF_INET6: [*((1, code) for code in range(9)), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2), (100, 0)],
}


def linux() -> list[list[object]]:
    """For each error: what a connected UDP socket hears, plain and with IP_RECVERR."""
    return ip_kernel.in_namespace(_linux)


def _linux() -> list[list[object]]:
    rows = []
    for family, errors in ERRORS.items():
        for type, code in errors:
            heard = [_heard(family, type, code, recverr) for recverr in (False, True)]
            rows.append([int(family), type, code, *heard])
    return rows


def _heard(family: int, type: int, code: int, recverr: bool) -> str:
    v4 = family == socket.AF_INET
    host = "127.0.0.1" if v4 else "::1"
    protocol = socket.IPPROTO_ICMP if v4 else socket.IPPROTO_ICMPV6
    with (
        socket.socket(family, socket.SOCK_DGRAM) as peer, socket.socket(family, socket.SOCK_DGRAM) as sock,
        socket.socket(family, socket.SOCK_RAW, protocol) as raw,
    ):  # fmt: skip
        peer.bind((host, 0))
        sock.connect(peer.getsockname())
        if recverr:
            sock.setsockopt(socket.IPPROTO_IP if v4 else socket.IPPROTO_IPV6, 11 if v4 else 25, 1)
        udp = struct.pack("!HHHH", sock.getsockname()[1], peer.getsockname()[1], 9, 0) + b"x"
        address = socket.inet_pton(family, host)
        if v4:
            quoted = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 29, 1, 0, 64, 17, 0, address, address) + udp
        else:
            quoted = struct.pack("!IHBB16s16s", 6 << 28, 9, 17, 64, address, address) + udp
        # The MTU stands in the last 16 bits for ICMP, in 32 for ICMPv6.
        head = struct.pack("!BBHI", type, code, 0, 1400 if (type, code) in ((3, 4), (2, 0)) else 0)
        message = head + quoted
        if v4:
            message = message[:2] + struct.pack("!H", _checksum(message)) + message[4:]
        raw.sendto(message, (host, 0))
        return errno.errorcode.get(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "")


def _checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def assert_same(rows: list[list[object]]) -> None:
    answers = []
    for family, type, code, *_ in rows:
        number, hard = errno_for(family, type, code)
        name = errno.errorcode.get(number, "")
        answers.append([family, type, code, name if hard else "", name])
    assert answers == rows


@pytest.mark.linux
@pytest.mark.skipif(not ip_kernel.available(), reason="needs root and network namespaces; the recording stands in")
def test_errnos_as_on_linux() -> None:
    rows = linux()
    if os.environ.get("PORTSIDE_RECORD"):
        RECORDED.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    assert_same(rows)


def test_errnos_as_recorded() -> None:
    assert_same(json.loads(RECORDED.read_text()))


@pytest.mark.parametrize(("src", "dst"), [("10.0.0.2", "10.0.0.1"), ("2001:db8::2", "2001:db8::1")])
def test_which_error_says_what(src: str, dst: str) -> None:
    packet = UdpDatagram(parse(src), parse(dst), 1, 2, b"")
    family = AF_INET if "." in src else AF_INET6
    assert errno_for(family, *port_unreachable(packet)) == (errno.ECONNREFUSED, True)
    number, hard = errno_for(family, *protocol_unreachable(packet))
    assert (number, hard) == (errno.ENOPROTOOPT if family == AF_INET else errno.EPROTO, True)


def host() -> Host:
    return Host(World(), "10.0.0.1/24 2001:db8::1/64")


A4, B4, A6, B6 = (parse(address) for address in ("10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"))


@pytest.mark.parametrize(
    "about",
    [
        IcmpMessage(B4, A4, 1, 3, 3, quoted=UdpDatagram(A4, B4, 1, 2, b"")),
        IcmpMessage(B6, A6, 58, 1, 4, quoted=UdpDatagram(A6, B6, 1, 2, b"")),
        split(UdpDatagram(B4, A4, 1, 2, bytes(3000)), 1500)[1],
        split(IcmpMessage(B4, A4, 1, 11, 0, quoted=UdpDatagram(A4, B4, 1, 2, bytes(3000))), 300)[0],
        UdpDatagram(B4, parse("10.0.0.255"), 1, 2, b""),
        UdpDatagram(B4, parse("255.255.255.255"), 1, 2, b""),
        UdpDatagram(B4, parse("224.0.0.1"), 1, 2, b""),
        UdpDatagram(B6, parse("ff02::1"), 1, 2, b""),
        UdpDatagram(parse("0.0.0.0"), A4, 1, 2, b""),
        UdpDatagram(0, A6, 1, 2, b""),
        UdpDatagram(parse("224.0.0.1"), A4, 1, 2, b""),
        UdpDatagram(parse("10.0.0.255"), A4, 1, 2, b""),
    ],
)
def test_what_is_never_answered_with_an_error(about) -> None:
    assert host().icmp.error(about, 2, *port_unreachable(about)) is False


@pytest.mark.parametrize(
    "about",
    [
        UdpDatagram(B4, A4, 1, 2, b""),
        UdpDatagram(B6, A6, 1, 2, b""),
        TcpSegment(B4, A4, 1, 2, 0, 0, 2, 0),
        IcmpMessage(B4, A4, 1, 8, 0),
        split(UdpDatagram(B4, A4, 1, 2, bytes(3000)), 1500)[0],
    ],
)
def test_what_may_be_answered_with_an_error(about) -> None:
    assert host().icmp.error(about, 2, *port_unreachable(about)) is True


def test_packet_too_big_is_sent_even_about_multicast() -> None:
    about = UdpDatagram(B6, parse("ff0e::1"), 1, 2, b"")
    assert host().icmp.error(about, 2, 2, 0, 1280) is True
    assert host().icmp.error(about, 2, 1, 4) is False


def test_errors_are_errors() -> None:
    assert [type for type in range(20) if is_error(IcmpMessage(A4, B4, 1, type, 0))] == [3, 4, 5, 11, 12]
    assert [type for type in range(120, 132) if is_error(IcmpMessage(A6, B6, 58, type, 0))] == list(range(120, 128))
    assert not is_error(UdpDatagram(A4, B4, 1, 2, b""))


@pytest.mark.parametrize("dst", ["127.0.0.1", "127.0.0.9", "10.0.0.1", "::1", "2001:db8::1"])
def test_echo_is_answered_from_the_address_asked(dst: str) -> None:
    asking = host()
    asking.ping(dst)
    reply = asking.received[-1][0]
    assert isinstance(reply, IcmpMessage)
    assert (reply.type, reply.data, reply.extra) == (0 if "." in dst else 129, b"hello", 7 << 16 | 1)
    assert text(reply.src) == dst


def test_echo_can_be_turned_off() -> None:
    asking = host()
    asking.settings.icmp_echo_ignore_all = 1
    asking.ping("127.0.0.1")
    assert len(asking.received) == 1
    asking.settings.icmp_echo_ignore_all = 0
    asking.ping("10.0.0.255")
    assert [packet.type for packet, _ in asking.received] == [8, 8]
    asking.settings.icmp_echo_ignore_broadcasts = 0
    asking.ping("10.0.0.255")
    assert asking.received[-1][0].type == 0


def test_six_errors_at_once_then_one_a_second() -> None:
    limits = RateLimits(Settings())
    assert sum(limits.allow(B4, 3, 3, 0) for _ in range(200)) == 6
    assert sum(limits.allow(B4, 3, 3, 50 * MILLISECOND * step) for step in range(1, 101)) == 5
    limits = RateLimits(Settings())
    assert sum(limits.allow(B6, 1, 4, 0) for _ in range(200)) == 6
    assert sum(limits.allow(B6, 1, 4, 50 * MILLISECOND * step) for step in range(1, 101)) == 50


def test_fifty_errors_at_once_to_all() -> None:
    limits = RateLimits(Settings())
    assert sum(limits.allow(B4 + number, 3, 3, 0) for number in range(1000)) == 50
    assert sum(limits.allow(B4 + number, 3, 3, 10 * MILLISECOND) for number in range(1000, 2000)) == 10


def test_what_is_not_limited() -> None:
    limits = RateLimits(Settings())
    for _ in range(1000):
        assert limits.allow(B4, 3, 4, 0)  # fragmentation needed
        assert limits.allow(B6, 2, 0, 0)  # packet too big
        assert limits.allow(B4, 0, 0, 0)  # echo reply
    unlimited = RateLimits(Settings(icmp_ratelimit=0, icmp_msgs_burst=1000000))
    assert all(unlimited.allow(B4, 3, 3, SECOND) for _ in range(1000))


def test_memory_of_destinations_is_bounded() -> None:
    limits = RateLimits(Settings(icmp_msgs_burst=1000000))
    for number in range(10000):
        limits.allow(B4 + number, 3, 3, 0)
    assert len(limits.tokens) == 4096
