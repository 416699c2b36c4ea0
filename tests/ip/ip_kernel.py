"""The real kernel as a judge: a network namespace of its own, and questions to it.

Everything happens in forked children, so that the test process never leaves its namespace and nothing
outlives a test: the namespaces end with their processes.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from tests.live.apart import apart, unshare


def in_namespace(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function(*arguments)` returns when run in a fresh network namespace with lo up."""
    return apart(_with_lo, function, *arguments)


def _with_lo(function: Callable[..., Any], *arguments: Any) -> Any:
    ip("link set lo up")
    return function(*arguments)


def available() -> bool:
    """Whether namespaces can be had here, with the tools that set them up."""
    try:
        return os.geteuid() == 0 and in_namespace(lambda: True)
    except (AssertionError, OSError):
        return False


@contextmanager
def other_namespace(setup: Callable[[], None] | None = None):
    """A second namespace while the block runs; yields the pid whose it is."""
    ready_read, ready_write = os.pipe()
    stop_read, stop_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(stop_write)
            unshare()
            ip("link set lo up")
            os.write(ready_write, b"x")
            os.read(stop_read, 1)
        finally:
            os._exit(0)
    os.close(stop_read)
    assert os.read(ready_read, 1) == b"x"
    os.close(ready_read)
    os.close(ready_write)
    try:
        yield pid
    finally:
        os.close(stop_write)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def ip(*commands: str, namespace: int | None = None) -> list[bool]:
    """Run ip(8) commands in one process; which of them worked."""
    lines = "\n".join(commands) + "\n"
    enter = ["nsenter", "-t", str(namespace), "-n"] if namespace else []
    done = subprocess.run([*enter, "ip", "-force", "-batch", "-"], input=lines, capture_output=True, text=True)
    failed = set()
    for line in done.stderr.splitlines():
        if line.startswith("Command failed -:"):
            failed.add(int(line.rsplit(":", 1)[1]))
    return [number + 1 not in failed for number in range(len(commands))]


def settle() -> None:
    """Wait until every IPv6 address has its local route: that comes a moment after the address."""
    for _ in range(5000):
        with open("/proc/net/if_inet6") as file:
            rows = [line.split() for line in file]
        with open("/proc/net/ipv6_route") as file:
            local = {row[0] for row in map(str.split, file) if row[1] == "80" and int(row[8], 16) & 0x80000000}
        if all(row[0] in local and not int(row[4], 16) & 0x40 for row in rows):
            return
        time.sleep(0.001)
    raise AssertionError("an IPv6 address did not get ready")


def sysctl(name: str, value: int) -> None:
    """Set a sysctl of the namespace that we are in."""
    with open("/proc/sys/" + name.replace(".", "/"), "w") as file:
        file.write(str(value))


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns, or the name of its errno."""
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


RTA = {"dst": 1, "oif": 4, "gateway": 5, "prefsrc": 7, "src": 2}


def route_get(dst: str, src: str = "", oif: int = 0) -> dict[str, Any] | str:
    """What `ip route get` answers: kind, oif, gateway, source; or the name of an errno (rtnetlink(7))."""
    family = socket.AF_INET6 if ":" in dst else socket.AF_INET
    attributes = b""
    for kind, address in ((1, dst), (2, src)):
        if address:
            packed = socket.inet_pton(family, address)
            attributes += struct.pack("HH", 4 + len(packed), kind) + packed
    if oif:
        attributes += struct.pack("HHI", 8, 4, oif)
    bits = 8 * len(socket.inet_pton(family, dst))
    body = struct.pack("BBBBBBBBI", family, bits, bits if src else 0, 0, 0, 0, 0, 0, 0) + attributes
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.send(struct.pack("IHHII", 16 + len(body), 26, 1, 1, 0) + body)
        data = netlink.recv(65536)
    length, kind = struct.unpack_from("IH", data)
    if kind == 2:
        return errno.errorcode[-struct.unpack_from("i", data, 16)[0]]
    found: dict[str, Any] = {"kind": data[16 + 7], "gateway": "", "prefsrc": "", "oif": 0}
    offset = 28
    while offset < length:
        size, attribute = struct.unpack_from("HH", data, offset)
        value = data[offset + 4 : offset + size]
        if attribute == RTA["oif"]:
            found["oif"] = struct.unpack("I", value)[0]
        elif attribute == RTA["gateway"]:
            found["gateway"] = socket.inet_ntop(family, value)
        elif attribute == RTA["prefsrc"]:
            found["prefsrc"] = socket.inet_ntop(family, value)
        offset += (size + 3) & ~3
    return found
