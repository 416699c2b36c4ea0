"""Rules made by iptables-nft(8): of many of their conditions and targets nft(8) tells the name alone."""

from __future__ import annotations

import random
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.live.apart import apart, ip, lacking, nft

from portside.addr.ip import parse
from portside.facts.rule import FirewallRule, Match
from portside.live import nftables
from portside.live.nft_extensions import Extension, filled_in
from portside.live.nft_values import NotUnderstoodError, of_prefix
from portside.live.xt_match import READERS, condition
from portside.live.xt_target import HARMLESS, NAT, PASSING, outcome

pytestmark = [
    pytest.mark.linux,
    pytest.mark.skipif(lacking("nft", "iptables-nft") != "", reason=lacking("nft", "iptables-nft")),
]


def rule(verdict: str, *matches: Match, **rest: Any) -> FirewallRule:
    return FirewallRule(verdict=verdict, matches=matches, packets=0, octets=0, **rest)


def names(key: str, *values: str, negated: bool = False) -> Match:
    return Match(key=key, values=values, negated=negated)


def pairs(key: str, *values: int | tuple[int, int], negated: bool = False) -> Match:
    found = tuple(each if isinstance(each, tuple) else (each, each) for each in values)
    return Match(key=key, values=found, negated=negated)


def one(address: str) -> tuple[int, int]:
    return parse(address), parse(address)


TCP, UDP, ICMP, ICMPV6 = (pairs("proto", number) for number in (6, 17, 1, 58))
NO_CONNECTION = ("invalid", "untracked")
CONNECTED = names("state", *NO_CONNECTION, negated=True)

# A rule in the words of iptables(8), and what it says.
INPUT: dict[str, list[FirewallRule]] = {
    "-j ACCEPT": [rule("accept")],
    "-j REJECT": [rule("reject", reject_with="port-unreachable")],
    "-j REJECT --reject-with icmp-net-unreachable": [rule("reject", reject_with="net-unreachable")],
    "-j REJECT --reject-with icmp-host-unreachable": [rule("reject", reject_with="host-unreachable")],
    "-j REJECT --reject-with icmp-proto-unreachable": [rule("reject", reject_with="prot-unreachable")],
    "-j REJECT --reject-with icmp-net-prohibited": [rule("reject", reject_with="net-prohibited")],
    "-j REJECT --reject-with icmp-host-prohibited": [rule("reject", reject_with="host-prohibited")],
    "-j REJECT --reject-with icmp-admin-prohibited": [rule("reject", reject_with="admin-prohibited")],
    "-p tcp -j REJECT --reject-with tcp-reset": [rule("reject", TCP, reject_with="tcp-reset")],
    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT": [
        rule("accept", names("state", "established", "related"))
    ],
    "-m conntrack ! --ctstate NEW -j ACCEPT": [rule("accept", names("state", "new", negated=True))],
    "-m conntrack --ctstate INVALID,UNTRACKED -j DROP": [rule("drop", names("state", "invalid", "untracked"))],
    "-m state --state NEW,RELATED -j ACCEPT": [rule("accept", names("state", "related", "new"))],
    "-m conntrack --ctstate DNAT -j ACCEPT": [rule("accept", names("ct_status", "dnat"))],
    "-m conntrack --ctstate NEW,SNAT -j ACCEPT": [
        rule("accept", names("state", "new"), CONNECTED),
        rule("accept", names("ct_status", "snat"), names("state", "new", negated=True)),
    ],
    "-m conntrack ! --ctstate DNAT -j DROP": [
        rule("drop", names("state", *NO_CONNECTION)), rule("drop", names("ct_status", "dnat", negated=True)),
    ],
    "-m conntrack --ctstate NEW --ctorigdst 10.0.0.0/8 -j ACCEPT": [
        rule("accept", names("state", "new"), CONNECTED, pairs("original_daddr", of_prefix(parse("10.0.0.0"), 8))),
    ],
    "-m conntrack ! --ctstate NEW --ctorigsrc 10.0.0.1 -j ACCEPT": [
        rule("accept", names("state", *NO_CONNECTION)),
        rule("accept", names("state", "new", negated=True), CONNECTED, pairs("original_saddr", one("10.0.0.1"))),
    ],
    "-p tcp -m conntrack --ctorigdstport 80:90 ! --ctorigsrcport 5 --ctdir REPLY -j ACCEPT": [
        rule("accept", TCP, pairs("original_sport", 5, negated=True), pairs("original_dport", (80, 90)),
             names("direction", "reply")),
    ],
    "-m conntrack --ctstatus CONFIRMED,SEEN_REPLY -j ACCEPT": [
        rule("accept", names("ct_status", "seen-reply", "confirmed"))
    ],
    "-m addrtype --dst-type LOCAL -j ACCEPT": [rule("accept", names("daddr_type", "local"))],
    "-m addrtype ! --src-type LOCAL,BROADCAST -j DROP": [
        rule("drop", names("saddr_type", "local", "broadcast", negated=True))
    ],
    "-m addrtype --dst-type LOCAL --limit-iface-in -j ACCEPT": [rule("accept", names("daddr_type_iif", "local"))],
    "-p tcp -m tcp --dport 22:25 -m comment --comment hello -j ACCEPT": [rule("accept", TCP, pairs("dport", (22, 25)))],
    "-p tcp ! --sport 22 --syn -j DROP": [
        rule("drop", TCP, pairs("tcp_flags", (2, 0x17)), pairs("sport", 22, negated=True))
    ],
    "-p tcp ! --tcp-flags SYN,ACK SYN -j DROP": [rule("drop", TCP, pairs("tcp_flags", (2, 0x12), negated=True))],
    "-p udp --sport 67 --dport 68 -j ACCEPT": [rule("accept", UDP, pairs("sport", 67), pairs("dport", 68))],
    "-p tcp -m multiport --dports 80,443,1000:2000 -j ACCEPT": [
        rule("accept", TCP, pairs("dport", 80, 443, (1000, 2000)))
    ],
    "-p udp -m multiport ! --sports 1:5,9 -j DROP": [rule("drop", UDP, pairs("sport", (1, 5), 9, negated=True))],
    "-p tcp -m multiport --ports 80,90 -j DROP": [
        rule("drop", TCP, pairs("dport", 80, 90)),
        rule("drop", TCP, pairs("sport", 80, 90), pairs("dport", 80, 90, negated=True)),
    ],
    "-p tcp -m multiport ! --ports 80 -j DROP": [
        rule("drop", TCP, pairs("sport", 80, negated=True), pairs("dport", 80, negated=True))
    ],
    "-p icmp -m icmp --icmp-type echo-request -j ACCEPT": [rule("accept", ICMP, pairs("icmp_type", 8))],
    "-p icmp -m icmp --icmp-type any -j ACCEPT": [rule("accept", ICMP)],
    "-p icmp -m icmp --icmp-type fragmentation-needed -j ACCEPT": [
        rule("accept", ICMP, pairs("icmp_type", 3), pairs("icmp_code", 4))
    ],
    "-p icmp -m icmp ! --icmp-type 3/4 -j DROP": [
        rule("drop", ICMP, pairs("icmp_type", 3, negated=True)),
        rule("drop", ICMP, pairs("icmp_type", 3), pairs("icmp_code", 4, negated=True)),
    ],
    "-m iprange --src-range 10.0.0.1-10.0.0.7 ! --dst-range 10.1.0.0-10.2.0.0 -j ACCEPT": [
        rule("accept", pairs("saddr", (parse("10.0.0.1"), parse("10.0.0.7"))),
             pairs("daddr", (parse("10.1.0.0"), parse("10.2.0.0")), negated=True)),
    ],
    "-m pkttype --pkt-type multicast -j DROP": [rule("drop", names("packet_type", "multicast"))],
    "-m pkttype ! --pkt-type unicast -j DROP": [rule("drop", names("packet_type", "host", negated=True))],
    "-m mark --mark 0x1/0xf -j ACCEPT": [rule("accept", pairs("mark", (1, 15)))],
    "-m mark ! --mark 5 -j ACCEPT": [rule("accept", pairs("mark", (5, 0xFFFFFFFF), negated=True))],
    "-i eth+ ! -s 10.0.0.0/8 -j DROP": [
        rule("drop", names("iif", "eth*"), names("family", "ip"),
             pairs("saddr", of_prefix(parse("10.0.0.0"), 8), negated=True)),
    ],
    "-m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix [x]": [rule("continue")],
    "-j user": [rule("jump", target="user")],
    "-g user": [rule("goto", target="user")],
    "-j NFQUEUE --queue-num 5": [rule("queue")],
    # What can't be read leaves open what can be.
    "-p tcp --dport 5 -m limit --limit 3/min -j ACCEPT": [rule("accept", TCP, pairs("dport", 5), understood=False)],
    "-p tcp -m recent --name x --set -j DROP": [rule("drop", TCP, understood=False)],
    "-m statistic --mode nth --every 3 --packet 0 -j DROP": [rule("drop", understood=False)],
    "-m addrtype --dst-type LOCAL -m hashlimit --hashlimit-above 1/sec --hashlimit-name q -j DROP": [
        rule("drop", names("daddr_type", "local"), understood=False)
    ],
    "-m conntrack --ctreplsrc 10.0.0.1 -j DROP": [rule("drop", understood=False)],
    "-m conntrack --ctproto tcp -j DROP": [rule("drop", understood=False)],
    "-m conntrack --ctstatus ASSURED -j DROP": [rule("drop", understood=False)],
    "-p tcp --tcp-option 5 -j DROP": [rule("drop", TCP, understood=False)],
}  # fmt: skip
INPUT_V6: dict[str, list[FirewallRule]] = {
    "-j REJECT --reject-with icmp6-no-route": [rule("reject", reject_with="no-route")],
    "-j REJECT --reject-with icmp6-adm-prohibited": [rule("reject", reject_with="admin-prohibited")],
    "-j REJECT --reject-with icmp6-addr-unreachable": [rule("reject", reject_with="addr-unreachable")],
    "-j REJECT --reject-with icmp6-port-unreachable": [rule("reject", reject_with="port-unreachable")],
    "-p tcp -j REJECT --reject-with tcp-reset": [rule("reject", TCP, reject_with="tcp-reset")],
    "-p ipv6-icmp --icmpv6-type neighbour-solicitation -j ACCEPT": [rule("accept", ICMPV6, pairs("icmp_type", 135))],
    "-p ipv6-icmp --icmpv6-type 1/3 -j ACCEPT": [
        rule("accept", ICMPV6, pairs("icmp_type", 1), pairs("icmp_code", 3))
    ],
    "-m addrtype --dst-type LOCAL -j ACCEPT": [rule("accept", names("daddr_type_anywhere", "local"))],
    "-m addrtype ! --dst-type MULTICAST -j ACCEPT": [
        rule("accept", pairs("daddr", of_prefix(parse("ff00::"), 8), negated=True))
    ],
    "-m iprange --dst-range fd00::1-fd00::7 -j DROP": [
        rule("drop", pairs("daddr", (parse("fd00::1"), parse("fd00::7"))))
    ],
    "-m conntrack --ctorigdst fd00::/64 -j DROP": [
        rule("drop", pairs("original_daddr", of_prefix(parse("fd00::"), 64)))
    ],
    "-m addrtype --dst-type LOCAL,UNICAST -j DROP": [rule("drop", understood=False)],
}  # fmt: skip
OUTPUT: dict[str, list[FirewallRule]] = {
    "-m owner --uid-owner 1000-2000 -j DROP": [rule("drop", pairs("uid", (1000, 2000)))],
    "-m owner ! --uid-owner 0 -j DROP": [
        rule("drop", pairs("uid", 0, negated=True)), rule("drop", names("owner", "none"))
    ],
    "-m owner --gid-owner 7 -j DROP": [rule("drop", understood=False)],
    "-o docker+ -j DROP": [rule("drop", names("oif", "docker*"))],
}  # fmt: skip
MANGLE: dict[str, list[FirewallRule]] = {
    "-j MARK --set-mark 5": [rule("continue", set_mark=(5, 0xFFFFFFFF))],
    "-p tcp -j MARK --set-xmark 0x1/0xff": [rule("continue", TCP, set_mark=(1, 0xFF))],
    "-j MARK --or-mark 0x4000": [rule("continue", set_mark=(0x4000, 0x4000))],
    "-j MARK --and-mark 0xff": [rule("continue", set_mark=(0, 0xFFFFFF00))],
    "-j MARK --xor-mark 0x3": [rule("continue", understood=False)],
    "-j CONNMARK --save-mark": [rule("continue")],
    "-j CONNMARK --restore-mark": [rule("continue", understood=False)],
    "-j TOS --set-tos 8": [rule("continue")],
    "-m rpfilter --invert -j DROP": [rule("drop", names("reverse_path", "missing"))],
    "-m rpfilter --validmark -j ACCEPT": [rule("accept", names("reverse_path", "exists"))],
    "-m rpfilter --loose -j ACCEPT": [rule("accept", understood=False)],
    "-p tcp -j TPROXY --on-port 5": [rule("unknown", TCP, understood=False)],
}  # fmt: skip
RAW: dict[str, list[FirewallRule]] = {
    "-j CT --notrack": [rule("notrack")],
    "-j NOTRACK": [rule("notrack")],
    "-j CT --zone 5": [rule("continue", understood=False)],
}
PREROUTING: dict[str, list[FirewallRule]] = {
    "-p tcp --dport 80 -j DNAT --to-destination 172.17.0.2:8080": [
        rule("dnat", TCP, pairs("dport", 80), to_address=one("172.17.0.2"), to_port=(8080, 8080))
    ],
    "-p tcp -j DNAT --to-destination 10.0.0.1-10.0.0.5:80-90": [
        rule("dnat", TCP, to_address=(parse("10.0.0.1"), parse("10.0.0.5")), to_port=(80, 90))
    ],
    "-j DNAT --to-destination 10.0.0.1": [rule("dnat", to_address=one("10.0.0.1"))],
    "-p tcp -j REDIRECT --to-ports 8080-8090": [rule("redirect", TCP, to_port=(8080, 8090))],
    "-p tcp -j REDIRECT": [rule("redirect", TCP)],
    "-m addrtype --dst-type LOCAL -j user": [rule("jump", names("daddr_type", "local"), target="user")],
    "-d 10.0.0.0/24 -j NETMAP --to 10.1.0.0/24": [
        rule("unknown", names("family", "ip"), pairs("daddr", of_prefix(parse("10.0.0.0"), 24)), understood=False)
    ],
    "-p tcp --dport 80:90 -j DNAT --to-destination 10.0.0.1:1080-1090/80": [
        rule("unknown", TCP, pairs("dport", (80, 90)), understood=False)
    ],
}  # fmt: skip
PREROUTING_V6: dict[str, list[FirewallRule]] = {
    "-p tcp -j DNAT --to-destination [fd00::1]:80": [rule("dnat", TCP, to_address=one("fd00::1"), to_port=(80, 80))],
    "-p tcp -j REDIRECT --to-ports 8080": [rule("redirect", TCP, to_port=(8080, 8080))],
}
POSTROUTING: dict[str, list[FirewallRule]] = {
    "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE": [
        rule("masquerade", names("oif", "docker0", negated=True), names("family", "ip"),
             pairs("saddr", of_prefix(parse("172.17.0.0"), 16))),
    ],
    "-p tcp -j MASQUERADE --to-ports 1024-65535 --random-fully": [rule("masquerade", TCP, to_port=(1024, 65535))],
    "-j SNAT --to-source 10.2.3.4-10.2.3.9": [rule("snat", to_address=(parse("10.2.3.4"), parse("10.2.3.9")))],
    "-p udp -j SNAT --to-source 10.2.3.4:1-9": [rule("snat", UDP, to_address=one("10.2.3.4"), to_port=(1, 9))],
}  # fmt: skip
POSTROUTING_V6: dict[str, list[FirewallRule]] = {
    "-j MASQUERADE": [rule("masquerade")],
    "-j SNAT --to-source fd00::1": [rule("snat", to_address=one("fd00::1"))],
}

TABLES = (
    ("iptables", "filter", "INPUT", INPUT), ("ip6tables", "filter", "INPUT", INPUT_V6),
    ("iptables", "filter", "OUTPUT", OUTPUT), ("iptables", "mangle", "PREROUTING", MANGLE),
    ("iptables", "raw", "PREROUTING", RAW), ("iptables", "nat", "PREROUTING", PREROUTING),
    ("ip6tables", "nat", "PREROUTING", PREROUTING_V6), ("iptables", "nat", "POSTROUTING", POSTROUTING),
    ("ip6tables", "nat", "POSTROUTING", POSTROUTING_V6),
)  # fmt: skip
CASES = [(tool, table, chain, text, found) for tool, table, chain, rules in TABLES for text, found in rules.items()]


def restore(tool: str, table: str, chain: str, lines: list[str]) -> None:
    """Load rules. AssertionError with what iptables-restore(8) says when it does not take them."""
    text = "\n".join([f"*{table}", ":user - [0:0]", *(f"-A {chain} {line}" for line in lines), "COMMIT", ""])
    done = subprocess.run([f"{tool}-nft-restore"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + text


def read(batches: list[tuple[str, str, str, list[str]]]) -> list[tuple[FirewallRule, ...]]:
    """The chain of each batch of rules, as portside reads it."""
    ip("link set lo up")
    found = []
    for tool, table, chain, lines in batches:
        nft("flush ruleset\n")
        restore(tool, table, chain, lines)
        chains, missing = nftables.chains()
        assert missing == ()
        found.append(next(each.rules for each in chains if each.name == chain))
    return found


@pytest.fixture(scope="module")
def cases() -> list[list[FirewallRule]]:
    batches = [(tool, table, chain, [text]) for tool, table, chain, text, _ in CASES]
    return [list(rules) for rules in apart(read, batches)]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{tool} {text}" for tool, _, _, text, _ in CASES])
def test_a_rule_says_what_iptables_says(cases: list[list[FirewallRule]], number: int) -> None:
    assert [replace(each, text="", handle=0) for each in cases[number]] == CASES[number][-1]


@pytest.mark.parametrize(("target", "words"), [
    ("-j DNAT --to-destination [fd00::1]:80", "dnat to [fd00::1]:80"),
    ("-j DNAT --to-destination fd00::1-fd00::2", "dnat to fd00::1-fd00::2"),
    ("-j REDIRECT --to-ports 80-90", "redirect to :80-90"),
])  # fmt: skip
def test_the_text_of_a_rule_says_what_its_target_does(target: str, words: str) -> None:
    """nft(8) 1.0.6 leaves the DNAT of IPv6 out."""
    ((found,),) = apart(read, [("ip6tables", "nat", "PREROUTING", [f"-p tcp {target}"])])
    assert found.text.endswith(words)
    assert found.text.count(found.verdict) == 1


# -- generated rules: what nft(8) makes of them in words, loaded as a rule of its own, says the same --


def generate(draw: random.Random) -> str:
    """A rule that nft(8) can put into words whole."""
    words: list[str] = []
    proto = draw.choice(["", "tcp", "udp"])
    if draw.random() < 0.3:
        words.append(f"{draw.choice(['', '! '])}-i {draw.choice(['eth0', 'docker+', 'lo'])}")
    for side in "-s", "-d":
        if draw.random() < 0.3:
            words.append(f"{draw.choice(['', '! '])}{side} 10.{draw.randint(0, 255)}.0.0/{draw.choice([16, 17, 24])}")
    if proto:
        words.append(f"-p {proto}")
        numbers = sorted(draw.sample(range(1, 60000), 4))
        port = draw.choice([f"{numbers[0]}", f"{numbers[0]}:{numbers[1]}"])
        words.append(draw.choice([
            f"{draw.choice(['', '! '])}--dport {port}", f"{draw.choice(['', '! '])}--sport {port}",
            f"-m multiport {draw.choice(['', '! '])}--dports {port},{numbers[2]},{numbers[3]}",
            f"-m multiport {draw.choice(['', '! '])}--sports {port},{numbers[3]}", "",
        ]))  # fmt: skip
    words.append(draw.choice([
        "", f"-m conntrack {draw.choice(['', '! '])}--ctstate {draw.choice(['NEW', 'RELATED,ESTABLISHED', 'INVALID'])}",
        f"-m conntrack {draw.choice(['', '! '])}--ctorigdst 10.{draw.randint(0, 255)}.0.0/16", "-m state --state NEW",
        f"-m addrtype {draw.choice(['', '! '])}--dst-type {draw.choice(['LOCAL', 'BROADCAST', 'MULTICAST,LOCAL'])}",
        f"-m addrtype {draw.choice(['', '! '])}--src-type LOCAL --limit-iface-in",
        f"-m mark {draw.choice(['', '! '])}--mark {draw.randint(1, 9)}/0xff",
        f"-m iprange {draw.choice(['', '! '])}--src-range 10.0.0.{draw.randint(1, 9)}-10.0.0.{draw.randint(10, 99)}",
        f"-m pkttype {draw.choice(['', '! '])}--pkt-type {draw.choice(['broadcast', 'multicast'])}",
    ]))  # fmt: skip
    words.append("-j " + draw.choice([
        "ACCEPT", "DROP", "RETURN", "user", "REJECT", "REJECT --reject-with icmp-admin-prohibited",
        "REJECT --reject-with icmp-host-prohibited", "LOG --log-prefix x",
    ]))  # fmt: skip
    return " ".join(filter(None, words))


def read_both(lines: list[str]) -> tuple[tuple[FirewallRule, ...], tuple[FirewallRule, ...]]:
    (first,) = read([("iptables", "filter", "INPUT", lines)])
    body = "\n".join(each.text for each in first).replace("ct original daddr", "ct original ip daddr")
    nft(f"flush ruleset\ntable ip t {{\nchain user {{\n}}\nchain c {{\n{body}\n}}\n}}\n")
    return first, next(each.rules for each in nftables.chains()[0] if each.name == "c")


@pytest.mark.parametrize("seed", range(6))
def test_rules_say_what_they_say_in_the_words_of_nft(seed: int) -> None:
    draw = random.Random(seed)
    lines = [generate(draw) for _ in range(50)]
    first, second = apart(read_both, lines)
    assert len(first) == len(lines)
    for line, one, other in zip(lines, first, second, strict=True):
        assert (one.verdict, one.reject_with, one.target) == (other.verdict, other.reject_with, other.target), line
        assert one.understood
        assert other.understood
        assert _conditions(one) == _conditions(other), line


def _conditions(rule: FirewallRule) -> set[Match]:
    """The conditions that a rule of this family does not have anyway. Elements of a set have no order."""
    return {
        replace(match, values=tuple(sorted(match.values)))  # type: ignore[type-var]
        for match in rule.matches if match != names("family", "ip")
    }  # fmt: skip


# -- what the documentation says --


def test_the_documentation_names_what_is_read() -> None:
    text = Path(__file__).parents[2].joinpath("docs/listening.md").read_text()
    matches, targets = (
        re.findall(r"`(\w+)`", next(line for line in text.splitlines() if line.startswith(f"| {kind} that are read")))
        for kind in ("matches", "targets")
    )
    assert matches == sorted(name for name, _ in READERS)
    assert set(targets) == {*NAT, "REJECT", "NFQUEUE"} | PASSING - HARMLESS - {"HMARK"}
    assert {"LOG", "TCPMSS", "CHECKSUM"} <= HARMLESS


# -- what does not come from the kernel as it should --


def test_an_extension_that_nobody_knows_is_not_read() -> None:
    with pytest.raises(NotUnderstoodError):
        condition(Extension("match", "novel", 0, bytes(200)))
    with pytest.raises(NotUnderstoodError):
        condition(Extension("match", "conntrack", 9, bytes(200)))
    with pytest.raises(NotUnderstoodError):
        condition(Extension("match", "mark", 1, bytes(200), family="bridge"))
    with pytest.raises(NotUnderstoodError):
        outcome(Extension("target", "NOVEL", 0, bytes(200)))
    with pytest.raises(NotUnderstoodError):
        outcome(Extension("target", "DNAT", 0, bytes(200), family="bridge"))


@pytest.mark.parametrize("extension", [
    Extension("match", "conntrack", 3, bytes(20)), Extension("match", "tcp", 0, bytes(3)),
    Extension("match", "addrtype", 1, b""),
])  # fmt: skip
def test_a_structure_that_is_too_short_is_not_read(extension: Extension) -> None:
    with pytest.raises(NotUnderstoodError):
        condition(extension)


@pytest.mark.parametrize("name", ["DNAT", "REJECT", "MARK"])
def test_a_target_that_is_too_short_is_not_read(name: str) -> None:
    with pytest.raises(NotUnderstoodError):
        outcome(Extension("target", name, 2, b"\0"))


def test_extensions_of_another_rule_are_left_alone() -> None:
    expressions: list[dict[str, Any]] = [{"xt": None}, {"counter": None}, {"xt": {"type": "target", "name": "LOG"}}]
    mark, log = Extension("match", "mark", 1, b""), Extension("target", "LOG", 0, b"")
    assert filled_in(expressions, [mark]) == expressions
    assert filled_in(expressions, [mark, log]) == [{"xt": mark}, {"counter": None}, {"xt": log}]
