"""The process that runs dialogues on the real kernel, each in a network namespace of its own.

It reads one JSON object a line, `{"calls": [...], "addresses": [...], "sysctls": [...]}` or `{"function":
"module:name"}`, and answers with `{"answers": [...]}` or `{"failed": traceback}`. It is started by `linux.py`.
"""

import ctypes
import fcntl
import importlib
import json
import os
import signal
import socket
import struct
import sys
import time
import traceback

from tests.dialogue import interpreter

CLONE_NEWNET = 0x40000000
CLONE_NEWUSER = 0x10000000
SIOCSIFFLAGS = 0x8914
IFF_UP_RUNNING = 0x41
PATIENCE = 10  # seconds that one dialogue may take

# What a namespace inherits from the machine, or what simulated hosts take for granted.
SYSCTLS = {
    "ipv4/tcp_congestion_control": "reno",
    "ipv4/tcp_rmem": "4096 131072 33554432",
    "ipv4/tcp_wmem": "4096 16384 4194304",
    "ipv4/ip_local_port_range": "32768 60999",
    "ipv4/ip_unprivileged_port_start": "1024",
    "ipv4/tcp_syncookies": "1",
    "core/somaxconn": "4096",
    # The next namespace gets a small hash table of its own: /proc/net/tcp walks all of it, 3.5 ms with the
    # machine's 65,536 buckets. Two limits follow from its size and are put back.
    "ipv4/tcp_child_ehash_entries": "512",
    "ipv4/tcp_max_syn_backlog": "1024",
    "ipv4/tcp_max_tw_buckets": "65536",
}

libc = ctypes.CDLL(None, use_errno=True)


def fail():
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def disconnect(descriptor):
    """connect(2) with AF_UNSPEC."""
    if libc.connect(descriptor, struct.pack("=H14x", socket.AF_UNSPEC), 16) < 0:
        fail()


def become_root_of_a_namespace():
    """An unprivileged user's way: a user namespace in which it is root."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER) < 0:
        fail()
    for path, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open("/proc/self/" + path, "w") as file:
            file.write(text)


def fresh_namespace():
    if libc.unshare(CLONE_NEWNET) < 0:
        fail()
    bring_up("lo")
    for path, value in SYSCTLS.items():
        set_sysctl(path, value)


def set_sysctl(path, value):
    with open("/proc/sys/net/" + path, "w") as file:
        file.write(value)


def bring_up(interface):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", interface.encode(), IFF_UP_RUNNING))


# -- rtnetlink: a veth interface and addresses, without a process for each --------------------------------------

RTM_NEWLINK, RTM_NEWADDR = 16, 20
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x200, 0x400
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 3, 18, 1, 2, 1
IFA_ADDRESS, IFA_LOCAL, IFA_F_NODAD = 1, 2, 2


def attribute(kind, data):
    return struct.pack("HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def netlink(kind, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
        sock.send(struct.pack("IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        answer = sock.recv(4096)
        error = struct.unpack_from("i", answer, 16)[0]
        if error:
            raise OSError(-error, os.strerror(-error))


def add_interface(name, index):
    """One end of a veth pair; the other is up as well, has no address and answers nobody."""
    far = struct.pack("BxHiII", 0, 0, 100 + index, 0, 0) + attribute(IFLA_IFNAME, f"{name}-far".encode() + b"\0")
    info = attribute(IFLA_INFO_KIND, b"veth") + attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, far))
    body = struct.pack("BxHiII", 0, 0, index, 0, 0)
    # The hardware address that a simulated host has there, of which the link-local one is made.
    near = attribute(IFLA_IFNAME, name.encode() + b"\0") + attribute(IFLA_ADDRESS, bytes([2, 0, 0, 1, 0, index]))
    netlink(RTM_NEWLINK, body + near + attribute(IFLA_LINKINFO, info))
    set_sysctl(f"ipv6/conf/{name}-far/disable_ipv6", "1")
    for setting in ("accept_dad", "accept_ra"):
        set_sysctl(f"ipv6/conf/{name}/{setting}", "0")
    bring_up(f"{name}-far")
    bring_up(name)
    wait_for_local_route(f"fe80::ff:fe01:{index}")


def add_address(address, prefix, interface):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    raw = socket.inet_pton(family, address)
    flags = IFA_F_NODAD if family == socket.AF_INET6 else 0
    body = struct.pack("BBBBi", family, prefix, flags, 0, socket.if_nametoindex(interface))
    netlink(RTM_NEWADDR, body + attribute(IFA_LOCAL, raw) + attribute(IFA_ADDRESS, raw))


def wait_for_local_route(address):
    """The kernel makes the route to a new IPv6 address a little later; until then nobody reaches it."""
    beginning = socket.inet_pton(socket.AF_INET6, address).hex() + " 80 "
    for _ in range(1000):
        with open("/proc/net/ipv6_route") as file:
            if any(line.startswith(beginning) for line in file):
                return
        time.sleep(0.001)


def furnish(addresses, sysctls):
    present = ["lo"]
    for text in addresses:
        address, _, interface = text.partition("@")
        address, _, prefix = address.partition("/")
        if interface not in present:
            present.append(interface)
            add_interface(interface, len(present))
        add_address(address, int(prefix), interface)
        if ":" in address:
            wait_for_local_route(address)
    for path, value in sysctls:
        set_sysctl(path, value.replace(",", " "))


# -- one request -----------------------------------------------------------------------------------------------


def too_long(signum, frame):
    raise RuntimeError(f"the dialogue took longer than {PATIENCE} s")


def carry_out(request):
    fresh_namespace()
    furnish(request.get("addresses", ()), request.get("sysctls", ()))
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        return {"answers": interpreter.run(request["calls"], disconnect)}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def carry_out_function(request):
    """A function runs in a child: it may leave threads and descriptors behind."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        with open(reader) as file:
            answer = file.read()
        os.waitpid(child, 0)
        return json.loads(answer)
    try:
        answer = answer_to(request, call_function)
        os.write(writer, json.dumps(answer).encode())
    finally:
        os._exit(0)


def call_function(request):
    fresh_namespace()
    furnish(request.get("addresses", ()), request.get("sysctls", ()))
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    module, _, name = request["function"].partition(":")
    return {"answers": getattr(importlib.import_module(module), name)()}


def answer_to(request, act):
    try:
        return act(request)
    except BaseException:
        return {"failed": traceback.format_exc()}


def main():
    signal.signal(signal.SIGALRM, too_long)
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -15)  # a delayed acknowledgement must not pass by between two calls
    else:
        become_root_of_a_namespace()
    fresh_namespace()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        act = carry_out_function if "function" in request else carry_out
        print(json.dumps(answer_to(request, act)), flush=True)


if __name__ == "__main__":
    main()
