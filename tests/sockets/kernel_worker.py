"""Runs socket experiments on the kernel under us, in a network namespace of its own: one JSON line in, one out.

Started as a program by `oracle.py`; imports nothing but the standard library. An experiment is a list of steps, each a
list that begins with what to do; the answer is one result for each step.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
SO_REUSEADDR, SO_BINDTODEVICE, SO_REUSEPORT = 2, 25, 15
IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE, IP_FREEBIND, IP_TRANSPARENT = 24, 51, 15, 19
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
OPTIONS = {
    "reuseaddr": (socket.SOL_SOCKET, SO_REUSEADDR),
    "reuseport": (socket.SOL_SOCKET, SO_REUSEPORT),
    "v6only": (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
    "broadcast": (socket.SOL_SOCKET, socket.SO_BROADCAST),
    "freebind": (socket.IPPROTO_IP, IP_FREEBIND),
    "transparent": (socket.IPPROTO_IP, IP_TRANSPARENT),
    "bind_address_no_port": (socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT),
    "port_range": (socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE),
}

libc = ctypes.CDLL(None, use_errno=True)


def unshare() -> bool:
    """Enter a fresh network namespace, if not as root through a user namespace. Whether any uid can be set."""
    if os.geteuid() == 0:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        return True
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    for path, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{path}", "w") as file:
            file.write(text)
    return False


def attribute(kind: int, payload: bytes) -> bytes:
    """A netlink attribute, padded to four bytes."""
    return struct.pack("HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def netlink(kind: int, flags: int, body: bytes) -> None:
    """One rtnetlink request; raises OSError when the kernel says no."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.bind((0, 0))
        link.send(struct.pack("IHHII", 16 + len(body), kind, flags | 1 | 4, 1, 0) + body)
        code = struct.unpack_from("i", link.recv(4096), 16)[0]
        if code:
            raise OSError(-code, os.strerror(-code))


def set_up(name: str) -> None:
    """ip link set NAME up."""
    with socket.socket() as control:
        request = struct.pack("16sH14x", name.encode(), 0x1)
        fcntl.ioctl(control, 0x8914, request)


def add_address(name: str, address: str, length: int) -> None:
    """ip address add ADDRESS/LENGTH dev NAME nodad."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    raw = socket.inet_pton(family, address)
    body = struct.pack("BBBBI", family, length, 0x02, 0, socket.if_nametoindex(name))
    body += attribute(1, raw) + attribute(2, raw)
    if family == socket.AF_INET and length < 31:
        value = int.from_bytes(raw, "big") | (1 << (32 - length)) - 1
        body += attribute(4, value.to_bytes(4, "big"))
    netlink(20, 0x400 | 0x200, body)


def add_device(name: str) -> None:
    """ip link add NAME type dummy, or where the kernel has none, a bridge without ports."""
    for kind in (b"dummy", b"bridge"):
        body = struct.pack("BxHiII", 0, 0, 0, 0, 0) + attribute(3, name.encode()) + attribute(18, attribute(1, kind))
        try:
            return netlink(16, 0x400 | 0x200, body)
        except OSError as error:
            reason = error
    raise reason


def make_machine(devices: dict[str, list[str]], sysctls: dict[str, str]) -> None:
    """Interfaces with their addresses, and the sysctls."""
    set_up("lo")
    for name, addresses in devices.items():
        if name != "lo":
            add_device(name)
            set_up(name)
        for notation in addresses:
            address, _, length = notation.partition("/")
            add_address(name, address, int(length))
    for name, value in sysctls.items():
        with open("/proc/sys/net/" + name, "w") as file:
            file.write(value)


class Machine:
    """The sockets of one experiment, by number."""

    def __init__(self) -> None:
        self.sockets: dict[int, socket.socket] = {}

    def run(self, steps: list[list]) -> list:
        """Do the steps; each result is what the step answers, 0 for nothing, or the errno's name."""
        results = []
        for step in steps:
            try:
                results.append(getattr(self, step[0])(*step[1:]) or 0)
            except KeyError:
                results.append("EBADF")
            except OSError as error:
                if isinstance(error, TimeoutError) and error.errno is None:
                    results.append("TIMEOUT")
                else:
                    results.append(errno.errorcode.get(error.errno, str(error)))
        for each in self.sockets.values():
            each.close()
        self.sockets.clear()
        return results

    def socket(self, number: int, family: int, kind: str, uid: int = 0) -> None:
        if uid:
            os.seteuid(uid)
        try:
            self.sockets[number] = socket.socket(FAMILIES[family], TYPES[kind])
        finally:
            if uid:
                os.seteuid(0)

    def opt(self, number: int, name: str, value: object) -> None:
        if name == "device":
            self.sockets[number].setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, str(value).encode() + b"\0")
        elif name == "linger":
            self.sockets[number].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, int(value)))
        elif name == "port_range":
            low, high = value
            self.sockets[number].setsockopt(*OPTIONS[name], struct.pack("I", high << 16 | low))
        else:
            self.sockets[number].setsockopt(*OPTIONS[name], value)

    def getopt(self, number: int, name: str) -> int:
        return self.sockets[number].getsockopt(*OPTIONS[name])

    def where(self, number: int, address: str, port: int, scope: int) -> tuple:
        if self.sockets[number].family == socket.AF_INET:
            return (address, port)
        return (address, port, 0, scope)

    def bind(self, number: int, address: str, port: int, scope: int = 0) -> None:
        self.sockets[number].bind(self.where(number, address, port, scope))

    def bind_to(self, number: int, address: str, other: int) -> None:
        """Bind to the port of another socket."""
        self.bind(number, address, self.sockets[other].getsockname()[1])

    def bind_as(self, uid: int, number: int, address: str, port: int) -> None:
        os.seteuid(uid)
        try:
            self.bind(number, address, port)
        finally:
            os.seteuid(0)

    def listen(self, number: int, backlog: int = 8) -> None:
        self.sockets[number].listen(backlog)

    def connect(self, number: int, address: str, port: int, scope: int = 0) -> None:
        one = self.sockets[number]
        if one.type == socket.SOCK_STREAM:
            one.setblocking(True)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("qq", 2, 0))
        one.connect(self.where(number, address, port, scope))

    def connect_later(self, number: int, address: str, port: int) -> None:
        """Connect without waiting, and ask how it went."""
        one = self.sockets[number]
        one.setblocking(False)
        code = one.connect_ex(self.where(number, address, port, 0))
        code = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if code == errno.EINPROGRESS else code
        if code:
            raise OSError(code, os.strerror(code))

    def connect_to(self, number: int, other: int) -> None:
        """Connect to where another socket is bound."""
        name = self.sockets[other].getsockname()
        self.connect(number, name[0], name[1])

    def disconnect(self, number: int) -> None:
        if libc.connect(self.sockets[number].fileno(), bytes(28), 28):
            raise OSError(ctypes.get_errno(), "connect")

    def accept(self, number: int, new: int) -> None:
        self.sockets[number].setblocking(False)
        self.sockets[new] = self.sockets[number].accept()[0]

    def accepted_by(self, numbers: list[int], new: int) -> int:
        """Which of the listeners holds a connection; accepted as `new`. -1: none."""
        for number in numbers:
            try:
                self.accept(number, new)
            except (KeyError, OSError):
                continue
            return number
        return -1

    def send(self, number: int, address: str, port: int, scope: int = 0) -> None:
        self.sockets[number].sendto(b"x", self.where(number, address, port, scope))

    def received_by(self, numbers: list[int]) -> list[int]:
        """Which of the sockets have a datagram; it is taken."""
        found = []
        for number in numbers:
            try:
                self.sockets[number].recv(16, socket.MSG_DONTWAIT)
            except OSError:
                continue
            found.append(number + 1)
        return found

    def shutdown(self, number: int, how: int) -> None:
        self.sockets[number].shutdown(how)

    def name(self, number: int) -> list:
        return list(self.sockets[number].getsockname()[:2])

    def close(self, number: int) -> None:
        self.sockets.pop(number).close()


def main() -> None:
    """First line: devices and sysctls. Then one batch of experiments in each line."""
    try:
        uids = unshare()
        setup = json.loads(sys.stdin.readline())
        make_machine(setup["devices"], setup["sysctls"])
    except OSError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return
    print(json.dumps({"uids": uids, "release": os.uname().release}), flush=True)
    for line in sys.stdin:
        print(json.dumps([Machine().run(steps) for steps in json.loads(line)]), flush=True)


if __name__ == "__main__":
    main()
