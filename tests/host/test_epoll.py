from __future__ import annotations

import pytest
from kernel_objects import FakeHost, Simulated

from portside.addr.abi import EPOLLEXCLUSIVE, POLLIN, POLLOUT
from portside.host import pipe
from portside.host.epoll import Epoll
from portside.host.file import Blocked, File
from portside.host.syscalls import files, poll
from portside.sim.scheduler import Scheduler


class Counted(File):
    """A file that counts how often it is asked."""

    __slots__ = ("asked", "ready")

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.ready = False

    def poll(self) -> int:
        self.asked += 1
        return POLLIN if self.ready else 0


def counted_wait(watched: int) -> int:
    """How many files an epoll_wait(2) with three ready ones asks among `watched`."""
    with Simulated() as kernel:
        epoll = Epoll(kernel.host.world)
        everything = [Counted() for _ in range(watched)]
        for fd, file in enumerate(everything):
            epoll.add(fd, file, POLLIN, fd)
        for file in everything:
            file.asked = 0
        for file in everything[2:5]:
            file.ready = True
            file.wake(POLLIN)
        assert [data for data, _ in epoll.wait(10, 0)] == [2, 3, 4]
        for file in everything:
            file.ready = False
        assert epoll.wait(10, 0) == []
        return sum(file.asked for file in everything)


def test_a_wait_costs_the_ready_files_and_not_the_watched_ones():
    assert counted_wait(10) == counted_wait(100_000) == 6


def simulated(*bodies):
    """Run the bodies as tasks of one process; each gets the process. What they return is the answer."""
    world = Scheduler()
    host = FakeHost(world)
    process = host.processes.create("test")
    results: list[object] = [None] * len(bodies)

    def start(number, body):
        def run():
            results[number] = body(process)

        process.tasks.append(world.spawn(process, run, body.__name__))

    for number, body in enumerate(bodies):
        start(number, body)
    world.run()
    return results, world.now


def test_waiting_ends_with_an_event_or_with_its_time():
    fds = {}

    def waiter(process):
        fds["pipe"] = files.pipe2(process)
        epfd = poll.epoll_create1(process)
        poll.epoll_ctl(process, epfd, 1, fds["pipe"][0], POLLIN)
        world = process.host.world
        first = poll.epoll_wait(process, epfd, 5, None), world.now
        files.read(process, fds["pipe"][0], 10)
        second = poll.epoll_wait(process, epfd, 5, world.now + 1000), world.now
        return first, second

    def writer(process):
        process.host.world.block(500, Blocked("sleep"))
        files.write(process, fds["pipe"][1], b"x")

    (answers, _), _ = simulated(waiter, writer)
    assert answers == (([(3, POLLIN)], 500), ([], 1500))


def test_one_event_wakes_one_of_the_tasks_that_wait_and_a_level_wakes_the_next():
    fds = {}

    def setup(process):
        fds["pipe"] = files.pipe2(process)
        fds["epoll"] = poll.epoll_create1(process)
        poll.epoll_ctl(process, fds["epoll"], 1, fds["pipe"][0], POLLIN)
        process.host.world.block(1000, Blocked("sleep"))
        files.write(process, fds["pipe"][1], b"x")

    def one(process):
        process.host.world.block(10, Blocked("sleep"))
        return poll.epoll_wait(process, fds["epoll"], 5, 5000)

    def two(process):
        process.host.world.block(20, Blocked("sleep"))
        return poll.epoll_wait(process, fds["epoll"], 5, 5000)

    answers, now = simulated(setup, one, two)
    assert answers[1:] == [[(3, POLLIN)], [(3, POLLIN)]]
    assert now == 1000


@pytest.mark.parametrize(("flag", "woken"), [(EPOLLEXCLUSIVE, 1), (0, 2)])
def test_exclusive_epolls_are_woken_one_at_a_time(flag, woken):
    fds = {}

    def setup(process):
        fds["pipe"] = files.pipe2(process)
        process.host.world.block(1000, Blocked("sleep"))
        files.write(process, fds["pipe"][1], b"x")

    def waits(process):
        process.host.world.block(10, Blocked("sleep"))
        epfd = poll.epoll_create1(process)
        poll.epoll_ctl(process, epfd, 1, fds["pipe"][0], POLLIN | flag)
        events = poll.epoll_wait(process, epfd, 5, 5000)
        return bool(events), process.host.world.now

    answers, _ = simulated(setup, waits, waits)
    # The one that was not woken looks when its time has come, and finds the level.
    assert sorted(now for _, now in answers[1:]) == [1000] * woken + [5000] * (2 - woken)


def test_a_killed_sleeper_passes_its_wake_on():
    fds = {}
    tasks = {}

    def setup(process):
        fds["pipe"] = files.pipe2(process)
        fds["epoll"] = poll.epoll_create1(process)
        poll.epoll_ctl(process, fds["epoll"], 1, fds["pipe"][0], POLLIN)
        world = process.host.world
        world.block(1000, Blocked("sleep"))
        files.write(process, fds["pipe"][1], b"x")
        world.kill(process.tasks[1], SystemExit())

    def first(process):
        process.host.world.block(10, Blocked("sleep"))
        tasks["first"] = poll.epoll_wait(process, fds["epoll"], 5, None)

    def second(process):
        process.host.world.block(20, Blocked("sleep"))
        return poll.epoll_wait(process, fds["epoll"], 5, None)

    answers, _ = simulated(setup, first, second)
    assert "first" not in tasks
    assert answers[2] == [(3, POLLIN)]


def test_an_epoll_that_is_closed_lets_go_of_its_files():
    with Simulated() as kernel:
        reader, writer = pipe.make(kernel.host.world, 1)
        epoll = Epoll(kernel.host.world)
        epoll.add(3, reader, POLLIN, 3)
        epoll.add(4, writer, POLLOUT | EPOLLEXCLUSIVE, 4)
        epoll.release()
        assert reader.waiters == writer.waiters == []
        assert not epoll.items
