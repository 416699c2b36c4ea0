"""The matches of iptables-extensions(8), out of the structures that the kernel keeps of them.

Source: <linux/netfilter/xt_*.h>, <linux/netfilter_ipv4/ipt_*.h>, and the function `match` of each net/netfilter/xt_*.c.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from portside.addr.abi import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP
from portside.addr.ip import V4_PREFIX
from portside.facts.route import KIND_NAMES
from portside.facts.rule import Match
from portside.live.nft_extensions import Extension
from portside.live.nft_match import Matches
from portside.live.nft_values import NotUnderstoodError

ALL_PORTS: Final = (0, 0xFFFF)
PORT_PAIRS: Final = struct.Struct("=4H")
NO_CONNECTION: Final = ("invalid", "untracked")
"""The states of packets that belong to no connection."""


def condition(extension: Extension) -> list[Matches]:
    """The conditions of a match: alternatives, of each of which all must hold, and of which one at most does.

    Raises NotUnderstoodError.
    """
    read = READERS.get((extension.name, extension.revision))
    if read is None or extension.family not in ("ip", "ip6"):
        raise NotUnderstoodError(f"{extension.name} revision {extension.revision}")
    try:
        return read(extension.info, extension.family == "ip")
    except struct.error as error:
        raise NotUnderstoodError(f"{extension.name}: {error}") from error


def _one(*matches: Match) -> list[Matches]:
    return [matches]


def _proto(number: int) -> Match:
    return Match(key="proto", values=((number, number),))


def address_at(info: bytes, at: int, v4: bool) -> int:
    """A `union nf_inet_addr` within a structure."""
    if v4:
        return V4_PREFIX | int.from_bytes(info[at : at + 4], "big")
    return int.from_bytes(info[at : at + 16], "big")


def _prefix_at(info: bytes, at: int, v4: bool) -> tuple[int, int]:
    """The first and the last address of an address and the mask behind it."""
    bits = 32 if v4 else 128
    everything = (1 << bits) - 1
    address, mask = (address_at(info, where, v4) & everything for where in (at, at + 16))
    hosts = mask ^ everything
    if hosts & (hosts + 1):
        raise NotUnderstoodError("a mask with holes")
    base = V4_PREFIX if v4 else 0
    return base | (address & mask), base | (address & mask) | hosts


# -- headers --


def _tcp(info: bytes, v4: bool) -> list[Matches]:
    """struct xt_tcp."""
    option, mask, flags, inverted = struct.unpack_from("=4B", info, PORT_PAIRS.size)
    if option:
        raise NotUnderstoodError("an option of TCP")
    matches = [_proto(IPPROTO_TCP), *_ports(info, inverted)]
    if mask:
        matches.append(Match(key="tcp_flags", values=((flags, mask),), negated=bool(inverted & 4)))
    return _one(*matches)


def _udp(info: bytes, v4: bool) -> list[Matches]:
    """struct xt_udp."""
    return _one(_proto(IPPROTO_UDP), *_ports(info, info[PORT_PAIRS.size]))


def _ports(info: bytes, inverted: int) -> list[Match]:
    """The ranges of source and destination ports that both begin with; bits 1 and 2 turn them around."""
    numbers = PORT_PAIRS.unpack_from(info)
    found = []
    for key, pair, bit in (("sport", numbers[:2], 1), ("dport", numbers[2:], 2)):
        if pair != ALL_PORTS or inverted & bit:
            found.append(Match(key=key, values=((pair[0], pair[1]),), negated=bool(inverted & bit)))
    return found


def _icmp(info: bytes, v4: bool) -> list[Matches]:
    """struct ipt_icmp, struct ip6t_icmp: a type, a range of codes, and whether to turn it around."""
    kind, first, last, inverted = struct.unpack_from("=4B", info)
    proto = _proto(IPPROTO_ICMP if v4 else IPPROTO_ICMPV6)
    any_type = v4 and kind == 0xFF
    type = Match(key="icmp_type", values=((kind, kind),), negated=bool(inverted))
    code = Match(key="icmp_code", values=((first, last),), negated=bool(inverted))
    if any_type:
        if inverted:
            raise NotUnderstoodError("no type of ICMP at all")
        return _one(proto)
    if (first, last) == (0, 0xFF):
        return _one(proto, type)
    if inverted:
        same = Match(key="icmp_type", values=((kind, kind),))
        return [(proto, type), (proto, same, code)]
    return _one(proto, type, code)


def _multiport(info: bytes, v4: bool) -> list[Matches]:
    """struct xt_multiport_v1: a mark says that a port is the first of a range."""
    which, count, *rest = struct.unpack_from("=BB15H15BB", info)
    ports, flags, inverted = rest[:15], rest[15:30], bool(rest[30])
    values: list[tuple[int, int]] = []
    numbers = iter(zip(ports[:count], flags[:count], strict=True))
    for port, ranged in numbers:
        values.append((port, next(numbers)[0] if ranged else port))
    source, destination, other = (
        Match(key=key, values=tuple(values), negated=negated)
        for key, negated in (("sport", inverted), ("dport", inverted), ("dport", True))
    )
    if which == 0:
        return _one(source)
    if which == 1:
        return _one(destination)
    return _one(source, destination) if inverted else [(destination,), (source, other)]


def _iprange(info: bytes, v4: bool) -> list[Matches]:
    """struct xt_iprange_mtinfo."""
    flags = info[64]
    found = []
    for key, at, bit, turned in (("saddr", 0, 1, 0x10), ("daddr", 32, 2, 0x20)):
        if flags & bit:
            pair = address_at(info, at, v4), address_at(info, at + 16, v4)
            found.append(Match(key=key, values=(pair,), negated=bool(flags & turned)))
    return _one(*found)


# -- the packet --


def _addrtype(info: bytes, v4: bool) -> list[Matches]:
    """struct xt_addrtype_info_v1: kinds of addresses as bits, by the numbers of routes' kinds."""
    source, destination, flags = struct.unpack_from("=HHI", info)
    where = {0: "", 4: "_iif", 8: "_oif"}.get(flags & 0xC)
    if where is None:
        raise NotUnderstoodError("addrtype of two interfaces")
    return _one(*(
        _kind_of(side, bits, bool(flags & turned), where, v4)
        for side, bits, turned in (("saddr", source, 1), ("daddr", destination, 2))
        if bits
    ))  # fmt: skip


def _kind_of(side: str, bits: int, negated: bool, where: str, v4: bool) -> Match:
    names = tuple(name for number, name in KIND_NAMES.items() if bits & 1 << number)
    if v4:
        if bits >> 11 or bits & 1:
            raise NotUnderstoodError("a kind of address that none is of")
        return Match(key=f"{side}_type{where}", values=names, negated=negated)
    # IPv6 takes the scope of an address for its kind; only `local` asks for routes (match_type6).
    if names == ("local",):
        return Match(key=f"{side}_type{where or '_anywhere'}", values=names, negated=negated)
    multicast = (0xFF << 120, (1 << 128) - 1)
    if names == ("multicast",):
        return Match(key=side, values=(multicast,), negated=negated)
    if names == ("unicast",):
        return Match(key=side, values=((1, multicast[0] - 1),), negated=negated)
    raise NotUnderstoodError(f"addrtype {', '.join(names)} of IPv6")


def _mark(info: bytes, v4: bool) -> list[Matches]:
    """struct xt_mark_mtinfo1."""
    mark, mask, inverted = struct.unpack_from("=IIB", info)
    return _one(Match(key="mark", values=((mark, mask),), negated=bool(inverted)))


def _packet_type(info: bytes, v4: bool) -> list[Matches]:
    """struct xt_pkttype_info, by the numbers of <linux/if_packet.h>."""
    kind, inverted = struct.unpack_from("=ii", info)
    names = {0: "host", 1: "broadcast", 2: "multicast", 3: "other"}
    if kind not in names:
        raise NotUnderstoodError(f"packets of type {kind}")
    return _one(Match(key="packet_type", values=(names[kind],), negated=bool(inverted)))


def _owner(info: bytes, v4: bool) -> list[Matches]:
    """struct xt_owner_match_info. The contrary holds of packets that no program sent, too."""
    first, last, _, _, asked, inverted = struct.unpack_from("=4IBB", info)
    if asked != 1:
        raise NotUnderstoodError("the group of who sends, or whether somebody does")
    uid = Match(key="uid", values=((first, last),), negated=bool(inverted))
    return [(uid,), (Match(key="owner", values=("none",)),)] if inverted else _one(uid)


def _reverse_path(info: bytes, v4: bool) -> list[Matches]:
    """struct xt_rpfilter_info: loose, with the mark, of local addresses, turned around."""
    flags = info[0]
    if flags & ~0xA:
        raise NotUnderstoodError("a loose reverse path")
    return _one(Match(key="reverse_path", values=("missing" if flags & 8 else "exists",)))


def _comment(info: bytes, v4: bool) -> list[Matches]:
    return _one()


# -- connections --


def _state(info: bytes, v4: bool) -> list[Matches]:
    """struct xt_state_info."""
    (bits,) = struct.unpack_from("=I", info)
    if bits & ~0x4F:
        raise NotUnderstoodError(f"states {bits:#x}")
    return _one(Match(key="state", values=_states(bits, untracked=1 << 6)))


def _states(bits: int, untracked: int) -> tuple[str, ...]:
    names = {1: "invalid", 2: "established", 4: "related", 8: "new", untracked: "untracked"}
    return tuple(name for bit, name in names.items() if bits & bit)


_CONNTRACK: Final = struct.Struct("=128xII9H4H")  # four addresses with their masks, expiry, ports, flags, bits, ports
STATE, ORIGINAL_SOURCE, ORIGINAL_DESTINATION, STATUS = 0x01, 0x04, 0x08, 0x40
ORIGINAL_SOURCE_PORT, ORIGINAL_DESTINATION_PORT, DIRECTION = 0x100, 0x200, 0x1000
ALIAS: Final = 0x2000  # written as -m state
ASKED: Final = (
    STATE | ORIGINAL_SOURCE | ORIGINAL_DESTINATION | STATUS | ORIGINAL_SOURCE_PORT | ORIGINAL_DESTINATION_PORT
    | DIRECTION | ALIAS
)  # fmt: skip
STATUSES: Final = {0x01: "expected", 0x02: "seen-reply", 0x08: "confirmed", 0x10: "snat", 0x20: "dnat"}


def _conntrack(info: bytes, v4: bool) -> list[Matches]:
    """struct xt_conntrack_mtinfo3. Of a packet without a connection only its state is asked, where it is asked at all:
    all the rest is taken to hold then (conntrack_mt)."""
    _, _, _, source, destination, _, _, asked, turned, states, status, *last = _CONNTRACK.unpack_from(info)
    if asked & ~ASKED:
        raise NotUnderstoodError("conntrack of replies, protocols or expiry")
    rest: list[Match] = []
    for key, bit, at in (("original_saddr", ORIGINAL_SOURCE, 0), ("original_daddr", ORIGINAL_DESTINATION, 32)):
        if asked & bit:
            rest.append(Match(key=key, values=(_prefix_at(info, at, v4),), negated=bool(turned & bit)))
    for key, bit, pair in (
        ("original_sport", ORIGINAL_SOURCE_PORT, (source, last[0])),
        ("original_dport", ORIGINAL_DESTINATION_PORT, (destination, last[1])),
    ):
        if asked & bit:
            rest.append(Match(key=key, values=(pair,), negated=bool(turned & bit)))
    if asked & DIRECTION:
        rest.append(Match(key="direction", values=("reply" if turned & DIRECTION else "original",)))
    if asked & STATUS:
        rest.append(_status(status, bool(turned & STATUS)))
    if not asked & STATE:
        return [tuple(rest)]
    return _of_states(states, bool(turned & STATE), tuple(rest))


def _status(bits: int, negated: bool) -> Match:
    names = tuple(name for bit, name in STATUSES.items() if bits & bit)
    if bits & ~sum(STATUSES) or not names:
        raise NotUnderstoodError(f"a connection's status {bits:#x}")
    return Match(key="ct_status", values=names, negated=negated)


def _of_states(bits: int, negated: bool, rest: Matches) -> list[Matches]:
    """States, among which iptables(8) has SNAT and DNAT, and what else must hold where there is a connection."""
    if bits & ~0x1CF:
        raise NotUnderstoodError(f"states {bits:#x}")
    names = _states(bits, untracked=1 << 8)
    translated = tuple(name for bit, name in ((1 << 6, "snat"), (1 << 7, "dnat")) if bits & bit)
    state = (Match(key="state", values=names, negated=negated),) if names else ()
    if not translated and not rest:
        return [state or (Match(key="state", values=(), negated=negated),)]
    loose = tuple(name for name in NO_CONNECTION if (name in names) is not negated)
    found: list[Matches] = [(Match(key="state", values=loose),)] if loose else []
    tied = Match(key="state", values=NO_CONNECTION, negated=True)
    if not translated:
        return [*found, (*state, tied, *rest)]
    nat = Match(key="ct_status", values=translated, negated=negated)
    if negated:
        return [*found, (*state, nat, *rest)]
    other = (replace(state[0], negated=True),) if state else ()
    return [*found, *([(*state, tied, *rest)] if state else []), (nat, *other, *rest)]


# -- all of them --

Reader = Callable[[bytes, bool], list[Matches]]
READERS: Final[dict[tuple[str, int], Reader]] = {
    ("tcp", 0): _tcp, ("udp", 0): _udp, ("icmp", 0): _icmp, ("icmp6", 0): _icmp, ("multiport", 1): _multiport,
    ("iprange", 1): _iprange, ("addrtype", 1): _addrtype, ("mark", 1): _mark, ("pkttype", 0): _packet_type,
    ("owner", 1): _owner, ("rpfilter", 0): _reverse_path, ("comment", 0): _comment, ("state", 0): _state,
    ("conntrack", 3): _conntrack,
}  # fmt: skip
"""By name and revision. All others can't be read: what they ask of packets is no part of the facts."""
