"""The packet filter of a simulated host, by words: what nft(8) calls them, checked as they are given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_UDPLITE
from portside.addr.ip import family_of
from portside.facts.rule import FORWARD, INPUT, OUTPUT
from portside.ip import firewall as ip
from portside.ip.conntrack import STATE_NAMES
from portside.ip.firewall import FilterRule
from portside.lab.addresses import ports, prefix, several
from portside.lab.errors import LabError, about, near

if TYPE_CHECKING:
    from portside.ip.firewall import Firewall

HOOKS: Final = (INPUT, OUTPUT, FORWARD)
REJECTIONS: Final = tuple(sorted({ip.TCP_RESET, *ip.REJECT_V4}))
VERDICTS: Final = ("accept", "drop", "reject", *REJECTIONS)
PROTOCOLS: Final = {**ip.PROTOCOLS, "udplite": IPPROTO_UDPLITE}
ICMP_FAMILIES: Final = {"icmp": AF_INET, "icmpv6": AF_INET6}
_INTERFACE_OF: Final = {OUTPUT: "oif, where a packet leaves", INPUT: "iif, where a packet comes in"}

Words = str | Iterable[str]
Ports = int | str | Iterable[int | str]


def rule(
    verdict: str,
    *,
    iif: str = "",
    oif: str = "",
    src: Words = (),
    dst: Words = (),
    proto: str = "",
    sport: Ports = (),
    dport: Ports = (),
    state: Words = (),
    family: str = "",
    comment: str = "",
) -> FilterRule:
    """A rule: every condition that is given must hold.

    `verdict` is accept, drop, reject (which is port-unreachable) or the name of a rejection:
    host-unreachable, net-unreachable, prot-unreachable, admin-prohibited, host-prohibited, net-prohibited,
    no-route, tcp-reset. `iif` is the interface where a packet came in, `oif` where it leaves. `src` and `dst`
    are prefixes, `sport` and `dport` ports or ranges (with `proto` tcp or udp), `state` is new, established,
    related, invalid, or several. `family` is ip or ip6. Raises LabError.
    """
    known(verdict, VERDICTS, "verdict", "verdict")
    _text("iif", iif, "the name of one interface", '"eth0" or "eth*"')
    _text("oif", oif, "the name of one interface", '"eth0" or "eth*"')
    _text("comment", comment, "a comment", "text in quotes")
    if proto != "":
        known(proto, PROTOCOLS, "protocol", "proto")
    if family != "":
        known(family, ip.FAMILIES, "family", "family")
    for key, value in (("sport", sport), ("dport", dport)):
        if value != () and proto not in ("tcp", "udp", "udplite"):
            raise LabError('a rule with ports needs proto="tcp" or proto="udp"', key)
    if verdict == ip.TCP_RESET and proto not in ("", "tcp"):
        raise LabError(f'a reset answers TCP only, not {proto}: write proto="tcp", or verdict="reject"', "proto")
    sources, destinations = _prefixes("src", src), _prefixes("dst", dst)
    _one_family(family, proto, {"src": sources, "dst": destinations})
    return FilterRule(
        ip.PORT_UNREACHABLE if verdict == "reject" else verdict,
        iif=iif,
        oif=oif,
        src=sources,
        dst=destinations,
        proto=PROTOCOLS[proto] if proto else 0,
        sports=_port_ranges("sport", sport),
        dports=_port_ranges("dport", dport),
        states=sum({STATE_NAMES[known(each, STATE_NAMES, "state", "state")] for each in several(state)}),
        family=ip.FAMILIES[family] if family else 0,
        comment=comment,
    )


def _text(key: str, value: object, what: str, example: str) -> None:
    if not isinstance(value, str):
        raise LabError(f"{value!r} is not {what}: write {example}", key)


def _prefixes(key: str, value: Words) -> list[ip.Prefix]:
    with about(key):
        return [prefix(each) for each in several(value)]


def _port_ranges(key: str, value: Ports) -> tuple[ip.Ports, ...]:
    with about(key):
        return ports(value)


def _one_family(family: str, proto: str, prefixes: dict[str, list[ip.Prefix]]) -> None:
    """Some packet must be able to meet all the conditions: one of IPv4 or one of IPv6."""
    possible = {ip.FAMILIES[family]} if family else {AF_INET, AF_INET6}
    conditions = {key: {family_of(address) for address, _ in each} for key, each in prefixes.items() if each}
    if proto in ICMP_FAMILIES:
        conditions["proto"] = {ICMP_FAMILIES[proto]}
    for key, families in conditions.items():
        possible &= families
        if not possible:
            raise LabError("no packet is IPv4 and IPv6 at once: this contradicts the rule's other conditions", key)


class Filter:
    """The firewall of one host: rules are added at the end of a chain, the first that holds decides."""

    def __init__(self, firewall: Firewall) -> None:
        self._firewall = firewall

    def append(self, hook: str, added: FilterRule) -> None:
        """Add a rule made by `rule(...)`."""
        known(hook, HOOKS, "hook", "hook")
        for key, name, never in (("iif", added.iif, OUTPUT), ("oif", added.oif, INPUT)):
            if name and hook == never:
                raise LabError(f"packets of the {hook} hook have no {key}: write {_INTERFACE_OF[hook]}", key)
        self._firewall.append(hook, added)

    def accept(self, hook: str = INPUT, **conditions: Words | int) -> None:
        """Accept what meets the conditions of `rule`."""
        self._add(hook, "accept", conditions)

    def drop(self, hook: str = INPUT, **conditions: Words | int) -> None:
        """Drop it in silence: to a socket of this host that sends it, EPERM; to everybody else, a
        time-out.
        """
        self._add(hook, "drop", conditions)

    def reject(self, hook: str = INPUT, kind: str = "port-unreachable", **conditions: Words | int) -> None:
        """Drop it and say so with the ICMP error `kind`, or a reset."""
        self._add(hook, known(kind, REJECTIONS, "kind of reject", "kind"), conditions)

    def policy(self, hook: str, verdict: str) -> None:
        """What happens to packets that no rule of the chain decides about: accept or drop."""
        self._firewall.set_policy(known(hook, HOOKS, "hook"), known(verdict, ("accept", "drop"), "policy"))

    def flush(self) -> None:
        """Remove all rules and accept everything."""
        self._firewall.flush()

    def _add(self, hook: str, verdict: str, conditions: dict[str, Words | int]) -> None:
        for name in conditions:
            known(name, CONDITIONS, "condition of a rule", name)
        self.append(hook, rule(verdict, **conditions))  # type: ignore[arg-type]


CONDITIONS: Final = tuple(name for name in rule.__annotations__ if name not in ("verdict", "return"))


def known(name: str, names: Iterable[str], what: str, key: str = "") -> str:
    """The name, if it is one of those. Raises LabError with the nearest."""
    if not isinstance(name, str) or name not in names:
        raise LabError(f"{name!r} is no {what}: {near(str(name), names)}", key)
    return name
