"""One rule of nft(8), out of its JSON, as `FirewallRule`s."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Final

from portside.addr.abi import IPPROTO_TCP
from portside.facts.rule import FirewallRule, Match
from portside.live import xt_match, xt_target
from portside.live.nft_extensions import MATCH, Extension, filled_in
from portside.live.nft_match import V4, V6, Lookup, Matches, condition
from portside.live.nft_values import FULL_MARK, NotUnderstoodError, addresses, number, numbers

HARMLESS: Final = frozenset({
    "counter", "log", "comment", "last", "flow", "set", "ct helper", "ct timeout", "ct expectation", "map",
    "secmark", "dup",
})  # fmt: skip
"""Statements that decide nothing about the packet at hand."""
SIMPLE: Final = ("accept", "drop", "continue", "return", "notrack")
NAT: Final = ("dnat", "snat", "masquerade", "redirect")
TCP: Final = Match(key="proto", values=((IPPROTO_TCP, IPPROTO_TCP),))
REJECT_FAMILIES: Final[Mapping[str, Matches]] = {"icmp": (V4,), "icmpv6": (V6,), "icmpx": (), "tcp reset": (TCP,)}
NOTHING: Final = FirewallRule()

Outcome = tuple[Matches, FirewallRule]
"""Further conditions, and what happens when they hold: a rule without matches."""


def rules(
    entry: Mapping[str, Any], text: str, lookup: Lookup, extensions: Sequence[Extension] = ()
) -> list[FirewallRule]:
    """What a rule says. It is several where it has a map of verdicts, or a set of combinations.

    Args: entry: the `rule` object. text: the rule as nft(8) prints it. lookup: what its table's named sets hold.
    extensions: what iptables-nft(8) put into it.
    """
    expressions: list[dict[str, Any]] = [each for each in entry.get("expr", ()) if isinstance(each, dict)]
    expressions = filled_in(expressions, extensions)
    packets, octets = _counted(expressions)
    text = _with_targets(text, expressions)
    base = FirewallRule(text=text, handle=entry.get("handle", 0), packets=packets, octets=octets)
    if not any(map(_decides, expressions)):
        return [base]
    conditions, outcomes, understood = _read(expressions, lookup)
    found = []
    for combination in product(*conditions):
        for further, outcome in outcomes:
            matches = _without_repeats((*sum(combination, ()), *further))
            found.append(replace(
                outcome, matches=matches, understood=understood,
                text=text, handle=base.handle, packets=packets, octets=octets,
            ))  # fmt: skip
    return found


def _with_targets(text: str, expressions: Sequence[Mapping[str, Any]]) -> str:
    """The text of a rule, with its target in words where nft(8) leaves it out (DNAT of IPv6), or only names it."""
    for expression in expressions:
        extension = expression.get("xt")
        if isinstance(extension, Extension) and extension.kind != MATCH:
            said = xt_target.words(extension)
            if said and said.split()[0] not in text:
                text = f"{text} {said}"
    return text


def _without_repeats(matches: Matches) -> Matches:
    return tuple(dict.fromkeys(matches))


def _counted(expressions: list[dict[str, Any]]) -> tuple[int | None, int | None]:
    """The packets and bytes of the rule's counter."""
    for expression in expressions:
        counter = expression.get("counter")
        if isinstance(counter, dict) and "packets" in counter:
            return counter["packets"], counter["bytes"]
    return None, None


def _decides(expression: Mapping[str, Any]) -> bool:
    """Whether a statement has anything to say about where the packet goes. Conditions alone do not."""
    (kind,) = list(expression)[:1] or [""]
    if kind == "mangle":
        return _marks(expression[kind])
    if kind == "xt" and isinstance(expression[kind], Extension):
        return expression[kind].kind != MATCH and expression[kind].name not in xt_target.HARMLESS
    return kind not in HARMLESS and kind not in ("match", "limit", "quota", "ct count")


def _ends(expression: Mapping[str, Any]) -> bool:
    """Whether a statement that could not be read may end the packet's way: fwd, tproxy, synproxy, an odd map ..."""
    (kind,) = list(expression)[:1] or [""]
    if kind == "xt":
        return _may_be_target(expression[kind])
    return _decides(expression) and kind != "mangle"


def _may_be_target(extension: Any) -> bool:
    """Whether what iptables(8) put into a rule may be the end of the way or turn it aside.

    Where the kernel was not asked nft(8) can only name it, and some versions name nothing at all. Where the rule has a
    verdict besides, it was a condition.
    """
    if isinstance(extension, Extension):
        extension = {"type": extension.kind, "name": extension.name}
    if not isinstance(extension, dict):
        return True
    return extension.get("type") != "match" and extension.get("name") not in xt_target.PASSING


def _marks(mangle: Any) -> bool:
    """Whether it sets the mark of the packet: all else that can be set is of no weight for its way."""
    key = mangle.get("key", {}) if isinstance(mangle, dict) else {}
    return not (("tcp option" in key) or ("payload" in key and key["payload"].get("field") in ("dscp", "ecn", "ttl",
                "hoplimit")) or ("ct" in key) or key.get("meta", {}).get("key") == "priority")  # fmt: skip


def _read(expressions: list[dict[str, Any]], lookup: Lookup) -> tuple[list[list[Matches]], list[Outcome], bool]:
    """The conditions of a rule, each with its alternatives, its outcomes, and whether that is all of it.

    What is not understood is left out: a packet that fails what is left fails the whole.
    """
    conditions: list[list[Matches]] = []
    outcomes: list[Outcome] = []
    marks: list[tuple[int, int]] = []
    understood, unread = True, False
    for expression in expressions:
        try:
            _take(expression, lookup, conditions, outcomes, marks)
        except (NotUnderstoodError, KeyError, TypeError, ValueError, AttributeError, IndexError):
            # Whatever form a version of nft(8) gives to what this one does not know.
            understood = False
            unread = unread or _ends(expression)
    mark = marks[0] if marks else None
    understood = understood and len(marks) < 2
    if unread and not outcomes:
        outcomes = [((), FirewallRule(verdict="unknown"))]
    return (
        conditions,
        [
            (further, replace(outcome, set_mark=mark or outcome.set_mark))
            for further, outcome in outcomes or [((), NOTHING)]
        ],
        understood,
    )


def _take(
    expression: Mapping[str, Any], lookup: Lookup, conditions: list[list[Matches]], outcomes: list[Outcome],
    marks: list[tuple[int, int]],
) -> None:  # fmt: skip
    """Sort one expression of a rule in. Raises NotUnderstoodError, or what a form that is not known leads to."""
    ((kind, what),) = expression.items()
    if kind == "match":
        conditions.append(condition(what["left"], what["op"], what["right"], lookup))
    elif kind == "mangle":
        if _marks(what):
            marks.append(_new_mark(what))
    elif kind == "xt" and isinstance(what, Extension):
        _take_extension(what, conditions, outcomes)
    elif kind not in HARMLESS:
        outcomes += list(_outcomes(kind, what, lookup))


def _take_extension(extension: Extension, conditions: list[list[Matches]], outcomes: list[Outcome]) -> None:
    """The same of what iptables-nft(8) put in. Raises NotUnderstoodError."""
    if extension.kind == MATCH:
        conditions.append(xt_match.condition(extension))
    elif extension.name not in xt_target.HARMLESS:
        outcomes.append(xt_target.outcome(extension))


def _new_mark(mangle: Mapping[str, Any]) -> tuple[int, int]:
    """The value and the mask of `meta mark set`."""
    if mangle["key"] != {"meta": {"key": "mark"}}:
        raise NotUnderstoodError(str(mangle))
    value = mangle["value"]
    if isinstance(value, dict):
        ((operator, (left, right)),) = value.items()
        if left == {"meta": {"key": "mark"}} and operator == "|":
            bits = number("mark", right)
            return bits, bits
        if left == {"meta": {"key": "mark"}} and operator == "&":
            return 0, number("mark", right) ^ FULL_MARK
        raise NotUnderstoodError(str(value))
    return number("mark", value), FULL_MARK


def _outcomes(kind: str, what: Any, lookup: Lookup) -> Iterator[Outcome]:
    """What a statement decides. Raises NotUnderstoodError."""
    if kind in SIMPLE:
        yield (), FirewallRule(verdict=kind)
    elif kind in ("jump", "goto"):
        yield (), FirewallRule(verdict=kind, target=what["target"])
    elif kind == "reject":
        yield _rejection(what or {})
    elif kind == "queue":
        yield (), FirewallRule(verdict="queue")
    elif kind == "vmap":
        for value, verdict in _elements(what["data"], lookup):
            ((inner, argument),) = verdict.items()
            for matches in condition(what["key"], "==", value, lookup):
                for further, outcome in _outcomes(inner, argument, lookup):
                    yield (*matches, *further), outcome
    elif kind in NAT:
        yield from _translations(kind, what or {}, lookup)
    else:
        raise NotUnderstoodError(kind)


def _elements(data: Any, lookup: Lookup) -> Iterator[tuple[Any, Any]]:
    """The pairs of a map."""
    found = lookup(data) if isinstance(data, str) else data["set"]
    for key, value in found:
        if key == "*":
            raise NotUnderstoodError("what a map says of all the rest")
        yield (key["elem"]["val"] if isinstance(key, dict) and "elem" in key else key), value


def _rejection(what: Mapping[str, Any]) -> Outcome:
    kind = what.get("type", "icmpx")
    named = "tcp-reset" if kind == "tcp reset" else what.get("expr", "port-unreachable")
    return REJECT_FAMILIES[kind], FirewallRule(verdict="reject", reject_with=named)


def _translations(kind: str, what: Mapping[str, Any], lookup: Lookup) -> Iterator[Outcome]:
    """What a NAT statement puts in; with a map, something else for each of its keys."""
    family: Matches = {"ip": (V4,), "ip6": (V6,)}.get(what.get("family", ""), ())
    if "prefix" in str(what.get("type_flags", "")):
        raise NotUnderstoodError("NAT of whole prefixes")
    address, port = what.get("addr"), what.get("port")
    for key in ("addr", "port"):
        value = what.get(key)
        if isinstance(value, dict) and "map" in value:
            if isinstance(what.get("port" if key == "addr" else "addr"), dict):
                raise NotUnderstoodError("two maps")
            for element, result in _elements(value["map"]["data"], lookup):
                parts = result["concat"] if isinstance(result, dict) and "concat" in result else [result]
                new_address, new_port = (*parts, port)[:2] if key == "addr" else (address, parts[0])
                for matches in condition(value["map"]["key"], "==", element, lookup):
                    yield (*family, *matches), _translation(kind, new_address, new_port)
            return
    yield family, _translation(kind, address, port)


def _translation(kind: str, address: Any, port: Any) -> FirewallRule:
    return FirewallRule(
        verdict=kind,
        to_address=addresses(address) if address is not None else None,
        to_port=numbers("dport", port) if port is not None else None,
    )
