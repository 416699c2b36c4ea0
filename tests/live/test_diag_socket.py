"""Rows of sock_diag: however they are mixed they are read alike, and a socket read from one is like any other."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from portside.addr.abi import AF_INET, AF_INET6, AF_UNSPEC, IPPROTO_TCP
from portside.facts import saved
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


def test_a_socket_that_was_read_is_like_any_other(piece):
    for one in read(piece):
        values = {each.name: getattr(one, each.name) for each in dataclasses.fields(Socket)}
        plain = Socket(**values)
        fresh = next(again for again in read(piece) if again.cookie == one.cookie)
        assert repr(fresh) == repr(plain)
        fresh = next(again for again in read(piece) if again.cookie == one.cookie)
        assert hash(fresh) == hash(plain)
        assert fresh == plain
        assert plain == fresh
        assert fresh != dataclasses.replace(plain, uid=7)
        assert (fresh == 3) is False
        for other in (pickle.loads(pickle.dumps(fresh)), copy.copy(fresh), copy.deepcopy(fresh)):
            assert other == fresh
            assert type(other) is Socket
        assert dataclasses.replace(fresh, family=99, owners=(Owner(1, 2),)) == Socket(
            **{**values, "family": 99, "owners": (Owner(1, 2),)}
        )
        assert isinstance(fresh, Socket)
        assert dataclasses.is_dataclass(fresh)
        assert dataclasses.asdict(fresh) == dataclasses.asdict(plain)
        assert saved.plain(fresh) == saved.plain(plain)
        with pytest.raises(AttributeError, match="'Socket' object has no attribute 'colour'"):
            _ = fresh.colour
        for name in ("uid", "family", "cookie", "colour"):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(fresh, name, 3)
            with pytest.raises(dataclasses.FrozenInstanceError):
                delattr(fresh, name)
        assert fresh == plain


def test_whichever_field_is_asked_for_first_it_is_the_same(piece):
    whole = read(piece)
    for each in dataclasses.fields(Socket):
        assert [getattr(one, each.name) for one in read(piece)] == [getattr(one, each.name) for one in whole]


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
