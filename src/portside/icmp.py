"""ICMP and ICMPv6: which error answers which failure, who hears it as which errno, and echo (RFC 792, 1122, 4443)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from portside.facts.settings import Settings
from portside.wire.packet import IcmpMessage, Packet

# ICMP types and codes, RFC 792 and RFC 1812 section 5.2.7.1.
ECHO_REPLY: Final = 0
DEST_UNREACH: Final = 3
ECHO_REQUEST: Final = 8
TIME_EXCEEDED: Final = 11
PARAMETER_PROBLEM: Final = 12
NET_UNREACH: Final = 0
HOST_UNREACH: Final = 1
PROT_UNREACH: Final = 2
PORT_UNREACH: Final = 3
FRAG_NEEDED: Final = 4
NET_ANO: Final = 9
HOST_ANO: Final = 10
PKT_FILTERED: Final = 13

# ICMPv6 types and codes, RFC 4443.
V6_DEST_UNREACH: Final = 1
V6_PACKET_TOO_BIG: Final = 2
V6_TIME_EXCEEDED: Final = 3
V6_PARAMETER_PROBLEM: Final = 4
V6_ECHO_REQUEST: Final = 128
V6_ECHO_REPLY: Final = 129
V6_NO_ROUTE: Final = 0
V6_ADMIN_PROHIBITED: Final = 1
V6_ADDR_UNREACH: Final = 3
V6_PORT_UNREACH: Final = 4


def errno_for(family: int, type: int, code: int) -> tuple[int, bool]:
    """What an ICMP error means to a socket: (errno, whether it is hard); errno 0 when sockets do not hear of it.

    A hard error ends a connecting TCP socket at once and is what an unadorned connected UDP socket hears; a soft one
    is kept for when the connection fails by itself, and UDP hears it with IP_RECVERR only.
    Args: family: AF_INET for ICMP, AF_INET6 for ICMPv6.
    Source: icmp_err_convert[] and __udp4_lib_err; icmpv6_err_convert().
    """
    raise NotImplementedError


class IcmpEffects(Protocol):
    """What ICMP asks of the host."""

    @property
    def now(self) -> int:
        """The virtual time, ns."""

    def send_from(self, message: IcmpMessage, oif: int) -> None:
        """Route a message and send it; `message.src` 0 means that the route chooses the source. `oif` 0: any interface."""

    def is_local(self, address: int) -> bool:
        """Whether the address is one of this host's."""

    def is_unicast(self, address: int) -> bool:
        """Whether the address is neither broadcast nor multicast to this host."""

    def hears(self, quoted: Packet, message: IcmpMessage, ifindex: int) -> None:
        """An ICMP error about a packet that this host sent: the sockets' part. See `errno_for`."""


class Icmp:
    """ICMP and ICMPv6 of one host."""

    def __init__(self, settings: Settings, effects: IcmpEffects) -> None:
        self.settings = settings
        self.effects = effects

    def error(self, about: Packet, ifindex: int, type: int, code: int, extra: int = 0) -> bool:
        """Answer a packet with an error; returns whether one was sent.

        Never about an ICMP error, a fragment other than the first, a broadcast or multicast, or to a source that is no
        single host (RFC 1122 section 3.2.2); not more often than icmp_ratelimit and icmp_msgs_per_sec allow.
        Args: ifindex: where the packet came in, 0 when this host sent it.
        """
        raise NotImplementedError

    def receive(self, message: IcmpMessage, ifindex: int) -> None:
        """An ICMP message for this host: answer an echo request, tell the sockets of an error, ignore the rest."""
        raise NotImplementedError


_ = Callable
