from __future__ import annotations

import errno

import pytest
from kernel_objects import FakeHost

from portside.addr.abi import AF_UNIX, EPOLLET, POLLIN, POLLOUT, SECOND, SOCK_DGRAM, SOCK_STREAM
from portside.host.epoll import CTL_ADD
from portside.host.file import Blocked, File
from portside.host.processes import SIGPIPE, ProcessExit
from portside.host.syscalls import files, io, poll, socket
from portside.host.syscalls import process as calls
from portside.host.waiting import put, wait_any, wait_for
from portside.sim.errors import Deadlock
from portside.sim.scheduler import Scheduler


class Lab:
    """A host in a world of its own, with one process and as many tasks as a test starts."""

    def __init__(self) -> None:
        self.world = Scheduler()
        self.host = FakeHost(self.world)
        self.process = self.host.processes.create("test")
        self.process.handlers[SIGPIPE] = lambda number: self.say("signal", number)
        self.log: list[object] = []

    def task(self, body, start=0, process=None):
        process = process or self.process

        def run():
            try:
                body()
            except ProcessExit:
                self.log.append("exit")
            except OSError as error:
                self.log.append(errno.errorcode[error.errno])

        task = self.world.spawn(process, run, body.__name__, start)
        process.tasks.append(task)
        return task

    def say(self, *what):
        self.log.append((self.world.now, *what))

    def run(self):
        self.world.run()
        return self.log


@pytest.fixture
def lab():
    return Lab()


class Released(File):
    __slots__ = ("gone",)

    def __init__(self):
        super().__init__()
        self.gone = False

    def release(self):
        self.gone = True


def test_a_wait_ends_when_the_event_or_the_deadline_comes(lab):
    file = Released()
    lab.task(lambda: lab.say(wait_for(lab.world, file, POLLIN, None, "read")))
    lab.task(lambda: lab.say(wait_for(lab.world, file, POLLIN, 50, "read")))
    lab.task(lambda: lab.say(wait_for(lab.world, file, POLLIN, 0, "read")))
    lab.task(lambda: file.wake(POLLOUT), 70)
    lab.task(lambda: file.wake(POLLIN), 90)
    file.references = 1
    assert lab.run() == [(0, False), (50, False), (90, True)]
    assert file.waiters == []
    assert file.references == 1


def test_the_file_of_a_waiting_call_outlives_its_last_descriptor(lab):
    file = Released()
    fd = lab.process.files.install(file)

    def reader():
        wait_for(lab.world, file, POLLIN, None, "read")
        lab.say("read goes on", file.gone)
        lab.world.block(200, Blocked("sleep"))
        lab.say("gone", file.gone)

    def closer():
        lab.process.files.close(fd)
        lab.say("closed", file.gone)
        file.wake(POLLIN)

    lab.task(reader)
    lab.task(closer, 100)
    assert lab.run() == [(100, "closed", False), (100, "read goes on", False), (200, "gone", True)]


def test_waiting_for_any_of_several(lab):
    one, two = Released(), Released()
    one.references = two.references = 1
    lab.task(lambda: lab.say(wait_any(lab.world, [(one, POLLIN), (two, POLLOUT)], None, "poll")))
    lab.task(lambda: one.wake(POLLOUT), 10)
    lab.task(lambda: two.wake(POLLOUT), 20)
    assert lab.run() == [(20, True)]
    assert one.waiters == two.waiters == []


def test_put_releases_with_the_last_reference():
    file = Released()
    file.references = 2
    put(file)
    assert not file.gone
    put(file)
    assert file.gone


def test_the_report_of_a_standstill_names_the_call_and_the_file(lab):
    reader, _ = files.pipe2(lab.process)
    lab.task(lambda: files.read(lab.process, reader, 1))
    with pytest.raises(Deadlock, match=r"read on pipe:\[101\]"):
        lab.run()


def test_a_writer_waits_for_room_and_a_reader_for_data(lab):
    reader, writer = files.pipe2(lab.process)
    lab.task(lambda: lab.say("read", len(files.read(lab.process, reader, 70000))))
    lab.task(lambda: lab.say("wrote", files.write(lab.process, writer, b"x" * 200000)), 10)
    lab.task(lambda: lab.say("read", len(files.read(lab.process, reader, 200000))), 20)
    lab.task(lambda: lab.say("read", len(files.read(lab.process, reader, 200000))), 30)
    lab.task(lambda: lab.say("read", len(files.read(lab.process, reader, 200000))), 40)
    assert lab.run() == [
        (10, "read", 65536), (20, "read", 65536), (30, "read", 65536), (30, "wrote", 200000), (40, "read", 3392),
    ]  # fmt: skip


@pytest.mark.parametrize("handled", [True, False])
def test_sigpipe_without_a_handler_ends_the_process(lab, handled):
    if not handled:
        del lab.process.handlers[SIGPIPE]
    reader, writer = files.pipe2(lab.process)
    files.close(lab.process, reader)
    lab.task(lambda: files.write(lab.process, writer, b"x"))
    assert lab.run() == ([(0, "signal", SIGPIPE), "EPIPE"] if handled else ["exit"])
    assert lab.process.exit_status == (None if handled else -SIGPIPE)


def test_writing_to_a_pipe_whose_reader_goes_away(lab):
    reader, writer = files.pipe2(lab.process)
    lab.task(lambda: lab.say("wrote", files.write(lab.process, writer, b"x" * 100000)))
    lab.task(lambda: files.close(lab.process, reader), 10)
    lab.task(lambda: files.write(lab.process, writer, b"x"), 20)
    assert lab.run() == [(10, "signal", SIGPIPE), (10, "wrote", 65536), (20, "signal", SIGPIPE), "EPIPE"]


@pytest.mark.parametrize("waits", ["write", "read"])
def test_who_waited_at_a_pipe_passes_the_wake_on(lab, waits):
    """Who leaves something for others wakes them: epoll has an edge of its own for it, as on Linux (fs/pipe.c)."""
    r, w = files.pipe2(lab.process, 0)

    def waiting():
        lab.say(len(files.read(lab.process, r, 4096)) if waits == "read" else files.write(lab.process, w, b"x" * 4096))

    def watching():
        epoll = poll.epoll_create1(lab.process, 0)
        fd, events = (r, POLLIN) if waits == "read" else (w, POLLOUT)
        poll.epoll_ctl(lab.process, epoll, CTL_ADD, fd, events | EPOLLET)
        if waits == "read":
            files.write(lab.process, w, b"x" * 8192)
        else:
            files.read(lab.process, r, 8192)
        for _ in range(3):
            lab.say([found for _, found in poll.epoll_wait(lab.process, epoll, 5, 0)])
            lab.world.block(lab.world.now + 1, Blocked("sleep"))

    if waits == "write":
        files.fcntl(lab.process, w, files.F_SETPIPE_SZ, 8192)
        files.write(lab.process, w, b"x" * 8192)
    lab.task(waiting)
    lab.task(watching, 10)
    events = POLLIN if waits == "read" else POLLOUT
    assert lab.run() == [(10, [events]), (10, 4096), (11, [events]), (12, [])]


def test_poll_and_select_wait_for_many(lab):
    pipes = [files.pipe2(lab.process) for _ in range(3)]
    readers = [reader for reader, _ in pipes]
    lab.task(lambda: lab.say("poll", poll.poll(lab.process, [(fd, POLLIN) for fd in readers], None)))
    lab.task(lambda: lab.say("select", poll.select(lab.process, readers, [], [], None)))
    lab.task(lambda: lab.say("late", poll.poll(lab.process, [(readers[0], POLLIN)], 5)))
    lab.task(lambda: lab.say("sleep", poll.select(lab.process, [], [], [], 7)))
    lab.task(lambda: files.write(lab.process, pipes[1][1], b"x"), 10)
    assert lab.run() == [
        (5, "late", []), (7, "sleep", ([], [], [])), (10, "poll", [(readers[1], POLLIN)]),
        (10, "select", ([readers[1]], [], [])),
    ]  # fmt: skip


def _listener(lab, backlog=0):
    fd = socket.socket(lab.process, AF_UNIX, SOCK_STREAM)
    socket.bind(lab.process, fd, (AF_UNIX, b"/run/x"))
    socket.listen(lab.process, fd, backlog)
    return fd


def test_connect_waits_for_room_in_the_backlog(lab):
    listener = _listener(lab)

    def connect(name):
        def body():
            fd = socket.socket(lab.process, AF_UNIX, SOCK_STREAM)
            socket.connect(lab.process, fd, (AF_UNIX, b"/run/x"))
            lab.say("connected", name)

        return body

    lab.task(connect("one"))
    lab.task(connect("two"), 10)
    lab.task(connect("three"), 20)
    lab.task(lambda: socket.accept(lab.process, listener), 50)
    lab.task(lambda: files.close(lab.process, listener), 60)
    assert lab.run() == [(0, "connected", "one"), (50, "connected", "two"), "ECONNREFUSED"]


def test_accept_waits_for_a_connection(lab):
    listener = _listener(lab)

    def client():
        fd = socket.socket(lab.process, AF_UNIX, SOCK_STREAM)
        socket.connect(lab.process, fd, (AF_UNIX, b"/run/x"))

    lab.task(lambda: lab.say(*socket.accept(lab.process, listener)))
    lab.task(client, 30)
    lab.task(lambda: socket.accept(lab.process, listener), 40)
    lab.task(lambda: socket.shutdown(lab.process, listener, 0), 50)
    assert lab.run() == [(30, 5, (AF_UNIX, b"")), "EINVAL"]


def test_a_stream_waits_for_its_reader_until_three_quarters_are_free(lab):
    one, two = socket.socketpair(lab.process, AF_UNIX, SOCK_STREAM)
    lab.task(lambda: lab.say("sent", io.send(lab.process, one, b"x" * 300000)))
    lab.task(lambda: lab.say("got", len(io.recv(lab.process, two, 400000))), 10)
    lab.task(lambda: lab.say("got", len(io.recv(lab.process, two, 400000))), 20)
    assert lab.run() == [(10, "got", 219264), (10, "sent", 300000), (20, "got", 80736)]


def test_waitall_joins_what_comes(lab):
    one, two = socket.socketpair(lab.process, AF_UNIX, SOCK_STREAM)
    lab.task(lambda: lab.say(io.recv(lab.process, two, 6, 0x100)))
    lab.task(lambda: io.send(lab.process, one, b"abcd"), 10)
    lab.task(lambda: io.send(lab.process, one, b"efgh"), 20)
    assert lab.run() == [(20, b"abcdef")]


def test_timeouts_of_the_socket_and_of_the_call(lab):
    one, two = socket.socketpair(lab.process, AF_UNIX, SOCK_STREAM)
    file = lab.process.files.get(one)
    file.rcvtimeo = SECOND

    def body():
        for deadline, flags in ((None, 0), (3 * SECOND, 0), (None, 0x40)):
            try:
                io.recv(lab.process, one, 1, flags, deadline)
            except BlockingIOError:
                lab.say("EAGAIN")
        file.nonblocking = True
        with pytest.raises(BlockingIOError):
            io.recv(lab.process, one, 1, 0, 4 * SECOND)
        lab.say("a deadline is stronger than O_NONBLOCK")
        io.send(lab.process, two, b"x")

    lab.task(body)
    assert lab.run() == [
        (SECOND, "EAGAIN"), (3 * SECOND, "EAGAIN"), (3 * SECOND, "EAGAIN"),
        (4 * SECOND, "a deadline is stronger than O_NONBLOCK"),
    ]  # fmt: skip


def test_a_datagram_waits_for_the_receivers_queue(lab):
    server = socket.socket(lab.process, AF_UNIX, SOCK_DGRAM)
    socket.bind(lab.process, server, (AF_UNIX, b"/run/x"))
    client = socket.socket(lab.process, AF_UNIX, SOCK_DGRAM)

    def sender():
        for number in range(13):
            io.sendto(lab.process, client, b"%d" % number, 0, (AF_UNIX, b"/run/x"))
        lab.say("all sent")

    lab.task(sender)
    lab.task(lambda: lab.say(io.recv(lab.process, server, 9)), 10)
    lab.task(lambda: lab.say(io.recv(lab.process, server, 9)), 20)
    assert lab.run() == [(10, b"0"), (20, b"1"), (20, "all sent")]


def test_the_peer_of_a_process_that_ends_reads_what_is_left_and_then_the_end(lab):
    other = lab.host.processes.create("other")
    one, two = socket.socketpair(lab.process, AF_UNIX, SOCK_STREAM)
    handed = other.files.install(lab.process.files.get(two))
    files.close(lab.process, two)

    def ends():
        io.send(other, handed, b"bye")
        calls.exit(other, 3)

    lab.task(ends, 10, other)
    lab.task(lambda: [lab.say(io.recv(lab.process, one, 9)) for _ in range(3)], 20)
    assert lab.run() == ["exit", (20, b"bye"), (20, b""), (20, b"")]
    assert other.exit_status == 3
    assert not other.alive
    assert other.files.open == {}


def test_a_killed_process_leaves_its_waits_and_gives_up_its_names(lab):
    other = lab.host.processes.create("other", uid=1000)
    reader, _ = files.pipe2(other)

    def waits():
        fd = socket.socket(other, AF_UNIX, SOCK_STREAM)
        socket.bind(other, fd, (AF_UNIX, b"\0name"))
        files.read(other, reader, 1)
        lab.say("never")

    lab.task(waits, 0, other)
    lab.task(lambda: calls.kill(lab.process, other.pid, 9), 10)
    lab.task(lambda: calls.kill(lab.process, other.pid, 9), 20)
    assert lab.run() == ["exit", "ESRCH"]
    assert other.exit_status == -9
    assert not lab.host.unix.abstract
    assert list(lab.host.processes) == [lab.process]
