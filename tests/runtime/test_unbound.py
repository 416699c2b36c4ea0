"""Methods of socket.socket that are called by the class's name, as overriding ones do."""

from __future__ import annotations

import _socket
import socket
import sys

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


def test_the_class_of_a_socket_is_the_one_of_the_module(same):
    same('''
import socket
s = socket.socket()
print(type(s) is socket.socket, isinstance(s, socket.socket), type(s).__name__, type(s).__module__, socket.socket)
class Own(socket.socket):
    pass
class Slots(socket.socket):
    __slots__ = ("more",)
for kind in (Own, Slots):
    with kind() as own:
        print(type(own) is kind, isinstance(own, kind), isinstance(own, socket.socket), type(own) is socket.socket)
print(issubclass(Own, socket.socket), issubclass(Slots, socket.socket))
a, b = socket.socketpair()
print(type(a) is socket.socket, isinstance(a, socket.socket))
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
print([type(each) is socket.socket for each in (listener, client, server, server.dup())])
for each in (s, a, b, listener, client, server):
    each.close()
''')


def test_outside_and_in_libraries_the_class_is_everybodys(world, tmp_path, monkeypatch):
    (tmp_path / "a_library.py").write_text("import socket\nKIND = socket.socket\nclass Kind(socket.socket): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import socket

    before = socket.socket

    def program():
        import a_library

        found = socket.socket
        socket.socket = None
        socket.socket = found

        with socket.socket() as s:
            assert type(s) is socket.socket
        with a_library.Kind() as s:
            assert isinstance(s, socket.socket)
        return a_library

    library = world.call(program)
    assert socket.socket is before
    assert library.KIND is before
    assert library.Kind.__mro__[1] is before
    sys.modules.pop("a_library")
