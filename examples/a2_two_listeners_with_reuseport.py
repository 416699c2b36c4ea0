"""Two programs listen on one address and port: SO_REUSEPORT, set by both before bind().

The kernel deals new connections out between them by a hash of the four numbers that name a connection. When one of
them exits, the other gets all. If either lacks the option, the second bind() fails with errno 98.
"""

import select
import socket

HERE = ("127.0.0.1", 8080)


def listener(reuseport):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuseport)
    sock.bind(HERE)
    sock.listen(100)
    return sock


def deal(listeners, number):
    """Connect so often; how many connections each listener got."""
    clients = [socket.create_connection(HERE) for _ in range(number)]
    shares = dict.fromkeys(listeners, 0)
    while sum(shares.values()) < number:
        ready, _, _ = select.select(listeners, [], [])
        for sock in ready:
            connection, _ = sock.accept()
            connection.close()
            shares[sock] += 1
    for client in clients:
        client.close()
    return list(shares.values())


first = listener(reuseport=1)
second = listener(reuseport=1)
shares = deal([first, second], 40)
print("of", sum(shares), "connections each got some:", all(shares))

first.close()
print("with the first gone the second got", deal([second], 10))

try:
    listener(reuseport=0)
except OSError as error:
    print("without the option:", error)
second.close()
