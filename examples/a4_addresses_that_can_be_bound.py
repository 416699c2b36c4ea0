"""bind() takes an address of this host, or 0.0.0.0 for all of them.

An address that the host does not have is refused with errno 99. All of 127.0.0.0/8 belongs to every host,
sixteen million addresses, and a program on 0.0.0.0 answers on each of them; the socket that accept() returns
knows which one the client called.
"""

import socket

try:
    socket.create_server(("192.0.2.1", 8080))  # an address for documentation: no host has it
except OSError as error:
    print("192.0.2.1:", error)

with socket.create_server(("0.0.0.0", 8080)) as listener:
    for address in ("127.0.0.1", "127.0.0.2", "127.77.77.77", "127.255.255.254"):
        with socket.create_connection((address, 8080)) as client:
            connection, peer = listener.accept()
            print("called as", connection.getsockname()[0], "by", peer[0])
            connection.close()
