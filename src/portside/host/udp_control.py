"""Control messages of UDP sockets: what sendmsg(2) and recvmsg(2) have beside the data, and the error queue (ip(7),
ipv6(7))."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from struct import pack, unpack
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_ICMP, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP
from portside.addr.ip import V4_ANY, is_v4
from portside.facts.sockaddr import SockAddr
from portside.host.errors import fail
from portside.host.options import SOL_SOCKET, Knobs
from portside.host.socket_control import check
from portside.host.socket_file import Ancillary
from portside.wire.packet import QUOTE_V4, QUOTE_V6, IcmpMessage, UdpDatagram
from portside.wire.skbuff import cost

IP_TOS: Final = 1
IP_TTL: Final = 2
IP_PKTINFO: Final = 8
IP_RECVERR: Final = 11
IP_RECVTTL: Final = 12
IP_RECVTOS: Final = 13
IP_ORIGDSTADDR: Final = 20
IPV6_RECVERR: Final = 25
IPV6_RECVPKTINFO: Final = 49
IPV6_PKTINFO: Final = 50
IPV6_RECVHOPLIMIT: Final = 51
IPV6_HOPLIMIT: Final = 52
IPV6_RECVTCLASS: Final = 66
IPV6_DONTFRAG: Final = 62
IPV6_TCLASS: Final = 67
UDP_SEGMENT: Final = 103

SO_EE_ORIGIN_ICMP: Final = 2
SO_EE_ORIGIN_ICMP6: Final = 3


class QueuedError:
    """An ICMP error that waits to be read with MSG_ERRQUEUE: struct sock_extended_err and the datagram it is about."""

    __slots__ = ("datagram", "message", "number")

    def __init__(self, number: int, message: IcmpMessage, datagram: UdpDatagram) -> None:
        self.number = number
        self.message = message
        self.datagram = datagram

    def memory(self) -> int:
        """Bytes of receive buffer that the ICMP message takes, which quotes the datagram as far as fits."""
        v4 = self.message.proto == IPPROTO_ICMP
        length = len(self.datagram.data)
        quoted, most = (length + 28, QUOTE_V4) if v4 else (length + 48, QUOTE_V6)
        return cost(min(quoted, most) + 8, v4)  # the ICMP header, too

    def control(self, family: int) -> Ancillary:
        """The control message: the error, and who reported it (ip_recv_error, ipv6_recv_error)."""
        message = self.message
        v4 = message.proto == IPPROTO_ICMP
        origin = SO_EE_ORIGIN_ICMP if v4 else SO_EE_ORIGIN_ICMP6
        head = pack("=IBBBBII", self.number, origin, message.type, message.code, 0, message.extra, 0)
        if family == AF_INET:
            return IPPROTO_IP, IP_RECVERR, head + _sockaddr_in(message.src, 0)
        return IPPROTO_IPV6, IPV6_RECVERR, head + _sockaddr_in6(message.src, 0)


def _sockaddr_in(address: int, port: int) -> bytes:
    return pack("=H", AF_INET) + port.to_bytes(2, "big") + (address & 0xFFFFFFFF).to_bytes(4, "big") + bytes(8)


def _sockaddr_in6(address: int, port: int) -> bytes:
    return pack("=H", AF_INET6) + port.to_bytes(2, "big") + bytes(4) + address.to_bytes(16, "big") + bytes(4)


def describe(family: int, knobs: Knobs, packet: UdpDatagram, ifindex: int) -> list[Ancillary]:
    """The control messages that the socket asked for about a datagram (ip_cmsg_recv, ip6_datagram_recv_ctl)."""
    asked = knobs.other
    if not asked:
        return []
    found: list[Ancillary] = []
    # Of a datagram over IPv4 an IPv6 socket is told this too (ip6_datagram_recv_common_ctl).
    if family == AF_INET6 and asked.get((IPPROTO_IPV6, IPV6_RECVPKTINFO)):
        found.append((IPPROTO_IPV6, IPV6_PKTINFO, packet.dst.to_bytes(16, "big") + pack("=i", ifindex)))
    if family == AF_INET6 and not is_v4(packet.src):
        if asked.get((IPPROTO_IPV6, IPV6_RECVHOPLIMIT)):
            found.append((IPPROTO_IPV6, IPV6_HOPLIMIT, pack("=i", packet.ttl)))
        if asked.get((IPPROTO_IPV6, IPV6_RECVTCLASS)):
            found.append((IPPROTO_IPV6, IPV6_TCLASS, pack("=i", packet.tos)))
        return found
    address = (packet.dst & 0xFFFFFFFF).to_bytes(4, "big")
    if asked.get((IPPROTO_IP, IP_PKTINFO)):
        found.append((IPPROTO_IP, IP_PKTINFO, pack("=i", ifindex) + address + address))
    if asked.get((IPPROTO_IP, IP_RECVTTL)):
        found.append((IPPROTO_IP, IP_TTL, pack("=i", packet.ttl)))
    if asked.get((IPPROTO_IP, IP_RECVTOS)):
        found.append((IPPROTO_IP, IP_TOS, bytes([packet.tos])))
    if asked.get((IPPROTO_IP, IP_ORIGDSTADDR)):
        found.append((IPPROTO_IP, IP_ORIGDSTADDR, _sockaddr_in(packet.dst, packet.dport)))
    return found


class Chosen:
    """What control messages choose for the one datagram they go with, in place of what the socket's options say.

    `source` is 0 and `interface` 0, `ttl`, `tos` and `segment` are -1 where they leave it at that.
    """

    __slots__ = ("dont_fragment", "interface", "segment", "source", "tos", "ttl")

    def __init__(self) -> None:
        self.source = 0
        self.interface = 0
        self.ttl = -1
        self.tos = -1
        self.segment = -1
        self.dont_fragment = False


def chosen(family: int, control: Sequence[Ancillary], v4: bool) -> Chosen:
    """Read the control messages of a datagram that leaves over IPv4 or not (ip_cmsg_send, ip6_datagram_send_ctl).

    Those of another protocol are passed over. EINVAL: an unknown one of this, a wrong length, a value out of range.
    """
    found = Chosen()
    for level, kind, content in control:
        if level == SOL_SOCKET:
            check(kind, content)
        elif level == IPPROTO_UDP:
            if kind != UDP_SEGMENT or len(content) != 2:
                raise fail(errno.EINVAL)
            found.segment = int.from_bytes(content, "little")
        elif level == IPPROTO_IPV6 and (not v4 or (family == AF_INET6 and kind == IPV6_PKTINFO)):
            _choose_v6(found, kind, content, v4)
        elif level == IPPROTO_IP and v4:
            _choose_v4(found, kind, content)
    return found


def _choose_v4(found: Chosen, kind: int, content: bytes) -> None:
    if kind == IP_PKTINFO and len(content) == 12:
        index, source = unpack("=i4s4x", content)
        _choose_source(found, index, int.from_bytes(source, "big") | V4_ANY)
    elif kind == IP_TTL:
        found.ttl = _number(content, 1)
    elif kind == IP_TOS:
        found.tos = content[0] if len(content) == 1 else _number(content, 0)
    else:
        raise fail(errno.EINVAL)


def _choose_v6(found: Chosen, kind: int, content: bytes, v4: bool) -> None:
    if kind == IPV6_PKTINFO and len(content) >= 20:
        source = int.from_bytes(content[:16], "big")
        if v4 != is_v4(source) and (v4 or source):
            raise fail(errno.EINVAL)
        _choose_source(found, int.from_bytes(content[16:20], "little", signed=True), source)
    elif kind == IPV6_HOPLIMIT:
        found.ttl = _number(content, -1)
    elif kind == IPV6_TCLASS:
        found.tos = _number(content, -1) & 0xFF  # -1, the default according to RFC 3542, is 255 to Linux 6
    elif kind == IPV6_DONTFRAG and len(content) == 4 and unpack("=i", content)[0] in (0, 1):
        found.dont_fragment = bool(content[0])
    else:
        raise fail(errno.EINVAL)


def _choose_source(found: Chosen, index: int, source: int) -> None:
    if index:
        found.interface = index
    found.source = 0 if source == V4_ANY else source


def _number(content: bytes, low: int) -> int:
    """An int from `low` to 255."""
    if len(content) != 4:
        raise fail(errno.EINVAL)
    number: int = unpack("=i", content)[0]
    if not low <= number <= 255:
        raise fail(errno.EINVAL)
    return number


def destination(family: int, packet: UdpDatagram) -> SockAddr:
    """Whither a datagram was sent, as a socket of the family shows it."""
    if family == AF_INET:
        return AF_INET, packet.dst, packet.dport
    return AF_INET6, packet.dst, packet.dport, 0, 0
