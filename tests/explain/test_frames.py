"""Chains that see frames, on the real kernel and as `why` foresees them: of devices, of bridges."""

from __future__ import annotations

import errno

import pytest
from tests.explain.compare import predict
from tests.explain.parts import Listener, Machine, Space, Target
from tests.explain.real import run
from tests.live.apart import apart, lacking

from portside.explain.attempt import ACCEPTED, FAILED, UNKNOWN

pytestmark = [
    pytest.mark.linux, pytest.mark.skipif(lacking("ip", "nft") != "", reason=lacking("ip", "nft")),
]  # fmt: skip

UP = ["link set {} up", "address add {}/24 dev {}"]


def machine(rules: dict[int, str], bridged: bool = False) -> Machine:
    """10.1.0.1 in s0 and 10.1.0.2 in s1, or both beside 10.1.0.3 on the bridge of s2; all listen on port 80."""
    found = Machine(1, [Space(number) for number in range(3)])
    for number, name in enumerate(("va", "vb")):
        space = found.spaces[number]
        space.links = [name]
        space.commands = [f"link set {name} up", f"address add 10.1.0.{number + 1}/24 dev {name}",
                          f"address add fd01::{number + 1}/64 dev {name} nodad"]  # fmt: skip
    if bridged:
        found.pairs = [(0, "va", 2, "pa"), (1, "vb", 2, "pb")]
        found.spaces[2].links = ["br0"]
        found.spaces[2].commands = [
            "link add name br0 type bridge", "link set br0 up", "link set pa master br0", "link set pb master br0",
            "link set pa up", "link set pb up", "address add 10.1.0.3/24 dev br0",
        ]  # fmt: skip
    else:
        found.pairs = [(0, "va", 1, "vb")]
    for space in found.spaces:
        space.listeners = [Listener("dual", 80)]
        space.ruleset = rules.get(space.number, "")
        space.sysctls = {"net/bridge/bridge-nf-call-iptables": "0", "net/bridge/bridge-nf-call-ip6tables": "0"}
    found.targets = [Target(0, "10.1.0.2", 80), Target(0, "fd01::2", 80)]
    if bridged:
        found.targets.append(Target(0, "10.1.0.3", 80))
    return found


def chain(family: str, hook: str, *rules: str, device: str = "", policy: str = "accept") -> str:
    lines = "\n".join(rules)
    on = f' device "{device}"' if device else ""
    return f"table {family} t {{\nchain c {{\ntype filter hook {hook}{on} priority 0; policy {policy};\n{lines}\n}}\n}}"


PAIRED = {
    "netdev ingress drops": {1: chain("netdev", "ingress", "tcp dport 80 drop", device="vb")},
    "inet ingress drops": {1: chain("inet", "ingress", "tcp dport 80 drop", device="vb")},
    "egress drops": {0: chain("netdev", "egress", "tcp dport 80 drop", device="va")},
    "the answer is dropped": {0: chain("netdev", "ingress", "tcp sport 80 drop", device="va")},
    "ARP is dropped too": {1: chain("netdev", "ingress", device="vb", policy="drop")},
    "only IPv4 is dropped": {1: chain("netdev", "ingress", "ip saddr 10.0.0.0/8 drop", device="vb")},
    "only TCP may pass": {1: chain("netdev", "ingress", "tcp dport 80 accept", device="vb", policy="drop")},
    "another port": {1: chain("netdev", "ingress", "tcp dport 81 drop", device="vb")},
    "another device": {1: chain("netdev", "ingress", "drop", device="lo")},
}
BRIDGED = {
    "forward drops": {2: chain("bridge", "forward", "tcp dport 80 drop")},
    "input drops": {2: chain("bridge", "input", "tcp dport 80 drop")},
    "output drops": {2: chain("bridge", "output", "tcp sport 80 drop")},
    "prerouting of a port drops": {2: chain("bridge", "prerouting", 'iifname "pb" tcp sport 80 drop')},
    "postrouting to a port drops": {2: chain("bridge", "postrouting", 'oifname "pb" drop')},
    "forward to the wrong port": {2: chain("bridge", "forward", 'iifname "pb" oifname "pb" drop')},
    "ingress of a port": {2: chain("netdev", "ingress", "tcp dport 80 drop", device="pa")},
    "egress of a port": {2: chain("netdev", "egress", "tcp dport 80 drop", device="pb")},
    "ingress of the bridge": {2: chain("netdev", "ingress", "tcp dport 80 drop", device="br0")},
}


@pytest.mark.parametrize(("rules", "bridged"), [
    *(pytest.param(rules, False, id=name) for name, rules in PAIRED.items()),
    *(pytest.param(rules, True, id=name) for name, rules in BRIDGED.items()),
])  # fmt: skip
def test_what_becomes_of_it_is_foreseen(rules: dict[int, str], bridged: bool) -> None:
    facts, results = apart(run, machine(rules, bridged))
    for target, outcome, _ in results:
        attempt = predict(facts, target)
        said = errno.errorcode[attempt.errno] if attempt.outcome == FAILED else attempt.outcome
        assert said == outcome, (target, [step.sentence for step in attempt.steps])


@pytest.mark.parametrize("rule", ["meta pkttype host drop", 'tcp dport 80 fwd to "vb"'])
def test_what_can_not_be_read_is_named(rule: str) -> None:
    rules = {1: chain("netdev", "ingress", rule, device="vb")}
    facts, ((target, _, _), *_) = apart(run, machine(rules))
    attempt = predict(facts, target)
    assert attempt.outcome == UNKNOWN
    assert rule.split(maxsplit=1)[0] in attempt.sentence


def test_loopback_has_its_chains() -> None:
    made = machine({0: chain("netdev", "ingress", "tcp dport 80 drop", device="lo")})
    made.targets = [Target(0, "127.0.0.1", 80), Target(0, "::1", 80), Target(1, "127.0.0.1", 80)]
    facts, results = apart(run, made)
    assert [outcome for _, outcome, _ in results] == ["ETIMEDOUT", "ETIMEDOUT", "accepted"]
    assert [predict(facts, target).outcome for target, _, _ in results] == [FAILED, FAILED, ACCEPTED]


@pytest.mark.parametrize("called", ["0", "1"])
def test_a_chain_of_the_bridge_as_a_device_sees_what_is_for_it(called: str) -> None:
    made = machine({2: chain("netdev", "ingress", "tcp dport 80 drop", device="br0")}, bridged=True)
    made.spaces[2].sysctls["net/bridge/bridge-nf-call-iptables"] = called
    made.spaces[2].ruleset += "\n" + chain("ip", "forward", "tcp dport 81 drop")
    made.targets = [Target(0, "10.1.0.3", 80), Target(0, "10.1.0.2", 80)]
    facts, found = apart(run, made)
    told = [predict(facts, target) for target, _, _ in found]
    assert [errno.errorcode[each.errno] if each.errno else each.outcome for each in told] == [
        outcome for _, outcome, _ in found
    ] == ["ETIMEDOUT", ACCEPTED]  # fmt: skip


REJECTING = "table ip r {\nchain c {\ntype filter hook forward priority 0;\ntcp dport 80 reject with tcp reset\n}\n}\n"


@pytest.mark.parametrize(("space", "family", "hook", "device", "priority", "rejected"), [
    (2, "bridge", "forward", "", -10, False), (2, "bridge", "forward", "", 0, False),
    (2, "bridge", "forward", "", 1, True), (2, "bridge", "postrouting", "", -10, True),
    (2, "netdev", "egress", "pb", 0, True), (2, "netdev", "ingress", "pa", 0, False),
    (1, "netdev", "ingress", "vb", 0, True),
])  # fmt: skip
def test_br_netfilter_rejects_what_chains_behind_it_would_drop(
    space: int, family: str, hook: str, device: str, priority: int, rejected: bool
) -> None:
    dropping = chain(family, hook, "tcp dport 80 drop", device=device).replace("priority 0", f"priority {priority}")
    rules = {2: REJECTING}
    made = machine({**rules, space: rules.get(space, "") + dropping}, bridged=True)
    made.spaces[2].sysctls["net/bridge/bridge-nf-call-iptables"] = "1"
    made.targets = made.targets[:1]
    facts, ((target, outcome, _),) = apart(run, made)
    attempt = predict(facts, target)
    assert errno.errorcode[attempt.errno] == outcome == ("ECONNREFUSED" if rejected else "ETIMEDOUT")
