"""Ports run out: 28,232 connections to one destination, and not one more.

usage: b8_port_exhaustion.py [LOW HIGH]      (as root; it changes sysctls of the host that it runs on)

A client's port comes from the ephemeral range, 32768 to 60999. Each connection to the same destination needs
a port of its own, and the side that closes first keeps it in TIME-WAIT for 60 s. Here the client closes first,
so every port serves once; then connect() fails with errno 99. What helps: another destination or source address,
a wider range, letting the server close, and `tcp_tw_reuse` (ports in TIME-WAIT may serve again after a second).
"""

import errno
import socket
import sys
import time

SYSCTL = "/proc/sys/net/ipv4/"


def sysctl(name, value):
    with open(SYSCTL + name, "w") as file:
        file.write(value)


def connect(address, port, source=None):
    """Connect, and close on the client's side first; None if it worked, or the error."""
    try:
        client = socket.create_connection((address, port), source_address=source)
    except OSError as error:
        return error
    connection, _ = listener.accept()
    client.close()
    connection.close()
    return None


def exhaust(address, port):
    """Connect until it fails: how often it worked, and the error."""
    count = 0
    while (error := connect(address, port)) is None:
        count += 1
    return count, error


low, high = (int(word) for word in sys.argv[1:3]) if len(sys.argv) > 2 else (32768, 60999)
sysctl("ip_local_port_range", f"{low} {high}")
sysctl("tcp_tw_reuse", "0")
listener = socket.create_server(("0.0.0.0", 8080))

count, error = exhaust("127.0.0.1", 8080)
print(f"{count} connections to 127.0.0.1:8080, all that {low}-{high} has: {count == high - low + 1}")
print("the next:", error, error.errno == errno.EADDRNOTAVAIL)
print("another destination:", connect("127.0.0.2", 8080) or "works")
print("another source:", connect("127.0.0.1", 8080, ("127.0.0.9", 0)) or "works")

sysctl("ip_local_port_range", f"{low} {high + 2}")
count, error = exhaust("127.0.0.1", 8080)
print("a range wider by 2:", count, "more")

sysctl("tcp_tw_reuse", "1")
time.sleep(2.1)
print("tcp_tw_reuse and a little time:", connect("127.0.0.1", 8080) or "works")

sysctl("ip_local_port_range", f"{low} {low}")
served = 0
while served < 3:
    client = socket.create_connection(("127.0.0.3", 8080))
    connection, _ = listener.accept()
    connection.close()  # the server closes first and has the TIME-WAIT: its port is not used up by it
    client.recv(1)
    client.close()
    served += 1
print("letting the server close: one port serves", served, "connections")
listener.close()
