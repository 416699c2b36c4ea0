from __future__ import annotations

import ctypes
import os
import random
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.live.apart import apart, ip, lacking, nft

from portside.addr.ip import V4_PREFIX, parse, prefix_of
from portside.facts.rule import Chain, FirewallRule, Match
from portside.live import nftables, proc
from portside.live.nft_values import of_prefix

linux = [pytest.mark.linux, pytest.mark.skipif(lacking("nft") != "", reason=lacking("nft"))]

V4 = Match(key="family", values=("ip",))
V6 = Match(key="family", values=("ip6",))
TCP = Match(key="proto", values=((6, 6),))
UDP = Match(key="proto", values=((17, 17),))


def one(address: str) -> tuple[int, int]:
    return parse(address), parse(address)


def dport(*ports: int | tuple[int, int]) -> Match:
    return Match(key="dport", values=tuple(each if isinstance(each, tuple) else (each, each) for each in ports))


def rule(verdict: str, *matches: Match, **rest: Any) -> FirewallRule:
    return FirewallRule(verdict=verdict, matches=matches, **rest)


# A rule as nft(8) takes it, and what it says. Named sets and chains of the table are those in `TABLE`.
INPUT: dict[str, list[FirewallRule]] = {
    "accept": [rule("accept")],
    "tcp dport 22 accept": [rule("accept", TCP, dport(22))],
    "tcp dport { 1, 5-9 } drop": [rule("drop", TCP, dport(1, (5, 9)))],
    "tcp sport != 1024-65535 drop": [rule("drop", TCP, Match(key="sport", values=((1024, 65535),), negated=True))],
    "tcp dport > 1024 drop": [rule("drop", TCP, dport((1025, 65535)))],
    "udp dport <= 53 accept": [rule("accept", UDP, dport((0, 53)))],
    "meta l4proto { tcp, udp } th dport 53 accept": [
        rule("accept", Match(key="proto", values=((6, 6), (17, 17))), dport(53))
    ],
    "ip saddr 10.0.0.0/8 accept": [
        rule("accept", V4, Match(key="saddr", values=((parse("10.0.0.0"), parse("10.255.255.255")),)))
    ],
    "ip saddr @blocked drop": [
        rule("drop", V4, Match(key="saddr", values=(of_prefix(parse("10.0.0.0"), 8),
                                                    (parse("192.168.1.1"), parse("192.168.1.9"))))),
    ],
    "ip saddr @empty drop": [rule("drop", V4, Match(key="saddr", values=()))],
    "ip6 daddr != { fd00::1, fd00:5::/32 } drop": [
        rule("drop", V6, Match(key="daddr", values=(one("fd00::1"), of_prefix(parse("fd00:5::"), 32)), negated=True))
    ],
    "ip6 daddr { ::/96, ::ffff:0.0.0.0/96 } drop": [  # as firewalld(1) has it
        rule("drop", V6, Match(key="daddr", values=((0, 0xFFFFFFFF), (V4_PREFIX, V4_PREFIX | 0xFFFFFFFF))))
    ],
    "ip6 saddr ::ffff:1.2.3.0/120 drop": [
        rule("drop", V6, Match(key="saddr", values=(of_prefix(parse("1.2.3.0"), 24),)))
    ],
    "ip saddr . tcp dport { 10.0.0.1 . 80, 10.2.0.0/24 . 90-95 } accept": [
        rule("accept", V4, Match(key="saddr", values=(one("10.0.0.1"),)), TCP, dport(80)),
        rule("accept", V4, Match(key="saddr", values=(of_prefix(parse("10.2.0.0"), 24),)), TCP, dport((90, 95))),
    ],
    "ip saddr . tcp dport @pairs accept": [
        rule("accept", V4, Match(key="saddr", values=(one("10.1.1.1"),)), TCP, dport(80))
    ],
    'iifname "eth*" drop': [rule("drop", Match(key="iif", values=("eth*",)))],
    'iif lo oifname != { "a", "b" } accept': [
        rule("accept", Match(key="iif", values=("lo",)), Match(key="oif", values=("a", "b"), negated=True))
    ],
    "ct state established,related accept": [rule("accept", Match(key="state", values=("established", "related")))],
    "ct state != new accept": [rule("accept", Match(key="state", values=("new",), negated=True))],
    "ct state ! new,invalid accept": [rule("accept", Match(key="state", values=("invalid", "new"), negated=True))],
    "ct state != { new, invalid } accept": [
        rule("accept", Match(key="state", values=("invalid", "new"), negated=True))
    ],
    "ct status ! dnat accept": [rule("accept", Match(key="ct_status", values=("dnat",), negated=True))],
    "tcp flags ! syn,ack drop": [rule("drop", TCP, Match(key="tcp_flags", values=((0, 0x12),)))],
    "ct state vmap { invalid : drop, new : jump user }": [
        rule("drop", Match(key="state", values=("invalid",))),
        rule("jump", Match(key="state", values=("new",)), target="user"),
    ],
    "tcp dport vmap @verdicts": [rule("accept", TCP, dport(22)), rule("drop", TCP, dport((80, 90)))],
    "ct status dnat accept": [rule("accept", Match(key="ct_status", values=("dnat",)))],
    "ct direction reply accept": [rule("accept", Match(key="direction", values=("reply",)))],
    "meta l4proto tcp ct original ip daddr 10.2.3.4 ct original proto-dst 80 accept": [
        rule("accept", TCP, V4, Match(key="original_daddr", values=(one("10.2.3.4"),)),
             Match(key="original_dport", values=((80, 80),))),
    ],
    "meta mark 5 accept": [rule("accept", Match(key="mark", values=((5, 0xFFFFFFFF),)))],
    "meta mark & 0xff == 5 accept": [rule("accept", Match(key="mark", values=((5, 0xFF),)))],
    "meta mark & 0x10 != 0x10 accept": [rule("accept", Match(key="mark", values=((16, 16),), negated=True))],
    "meta mark set 7": [rule("continue", set_mark=(7, 0xFFFFFFFF))],
    "meta mark set mark | 0x4000": [rule("continue", set_mark=(0x4000, 0x4000))],
    "meta mark set mark & 0xff": [rule("continue", set_mark=(0, 0xFFFFFF00))],
    "meta skuid 1000 meta skgid != 7 drop": [
        rule("drop", Match(key="uid", values=((1000, 1000),)), Match(key="gid", values=((7, 7),), negated=True))
    ],
    "meta nfproto ipv6 drop": [rule("drop", V6)],
    "ip protocol tcp accept": [rule("accept", V4, TCP)],
    "ip6 nexthdr udp accept": [rule("accept", V6, UDP)],
    "icmp type { echo-request, 13 } accept": [
        rule("accept", V4, Match(key="proto", values=((1, 1),)), Match(key="icmp_type", values=((8, 8), (13, 13))))
    ],
    "icmpv6 type nd-neighbor-solicit accept": [
        rule("accept", V6, Match(key="proto", values=((58, 58),)), Match(key="icmp_type", values=((135, 135),)))
    ],
    "tcp flags & (fin | syn | rst | ack) == syn drop": [
        rule("drop", TCP, Match(key="tcp_flags", values=((2, 0x17),)))
    ],
    "tcp flags syn,ack drop": [rule("drop", TCP, Match(key="tcp_flags", values=((0, 0x12),), negated=True))],
    "tcp flags == syn drop": [rule("drop", TCP, Match(key="tcp_flags", values=((2, 0xFF),)))],
    "fib daddr type { local, broadcast } accept": [
        rule("accept", Match(key="daddr_type", values=("local", "broadcast")))
    ],
    "fib saddr . iif oif missing drop": [rule("drop", Match(key="reverse_path", values=("missing",)))],
    "fib daddr . iif type local accept": [rule("accept", Match(key="daddr_type_iif", values=("local",)))],
    "meta pkttype broadcast drop": [rule("drop", Match(key="packet_type", values=("broadcast",)))],
    "reject": [rule("reject", reject_with="port-unreachable")],
    "reject with tcp reset": [rule("reject", TCP, reject_with="tcp-reset")],
    "reject with icmp host-unreachable": [rule("reject", V4, reject_with="host-unreachable")],
    "reject with icmpv6 policy-fail": [rule("reject", V6, reject_with="policy-fail")],
    "reject with icmpx admin-prohibited": [rule("reject", reject_with="admin-prohibited")],
    "jump user": [rule("jump", target="user")],
    "goto user": [rule("goto", target="user")],
    "return": [rule("return")],
    'log prefix "x" level debug': [rule("continue")],
    'counter comment "hello"': [rule("continue", packets=0, octets=0)],
    "tcp dport 80 counter accept": [rule("accept", TCP, dport(80), packets=0, octets=0)],
    'limit rate 3/minute log prefix "many"': [rule("continue")],
    "update @seen { ip saddr }": [rule("continue")],
    "tcp option maxseg size set 1400": [rule("continue")],
    # What is read of a rule that can't be read whole stays: a packet that fails it fails the rule.
    "tcp dport 22 limit rate 5/second accept": [rule("accept", TCP, dport(22), understood=False)],
    "limit rate over 5/second drop": [rule("drop", understood=False)],
    "numgen random mod 2 0 tcp dport 5 drop": [rule("drop", TCP, dport(5), understood=False)],
    "ether saddr 00:11:22:33:44:55 accept": [rule("accept", understood=False)],
    "ip dscp cs1 accept": [rule("accept", V4, understood=False)],
    "ip ttl < 5 drop": [rule("drop", V4, understood=False)],
    "quota over 5 bytes drop": [rule("drop", understood=False)],
    "ct mark 5 accept": [rule("accept", understood=False)],
    "ct state != established,related drop": [rule("drop", understood=False)],
    "ct status == dnat drop": [rule("drop", understood=False)],
    "meta mark set ct mark": [rule("continue", understood=False)],
}  # fmt: skip
# What stays of the header conditions of rules that are not understood is not asked for here.
LOOSE = {"ip dscp cs1 accept", "ip ttl < 5 drop"}

PREROUTING: dict[str, list[FirewallRule]] = {
    "tcp dport 80 dnat ip to 10.0.0.1:8080": [
        rule("dnat", TCP, dport(80), V4, to_address=one("10.0.0.1"), to_port=(8080, 8080))
    ],
    "tcp dport 80 dnat ip to 10.0.0.1-10.0.0.5:8000-8100 random": [
        rule("dnat", TCP, dport(80), V4, to_address=(parse("10.0.0.1"), parse("10.0.0.5")), to_port=(8000, 8100))
    ],
    "meta l4proto tcp dnat ip6 to [fd00::1]:80": [rule("dnat", TCP, V6, to_address=one("fd00::1"), to_port=(80, 80))],
    "dnat ip to 10.0.0.1": [rule("dnat", V4, to_address=one("10.0.0.1"))],
    "tcp dport 81 redirect to :8080": [rule("redirect", TCP, dport(81), to_port=(8080, 8080))],
    "tcp dport 82 redirect": [rule("redirect", TCP, dport(82))],
    "dnat ip to tcp dport map { 1 : 10.0.0.1, 2 : 10.0.0.2 }": [
        rule("dnat", V4, TCP, dport(1), to_address=one("10.0.0.1")),
        rule("dnat", V4, TCP, dport(2), to_address=one("10.0.0.2")),
    ],
    "dnat ip to tcp dport map { 9 : 10.0.0.1 . 80 }": [
        rule("dnat", V4, TCP, dport(9), to_address=one("10.0.0.1"), to_port=(80, 80))
    ],
    "fib daddr type local jump user": [rule("jump", Match(key="daddr_type", values=("local",)), target="user")],
    "notrack": [rule("notrack")],
}  # fmt: skip
POSTROUTING: dict[str, list[FirewallRule]] = {
    'ip saddr 10.0.0.0/24 oifname != "br0" masquerade': [
        rule("masquerade", V4, Match(key="saddr", values=(of_prefix(parse("10.0.0.0"), 24),)),
             Match(key="oif", values=("br0",), negated=True)),
    ],
    "meta l4proto tcp masquerade to :1024-65535": [rule("masquerade", TCP, to_port=(1024, 65535))],
    "snat ip to 10.2.3.4-10.2.3.9 persistent": [
        rule("snat", V4, to_address=(parse("10.2.3.4"), parse("10.2.3.9")))
    ],
}  # fmt: skip

TABLE = """
table inet t {
    set blocked { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.1.1-192.168.1.9 }; }
    set empty { type ipv4_addr; }
    set seen { type ipv4_addr; flags dynamic, timeout; timeout 1m; }
    set pairs { type ipv4_addr . inet_service; elements = { 10.1.1.1 . 80 }; }
    map verdicts { type inet_service : verdict; flags interval; elements = { 22 : accept, 80-90 : drop }; }
    chain user { }
    chain this { HEAD
        RULE
    }
}
"""
HEADS = {
    "input": "type filter hook input priority 0;",
    "prerouting": "type nat hook prerouting priority dstnat;",
    "raw": "type filter hook prerouting priority raw;",
    "postrouting": "type nat hook postrouting priority srcnat;",
}
CASES = (
    [("input", text, found) for text, found in INPUT.items()]
    + [("raw" if text == "notrack" else "prerouting", text, found) for text, found in PREROUTING.items()]
    + [("postrouting", text, found) for text, found in POSTROUTING.items()]
)


def read(rulesets: list[str]) -> list[Any]:
    ip("link set lo up")
    found = []
    for ruleset in rulesets:
        nft("flush ruleset\n" + ruleset)
        found.append(nftables.chains())
    return found


@pytest.fixture(scope="module")
def cases() -> list[tuple[str, list[FirewallRule], list[FirewallRule]]]:
    rulesets = [TABLE.replace("HEAD", HEADS[head]).replace("RULE", text) for head, text, _ in CASES]
    answers = apart(read, rulesets)
    found = []
    for (_, text, expected), (chains, missing) in zip(CASES, answers, strict=True):
        assert missing == ()
        (chain,) = (chain for chain in chains if chain.name == "this")
        found.append((text, expected, list(chain.rules)))
    return found


class TestRules:
    pytestmark = linux

    @pytest.mark.parametrize("number", range(len(CASES)), ids=[text for _, text, _ in CASES])
    def test_a_rule_says_what_nft_says(self, cases: list[Any], number: int) -> None:
        text, expected, found = cases[number]
        if text in LOOSE:
            expected, found = ([replace(each, matches=()) for each in rules] for rules in (expected, found))
        assert [replace(each, text="", handle=0) for each in found] == expected

    @pytest.mark.parametrize("number", range(len(CASES)), ids=[text for _, text, _ in CASES])
    def test_a_rule_has_its_text_and_handle(self, cases: list[Any], number: int) -> None:
        _, expected, found = cases[number]
        assert len({(each.text, each.handle) for each in found}) == 1
        assert found[0].handle > 0
        verdict = expected[0].verdict
        assert verdict in found[0].text or verdict == "continue" or "@" in found[0].text


class TestRulesets:
    pytestmark = linux

    def test_chains_have_their_hooks_in_the_order_of_nft(self) -> None:
        ((chains, missing),) = apart(read, ["""
            table ip a { chain user { }
                chain in { type filter hook input priority 5; policy drop;
            } }
            table ip6 b { chain out { type filter hook output priority mangle;
            } }
            table netdev c { chain early { type filter hook ingress device "lo" priority 0;
            } }
        """])  # fmt: skip
        assert missing == ()
        shape = [(c.family, c.table, c.name, c.kind, c.hook, c.priority, c.policy) for c in chains]
        assert shape == [
            ("ip", "a", "user", "filter", None, 0, "accept"),
            ("ip", "a", "in", "filter", "input", 5, "drop"),
            ("ip6", "b", "out", "filter", "output", -150, "accept"),
            ("netdev", "c", "early", "filter", "ingress", 0, "accept"),
        ]

    def test_sets_of_another_table_are_not_mixed_up(self) -> None:
        ((chains, _),) = apart(read, ["""
            table ip a { set s { type inet_service; elements = { 1 }; }
                chain c { tcp dport @s drop
                } }
            table ip b { set s { type inet_service; elements = { 2 }; }
                chain c { tcp dport @s drop
                } }
        """])  # fmt: skip
        assert [chain.rules[0].matches[1] for chain in chains] == [dport(1), dport(2)]

    def test_a_dormant_table_does_nothing(self) -> None:
        ((chains, _),) = apart(read, ["table ip a { flags dormant; chain c { type filter hook input priority 0;\n} }"])
        assert chains == ()

    def test_counters_are_read(self) -> None:
        ((chains, _),) = apart(read, ["table ip a { chain c { counter packets 3 bytes 180 drop\n } }"])
        assert (chains[0].rules[0].packets, chains[0].rules[0].octets) == (3, 180)

    def test_a_large_set_is_read(self) -> None:
        elements = ", ".join(f"10.{n >> 8}.{n & 255}.1" for n in range(20000))
        ((chains, _),) = apart(read, [f"""
            table ip a {{ set s {{ type ipv4_addr; elements = {{ {elements} }}; }}
                chain c {{ ip saddr @s drop
                }} }}"""])  # fmt: skip
        assert len(chains[0].rules[0].matches[1].values) == 20000

    def test_a_kernel_without_tables_needs_no_nft(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        assert apart(nftables.chains) == ((), ())

    def test_without_nft_it_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nftables, "PLACES", ())
        (chains, missing) = apart(_without_nft)
        assert chains == ()
        assert [(each.what, each.remedy) for each in missing] == [("the packet filter", "install nftables")]

    def test_nft_may_be_where_path_does_not_lead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tool = shutil.which("nft")
        assert tool is not None
        monkeypatch.setattr(nftables, "PLACES", (os.path.dirname(tool),))
        (chains, missing) = apart(_without_nft)
        assert missing == ()
        assert chains == ()
        assert apart(_with_a_chain) == ["c"]


def _with_a_chain() -> Any:
    nft("table ip a { chain c { } }")
    os.environ["PATH"] = "/nowhere"
    return [each.name for each in nftables.chains()[0]]


def _without_nft() -> Any:
    nft("table ip a { }")
    os.environ["PATH"] = "/nowhere"
    return nftables.chains()


class TestWithoutRoot:
    pytestmark = linux

    def test_what_only_root_may_read_is_missing(self) -> None:
        chains, missing = apart(_as_nobody)
        assert chains == ()
        assert [(each.what, each.remedy) for each in missing] == [("the packet filter", "use sudo")]

    def test_root_may_lack_a_capability(self) -> None:
        _, missing = apart(_without_capabilities)
        remedy = "CAP_NET_ADMIN is missing here, capabilities(7)"
        if not proc.is_in_first_user_namespace():
            remedy = "run it as the machine's root, outside of this user namespace"
        assert [each.remedy for each in missing] == [remedy]


def _without_capabilities() -> Any:
    nft("table ip a { }")
    version_3_of_this_process, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)  # capset(2)
    assert ctypes.CDLL(None).capset(version_3_of_this_process, none) == 0
    return nftables.chains()


def _as_nobody() -> Any:
    nft("table ip a { }")
    os.setuid(65534)
    return nftables.chains()


# -- generated rules: written, loaded, listed, read: they come back as they were --


def generate(draw: random.Random) -> tuple[str, FirewallRule]:
    """A rule in the words of nft(8), and what it says."""
    words: list[str] = []
    matches: list[Match] = []
    if draw.random() < 0.4:
        key = draw.choice(["iif", "oif"])
        values = tuple(sorted(draw.sample(["lo", "eth0", "eth1", "docker0"], draw.randint(1, 3))))
        matches.append(Match(key=key, values=values, negated=draw.random() < 0.3))
        words.append(f"{key}name {_operand([chr(34) + value + chr(34) for value in values], matches[-1].negated)}")
    family = draw.choice(["", "ip", "ip6"])
    for key in ("saddr", "daddr"):
        if family and draw.random() < 0.5:
            pairs = _disjoint(_address_pairs(draw, family))
            if not matches or (V4 not in matches and V6 not in matches):
                matches.append(V4 if family == "ip" else V6)
            matches.append(Match(key=key, values=tuple(pair for pair, _ in pairs), negated=draw.random() < 0.3))
            words.append(f"{family} {key} {_operand([word for _, word in pairs], matches[-1].negated)}")
    proto = draw.choice(["", "tcp", "udp"])
    if proto:
        key = draw.choice(["sport", "dport"])
        pairs = _disjoint(_port_pairs(draw))
        matches += [TCP if proto == "tcp" else UDP]
        matches.append(Match(key=key, values=tuple(pair for pair, _ in pairs), negated=draw.random() < 0.3))
        words.append(f"{proto} {key} {_operand([word for _, word in pairs], matches[-1].negated)}")
    if draw.random() < 0.3:
        states = [name for name in ("established", "related", "new", "untracked") if draw.random() < 0.4] or ["new"]
        matches.append(Match(key="state", values=tuple(states)))
        words.append(f"ct state {','.join(states)}")
    verdict, reject = draw.choice([("accept", ""), ("drop", ""), ("reject", "admin-prohibited"), ("return", "")])
    words.append(f"reject with icmpx {reject}" if reject else verdict)
    return " ".join(words), FirewallRule(verdict=verdict, matches=tuple(matches), reject_with=reject)


def _operand(values: list[str], negated: bool) -> str:
    value = values[0] if len(values) == 1 else "{ " + ", ".join(values) + " }"
    return f"!= {value}" if negated else value


Pairs = list[tuple[tuple[int, int], str]]


def _address_pairs(draw: random.Random, family: str) -> Pairs:
    from portside.addr.ip import text

    found: Pairs = []
    for _ in range(draw.randint(1, 3)):
        if family == "ip":
            address = V4_PREFIX | draw.getrandbits(32)
            length = draw.choice([32, 32, 24, 9, 17])
        else:
            address = 0x2000 << 112 | draw.getrandbits(120)
            length = draw.choice([128, 128, 64, 33])
        address = prefix_of(address, length)
        whole = length in (32, 128)
        shown = text(address) if whole else f"{text(address)}/{length}"
        if whole and draw.random() < 0.3 and address & 0xFF < 0xF0:
            found.append(((address, address + 9), f"{text(address)}-{text(address + 9)}"))
        else:
            found.append((of_prefix(address, length), shown))
    return found


def _port_pairs(draw: random.Random) -> Pairs:
    found: Pairs = []
    for _ in range(draw.randint(1, 4)):
        first = draw.randint(1, 60000)
        last = first + draw.choice([0, 0, 9, 500])
        found.append(((first, last), str(first) if first == last else f"{first}-{last}"))
    return found


def _disjoint(pairs: Pairs) -> Pairs:
    """In order, without those that overlap or touch another, which nft(8) refuses or joins."""
    kept: Pairs = []
    for pair in sorted(pairs):
        if not kept or kept[-1][0][1] + 1 < pair[0][0]:
            kept.append(pair)
    return kept


class TestGenerated:
    pytestmark = linux

    @pytest.mark.parametrize("seed", range(8))
    def test_rules_come_back_as_they_were(self, seed: int) -> None:
        draw = random.Random(seed)
        rules = [generate(draw) for _ in range(60)]
        lines = "\n".join(text for text, _ in rules)
        ((chains, _),) = apart(read, [f"table inet t {{ chain c {{\n{lines}\n}} }}"])
        for (text, expected), found in zip(rules, chains[0].rules, strict=True):
            assert _sorted(replace(found, text="", handle=0)) == _sorted(expected), text


def _sorted(rule: FirewallRule) -> FirewallRule:
    """Elements of a set have no order."""
    return replace(
        rule,
        matches=tuple(replace(match, values=tuple(sorted(match.values))) for match in rule.matches),  # type: ignore[type-var]
    )


# -- without a kernel --


def test_what_a_later_nft_may_print_is_not_understood() -> None:
    entry = {"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 3, "expr": [
        {"match": {"op": "==", "left": {"novel": {"key": 1}}, "right": 5}}, {"teleport": {"to": "mars"}}]}}  # fmt: skip
    chain = {"chain": {"family": "ip", "table": "t", "name": "c", "handle": 1}}
    (found,) = nftables.parse(
        {"nftables": [{"metainfo": {}}, chain, entry]}, ["table ip t {", "novel 5 teleport # handle 3"]
    )
    assert found == Chain(
        family="ip", table="t", name="c",
        rules=(FirewallRule(verdict="unknown", understood=False, text="novel 5 teleport", handle=3),),
    )  # fmt: skip


@pytest.mark.parametrize("expression", [
    {"xt": None}, {"xt": {"type": "match", "name": "addrtype"}}, {"xt": {"type": "target", "name": "MASQUERADE"}},
    {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "nosuchproto"}},
    {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@gone"}},
    {"dnat": {"addr": {"map": {"key": {"meta": {"key": "mark"}}, "data": "@gone"}}}},
    {"match": {"op": "==", "left": {"ct": {"key": "daddr", "dir": "original"}}, "right": "0.0.10.160"}},
    {"match": {}}, {"reject": {"type": "smoke"}},
    {"vmap": {"key": {"numgen": {}}, "data": {"set": [[1, {"drop": None}]]}}},
])  # fmt: skip
def test_rules_of_unknown_parts_do_not_pass_for_understood(expression: dict[str, Any]) -> None:
    entry = {"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 3, "expr": [expression, {"accept": None}]}}
    chain = {"chain": {"family": "ip", "table": "t", "name": "c", "handle": 1}}
    (found,) = nftables.parse({"nftables": [chain, entry]}, [])
    assert [each.understood for each in found.rules] == [False]


@pytest.mark.parametrize(("expressions", "verdict"), [
    ([{"xt": {"type": "target", "name": "REJECT"}}], "unknown"),
    ([{"xt": {"type": "match", "name": "addrtype"}}, {"xt": {"type": "target", "name": "DNAT"}}], "unknown"),
    ([{"xt": None}], "unknown"),
    ([{"xt": None}, {"drop": None}], "drop"),
    ([{"xt": {"type": "match", "name": "addrtype"}}, {"drop": None}], "drop"),
    ([{"xt": {"type": "match", "name": "addrtype"}}], "continue"),
    ([{"xt": {"type": "target", "name": "LOG"}}], "continue"),
])  # fmt: skip
def test_what_iptables_put_into_a_rule_may_end_the_way(expressions: list[dict[str, Any]], verdict: str) -> None:
    entry = {"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 3, "expr": expressions}}
    chain = {"chain": {"family": "ip", "table": "t", "name": "c", "handle": 1}}
    (found,) = nftables.parse({"nftables": [chain, entry]}, [])
    assert [(each.verdict, each.understood) for each in found.rules] == [(verdict, False)]


def test_the_text_of_a_rule_is_its_line() -> None:
    lines = """\
table inet t { # handle 1
\tchain c { # handle 2
\t\ttype filter hook input priority filter; policy accept;
\t\tip saddr 10.0.0.1 comment "# handle 9" accept # handle 5
\t}
}
table ip t { # handle 2
\tset s { # handle 5
\t}
}
""".splitlines()
    assert nftables.texts_of(lines) == {("inet", "t", 5): 'ip saddr 10.0.0.1 comment "# handle 9" accept'}


def test_rules_of_the_older_iptables_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tmp_path / "names"
    names.write_text("nat\nfilter\n")
    monkeypatch.setattr(nftables, "LEGACY", {"iptables-legacy": str(names)})
    monkeypatch.setattr(nftables, "open", lambda path, **rest: names.open(**rest), raising=False)
    (found,) = nftables._legacy()
    assert "nat, filter" in found.why
    assert found.remedy == "iptables-legacy-save shows them"


def test_the_devices_of_a_chain_are_read_where_json_has_none() -> None:
    entries = [
        {"chain": {"family": "netdev", "table": "t", "name": name, "handle": 1, "type": "filter", "hook": "ingress",
                   "prio": 0}} for name in ("one", "two")
    ]  # fmt: skip
    lines = [
        "table netdev t { # handle 1", "\tchain one { # handle 1",
        '\t\ttype filter hook ingress device "v*" priority filter; policy accept;', "\t}",
        "\tchain two { # handle 2", "\t\ttype filter hook ingress devices = { va, vb } priority -500; policy accept;",
    ]  # fmt: skip
    assert [each.device for each in nftables.parse({"nftables": entries}, lines)] == ["v*", "va vb"]
