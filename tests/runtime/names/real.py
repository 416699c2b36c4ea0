"""The real machine's answers: glibc in namespaces of their own, with an /etc/hosts and a name server of ours.

`python real.py MACHINE` makes the namespaces and prints the transcript; it needs root.
"""

from __future__ import annotations

import ipaddress
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from asking import ADDRESSES, HOSTS, table, transcript  # it runs as a script, beside it

TYPES = {1: "A", 28: "AAAA"}
RESOLV_CONF = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"


def name_at(data: bytes, at: int) -> tuple[str, int]:
    labels = []
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels), at + 1


def encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(name: str, kind: int, data: bytes) -> bytes:
    return encoded(name) + kind.to_bytes(2) + b"\0\1\0\0\0\x3c" + len(data).to_bytes(2) + data


def answer(query: bytes, names: dict[str, list[str]]) -> bytes:
    """What a name server says (RFC 1035)."""
    name, end = name_at(query, 12)
    kind = int.from_bytes(query[end : end + 2])
    code, records = 0, []
    if kind == 12:
        names = {ipaddress.ip_address(place).reverse_pointer: [f"PTR {owner}"]
                 for owner, places in reversed(names.items()) for place in places if place[0] in "0123456789abcdef:"
                 and not place.startswith("CNAME")}  # fmt: skip
    owner = name
    while code == 0:
        values = names.get(owner.lower())
        if values is None:
            code = 3
        elif values == ["SERVFAIL"]:
            code = 2
        elif values and values[0].startswith("CNAME "):
            target = values[0].split()[1]
            records.append(record(owner, 5, encoded(target)))
            owner = target
            continue
        else:
            for value in values:
                if value.startswith("PTR "):
                    records.append(record(owner, 12, encoded(value.split()[1])))
                elif (address := ipaddress.ip_address(value)).version == (4 if kind == 1 else 6) and kind in TYPES:
                    records.append(record(owner, kind, address.packed))
        break
    header = query[:2] + (0x8180 | code).to_bytes(2) + b"\0\1" + len(records).to_bytes(2) + b"\0\0\0\0"
    return header + query[12 : end + 4] + b"".join(records)


def serve(address: str = "127.0.0.1") -> None:
    """A name server."""
    names = table()
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((address, 53))
    print("ready", flush=True)
    while True:
        query, peer = listener.recvfrom(4096)
        listener.sendto(answer(query, names), peer)


def inside(machine: str) -> None:
    """In the namespaces: interfaces, files, the server, and then the questions."""
    commands = [
        "hostname alpha",
        "ip link set lo up",
        "sysctl -qw net.ipv6.conf.default.accept_dad=0",
        "ip link add name eth0 index 2 type veth peer name peer0 index 3",
        "sysctl -qw net.ipv6.conf.peer0.disable_ipv6=1",
    ]
    if ADDRESSES[machine]:
        commands += ["ip link set peer0 up", "ip link set eth0 up"]
    for address in ADDRESSES[machine]:
        commands.append(f"ip addr add {address} dev eth0" + (" nodad" if ":" in address else ""))
    for command in commands:
        subprocess.run(command.split(), check=True)
    with tempfile.TemporaryDirectory() as directory:
        for path, text in (
            ("/etc/hosts", HOSTS),
            ("/etc/resolv.conf", RESOLV_CONF),
            ("/etc/nsswitch.conf", "hosts: files dns\nservices: files\n"),
        ):
            own = Path(directory) / Path(path).name
            own.write_text(text)
            own.chmod(0o644)
            subprocess.run(["mount", "--bind", str(own), path], check=True)
        # A process of its own: before 3.11.4 socket.getnameinfo() holds the GIL while it waits for the server.
        with subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout is not None
                server.stdout.readline()
                print("\n".join(transcript(machine)))
            finally:
                server.kill()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    elif sys.argv[1] == "inside":
        inside(sys.argv[2])
    else:
        command = ["unshare", "--net", "--mount", "--uts", sys.executable, __file__, "inside", sys.argv[1]]
        sys.exit(subprocess.run(command, check=False).returncode)
