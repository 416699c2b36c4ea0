"""Facts as JSON and back: every fact returns as it was, and what is wrong with a file is said."""

from __future__ import annotations

import json
import os
import socket
import types
from dataclasses import fields, is_dataclass
from typing import Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portside import Network
from portside.addr import ip
from portside.addr.abi import AF_INET, IPPROTO_TCP
from portside.facts import saved
from portside.facts.interface import Address, Interface, Neighbor
from portside.facts.process import Process
from portside.facts.route import NextHop, PolicyRule, Route
from portside.facts.rule import Chain, FirewallRule, Match
from portside.facts.settings import Settings
from portside.facts.snapshot import Missing, Namespace, Snapshot
from portside.facts.socket import Memory, Owner, Socket, TcpInfo, UnixSocket
from portside.host.snapshot import snapshot as simulated

KINDS = [
    Address, Chain, FirewallRule, Interface, Match, Memory, Missing, Namespace, Neighbor, NextHop, Owner, PolicyRule,
    Process, Route, Settings, Socket, TcpInfo, UnixSocket,
]  # fmt: skip

DEEP = os.environ.get("PORTSIDE_DEEP") == "1"
FAST = settings(
    max_examples=1000 if DEEP else 20, deadline=None, derandomize=not DEEP, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip

addresses = st.one_of(st.integers(0, 2**128 - 1), st.integers(0, 2**32 - 1).map(lambda value: ip.V4_PREFIX | value))
texts = st.text(max_size=8) | st.binary(max_size=8).map(lambda raw: raw.decode(errors="surrogateescape"))
SIMPLE = {int: st.integers(), str: texts, bool: st.booleans(), bytes: st.binary(max_size=8)}
SPECIAL = {
    "laddr": addresses, "raddr": addresses, "address": addresses, "gateway": addresses, "peer": addresses,
    "broadcast": addresses, "lport": st.integers(0, 65535), "rport": st.integers(0, 65535),
}  # fmt: skip


def values(hint):
    """Anything that a field with this annotation may hold."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in SIMPLE:
        return SIMPLE[hint]
    if is_dataclass(hint):
        return facts(hint)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(values, inner))
    if hint is types.NoneType:
        return st.none()
    if origin is tuple and inner[1:] == (...,):
        return st.lists(values(inner[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, inner))
    if origin is frozenset:
        return st.frozensets(values(inner[0]), max_size=3)
    assert origin is dict, hint
    return st.dictionaries(values(inner[0]), values(inner[1]), max_size=3)


def field(kind, name, hint):
    if kind is Route and name in ("destination", "source"):
        return addresses | st.none() if name == "source" else addresses
    if (kind, name) in ((Route, "from_prefix"), (PolicyRule, "source"), (PolicyRule, "destination")):
        return st.none() | st.tuples(addresses, st.integers(0, 128))
    if (kind, name) == (FirewallRule, "to_address"):
        return st.none() | st.tuples(addresses, addresses)
    if (kind, name) == (Match, "values"):
        return st.lists(st.tuples(addresses, addresses) | texts, max_size=3).map(tuple)
    if name in SPECIAL and not (kind is UnixSocket and name == "peer"):
        return SPECIAL[name] | st.none() if types.NoneType in get_args(hint) else SPECIAL[name]
    return values(hint)


def facts(kind):
    hints = get_type_hints(kind, localns={each.__name__: each for each in KINDS})
    needed = {f.name: field(kind, f.name, hints[f.name]) for f in fields(kind) if f.name != "others"}
    return st.builds(kind, **needed)


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@FAST
@given(data=st.data())
def test_every_fact_returns_as_it_was(kind, complete, data):
    fact = data.draw(facts(kind))
    written = json.dumps(saved.plain(fact, complete=complete))
    assert written.isascii()
    assert saved.read(kind, json.loads(written)) == fact


@FAST
@given(data=st.data())
def test_a_snapshot_returns_as_it_was_with_the_other_namespaces(data):
    few = {f.name: st.just(()) for f in fields(Snapshot) if f.name in ("chains", "processes", "routes", "interfaces")}
    hints = get_type_hints(Snapshot, localns={each.__name__: each for each in KINDS})
    rest = {f.name: values(hints[f.name]) for f in fields(Snapshot) if f.name not in {*few, "others"}}
    snapshots = st.builds(Snapshot, **few, **rest)
    inner = data.draw(snapshots)
    whole = data.draw(st.builds(Snapshot, host=texts, others=st.just((inner,))))
    assert saved.load(saved.dump(whole)) == whole


def test_the_snapshot_of_a_simulated_host_returns_as_it_was():
    with Network(quiet=True) as network:
        host = network.host("alpha")
        taken = []

        def serve():
            with socket.create_server(("", 80)), socket.socket(socket.AF_UNIX) as local:
                local.bind("\0name")
                taken.append(simulated(host.machine))

        host.spawn(serve)
        network.run()
    (snapshot,) = taken
    assert {each.lport for each in snapshot.sockets} == {80}
    assert saved.load(saved.dump(snapshot)) == snapshot


def test_addresses_are_text_and_bytes_keep_what_is_no_utf8():
    one = Socket(family=AF_INET, proto=IPPROTO_TCP, laddr=ip.V4_LOOPBACK, lport=80, raddr=ip.V6_LOOPBACK)
    written = saved.plain(one, complete=False)
    assert written == {"family": 2, "proto": 6, "laddr": "127.0.0.1", "lport": 80, "raddr": "::1"}
    path = saved.plain(UnixSocket(type=1, path=b"\0a\xff\n"))["path"]
    assert json.dumps(path) == r'"\u0000a\udcff\n"'


def snapshot_with(**values):
    return json.dumps({"format": saved.FORMAT, "version": 1, "snapshot": {"host": "alpha", **values}})


def socket_with(**values):
    return snapshot_with(sockets=[{"family": 2, "proto": 6, "laddr": "::", "lport": 1, "raddr": "::", **values}])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "this is no JSON: line 1, column 1: Expecting value"),
        ('{"format":\n}', "this is no JSON: line 2, column 1: Expecting value"),
        ("[" * 100_000, "this is no snapshot: it is nested too deeply"),
        ("[]", "this is no snapshot: .* is missing"),
        ('{"format": "pcap"}', "this is no snapshot: .* is missing"),
        ('{"format": "portside snapshot", "version": 7}', "version 7 of the format is not known here, only 1"),
        ('{"format": "portside snapshot", "version": 1}', "'snapshot' is missing"),
        (snapshot_with(host=1), "snapshot.host: a text is needed, not 1"),
        (snapshot_with(sockets=[[]]), r"snapshot.sockets\[0\]: an object is needed, not \[\]"),
        (snapshot_with(sockets={}), r"snapshot.sockets: an array is needed, not {}"),
        (snapshot_with(sockets=[{"family": 2}]), r"sockets\[0\]: 'proto', 'laddr', 'lport', 'raddr' is missing"),
        (socket_with(lport="80"), r'snapshot.sockets\[0\].lport: a whole number is needed, not "80"'),
        (socket_with(lport=True), r"snapshot.sockets\[0\].lport: a whole number is needed, not true"),
        (socket_with(lport=65536), r"snapshot.sockets\[0\].lport: a port of 0 to 65535 is needed, not 65536"),
        (socket_with(laddr="1.2.3"), r"snapshot.sockets\[0\].laddr: '1.2.3' is not an IP address"),
        (socket_with(v6only=0), r"snapshot.sockets\[0\].v6only: true or false is needed, not 0"),
        (socket_with(owners=[{"pid": 1, "fd": None}]), r"owners\[0\].fd: a whole number is needed, not null"),
        (socket_with(colour="red"), r"snapshot.sockets\[0\]: a Socket has no 'colour' here; is the file of a newer"),
        (snapshot_with(users=[[0]]), r"snapshot.users\[0\]: an array of 2 is needed, not \[0\]"),
        (snapshot_with(interfaces=[{"index": 1, "name": "lo", "mac": "0g"}]), r"interfaces\[0\].mac: a link-layer"),
        (snapshot_with(unix_sockets=[{"type": 1, "path": "\ud800"}]), r"unix_sockets\[0\].path: a text whose"),
        (snapshot_with(settings={"extra": 3}), r"snapshot.settings.extra: an object is needed, not 3"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        saved.load(text)


def test_what_is_nested_without_end_is_refused():
    text = '{"host": "a", "others": [' * 5000 + "]}" * 5000
    with pytest.raises(ValueError, match="nested too deeply"):
        saved.load(f'{{"format": "{saved.FORMAT}", "version": 1, "snapshot": {text}}}')
