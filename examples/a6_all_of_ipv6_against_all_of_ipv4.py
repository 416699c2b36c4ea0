""":: and 0.0.0.0 are in each other's way.

A socket on :: would answer IPv4 too, so it cannot have a port that another holds on 0.0.0.0: errno 98, and
the other way round.
"""

import socket


def listener(family, address):
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, 8080))
    sock.listen()
    return sock


V4, V6 = (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")
for first, second in ((V4, V6), (V6, V4)):
    with listener(*first):
        try:
            listener(*second).close()
            print(second[1], "after", first[1], "works")
        except OSError as error:
            print(second[1], "after", first[1], "fails:", error)
