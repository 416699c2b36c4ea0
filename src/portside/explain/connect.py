"""Why a connection would or would not come about: the SYN is sent in the twins of the machine's namespaces.

Each step on its way is told, with what decided it. What the facts leave open (a rule that can't be read, a hash that
chooses) is tried in every way: if the end is the same each time it is known all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from portside.addr.abi import IPPROTO_TCP
from portside.addr.ip import V4_LOOPBACK, V6_LOOPBACK, family_of, parse, text
from portside.explain.advice import advice
from portside.explain.attempt import ACCEPTED, FAILED, UNKNOWN, Attempt, Step, Why
from portside.explain.choices import Choices, Explored, in_every_way
from portside.explain.run import Run
from portside.facts.snapshot import Snapshot


def why(
    snapshot: Snapshot,
    host: str,
    port: int,
    *,
    source: str | None = None,
    proto: int = IPPROTO_TCP,
    family: int | None = None,
    addresses: Sequence[int] | None = None,
    uid: int = 0,
    names: str = "",
) -> Why:
    """What a connection to HOST:PORT would meet.

    Args: host: an address, with %INTERFACE where it needs one, or a name. source: the namespace that it begins in, by
    name or inode; None: the snapshot's own. proto: IPPROTO_TCP or IPPROTO_UDP. family: AF_INET or AF_INET6, None for
    both. addresses: what the name stands for, in the order to try them. uid: of the program that connects. names: where
    the name was looked up, to be told.
    Raises ValueError for a name without `addresses`, and a namespace that is not in the snapshot.
    """
    literal, _, zone = host.partition("%")
    targets = [each for each in _targets(literal, addresses) if family in (None, family_of(each))]
    attempts: list[Attempt] = []
    for address in targets:
        attempt = _explore(snapshot, address, port, zone, source, proto, uid)
        attempts.append(attempt)
        if attempt.outcome != FAILED:
            break
    if attempts and not is_address(literal):
        known = Step(machine=(source or snapshot.host), what="name", sentence=_name_words(host, targets, names))
        attempts[0] = replace(attempts[0], steps=(known, *attempts[0].steps))
    said = advice(attempts[-1]) if attempts else f"{host} has no address of that family"
    missing = tuple(each for each in snapshot.missing if "packet filter" in each.what or "namespace" in each.what)
    return Why(host=host, port=port, proto=proto, attempts=tuple(attempts), remedy=said, missing=missing)


def is_address(host: str) -> bool:
    """Whether it is an address, and no name."""
    try:
        parse(host)
    except ValueError:
        return False
    return True


def _name_words(host: str, targets: Sequence[int], names: str) -> str:
    """What a name stands for."""
    said = f"{host} is {', then '.join(map(text, targets))}"
    order = ", tried in this order" if len(targets) > 1 else ""
    return said + order + (f" (looked up {names})" if names else "")


def _targets(host: str, addresses: Sequence[int] | None) -> Sequence[int]:
    if addresses is not None:
        return addresses
    if host == "localhost":
        return (V6_LOOPBACK, V4_LOOPBACK)
    return (parse(host),)


# -- in every way that the facts leave open --


def _explore(
    snapshot: Snapshot, address: int, port: int, zone: str, source: str | None, proto: int, uid: int
) -> Attempt:
    """One address, with everything that is left open tried in all ways."""

    def attempt(choices: Choices) -> Attempt:
        return Run(snapshot, choices, source, uid).attempt(address, port, zone, proto)

    found = in_every_way(attempt)
    first = found.ends[0]
    if len(found.ends) == 1 and found.complete:
        return first
    if all(end.outcome == ACCEPTED for end in found.ends) and found.complete:
        everyone = tuple(dict.fromkeys(socket for end in found.ends for socket in end.by))
        return Attempt(address=address, port=port, outcome=ACCEPTED, by=everyone, place=first.place, steps=first.steps)
    ends = in_every_way(attempt, by_packet=True) if _is_known(found) else found
    return Attempt(
        address=address, port=port, outcome=UNKNOWN, steps=first.steps, open=tuple(found.open),
        ends=tuple(ends.ends) if _is_known(ends) else (),
    )  # fmt: skip


def _is_known(found: Explored) -> bool:
    return found.complete and all(end.outcome != UNKNOWN for end in found.ends)
