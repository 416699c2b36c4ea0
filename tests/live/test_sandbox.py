"""Where netlink(7) is kept back by a sandbox: what /proc tells is there, and what it does not is said to be missing."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct

import pytest
from tests.live.apart import in_child

import portside
from portside.cli.main import cli
from portside.cli.source import Complaint
from portside.explain.exposure import UNKNOWN
from portside.facts.snapshot import UNENTERED
from portside.live import machine

pytestmark = pytest.mark.linux

SOCKET = {"x86_64": 41, "aarch64": 198, "riscv64": 198}
"""The number of socket(2), <asm/unistd_64.h> and <asm-generic/unistd.h>."""
ALLOW, ERRNO = 0x7FFF0000, 0x00050000  # SECCOMP_RET_*
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # of <linux/bpf_common.h>


def without_netlink(error: int) -> str:
    """Let socket(2) fail for AF_NETLINK from now on, as seccomp(2) does for a container or a service. Returns why that
    can't be had here; empty when it is so."""
    number = SOCKET.get(os.uname().machine)
    if number is None:
        return "the number of socket(2) is not known for this machine"
    program = b"".join(
        struct.pack("=HBBI", *each)
        for each in (
            (LOAD, 0, 0, 0), (EQUAL, 0, 3, number),  # the system call
            (LOAD, 0, 0, 16), (EQUAL, 0, 1, socket.AF_NETLINK),  # its first argument
            (RETURN, 0, 0, ERRNO | error), (RETURN, 0, 0, ALLOW),
        )
    )  # fmt: skip
    kept = ctypes.create_string_buffer(program, len(program))
    filter = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, ctypes.addressof(kept)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(filter)), 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        return f"no seccomp(2) here: {os.strerror(ctypes.get_errno())}"
    return ""


@pytest.fixture(params=[errno.EPERM, errno.EAFNOSUPPORT], ids=errno.errorcode.get)
def sandboxed(request):
    """Runs a function in a child that has no netlink. What it needs is imported before: the rest may be shut, too."""
    if lacking := in_child(without_netlink, request.param):
        pytest.skip(lacking)
    return lambda function: in_child(lambda: (without_netlink(request.param), function())[1])


def test_the_sockets_are_there_and_the_rest_is_missing(sandboxed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, descriptor = server.getsockname()[1], server.fileno()
        seen = sandboxed(lambda: machine.read(namespaces=False))
        (listener,) = (each for each in portside.listeners(seen) if each.port == port)
    assert [owner.fd for owner in listener.owners if owner.pid == os.getpid()] == [descriptor]
    assert listener.reach == UNKNOWN
    assert not seen.entered
    (lacking,) = (each for each in seen.missing if each.what == UNENTERED)
    assert (lacking.why.partition(":")[0], lacking.remedy) == ("netlink", "read outside of the sandbox")
    assert seen.settings.somaxconn == machine.read(want={"settings"}, namespaces=False).settings.somaxconn


def test_what_takes_no_interface_is_answered(sandboxed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"0.0.0.0:{server.getsockname()[1]}"
        assert sandboxed(lambda: portside.would_bind(where).errno) == errno.EADDRINUSE
    for command in ("ss -tln", "netstat -tln", "lsof -i", "ephemeral", "free", "ls", "bind 0.0.0.0:0", "who localhost"):
        assert sandboxed(lambda: cli.main(command.split(), "portside", standalone_mode=False)) in (None, 0, 1)  # noqa: B023


@pytest.mark.parametrize("command", ["bind 127.0.0.1:0", "why 127.0.0.1:80"])
def test_what_takes_them_is_said_not_to_be_known(sandboxed, command: str) -> None:
    def ask() -> str:
        try:
            cli.main(command.split(), "portside", standalone_mode=False)
        except Complaint as complaint:
            return str(complaint)
        return ""

    assert sandboxed(ask).startswith("it can't be known: interfaces, routes, packet filter ")


def test_a_program_is_told_so_too(sandboxed) -> None:
    def ask() -> str:
        with pytest.raises(ValueError, match="it can't be known") as caught:
            portside.why("127.0.0.1:80")
        return str(caught.value)

    assert "(netlink: " in sandboxed(ask)
