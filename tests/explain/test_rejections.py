"""What rejects tell the sender of, and by which way: on the real kernel, and as `why` foresees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from tests.explain.compare import Comparison, hold_all
from tests.explain.parts import Machine, Target
from tests.explain.test_frames import chain, machine
from tests.live.apart import lacking

pytestmark = [
    pytest.mark.linux, pytest.mark.skipif(lacking("ip", "nft") != "", reason=lacking("ip", "nft")),
]  # fmt: skip

HEAD = "table inet n {\nchain c {\ntype nat hook prerouting priority -100;\n"
RESET, PORT, PROHIBITED = "reject with tcp reset", "reject", "reject with icmpx admin-prohibited"
ANSWERS = ("tcp sport 80 drop", "ip protocol icmp drop", "icmpv6 type destination-unreachable drop")
DROPS = {
    "nothing": "",
    "bridge output": chain("bridge", "output", *ANSWERS),
    "bridge postrouting": chain("bridge", "postrouting", *ANSWERS),
    "egress of the port": chain("netdev", "egress", *ANSWERS, device="pa"),
    "output": chain("inet", "output", *ANSWERS),
    "postrouting": chain("inet", "postrouting", *ANSWERS),
}
"""What s2 does with the answers that it sends."""
WAYS = {
    "no way for IPv4": ["route del 10.1.0.0/24 dev br0"],
    "no address": ["address flush dev br0"],
    "blackholes": ["route add blackhole 10.1.0.1/32", "route add blackhole fd01::1/128"],
    "prohibited": ["route add prohibit 10.1.0.1/32", "route add prohibit fd01::1/128"],
    "by another interface": [
        "link add d0 type veth peer name d1", "link set d0 up", "link set d1 up", "route add 10.1.0.1/32 dev d0",
        "route add fd01::1/128 dev d0",
    ],
    "a neighbour that is not there": [
        "neigh replace 10.1.0.1 lladdr 02:00:00:00:00:99 dev br0 nud permanent",
        "neigh replace fd01::1 lladdr 02:00:00:00:00:99 dev br0 nud permanent",
    ],
    "rules that refuse": ["rule add to 10.1.0.1 prohibit prio 1", "-6 rule add to fd01::1 prohibit prio 1"],
}  # fmt: skip
"""What s2 has for ways back to who was rejected."""


@dataclass
class Case:
    """A bridge with br_netfilter between s0 and s1, whose host s2 rejects what goes to port 80."""

    hook: str
    how: str
    drops: str = "nothing"
    ways: str = ""
    nat: str = ""


def made(case: Case) -> Machine:
    """The machine of a case; s0 calls both others."""
    rejecting = chain("inet", case.hook, f"tcp dport {{ 80, 81 }} {case.how}")
    filters = (rejecting, DROPS[case.drops].replace(" t {", " d {", 1), case.nat)
    found = machine({2: "\n".join(filters)}, bridged=True)
    for number, (space, name) in enumerate(zip(found.spaces, ("va", "vb", "br0"), strict=True)):
        space.commands.append(f"address add fe80::{number + 1} dev {name} nodad")
    found.spaces[2].commands += ["address add fd01::3/64 dev br0 nodad", *WAYS.get(case.ways, ())]
    found.spaces[2].sysctls = {f"net/bridge/bridge-nf-call-{each}": "1" for each in ("iptables", "ip6tables")}
    found.targets += [Target(0, address, 80) for address in ("fd01::3", "fe80::2%va", "fe80::3%va")]
    return found


def check(cases: Iterable[Case]) -> list[Comparison]:
    """Hold each against its prediction."""
    found = hold_all(map(made, cases))
    differences = [difference for each in found for difference in each.differences]
    assert not differences, "\n".join(differences)
    assert not any(each.unknown for each in found)
    return found


@pytest.mark.parametrize("how", [RESET, PORT, PROHIBITED])
@pytest.mark.parametrize("hook", ["prerouting", "forward", "input"])
def test_what_chains_behind_it_do_with_the_answer_of_br_netfilter(hook: str, how: str) -> None:
    found = check(Case(hook, how, drops) for drops in DROPS)
    told = "ECONNREFUSED" if how != PROHIBITED else "EHOSTUNREACH"
    before = [comparison.outcomes.get(told, 0) for comparison in found]
    assert before[0] > 0
    if how == RESET:  # it leaves by the port itself: only that has a say
        assert before == [before[0] if name != "egress of the port" else 0 for name in DROPS]
    else:
        assert before[1:] == [0] * 5


@pytest.mark.parametrize("how", [RESET, PORT])
@pytest.mark.parametrize("hook", ["prerouting", "forward", "input"])
def test_the_answer_of_br_netfilter_needs_a_way(hook: str, how: str) -> None:
    check(Case(hook, how, ways=ways) for ways in WAYS)


@pytest.mark.parametrize("how", [RESET, PORT])
@pytest.mark.parametrize("hook", ["forward", "input"])
def test_a_reset_by_the_port_has_the_names_that_nat_gave(hook: str, how: str) -> None:
    """Who asked does not know them."""
    swap = ("ip daddr 10.1.0.2 dnat ip to 10.1.0.3", "ip daddr 10.1.0.3 dnat ip to 10.1.0.2",
            "ip6 daddr fd01::2 dnat ip6 to fd01::3", "ip6 daddr fd01::3 dnat ip6 to fd01::2")  # fmt: skip
    check(
        Case(hook, how, nat=HEAD + "\n".join(rules) + "\n}\n}\n") for rules in (swap, ("tcp dport 80 redirect to :81",))
    )


@pytest.mark.parametrize(("how", "outcome"), [
    (RESET, "ECONNREFUSED"), (PORT, "ECONNREFUSED"), ("drop", "ETIMEDOUT"), ("accept", "ETIMEDOUT"),
])  # fmt: skip
def test_what_is_for_a_mac_that_nobody_has_is_shown_to_a_bridge_all_the_same(how: str, outcome: str) -> None:
    """NAT may even take it in."""
    machines = []
    for nat in "", HEAD + "tcp dport 80 redirect to :22\n}\n}\n":
        case = made(Case("forward", how, nat=nat))
        case.targets = [Target(0, "10.1.0.2", 80), Target(0, "fd01::2", 80)]
        case.spaces[0].commands += [
            f"neigh replace {each.address} lladdr 02:00:00:00:00:99 dev va nud permanent" for each in case.targets
        ]
        machines.append(case)
    found = hold_all(machines)
    assert not [difference for each in found for difference in each.differences]
    assert [dict(each.outcomes) for each in found] == [{outcome: 2}, {"ECONNREFUSED": 2}]


def test_nat_on_a_bridge_looks_for_the_neighbour_first() -> None:
    """Nothing goes back by the port that it came by, nor is it rejected then: the hook `forward` does not see it. So
    little does it see what nobody answers for."""
    machines = []
    for to in ("10.1.0.2", "10.1.0.4", "10.1.0.9"):
        nat = f"{HEAD}tcp dport 80 dnat ip to {to}:81\n}}\n}}\n"
        case = made(Case("forward", "reject with icmpx admin-prohibited", nat=nat))
        case.spaces[0].commands.append("address add 10.1.0.4/24 dev va")
        case.spaces[2].sysctls["net/ipv4/ip_forward"] = "1"
        case.targets = [Target(0, "10.1.0.3", 80)]
        machines.append(case)
    found = hold_all(machines)
    assert not [difference for each in found for difference in each.differences]
    assert [list(each.outcomes) for each in found] == [["EHOSTUNREACH"], ["ETIMEDOUT"], ["EHOSTUNREACH"]]


def test_a_host_hears_what_it_rejects_of_its_own_link_local_address() -> None:
    """It came by lo, but the answer is looked for where the address is."""
    case = machine({0: chain("ip6", "input", "udp dport 80 reject")})
    case.spaces[0].commands.append("address add fe80::1/64 dev va nodad")
    case.targets = [Target(0, "fe80::1%va", 80, udp=True)]
    [found] = hold_all([case])
    assert not found.differences
    assert dict(found.outcomes) == {"ECONNREFUSED": 1}
