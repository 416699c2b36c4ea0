# ruff: noqa: E501 - programs stand in here as they are
"""fcntl(2), ioctl(2) and null pointers: the same program for real and simulated."""

from __future__ import annotations

TRY = """
import errno, fcntl, os, socket, struct
def tried(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
"""


def test_the_owner_of_signals(same):
    same(TRY + """
F_SETOWN, F_GETOWN = 8, 9
me, group = os.getpid(), os.getpgrp()
stream, datagram, local, pipe = socket.socket(), socket.socket(type=socket.SOCK_DGRAM), socket.socketpair(), os.pipe()
for fd in (stream.fileno(), datagram.fileno(), local[0].fileno(), pipe[0]):
    def owned(who):
        return tried(lambda: fcntl.fcntl(fd, F_SETOWN, who))
    def owner(expected):
        found = tried(lambda: fcntl.fcntl(fd, F_GETOWN))
        return found == expected or found
    print(owner(0), owned(me), owner(me), owned(-group), owner(-group), owned(99999999), owned(-2**31), owned(0), owner(0))
fcntl.fcntl(local[0], F_SETOWN, me)
copy = os.dup(local[0].fileno())
print(fcntl.fcntl(copy, F_GETOWN) == me, fcntl.fcntl(local[1], F_GETOWN))
number = struct.Struct("i")
for get, put in ((0x8903, 0x8901), (0x8904, 0x8902)):
    print(tried(lambda: fcntl.ioctl(stream, put, number.pack(me))) == number.pack(me), tried(lambda: fcntl.ioctl(stream, get, bytes(4))) == number.pack(me))
    print(tried(lambda: fcntl.ioctl(stream, put, number.pack(99999999))), tried(lambda: fcntl.ioctl(stream, put, bytes(4))), tried(lambda: fcntl.ioctl(stream, get, bytes(4))))
    """)


def test_an_option_without_a_value(same):
    same(TRY + """
OPTIONS = {1: (2, 3, 13, 20, 25, 999), 0: (1, 2, 11, 51, 999), 41: (16, 25, 26, 67, 999), 6: (1, 2, 13, 999), 17: (1, 999), 99: (1,)}
for family, kind in ((2, 1), (2, 2), (10, 1), (10, 2), (1, 1)):
    for level, names in OPTIONS.items():
        for name in names if family != 1 else names[:4]:
            with socket.socket(family, kind) as s:
                print(family, kind, level, name, [tried(lambda: s.setsockopt(level, name, None, length)) for length in (0, 1, 3, 4, 8, 16, 20)])
    """)
