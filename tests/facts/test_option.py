"""The table of socket options against the interpreter's constants and against the kernel."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable

import pytest

from portside.facts import option
from portside.facts.option import SOL_SOCKET, Option, Treatment

# Constants of the socket module that begin like an option and are none, or belong to families that are not ours.
_NO_OPTIONS = {
    "IPV6_RTHDR_TYPE_0", "IP_DEFAULT_MULTICAST_LOOP", "IP_DEFAULT_MULTICAST_TTL", "IP_MAX_MEMBERSHIPS",
    "IP_RECVRETOPTS",  # another name for IP_RETOPTS
}  # fmt: skip
_OTHER_FAMILIES = ("SO_J1939_", "SO_VM_")
_PREFIXES = {
    "SO_": SOL_SOCKET, "IP_": socket.IPPROTO_IP, "IPV6_": socket.IPPROTO_IPV6, "TCP_": socket.IPPROTO_TCP,
    "UDPLITE_": 136,
}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other numbers")
def test_every_option_of_the_socket_module_is_in_the_table() -> None:
    named = {(entry.level, entry.name): entry.number for entry in option.table().values()}
    compared = 0
    for name in dir(socket):
        level = next((level for prefix, level in _PREFIXES.items() if name.startswith(prefix)), None)
        if level is None or name in _NO_OPTIONS or name.startswith(_OTHER_FAMILIES):
            continue
        assert named.get((level, name)) == getattr(socket, name), name
        compared += 1
    assert compared > 70


def test_lookup() -> None:
    reuseaddr = option.lookup(SOL_SOCKET, 2)
    assert reuseaddr is not None
    assert (reuseaddr.name, reuseaddr.treatment) == ("SO_REUSEADDR", Treatment.MODELLED)
    assert option.lookup(SOL_SOCKET, 22) is None
    assert option.lookup(12345, 1) is None


def test_the_table_is_well_formed() -> None:
    table = option.table()
    assert len(table) == len({(entry.level, entry.name) for entry in table.values()})
    for (level, number), entry in table.items():
        assert (entry.level, entry.number) == (level, number)
        assert entry.readable or entry.writable
        assert entry.name.isupper()


def test_what_bind_and_connect_decide_by_is_modelled() -> None:
    names = {
        "SO_REUSEADDR", "SO_REUSEPORT", "SO_BINDTODEVICE", "SO_BROADCAST", "SO_LINGER", "SO_KEEPALIVE", "SO_ERROR",
        "SO_SNDBUF", "SO_RCVBUF", "IPV6_V6ONLY", "IP_FREEBIND", "IP_TRANSPARENT", "IP_BIND_ADDRESS_NO_PORT",
        "IP_LOCAL_PORT_RANGE", "IP_RECVERR", "IP_TTL", "TCP_NODELAY", "TCP_USER_TIMEOUT", "TCP_KEEPIDLE",
    }  # fmt: skip
    modelled = {entry.name for entry in option.table().values() if entry.treatment is Treatment.MODELLED}
    assert names <= modelled


def _socket_for(entry: Option) -> socket.socket:
    if entry.level == socket.IPPROTO_IPV6:
        return socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    if entry.level in (socket.IPPROTO_UDP, 136):
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, entry.level)
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def _errno_of(call: Callable[[], object]) -> int | None:
    try:
        call()
    except OSError as error:
        return error.errno
    return 0


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
@pytest.mark.parametrize("entry", option.table().values(), ids=lambda entry: entry.name)
def test_the_kernel_neither_reads_nor_sets_what_the_table_says_cannot_be(entry: Option) -> None:
    try:
        sock = _socket_for(entry)
    except OSError as error:
        pytest.skip(f"no such socket here: {error}")
    with sock:
        if not entry.readable:
            reading = _errno_of(lambda: sock.getsockopt(entry.level, entry.number, 64))
            assert reading in (errno.ENOPROTOOPT, errno.ENOTCONN)
        if not entry.writable:
            assert _errno_of(lambda: sock.setsockopt(entry.level, entry.number, bytes(16))) == errno.ENOPROTOOPT
