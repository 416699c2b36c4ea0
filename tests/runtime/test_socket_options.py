# ruff: noqa: E501 - programs stand in here as they are
"""Options that are stored are checked, kept and read back as by the real kernel."""

from __future__ import annotations

import pytest

TRY = """
import errno, itertools, socket
def tried(s, level, name, value, length=0):
    try:
        s.setsockopt(level, name, value)
        return s.getsockopt(level, name, length) if length else s.getsockopt(level, name)
    except OSError as error:
        return errno.errorcode[error.errno]
def show(level, name, values, connected=False):
    for family, kind in itertools.product((socket.AF_INET, socket.AF_INET6), (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
        answers = []
        for value in values:
            with socket.socket(family, kind) as s:
                answers.append(tried(s, level, name, value))
        with socket.socket(family, kind) as s:  # one after the other
            print(level, name, answers, [tried(s, level, name, value) for value in values])
INTS = (0, 1, 2, 255, 256, 65536, -1, b"", b"\\1", b"\\1\\0", b"\\1\\0\\0\\0\\0", b"\\2\\0\\0\\0\\3\\0\\0\\0")
"""

OPTIONS = {
    "SO_TIMESTAMPING": (1, 37), "SO_BUSY_POLL": (1, 46), "IP_RECVFRAGSIZE": (0, 25), "IP_RECVERR_RFC4884": (0, 26),
    "IP_UNICAST_IF": (0, 50), "IPV6_MULTICAST_ALL": (41, 29), "IPV6_ADDR_PREFERENCES": (41, 72),
    "IPV6_UNICAST_IF": (41, 76), "TCP_FASTOPEN": (6, 23),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_values(same, name):
    level, number = OPTIONS[name]
    same(TRY + f"show({level}, {number}, INTS)")


def test_flags_of_timestamping(same):
    same(TRY + """
flags = [1 << bit for bit in range(24)] + [0x1800, 0x10080, 0x11800, 0x3ffff, 0x7ffff, 3]
show(1, 37, flags)
with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
    print(tried(client, 1, 37, 128, 8), tried(listener, 1, 37, 128), client.getsockopt(1, 37, 20))
    """)


def test_preferences_of_source_addresses(same):
    same(TRY + "show(41, 72, [1, 0, 0x100, 2, 4, 0, 0x400, 8, 0x800, 3, 0x101, 0x808, 0x404, 0x505, 7, 0])")


def test_an_interface_for_unicast(same):
    same(TRY + """
show(0, 50, [socket.htonl(1), 0, socket.htonl(1)])
show(41, 76, [socket.htonl(1), 0, socket.htonl(1)])
with socket.socket(socket.AF_INET6) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    print([tried(s, level, name, socket.htonl(index)) for level, name in ((0, 50), (41, 76)) for index in (1, 0, 9999)])
    """)


def test_fast_open_is_limited_by_somaxconn(same):
    same(TRY + """
most = int(open("/proc/sys/net/core/somaxconn").read())
with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
    print(tried(listener, 6, 23, 5), tried(listener, 6, 23, most + 5) == most, tried(client, 6, 23, 5), client.getsockopt(6, 23))
    """)
