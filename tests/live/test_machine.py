"""The machine as a snapshot: what the test has made in a namespace of its own is found, with its owners."""

from __future__ import annotations

import os
import socket

import pytest

from portside.addr import ip
from portside.facts.socket import Owner
from portside.facts.state import ESTABLISHED, LISTEN
from portside.live import machine

pytestmark = pytest.mark.linux


def name_of_this_process():
    with open("/proc/self/comm") as file:
        return file.read().rstrip("\n")


def test_sockets_and_their_owners(fresh, keep):
    listener = socket.create_server(("127.0.0.1", 0), backlog=7)
    client = socket.create_connection(listener.getsockname())
    keep += [listener, client]
    found = {each.inode: each for each in machine.read(namespaces=False).sockets}
    one, other = found[os.fstat(listener.fileno()).st_ino], found[os.fstat(client.fileno()).st_ino]
    assert (one.state, ip.text(one.laddr), one.lport) == (LISTEN, *listener.getsockname())
    assert (one.accept_queue, one.backlog) == (1, 7)
    assert one.owners == (Owner(os.getpid(), listener.fileno(), name_of_this_process()),)
    assert (other.state, ip.text(other.raddr), other.rport) == (ESTABLISHED, *listener.getsockname())
    assert (ip.text(other.laddr), other.lport) == client.getsockname()
    assert [owner.fd for owner in other.owners] == [client.fileno()]


def test_a_part_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="no such part: weather"):
        machine.read(want={"weather"})


def test_a_part_that_is_not_wanted_is_empty(fresh):
    snapshot = machine.read(want={"processes"}, namespaces=False)
    assert snapshot.sockets == ()
    assert snapshot.unix_sockets == ()
    assert os.getpid() in {process.pid for process in snapshot.processes}
