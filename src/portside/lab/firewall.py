"""The packet filter of a simulated host, by words: what nft(8) calls them, checked as they are given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from portside.addr.abi import IPPROTO_UDPLITE
from portside.facts.rule import FORWARD, INPUT, OUTPUT
from portside.ip import firewall as ip
from portside.ip.conntrack import STATE_NAMES
from portside.ip.firewall import FilterRule
from portside.lab.addresses import ports, prefix
from portside.lab.errors import LabError, near

if TYPE_CHECKING:
    from portside.ip.firewall import Firewall

HOOKS: Final = (INPUT, OUTPUT, FORWARD)
REJECTIONS: Final = tuple(sorted({ip.TCP_RESET, *ip.REJECT_V4}))
VERDICTS: Final = ("accept", "drop", "reject", *REJECTIONS)
PROTOCOLS: Final = {**ip.PROTOCOLS, "udplite": IPPROTO_UDPLITE}

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
    known(verdict, VERDICTS, "verdict")
    if (sport != () or dport != ()) and proto not in ("tcp", "udp", "udplite"):
        raise LabError('a rule with ports needs proto="tcp" or proto="udp"')
    return FilterRule(
        ip.PORT_UNREACHABLE if verdict == "reject" else verdict,
        iif=iif,
        oif=oif,
        src=[prefix(each) for each in _several(src)],
        dst=[prefix(each) for each in _several(dst)],
        proto=PROTOCOLS[known(proto, PROTOCOLS, "protocol")] if proto else 0,
        sports=ports(sport),
        dports=ports(dport),
        states=sum({STATE_NAMES[known(each, STATE_NAMES, "state")] for each in _several(state)}),
        family=ip.FAMILIES[known(family, ip.FAMILIES, "family")] if family else 0,
        comment=comment,
    )


class Filter:
    """The firewall of one host: rules are added at the end of a chain, the first that holds decides."""

    def __init__(self, firewall: Firewall) -> None:
        self._firewall = firewall

    def append(self, hook: str, added: FilterRule) -> None:
        """Add a rule made by `rule(...)`."""
        self._firewall.append(known(hook, HOOKS, "hook"), added)

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
        self._add(hook, known(kind, REJECTIONS, "kind of reject"), conditions)

    def policy(self, hook: str, verdict: str) -> None:
        """What happens to packets that no rule of the chain decides about: accept or drop."""
        self._firewall.set_policy(known(hook, HOOKS, "hook"), known(verdict, ("accept", "drop"), "policy"))

    def flush(self) -> None:
        """Remove all rules and accept everything."""
        self._firewall.flush()

    def _add(self, hook: str, verdict: str, conditions: dict[str, Words | int]) -> None:
        for name in conditions:
            known(name, CONDITIONS, "condition of a rule")
        self.append(hook, rule(verdict, **conditions))  # type: ignore[arg-type]


CONDITIONS: Final = tuple(name for name in rule.__annotations__ if name not in ("verdict", "return"))


def known(name: str, names: Iterable[str], what: str) -> str:
    """The name, if it is one of those. Raises LabError with the nearest."""
    if name not in names:
        raise LabError(f"{name!r} is no {what}: {near(str(name), names)}")
    return name


def _several(value: Words) -> Iterable[str]:
    return (value,) if isinstance(value, str) else value
