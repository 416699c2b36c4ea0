"""A program on :: answers IPv6 and IPv4 alike.

An IPv4 client appears to it with an address of IPv6's making, ::ffff:127.0.0.1. The reverse does not hold: a program
on 127.0.0.1 or 0.0.0.0 is deaf to IPv6.
"""

import socket

both = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
both.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
both.bind(("::", 8080))
both.listen()
for address in ("::1", "127.0.0.1"):
    with socket.create_connection((address, 8080)):
        connection, peer = both.accept()
        print(address, "appears as", peer[0])
        connection.close()
both.close()

with socket.create_server(("0.0.0.0", 8081)):
    try:
        socket.create_connection(("::1", 8081))
    except OSError as error:
        print("::1 to a program on 0.0.0.0:", error)
