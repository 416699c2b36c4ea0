"""A server that closed first is remembered for a minute: TIME-WAIT, and what SO_REUSEADDR is for.

The side that closes first keeps the connection's name for 60 s, so that late segments of it do not reach a new
one. bind() to that port fails with errno 98 meanwhile, unless SO_REUSEADDR was set on the old socket and on the new.
"""

import socket
import time

HERE = ("127.0.0.1", 7000)
STATES = {"01": "ESTABLISHED", "06": "TIME-WAIT", "08": "CLOSE-WAIT", "05": "FIN-WAIT-2", "0A": "LISTEN"}


def server(reuse):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    sock.bind(HERE)
    sock.listen(5)
    return sock


def states():
    """The states of the server's port in /proc/net/tcp."""
    with open("/proc/net/tcp") as table:
        fields = [line.split() for line in table][1:]
    return sorted(STATES.get(state, state) for _, local, _, state, *_ in fields if local.endswith(":1B58"))


def one_connection(listener):
    """A client comes, the server says goodbye first."""
    client = socket.create_connection(HERE)
    connection, _ = listener.accept()
    print("the client's port is ephemeral:", client.getsockname()[1] >= 32768)
    connection.close()
    client.recv(1)  # the end
    client.close()
    time.sleep(0.1)


first = server(reuse=1)
print("listening:", states())
one_connection(first)
first.close()
print("closed:", states())
try:
    server(reuse=0)
except OSError as error:
    print("again, without SO_REUSEADDR:", error)
again = server(reuse=1)
print("again, with it:", states())
one_connection(again)
again.close()
