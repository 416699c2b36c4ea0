"""Facts are values: frozen, equal by content, small, and safe to keep and to send."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys

import pytest

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP
from portside.facts.interface import Address, Interface, Neighbor
from portside.facts.process import Process
from portside.facts.route import NextHop, PolicyRule, Route
from portside.facts.rule import Chain, FirewallRule, Match
from portside.facts.snapshot import Missing, Namespace, Snapshot
from portside.facts.socket import Memory, Owner, Socket, TcpInfo, UnixSocket
from portside.facts.state import LISTEN

_KINDS = (
    Address, Chain, FirewallRule, Interface, Match, Memory, Missing, Namespace, Neighbor, NextHop, Owner, PolicyRule,
    Process, Route, Snapshot, Socket, TcpInfo, UnixSocket,
)  # fmt: skip


def web_server() -> Snapshot:
    listener = Socket(
        family=AF_INET6, proto=IPPROTO_TCP, state=LISTEN, laddr=ip.V6_ANY, lport=80, raddr=ip.V6_ANY, v6only=False,
        backlog=511, uid=0, inode=17, owners=(Owner(7, 3, "nginx"), Owner(8, 3, "nginx")), tcp=TcpInfo(),
    )  # fmt: skip
    return Snapshot(
        host="web",
        sockets=(listener,),
        unix_sockets=(UnixSocket(type=1, path=b"/run/x.sock"),),
        processes=(Process(pid=7, name="nginx"), Process(pid=8, ppid=7, name="nginx", uid=33)),
        interfaces=(Interface(index=1, name="lo", addresses=(Address(address=ip.V4_LOOPBACK, prefix_length=8),)),),
        neighbors=(Neighbor(address=1, interface=2),),
        routes=(Route(destination=ip.V4_ANY, prefix_length=0, hops=(NextHop(interface=2),)),),
        policy_rules=(PolicyRule(priority=0, family=AF_INET),),
        chains=(
            Chain(
                family="inet", table="filter", name="input", hook="input",
                rules=(FirewallRule(verdict="drop", matches=(Match(key="dport", values=((22, 22),)),)),),
            ),
        ),
        missing=(Missing(what="programs of other users", why="not root", remedy="sudo"),),
    )  # fmt: skip


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_is_a_frozen_value_without_a_dict(kind: type) -> None:
    parameters = kind.__dataclass_params__  # type: ignore[attr-defined]
    assert parameters.frozen
    assert parameters.eq
    assert "__slots__" in vars(kind)
    assert kind.__doc__


def test_a_fact_cannot_be_changed() -> None:
    listener = web_server().sockets[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        listener.lport = 81  # type: ignore[misc]
    assert dataclasses.replace(listener, lport=81).lport == 81
    assert listener.lport == 80


def test_snapshots_are_equal_by_content_and_survive_a_copy() -> None:
    assert web_server() == web_server()
    assert pickle.loads(pickle.dumps(web_server())) == web_server()
    assert copy.deepcopy(web_server()) == web_server()
    other = dataclasses.replace(web_server(), sockets=())
    assert other != web_server()


def test_settings_of_two_snapshots_are_not_shared() -> None:
    assert Snapshot(host="a").settings is not Snapshot(host="b").settings


def test_what_could_not_be_read_is_none_and_not_false() -> None:
    unknown = Socket(family=AF_INET, proto=IPPROTO_UDP, laddr=ip.V4_ANY, lport=9, raddr=ip.V4_ANY)
    for name in ("v6only", "reuseaddr", "reuseport", "freebind", "transparent", "keepalive", "memory", "tcp"):
        assert getattr(unknown, name) is None


def test_a_hundred_thousand_sockets_stay_small() -> None:
    # 150 MB for 100,000 sockets is the budget of reading a machine: 1,500 bytes a row with its owners.
    row = web_server().sockets[0]
    size = sys.getsizeof(row) + sys.getsizeof(row.owners) + sum(sys.getsizeof(owner) for owner in row.owners)
    assert size < 600
