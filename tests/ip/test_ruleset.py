"""The packet filter of a real machine: chains as facts, evaluated as nft(8) describes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from portside.addr.abi import IPPROTO_ICMPV6
from portside.addr.ip import parse
from portside.facts.route import LOCAL, UNICAST
from portside.facts.rule import Chain, FirewallRule, Match
from portside.ip.interface import Interface
from portside.ip.ruleset import Ruleset, Ruling
from portside.wire.packet import ACK, RST, SYN, IcmpMessage, Packet, TcpSegment, UdpDatagram

ETH0, ETH1, LO = Interface(2, "eth0"), Interface(3, "eth1"), Interface(1, "lo", loopback=True)
WLAN = Interface(4, "wlan0")
CLIENT, SERVER, ROUTER = parse("10.0.0.1"), parse("10.0.1.2"), parse("10.0.0.254")


class Host:
    """What rules ask: 10.0.0.254 is its own, eth0 is the way back to 10.0.0.0/24, of wlan0 it is not known."""

    now = 0
    routes_by_mark = False

    def kind_of(self, address: int, device: int = 0) -> int:
        return LOCAL if address == ROUTER else UNICAST

    def comes_back(self, address: int, interface: Interface) -> bool | None:
        return interface is ETH0 if interface is not WLAN else None

    def masquerade_as(self, destination: int, interface: Interface) -> int:
        return ROUTER

    def redirect_to(self, interface: Interface | None, destination: int) -> int:
        return ROUTER


class Doubts:
    """Answers every doubt in one way, and remembers what was asked."""

    def __init__(self, answer: bool = False) -> None:
        self.answer = answer
        self.answers: dict[str, bool] = {}
        self.asked: list[str] = []

    def holds(self, rule: FirewallRule, chain: Chain, packet: Packet) -> bool:
        self.asked.append(rule.text)
        return self.answers.get(rule.text, self.answer)

    def unforeseen(self, about: object) -> None:
        assert isinstance(about, FirewallRule)
        self.asked.append(about.text)

    def which(self, rule: FirewallRule, count: int, between: tuple[int, int]) -> int:
        return count - 1


def chain(name: str, *rules: FirewallRule, hook: str | None = None, **more: Any) -> Chain:
    return Chain(family=more.pop("family", "inet"), table="t", name=name, hook=hook, rules=rules, **more)


def rule(verdict: str, *matches: Match, **more: Any) -> FirewallRule:
    return FirewallRule(verdict=verdict, matches=matches, **more)


def match(key: str, *values: Any, negated: bool = False) -> Match:
    pairs = tuple((value, value) if isinstance(value, int) else value for value in values)
    return Match(key=key, values=pairs, negated=negated)


def syn(port: int = 80, *, src: int = CLIENT, dst: int = SERVER, sport: int = 4000, flags: int = SYN) -> TcpSegment:
    return TcpSegment(src, dst, sport, port, 1, 0, flags, 100)


def ask(chains: list[Chain], packet: Packet, doubts: Doubts | None = None) -> Ruling | None:
    return Ruleset(chains, Host(), doubts or Doubts()).prerouting(packet, ETH0)


@pytest.mark.parametrize(("matches", "holds"), [
    ((), True),
    ((match("proto", 6), match("dport", 80)), True),
    ((match("dport", (70, 79), (81, 90)),), False),
    ((match("dport", 80, negated=True),), False),
    ((match("dport", 22, negated=True),), True),
    ((match("icmp_type", 8),), False),
    ((match("icmp_type", 8, negated=True),), False),  # there is no such header: the rule does not hold
    ((match("saddr", (parse("10.0.0.0"), parse("10.0.0.255"))),), True),
    ((match("daddr", (CLIENT, CLIENT)),), False),
    ((match("iif", "eth0"),), True),
    ((match("iif", "eth*", "lo"),), True),
    ((match("iif", "lo", negated=True),), True),
    ((match("oif", "eth0"),), False),
    ((match("oif", "eth0", negated=True),), True),
    ((match("family", "ip"),), True),
    ((match("family", "ip6"),), False),
    ((match("tcp_flags", (SYN, SYN | ACK)),), True),
    ((match("tcp_flags", (0, SYN | ACK), negated=True),), True),
    ((match("tcp_flags", (SYN | ACK, 0xFF)),), False),
    ((match("state", "new"),), True),
    ((match("state", "established", "related"),), False),
    ((match("direction", "original"),), True),
    ((match("mark", (5, 0xFFFFFFFF)),), False),
    ((match("mark", (0, 0xFF)),), True),
    ((match("uid", 0),), False),
    ((match("uid", 0, negated=True),), False),  # no socket here
    ((match("daddr_type", "local"),), False),
    ((match("daddr_type", "unicast"),), True),
    ((match("reverse_path", "exists"),), True),
    ((match("reverse_path", "missing"),), False),
    ((match("original_daddr", (SERVER, SERVER)), match("original_dport", 80)), True),
    ((match("ct_status", "dnat"),), False),
])  # fmt: skip
def test_a_rule_holds_when_all_its_conditions_do(matches: tuple[Match, ...], holds: bool) -> None:
    ruling = ask([chain("c", rule("drop", *matches), hook="prerouting")], syn())
    assert (ruling is not None) is holds


def test_a_large_set_is_searched() -> None:
    many = match("saddr", *((parse(f"10.9.{n}.0"), parse(f"10.9.{n}.7")) for n in range(200)))
    chains = [chain("c", rule("drop", many), hook="prerouting")]
    assert ask(chains, syn(src=parse("10.9.150.7"))) is not None
    assert ask(chains, syn(src=parse("10.9.150.8"))) is None
    assert ask(chains, syn(src=parse("10.8.0.0"))) is None


class TestChains:
    def test_an_accept_ends_its_base_chain_and_no_other(self) -> None:
        first = chain("first", rule("accept"), rule("drop"), hook="prerouting", priority=-5)
        assert ask([first], syn()) is None
        assert ask([first, chain("second", rule("drop"), hook="prerouting")], syn()) is not None

    def test_chains_are_asked_by_priority_and_the_newest_first_of_equals(self) -> None:
        chains = [
            chain("late", rule("drop"), hook="prerouting", priority=10),
            chain("old", rule("drop"), hook="prerouting", priority=-10),
            chain("new", rule("drop"), hook="prerouting", priority=-10),
        ]
        ruling = ask(chains, syn())
        assert ruling is not None
        assert ruling.chain.name == "new"

    def test_the_policy_decides_where_no_rule_does(self) -> None:
        ruling = ask([chain("c", rule("accept", match("dport", 22)), hook="prerouting", policy="drop")], syn())
        assert ruling is not None
        assert (ruling.verdict, ruling.rule, ruling.text) == ("drop", None, "policy drop")

    @pytest.mark.parametrize(("verdict", "dropped"), [("jump", True), ("goto", False)])
    def test_after_a_jump_the_caller_goes_on_and_after_a_goto_it_does_not(self, verdict: str, dropped: bool) -> None:
        chains = [
            chain("user", rule("return")),
            chain("c", rule(verdict, target="user"), rule("drop"), hook="prerouting"),
        ]
        assert (ask(chains, syn()) is not None) is dropped

    def test_what_a_goto_was_jumped_from_goes_on(self) -> None:
        chains = [
            chain("leaf"), chain("user", rule("goto", target="leaf"), rule("accept")),
            chain("c", rule("jump", target="user"), rule("drop"), hook="prerouting"),
        ]  # fmt: skip
        assert ask(chains, syn()) is not None

    def test_chains_that_jump_to_each_other_for_ever_come_to_an_end(self) -> None:
        loop = rule("jump", target="user")
        assert ask([chain("user", loop), chain("c", loop, hook="prerouting")], syn()) is None

    def test_a_table_of_the_other_family_is_not_asked(self) -> None:
        assert ask([chain("c", rule("drop"), hook="prerouting", family="ip6")], syn()) is None

    def test_a_mark_is_set_bit_by_bit(self) -> None:
        rules = [rule("continue", set_mark=(5, 0xFFFFFFFF)), rule("continue", set_mark=(0x10, 0x10)),
                 rule("drop", match("mark", (0x15, 0xFFFFFFFF)))]  # fmt: skip
        assert ask([chain("c", *rules, hook="prerouting")], syn()) is not None


class TestDoubts:
    def test_a_rule_that_can_not_be_read_is_asked_about(self) -> None:
        unread = rule("drop", understood=False, text="quota drop")
        for answer in (False, True):
            doubts = Doubts(answer)
            assert (ask([chain("c", unread, hook="prerouting")], syn(), doubts) is not None) is answer
            assert doubts.asked == ["quota drop"]

    def test_not_when_the_packet_fails_what_could_be_read(self) -> None:
        doubts = Doubts()
        ask([chain("c", rule("drop", match("dport", 22), understood=False), hook="prerouting")], syn(), doubts)
        assert doubts.asked == []

    @pytest.mark.parametrize("unread", [
        rule("jump", target="log", text="jump"), rule("continue", text="log", understood=True),
    ])  # fmt: skip
    def test_not_about_what_changes_nothing(self, unread: FirewallRule) -> None:
        log = chain("log", rule("continue"), rule("jump", target="more"), rule("return", understood=False))
        more = chain("more", rule("continue"))
        doubts = Doubts()
        chains = [chain("c", replace(unread, understood=unread.verdict != "jump"), hook="prerouting"), log, more]
        assert ask(chains, syn(), doubts) is None
        assert doubts.asked == []

    def test_a_mark_from_elsewhere_may_be_any(self) -> None:
        rules = (
            rule("continue", understood=False, text="restore"),
            rule("drop", match("mark", (5, 0xFF)), text="drop"),
        )
        for answers, drops in (((True, True), True), ((True, False), False), ((False, True), False)):
            doubts = Doubts()
            doubts.answers = dict(zip(("restore", "drop"), answers, strict=True))
            assert (ask([chain("c", *rules, hook="prerouting")], syn(), doubts) is not None) is drops
        known = (*rules[:1], rule("continue", set_mark=(7, 0xFFFFFFFF)), *rules[1:])
        assert ask([chain("c", *known, hook="prerouting")], syn(), Doubts(answer=True)) is None

    def test_so_may_the_way_of_what_it_marks(self) -> None:
        marking = chain("c", rule("continue", understood=False, text="restore"), hook="prerouting")
        for routes_by_mark, asked in ((True, ["restore", "restore"]), (False, ["restore"])):
            host, doubts, packet = Host(), Doubts(answer=True), syn()
            host.routes_by_mark = routes_by_mark
            ruleset = Ruleset([marking], host, doubts)
            ruleset.prerouting(packet, ETH0)
            assert ruleset.mark_of(packet) == 0
            assert doubts.asked == asked

    def test_whether_the_way_back_is_meant_by_its_interface(self) -> None:
        for answer in (False, True):
            doubts = Doubts(answer)
            ruleset = Ruleset([chain("c", rule("drop", match("reverse_path", "missing"), text="rpfilter"),
                                     hook="prerouting")], Host(), doubts)  # fmt: skip
            assert (ruleset.prerouting(syn(), WLAN) is not None) is answer
            assert doubts.asked == ["rpfilter"]

    def test_what_a_program_decides_is_in_doubt(self) -> None:
        chains = [chain("c", rule("queue", text="queue"), hook="prerouting")]
        assert ask(chains, syn(), Doubts(answer=True)) is None
        assert ask(chains, syn(), Doubts(answer=False)) is not None


def through(ruleset: Ruleset, packet: Packet, iif: Interface, oif: Interface) -> Packet:
    """Pass a packet on from one interface to another; it must be let through."""
    assert ruleset.prerouting(packet, iif) is None
    assert ruleset.forward(packet, iif, oif) is None
    assert ruleset.postrouting(packet, iif, oif) is None
    return packet


def names(packet: TcpSegment | UdpDatagram) -> tuple[int, int, int, int]:
    return packet.src, packet.sport, packet.dst, packet.dport


class TestNat:
    @staticmethod
    def ruleset(pre: list[FirewallRule] | None = None, post: list[FirewallRule] | None = None, *more: Chain) -> Ruleset:
        chains = [
            chain("pre", *(pre or []), hook="prerouting", kind="nat", priority=-100),
            chain("post", *(post or []), hook="postrouting", kind="nat", priority=100),
            *more,
        ]
        return Ruleset(chains, Host(), Doubts())

    def test_a_destination_is_replaced_and_put_back_in_the_answer(self) -> None:
        dnat = rule("dnat", match("dport", 8080), to_address=(SERVER, SERVER), to_port=(80, 80))
        ruleset = self.ruleset([dnat])
        out = through(ruleset, syn(8080, dst=ROUTER), ETH0, ETH1)
        assert names(out) == (CLIENT, 4000, SERVER, 80)
        back = through(ruleset, syn(4000, src=SERVER, dst=CLIENT, sport=80, flags=SYN | ACK), ETH1, ETH0)
        assert names(back) == (ROUTER, 8080, CLIENT, 4000)
        again = through(ruleset, syn(8080, dst=ROUTER, flags=ACK), ETH0, ETH1)
        assert names(again) == (CLIENT, 4000, SERVER, 80)

    def test_a_source_is_masqueraded_and_put_back(self) -> None:
        ruleset = self.ruleset(post=[rule("masquerade", match("oif", "eth1"))])
        assert names(through(ruleset, syn(), ETH0, ETH1)) == (ROUTER, 4000, SERVER, 80)
        back = through(ruleset, syn(4000, src=SERVER, dst=ROUTER, sport=80, flags=SYN | ACK), ETH1, ETH0)
        assert names(back) == (SERVER, 80, CLIENT, 4000)

    def test_two_clients_behind_one_address_get_two_ports(self) -> None:
        ruleset = self.ruleset(post=[rule("masquerade")])
        first = through(ruleset, syn(), ETH0, ETH1)
        second = through(ruleset, syn(src=parse("10.0.0.2")), ETH0, ETH1)
        assert first.sport == 4000
        assert second.sport != 4000

    def test_a_port_in_the_range_stays(self) -> None:
        ruleset = self.ruleset(post=[rule("masquerade", to_port=(3000, 5000))])
        assert through(ruleset, syn(), ETH0, ETH1).sport == 4000
        assert through(self.ruleset(post=[rule("masquerade", to_port=(5000, 5001))]), syn(), ETH0, ETH1).sport == 5000

    def test_the_first_nat_rule_decides_for_the_whole_connection(self) -> None:
        two = [rule("dnat", to_address=(SERVER, SERVER)), rule("dnat", to_address=(CLIENT, CLIENT))]
        assert through(self.ruleset(two), syn(dst=ROUTER), ETH0, ETH1).dst == SERVER

    def test_a_range_of_addresses_is_a_matter_of_doubt(self) -> None:
        ruleset = self.ruleset([rule("dnat", to_address=(SERVER, SERVER + 3))])
        assert through(ruleset, syn(dst=ROUTER), ETH0, ETH1).dst == SERVER + 3

    def test_redirect_leads_to_this_host(self) -> None:
        packet = syn(81)
        ruleset = self.ruleset([rule("redirect", match("dport", 81), to_port=(8080, 8080))])
        assert ruleset.prerouting(packet, ETH0) is None
        assert names(packet) == (CLIENT, 4000, ROUTER, 8080)

    def test_the_filter_sees_where_it_goes_and_can_ask_where_it_went(self) -> None:
        seen = chain("f", rule("drop", match("daddr", (SERVER, SERVER)), match("ct_status", "dnat"),
                                match("original_dport", 8080)), hook="forward")  # fmt: skip
        ruleset = self.ruleset([rule("dnat", to_address=(SERVER, SERVER), to_port=(80, 80))], None, seen)
        packet = syn(8080, dst=ROUTER)
        assert ruleset.prerouting(packet, ETH0) is None
        assert ruleset.forward(packet, ETH0, ETH1) is not None

    def test_what_is_not_tracked_is_not_translated(self) -> None:
        raw = chain("raw", rule("notrack"), hook="prerouting", priority=-300)
        ruleset = self.ruleset([rule("dnat", to_address=(SERVER, SERVER))], None, raw)
        packet = syn(dst=ROUTER)
        assert ruleset.prerouting(packet, ETH0) is None
        assert packet.dst == ROUTER

    def test_an_error_about_a_translated_packet_is_translated_too(self) -> None:
        ruleset = self.ruleset([rule("dnat", to_address=(SERVER, SERVER), to_port=(80, 80))])
        sent = through(ruleset, syn(8080, dst=ROUTER), ETH0, ETH1)
        error = IcmpMessage(SERVER, CLIENT, 1, 3, 3, quoted=sent.copy())
        through(ruleset, error, ETH1, ETH0)
        assert error.src == ROUTER
        assert isinstance(error.quoted, TcpSegment)
        assert names(error.quoted) == (CLIENT, 4000, ROUTER, 8080)

    def test_a_reset_that_answers_at_once_ends_what_was_never_a_connection(self) -> None:
        states = chain("f", rule("drop", match("state", "established")), hook="forward")
        ruleset = self.ruleset(None, None, states)
        through(ruleset, syn(), ETH0, ETH1)
        reset = syn(4000, src=SERVER, dst=CLIENT, sport=80, flags=RST | ACK)
        ruleset.prerouting(reset, ETH1)
        assert ruleset.forward(reset, ETH1, ETH0) is not None
        through(ruleset, syn(), ETH0, ETH1)

    def test_datagrams_are_translated_like_segments(self) -> None:
        ruleset = self.ruleset([rule("dnat", to_address=(SERVER, SERVER), to_port=(53, 53))])
        out = UdpDatagram(CLIENT, ROUTER, 4000, 5353, b"?")
        assert names(through(ruleset, out, ETH0, ETH1)) == (CLIENT, 4000, SERVER, 53)


def test_neighbour_discovery_is_untracked_icmpv6_to_the_filter() -> None:
    conditions = (match("proto", IPPROTO_ICMPV6), match("icmp_type", 135), match("state", "untracked"))
    drop = chain("in", rule("drop", *conditions), hook="input")
    ruleset = Ruleset([drop], Host(), Doubts())
    asking = IcmpMessage(parse("fd00::1"), parse("ff02::1:ff00:2"), IPPROTO_ICMPV6, 135, 0)
    assert ruleset.neighbor(asking, ETH0, None) is not None
    assert ruleset.neighbor(asking, None, ETH0) is None
