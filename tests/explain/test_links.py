"""Links that are not plain cables: what the kernel does there is foreseen, or said to be unknown."""

from __future__ import annotations

import os
import socket

import pytest
from tests.explain.compare import predict, said
from tests.explain.parts import Listener, Machine, Space, Target
from tests.explain.real import attempt_all, build, run, settle, snapshot
from tests.explain.test_frames import chain, machine
from tests.live.apart import apart, ip, lacking

from portside.explain.attempt import ACCEPTED, UNKNOWN, Attempt
from portside.facts.snapshot import Snapshot

pytestmark = [pytest.mark.linux, pytest.mark.skipif(lacking("ip") != "", reason=lacking("ip"))]


def tried(made: Machine) -> list[tuple[Attempt, str]]:
    facts, results = apart(run, made)
    return [(predict(facts, target), outcome) for target, outcome, _ in results]


def with_commands(made: Machine, number: int, *commands: str) -> Machine:
    made.spaces[number].commands += commands
    return made


def test_isolated_ports_do_not_hear_each_other() -> None:
    isolated = ("link set pa type bridge_slave isolated on", "link set pb type bridge_slave isolated on")
    found = tried(with_commands(machine({}, True), 2, *isolated))
    assert [said(attempt) for attempt, _ in found] == [outcome for _, outcome in found]
    assert sorted(outcome for _, outcome in found) == ["EHOSTUNREACH", "EHOSTUNREACH", "accepted"]


def test_one_isolated_port_is_reached_by_the_others() -> None:
    found = tried(with_commands(machine({}, True), 2, "link set pa type bridge_slave isolated on"))
    assert [attempt.outcome for attempt, _ in found] == [outcome for _, outcome in found] == [ACCEPTED] * 3


@pytest.mark.parametrize("mac", ["02:00:00:00:00:09", "02:00:00:00:00:02"])
def test_a_neighbour_that_was_set_by_hand_has_the_mac_that_was_set(mac: str) -> None:
    made = with_commands(machine({}), 1, "link set vb address 02:00:00:00:00:02")
    with_commands(made, 0, f"neigh replace 10.1.0.2 lladdr {mac} dev va nud permanent",
                  f"neigh replace fd01::2 lladdr {mac} dev va nud permanent")  # fmt: skip
    found = tried(made)
    expected = "ETIMEDOUT" if mac.endswith("9") else ACCEPTED
    assert [said(attempt) for attempt, _ in found] == [outcome for _, outcome in found] == [expected] * 2


def test_an_advertisement_goes_to_the_neighbour_that_was_set_by_hand() -> None:
    """ARP answers whoever asked."""
    neighbours = [
        f"neigh replace {each} lladdr 02:00:00:00:00:09 dev vb nud permanent" for each in ("10.1.0.1", "fd01::1")
    ]
    found = tried(with_commands(machine({}), 1, *neighbours))
    assert [said(attempt) for attempt, _ in found] == [outcome for _, outcome in found]
    assert [outcome for _, outcome in found] == ["ETIMEDOUT", "EHOSTUNREACH"]


@pytest.mark.skipif(lacking("nft") != "", reason=lacking("nft"))
@pytest.mark.parametrize(("ways", "outcome"), [
    (["-6 rule add fwmark 5 prohibit"], "EHOSTUNREACH"),
    (["route add blackhole fd01::1"], "EHOSTUNREACH"),
    (["-6 rule add fwmark 5 lookup 100", "route add fd01::1 dev lo table 100"], "EHOSTUNREACH"),
    (["-6 rule add fwmark 5 lookup 100", "route add fd01::/64 dev vb table 100"], "accepted"),
    (["-6 rule add fwmark 6 prohibit"], "accepted"),
])  # fmt: skip
def test_an_advertisement_that_is_marked_is_routed(ways: list[str], outcome: str) -> None:
    """As neighbour discovery is not, without a mark."""
    marking = chain("ip6", "output", "icmpv6 type nd-neighbor-advert mark set 5").replace("type filter", "type route")
    made = with_commands(machine({1: marking}), 1, *ways)
    made.targets = [Target(0, "fd01::2", 80)]
    [(attempt, real)] = tried(made)
    assert said(attempt) == real == outcome


@pytest.mark.parametrize(("forwarding", "more", "outcomes"), [
    ("1", [], [ACCEPTED, "EHOSTUNREACH"]),
    ("0", [], ["ETIMEDOUT", "ETIMEDOUT"]),
    ("1", ["route add prohibit fe80::3"], [ACCEPTED, "EHOSTUNREACH"]),
    ("1", ["route add fe80::3 via fd01::1 dev vb"], ["ETIMEDOUT", "EHOSTUNREACH"]),
])  # fmt: skip
def test_a_router_sends_what_is_link_local_back_onto_its_link(
    forwarding: str, more: list[str], outcomes: list[str]
) -> None:
    """By routes of the interface that it came in by only (ip6_route_input_lookup)."""
    made = machine({}, bridged=True)
    for number, name in enumerate(("va", "vb", "br0")):
        with_commands(made, number, f"address add fe80::{number + 1}/64 dev {name} nodad")
    with_commands(made, 0, "route add fe80::3 via fe80::2 dev va", "route add fe80::77 via fe80::2 dev va")
    with_commands(made, 1, *more)
    made.spaces[1].sysctls = {"net/ipv6/conf/all/forwarding": forwarding}
    made.targets = [Target(0, "fe80::3%va", 80), Target(0, "fe80::77%va", 80)]
    found = tried(made)
    assert [said(attempt) for attempt, _ in found] == [outcome for _, outcome in found] == outcomes


def test_a_router_tells_a_link_local_sender_where_it_comes_from() -> None:
    """Though another link has a route to that address, too."""
    made = with_two_links({"net/ipv6/conf/all/forwarding": "1"}, "address add fe80::2/64 dev qa nodad")
    with_commands(made, 0, "address add fe80::1/64 dev pb nodad", "route add fe80::77 via fd02::2 dev pb")
    made.targets = [Target(0, "fe80::77%pb", 80)]
    [(attempt, real)] = tried(made)
    assert said(attempt) == real == "EHOSTUNREACH"


@pytest.mark.parametrize("number", [0, 1])
def test_arp_that_is_off_is_told(number: int) -> None:
    attempt, outcome = tried(with_commands(machine({}), number, f"link set {'va' if not number else 'vb'} arp off"))[0]
    assert outcome != ACCEPTED
    assert attempt.outcome == UNKNOWN
    assert "arp is off" in attempt.sentence


def with_upper(made: Machine, kind: str) -> tuple[Snapshot, list[tuple[Target, str, int]]]:
    """As `run`, with an interface on `vb` of s1 that is in s2, where it has 10.1.0.2."""
    built = build(made)
    built.enter(1)
    ip(f"link add link vb name up0 type {kind}", f"link set up0 netns /proc/{os.getpid()}/fd/{built.descriptors[2]}")
    built.enter(2)
    ip("link set up0 up", "address add 10.1.0.2/24 dev up0")
    settle()
    facts = snapshot(built)
    return facts, [(one.target, one.outcome, one.inode) for one in attempt_all(built)]


@pytest.mark.parametrize("kind", ["macvlan mode bridge", "macvlan mode vepa"])
def test_what_lies_on_an_interface_in_another_namespace_is_not_foreseen(kind: str) -> None:
    made = Machine(1, [Space(0), Space(1), Space(2)], [(0, "va", 1, "vb")])
    made.spaces[0].commands = ["link set va up", "address add 10.1.0.1/24 dev va"]
    made.spaces[1].commands = ["link set vb up"]
    made.spaces[2].listeners = [Listener("dual", 80)]
    made.targets = [Target(0, "10.1.0.2", 80), Target(2, "10.1.0.1", 81), Target(0, "10.1.0.77", 80)]
    facts, results = apart(with_upper, made, kind)
    into, out, nobody = [predict(facts, target) for target, _, _ in results]
    assert [outcome for _, outcome, _ in results] == ["accepted", "ECONNREFUSED", "EHOSTUNREACH"]
    assert (into.outcome, out.outcome) == (UNKNOWN, UNKNOWN)
    assert "up0" in into.sentence
    assert "up0" in out.sentence
    assert said(nobody) == "EHOSTUNREACH"


@pytest.mark.parametrize("first", ["qa", "qb"])
def test_a_reset_of_the_filter_goes_to_a_link_local_address_by_the_first_link(first: str) -> None:
    """The one that came up first, whichever the segment came in by (nf_send_reset6 names no interface)."""
    ours, theirs = (
        [f"link set {name} up" for name in names] + [f"address add {address}/64 dev {name} nodad" for name in names]
        for names, address in ((("pa", "pb"), "fe80::6"), ((first, "qa", "qb"), "fe80::5"))
    )
    ruleset = "table ip6 t {\nchain c {\ntype filter hook input priority 0;\ntcp dport 80 reject with tcp reset\n}\n}\n"
    made = Machine(
        0, [Space(0, commands=ours), Space(1, commands=theirs, ruleset=ruleset)],
        [(0, "pa", 1, "qa"), (0, "pb", 1, "qb")], [Target(0, "fe80::5%pa", 80), Target(0, "fe80::5%pb", 80)],
    )  # fmt: skip
    found = tried(made)
    assert [said(attempt) for attempt, _ in found] == [outcome for _, outcome in found]
    assert [outcome for _, outcome in found].index("ECONNREFUSED") == ("qa", "qb").index(first)


@pytest.mark.skipif(lacking("nft") != "", reason=lacking("nft"))
def test_a_flow_that_nat_has_changed_may_go_another_way() -> None:
    """By one way s0 sends it back to who sent it, by the other to s2, which gives it another source: then s0 chooses
    anew, by a hash with a secret. It is lost, or goes round until its time to live is over."""
    lan = [(0, "pa", 1, "va"), (0, "pb", 2, "vb")]
    ways = "route add 10.77.0.0/16 nexthop via 10.0.1.14 nexthop via 10.0.1.3"
    bridge = ["link add br0 type bridge", "link set br0 up", "address add 10.0.1.1/24 dev br0"]
    bridge += [f"link set {name} up master br0" for name in ("pa", "pb")]
    own = ["link set va up", "address add 10.0.1.4/24 dev va", "address add 10.0.1.14/24 dev va"]
    snat = ["link set vb up", "address add 10.0.1.3/24 dev vb", "route add default via 10.0.1.4"]
    nat = "table ip t {\nchain c {\ntype nat hook postrouting priority 100;\nsnat to 10.0.1.3\n}\n}\n"
    router = {"net/ipv4/ip_forward": "1"}
    made = Machine(
        0, [Space(0, commands=[*bridge, ways], sysctls=router),
            Space(1, commands=[*own, "route add default via 10.0.1.1"], sysctls=router),
            Space(2, commands=snat, sysctls=router, ruleset=nat)],
        lan, [Target(1, f"10.77.0.{number}", 80) for number in range(1, 9)],
    )  # fmt: skip
    for attempt, outcome in tried(made):
        assert outcome in ("EHOSTUNREACH", "ETIMEDOUT")
        assert attempt.outcome == UNKNOWN
        assert "10.77.0.0/16" in attempt.sentence


def with_two_links(checks: dict[str, str], *commands: str, ruleset: str = "") -> Machine:
    """s0 calls 10.3.0.1 of s1 from 10.9.0.1 by the first of two links."""
    near = [
        "link set pa up", "link set pb up", "address add 10.1.0.1/24 dev pa", "address add 10.2.0.1/24 dev pb",
        "address add fd01::1/64 dev pa nodad", "address add fd02::1/64 dev pb nodad",
        "address add 10.9.0.1/32 dev lo", "address add fd09::1/128 dev lo nodad",
        "route add 10.3.0.1 via 10.1.0.2 src 10.9.0.1", "route add fd03::1 via fd01::2 src fd09::1",
    ]  # fmt: skip
    far = [
        "link set qb up", "link set qa up", "address add 10.1.0.2/24 dev qa", "address add 10.2.0.2/24 dev qb",
        "address add fd01::2/64 dev qa nodad", "address add fd02::2/64 dev qb nodad",
        "address add 10.3.0.1/32 dev lo", "address add fd03::1/128 dev lo nodad",
    ]  # fmt: skip
    spaces = [
        Space(0, commands=near),
        Space(1, commands=[*far, *commands], sysctls=checks, ruleset=ruleset, listeners=[Listener("dual", 80)]),
    ]
    return Machine(0, spaces, [(0, "pa", 1, "qa"), (0, "pb", 1, "qb")], [Target(0, "10.3.0.1", 80)])


KNOWN = ["link set qa address 02:00:00:00:00:02"]
"""s0 knows it, and need not ask."""
TABLE = ["route add 10.9.0.0/24 via 10.1.0.1 table 100", "route add 10.9.0.0/24 via 10.2.0.1"]
STRICT, LOOSE = ({"net/ipv4/conf/all/rp_filter": number} for number in "12")


@pytest.mark.parametrize(("checks", "commands", "outcome"), [
    (STRICT, ["route add 10.9.0.0/24 nexthop via 10.1.0.1 nexthop via 10.2.0.1"], ACCEPTED),
    (STRICT, ["route add 10.9.0.0/24 nexthop via 10.2.0.1 nexthop via 10.1.0.1"], ACCEPTED),
    (STRICT, ["route add 10.9.0.0/24 via 10.2.0.1"], "EHOSTUNREACH"),  # who asks who is who is refused, too
    (LOOSE, ["route add 10.9.0.0/24 via 10.2.0.1"], ACCEPTED),
    (LOOSE, [*KNOWN, "route add 10.9.0.0/24 via 10.2.0.1", "address del 10.1.0.2/24 dev qa"], "ETIMEDOUT"),
    (LOOSE, [], "EHOSTUNREACH"),
    (STRICT, [*KNOWN, *TABLE, "rule add ipproto tcp sport 80 lookup 100"], ACCEPTED),
    (STRICT, [*KNOWN, *TABLE, "rule add ipproto tcp dport 80 lookup 100"], "ETIMEDOUT"),
    (STRICT, [*KNOWN, *TABLE, "rule add fwmark 5 lookup 100"], "ETIMEDOUT"),
    ({**STRICT, "net/ipv4/conf/all/src_valid_mark": "1"}, [*KNOWN, *TABLE, "rule add fwmark 5 lookup 100"], ACCEPTED),
])  # fmt: skip
def test_any_of_several_ways_back_will_do(checks: dict[str, str], commands: list[str], outcome: str) -> None:
    marking = chain("ip", "prerouting", "tcp dport 80 meta mark set 5") if not lacking("nft") else ""
    made = with_two_links(checks, *commands, ruleset=marking)
    if KNOWN[0] in commands:
        with_commands(made, 0, "neigh replace 10.1.0.2 lladdr 02:00:00:00:00:02 dev pa nud permanent")
    [(attempt, real)] = tried(made)
    assert said(attempt) == real == outcome


@pytest.mark.skipif(lacking("nft") != "", reason=lacking("nft"))
@pytest.mark.parametrize(("ways", "outcomes"), [
    (("nexthop via 10.1.0.1 nexthop via 10.2.0.1", "via fd01::1"), [ACCEPTED, ACCEPTED]),
    (("via 10.2.0.1", "via fd02::1"), ["ETIMEDOUT", "ETIMEDOUT"]),
])  # fmt: skip
def test_a_rule_about_the_way_back_sees_any_of_several_ways(ways: tuple[str, str], outcomes: list[str]) -> None:
    ruleset = chain("inet", "prerouting", "tcp dport 80 fib saddr . iif oif missing drop")
    made = with_two_links({}, f"route add 10.9.0.0/24 {ways[0]}", f"route add fd09::/64 {ways[1]}", ruleset=ruleset)
    made.targets.append(Target(0, "fd03::1", 80))
    found = tried(made)
    assert [said(attempt) for attempt, _ in found] == [outcome for _, outcome in found] == outcomes


@pytest.mark.skipif(lacking("ip6tables-nft", "nft") != "", reason=lacking("ip6tables-nft", "nft"))
def test_the_match_rpfilter_looks_for_the_interface_first() -> None:
    """As nft's fib does not: which of them it is, the facts do not tell."""
    better = ("route add fd09::/64 via fd02::1 metric 5", "route add fd09::/64 via fd01::1 metric 50")
    missing = chain("inet", "prerouting", "tcp dport 80 fib saddr . iif oif missing drop")
    match = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n"
    for ruleset, ip6tables, real in ((missing, "", "ETIMEDOUT"), ("", match, ACCEPTED)):
        made = with_two_links({}, *better, ruleset=ruleset)
        made.spaces[1].ip6tables = ip6tables
        made.targets = [Target(0, "fd03::1", 80)]
        [(attempt, outcome)] = tried(made)
        assert outcome == real
        assert attempt.outcome == UNKNOWN
        assert {said(end) for end in attempt.ends} >= {ACCEPTED, "ETIMEDOUT"}


@pytest.mark.parametrize("action", ["unreachable", "prohibit", "blackhole"])
def test_routing_rules_refuse_as_routes_do_not(action: str) -> None:
    """That a rule says `unreachable` is another errno than that a route does."""
    made = with_commands(
        machine({}), 0, f"rule add to 10.1.0.9 {action} priority 5", f"-6 rule add to fd01::9 {action} priority 5"
    )
    made.targets = [Target(0, "10.1.0.9", 80), Target(0, "fd01::9", 80)]
    found = tried(made)
    expected = {"unreachable": "ENETUNREACH", "prohibit": "EACCES", "blackhole": "EINVAL"}[action]
    assert [said(attempt) for attempt, _ in found] == [outcome for _, outcome in found] == [expected] * 2


@pytest.mark.skipif(lacking("nft") != "", reason=lacking("nft"))
@pytest.mark.parametrize("heard", [True, False])
def test_a_neighbour_that_was_heard_of_is_not_asked_who_it_is(heard: bool) -> None:
    """s1 answers no question, but s0 learns who it is when s1 asks."""
    made = machine({1: chain("netdev", "ingress", "icmpv6 type nd-neighbor-solicit drop", device="vb")})
    made.targets = [Target(0, "fd01::2", 80)]
    facts, ((target, outcome, _),) = apart(after_a_word if heard else run, made)
    assert said(predict(facts, target)) == outcome == (ACCEPTED if heard else "EHOSTUNREACH")


def after_a_word(made: Machine) -> tuple[Snapshot, list[tuple[Target, str, int]]]:
    """As `run`, once s1 has said something to s0."""
    built = build(made)
    built.enter(1)
    with socket.create_connection(("fd01::1", 80)):
        facts = snapshot(built)
        return facts, [(one.target, one.outcome, one.inode) for one in attempt_all(built)]


def test_through_a_tunnel_nobody_is_asked_who_is_who() -> None:
    """Of a program that is not there: the tunnel has no carrier."""
    made = Machine(0, [Space(0), Space(1)], [(0, "va", 1, "vb")])
    made.spaces[0].commands = [
        "tuntap add tun0 mode tun", "link set tun0 up", "address add 10.8.0.1/24 dev tun0",
        "address add fd08::1/64 dev tun0 nodad", "route add 10.9.0.0/16 dev tun0",
    ]  # fmt: skip
    made.targets = [Target(0, address, 80) for address in ("10.8.0.2", "10.9.0.2", "fd08::2", "10.8.0.1")]
    found = tried(made)
    assert [said(attempt) for attempt, _ in found] == [outcome for _, outcome in found]
    assert [outcome for _, outcome in found] == ["ETIMEDOUT"] * 3 + ["ECONNREFUSED"]


@pytest.mark.parametrize(("mac", "outcome"), [
    ("02:00:00:00:00:0c", ACCEPTED), ("02:00:00:00:00:0a", ACCEPTED), ("02:00:00:00:00:0b", "ETIMEDOUT"),
])  # fmt: skip
def test_a_bridge_takes_the_mac_of_a_port_by_that_port_only(mac: str, outcome: str) -> None:
    made = machine({}, bridged=True)
    for name, own in (("pa", "0a"), ("pb", "0b"), ("br0", "0c")):
        with_commands(made, 2, f"link set {name} address 02:00:00:00:00:{own}")
    with_commands(made, 0, f"neigh replace 10.1.0.3 lladdr {mac} dev va nud permanent")
    made.targets = [Target(0, "10.1.0.3", 80)]
    [(attempt, real)] = tried(made)
    assert said(attempt) == real == outcome


def test_a_bridge_has_the_mac_of_its_first_port() -> None:
    made = machine({}, bridged=True)
    made.spaces[2].commands[:0] = [f"link set {name} address 02:00:00:00:00:0{name[1]}" for name in ("pa", "pb")]
    with_commands(made, 1, "neigh replace 10.1.0.3 lladdr 02:00:00:00:00:0a dev vb nud permanent")
    made.targets = [Target(1, "10.1.0.3", 80)]
    [(attempt, real)] = tried(made)
    assert said(attempt) == real == ACCEPTED


@pytest.mark.parametrize(("where", "sysctls", "outcome"), [
    (1, {"arp_ignore": "1"}, "EHOSTUNREACH"), (1, {"arp_ignore": "2"}, "EHOSTUNREACH"),
    (1, {"arp_ignore": "3"}, ACCEPTED), (1, {"arp_ignore": "8"}, "EHOSTUNREACH"),
    (0, {"arp_announce": "1"}, ACCEPTED), (0, {"arp_announce": "2"}, ACCEPTED),
])  # fmt: skip
def test_who_answers_for_an_address_of_another_interface(where: int, sysctls: dict[str, str], outcome: str) -> None:
    made = with_two_links({}, "route add 10.9.0.0/24 via 10.1.0.1")
    made.spaces[0].commands[-2] = "route add 10.3.0.1 dev pa src 10.9.0.1"
    made.spaces[where].sysctls = {f"net/ipv4/conf/all/{name}": value for name, value in sysctls.items()}
    [(attempt, real)] = tried(made)
    assert said(attempt) == real == outcome


@pytest.mark.parametrize("level", ["0", "1", "2"])
def test_who_asks_may_have_to_be_of_the_same_network(level: str) -> None:
    """s1 does not answer a question that does not come from where the way to the asker leads."""
    made = with_two_links(STRICT, *TABLE, "rule add ipproto tcp sport 80 lookup 100")
    made.spaces[0].sysctls = {"net/ipv4/conf/all/arp_announce": level}
    [(attempt, real)] = tried(made)
    assert said(attempt) == real == ("EHOSTUNREACH" if level == "0" else ACCEPTED)
