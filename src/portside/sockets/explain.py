"""Which socket gets a packet, and why the others on the port do not: `lookup` for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from portside.addr.abi import AF_INET, IPPROTO_TCP
from portside.addr.ip import V4_ANY, V6_ANY
from portside.facts.state import ESTABLISHED, LISTEN
from portside.facts.verdict import Rule
from portside.sockets import lookup
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable

FOUR_TUPLE: Final = Rule("connection", "{0} has exactly these addresses and ports", "__inet_lookup_established()")
EXACT: Final = Rule("exact-address", "{0} is bound to the very address", "__inet_lookup_listener(), udp4_lib_lookup2()")
WILDCARD: Final = Rule(
    "wildcard",
    "{0} is bound to a wildcard, and nobody to the very address",
    "__inet_lookup_listener(), udp4_lib_lookup2()",
)
GROUP: Final = Rule(
    "reuseport-group",
    "a hash of addresses and ports picks {0} from its SO_REUSEPORT group",
    "socket(7) SO_REUSEPORT; reuseport_select_sock()",
)
NOBODY: Final = Rule("nobody", "no socket takes what is sent there", "tcp(7), udp(7)")

NOT_LISTENING: Final = Rule("not-listening", "{0} has the port but does not listen", "listen(2)")
OTHER_ADDRESS: Final = Rule("other-address", "{0} is bound to another address", "ip(7)")
OTHER_DEVICE: Final = Rule("other-device", "{0} is bound to another interface", "socket(7) SO_BINDTODEVICE")
OTHER_PEER: Final = Rule("other-peer", "{0} is connected to another peer", "connect(2)")
V6ONLY: Final = Rule("v6only", "{0} takes no IPv4: IPV6_V6ONLY is set", "ipv6(7) IPV6_V6ONLY")
V4_SOCKET: Final = Rule("v4-socket", "{0} takes only IPv4", "ip(7)")
LESS_SPECIFIC: Final = Rule(
    "less-specific",
    "{0} would take it too, but ranks lower: a wildcard, no device, AF_INET6 for an IPv4 packet, or older",
    "compute_score()",
)
OTHER_MEMBER: Final = Rule(
    "other-member", "{0} is in the same SO_REUSEPORT group; the hash picked another", "reuseport_select_sock()"
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The socket that gets the packet (or None), by which rule, and why no other kind of holder of the port does."""

    winner: Entry | None
    rule: Rule
    losers: tuple[tuple[Entry, Rule], ...]

    @property
    def sentence(self) -> str:
        """The rule in words."""
        return self.rule.sentence.format(self.winner)


def explain(table: SocketTable, src: int, sport: int, dst: int, dport: int, ifindex: int) -> Explanation:
    """As `lookup.tcp` or `lookup.udp`, with the rule, and one loser of each kind with the reason."""
    find = lookup.tcp if table.proto == IPPROTO_TCP else lookup.udp
    winner = find(table, src, sport, dst, dport, ifindex)
    losers = []
    port_bucket = table.ports.get(dport)
    if port_bucket is not None:
        for home in port_bucket.addresses.values():
            for kind in home.kinds.values():
                loser = kind.newest
                if loser is winner and loser is not None:
                    loser = loser.older
                if loser is not None:
                    losers.append((loser, _why_not(loser, winner, src, sport, dst, ifindex)))
    return Explanation(winner, _why(winner, dst), tuple(losers))


def _why(winner: Entry | None, dst: int) -> Rule:
    if winner is None:
        return NOBODY
    if winner.rport:
        return FOUR_TUPLE
    if winner.reuseport and winner.group is not None and len(winner.group.members) > 1:
        return GROUP
    return EXACT if winner.laddr == dst else WILDCARD


def _why_not(loser: Entry, winner: Entry | None, src: int, sport: int, dst: int, ifindex: int) -> Rule:
    v4 = dst >> 32 == 0xFFFF
    rule = LESS_SPECIFIC
    if loser.device and loser.device != ifindex:
        rule = OTHER_DEVICE
    elif loser.rport and (loser.raddr, loser.rport) != (src, sport):
        rule = OTHER_PEER
    elif v4 and loser.laddr == V6_ANY and loser.v6only:
        rule = V6ONLY
    elif not v4 and (loser.family == AF_INET or loser.laddr >> 32 == 0xFFFF):
        rule = V4_SOCKET
    elif loser.laddr not in (dst, V4_ANY, V6_ANY):
        rule = OTHER_ADDRESS
    elif loser.proto == IPPROTO_TCP and loser.state != LISTEN and not loser.rport:
        rule = NOT_LISTENING
    elif loser.state == ESTABLISHED:
        rule = OTHER_PEER
    elif winner is not None and loser.group is not None and loser.group is winner.group:
        rule = OTHER_MEMBER
    return rule
