"""From where a listener can be reached: hand-made snapshots, and simulated hosts where each connection is tried."""

from __future__ import annotations

import errno
import socket as sockets
import time
from dataclasses import replace
from random import Random

import pytest
from tests.explain.hand import ETH0, ETH1, LO, host, interface, socket

from portside import Network
from portside.addr import ip
from portside.explain.exposure import (
    EVERYWHERE,
    MACHINE,
    NETWORK,
    NOWHERE,
    PARTLY,
    Exposure,
    exposures,
    is_listener,
)
from portside.explain.packet_filter import DROPPED, OPEN, REJECTED, UNKNOWN
from portside.explain.ranges import ranges_text
from portside.facts.rule import Chain, FirewallRule, Match
from portside.facts.snapshot import ONLY_ROOT_ENTERS, UNENTERED, Missing, Snapshot
from portside.facts.socket import Socket
from portside.facts.state import CLOSED
from portside.host.snapshot import snapshot

TCP = Match(key="proto", values=((6, 6),))


def chain(*rules: FirewallRule, policy: str = "accept", **more: object) -> Chain:
    values = {"family": "inet", "table": "filter", "name": "input", "hook": "input", **more}
    return Chain(rules=rules, policy=policy, **values)  # type: ignore[arg-type]


def ports(*numbers: int) -> Match:
    return Match(key="dport", values=tuple((each, each) for each in numbers))


def prefix(text: str) -> Match:
    first, _, length = text.partition("/")
    low = ip.parse(first)
    return Match(key="saddr", values=((low, low | (1 << ip.bits_of(low) - int(length)) - 1),))


def iif(name: str, negated: bool = False) -> Match:
    return Match(key="iif", values=(name,), negated=negated)


def rule(verdict: str, *matches: Match, **more: object) -> FirewallRule:
    return FirewallRule(verdict=verdict, matches=matches, **more)  # type: ignore[arg-type]


def look(snapshot: Snapshot) -> Exposure:
    [found] = exposures(snapshot)
    return found


@pytest.mark.scenario("C4")
@pytest.mark.parametrize(
    ("where", "reach", "words", "families"),
    [
        ("0.0.0.0:22", EVERYWHERE, "everywhere", "IPv4"),
        ("[::]:22", EVERYWHERE, "everywhere", "IPv4 and IPv6"),
        ("127.0.0.1:22", MACHINE, "this machine only", "IPv4"),
        ("[::1]:22", MACHINE, "this machine only", "IPv6"),
        ("192.168.1.5:22", NETWORK, "this network: 192.168.1.0/24 (eth0), and who has a route to it", "IPv4"),
        ("10.9.0.5:22", NETWORK, "this network: 10.9.0.0/16 (eth1), and who has a route to it", "IPv4"),
        ("[fd00:1::5]:22", NETWORK, "this network: fd00:1::/64 (eth0), and who has a route to it", "IPv6"),
        ("[fe80::5%eth0]:22", NETWORK, "this network only: fe80::/64 (eth0)", "IPv6"),
        ("192.168.1.9:22", NOWHERE, "nowhere: no interface has the address, or none is up", "IPv4"),
        ("[::ffff:192.168.1.5]:22", NETWORK, "this network: 192.168.1.0/24 (eth0), and who has a route to it", "IPv4"),
        ("0.0.0.0:53/udp", EVERYWHERE, "everywhere", "IPv4"),
    ],
)
def test_from_where(where: str, reach: str, words: str, families: str) -> None:
    found = look(host(socket(where)))
    assert (found.reach, found.words, found.families_words) == (reach, words, families)


@pytest.mark.scenario("C4")
def test_a_public_address_is_everywhere() -> None:
    wan = interface(4, "wan", "203.0.113.9/24", "1.1.1.9/24")
    assert look(host(socket("1.1.1.9:22"), interfaces=(LO, wan))).reach == EVERYWHERE


@pytest.mark.scenario("C4")
@pytest.mark.parametrize(
    ("v6only", "families"), [(True, "IPv6"), (False, "IPv4 and IPv6"), (None, "IPv6, perhaps IPv4")]
)
def test_dual_stack_or_one_family(v6only: bool | None, families: str) -> None:
    assert look(host(socket("[::]:80", v6only=v6only))).families_words == families


def test_without_a_network_everywhere_is_here() -> None:
    found = look(host(socket("0.0.0.0:22"), interfaces=(LO, interface(2, "eth0", "10.0.0.1/8", up=False))))
    assert found.words == "everywhere, but this machine is on no network"


def test_a_device_is_the_only_door() -> None:
    found = look(host(socket("0.0.0.0:22", device=3)))
    assert (found.reach, found.words) == (NETWORK, "this network: 10.9.0.0/16 (eth1), and who has a route to it")
    assert found.calls == ("10.9.0.5:22",)
    assert [ip.text(door.address) for door in found.inner] == ["10.9.0.5"]  # for a device, that comes in by eth1


@pytest.mark.scenario("C4")
@pytest.mark.parametrize(
    ("chains", "reach", "words"),
    [
        ([chain(policy="drop")], NOWHERE, "nowhere; the filter drops the rest (policy drop of chain input)"),
        ([chain(rule("accept", iif("lo")), policy="drop")], MACHINE,
         "this machine only; the filter drops the rest (policy drop of chain input)"),
        ([chain(rule("drop", TCP, ports(80), text="tcp dport 80 drop"))], NOWHERE,
         "nowhere; the filter drops the rest (tcp dport 80 drop)"),
        ([chain(rule("reject", TCP, ports(80), iif("lo", negated=True), text="no"))], MACHINE,
         "this machine only; the filter rejects the rest (no)"),
        ([chain(rule("drop", TCP, ports(81)))], EVERYWHERE, "everywhere"),
        ([chain(rule("accept", TCP, ports(22, 80)), policy="drop")], EVERYWHERE, "everywhere"),
        ([chain(rule("accept", iif("eth1")), policy="drop")], NETWORK,
         "this network: 10.9.0.0/16 (eth1), and who has a route to it; "
         "the filter drops the rest (policy drop of chain input)"),
        ([chain(rule("accept", prefix("10.0.0.0/8")), policy="drop")], NETWORK,
         "this network only: 10.0.0.0/8 (eth0), 10.0.0.0/8 (eth1); "
         "the filter drops the rest (policy drop of chain input)"),
        ([chain(rule("accept", Match(key="state", values=("established", "related"))), policy="drop")], NOWHERE,
         "nowhere; the filter drops the rest (policy drop of chain input)"),
        # the first base chain that drops has the last word
        ([chain(priority=-10), chain(policy="drop", name="late")], NOWHERE,
         "nowhere; the filter drops the rest (policy drop of chain late)"),
        # of another family, or of another hook
        ([chain(policy="drop", family="ip6")], EVERYWHERE, "everywhere"),
        ([chain(policy="drop", hook="forward")], EVERYWHERE, "everywhere"),
    ],
)  # fmt: skip
def test_the_filters_word(chains: list[Chain], reach: str, words: str) -> None:
    found = look(host(socket("0.0.0.0:80"), chains=tuple(chains)))
    assert (found.reach, found.words) == (reach, words)


@pytest.mark.scenario("C4")
@pytest.mark.parametrize(
    ("rules", "policy", "verdict"),
    [
        # a rule that could not be read matters only where it may decide
        ([rule("continue", understood=False, text="xt match recent")], "accept", UNKNOWN),
        ([rule("continue", TCP, ports(22), understood=False)], "accept", OPEN),
        ([rule("drop", understood=False)], "accept", UNKNOWN),
        ([rule("drop", understood=False)], "drop", DROPPED),
        ([rule("accept", understood=False)], "accept", OPEN),
        ([rule("accept", understood=False)], "drop", UNKNOWN),
        ([rule("accept", TCP, ports(80)), rule("drop", understood=False)], "drop", OPEN),
        ([rule("queue")], "accept", UNKNOWN),
        ([rule("drop", Match(key="cgroup", values=("x",)))], "accept", UNKNOWN),
        ([rule("reject", TCP, Match(key="tcp_flags", values=((2, 0x17),)))], "accept", REJECTED),
        ([rule("drop", Match(key="mark", values=((1, 1),)))], "accept", OPEN),
        ([rule("drop", Match(key="uid", values=((0, 0),)))], "accept", OPEN),
        ([rule("drop", Match(key="oif", values=("eth0",), negated=True))], "accept", OPEN),
        ([rule("drop", Match(key="icmp_type", values=((8, 8),), negated=True))], "accept", OPEN),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_unknown_only_where_it_decides(
    rules: list[FirewallRule], policy: str, verdict: str
) -> None:
    found = look(host(socket("0.0.0.0:80"), chains=(chain(*rules, policy=policy),), interfaces=(LO, ETH1)))
    assert [door.verdict for door in found.outer] == [verdict]


@pytest.mark.scenario("C4")
def test_a_filter_that_could_not_be_read_is_not_taken_for_none() -> None:
    missing = (Missing(what="the packet filter", why="only root may read its rules"),)
    said = "if the packet filter lets it (it could not be read)"
    assert look(host(socket("0.0.0.0:80"), missing=missing)).words == f"everywhere, {said}"
    assert look(host(socket("10.9.0.5:80"), missing=missing)).words == (
        f"this network: 10.9.0.0/16 (eth1), and who has a route to it, {said}"
    )
    assert look(host(socket("127.0.0.1:80"), missing=missing)).words == "this machine only"


def keeps(address: str, **more: object) -> FirewallRule:
    return rule("drop", prefix(f"{address}/32"), text=f"ip saddr {address} drop", **more)


NOT_V4 = rule("drop", Match(key="family", values=("ip",)), text="no v4")


@pytest.mark.scenario("C4")
@pytest.mark.parametrize(
    ("where", "rules", "reach", "words", "but_for"),
    [
        ("0.0.0.0:80", [keeps("10.9.0.9")], EVERYWHERE, "everywhere, but for 10.9.0.9 (ip saddr 10.9.0.9 drop)",
         ("10.9.0.9",)),
        ("10.9.0.5:80", [keeps("10.9.0.9")], NETWORK,
         "this network: 10.9.0.0/16 (eth1), and who has a route to it, but for 10.9.0.9 (ip saddr 10.9.0.9 drop)",
         ("10.9.0.9",)),
        ("0.0.0.0:80", [rule("drop", prefix("10.9.0.9/32"), iif("eth1"), text="x")], EVERYWHERE,
         "everywhere, but for 10.9.0.9 (eth1) (x)", ("10.9.0.9 (eth1)",)),
        # one family alone, by whichever interface it comes
        ("[::]:80", [NOT_V4], EVERYWHERE, "everywhere, over IPv6 alone; the filter drops the rest (no v4)", ()),
        ("[::]:80", [rule("drop", iif("eth1"), text="x")], NETWORK,
         "this network: 192.168.1.0/24 (eth0), fd00:1::/64 (eth0), fe80::/64 (eth0), and who has a route to it; "
         "the filter drops the rest (x)", ()),
        # a limit holds at times
        ("0.0.0.0:80", [keeps("10.9.0.9", understood=False)], EVERYWHERE,
         "everywhere, but perhaps for 10.9.0.9 (ip saddr 10.9.0.9 drop)", ("10.9.0.9",)),
        ("10.9.0.5:80", [rule("accept", prefix("10.0.0.0/8")), rule("drop", understood=False, text="limit 1")], NETWORK,
         "this network only: 10.0.0.0/8 (eth0), 10.0.0.0/8 (eth1); "
         "over the rest a rule decides that can't be foreseen (limit 1)", ()),
        ("10.9.0.5:80", [keeps("10.0.0.0"), rule("accept", prefix("10.0.0.0/8")), rule("drop", understood=False,
         text="limit 1")], NETWORK, "this network only: 10.0.0.1-10.255.255.255 (eth1); "
         "over the rest a rule decides that can't be foreseen (limit 1)", ()),
    ],
)  # fmt: skip
def test_who_is_kept_out_of_what_is_open(
    where: str, rules: list[FirewallRule], reach: str, words: str, but_for: tuple[str, ...]
) -> None:
    found = look(host(socket(where, v6only=False), chains=(chain(*rules),)))
    assert (found.reach, found.words, found.kept_out) == (reach, words.replace("10.0.0.0/8 (eth0), ", ""), but_for)


@pytest.mark.scenario("C4")
def test_the_rule_that_could_not_be_read_is_named() -> None:
    """Not the policy, which decides only when the rule does not."""
    unread = rule("accept", understood=False, text="tcp option maxseg size 1460 accept")
    found = look(host(socket("0.0.0.0:80"), chains=(chain(unread, policy="drop"),)))
    assert found.words.endswith("a rule of the filter that could not be read: tcp option maxseg size 1460 accept")
    late = look(host(socket("0.0.0.0:80"), chains=(chain(unread, rule("drop", text="drop")),)))
    assert late.words == found.words


@pytest.mark.scenario("C4")
def test_nothing_is_made_up_about_a_network_namespace_that_was_not_entered() -> None:
    missing = (Missing(what=UNENTERED, why=ONLY_ROOT_ENTERS),)
    for where in ("127.0.0.1:80", "0.0.0.0:80", "10.0.0.1:80"):
        found = look(host(socket(where), interfaces=(), missing=missing))
        assert (found.reach, found.words) == ("unknown", "unknown: only root may look into that network namespace")


def test_jumps_return_and_go() -> None:
    own = chain(rule("return", ports(80)), rule("drop"), name="own", hook=None)
    base = chain(rule("jump", target="own"), rule("accept", ports(80)), policy="drop")
    assert look(host(socket("0.0.0.0:80"), chains=(base, own))).reach == EVERYWHERE
    assert look(host(socket("0.0.0.0:81"), chains=(base, own))).reach == NOWHERE
    left = chain(rule("goto", target="own"), rule("drop"), policy="accept")
    assert look(host(socket("0.0.0.0:80"), chains=(left, own))).reach == EVERYWHERE


@pytest.mark.scenario("C7")
def test_nat_that_sends_it_elsewhere() -> None:
    nat = chain(
        rule("redirect", ports(80), to_port=(8080, 8080), text="redirect to :8080"), kind="nat", hook="prerouting"
    )
    found = look(host(socket("0.0.0.0:80"), chains=(nat,)))
    assert found.words == "this machine only; the filter sends elsewhere the rest (redirect to :8080)"
    assert look(host(socket("0.0.0.0:8080"), chains=(nat,))).reach == EVERYWHERE


@pytest.mark.scenario("C7")
@pytest.mark.parametrize(
    ("where", "reach"), [("0.0.0.0:80", EVERYWHERE), ("192.168.1.5:80", NETWORK), ("192.168.1.6:80", NOWHERE)]
)
def test_a_redirection_leads_to_the_first_address_of_the_interface(where: str, reach: str) -> None:
    """Whoever listens on another address has lost what comes to it, even on the very port."""
    nat = chain(rule("redirect", ports(80), to_port=(80, 80)), kind="nat", hook="prerouting")
    out = replace(nat, hook="output")
    two = (LO, interface(2, "eth0", "192.168.1.5/24", "192.168.1.6/24"))
    assert look(host(socket(where), chains=(nat, out), interfaces=two)).reach == reach


def test_a_filter_of_sources_splits_them() -> None:
    outside = rule("drop", Match(key="saddr", values=prefix("192.168.0.0/16").values, negated=True))
    found = look(host(socket("192.168.1.5:80"), chains=(chain(rule("drop", prefix("192.168.7.0/24")), outside),)))
    assert found.networks == ("192.168.0.0-192.168.6.255 (eth0)", "192.168.8.0-192.168.255.255 (eth0)")


@pytest.mark.scenario("C2")
@pytest.mark.parametrize(
    ("where", "calls"),
    [
        ("0.0.0.0:8080", ("http://127.0.0.1:8080/", "http://192.168.1.5:8080/", "http://10.9.0.5:8080/")),
        ("127.0.0.1:80", ("http://127.0.0.1/",)),
        ("[::1]:443", ("https://[::1]/",)),
        ("192.168.1.5:22", ("192.168.1.5:22",)),
        ("127.0.0.7:22", ("127.0.0.7:22",)),
        ("[fe80::5%eth0]:80", ("[fe80::5%eth0]:80",)),
        ("192.168.1.5:8080/udp", ("192.168.1.5:8080",)),
    ],
)
def test_what_to_type(where: str, calls: tuple[str, ...]) -> None:
    assert look(host(socket(where))).calls == calls


def test_what_a_listener_is() -> None:
    assert is_listener(socket("0.0.0.0:80"))
    assert is_listener(socket("0.0.0.0:53/udp"))
    assert not is_listener(socket("0.0.0.0:80", state=CLOSED))
    assert not is_listener(socket("127.0.0.1:53/udp", to="127.0.0.1:9"))


def test_ranges_are_written_as_prefixes_where_they_are_some() -> None:
    first, last = ip.parse("10.0.0.0"), ip.parse("10.0.0.255")
    assert ranges_text([(first, last), (first, first), (first, last - 1)]) == [
        "10.0.0.0/24", "10.0.0.0", "10.0.0.0-10.0.0.254",
    ]  # fmt: skip


# -- simulated hosts: what is said and what happens --

ADDRESSES = ("127.0.0.1", "10.0.1.1", "10.0.2.1", "::1", "fd00:1::1", "fd00:2::1")
BOUND = ("0.0.0.0", "::", "v6only", *ADDRESSES)


def serve(address: str, port: int) -> None:
    family = sockets.AF_INET6 if ":" in address or address == "v6only" else sockets.AF_INET
    with sockets.socket(family) as s:
        if address == "v6only":
            s.setsockopt(sockets.IPPROTO_IPV6, sockets.IPV6_V6ONLY, 1)
        s.bind(("::" if address == "v6only" else address, port))
        s.listen()
        time.sleep(3600)


def reach(address: str, port: int) -> str:
    with sockets.socket(sockets.AF_INET6 if ":" in address else sockets.AF_INET) as s:
        s.settimeout(5)
        try:
            s.connect((address, port))
        except TimeoutError:
            return "dropped"
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return "open"


CALLS = {"server": "lo", "one": "eth0", "two": "eth1"}
"""By which interface of the server the hosts come in."""
SOURCES = {"one": ("10.0.1.2", "fd00:1::2"), "two": ("10.0.2.2", "fd00:2::2")}


def filtered(network: Network, random: Random) -> None:
    """A few rules by chance on the server."""
    firewall = network.hosts["server"].firewall
    for _ in range(random.randrange(5)):
        conditions: dict[str, object] = {}
        if random.random() < 0.5:
            conditions["iif"] = random.choice(("lo", "eth0", "eth1", "eth*"))
        if random.random() < 0.5:
            conditions |= {"proto": "tcp", "dport": random.choice(("80", "81", "80-90"))}
        if random.random() < 0.3:
            conditions["family"] = random.choice(("ip", "ip6"))
        elif random.random() < 0.3:
            conditions["src"] = random.choice(("10.0.0.0/8", "10.0.1.2", "10.0.2.0/24", "fd00:1::/64", "127.0.0.0/8"))
        if random.random() < 0.2:
            conditions["state"] = random.choice(("new", "established"))
        getattr(firewall, random.choice(("accept", "accept", "drop", "reject")))(**conditions)
    if random.random() < 0.3:
        firewall.accept(state=["established", "related"])
        firewall.policy("input", "drop")


@pytest.mark.scenario("B9")
@pytest.mark.scenario("C5")
@pytest.mark.parametrize("seed", range(24))
def test_a_connection_from_each_host_agrees_with_the_table(seed: int) -> None:
    random = Random(seed)
    with Network(seed=seed, quiet=True) as network:
        network.host("server", "10.0.1.1/24", "fd00:1::1/64", "10.0.2.1/24@eth1", "fd00:2::1/64@eth1")
        network.host("one", "10.0.1.2/24", "fd00:1::2/64")  # on the server's eth0
        network.host("two", "10.0.2.2/24", "fd00:2::2/64")  # on its eth1
        network.link("server@eth0", "one")
        network.link("server@eth1", "two")
        for name, hop in (("one", "10.0.1.1"), ("one", "fd00:1::1"), ("two", "10.0.2.1"), ("two", "fd00:2::1")):
            network.hosts[name].route("default", via=hop)
        if seed:
            filtered(network, random)
        listening = dict(zip((80, 81, 82), random.sample(BOUND, 3), strict=True))
        for port, address in listening.items():
            network.hosts["server"].spawn(serve, address, port, background=True)
        met = {
            (name, address, port): network.hosts[name].spawn(reach, address, port, start=1)
            for name in CALLS
            for address in ADDRESSES
            for port in listening
        }
        told: list[Snapshot] = []
        network.at(0.5, lambda: told.append(snapshot(network.hosts["server"].machine)))
        network.run()
    doors = {
        (door.interface, door.address, found.socket.lport): door for found in exposures(told[0]) for door in found.doors
    }
    wrong = []
    for (name, address, port), program in met.items():
        if name != "server" and ip.is_loopback(ip.parse(address)):
            continue  # theirs, not the server's
        door = doors.get((CALLS[name], ip.parse(address), port))
        said = None if door is None else door.verdict
        if door is not None and said == PARTLY:
            source = ip.parse(SOURCES[name][":" in address])
            said = OPEN if any(first <= source <= last for first, last in door.sources) else None
        expected = {"open"} if said == OPEN else {"dropped"} if said == DROPPED else {"ECONNREFUSED"}
        if said != OPEN and told[0].chains:
            expected.add("dropped")  # the filter may keep a refusal to itself
        if program.result not in expected:
            wrong.append((name, address, port, said, program.result))
    assert not wrong


def test_the_listeners_that_are_looked_at_can_be_chosen() -> None:
    one, two = socket("0.0.0.0:80"), socket("0.0.0.0:81")
    assert [each.socket for each in exposures(host(one, two), [two])] == [two]
    chosen: list[Socket] = []
    assert exposures(host(one), chosen) == ()
    assert ETH0.name == "eth0"


PROTO_58 = Match(key="proto", values=((58, 58),))
DISCOVERY = rule("accept", PROTO_58, Match(key="icmp_type", values=((133, 137),)))
SSH = rule("accept", Match(key="proto", values=((6, 6),)), Match(key="dport", values=((22, 22),)))


@pytest.mark.scenario("C4")
@pytest.mark.parametrize(("rules", "hook", "v6"), [
    ([SSH], "input", DROPPED),
    ([SSH, DISCOVERY], "input", OPEN),
    ([SSH, rule("accept", Match(key="state", values=("untracked",)))], "input", OPEN),
    ([SSH, rule("accept", PROTO_58, Match(key="icmp_type", values=((136, 136),)))], "input", DROPPED),
    ([rule("accept", Match(key="state", values=("established",)))], "output", DROPPED),
    ([rule("accept", Match(key="state", values=("established",))), DISCOVERY], "output", OPEN),
])  # fmt: skip
def test_who_asks_over_ipv6_needs_the_link_address_first(rules: list[FirewallRule], hook: str, v6: str) -> None:
    """A filter that drops neighbour discovery keeps everybody out, whatever it accepts besides."""
    found = look(host(socket("[::]:22", v6only=False), chains=(chain(*rules, policy="drop", hook=hook, name=hook),)))
    doors = {(ip.is_v4(door.address), door.verdict) for door in found.outer}
    assert doors == {(True, OPEN), (False, v6)}
