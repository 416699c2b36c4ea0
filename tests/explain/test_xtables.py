"""Machines whose filters iptables(8) wrote: Docker's, ufw's, fail2ban's. What `why` says of them is what happens."""

from __future__ import annotations

import random

import pytest
from tests.explain.compare import Comparison, hold, hold_all
from tests.explain.machines import generate
from tests.explain.parts import Listener, Machine, Space, Target
from tests.explain.real import build, snapshot
from tests.explain.xtables import Tables, ufw
from tests.live.apart import apart, lacking

from portside.explain.connect import why
from portside.facts.snapshot import Snapshot

WHY_NOT = lacking("ip", "nft", "iptables-nft")
pytestmark = [pytest.mark.linux, pytest.mark.skipif(WHY_NOT != "", reason=WHY_NOT)]

HOST, FIRST, SECOND, OUTSIDE = range(4)
FORWARDING = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}

# What dockerd makes for its bridge, and for `docker run -p 8080:80`; as iptables-save(8) prints it.
DOCKER = """\
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 172.17.0.3/32 ! -i docker0 -j DROP
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
"""

FAIL2BAN = """\
*filter
:INPUT ACCEPT [0:0]
:f2b-sshd - [0:0]
-A INPUT -p tcp -m multiport --dports 22,443 -j f2b-sshd
-A f2b-sshd -s 192.0.2.9/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b-sshd -j RETURN
COMMIT
"""


def with_docker() -> Machine:
    """A host with two containers on its bridge, and another machine beside it."""
    host = Space(
        HOST, sysctls=dict(FORWARDING), iptables=DOCKER,
        commands=["link add name docker0 type bridge", "link set docker0 up", "address add 172.17.0.1/16 dev docker0",
                  *(f"link set {name} {what}" for name in ("va", "vb") for what in ("master docker0", "up")),
                  "link set eth0 up", "address add 192.0.2.1/24 dev eth0"],
        listeners=[Listener("dual", 22), Listener("dual", 5000)],
    )  # fmt: skip
    containers = [
        Space(number, commands=["link set eth0 up", f"address add 172.17.0.{number + 1}/16 dev eth0",
                                "route add default via 172.17.0.1"],
              listeners=[Listener("dual", 80), Listener("dual", 5432)])
        for number in (FIRST, SECOND)
    ]  # fmt: skip
    outside = Space(
        OUTSIDE, listeners=[Listener("dual", 80)],
        commands=["link set eth0 up", "address add 192.0.2.9/24 dev eth0", "route add 172.17.0.0/16 via 192.0.2.1"],
    )  # fmt: skip
    pairs = [(HOST, "va", FIRST, "eth0"), (HOST, "vb", SECOND, "eth0"), (HOST, "eth0", OUTSIDE, "eth0")]
    places = ("172.17.0.1", "172.17.0.2", "172.17.0.3", "192.0.2.1", "192.0.2.9", "127.0.0.1")
    targets = [
        Target(space, address, port)
        for space in range(4) for address in places for port in (22, 80, 5000, 5432, 8080)
    ]  # fmt: skip
    return Machine(0, [host, *containers, outside], pairs, targets)


def beside(iptables: str = "", ip6tables: str = "") -> Machine:
    """A host with a filter, and another machine beside it."""
    spaces = []
    for number, text, text6 in ((0, iptables, ip6tables), (1, "", "")):
        addresses = (f"192.0.2.{1 + 8 * number}", f"fd00::{1 + 8 * number}")
        spaces.append(Space(
            number, iptables=text, ip6tables=text6, listeners=[Listener("dual", port) for port in (22, 80, 443, 5000)],
            commands=["link set eth0 up", f"address add {addresses[0]}/24 dev eth0",
                      f"address add {addresses[1]}/64 dev eth0 nodad"],
        ))  # fmt: skip
    targets = [
        Target(space, address, port, udp)
        for space in (0, 1) for address in ("192.0.2.1", "192.0.2.9", "fd00::1", "fd00::9", "127.0.0.1", "::1")
        for port, udp in (*((port, False) for port in (22, 80, 443, 5000, 8080, 9000)), (53, True))
    ]  # fmt: skip
    return Machine(0, spaces, [(0, "eth0", 1, "eth0")], targets)


def held(machine: Machine) -> Comparison:
    found = hold(machine)
    assert not found.differences, "\n".join(found.differences)
    assert not found.unknown
    return found


def test_a_host_with_docker_is_foreseen() -> None:
    found = held(with_docker())
    assert found.compared == 120
    assert set(found.outcomes) == {"accepted", "ECONNREFUSED", "ETIMEDOUT"}


def docker_facts() -> Snapshot:
    return snapshot(build(with_docker()))


def test_it_is_said_how_docker_leads_to_a_container() -> None:
    facts = apart(docker_facts)
    answer = why(facts, "192.0.2.1", 8080, source="s3")
    assert answer
    assert answer.attempts[0].place == "s1"
    assert any("172.17.0.2:80" in step.sentence for step in answer.attempts[0].steps)
    assert why(facts, "172.17.0.2", 5432, source="s3").sentence.endswith("(ETIMEDOUT)")
    assert why(facts, "172.17.0.3", 80, source="s3").sentence.endswith("(ETIMEDOUT)")


def test_a_host_with_fail2ban_is_foreseen() -> None:
    found = held(beside(FAIL2BAN))
    assert found.outcomes["ECONNREFUSED"] > 2


@pytest.mark.parametrize("seed", range(3))
def test_a_host_with_ufw_is_foreseen(seed: int) -> None:
    texts = []
    for v6 in False, True:
        tables = Tables(v6)
        ufw(tables, random.Random(f"{seed} {v6}"))
        texts.append(tables.text())
    found = held(beside(*texts))
    assert {"accepted", "ETIMEDOUT"} <= set(found.outcomes)


MACHINES = (*range(100_000, 100_008), 100_151, 100_422, 100_561, 101_007, 101_104, 101_287, 101_353, 101_388, 102_096,
            102_369, 102_479, 101_365, 102_315, 105_074, 200_080, 200_388,
            220_085, 220_217, 240_277, 250_390, 320_373, 330_014, 410_463)  # fmt: skip
"""The last were foretold wrong: NAT gave what this host sent itself the source of another; a reset to a link-local
address; a rejection by br_netfilter, where a chain behind it drops; the reverse path of this host's own address, and a
reset that is there before connect(2) returns; NAT of what a socket sends that is bound to an interface; NAT on a bridge
with chains of its own; link-local addresses to rules that ask what they are, and for the way back to them; NAT on a
bridge to where no route leads; routing rules of users after NAT; a chain of a bridge's own device; two that were so
once and never again; a reset of br_netfilter, which the bridge's chains do not see; what goes back to a link-local
address after NAT; an advertisement of a neighbour that a chain marks; the way back by rpfilter over IPv6; a rule that
says unreachable over IPv6; the way back by rules of ports; twice whom an error about
what is link-local is sent to; what is for a MAC that nobody has;
a routing rule that refuses a host without an address of IPv6."""


def test_what_is_predicted_of_generated_filters_happens() -> None:
    found = hold_all(map(generate, MACHINES))
    differences = [difference for each in found for difference in each.differences]
    assert not differences, "\n".join(differences)
    assert sum(each.compared for each in found) == 60 * len(MACHINES)
