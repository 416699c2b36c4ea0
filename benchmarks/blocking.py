"""The programs that are measured: blocking sockets and threads, as a user would write them.

Each takes its number of operations, and runs unchanged with real threads on real loopback and on a simulated host.
"""

from __future__ import annotations

import socket
import threading

MESSAGE = b"x" * 64
CHUNK = b"x" * 65536


def echo(count: int) -> None:
    """One connection, `count` round trips of 64 bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)

    server = threading.Thread(target=serve)
    server.start()
    with socket.create_connection(listener.getsockname()) as client:
        for _ in range(count):
            client.sendall(MESSAGE)
            client.recv(4096)
    server.join()
    listener.close()


def connect(count: int) -> None:
    """`count` times: connect, 64 bytes there and back, close; the server closes first."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(count):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(connection.recv(64))

    server = threading.Thread(target=serve)
    server.start()
    address = listener.getsockname()
    for _ in range(count):
        with socket.create_connection(address) as client:
            client.sendall(MESSAGE)
            client.recv(64)
            client.recv(64)
    server.join()
    listener.close()


def bulk(count: int) -> None:
    """One connection, `count` times 64 KiB one way."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while connection.recv(65536):
                pass

    server = threading.Thread(target=serve)
    server.start()
    with socket.create_connection(listener.getsockname()) as client:
        for _ in range(count):
            client.sendall(CHUNK)
    server.join()
    listener.close()


PROGRAMS = {"echo": (echo, 20_000), "connect": (connect, 3_000), "bulk": (bulk, 4_000)}
