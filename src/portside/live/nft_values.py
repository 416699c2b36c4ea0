"""The values that nft(8) compares with, out of its JSON: addresses, ports, protocols, names, sets of them.

The schema is libnftables-json(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from portside.addr.abi import (
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPPROTO_UDPLITE,
)  # fmt: skip
from portside.addr.ip import bits_of, is_v4, parse, prefix_of
from portside.facts.rule import Match

Pair = tuple[int, int]

PROTOCOLS: Final = {
    "icmp": IPPROTO_ICMP, "igmp": 2, "ipencap": 4, "tcp": IPPROTO_TCP, "udp": IPPROTO_UDP, "dccp": 33, "ipv6": 41,
    "gre": 47, "esp": 50, "ah": 51, "icmpv6": IPPROTO_ICMPV6, "ipv6-icmp": IPPROTO_ICMPV6, "sctp": 132,
    "udplite": IPPROTO_UDPLITE, "comp": 108, "ipcomp": 108, "vrrp": 112, "ospf": 89, "ospfigp": 89, "pim": 103,
}  # fmt: skip
"""The names that nft(8) prints."""

ICMP_TYPES: Final = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
    "address-mask-request": 17, "address-mask-reply": 18,
}  # fmt: skip
ICMPV6_TYPES: Final = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
    "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
    "mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
    "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
    "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143,
}  # fmt: skip
ICMP_CODES: Final = {
    "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
    "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
}  # fmt: skip
ICMPV6_CODES: Final = {
    "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
    "reject-route": 6,
}  # fmt: skip
TCP_FLAGS: Final = {
    "fin": 0x01, "syn": 0x02, "rst": 0x04, "psh": 0x08, "ack": 0x10, "urg": 0x20, "ecn": 0x40, "cwr": 0x80,
}  # fmt: skip

NAMES: Final = frozenset({
    "iif", "oif", "state", "ct_status", "direction", "family", "packet_type",
    *(f"{side}_type{where}" for side in ("saddr", "daddr") for where in ("", "_iif", "_oif")),
})  # fmt: skip
"""Keys whose values are names."""
ADDRESSES: Final = ("saddr", "daddr", "original_saddr", "original_daddr")
PORTS: Final = ("sport", "dport", "original_sport", "original_dport")
FULL_MARK: Final = 0xFFFFFFFF
COMPARISONS: Final = {"==", "!=", "in", "<", ">", "<=", ">="}


class NotUnderstoodError(Exception):
    """A part of a rule that portside cannot read."""


def flat(value: Any) -> Iterator[Any]:
    """The elements of a set, without their timeouts, counters and comments; a single value is a set of one."""
    if isinstance(value, dict) and "set" in value:
        for each in value["set"] if isinstance(value["set"], list) else [value["set"]]:
            yield from flat(each)
    elif isinstance(value, list):
        for each in value:
            yield from flat(each)
    elif isinstance(value, dict) and "elem" in value:
        yield from flat(value["elem"]["val"])
    else:
        yield value


def match(key: str, operator: str, value: Any) -> Match:
    """The condition that what `key` names is equal to, or another than, or in order with a value or set of values.

    Raises NotUnderstoodError.
    """
    if operator not in COMPARISONS:
        raise NotUnderstoodError(operator)
    if operator in ("<", ">", "<=", ">="):
        return Match(key=key, values=(_bounds(key, operator, number(key, value)),))
    negated = operator == "!="
    if key in NAMES:
        return Match(key=key, values=tuple(name(key, each) for each in flat(value)), negated=negated)
    if key == "mark":
        return Match(key=key, values=tuple((number(key, each), FULL_MARK) for each in flat(value)), negated=negated)
    if key in ADDRESSES:
        return Match(key=key, values=tuple(addresses(each) for each in flat(value)), negated=negated)
    return Match(key=key, values=tuple(numbers(key, each) for each in flat(value)), negated=negated)


def _bounds(key: str, operator: str, bound: int) -> Pair:
    highest = 255 if key in ("proto", "icmp_type", "icmp_code") else 65535 if key in PORTS else 0xFFFFFFFF
    if key in ADDRESSES or key in NAMES or key == "mark":
        raise NotUnderstoodError(f"{key} {operator}")
    return {
        "<": (0, bound - 1), "<=": (0, bound), ">": (bound + 1, highest), ">=": (bound, highest),
    }[operator]  # fmt: skip


def name(key: str, value: Any) -> str:
    """A name to compare with. An asterisk that is part of an interface's name is not understood."""
    if not isinstance(value, str) or value.startswith("@") or value.endswith("\\*"):
        raise NotUnderstoodError(str(value))
    if key == "family":
        return {"ipv4": "ip", "ipv6": "ip6"}.get(value, value)
    return value


def addresses(value: Any) -> Pair:
    """The first and the last address of an address, a prefix or a range."""
    try:
        if isinstance(value, str):
            address = parse(value)
            return address, address
        if isinstance(value, dict) and "prefix" in value:
            return of_prefix(*_mapped(value["prefix"]["addr"], value["prefix"]["len"]))
        if isinstance(value, dict) and "range" in value:
            first, last = value["range"]
            return parse(first), parse(last)
    except ValueError:
        pass  # a name, or what a later version writes: said below
    raise NotUnderstoodError(str(value))


def _mapped(notation: str, length: int) -> tuple[int, int]:
    """A prefix with the length that it has here, where IPv4 addresses are those of ::ffff:0:0/96."""
    address = parse(notation)
    return address, length - 96 if is_v4(address) and ":" in notation and length >= 96 else length


def of_prefix(address: int, length: int) -> Pair:
    """The first and the last address of a prefix."""
    first = prefix_of(address, length)
    return first, first | (1 << bits_of(address) - length) - 1


def numbers(key: str, value: Any) -> Pair:
    """The first and the last number of a number or a range."""
    if isinstance(value, dict) and "range" in value:
        first, last = value["range"]
        return number(key, first), number(key, last)
    found = number(key, value)
    return found, found


def number(key: str, value: Any) -> int:
    """A number, or the name of one: a protocol, a type of ICMP."""
    if isinstance(value, bool):
        raise NotUnderstoodError(str(value))
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        known = {"proto": PROTOCOLS, "icmp_type": ICMP_TYPES, "icmp_code": ICMP_CODES}.get(key.removesuffix("_v6"), {})
        if key == "icmp_type_v6":
            known = ICMPV6_TYPES
        elif key == "icmp_code_v6":
            known = ICMPV6_CODES
        if value in known:
            return known[value]
        if value.isdigit():
            return int(value)
    raise NotUnderstoodError(f"{key} {value}")


def flags_of(value: Any) -> int:
    """A sum of flags of a TCP header."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, dict) and "|" in value:
        value = value["|"]
    total = 0
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            total |= flags_of(each)
        elif each in TCP_FLAGS:
            total |= TCP_FLAGS[each]
        else:
            raise NotUnderstoodError(str(each))
    return total
