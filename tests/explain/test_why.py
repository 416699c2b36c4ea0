"""`why` on machines made by hand: every outcome, its steps and what to change."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from tests.explain import hand

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_UDP, SECOND
from portside.addr.ip import V4_PREFIX, parse
from portside.explain.attempt import ACCEPTED, BEYOND, FAILED, SILENT, UNKNOWN, Why
from portside.explain.choices import Choices
from portside.explain.connect import why
from portside.explain.machine import routes_of
from portside.facts.interface import IFF_LOWER_UP, IFF_UP
from portside.facts.route import (
    BLACKHOLE,
    BROADCAST,
    LOCAL,
    PROHIBIT,
    TABLE_LOCAL,
    UNREACHABLE,
    NextHop,
    PolicyRule,
    Route,
)
from portside.facts.rule import Chain, FirewallRule, Match
from portside.facts.settings import Settings
from portside.facts.snapshot import Missing, Namespace, Snapshot
from portside.facts.state import TIME_WAIT
from portside.ip.route import RouteEntry

TCP = Match(key="proto", values=((6, 6),))


def chain(hook: str, *rules: FirewallRule, policy: str = "accept", **more: object) -> Chain:
    return Chain(family="inet", table="t", name=hook, hook=hook, rules=rules, policy=policy, **more)  # type: ignore[arg-type]


def dport(*ports: int) -> Match:
    return Match(key="dport", values=tuple((port, port) for port in ports))


def route(prefix: str, **more: object) -> Route:
    text, _, length = prefix.partition("/")
    return Route(destination=parse(text), prefix_length=int(length), **more)  # type: ignore[arg-type]


def veth(index: int, name: str, address: str, link: int, namespace: int):
    made = hand.interface(index, name, address)
    return replace(made, kind="veth", link=link, link_namespace=namespace, flags=IFF_UP | IFF_LOWER_UP, state="UP")


def pair(*, here: dict[str, object] | None = None, there: dict[str, object] | None = None) -> Snapshot:
    """Two namespaces and a veth pair: 10.1.0.1 here, 10.1.0.2 in `blue`."""
    one = Snapshot(
        host="here", namespace=Namespace(inode=1, name=""),
        interfaces=(hand.LO, veth(2, "v0", "10.1.0.1/24", 7, 2)), **(here or {}),  # type: ignore[arg-type]
    )  # fmt: skip
    other = Snapshot(
        host="here", namespace=Namespace(inode=2, name="blue"),
        interfaces=(hand.LO, veth(7, "v1", "10.1.0.2/24", 2, 1)), **(there or {}),  # type: ignore[arg-type]
    )  # fmt: skip
    return replace(one, others=(other,))


def said(answer: Why) -> str:
    return "\n".join(step.sentence for attempt in answer.attempts for step in attempt.steps)


class TestTheListener:
    def test_it_is_named_with_its_process(self) -> None:
        answer = why(hand.host(hand.socket("0.0.0.0:80", pid=7, command="nginx")), "192.168.1.5", 80)
        assert (answer.outcome, answer.errno) == (ACCEPTED, 0)
        assert answer.sentence == "192.168.1.5:80 would be accepted by nginx (pid 7)"
        assert answer.remedy == "nothing: it works"

    def test_what_never_leaves_the_host_comes_by_lo(self) -> None:
        """Whichever interface has the address: a filter that lets `lo` pass lets this pass (__mkroute_output)."""
        answer = why(hand.host(hand.socket("0.0.0.0:80")), "192.168.1.5", 80)
        assert "SYN to 192.168.1.5:80 from 192.168.1.5 is for this host, and comes in by lo" in said(answer)
        assert "by eth0" not in said(answer)
        bound = why(hand.host(hand.socket("0.0.0.0:80", device=2)), "192.168.1.5", 80)
        assert bound.outcome == ACCEPTED  # by the socket that is bound to the interface of the address

    @pytest.mark.parametrize(("listens", "host", "reason"), [
        ("127.0.0.1:80", "192.168.1.5", "listens on port 80, but only on 127.0.0.1"),
        ("192.168.1.5:80", "127.0.0.1", "listens on port 80, but only on 192.168.1.5"),
        ("0.0.0.0:80", "::1", "listens on port 80, but only over IPv4"),
        ("[::1]:80", "127.0.0.1", "listens on port 80, but only over IPv6"),
        ("0.0.0.0:81", "127.0.0.1", "nobody listens on port 80 here"),
    ])  # fmt: skip
    def test_who_almost_listens_is_named(self, listens: str, host: str, reason: str) -> None:
        answer = why(hand.host(hand.socket(listens, pid=7, command="app")), host, 80)
        assert (answer.outcome, answer.errno) == (FAILED, errno.ECONNREFUSED)
        assert reason in said(answer)
        assert reason in answer.remedy

    def test_one_for_ipv6_alone_is_not_reached_over_ipv4(self) -> None:
        answer = why(hand.host(hand.socket("[::]:80", v6only=True)), "127.0.0.1", 80)
        assert answer.errno == errno.ECONNREFUSED
        assert "only over IPv6" in said(answer)

    def test_one_that_does_not_listen_is_named(self) -> None:
        answer = why(hand.host(hand.socket("0.0.0.0:80", pid=7, command="app", state=7)), "127.0.0.1", 80)
        assert "app (pid 7) is bound to port 80, but does not listen" in said(answer)

    def test_one_bound_to_a_device_is_not_reached_by_another(self) -> None:
        answer = why(hand.host(hand.socket("0.0.0.0:80", device=3)), "127.0.0.1", 80)
        assert answer.errno == errno.ECONNREFUSED

    def test_a_full_accept_queue_lets_nobody_in(self) -> None:
        full = hand.socket("0.0.0.0:80", pid=7, command="slow", backlog=4, accept_queue=5)
        answer = why(hand.host(full), "127.0.0.1", 80)
        assert answer.errno == errno.ETIMEDOUT
        assert "the accept queue of slow (pid 7) is full: 5 wait, 4 may" in said(answer)
        assert "accept faster" in answer.remedy
        assert answer.attempts[0].after > 100 * 10**9

    def test_where_the_backlog_could_not_be_read_there_is_room(self) -> None:
        busy = hand.socket("0.0.0.0:80", pid=7, command="slow", backlog=None, accept_queue=5)
        assert why(hand.host(busy), "127.0.0.1", 80).outcome == ACCEPTED

    def test_any_of_a_reuseport_group_may_have_it(self) -> None:
        group = [hand.socket("0.0.0.0:80", pid=pid, command="web", reuseport=None, inode=pid) for pid in (7, 8)]
        answer = why(hand.host(*group), "127.0.0.1", 80)
        assert {each.inode for each in answer.attempts[0].by} == {7, 8}


class TestTheWay:
    def test_a_destination_beyond_is_beyond(self) -> None:
        answer = why(hand.host(), "192.168.1.77", 80)
        assert (answer.outcome, answer.errno) == (BEYOND, 0)
        assert answer.sentence.startswith("beyond this machine: SYN to 192.168.1.77:80")

    def test_without_a_route_there_is_none(self) -> None:
        answer = why(hand.host(), "8.8.8.8", 80)
        assert answer.errno == errno.ENETUNREACH
        assert [step.what for step in answer.attempts[0].steps] == ["route"]  # it is said once
        assert answer.remedy == "in here: change the routes: no route leads to 8.8.8.8"

    @pytest.mark.parametrize(("kind", "number"), [
        (BLACKHOLE, errno.EINVAL), (UNREACHABLE, errno.EHOSTUNREACH), (PROHIBIT, errno.EACCES),
    ])  # fmt: skip
    def test_a_route_that_refuses_is_shown(self, kind: int, number: int) -> None:
        answer = why(hand.host(routes=(route("8.8.8.0/24", kind=kind),)), "8.8.8.8", 80)
        assert answer.errno == number
        assert "8.8.8.0/24" in answer.remedy

    def test_link_local_needs_its_interface(self) -> None:
        machine = hand.host(hand.socket("[::]:80"))
        assert why(machine, "fe80::5", 80).errno == errno.EINVAL
        assert why(machine, "fe80::5%eth0", 80).outcome == ACCEPTED
        with pytest.raises(ValueError, match="no interface 'eth9'"):
            why(machine, "fe80::5%eth9", 80)

    def test_a_routing_rule_chooses_the_table(self) -> None:
        local = [route("127.0.0.0/8", kind=LOCAL, table=TABLE_LOCAL, interface=1)]
        rules = (
            PolicyRule(priority=0, family=AF_INET, table=TABLE_LOCAL),
            PolicyRule(priority=5, family=AF_INET, action="prohibit", uids=(1000, 2000)),
            PolicyRule(priority=9, family=AF_INET, table=100),
        )
        ways = (
            *local,
            route("0.0.0.0/0", table=100, interface=2, gateway=parse("192.168.1.1"), source=parse("192.168.1.5")),
        )
        machine = hand.host(routes=(*ways, route("192.168.1.5/32", kind=LOCAL, table=TABLE_LOCAL, interface=2)),
                            policy_rules=rules)  # fmt: skip
        assert why(machine, "8.8.8.8", 80).outcome == BEYOND
        assert why(machine, "8.8.8.8", 80, uid=1500).errno == errno.EACCES

    def test_several_ways_to_one_end_are_one_answer(self) -> None:
        hops = (NextHop(gateway=parse("192.168.1.1"), interface=2), NextHop(gateway=parse("10.9.0.1"), interface=3))
        own = tuple(routes_of((hand.LO, hand.ETH0, hand.ETH1)))
        machine = hand.host(routes=(*own, route("0.0.0.0/0", hops=hops)))
        assert why(machine, "8.8.8.8", 80).outcome == BEYOND

    def test_each_flow_chooses_its_way(self) -> None:
        entry = RouteEntry(parse("10.0.0.0"), 8, None)
        choices = Choices((0, 1))
        assert [choices.way(entry, (source, 9), 2) for source in (1, 2, 1, 2)] == [0, 1, 0, 1]
        assert choices.made == [(entry, 0, 2), (entry, 1, 2)]


class TestTheFilter:
    @pytest.mark.parametrize(("rule", "number"), [
        (FirewallRule(verdict="drop", text="drop"), errno.ETIMEDOUT),
        (FirewallRule(verdict="reject", reject_with="port-unreachable", text="reject"), errno.ECONNREFUSED),
        (FirewallRule(verdict="reject", reject_with="tcp-reset", text="reject with tcp reset"), errno.ECONNREFUSED),
        (FirewallRule(verdict="reject", reject_with="admin-prohibited", text="prohibit"), errno.EHOSTUNREACH),
    ])  # fmt: skip
    @pytest.mark.parametrize("hook", ["input", "output"])
    def test_the_rule_that_decides_is_named(self, rule: FirewallRule, number: int, hook: str) -> None:
        rule = replace(rule, matches=(TCP, dport(80)))
        answer = why(hand.host(hand.socket("0.0.0.0:80"), chains=(chain(hook, rule),)), "127.0.0.1", 80)
        assert (answer.outcome, answer.errno) == (FAILED, number)
        assert rule.text in answer.remedy
        assert f"inet t {hook}" in answer.remedy

    def test_a_policy_that_drops_is_named(self) -> None:
        answer = why(hand.host(hand.socket("0.0.0.0:80"), chains=(chain("input", policy="drop"),)), "127.0.0.1", 80)
        assert answer.errno == errno.ETIMEDOUT
        assert "whose policy is drop" in answer.remedy

    def test_a_rule_that_can_not_be_read_makes_it_unknown(self) -> None:
        rule = FirewallRule(verdict="drop", understood=False, text="numgen random mod 2 0 drop")
        answer = why(hand.host(hand.socket("0.0.0.0:80"), chains=(chain("input", rule),)), "127.0.0.1", 80)
        assert answer.outcome == UNKNOWN
        assert "numgen random mod 2 0 drop" in answer.sentence

    def test_all_that_it_may_come_to_is_told(self) -> None:
        rule = FirewallRule(verdict="reject", reject_with="tcp-reset", matches=(TCP, dport(80)), understood=False,
                            text="limit rate 5/second")  # fmt: skip
        answer = why(hand.host(hand.socket("0.0.0.0:80", pid=7, command="web"), chains=(chain("input", rule),)),
                     "127.0.0.1", 80)  # fmt: skip
        assert answer.outcome == UNKNOWN
        ends = {(end.outcome, end.errno) for end in answer.attempts[0].ends}
        # The rule may hold for the SYN, for none of its packets, or for those that follow.
        assert ends == {(ACCEPTED, 0), (FAILED, errno.ECONNREFUSED), (FAILED, errno.ECONNRESET)}
        assert "accepted by web (pid 7)" in answer.sentence
        assert "(ECONNREFUSED)" in answer.sentence

    @pytest.mark.parametrize(("last", "outcome"), [
        ("10.1.0.2", ACCEPTED), ("10.1.0.4", UNKNOWN), ("10.1.0.5", UNKNOWN), ("10.1.0.99", UNKNOWN),
    ])  # fmt: skip
    def test_every_address_of_a_range_may_be_taken(self, last: str, outcome: str) -> None:
        rule = FirewallRule(verdict="dnat", matches=(TCP, dport(8080)), to_address=(parse("10.1.0.2"), parse(last)))
        nat = (chain("output", replace(rule, to_port=(80, 80), text="dnat"), kind="nat", priority=-100),)
        machine = pair(here={"chains": nat}, there={"sockets": (hand.socket("0.0.0.0:80", pid=9, command="web"),)})
        own = hand.interface(7, "v1", *(f"10.1.0.{number}/24" for number in (2, 3, 5))).addresses
        lo, link = machine.others[0].interfaces
        machine = replace(machine, others=(replace(machine.others[0], interfaces=(lo, replace(link, addresses=own))),))
        answer = why(machine, "10.1.0.1", 8080)
        assert answer.outcome == outcome
        # 10.1.0.4 alone is not there; of a great many it is not foreseen which is taken.
        ends = {(end.outcome, end.errno) for end in answer.attempts[0].ends}
        assert ends == ({(ACCEPTED, 0), (FAILED, errno.EHOSTUNREACH)} if last in ("10.1.0.4", "10.1.0.5") else set())

    def test_one_that_makes_no_difference_does_not(self) -> None:
        unread = FirewallRule(verdict="accept", understood=False, text="limit rate 5/second accept")
        machine = hand.host(hand.socket("0.0.0.0:80"), chains=(chain("input", unread),))
        assert why(machine, "127.0.0.1", 80).outcome == ACCEPTED

    def test_one_for_other_packets_does_not(self) -> None:
        unread = FirewallRule(verdict="drop", matches=(TCP, dport(22)), understood=False, text="...")
        machine = hand.host(hand.socket("0.0.0.0:80"), chains=(chain("input", unread),))
        assert why(machine, "127.0.0.1", 80).outcome == ACCEPTED

    def test_a_filter_that_could_not_be_read_is_told(self) -> None:
        missing = (Missing(what="the packet filter", why="only root may read its rules"),)
        assert why(hand.host(missing=missing), "127.0.0.1", 80).missing == missing

    def test_a_published_port_leads_to_its_container(self) -> None:
        to = parse("10.1.0.2")
        rule = FirewallRule(verdict="dnat", matches=(TCP, dport(8080)), to_address=(to, to), to_port=(80, 80))
        nat = (chain("output", rule, kind="nat", priority=-100),)
        machine = pair(here={"chains": nat}, there={"sockets": (hand.socket("0.0.0.0:80", pid=9, command="web"),)})
        answer = why(machine, "10.1.0.1", 8080)
        assert answer.sentence == "10.1.0.1:8080 would be accepted by web (pid 9) in blue"


class TestNamespaces:
    def test_the_other_end_of_a_veth_pair_answers(self) -> None:
        machine = pair(there={"sockets": (hand.socket("0.0.0.0:80", pid=9, command="web"),)})
        assert why(machine, "10.1.0.2", 80).attempts[0].place == "blue"
        assert why(machine, "10.1.0.2", 81).errno == errno.ECONNREFUSED
        assert why(machine, "10.1.0.9", 80).errno == errno.EHOSTUNREACH

    def test_it_may_begin_in_another_namespace(self) -> None:
        machine = pair(here={"sockets": (hand.socket("0.0.0.0:80"),)})
        assert why(machine, "10.1.0.1", 80, source="blue").outcome == ACCEPTED
        assert why(machine, "127.0.0.1", 80, source="2").errno == errno.ECONNREFUSED
        with pytest.raises(ValueError, match="no namespace 'red'"):
            why(machine, "127.0.0.1", 80, source="red")

    def test_an_end_that_is_not_known_is_beyond(self) -> None:
        machine = replace(pair(), others=())
        assert why(machine, "10.1.0.2", 80).outcome == BEYOND


class TestNames:
    def test_addresses_are_tried_until_one_accepts(self) -> None:
        answer = why(hand.host(hand.socket("127.0.0.1:80")), "localhost", 80)
        assert [(each.address, each.outcome) for each in answer.attempts] == [
            (1, FAILED), (V4_PREFIX | 0x7F000001, ACCEPTED),
        ]  # fmt: skip

    def test_one_family_may_be_asked_for(self) -> None:
        machine = hand.host(hand.socket("127.0.0.1:80"))
        assert why(machine, "localhost", 80, family=AF_INET6).errno == errno.ECONNREFUSED
        assert why(machine, "127.0.0.1", 80, family=AF_INET6).attempts == ()

    def test_a_name_needs_its_addresses(self) -> None:
        with pytest.raises(ValueError, match=r"db\.example"):
            why(hand.host(), "db.example", 80)
        assert why(hand.host(), "db.example", 80, addresses=[parse("8.8.8.8")]).errno == errno.ENETUNREACH


class TestUdp:
    def test_a_datagram_has_its_reader(self) -> None:
        machine = hand.host(hand.socket("0.0.0.0:53/udp", pid=3, command="dns"))
        answer = why(machine, "127.0.0.1", 53, proto=IPPROTO_UDP)
        assert answer.sentence == "127.0.0.1:53 would be accepted by dns (pid 3)"
        assert why(machine, "127.0.0.1", 54, proto=IPPROTO_UDP).errno == errno.ECONNREFUSED

    def test_one_that_is_dropped_is_lost_in_silence(self) -> None:
        rule = FirewallRule(verdict="drop", text="drop")
        machine = hand.host(hand.socket("0.0.0.0:53/udp"), chains=(chain("input", rule),))
        answer = why(machine, "127.0.0.1", 53, proto=IPPROTO_UDP)
        assert answer.outcome == SILENT
        assert why(replace(machine, chains=(chain("output", rule),)), "127.0.0.1", 53, proto=IPPROTO_UDP).errno == 1


def test_the_answer_as_json_has_all_of_it() -> None:
    answer = why(hand.host(hand.socket("127.0.0.1:80")), "localhost", 80).json()
    assert (answer["outcome"], answer["protocol"], answer["errno"]) == ("accepted", "tcp", None)
    assert [attempt["errno"] for attempt in answer["attempts"]] == ["ECONNREFUSED", None]  # type: ignore[attr-defined]


def test_used_up_ports_are_found() -> None:
    sockets = [
        hand.socket(f"127.0.0.1:{port}", to="127.0.0.1:80", inode=port) for port in range(40000, 40003)
    ]  # fmt: skip
    machine = hand.host(hand.socket("0.0.0.0:80"), *sockets)
    machine.settings.ip_local_port_range = (40000, 40002)
    assert why(machine, "127.0.0.1", 80).errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize(("left", "outcome"), [(59, ACCEPTED), (60, FAILED)])
def test_ports_in_time_wait_of_loopback_are_taken_over_after_a_second(left: int, outcome: str) -> None:
    """net.ipv4.tcp_tw_reuse is 2 by default (tcp_twsk_unique)."""
    waiting = [
        hand.socket(f"127.0.0.1:{port}", to="127.0.0.1:80", state=TIME_WAIT, inode=0, timer_left=left * SECOND)
        for port in range(40000, 40003)
    ]
    machine = hand.host(hand.socket("0.0.0.0:80"), *waiting)
    machine.settings.ip_local_port_range = (40000, 40002)
    assert why(machine, "127.0.0.1", 80).outcome == outcome


class TestWhatToChange:
    def test_a_host_without_an_address_of_the_family_is_to_have_one(self) -> None:
        answer = why(hand.host(interfaces=(hand.interface(1, "lo", "127.0.0.1/8"),)), "::1", 80)
        assert answer.errno == errno.EADDRNOTAVAIL
        assert answer.remedy.startswith("in here: give an interface an address of IPv6")

    def test_the_answer_is_true_when_it_would_be_accepted(self) -> None:
        machine = hand.host(hand.socket("0.0.0.0:80"))
        assert why(machine, "127.0.0.1", 80)
        assert not why(machine, "127.0.0.1", 81)

    def test_who_is_not_there_is_said(self) -> None:
        assert "nobody on that link answers for 10.1.0.9" in why(pair(), "10.1.0.9", 80).remedy

    def test_a_broadcast_is_no_slow_server(self) -> None:
        answer = why(pair(), "224.0.0.1", 80)
        assert "multicast" in answer.remedy
        assert "accept faster" not in answer.remedy

    def test_used_up_ports_have_their_remedies(self) -> None:
        sockets = [hand.socket(f"127.0.0.1:{port}", to="127.0.0.1:80", inode=port) for port in range(40000, 40003)]
        machine = hand.host(hand.socket("0.0.0.0:80"), *sockets)
        machine.settings.ip_local_port_range = (40000, 40002)
        assert "ip_local_port_range" in why(machine, "127.0.0.1", 80).remedy

    def test_a_datagram_that_is_refused_is_explained(self) -> None:
        assert "nobody listens on UDP port 53" in why(hand.host(), "127.0.0.1", 53, proto=IPPROTO_UDP).remedy
        near = hand.host(hand.socket("127.0.0.1:53/udp", pid=3, command="dns"))
        assert "only on 127.0.0.1" in why(near, "192.168.1.5", 53, proto=IPPROTO_UDP).remedy

    def test_who_takes_it_is_told_where_it_is(self) -> None:
        machine = pair(there={"sockets": (hand.socket("0.0.0.0:80", pid=9, command="web"),)})
        assert why(machine, "10.1.0.2", 80).attempts[0].steps[-1].machine == "blue"

    def test_a_name_comes_first(self) -> None:
        step = why(hand.host(), "localhost", 80).attempts[0].steps[0]
        assert (step.what, step.sentence) == ("name", "localhost is ::1, then 127.0.0.1, tried in this order")

    def test_a_broadcast_address_is_no_host(self) -> None:
        own = (*routes_of(pair().interfaces), route("10.1.0.255/32", kind=BROADCAST, table=TABLE_LOCAL, interface=2))
        answer = why(pair(here={"routes": own}), "10.1.0.255", 80)
        assert answer.errno == errno.ENETUNREACH
        assert "is a broadcast address" in answer.remedy
        everybody = why(hand.host(), "255.255.255.255", 80)
        assert everybody.errno == errno.ENETUNREACH
        assert "255.255.255.255 is a broadcast address" in everybody.remedy

    def test_a_router_without_a_way_on_is_named(self) -> None:
        on = Settings(ip_forward=True)
        own = (*routes_of(pair().interfaces), route("0.0.0.0/0", interface=2, gateway=parse("10.1.0.2")))
        answer = why(pair(here={"routes": own}, there={"settings": on}), "10.9.9.9", 80)
        assert answer.remedy.startswith("in blue: add a route there to the destination")
        answer = why(pair(here={"routes": own}), "10.9.9.9", 80)
        assert "ip_forward=1" in answer.remedy

    def test_without_a_way_back_it_is_said(self) -> None:
        there = [each for each in routes_of(pair().others[0].interfaces) if each.kind == LOCAL]
        web = hand.socket("0.0.0.0:80", pid=9, command="web")
        answer = why(pair(there={"sockets": (web,), "routes": tuple(there)}), "10.1.0.2", 80)
        assert answer.errno == errno.ETIMEDOUT
        assert answer.remedy.startswith("in blue: ")
        assert "route" in answer.remedy
