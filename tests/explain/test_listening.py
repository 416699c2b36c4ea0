"""Who listens, and what is likely a mistake about it: on hand-made snapshots."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.explain.hand import ETH0, LO, host, interface, process, socket

from portside.explain import mistakes
from portside.explain.listening import Listener, listeners
from portside.explain.matrix import matrix
from portside.explain.mistakes import NOTE, WARNING
from portside.explain.words import address_text, peer_text, programs, state_text
from portside.facts.rule import Chain, FirewallRule, Match
from portside.facts.snapshot import ONLY_ROOT_ENTERS, UNENTERED, Missing, Namespace, Snapshot
from portside.facts.socket import Owner, Socket

V4_ONLY = (LO, interface(2, "eth0", "192.168.1.5/24"))


def look(*sockets: Socket, **more: object) -> Listener:
    """The first of the listeners."""
    return listeners(host(*sockets, **more))[0]


def named(listener: Listener, level: str = WARNING) -> list[str]:
    return [each.name for each in listener.findings if each.level == level]


@pytest.mark.scenario("C4")
@pytest.mark.parametrize(
    ("one", "names"),
    [
        (socket("0.0.0.0:6379", pid=9, command="redis-server"), ["database-exposed"]),
        (socket("0.0.0.0:7777", pid=9, command="postgres"), ["database-exposed"]),
        (socket("127.0.0.1:6379", pid=9, command="redis-server"), []),
        (socket("192.168.1.5:5432", pid=9, command="postgres"), []),  # the address that its clients use
        (socket("0.0.0.0:2375", pid=9, command="dockerd"), ["database-exposed"]),
        (socket("0.0.0.0:11211/udp", pid=9, command="memcached"), ["database-exposed"]),
        (socket("0.0.0.0:80", pid=9, command="nginx"), []),
        (socket("0.0.0.0:80", accept_queue=129, backlog=128), ["queue-full"]),
        (socket("0.0.0.0:80", accept_queue=129, backlog=None), []),
        (socket("0.0.0.0:80", accept_queue=128, backlog=128), []),
        (socket("0.0.0.0:80", drops=3), ["connections-dropped"]),
        (socket("0.0.0.0:53/udp", drops=3), ["drops"]),
        (socket("10.77.0.1:80"), ["not-here"]),
    ],
)
def test_what_is_likely_a_mistake(one: Socket, names: list[str]) -> None:
    assert named(look(one, interfaces=V4_ONLY)) == names


@pytest.mark.scenario("C4")
def test_a_namespace_that_was_not_entered_has_no_warnings() -> None:
    closed = host(
        socket("127.0.0.1:5000"), socket("10.7.7.7:80"), interfaces=(), namespace=Namespace(name="pid 7"),
        missing=(Missing(what=UNENTERED, why=ONLY_ROOT_ENTERS),),
    )  # fmt: skip
    found = listeners(host(others=(closed,)))
    assert [(each.namespace, each.findings, each.reach) for each in found] == [("pid 7", (), "unknown")] * 2


@pytest.mark.scenario("C4")
def test_what_was_dropped_is_counted_and_its_cause_is_not_made_up() -> None:
    [one] = look(socket("0.0.0.0:80", drops=1), interfaces=V4_ONLY).warnings
    assert one.sentence == (
        "1 packet dropped on the way to a connection: its accept queue was full then (backlog 128), no route led back, "
        "or a check failed; the kernel does not tell which"
    )
    [other] = look(socket("0.0.0.0:80", drops=2), interfaces=V4_ONLY, listen_overflows=0).warnings
    assert other.sentence == (
        "2 packets dropped on the way to a connection: no route led back, or a check failed; "
        "the kernel does not tell which"
    )
    [full] = look(socket("0.0.0.0:80", accept_queue=1, backlog=0), interfaces=V4_ONLY).warnings
    assert full.sentence.startswith("1 connection waiting to be accepted, no more fit (backlog 0)")


@pytest.mark.scenario("C5")
@pytest.mark.parametrize(
    ("where", "warnings", "notes"),
    [
        ("[::1]:80", ["only-ipv6"], []),
        ("[fd00:1::5]:80", ["only-ipv6"], []),
        ("127.0.0.1:80", [], ["only-ipv4"]),
        ("0.0.0.0:80", [], ["only-ipv4"]),
        ("[::]:80", [], []),
    ],
)
def test_one_family_where_clients_may_use_the_other(where: str, warnings: list[str], notes: list[str]) -> None:
    found = look(socket(where))
    assert (named(found), named(found, NOTE)) == (warnings, notes)


@pytest.mark.scenario("C8")
def test_a_pair_of_sockets_is_as_good_as_a_dual_stack_one() -> None:
    pair = [socket("0.0.0.0:80", pid=9, command="nginx"), socket("[::]:80", v6only=True, pid=9, command="nginx")]
    found = listeners(host(*pair))
    assert [each.findings for each in found] == [(), ()]
    assert [each.address for each in found] == ["[::]:80", "0.0.0.0:80"]
    [dual] = listeners(host(socket("[::]:80", pid=9, command="node")))
    assert (dual.address, dual.exposure.families_words) == ("*:80", "IPv4 and IPv6")


@pytest.mark.scenario("C5")
@pytest.mark.parametrize("inside", [True, False])
def test_a_containers_server_on_its_loopback(inside: bool) -> None:
    one = socket("127.0.0.1:5000", pid=9, command="flask")
    living = process(9, "flask", container="3f2a9c1b5d7e" if inside else None)
    inner = host(one, processes=(living,), interfaces=(LO, ETH0), namespace=Namespace(inode=7, name="shop"))
    [found] = listeners(host(others=(inner,)))
    assert found.namespace == "shop"
    [finding] = [each for each in found.findings if each.name == "container-loopback"]
    assert finding.level == (WARNING if inside else NOTE)
    place = "container" if inside else "network namespace"
    assert finding.sentence == (
        f"it listens on the loopback of its {place}: nobody outside reaches it, a published port neither; "
        "bind it to 0.0.0.0"
    )
    [outer] = listeners(host(one))
    assert "container-loopback" not in named(outer)


def shared(where: str, **by: str) -> list[Socket]:
    return [socket(where, reuseport=True, pid=int(pid[1:]), command=name) for pid, name in by.items()]


@pytest.mark.scenario("A2")
@pytest.mark.parametrize(
    ("sockets", "processes", "sentence"),
    [
        # two that were started apart
        (shared("0.0.0.0:80", p11="python3", p12="python3"), (process(11, "python3"), process(12, "python3")),
         "2 independent processes share it by SO_REUSEPORT, processes 11, 12: each gets a share of the connections; "
         "was one left running?"),
        # two programs
        (shared("0.0.0.0:80", p11="old", p12="new"), (process(11, "old"), process(12, "new")),
         "different programs (new, old) share it by SO_REUSEPORT, processes 11, 12: each gets a share of the "
         "connections; was one left running?"),
        # workers of one master
        (shared("0.0.0.0:80", p11="nginx", p12="nginx"),
         (process(10, "nginx"), process(11, "nginx", ppid=10), process(12, "nginx", ppid=10)), ""),
        # one process with two of them
        (shared("0.0.0.0:80", p11="envoy") * 2, (process(11, "envoy"),), ""),
        (shared("0.0.0.0:5353/udp", p11="avahi", p12="chrome"), (process(11, "avahi"), process(12, "chrome")), ""),
    ],
)  # fmt: skip
def test_a_reuseport_group_that_nobody_meant(
    sockets: list[Socket], processes: tuple[object, ...], sentence: str
) -> None:
    found = look(*sockets, processes=processes, interfaces=V4_ONLY)
    assert [each.sentence for each in found.findings if each.name == "reuseport-group"] == (
        [sentence] if sentence else []
    )


@pytest.mark.scenario("A3")
@pytest.mark.scenario("C5")
def test_two_programs_on_one_port_of_two_addresses() -> None:
    one, other = socket("127.0.0.1:80", pid=11, command="dev"), socket("0.0.0.0:80", pid=12, command="nginx")
    found = look(one, other, interfaces=V4_ONLY)
    [finding] = [each for each in found.findings if each.name == "split-port"]
    assert finding.sentence == (
        "another program has the port on another address: TCP LISTEN 127.0.0.1:80 (dev); who answers depends on the "
        "address that is called"
    )
    assert named(look(one, socket("192.168.1.5:80", pid=11, command="dev"), interfaces=V4_ONLY)) == []


@pytest.mark.scenario("C3")
@pytest.mark.parametrize(
    ("one", "text"),
    [
        (socket("0.0.0.0:80"), "0.0.0.0:80"),
        (socket("[::]:80", v6only=False), "*:80"),
        (socket("[::]:80", v6only=True), "[::]:80"),
        (socket("[::1]:80"), "[::1]:80"),
        (socket("[::ffff:10.0.0.1]:80"), "[::ffff:10.0.0.1]:80"),
        (socket("127.0.0.53:53", device=1), "127.0.0.53%lo:53"),
        (socket("[fe80::5]:80", scope=2), "[fe80::5]%eth0:80"),
    ],
)
def test_addresses_as_ss_writes_them(one: Socket, text: str) -> None:
    assert address_text(one, host()) == text


def test_a_connection_in_words() -> None:
    one = socket("[::]:80", to="[::ffff:10.0.0.9]:4711")
    assert (state_text(one), peer_text(one)) == ("ESTABLISHED", "[::ffff:10.0.0.9]:4711")
    assert (state_text(socket("0.0.0.0:53/udp")), peer_text(socket("0.0.0.0:53/udp"))) == ("UNCONN", "")


def test_all_processes_are_named_few_of_many() -> None:
    assert programs([Owner(3, 4, "a"), Owner(2, 4, "a"), Owner(9, 4, "b"), Owner(3, 5, "a")]) == "a (2, 3), b (9)"
    assert programs(Owner(pid, 3, "w") for pid in range(1, 8)) == "w (1, 2, 3, 4 and 3 more)"
    assert programs([]) == ""


def test_json_has_every_key_and_survives_hostile_names() -> None:
    hostile = "x\x1b[2J\udcff"
    one = socket("0.0.0.0:8080", pid=9, command=hostile, user="www")
    snapshot: Snapshot = host(one, processes=(process(9, hostile, unit="web.service"),), interfaces=V4_ONLY)
    [found] = listeners(snapshot)
    answer = json.loads(json.dumps(found.json()))
    assert answer.pop("doors") == [
        {"interface": "lo", "address": "127.0.0.1", "networks": [], "direct": True, "verdict": "open", "sources": [],
         "because": None},
        {"interface": "lo", "address": "192.168.1.5", "networks": [], "direct": True, "verdict": "open", "sources": [],
         "because": None},
        {"interface": "eth0", "address": "192.168.1.5", "networks": ["192.168.1.0/24"], "direct": True,
         "verdict": "open", "sources": [], "because": None},
    ]  # fmt: skip
    assert answer == {
        "protocol": "tcp", "address": "0.0.0.0", "port": 8080, "text": "0.0.0.0:8080", "service": "http-alt",
        "families": ["IPv4"], "v6only": False, "device": None, "reach": "everywhere", "words": "everywhere",
        "filter_read": True,
        "networks": ["192.168.1.0/24 (eth0)"], "but_for": [], "call": ["http://127.0.0.1:8080/", "http://192.168.1.5:8080/"],
        "user": "www", "uid": 33, "inode": 5009,
        "owners": [{"pid": 9, "fd": 3, "command": hostile, "argv": [hostile], "unit": "web.service",
                    "container": None}],
        "accept_queue": 0, "backlog": 128, "drops": 0, "namespace": None, "findings": [],
    }  # fmt: skip


@pytest.mark.scenario("B9")
def test_the_matrix_of_listeners_and_networks() -> None:
    drop = FirewallRule(verdict="drop", matches=(Match(key="iif", values=("eth1",)),))
    chains = (Chain(family="inet", table="t", name="input", hook="input", rules=(drop,)),)
    wild, inner, one, other = (socket(f"{each}:80") for each in ("0.0.0.0", "127.0.0.1", "192.168.1.5", "10.9.0.5"))
    snapshot = host(wild, inner, one, other, socket("[::1]:80"))
    assert matrix(listeners(snapshot), snapshot) == (
        ["PROTO", "ADDRESS", "this machine", "eth0 192.168.1.0/24 fd00:1::/64", "eth1 10.9.0.0/16"],
        [
            ["tcp", "[::1]:80", "yes", "no", "no"],
            ["tcp", "0.0.0.0:80", "yes", "yes", "yes"],
            ["tcp", "10.9.0.5:80", "yes", "by route", "yes"],
            ["tcp", "127.0.0.1:80", "yes", "no", "no"],
            ["tcp", "192.168.1.5:80", "yes", "yes", "by route"],
        ],
    )
    filtered = replace(snapshot, chains=chains)
    assert [row[-1] for row in matrix(listeners(filtered), filtered)[1]] == ["no", "dropped", "dropped", "no", "no"]


def test_the_page_tells_every_key_and_every_finding() -> None:
    page = (Path(__file__).parents[2] / "docs" / "listening.md").read_text()
    [found] = listeners(host(socket("0.0.0.0:80", pid=9, command="x"), processes=(process(9, "x"),)))
    told = found.json()
    keys = {*told, *told["doors"][0], *told["owners"][0], *told["findings"][0]}  # type: ignore[index]
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []
    source = (Path(mistakes.__file__)).read_text()
    names = set(re.findall(r'Finding\(\s*"([a-z0-9-]+)"', source))
    assert len(names) == 10
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
