"""A listener owns an address and a port, not a port alone.

Two programs listen on port 8080, one on 127.0.0.1 and one on 127.0.0.2; each gets its own connections. Nobody
listens on 127.0.0.3, though it is an address of this host too.
"""

import socket

listeners = {}
for address in ("127.0.0.1", "127.0.0.2"):
    listeners[address] = socket.create_server((address, 8080))

for address, listener in listeners.items():
    with socket.create_connection((address, 8080)) as client:
        connection, peer = listener.accept()
        print("to", address, "came a connection from", peer[0], "at", connection.getsockname())
        connection.close()

try:
    socket.create_connection(("127.0.0.3", 8080))
except OSError as error:
    print("to 127.0.0.3:", error)

for listener in listeners.values():
    listener.close()
