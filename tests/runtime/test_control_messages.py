# ruff: noqa: E501 - programs stand in here as they are
"""Flags and control messages of send and receive: the same program for real and simulated."""

from __future__ import annotations

import os

import pytest

TRY = """
import errno, os, socket, struct
def tried(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]
def ends(family, kind):
    listener = socket.socket(family, kind)
    listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
    if kind == socket.SOCK_STREAM:
        listener.listen()
    client = socket.socket(family, kind)
    client.connect(listener.getsockname())
    server = listener.accept()[0] if kind == socket.SOCK_STREAM else listener
    server.setblocking(False)
    return client, server, listener
def waiting(s):
    found = []
    while isinstance(one := tried(lambda: s.recv(70000)), bytes):
        found.append(len(one))
    return found
KINDS = [(family, kind) for family in (socket.AF_INET, socket.AF_INET6) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
def number(value):
    return struct.pack("i", value)
"""


def test_flags(same):
    same(TRY + """
for family, kind in KINDS:
    for flag in (0, 0x1, 0x2, 0x4, 0x8, 0x10, 0x80, 0x400, 0x800, 0x1000, 0x4000, 0x8000, 0x10000, 0x4000000, 0x20000000, 0x40000000):
        client, server, listener = ends(family, kind)
        sent = tried(lambda: client.send(b"abcdef", flag)), tried(lambda: client.send(b"more"))
        got = [tried(lambda: server.recvmsg(length, 100, flag)[:3]) for length in (3, 0, 50)]
        print(family, kind, hex(flag), sent, got, tried(lambda: client.sendmsg([b"x"], [], flag)))
        for s in (client, server, listener):
            s.close()
    """)


def test_a_probe_looks_up_the_way_and_sends_nothing(same):
    same(TRY + """
s = socket.socket(type=socket.SOCK_DGRAM)
print(tried(lambda: s.sendto(b"x", 0x10, ("127.255.255.255", 9))), tried(lambda: s.send(b"x", 0x10)), tried(lambda: s.sendto(b"x" * 65600, 0x10, ("127.0.0.1", 9))))
print(tried(lambda: s.sendto(b"x" * 65530, 0x10, ("127.0.0.1", 9))), tried(lambda: s.sendto(b"x", 0x10, ("127.0.0.1", 0))), s.getsockname()[1] > 0)
    """)


def test_urgent_datagrams_leave_over_ipv6_alone(same):
    same(TRY + """
s, t = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print([tried(lambda: s.sendto(b"x", 1, (host, 9))) for host in ("::1", "::ffff:127.0.0.1")], tried(lambda: t.sendto(b"x", 1, ("127.0.0.1", 9))))
    """)


def test_fast_open_without_a_cookie_is_connect_and_send(same):
    same(TRY + """
FASTOPEN = 0x20000000
listener = socket.create_server(("127.0.0.1", 0))
s = socket.socket()
print(tried(lambda: s.send(b"x", FASTOPEN)), tried(lambda: s.sendto(b"abc", FASTOPEN, listener.getsockname())), tried(lambda: s.send(b"x", FASTOPEN)))
print(listener.accept()[0].recv(9))
s = socket.socket()
s.setblocking(False)
print([tried(lambda: s.sendto(b"abc", FASTOPEN, listener.getsockname())) for _ in range(3)])
s = socket.socket()
print(tried(lambda: s.sendto(b"abc", FASTOPEN, ("127.0.0.1", 1))), tried(lambda: s.send(b"d")))
print(tried(lambda: listener.send(b"x", FASTOPEN)), tried(lambda: socket.socket().sendto(b"x", listener.getsockname())))
    """)


MESSAGES = """
MESSAGES = [
    (1, 36, number(5)), (1, 36, b"ab"), (1, 36, number(5) + b"x"), (1, 37, number(0)), (1, 37, number(2)), (1, 37, number(1 << 7)), (1, 37, number(0x300)),
    (1, 37, b"a"), (1, 65, number(1)), (1, 61, struct.pack("q", 5)), (1, 60, number(1)), (1, 99, b"1234"), (1, 1, number(0)), (1, 12, number(3)),
    (1, 12, number(30)), (17, 103, struct.pack("H", 10)), (17, 103, b"a"), (17, 103, struct.pack("H", 0)), (17, 103, number(3)), (17, 104, number(3)),
    (6, 1, number(1)), (99, 1, b""),
]
for family, kind in KINDS:
    for message in MESSAGES:
        client, server, listener = ends(family, kind)
        print(family, kind, message, tried(lambda: client.sendmsg([b"x"], [message])), waiting(server))
        for s in (client, server, listener):
            s.close()
"""


def test_control_messages_of_every_socket(same):
    program = TRY + MESSAGES
    if os.geteuid() != 0:  # marks take capabilities, which the program has for real only if the test has
        program = program.replace("(1, 36, ", "(1, 99, ").replace("(1, 12, number(30)), ", "")
    same(program)


@pytest.mark.skipif(os.geteuid() != 0, reason="on the real machine it takes root to be another user")
def test_marks_need_a_capability(same):
    same(TRY + "os.seteuid(1000)" + MESSAGES)


def test_a_message_is_cut_into_datagrams(same):
    same(TRY + """
for family in (socket.AF_INET, socket.AF_INET6):
    client, server, _ = ends(family, socket.SOCK_DGRAM)
    for length, size in ((3000, 1400), (100, 2000), (1280, 10), (1281, 10), (0, 10), (10, 10), (10, 0), (65000, 60000)):
        print(length, size, tried(lambda: client.sendmsg([b"x" * length], [(17, 103, struct.pack("H", size))])), waiting(server))
    client.setsockopt(17, 103, 100)
    print(client.send(b"x" * 250), waiting(server))
    for size in (50, 0):
        print(client.sendmsg([b"x" * 250], [(17, 103, struct.pack("H", size))]), waiting(server))
    print(client.send(b"x" * 150, socket.MSG_MORE), client.send(b"x" * 100), waiting(server))
    client.setsockopt(17, 103, 0)
    print(client.sendmsg([b"x" * 150], [(17, 103, struct.pack("H", 60))], socket.MSG_MORE), client.send(b"x" * 100), waiting(server))
    """)


def test_a_piece_is_no_larger_than_the_mtu(world):
    assert world.output(TRY + """
s = socket.socket(type=socket.SOCK_DGRAM)
for length, size in ((3000, 1472), (3000, 1473), (1000, 2000), (1473, 2000)):
    print(tried(lambda: s.sendmsg([b"x" * length], [(17, 103, struct.pack("H", size))], 0, ("10.0.0.9", 9))))
    """).split() == ["3000", "EMSGSIZE", "1000", "EMSGSIZE"]
