"""What the dialogues against the kernel cannot see: names of a host, garbage, and other users."""

from __future__ import annotations

import pytest
from kernel_objects import FakeHost, FakeWorld, Simulated

from portside.addr.abi import AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM
from portside.host.syscalls import files, io, name, options, socket
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


def test_addresses_of_another_family(process):
    fd = socket.socket(process, AF_UNIX, SOCK_STREAM)
    for call in (socket.bind, socket.connect):
        with pytest.raises(OSError, match="Invalid argument"):
            call(process, fd, (AF_INET, 1, 2))
    for bad in (b"", b"/" + b"x" * 108):
        with pytest.raises(OSError, match="Invalid argument"):
            socket.connect(process, fd, (AF_UNIX, bad))


def test_socket_files(host, process):
    fd = socket.socket(process, AF_UNIX, SOCK_STREAM)
    socket.bind(process, fd, (AF_UNIX, b"run/../x"))
    assert name.getsockname(process, fd) == (AF_UNIX, b"run/../x")
    assert files.socket_file_mode(process, b"/x") == 0o140755
    assert host.unix.rename(b"/x", b"/y")
    assert not host.unix.rename(b"/x", b"/y")
    assert files.socket_file_mode(process, b"/x") is None
    files.close(process, fd)
    assert files.unlink(process, b"/y")
    assert not files.unlink(process, b"/y")


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
