"""Methods of socket.socket that are called by the class's name, as overriding ones do."""

from __future__ import annotations

import _socket
import socket

from portside import Network

CALLS: list[int] = []


class Counting(socket.socket):
    def recv(self, *arguments):
        CALLS.append(arguments[0])
        return socket.socket.recv(self, *arguments)


def talk():
    """Every call by the class, on one connection and on a subclass of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Counting()
        socket.socket.connect(client, listener.getsockname())
        served, _ = listener.accept()
        socket.socket.sendall(served, b"hello")
        answer = [socket.socket.fileno(client) == client.fileno() >= 0, client.recv(100)]
        answer.append(socket.socket.getpeername(client) == listener.getsockname())
        client.close()
        served.close()
        answer.append(socket.socket.fileno(client))
    return answer


def test_methods_by_the_class_are_the_simulated_ones():
    CALLS.clear()
    program = Network(seed=1).host("here").spawn(talk)
    program.host.network.run()
    assert program.result == [True, b"hello", True, -1] == talk()
    assert CALLS == [100, 100]


def test_the_class_is_as_before_afterwards():
    before = dict(vars(socket.socket))
    network = Network(seed=1)
    network.host("here").spawn(talk)
    network.run()
    assert dict(vars(socket.socket)) == before
    assert socket.socket.recv is _socket.socket.recv
