"""The conditions of a rule of nft(8), out of its JSON: what is looked at, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from typing import Any, Final

from portside.addr.abi import IPPROTO_ICMP, IPPROTO_ICMPV6
from portside.facts.rule import Match
from portside.live.nft_values import PROTOCOLS, NotUnderstoodError, flags_of, flat, match, number

Matches = tuple[Match, ...]
Lookup = Callable[[str], Any]
"""What the set or map of a name (`@name`) holds: its elements. Raises NotUnderstoodError."""

META: Final = {
    "iif": "iif", "iifname": "iif", "oif": "oif", "oifname": "oif", "l4proto": "proto", "nfproto": "family",
    "mark": "mark", "skuid": "uid", "skgid": "gid",
    "pkttype": "packet_type",
}  # fmt: skip
CT: Final = {"state": "state", "status": "ct_status", "direction": "direction"}
CT_ORIGINAL: Final = {
    "ip saddr": "original_saddr", "ip6 saddr": "original_saddr",
    "ip daddr": "original_daddr", "ip6 daddr": "original_daddr",
    "proto-src": "original_sport", "proto-dst": "original_dport",
}  # fmt: skip
"""What nft(8) shows of an address without `ip` or `ip6` is turned around, and without its prefix: it is not read."""
PAYLOAD: Final = {
    ("ip", "saddr"): "saddr", ("ip", "daddr"): "daddr", ("ip", "protocol"): "proto",
    ("ip6", "saddr"): "saddr", ("ip6", "daddr"): "daddr", ("ip6", "nexthdr"): "proto",
    ("icmp", "type"): "icmp_type", ("icmp", "code"): "icmp_code",
    ("icmpv6", "type"): "icmp_type_v6", ("icmpv6", "code"): "icmp_code_v6",
    ("tcp", "flags"): "tcp_flags",
    **{(proto, port): port for proto in ("tcp", "udp", "udplite", "sctp", "dccp", "th") for port in ("sport", "dport")},
}  # fmt: skip
V4: Final = Match(key="family", values=("ip",))
V6: Final = Match(key="family", values=("ip6",))
IMPLIED: Final[Mapping[str, Matches]] = {
    "ip": (V4,), "ip6": (V6,), "th": (),
    "icmp": (V4, Match(key="proto", values=((IPPROTO_ICMP, IPPROTO_ICMP),))),
    "icmpv6": (V6, Match(key="proto", values=((IPPROTO_ICMPV6, IPPROTO_ICMPV6),))),
    **{name: (Match(key="proto", values=((PROTOCOLS[name],) * 2,)),)
       for name in ("tcp", "udp", "udplite", "sctp", "dccp")},
}  # fmt: skip
"""What must be true of a packet for it to have such a header."""


def key_of(left: Any) -> tuple[str, Matches]:
    """What an expression looks at, by the name that `facts.rule.Match` has for it, and what it takes for granted.

    Raises NotUnderstoodError.
    """
    if isinstance(left, dict) and len(left) == 1:
        ((kind, what),) = left.items()
        if kind == "payload" and (what.get("protocol"), what.get("field")) in PAYLOAD:
            return PAYLOAD[what["protocol"], what["field"]], IMPLIED[what["protocol"]]
        if kind == "meta" and what.get("key") in META:
            return META[what["key"]], ()
        if kind == "ct":
            return _ct_key(what)
        if kind == "fib":
            return _fib_key(what), ()
    raise NotUnderstoodError(str(left))


def _ct_key(what: Mapping[str, Any]) -> tuple[str, Matches]:
    key, direction = what.get("key"), what.get("dir")
    if direction is None and key in CT:
        return CT[key], ()
    if direction == "original" and key in CT_ORIGINAL:
        family = (V6,) if str(key).startswith("ip6") else (V4,) if str(key).startswith("ip ") else ()
        return CT_ORIGINAL[key], family
    raise NotUnderstoodError(f"ct {direction or ''} {key}")


def _fib_key(what: Mapping[str, Any]) -> str:
    result, flags = what.get("result"), frozenset(flat(what.get("flags")))
    side, device = flags & {"daddr", "saddr"}, flags & {"iif", "oif"}
    if result == "type" and len(side) == 1 and len(device) < 2 and flags == side | device:
        return "_".join((*side, "type", *device))
    if result == "oif" and {"saddr", "iif"} <= flags <= {"saddr", "iif", "mark"}:
        return "reverse_path"
    raise NotUnderstoodError(f"fib {result}")


def condition(left: Any, operator: str, right: Any, lookup: Lookup) -> list[Matches]:
    """The conditions of one `match`: alternatives, of each of which all must hold. Most often there is one.

    Raises NotUnderstoodError.
    """
    if isinstance(right, str) and right.startswith("@"):
        right = {"set": lookup(right)}
    if isinstance(left, dict) and "concat" in left:
        return _concatenation(left["concat"], operator, right)
    if isinstance(left, dict) and "&" in left:
        return [_masked(left["&"], operator, right)]
    key, implied = key_of(left)
    if key == "tcp_flags":
        return [(*implied, _flags(operator, right))]
    if key == "reverse_path":
        return [(*implied, _reverse_path(operator, right))]
    if key in ("state", "ct_status"):
        operator = _of_bits(key, operator, right)
    found = match(key, operator, right)
    return [(*implied, replace(found, key=key.removesuffix("_v6")))]


def _of_bits(key: str, operator: str, right: Any) -> str:
    """Whether one of some bits must be there (`ct state new,related`) or none (`ct state ! new`), as of a set.

    Raises NotUnderstoodError for a comparison with all bits at once.
    """
    if operator in ("in", "!"):
        return "!=" if operator == "!" else "in"
    if key == "ct_status" or (isinstance(right, list) and len(right) > 1):
        raise NotUnderstoodError(f"all of {key}")
    return operator


def _concatenation(parts: list[Any], operator: str, right: Any) -> list[Matches]:
    """`ip saddr . tcp dport { 10.0.0.1 . 80, ... }`: an alternative for each element."""
    if operator not in ("==", "in"):
        raise NotUnderstoodError("a concatenation that must not be there")
    found: list[Matches] = []
    for element in flat(right):
        values = element["concat"] if isinstance(element, dict) and "concat" in element else None
        if values is None or len(values) != len(parts):
            raise NotUnderstoodError(str(element))
        pieces = [condition(part, "==", value, _no_sets) for part, value in zip(parts, values, strict=True)]
        found += [sum(combined, ()) for combined in product(*pieces)]
    return found


def _no_sets(name: str) -> Any:
    raise NotUnderstoodError(name)


def _masked(parts: list[Any], operator: str, right: Any) -> Matches:
    """`meta mark & 0xff == 5`, `tcp flags & (fin | syn) == syn`."""
    left, mask = parts[0], parts[1] if len(parts) == 2 else parts[1:]
    key, implied = key_of(left)
    if operator not in ("==", "!="):
        raise NotUnderstoodError(operator)
    if key == "mark":
        values = tuple((number(key, each), number(key, mask)) for each in flat(right))
    elif key == "tcp_flags":
        values = tuple((flags_of(each), flags_of(mask)) for each in _flag_sets(right))
    else:
        raise NotUnderstoodError(f"{key} with a mask")
    return (*implied, Match(key=key, values=values, negated=operator == "!="))


def _flag_sets(right: Any) -> list[Any]:
    """A list is a sum of flags, a set several of them to choose from."""
    if isinstance(right, dict) and "set" in right:
        return list(flat(right))
    return [right]


def _flags(operator: str, right: Any) -> Match:
    if operator == "in":  # any of them: not none
        return Match(key="tcp_flags", values=((0, flags_of(right)),), negated=True)
    if operator == "!":
        return Match(key="tcp_flags", values=((0, flags_of(right)),))
    if operator not in ("==", "!="):
        raise NotUnderstoodError(f"tcp flags {operator}")
    values = tuple((flags_of(each), 0xFF) for each in _flag_sets(right))
    return Match(key="tcp_flags", values=values, negated=operator == "!=")


def _reverse_path(operator: str, right: Any) -> Match:
    if not isinstance(right, bool) or operator not in ("==", "!="):
        raise NotUnderstoodError("the interface of a route")
    missing = right is (operator == "!=")
    return Match(key="reverse_path", values=("missing" if missing else "exists",))
