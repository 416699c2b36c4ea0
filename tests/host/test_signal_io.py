"""SIGURG and SIGIO: who has them, and when they arrive. What Linux does with both stands in tests/runtime."""

from __future__ import annotations

import socket as _socket

import pytest
from kernel_objects import FakeHost

from portside.host.file import Blocked
from portside.host.signal_io import SIGIO, SIGURG
from portside.host.syscalls import files, io, socket
from portside.sim.scheduler import Scheduler

O_ASYNC = 0o20000


class Lab:
    """A host with two processes: `mine` runs what a test does, `theirs` hears signals."""

    def __init__(self, mine=0, theirs=0):
        self.world = Scheduler()
        self.host = FakeHost(self.world)
        self.mine = self.host.processes.create("mine", uid=mine)
        self.theirs = self.host.processes.create("theirs", uid=theirs)
        self.heard = []
        for number in (SIGURG, SIGIO):
            self.theirs.handlers[number] = lambda number: self.heard.append((number, self.world.now))

    def run(self, body):
        def all_of_it():
            body()
            self.sleep(5000)

        self.mine.tasks.append(self.world.spawn(self.mine, all_of_it, "body"))
        self.world.run()
        return self.heard

    def sleep(self, until):
        self.world.block(until, Blocked("sleep"))

    def pair(self):
        return socket.socketpair(self.mine, _socket.AF_UNIX, _socket.SOCK_STREAM, 0)


@pytest.mark.parametrize(
    ("mine", "theirs", "hears"), [(0, 1000, True), (1000, 1000, True), (1000, 1001, False), (1000, 0, False)]
)
def test_who_sets_an_owner_must_be_allowed_to_signal_it(mine, theirs, hears):
    lab = Lab(mine, theirs)

    def body():
        one, two = lab.pair()
        files.fcntl(lab.mine, two, files.F_SETOWN, lab.theirs.pid)
        io.send(lab.mine, one, b"x", _socket.MSG_OOB)

    assert lab.run(body) == ([(SIGURG, 0)] if hears else [])


@pytest.mark.parametrize("end", ["no owner", "owner gone"])
def test_without_an_owner_nobody_hears(end):
    lab = Lab()

    def body():
        one, two = lab.pair()
        files.fcntl(lab.mine, two, files.F_SETOWN, lab.theirs.pid)
        if end == "no owner":
            files.fcntl(lab.mine, two, files.F_SETOWN, 0)
        else:
            lab.theirs.exit(0)
        io.send(lab.mine, one, b"x", _socket.MSG_OOB)

    assert lab.run(body) == []


def test_signals_of_one_moment_are_one_and_arrive_when_the_call_is_over():
    lab = Lab()

    def body():
        one, two = lab.pair()
        files.fcntl(lab.mine, two, files.F_SETOWN, lab.theirs.pid)
        files.fcntl(lab.mine, two, files.F_SETFL, O_ASYNC)
        assert files.fcntl(lab.mine, two, files.F_GETFL) == files.O_RDWR | O_ASYNC
        for _ in range(3):
            io.send(lab.mine, one, b"x")
        assert lab.heard == []
        lab.sleep(1000)
        io.send(lab.mine, one, b"x")
        lab.sleep(2000)
        files.ioctl(lab.mine, two, files.FIOASYNC, 0)
        assert files.fcntl(lab.mine, two, files.F_GETFL) == files.O_RDWR
        io.send(lab.mine, one, b"x")

    assert lab.run(body) == [(SIGIO, 0), (SIGIO, 1000)]
