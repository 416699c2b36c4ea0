"""What the packet filter says of a new connection to a port: from which sources it passes, and by which rule not.

What must follow for a connection to come about is looked at as well: the answer, which leaves by where the packet came
in, and the acknowledgement of that. So is what comes before it over IPv6: whoever asks needs the link address of this
machine, and neighbour discovery is ICMPv6 like any other to the filter.

All sources are asked about at once: a set of source addresses and ports goes through the chains as nft(8) orders them,
and each rule takes out of it what it decides about. A rule that could not be read makes unknown what it may decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from portside.addr.abi import IPPROTO_ICMPV6
from portside.addr.ip import V4_PREFIX, is_multicast, is_v4
from portside.facts.rule import INGRESS, INPUT, OUTPUT, POSTROUTING, PREROUTING, Chain, FirewallRule, Match

OPEN: Final = "open"
DROPPED: Final = "dropped"
REJECTED: Final = "rejected"
DIVERTED: Final = "diverted"  # NAT sends it somewhere else
UNKNOWN: Final = "unknown"

NEW: Final = "new"  # the state of a connection by its first packet
SYN: Final = 0x02
ACK: Final = 0x10
SOLICITATION: Final = 135
ADVERTISEMENT: Final = 136
SOLICITED_NODE: Final = 0xFF02 << 112 | 0x1FF000000  # ff02::1:ff00:0/104, RFC 4291 section 2.7.1
NOT_OF_DISCOVERY: Final = frozenset({
    "sport", "dport", "tcp_flags", "uid", "gid", "direction", "ct_status", "original_saddr", "original_daddr",
    "original_sport", "original_dport",
})  # fmt: skip
"""What a rule may ask of a packet that neighbour discovery has nothing of."""
CONNTRACK: Final = -200  # NF_IP_PRI_CONNTRACK
DEEPEST: Final = 16  # jumps: NFT_JUMP_STACK_SIZE

Range = tuple[int, int]

CLIENT_PORTS: Final = (32768, 60999)
"""From where clients call, that leave the choice to their system."""

V4_SOURCES: Final = ((V4_PREFIX | 0x01000000, V4_PREFIX | 0x7EFFFFFF), (V4_PREFIX | 0x80000000, V4_PREFIX | 0xDFFFFFFF))
V6_SOURCES: Final = ((2, V4_PREFIX - 1), (V4_PREFIX + (1 << 32), (0xFF << 120) - 1))
"""Who can send from outside: no loopback, no multicast."""


@dataclass(frozen=True, slots=True)
class Box:
    """Sources that all rules so far have treated alike: addresses and ports, both ends included.

    `doubt` is a rule that may have stopped them before; in the chain at hand, `may_stop` is one that may stop them, and
    `may_pass` one that may accept them. `mark` is the packet's, `state` that of its connection.
    """

    addresses: Range
    ports: Range = CLIENT_PORTS
    mark: int = 0
    state: str = NEW
    doubt: FirewallRule | None = None
    may_stop: FirewallRule | None = None
    may_pass: FirewallRule | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The packet that opens a connection, but for its source: by which interface it comes or goes, and where to."""

    proto: int
    address: int
    port: int
    iif: str = ""
    oif: str = ""
    answer: bool = False  # the other way: from that address and port, to whoever asked
    flags: int = SYN
    any_address: bool = False  # whoever listens takes what is sent to any address of the host
    redirected: int = 0  # where NAT's redirect leads: the first address of `iif`, or loopback's
    tracked: bool = True  # connection tracking has seen it: chains of a priority below its own come before
    icmp: int | None = None  # the type, where it is neighbour discovery and no connection's


@dataclass(frozen=True, slots=True)
class Piece:
    """What happens to some of the sources: the verdict, and the rule that decided; None where a policy did."""

    box: Box
    verdict: str
    rule: FirewallRule | None = None
    chain: Chain | None = None

    @property
    def because(self) -> str:
        """The rule, or the policy, in the words of nft(8)."""
        if self.rule is not None:
            return self.rule.text or self.rule.verdict
        return f"policy {self.chain.policy} of chain {self.chain.name}" if self.chain is not None else ""


def sources(address: int) -> tuple[Range, ...]:
    """Who can send to that address from outside."""
    return V4_SOURCES if is_v4(address) else V6_SOURCES


def from_outside(chains: tuple[Chain, ...], asked: Asked, *, discovered: bool = False) -> list[Piece]:
    """What happens to connections that come in by `asked.iif`, of every source that there can be.

    Args: discovered: who is on that link has to ask for this machine's link address.
    """
    boxes = [Box(each) for each in sources(asked.address)]
    unheard: list[Piece] = []
    if discovered and not is_v4(asked.address):
        unheard, boxes = _discover(chains, asked, boxes)
    found = _judge(chains, asked, boxes, (INGRESS, PREROUTING, INPUT))
    answer = replace(asked, iif="", oif=asked.iif, answer=True, flags=SYN | ACK)
    found = _and_then(found, chains, answer, (OUTPUT, POSTROUTING))
    return unheard + _and_then(found, chains, replace(asked, flags=ACK), (INGRESS, PREROUTING, INPUT))


def _discover(chains: tuple[Chain, ...], asked: Asked, boxes: list[Box]) -> tuple[list[Piece], list[Box]]:
    """Who is not heard or not answered when they ask for the link address, and who is (RFC 4861 section 7.2).

    Connection tracking passes such packets by, and NAT does.
    """
    group = SOLICITED_NODE | asked.address & 0xFFFFFF
    question = replace(asked, proto=IPPROTO_ICMPV6, icmp=SOLICITATION, address=group)
    boxes = [replace(box, state="untracked") for box in boxes]
    found = _judge(tuple(each for each in chains if each.kind != "nat"), question, boxes, (INGRESS, PREROUTING, INPUT))
    answer = replace(question, iif="", oif=asked.iif, answer=True, icmp=ADVERTISEMENT, address=asked.address)
    found = _and_then(found, chains, answer, (OUTPUT, POSTROUTING), "untracked")
    stopped = [replace(piece, verdict=DROPPED) for piece in found if piece.verdict not in (OPEN, UNKNOWN)]
    passed = [piece.box for piece in found if piece.verdict in (OPEN, UNKNOWN)]
    return stopped, [replace(box, mark=0, state=NEW) for box in passed]


def from_here(chains: tuple[Chain, ...], asked: Asked, source: int) -> list[Piece]:
    """What happens to a connection of this machine to itself: it leaves by lo, and comes in by lo."""
    leaving, arriving = replace(asked, iif="", oif="lo"), replace(asked, iif="lo", oif="")
    found = _judge(chains, leaving, [Box((source, source))], (OUTPUT, POSTROUTING))
    found = _and_then(found, chains, arriving, (PREROUTING, INPUT), NEW)
    for answer, flags in ((True, SYN | ACK), (False, ACK)):
        found = _and_then(found, chains, replace(leaving, answer=answer, flags=flags), (OUTPUT, POSTROUTING))
        found = _and_then(found, chains, replace(arriving, answer=answer, flags=flags), (PREROUTING, INPUT))
    return found


def _and_then(
    pieces: list[Piece], chains: tuple[Chain, ...], asked: Asked, hooks: tuple[str, ...], state: str = "established"
) -> list[Piece]:
    """Send on what passed so far. NAT is asked once for a connection, by its first packet: its chains are left out."""
    stopped = [piece for piece in pieces if piece.verdict not in (OPEN, UNKNOWN)]
    boxes = [
        replace(piece.box, mark=0, state="invalid" if piece.box.state == "untracked" != state else state)
        for piece in pieces
        if piece.verdict in (OPEN, UNKNOWN)
    ]
    return stopped + _judge(tuple(each for each in chains if each.kind != "nat"), asked, boxes, hooks)


def _judge(chains: tuple[Chain, ...], asked: Asked, boxes: list[Box], hooks: tuple[str, ...]) -> list[Piece]:
    done: list[Piece] = []
    family = "ip" if is_v4(asked.address) else "ip6"
    named = {(each.family, each.table, each.name): each for each in chains}
    for hook in hooks:
        for base in sorted((each for each in chains if each.hook == hook), key=lambda each: each.priority):
            if base.family not in (family, "inet", "netdev") or (base.device and asked.iif not in base.device.split()):
                continue
            early = base.priority < CONNTRACK and hook in (INGRESS, PREROUTING, OUTPUT) and asked.iif != "lo"
            walk = _Walk(named, base, replace(asked, tracked=False) if early else asked)
            boxes = walk.through(boxes)
            done += walk.stopped
    return done + [Piece(box, UNKNOWN if box.doubt else OPEN, box.doubt) for box in boxes]


class _Walk:
    """One base chain and those that it jumps to."""

    def __init__(self, chains: dict[tuple[str, str, str], Chain], base: Chain, asked: Asked) -> None:
        self.chains = chains
        self.base = base
        self.asked = asked
        self.stopped: list[Piece] = []
        self.passed: list[Box] = []

    def through(self, boxes: list[Box]) -> list[Box]:
        """Those that go on to the next base chain."""
        for box in self._chain(self.base, boxes, 0):
            self._end(box, "accept" if self.base.policy == "accept" else "drop", None)
        return [replace(box, may_stop=None, may_pass=None) for box in self.passed]

    def _chain(self, chain: Chain, boxes: list[Box], depth: int) -> list[Box]:
        """Those that come to the chain's end, or return from it."""
        back: list[Box] = []
        for rule in chain.rules:
            if not boxes:
                break
            goes_on: list[Box] = []
            for box in boxes:
                met, unmet, certain = _split(rule, box, self.asked)
                goes_on += unmet
                for each in met:
                    if not certain or not rule.understood:
                        idle = _changes_nothing(rule, chain, self.chains, depth)
                        goes_on.append(each if idle else _doubted(each, rule))
                    else:
                        self._apply(rule, chain, each, depth, goes_on, back)
            boxes = goes_on
        return boxes + back

    def _apply(
        self, rule: FirewallRule, chain: Chain, box: Box, depth: int, goes_on: list[Box], back: list[Box]
    ) -> None:
        if rule.set_mark is not None:
            value, mask = rule.set_mark
            box = replace(box, mark=box.mark & ~mask | value)
        verdict = rule.verdict
        if verdict in ("jump", "goto"):
            target = self.chains.get((chain.family, chain.table, rule.target))
            returned = (
                [_doubted(box, rule)] if target is None or depth >= DEEPEST else self._chain(target, [box], depth + 1)
            )
            (goes_on if verdict == "jump" else back).extend(returned)
        elif verdict == "return":
            back.append(box)
        elif verdict == "continue":
            goes_on.append(box)
        elif verdict == "notrack":
            goes_on.append(replace(box, state="untracked"))
        elif verdict == "queue":
            goes_on.append(_doubted(box, rule))
        else:
            self._end(box, verdict, rule)

    def _end(self, box: Box, verdict: str, rule: FirewallRule | None) -> None:
        """The chain has decided: what it accepts goes on, unless something before may have stopped it."""
        if verdict in ("dnat", "redirect") and rule is not None and not _stays(rule, self.asked):
            unsure = box.may_stop or box.may_pass
            self.stopped.append(Piece(box, UNKNOWN if unsure else DIVERTED, unsure or rule, self.base))
        elif verdict in ("drop", "reject"):
            if box.may_pass:
                self.passed.append(replace(box, doubt=box.doubt or box.may_stop or box.may_pass))
            else:
                self.stopped.append(Piece(box, REJECTED if verdict == "reject" else DROPPED, rule, self.base))
        else:
            self.passed.append(replace(box, doubt=box.doubt or box.may_stop))


def _changes_nothing(rule: FirewallRule, chain: Chain, chains: dict[tuple[str, str, str], Chain], depth: int) -> bool:
    """Whether a packet goes on all the same, whether a rule holds or not: it counts, or leads to where others count."""
    if rule.set_mark is not None:
        return False
    if rule.verdict != "jump":
        return rule.verdict == "continue" and rule.understood
    target = chains.get((chain.family, chain.table, rule.target))
    return target is not None and depth < DEEPEST and all(
        each.verdict == "return" or _changes_nothing(each, target, chains, depth + 1) for each in target.rules
    )  # fmt: skip


def _stays(rule: FirewallRule, asked: Asked) -> bool:
    """Whether NAT leaves it where it was going."""
    same_port = rule.to_port is None or rule.to_port == (asked.port, asked.port)
    if rule.verdict == "redirect":
        return same_port and (asked.any_address or asked.redirected == asked.address)
    return same_port and rule.to_address in (None, (asked.address, asked.address))


def _doubted(box: Box, rule: FirewallRule) -> Box:
    """What a rule leaves open: it may stop these, or accept them, or neither."""
    accepts = rule.verdict not in ("drop", "reject")
    stops = rule.verdict != "accept"
    may_pass, may_stop = box.may_pass or (rule if accepts else None), box.may_stop or (rule if stops else None)
    return replace(box, may_pass=may_pass, may_stop=may_stop)


def _split(rule: FirewallRule, box: Box, asked: Asked) -> tuple[list[Box], list[Box], bool]:
    """Who of the sources meets all conditions of a rule, who does not, and whether that is certain."""
    met, unmet, certain = [box], [], True
    for match in rule.matches:
        still: list[Box] = []
        for each in met:
            answer = _plain(match, each, asked)
            if answer is False:
                unmet.append(each)
            elif answer is None:
                inside, outside = _by_source(match, each)
                still += inside
                unmet += outside
            else:
                certain = certain and answer is True
                still.append(each)
        met = still
    return met, unmet, certain


def _is_of_source(match: Match, asked: Asked) -> bool:
    """Whether a condition is about the address or the port of whoever asks."""
    if match.key.startswith("original_"):
        return match.key in ("original_saddr", "original_sport")
    return match.key in (("daddr", "dport") if asked.answer else ("saddr", "sport"))


def _plain(match: Match, box: Box, asked: Asked) -> bool | str | None:
    """Whether a condition holds: True, False, "maybe", or None when it depends on the source."""
    if match.key.startswith("original_") and not asked.tracked:
        return False
    if asked.icmp is not None and match.key in NOT_OF_DISCOVERY:
        return False
    if _is_of_source(match, asked):
        return None
    key = match.key.removeprefix("original_").removesuffix("_anywhere")
    if key in ("iif", "oif"):
        name = asked.iif if key == "iif" else asked.oif
        if not name:
            return False  # there is none: the rule is not met, nor is its contrary
        return any(_same_name(str(each), name) for each in match.values) is not match.negated
    if key.startswith("icmp") and asked.icmp is not None:
        number = asked.icmp if key == "icmp_type" else 0
        return any(first <= number <= last for first, last in _pairs(match)) is not match.negated
    if key.startswith("icmp") or (key in ("uid", "gid") and not asked.oif):
        return False
    numbers = {"proto": asked.proto, **dict.fromkeys(("saddr", "daddr"), asked.address)}
    numbers |= dict.fromkeys(("sport", "dport"), asked.port)
    if key in numbers:
        return any(first <= numbers[key] <= last for first, last in _pairs(match)) is not match.negated
    words = _words(box, asked)
    if key in ("direction", "ct_status") and not asked.tracked:
        return False
    if key == "ct_status" and not {"snat", "dnat"}.issuperset(map(str, match.values)):
        return "maybe"
    if key in words:
        return (words[key] in match.values) is not match.negated
    if key in ("mark", "tcp_flags"):
        number = box.mark if key == "mark" else asked.flags
        return any(number & mask == value for value, mask in _pairs(match)) is not match.negated
    return "maybe"


def _words(box: Box, asked: Asked) -> dict[str, str]:
    """What is true of the packet, by the keys of conditions that name things."""
    local = "lo" in (asked.iif, asked.oif)
    many = is_multicast(asked.address)
    types = ("local" if local or asked.answer else "unicast", "unicast" if asked.answer and not local else "local")
    return {
        "family": "ip" if is_v4(asked.address) else "ip6",
        "state": box.state if asked.tracked or box.state == "untracked" else "invalid",
        "direction": "" if not asked.tracked else "reply" if asked.answer else "original",
        "saddr_type": types[0],
        "daddr_type": "multicast" if many else types[1],
        "packet_type": "multicast" if many else "host",
        "reverse_path": "exists",  # who is asked about comes by where the answer leaves
        "ct_status": "",
    }


def _pairs(match: Match) -> Iterator[Range]:
    for each in match.values:
        assert isinstance(each, tuple)
        yield each


def _same_name(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _by_source(match: Match, box: Box) -> tuple[list[Box], list[Box]]:
    """The sources within the ranges of a condition, and the others."""
    addresses = match.key.endswith("addr")
    inside: list[Box] = []
    outside: list[Box] = []
    first, last = box.addresses if addresses else box.ports
    edges = {first, last + 1}
    for low, high in _pairs(match):
        edges |= {edge for edge in (low, high + 1) if first < edge <= last}
    for low, following in pairwise(sorted(edges)):
        part = (low, following - 1)
        piece = replace(box, addresses=part) if addresses else replace(box, ports=part)
        within = any(bottom <= low <= top for bottom, top in _pairs(match))
        (inside if within is not match.negated else outside).append(piece)
    return inside, outside
