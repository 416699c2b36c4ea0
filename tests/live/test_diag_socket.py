"""Rows of sock_diag: however they are mixed they are read alike, and a socket read from one is like any other."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import pprint
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import singledispatch

import pytest

from portside.addr.abi import AF_INET, AF_INET6, AF_UNSPEC, IPPROTO_TCP
from portside.facts import saved
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Owner, Socket
from portside.live.diag_socket import Addresses, complete, rows, set_owners
from portside.live.inet_diag import ASK_CONGESTION, ASK_INFO, ASK_MEMORY, EVERY_STATE, request
from portside.live.sock_diag import HEADER, NLMSG_DONE, TCPDIAG_GETSOCK, Link, Refused, attributes, ends

pytestmark = [pytest.mark.linux, pytest.mark.usefixtures("fresh")]

ALL = ASK_MEMORY | ASK_INFO | ASK_CONGESTION


@pytest.fixture
def piece(keep):
    """What the kernel answers when there are TCP sockets of both families, listening, bound and connected."""
    for family, address in ((AF_INET, "127.0.0.1"), (AF_INET6, "::1")):
        listener = socket.create_server((address, 0), family=family)
        bound = socket.socket(family)
        bound.bind((address, 0))
        keep += [listener, bound, *(socket.create_connection(listener.getsockname()[:2]) for _ in range(9))]
    with Link() as link:
        *pieces, end = link.dump(request(AF_UNSPEC, IPPROTO_TCP, EVERY_STATE, ALL), TCPDIAG_GETSOCK)
    assert ends(end)
    return b"".join(pieces)


def apart(piece):
    """The rows of a piece, each by itself."""
    at = 0
    while at < len(piece):
        length = HEADER.unpack_from(piece, at)[0]
        yield piece[at : at + length]
        at += length


def read(piece):
    return rows(piece, IPPROTO_TCP, Addresses())


def test_rows_are_read_alike_however_they_are_mixed(piece):
    found = read(piece)
    single = [read(row)[0] for row in apart(piece)]
    assert found == single
    assert len(found) == len(list(apart(piece))) == 40
    assert {each.family for each in found} == {AF_INET, AF_INET6}
    # All of one kind together: the quick way.
    for length in {len(row) for row in apart(piece)}:
        alike = [i for i, row in enumerate(apart(piece)) if len(row) == length]
        rows_alike = list(apart(piece))
        assert read(b"".join(rows_alike[i] for i in alike)) == [single[i] for i in alike]
    # In the order of the kernel, whichever it is.
    assert read(b"".join(reversed(list(apart(piece))))) == single[::-1]


def test_what_follows_the_end_is_not_read(piece):
    end = HEADER.pack(20, NLMSG_DONE, 2, 0, 0) + bytes(4)
    assert read(piece + end) == read(piece)
    assert read(end) == []
    assert [ends(piece), ends(piece + end), ends(end)] == [False, True, True]


def test_an_end_with_an_error_is_a_refusal(piece):
    end = HEADER.pack(20, NLMSG_DONE, 2, 0, 0) + struct.pack("=i", -95)
    for answer in (end, piece + end):
        with pytest.raises(Refused, match="Operation not supported"):
            ends(answer)


def values_of(one):
    return {each.name: getattr(one, each.name) for each in dataclasses.fields(Socket)}


def looked_up(match):
    """What a match statement takes out of a socket."""
    match match:
        case Socket(family=family, lport=port, cookie=cookie):
            return family, port, cookie
    return None


ALIKE = {
    "repr": repr,
    "str": str,
    "pprint": pprint.pformat,
    "hash": hash,
    "fields": lambda one: [each.name for each in dataclasses.fields(one)],
    "asdict": dataclasses.asdict,
    "astuple": dataclasses.astuple,
    "replace": lambda one: dataclasses.replace(one, family=99, owners=(Owner(1, 2),)),
    "a replacement that there is not": lambda one: dataclasses.replace(one, colour=1),
    "copy": lambda one: [type(each) for each in (copy.copy(one), copy.deepcopy([one])[0])],
    "copy.replace": lambda one: copy.replace(one, uid=7) if sys.version_info >= (3, 13) else None,
    "pickle": lambda one: [pickle.dumps(one, protocol) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)],
    "its class": lambda one: (one.__class__, type(one).__name__, type(one).__module__, type(one).__doc__),
    "another of its class": lambda one: type(one)(family=2, proto=6, laddr=1, lport=2, raddr=3),
    "isinstance": lambda one: (isinstance(one, Socket), dataclasses.is_dataclass(one)),
    "match": looked_up,
    "singledispatch": lambda one: told_apart(one),
    "inspect": lambda one: [
        [name for name, _ in inspect.getmembers(each) if not name.startswith("_")] for each in (one, type(one))
    ],
    "dir": lambda one: dir(one),
    "annotations": lambda one: type(one).__annotations__,
    "another attribute": lambda one: one.colour,
    "vars": vars,
    "order": lambda one: one < one,
    "saved": saved.plain,
    "its text": lambda one: saved.dump(Snapshot(host="here", sockets=(one,))),
    "what it is not": lambda one: (one == 3, one == None, one != dataclasses.replace(one, uid=7)),  # noqa: E711
}


@singledispatch
def told_apart(_):
    return "something"


@told_apart.register
def _(_: Socket):
    return "a socket"


def answer(ask, one):
    """What is answered, or raised."""
    try:
        return ask(one)
    except (AttributeError, TypeError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("ask", ALIKE.values(), ids=ALIKE)
def test_a_socket_that_was_read_answers_as_any_other(piece, ask):
    plain = [Socket(**values_of(one)) for one in read(piece)]
    assert [answer(ask, one) for one in read(piece)] == [answer(ask, one) for one in plain]


@pytest.mark.parametrize("kind", [lambda one: one, lambda one: Socket(**values_of(one))], ids=["read", "made"])
def test_a_socket_is_a_value(piece, kind):
    """Equal to any with the same fields, whichever was read; never changed."""
    for one, other, again in zip(map(kind, read(piece)), read(piece), read(piece), strict=True):
        assert (one == other, other == one, one != other, hash(one) == hash(other)) == (True, True, False, True)
        assert len({one, other, Socket(**values_of(again))}) == 1
        for same in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
            assert (same == one, type(same)) == (True, Socket)
        for name in ("uid", "family", "cookie"):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(one, name, 3)
            with pytest.raises(dataclasses.FrozenInstanceError):
                delattr(one, name)
        assert one == other


def test_whichever_field_is_asked_for_first_it_is_the_same(piece):
    whole = read(piece)
    for each in dataclasses.fields(Socket):
        assert [getattr(one, each.name) for one in read(piece)] == [getattr(one, each.name) for one in whole]


def test_the_device_is_told_alone_as_with_all_else(keep):
    subprocess.run(["ip", "address", "add", "fe80::1/64", "dev", "lo", "nodad"], check=True)
    for family, address in ((AF_INET, ("127.0.0.1", 0)), (AF_INET6, ("::", 0)), (AF_INET6, ("fe80::1", 0, 0, 1))):
        for device in (b"", b"lo"):
            listener = socket.socket(family)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
            listener.bind(address)
            listener.listen()
            keep.append(listener)
    with Link() as link:
        *pieces, _ = link.dump(request(AF_UNSPEC, IPPROTO_TCP, EVERY_STATE, ALL), TCPDIAG_GETSOCK)
    looks = (lambda one: None, lambda one: one.cookie)
    told = []
    for look in looks:
        found = read(b"".join(pieces))
        for one in found:
            look(one)
        told.append(sorted((one.laddr >> 112 == 0xFE80, one.device, one.scope) for one in found))
    bare, link_local = [(False, 0, 0), (False, 1, 0)], [(True, 1, 1)] * 2
    assert told == [sorted(bare * 2 + link_local)] * 2


def test_several_threads_may_ask_at_a_time(piece):
    whole, found = read(piece), read(piece)
    names = [each.name for each in dataclasses.fields(Socket)]
    begin = threading.Barrier(8)

    def ask(first):
        begin.wait()
        return [[getattr(one, name) for name in names[first:] + names[:first]] for one in found]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(0, 32, 4)))
    for first, answer in zip(range(0, 32, 4), answers, strict=True):
        assert answer == [[getattr(one, name) for name in names[first:] + names[:first]] for one in whole]


def test_more_is_said_of_a_socket_before_and_after_it_was_looked_at(piece):
    owners = (Owner(1, 2, "web"),)
    for look in (lambda one: None, lambda one: one.cookie):
        for one, plain in zip(read(piece), read(piece), strict=True):
            look(one)
            complete(one, reuseaddr=True, owners=owners)
            assert (one.reuseaddr, one.owners) == (True, owners)
            assert one == dataclasses.replace(plain, reuseaddr=True, owners=owners)
        found = read(piece)
        for one in found:
            look(one)
        set_owners(found, lambda inodes: [(Owner(1, inode),) for inode in inodes])
        for one, plain in zip(found, read(piece), strict=True):
            assert one == pickle.loads(pickle.dumps(one)) == dataclasses.replace(plain, owners=(Owner(1, one.inode),))
    plain = Socket(family=AF_INET, proto=IPPROTO_TCP, laddr=0, raddr=0, lport=1)
    set_owners([plain], lambda inodes: [owners])
    complete(plain, reuseport=True)
    assert (plain.owners, plain.reuseport) == (owners, True)


def test_attributes_that_are_cut_off_end_the_row():
    assert list(attributes(b"", 0, 0)) == []
    assert list(attributes(struct.pack("=HH", 0, 7), 0, 4)) == []
    assert list(attributes(struct.pack("=HHI", 8, 7, 1) + b"\1\0", 0, 10)) == [(7, 4, 8)]


def test_addresses_are_one_object_each(piece):
    found = [one for one in read(piece) if one.family == AF_INET6]
    assert len({id(one.laddr) for one in found if one.laddr == 1}) == 1
