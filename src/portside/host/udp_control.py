"""Control messages of UDP sockets: what recvmsg(2) tells beside the data, and the error queue (ip(7), ipv6(7))."""

from __future__ import annotations

from struct import pack
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_ICMP, IPPROTO_IP, IPPROTO_IPV6
from portside.addr.ip import is_v4
from portside.facts.sockaddr import SockAddr
from portside.host.options import Knobs
from portside.host.socket_file import Ancillary
from portside.udp import truesize
from portside.wire.packet import IcmpMessage, UdpDatagram

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
IPV6_TCLASS: Final = 67

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
        return truesize(min(length + 28, 548), True) if v4 else truesize(min(length + 48, 1232), False)

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
    if family == AF_INET6 and not is_v4(packet.src):
        if asked.get((IPPROTO_IPV6, IPV6_RECVPKTINFO)):
            found.append((IPPROTO_IPV6, IPV6_PKTINFO, packet.dst.to_bytes(16, "big") + pack("=i", ifindex)))
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


def destination(family: int, packet: UdpDatagram) -> SockAddr:
    """Whither a datagram was sent, as a socket of the family shows it."""
    if family == AF_INET:
        return AF_INET, packet.dst, packet.dport
    return AF_INET6, packet.dst, packet.dport, 0, 0
