"""ICMP and ICMPv6: which error means what to a socket, when an error may be sent, and echo (RFC 792, 1122,
4443).
"""

from __future__ import annotations

import errno
from typing import Final, Protocol

from portside.addr.abi import AF_INET, IPPROTO_ICMP, IPPROTO_ICMPV6, MILLISECOND, SECOND
from portside.addr.ip import is_any, is_link_local, is_multicast, is_v4, needs_scope
from portside.facts.settings import Settings
from portside.wire.packet import Fragment, IcmpMessage, Packet

# ICMP types and codes, RFC 792 and RFC 1812 section 5.2.7.1.
ECHO_REPLY: Final = 0
DEST_UNREACH: Final = 3
SOURCE_QUENCH: Final = 4
REDIRECT: Final = 5
ECHO_REQUEST: Final = 8
TIME_EXCEEDED: Final = 11
PARAMETER_PROBLEM: Final = 12

NET_UNREACH: Final = 0
HOST_UNREACH: Final = 1
PROT_UNREACH: Final = 2
PORT_UNREACH: Final = 3
FRAG_NEEDED: Final = 4
PKT_FILTERED: Final = 13

TTL_EXCEEDED: Final = 0
REASSEMBLY_EXCEEDED: Final = 1

# ICMPv6 types and codes, RFC 4443.
V6_DEST_UNREACH: Final = 1
V6_PACKET_TOO_BIG: Final = 2
V6_TIME_EXCEEDED: Final = 3
V6_PARAMETER_PROBLEM: Final = 4
V6_ECHO_REQUEST: Final = 128
V6_ECHO_REPLY: Final = 129

V6_NO_ROUTE: Final = 0
V6_ADMIN_PROHIBITED: Final = 1
V6_NOT_NEIGHBOUR: Final = 2
V6_ADDR_UNREACH: Final = 3
V6_PORT_UNREACH: Final = 4
V6_UNKNOWN_NEXT_HEADER: Final = 1  # code of a parameter problem

UNREACH_V4: Final = (
    (errno.ENETUNREACH, False),  # 0 net unreachable
    (errno.EHOSTUNREACH, False),  # 1 host unreachable
    (errno.ENOPROTOOPT, True),  # 2 protocol unreachable
    (errno.ECONNREFUSED, True),  # 3 port unreachable
    (errno.EMSGSIZE, True),  # 4 fragmentation needed: hard by __udp4_lib_err, with path MTU discovery
    (errno.EOPNOTSUPP, False),  # 5 source route failed
    (errno.ENETUNREACH, True),  # 6 net unknown
    (errno.EHOSTDOWN, True),  # 7 host unknown
    (errno.ENONET, True),  # 8 host isolated
    (errno.ENETUNREACH, True),  # 9 net administratively prohibited
    (errno.EHOSTUNREACH, True),  # 10 host administratively prohibited
    (errno.ENETUNREACH, False),  # 11 net unreachable for this type of service
    (errno.EHOSTUNREACH, False),  # 12 host unreachable for this type of service
    (errno.EHOSTUNREACH, True),  # 13 communication administratively prohibited
    (errno.EHOSTUNREACH, True),  # 14 host precedence violation
    (errno.EHOSTUNREACH, True),  # 15 precedence cutoff
)
"""icmp_err_convert[] of net/ipv4/icmp.c: by code, the errno and whether it is fatal."""

UNREACH_V6: Final = (
    (errno.ENETUNREACH, False),  # 0 no route
    (errno.EACCES, True),  # 1 administratively prohibited
    (errno.EHOSTUNREACH, False),  # 2 beyond the scope of the source
    (errno.EHOSTUNREACH, False),  # 3 address unreachable
    (errno.ECONNREFUSED, True),  # 4 port unreachable
    (errno.EACCES, True),  # 5 source address failed policy
    (errno.EACCES, True),  # 6 reject route
)
"""tab_unreach[] of net/ipv6/icmp.c."""

SILENCE: Final = (0, False)


def errno_for(family: int, type: int, code: int) -> tuple[int, bool]:
    """What an ICMP error means to a socket: (errno, whether it is hard); errno 0 when sockets do not hear of
    it.

    A connected UDP socket hears a hard error on its next call, a soft one only with IP_RECVERR. TCP does not
    look at hardness: a connection in SYN-SENT ends with either, a synchronized one keeps the errno for when
    it fails by itself; and to TCP, "fragmentation needed" and "packet too big" are no errors but path MTU
    discovery.
    Args: family: AF_INET for ICMP, AF_INET6 for ICMPv6.
    Source: icmp_unreach, __udp4_lib_err, tcp_v4_err; icmpv6_err_convert, __udp6_lib_err, tcp_v6_err.
    """
    if family == AF_INET:
        return _errno_v4(type, code)
    return _errno_v6(type, code)


def _errno_v4(type: int, code: int) -> tuple[int, bool]:
    if type == DEST_UNREACH:
        return UNREACH_V4[code] if code < len(UNREACH_V4) else SILENCE
    if type == TIME_EXCEEDED:  # not of reassembly: icmp_unreach keeps that to itself
        return (errno.EHOSTUNREACH, False) if code != REASSEMBLY_EXCEEDED else SILENCE
    if type == PARAMETER_PROBLEM:
        return errno.EPROTO, True
    return SILENCE


def _errno_v6(type: int, code: int) -> tuple[int, bool]:
    if type == V6_DEST_UNREACH:
        return UNREACH_V6[code] if code < len(UNREACH_V6) else (errno.EPROTO, True)
    if type == V6_PACKET_TOO_BIG:
        return errno.EMSGSIZE, True
    if type == V6_TIME_EXCEEDED:
        return errno.EHOSTUNREACH, False
    if type == V6_PARAMETER_PROBLEM:
        return errno.EPROTO, True
    return (errno.EPROTO, False) if type < 128 else SILENCE


def is_error(message: Packet) -> bool:
    """Whether a packet is an ICMP or ICMPv6 error, about which no error may be sent (RFC 1122 section 3.2.2).
    """
    if isinstance(message, Fragment):
        message = message.whole
    if not isinstance(message, IcmpMessage):
        return False
    if message.proto == IPPROTO_ICMPV6:
        return message.type < 128
    return message.type in (DEST_UNREACH, SOURCE_QUENCH, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM)


def port_unreachable(about: Packet) -> tuple[int, int]:
    """Type and code of "port unreachable" for a packet's family: nobody has a socket there."""
    return (DEST_UNREACH, PORT_UNREACH) if is_v4(about.src) else (V6_DEST_UNREACH, V6_PORT_UNREACH)


def protocol_unreachable(about: Packet) -> tuple[int, int]:
    """Type and code for a protocol that this host does not have (RFC 1122 section 3.2.2.1, RFC 8200 section
    4).
    """
    return (DEST_UNREACH, PROT_UNREACH) if is_v4(about.src) else (V6_PARAMETER_PROBLEM, V6_UNKNOWN_NEXT_HEADER)


class IcmpEffects(Protocol):
    """What ICMP asks of the host."""

    @property
    def now(self) -> int:
        """The virtual time, ns."""

    def send_from(self, message: IcmpMessage, oif: int) -> None:
        """Route a message and send it. `message.src` 0: the route chooses the source; `oif` 0: any interface.
        """

    def is_local(self, address: int, device: int = 0) -> bool:
        """Whether the address is one of this host's, and of that interface if `device` is not 0."""

    def is_unicast(self, address: int) -> bool:
        """Whether the address is neither broadcast nor multicast to this host."""

    def hears(self, quoted: Packet, message: IcmpMessage, ifindex: int) -> None:
        """An ICMP error about a packet that this host sent: what its protocols do with it is theirs.

        "Fragmentation needed" and "packet too big" (`message.extra` is the MTU) come this way too: the host
        tells `RouteTable.learn_mtu` and the sockets.
        """


class Icmp:
    """ICMP and ICMPv6 of one host: it answers echo requests, and says what became of packets."""

    def __init__(self, settings: Settings, effects: IcmpEffects) -> None:
        self.settings = settings
        self.effects = effects
        self.limits = RateLimits(settings)

    def error(self, about: Packet, ifindex: int, type: int, code: int, extra: int = 0) -> bool:
        """Answer a packet with an error; returns whether one was sent.

        Never about an ICMP error, a fragment other than the first (IPv4), a broadcast or multicast, or to a
        source that is no single host (RFC 1122 section 3.2.2, RFC 4443 section 2.4); not more often than the
        rate limits allow, but loopback has none. The source of the error is the address that the packet was
        for, if it is this host's; otherwise the route's choice.
        Args: ifindex: the interface that the packet came in by, 0 when a socket of this host sent it; extra:
        the MTU.
        Source: __icmp_send, icmp6_send.
        """
        v4 = is_v4(about.src)
        effects = self.effects
        if is_error(about) or is_any(about.src) or not effects.is_unicast(about.src):
            return False
        if v4 and isinstance(about, Fragment) and about.offset:
            return False
        # A link-local address is another on each link (ipv6_chk_addr): what this host sent to one was not for itself.
        if needs_scope(about.dst):
            local = ifindex != 0 and effects.is_local(about.dst, ifindex)
        else:
            local = effects.is_local(about.dst)
        too_big_v6 = not v4 and type == V6_PACKET_TOO_BIG
        if not local and not too_big_v6 and not effects.is_unicast(about.dst):
            return False
        if not effects.is_local(about.src) and not self.limits.allow(about.src, type, code, effects.now):
            return False
        proto = IPPROTO_ICMP if v4 else IPPROTO_ICMPV6
        quoted = about.whole if isinstance(about, Fragment) else about
        message = IcmpMessage(
            about.dst if local else 0, about.src, proto, type, code, extra=extra, quoted=quoted
        )
        message.tos = (about.tos & 0x1E) | 0xC0 if v4 else 0  # IPTOS_PREC_INTERNETCONTROL
        self._send(message, ifindex)
        return True

    def receive(self, message: IcmpMessage, ifindex: int) -> None:
        """An ICMP message for this host: answer an echo request, tell of an error, ignore the rest
        (icmp_rcv).
        """
        if message.quoted is not None:
            family_errno, _ = errno_for(AF_INET if message.proto == IPPROTO_ICMP else 0, message.type, message.code)
            if family_errno:
                self.effects.hears(message.quoted, message, ifindex)
        elif message.type == (ECHO_REQUEST if message.proto == IPPROTO_ICMP else V6_ECHO_REQUEST):
            self._echo(message, ifindex)

    def _echo(self, request: IcmpMessage, ifindex: int) -> None:
        """Answer an echo request with what it carries (icmp_echo, icmpv6_echo_reply)."""
        v4 = request.proto == IPPROTO_ICMP
        settings = self.settings
        unicast = self.effects.is_local(request.dst)
        if v4 and (settings.icmp_echo_ignore_all or (not unicast and settings.icmp_echo_ignore_broadcasts)):
            return
        reply = IcmpMessage(
            request.dst if unicast else 0, request.src, request.proto, ECHO_REPLY if v4 else V6_ECHO_REPLY, 0,
            extra=request.extra, data=request.data,
        )  # fmt: skip
        reply.tos = request.tos if v4 else 0
        self._send(reply, ifindex)

    def _send(self, message: IcmpMessage, ifindex: int) -> None:
        message.ttl = self.settings.ip_default_ttl if message.proto == IPPROTO_ICMP else self.settings.ip6_hop_limit
        scoped = not is_v4(message.dst) and (is_link_local(message.dst) or is_multicast(message.dst))
        self.effects.send_from(message, ifindex if scoped else 0)


BURST: Final = 6  # XRLIM_BURST_FACTOR: errors at once to one destination
V6_RATEMASK: Final = frozenset(range(128)) - {V6_PACKET_TOO_BIG}  # net.ipv6.icmp.ratemask
DESTINATIONS: Final = 4096  # how many destinations are remembered at most


class RateLimits:
    """How often errors are sent: a bucket for each destination, and one for the host (icmp(7),
    ip-sysctl.rst).

    `icmp_ratelimit` is the least time between two errors to one destination, ms, of which six may come at
    once; `icmp_msgs_per_sec` and `icmp_msgs_burst` bound them altogether. Too big is never limited.
    Source: icmpv4_xrlim_allow, inet_peer_xrlim_allow, icmp_global_allow. The kernel blurs the second bound by
    chance.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tokens: dict[int, tuple[int, int]] = {}  # destination -> ns saved up, when
        self.saved = settings.icmp_msgs_burst * SECOND  # errors times ns
        self.when = 0

    def allow(self, dst: int, type: int, code: int, now: int) -> bool:
        """Whether an error may be sent to a destination now; if so, it is counted."""
        settings = self.settings
        if is_v4(dst):
            limited = settings.icmp_ratemask >> type & 1 and (type, code) != (DEST_UNREACH, FRAG_NEEDED)
        else:
            limited = type in V6_RATEMASK
        if not limited:
            return True
        return self._global_allows(now) and self._destination_allows(dst, now)

    def _global_allows(self, now: int) -> bool:
        settings = self.settings
        saved = self.saved + (now - self.when) * settings.icmp_msgs_per_sec
        self.saved = min(saved, settings.icmp_msgs_burst * SECOND)
        self.when = now
        if self.saved < SECOND:
            return False
        self.saved -= SECOND
        return True

    def _destination_allows(self, dst: int, now: int) -> bool:
        settings = self.settings
        interval = (settings.icmp_ratelimit if is_v4(dst) else settings.icmp6_ratelimit) * MILLISECOND
        if not interval:
            return True
        saved, when = self.tokens.get(dst, (BURST * interval, now))
        saved = min(saved + now - when, BURST * interval)
        allowed = saved >= interval
        if len(self.tokens) >= DESTINATIONS and dst not in self.tokens:
            del self.tokens[next(iter(self.tokens))]
        self.tokens[dst] = (saved - interval if allowed else saved, now)
        return allowed
