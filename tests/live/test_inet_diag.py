"""Dumps of sock_diag: what is asked for is what comes."""

from __future__ import annotations

import dataclasses
import socket

import pytest

from portside.addr.abi import AF_INET, AF_INET6, AF_UNSPEC, IPPROTO_TCP
from portside.live.inet_diag import dump
from portside.live.sock_diag import Link

pytestmark = [pytest.mark.linux, pytest.mark.usefixtures("fresh")]


@pytest.fixture
def connected(keep):
    """TCP sockets of both families, listening, bound and connected."""
    for family, address in ((AF_INET, "127.0.0.1"), (AF_INET6, "::1")):
        listener = socket.create_server((address, 0), family=family)
        bound = socket.socket(family)
        bound.bind((address, 0))
        keep += [listener, bound, *(socket.create_connection(listener.getsockname()[:2]) for _ in range(9))]


def test_both_families_at_once_are_as_one_after_the_other(connected):
    with Link() as link:
        both = dump(link, AF_UNSPEC, IPPROTO_TCP)
        each = dump(link, AF_INET, IPPROTO_TCP) + dump(link, AF_INET6, IPPROTO_TCP)
    assert sorted(one.cookie for one in both) == sorted(one.cookie for one in each)
    assert {one.cookie: one for one in both}.keys() == {one.cookie: one for one in each}.keys()
    named = {one.cookie: one for one in each}
    for one in both:
        other = dataclasses.replace(named[one.cookie], timer_left=0)
        assert dataclasses.replace(one, timer_left=0) == other
