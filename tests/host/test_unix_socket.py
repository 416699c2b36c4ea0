"""What the dialogues against the kernel cannot see: names of a host, garbage, and other users."""

from __future__ import annotations

import errno

import pytest
from kernel_objects import FakeHost, FakeWorld, Simulated

from portside.addr.abi import AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM
from portside.host.syscalls import files, io, name, options, socket, socket_files
from portside.host.unix_message import dgram_truesize, stream_truesize


@pytest.fixture
def host():
    return FakeHost(FakeWorld())


@pytest.fixture
def process(host):
    host.world.task.process = host.processes.create("test")
    return host.world.task.process


def rights(*fds):
    return [(1, 1, b"".join(fd.to_bytes(4, "little") for fd in fds))]


@pytest.mark.parametrize(
    ("length", "stream", "dgram"),
    [  # SIOCOUTQ after one message of that length, Linux 6.18 on x86-64
        (0, 768, 768), (1, 768, 768), (192, 768, 768), (193, 1280, 1280), (704, 1280, 1280), (705, 2304, 2304),
        (3776, 4352, 4352), (3777, 4864, 8448), (4289, 5376, 8448), (16065, 17152, 20736), (36544, 37120, 37120),
        (85696, None, 86272), (85697, None, 102656), (102112, None, 135424), (200000, None, 200960),
    ],
)  # fmt: skip
def test_what_a_message_is_charged(length, stream, dgram):
    assert stream is None or stream_truesize(length) == stream
    assert dgram_truesize(length) == dgram


def test_a_ring_of_sockets_in_flight_is_collected(host, process):
    one, two = socket.socketpair(process, AF_UNIX, SOCK_STREAM)
    reader, writer = files.pipe2(process)
    io.sendmsg(process, one, [b"x"], rights(one, two, writer))
    io.sendmsg(process, two, [b"x"], rights(one, two))
    for fd in (one, two, writer):
        files.close(process, fd)
    assert len(host.unix.sockets) == 2  # the kernel looks for garbage when the next socket is closed
    files.close(process, socket.socket(process, AF_UNIX, SOCK_STREAM))
    assert host.unix.sockets == host.unix.in_flight == host.unix.carriers == {}
    assert files.read(process, reader, 1) == b""


def test_what_can_still_be_received_is_no_garbage(host, process):
    one, two = socket.socketpair(process, AF_UNIX, SOCK_STREAM)
    inner, other = socket.socketpair(process, AF_UNIX, SOCK_DGRAM)
    io.sendmsg(process, one, [b"x"], rights(inner))
    io.sendmsg(process, other, [b"y"], rights(other))
    for fd in (inner, other):
        files.close(process, fd)
    files.close(process, socket.socket(process, AF_UNIX, SOCK_STREAM))
    assert len(host.unix.sockets) == 4
    _, [(_, _, data)], _, _ = io.recvmsg(process, two, 10, 100)
    received = int.from_bytes(data, "little")
    assert io.recv(process, received, 10) == b"y"
    files.close(process, received)
    assert len(host.unix.sockets) == 2


def test_a_listener_in_flight_with_connections_that_carry_it(host, process):
    listener = socket.socket(process, AF_UNIX, SOCK_STREAM)
    socket.bind(process, listener, (AF_UNIX, b"\0l"))
    socket.listen(process, listener, 5)
    client = socket.socket(process, AF_UNIX, SOCK_STREAM)
    socket.connect(process, client, (AF_UNIX, b"\0l"))
    io.sendmsg(process, client, [b"x"], rights(listener, client))
    for fd in (listener, client):
        files.close(process, fd)
    files.close(process, socket.socket(process, AF_UNIX, SOCK_STREAM))
    assert host.unix.sockets == {}
    assert host.unix.abstract == {}


def test_names_belong_to_the_host(process):
    fd = socket.socket(process, AF_UNIX, SOCK_DGRAM)
    socket.bind(process, fd, (AF_UNIX, b"/run/x"))
    with Simulated() as other:
        elsewhere = socket.socket(other.process, AF_UNIX, SOCK_DGRAM)
        with pytest.raises(FileNotFoundError):
            socket.connect(other.process, elsewhere, (AF_UNIX, b"/run/x"))
        socket.bind(other.process, elsewhere, (AF_UNIX, b"/run/x"))


def test_another_users_socket_file_is_closed_to_users(host, process):
    fd = socket.socket(process, AF_UNIX, SOCK_DGRAM)
    socket.bind(process, fd, (AF_UNIX, b"/run/x"))
    user = host.processes.create("user", uid=1000)
    host.world.task.process = user
    mine = socket.socket(user, AF_UNIX, SOCK_DGRAM)
    with pytest.raises(PermissionError):
        socket.connect(user, mine, (AF_UNIX, b"/run/x"))
    with pytest.raises(PermissionError):
        io.sendto(user, mine, b"x", 0, (AF_UNIX, b"/run/x"))


@pytest.mark.parametrize(
    ("option", "number", "error", "allowed"),
    [(1, 1, "EACCES", 0), (12, 7, "EPERM", 6), (12, -1, "EPERM", 0), (36, 1, "EPERM", None)],
    ids=["SO_DEBUG", "SO_PRIORITY", "SO_PRIORITY", "SO_MARK"],
)
def test_options_that_take_a_capability(host, process, option, number, error, allowed):
    # measured: socket(7) says so of no family in particular
    user = host.processes.create("user", uid=1000)
    for who, numbers in ((process, (number,)), (user, () if allowed is None else (allowed,))):
        fd = socket.socket(who, AF_UNIX, SOCK_STREAM)
        for each in numbers:
            options.setsockopt(who, fd, 1, option, each.to_bytes(4, "little", signed=True))
    with pytest.raises(PermissionError) as refused:
        options.setsockopt(user, fd, 1, option, number.to_bytes(4, "little", signed=True))
    assert errno.errorcode[refused.value.errno] == error


def test_addresses_of_another_family(process):
    fd = socket.socket(process, AF_UNIX, SOCK_STREAM)
    for call in (socket.bind, socket.connect):
        with pytest.raises(OSError, match="Invalid argument"):
            call(process, fd, (AF_INET, 1, 2))
    for bad in (b"", b"/" + b"x" * 108):
        with pytest.raises(OSError, match="Invalid argument"):
            socket.connect(process, fd, (AF_UNIX, bad))


def bound(process, path):
    fd = socket.socket(process, AF_UNIX, SOCK_STREAM)
    socket.bind(process, fd, (AF_UNIX, path))
    return fd


def test_socket_files(host, process):
    names = host.unix
    fd = bound(process, b"run/../x")
    assert name.getsockname(process, fd) == (AF_UNIX, b"run/../x")
    place = names.lookup(b"/x")
    assert (place.mode, place.links) == (0o755, 1)
    socket_files.rename(process, b"/x", b"/y")
    with pytest.raises(FileNotFoundError):
        socket_files.rename(process, b"/x", b"/y")
    assert names.lookup(b"/x") is None
    socket_files.link(process, place, b"/z")
    with pytest.raises(FileExistsError):
        socket_files.link(process, place, b"/y")
    assert [path for path, _ in names.within(b"/")] == [b"y", b"z"]
    files.close(process, fd)
    socket_files.unlink(process, b"/y")
    with pytest.raises(FileNotFoundError):
        socket_files.unlink(process, b"/y")
    assert names.lookup(b"/z").links == 1


def test_a_renamed_socket_file_replaces_another(host, process):
    bound(process, b"/one"), bound(process, b"/two")
    one, two = host.unix.lookup(b"/one"), host.unix.lookup(b"/two")
    socket_files.rename(process, b"/one", b"/two")
    assert host.unix.lookup(b"/two") is one
    assert two.links == 0
    host.unix.moved(b"/two", b"/three")
    assert host.unix.lookup(b"/two") is one


def test_who_may_connect_to_a_socket_file(host, process):
    user, other = (host.processes.create(f"user{uid}", uid=uid, gid=uid) for uid in (1000, 1001))
    user.umask = 0o077
    listener = bound(user, b"/s")
    socket.listen(user, listener, 5)
    place = host.unix.lookup(b"/s")
    assert (place.mode, place.uid, place.gid) == (0o700, 1000, 1000)

    def connect(who):
        socket.connect(who, socket.socket(who, AF_UNIX, SOCK_STREAM), (AF_UNIX, b"/s"))

    for who in (user, process):
        connect(who)
    with pytest.raises(PermissionError):
        connect(other)
    with pytest.raises(PermissionError):
        socket_files.chmod(other, place, 0o777)
    socket_files.chmod(user, place, 0o720)
    with pytest.raises(PermissionError):
        connect(other)
    with pytest.raises(PermissionError):
        socket_files.chown(user, place, -1, 1001)
    socket_files.chown(process, place, -1, 1001)
    connect(other)


def test_access_goes_by_the_real_user(host, process):
    user = host.processes.create("user", uid=1000, gid=1000)
    bound(process, b"/s")
    place = host.unix.lookup(b"/s")
    assert socket_files.access(process, place, 7, False)
    assert socket_files.access(user, place, 5, False)
    assert not socket_files.access(user, place, 2, True)


def test_forcing_a_buffer_needs_a_capability(host, process):
    user = host.processes.create("user", uid=1000)
    fd = socket.socket(user, AF_UNIX, SOCK_STREAM)
    with pytest.raises(PermissionError):
        options.setsockopt(user, fd, 1, 32, (1 << 20).to_bytes(4, "little"))
    fd = socket.socket(process, AF_UNIX, SOCK_STREAM)
    options.setsockopt(process, fd, 1, 32, (1 << 20).to_bytes(4, "little"))
    assert int.from_bytes(options.getsockopt(process, fd, 1, 7, 4), "little") == 1 << 21
    for level in (0, 6, 41):
        with pytest.raises(OSError, match="not supported"):
            options.getsockopt(process, fd, level, 1, 4)


def test_what_it_is_called(process):
    one, _ = socket.socketpair(process, AF_UNIX, SOCK_STREAM)
    named = socket.socket(process, AF_UNIX, SOCK_DGRAM)
    socket.bind(process, named, (AF_UNIX, b"\0x"))
    assert process.files.get(one).describe() == "unix stream"
    assert process.files.get(named).describe() == "unix dgram @x"
