"""Dialogues that are functions: programs with threads, blocking calls, files and descriptors.

Each is an ordinary program that returns what it saw, without what is left to chance, as JSON can hold it.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import select
import selectors
import socket
import struct
import termios
import threading
from typing import Any

HERE = "127.0.0.1"
Seen = list[Any]


def code(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def in_thread(call: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=call, args=arguments)
    thread.start()
    return thread


def echo_by_threads() -> Seen:
    """A thread for each connection, blocking calls, streams longer than any buffer."""
    seen: Seen = []
    lock = threading.Lock()

    def serve(connection: socket.socket) -> None:
        total = 0
        with connection:
            while data := connection.recv(10_000):
                connection.sendall(data)
                total += len(data)
        with lock:
            seen.append(total)

    def accept(listener: socket.socket) -> None:
        threads = [in_thread(serve, listener.accept()[0]) for _ in range(3)]
        for thread in threads:
            thread.join()

    listener = socket.create_server((HERE, 8080))
    accepting = in_thread(accept, listener)
    clients = [socket.create_connection((HERE, 8080)) for _ in range(3)]
    for number, client in enumerate(clients):
        message = bytes([number]) * 300_000
        sending = in_thread(client.sendall, message)
        got = b""
        while len(got) < len(message):
            got += client.recv(65536)
        sending.join()
        seen.append(got == message)
        client.close()
    accepting.join()
    listener.close()
    return sorted(seen)


def closing_a_socket_in_another_thread() -> Seen:
    """What a thread that waits in recv() or accept() sees when another shuts the socket down."""
    seen: Seen = []
    a, b = socket.socketpair()

    def wait(call: Any) -> None:
        try:
            seen.append(repr(call(10)))
        except OSError as error:
            seen.append(code(error))

    thread = in_thread(wait, a.recv)
    a.shutdown(socket.SHUT_RD)
    thread.join()
    listener = socket.create_server((HERE, 8080))
    client = socket.create_connection((HERE, 8080))
    server, _ = listener.accept()
    thread = in_thread(wait, client.recv)
    client.shutdown(socket.SHUT_RDWR)
    thread.join()
    thread = in_thread(wait, lambda _: listener.accept())
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for sock in (a, b, listener, client, server):
        sock.close()
    return seen


def two_threads_accept() -> Seen:
    """Two threads wait on one listener: each connection goes to one of them."""
    names: Seen = []
    listener = socket.create_server((HERE, 8080))

    def serve() -> None:
        connection, _ = listener.accept()
        names.append(connection.recv(10).decode())
        connection.close()

    threads = [in_thread(serve) for _ in range(2)]
    for name in (b"one", b"two"):
        client = socket.create_connection((HERE, 8080))
        client.sendall(name)
        client.recv(1)
        client.close()
    for thread in threads:
        thread.join()
    listener.close()
    return sorted(names)


def a_server_by_select() -> Seen:
    """One thread, select(2) and non-blocking sockets, three clients that are sockets of the same program."""
    seen: Seen = []
    listener = socket.create_server((HERE, 8080))
    listener.setblocking(False)
    clients = [socket.create_connection((HERE, 8080)) for _ in range(3)]
    connections: list[socket.socket] = []
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number * (number + 1))
        client.shutdown(socket.SHUT_WR)
    while len(seen) < 6:
        readable, _, _ = select.select([listener, *connections], [], [])
        for sock in readable:
            if sock is listener:
                connection, _ = listener.accept()
                connections.append(connection)
            elif data := sock.recv(100):
                seen.append(data.decode())
                sock.sendall(data.upper())
            else:
                seen.append("end")
                connections.remove(sock)
                sock.close()
    for client in clients:
        seen.append(client.recv(100).decode())
        client.close()
    listener.close()
    return sorted(seen)


def a_server_by_selectors() -> Seen:
    """The same by epoll(7), through the selectors module."""
    seen: Seen = []
    with selectors.DefaultSelector() as selector, socket.create_server((HERE, 8080)) as listener:
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
        client = socket.create_connection((HERE, 8080))
        client.sendall(b"x" * 1000)
        for _ in range(2):
            for key, events in selector.select(timeout=5):
                seen.append((key.fileobj is listener, events))
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, "peer")
                else:
                    seen.append(len(connection.recv(4096)))
        seen.append([events for _, events in selector.select(timeout=0)])
        selector.unregister(connection)
        seen.append(selector.select(timeout=0))
        connection.close()
        client.close()
    return seen


def timeouts() -> Seen:
    """settimeout(): what waits too long says so; what is there in time is taken."""
    seen: Seen = []
    listener = socket.create_server((HERE, 8080))
    listener.settimeout(0.02)
    for _ in range(2):
        try:
            listener.accept()
        except TimeoutError as error:
            seen.append(str(error))
    client = socket.create_connection((HERE, 8080), timeout=5)
    server, _ = listener.accept()
    seen.append([client.gettimeout(), server.gettimeout()])
    server.settimeout(0.02)
    try:
        server.recv(1)
    except TimeoutError as error:
        seen.append(str(error))
    client.sendall(b"now")
    seen.append(server.recv(10).decode())
    server.settimeout(0.02)
    try:
        server.sendall(b"x" * 50_000_000)
    except TimeoutError as error:
        seen.append(str(error))
    for sock in (listener, client, server):
        sock.close()
    return seen


def files_of_a_socket() -> Seen:
    """makefile(), iteration over lines, text and bytes, buffered and not."""
    seen: Seen = []
    listener = socket.create_server((HERE, 8080))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("r") as lines, connection.makefile("wb", buffering=0) as answers:
            for line in lines:
                answers.write(line.upper().encode())

    thread = in_thread(serve)
    client = socket.create_connection((HERE, 8080))
    with client.makefile("rwb") as stream:
        for line in (b"one\n", b"two\n", b"three"):
            stream.write(line)
        stream.flush()
        client.shutdown(socket.SHUT_WR)
        seen += [line.decode() for line in stream]
    client.close()
    thread.join()
    listener.close()
    return seen


def descriptors() -> Seen:
    """dup(), detach(), fileno=, closing the last reference, reading and writing by os."""
    seen: Seen = []
    a, b = socket.socketpair()
    copy = a.dup()
    a.close()
    copy.sendall(b"by the copy")
    seen.append(os.read(b.fileno(), 100).decode())
    number = copy.detach()
    seen.append(copy.fileno())
    again = socket.socket(fileno=number)
    seen.append([int(again.family), int(again.type), again.proto])
    os.write(number, b"by number")
    seen.append(b.recv(100).decode())
    again.close()
    seen.append(repr(b.recv(100)))
    try:
        os.read(number, 1)
    except OSError as error:
        seen.append(code(error))
    try:
        again.send(b"x")
    except OSError as error:
        seen.append(code(error))
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    os.close(writer)
    seen += [os.read(reader, 9).decode(), os.read(reader, 9).decode(), repr(os.read(reader, 9))]
    os.close(reader)
    b.close()
    return seen


def unix_sockets() -> Seen:
    """AF_UNIX streams and datagrams in the abstract namespace, names, credentials of nobody, descriptors passed."""
    seen: Seen = []
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind("\0a name")
    listener.listen(1)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect("\0a name")
    server, peer = listener.accept()
    seen.append([repr(peer), repr(client.getpeername()), repr(client.getsockname())])
    inner, outer = socket.socketpair()
    client.sendmsg([b"take this"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [inner.fileno()]))])
    data, controls, flags, _ = server.recvmsg(100, socket.CMSG_LEN(4))
    passed = socket.socket(fileno=array.array("i", controls[0][2])[0])
    inner.close()
    passed.sendall(b"from the copy")
    seen.append([data.decode(), len(controls), flags & socket.MSG_CTRUNC, outer.recv(100).decode()])
    other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    for name in ("\0nobody", "/nowhere/at/all", "\0a name"):
        try:
            other.connect(name)
            seen.append("connected")
        except OSError as error:
            seen.append(code(error))
    with socket.socket(socket.AF_UNIX) as late:
        try:
            late.bind("\0a name")
        except OSError as error:
            seen.append(code(error))
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.send(b"first")
    one.send(b"")
    one.send(b"third one")
    seen.append([two.recv(100).decode(), two.recv(100).decode(), two.recv(5).decode()])
    for sock in (listener, client, server, outer, passed, other, one, two):
        sock.close()
    return seen


def a_listener_that_is_gone() -> Seen:
    """The words of the errors that people meet most."""
    seen: Seen = []
    calls: list[tuple[str, Any]] = [
        ("refused", lambda: socket.create_connection((HERE, 9))),
        ("no route", lambda: socket.create_connection(("192.0.2.1", 9))),
        ("not here", lambda: socket.create_server(("192.0.2.1", 9))),
        ("twice", lambda: socket.create_server((HERE, 8080))),
        ("both", lambda: socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True)),
    ]
    with socket.create_server((HERE, 8080)):
        for name, call in calls:
            try:
                call()
            except OSError as error:
                seen.append([name, str(error)])
    return seen


def datagrams_there_and_back() -> Seen:
    """A UDP server by a thread; a reply to wherever the question came from; recvfrom_into, recvmsg_into."""
    seen: Seen = []
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(("::", 5300))

    def serve() -> None:
        for _ in range(3):
            data, peer = server.recvfrom(100)
            server.sendto(data[::-1], peer)

    thread = in_thread(serve)
    for family, address in ((socket.AF_INET, HERE), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::ffff:127.0.0.1")):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.sendto(b"abc", (address, 5300))
            buffer = bytearray(2)
            if family == socket.AF_INET:
                length, peer = client.recvfrom_into(buffer)
            else:
                length, _, _, peer = client.recvmsg_into([buffer])
            seen.append([length, buffer.decode(), peer[0]])
    thread.join()
    server.close()
    return seen


def poll_of_many_kinds() -> Seen:
    """poll(2) over a listener, a connection, a datagram socket, a pipe and a descriptor that is closed."""
    listener = socket.create_server((HERE, 8080))
    client = socket.create_connection((HERE, 8080))
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    reader, writer = os.pipe()
    gone = os.dup(reader)
    os.close(gone)
    names = {
        listener.fileno(): "listener", client.fileno(): "client", datagram.fileno(): "datagram", reader: "reader",
        writer: "writer", gone: "gone",
    }  # fmt: skip
    poller = select.poll()
    for number in names:
        poller.register(number, select.POLLIN | select.POLLOUT)
    seen: Seen = [sorted([names[number], events] for number, events in poller.poll(1000))]
    poller.unregister(gone)
    server, _ = listener.accept()
    server.close()
    os.close(writer)
    poller.unregister(writer)
    seen.append(sorted([names[number], events] for number, events in poller.poll(1000)))
    for sock in (listener, client, datagram):
        sock.close()
    os.close(reader)
    return seen


def _datagram_with(family: int, options: Any, items: Any, here: str, target: str = "") -> Any:
    """What a datagram that is sent with control messages looks like to who receives it."""
    with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
        server.bind((here, 0))
        for level, name in options:
            server.setsockopt(level, name, 1)
        try:
            client.sendmsg([b"text"], items, 0, (target or here, server.getsockname()[1]))
        except OSError as error:
            return code(error)
        data, control, flags, sender = server.recvmsg(100, 1000)
        return [data.decode(), [[level, kind, content.hex()] for level, kind, content in control], flags, sender[0]]


def control_messages_of_datagrams() -> Seen:
    """TTL, TOS, source and interface of one datagram: right, wrong, too long, of the other protocol, unknown."""
    ip, v6, number = socket.IPPROTO_IP, socket.IPPROTO_IPV6, struct.Struct("=i").pack
    ttl, tos, pktinfo, hops, tclass, info, whole = 2, 1, 8, 52, 67, 50, 62
    asked_v4 = ((ip, 12), (ip, 13), (ip, pktinfo))
    asked_v6 = ((v6, socket.IPV6_RECVHOPLIMIT), (v6, socket.IPV6_RECVTCLASS), (v6, socket.IPV6_RECVPKTINFO))
    v4_items = (
        [], [(ip, ttl, number(9))], [(ip, ttl, number(0))], [(ip, ttl, number(256))], [(ip, ttl, b"x")],
        [(ip, tos, number(8))], [(ip, tos, b"\x10")], [(ip, tos, number(-1))], [(ip, 99, number(1))],
        [(v6, hops, number(7))], [(1, 1, b"")], [(1, 77, b"")], [(17, 1, number(1))],
        [(ip, pktinfo, number(1) + bytes(8))], [(ip, pktinfo, number(77) + bytes(8))], [(ip, pktinfo, number(0))],
        [(ip, pktinfo, number(0) + socket.inet_aton("127.0.0.9") + bytes(4))],
        [(ip, pktinfo, number(0) + socket.inet_aton("192.0.2.1") + bytes(4))],
    )  # fmt: skip
    lo, mapped, other = (socket.inet_pton(socket.AF_INET6, text) for text in ("::1", "::ffff:127.0.0.9", "2001:db8::1"))
    v6_items = (
        [], [(v6, hops, number(2))], [(v6, hops, number(-1))], [(v6, hops, number(256))], [(v6, hops, number(-2))],
        [(v6, hops, number(2) + b"\0")], [(v6, tclass, number(33))], [(v6, tclass, number(-1)), (v6, hops, number(3))],
        [(v6, tclass, number(256))], [(v6, 99, number(1))], [(ip, ttl, number(9))], [(v6, whole, number(1))],
        [(v6, whole, number(2))], [(v6, info, lo + number(0))], [(v6, info, lo + number(1))],
        [(v6, info, lo + number(55))], [(v6, info, other + number(0))], [(v6, info, bytes(16) + number(1))],
        [(v6, info, mapped + number(0))], [(v6, info, lo)],
    )  # fmt: skip
    mapped_items = ([(v6, info, mapped + number(0))], [(v6, info, lo + number(0))], [(v6, hops, number(3))], *v4_items)
    inet, inet6 = socket.AF_INET, socket.AF_INET6
    seen = [_datagram_with(inet, asked_v4, items, "127.0.0.1") for items in v4_items]
    seen += [_datagram_with(inet6, asked_v6, items, "::1") for items in v6_items]
    seen += [_datagram_with(inet6, asked_v6 + asked_v4, items, "::", "::ffff:127.0.0.1") for items in mapped_items]
    return seen


def urgent_data() -> Seen:
    """MSG_OOB, with SO_OOBINLINE and without: what is read, what poll(2), select(2), FIONREAD and SIOCATMARK say."""
    oob, peek = socket.MSG_OOB, socket.MSG_PEEK
    seen: Seen = []

    def tell(call: Any, *arguments: Any) -> None:
        try:
            seen.append(repr(call(*arguments)))
        except OSError as error:
            seen.append(code(error))

    def state(sock: socket.socket, urgent: bool = True) -> None:
        """What is true of a socket once the data are there."""
        select.select([] if urgent else [sock], [], [sock] if urgent else [], 1)
        poller = select.poll()
        poller.register(sock, select.POLLIN | select.POLLPRI | select.POLLRDNORM | select.POLLRDBAND)
        asked = [struct.unpack("i", fcntl.ioctl(sock, number, bytes(4)))[0] for number in (termios.FIONREAD, 0x8905)]
        sets = [len(found) for found in select.select([sock], [], [sock], 0)]
        seen.append([[events for _, events in poller.poll(0)], sets, asked])

    for inline in (0, 1):
        with socket.create_server((HERE, 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            sock, _ = listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, inline)
        tell(sock.recv, 1, oob)
        client.send(b"abc")
        state(sock, urgent=False)
        tell(sock.recv, 1, oob)
        client.send(b"d", oob)
        state(sock)
        for length, flags in ((5, oob | peek), (0, oob | peek), (10, peek), (10, 0), (10, peek), (10, 0), (1, oob)):
            tell(sock.recv, length, flags)
        client.send(b"xyz", oob)
        client.send(b"123")
        state(sock)
        for length, flags in ((1, oob), (1, oob), (10, 0), (1, 0), (10, 0)):
            tell(sock.recv, length, flags)
        client.send(b"u", oob)
        client.send(b"v", oob)
        client.send(b"w")
        state(sock)
        for length, flags in ((10, 0), (1, oob), (10, 0)):
            tell(sock.recv, length, flags)
        client.send(b"ab", oob)
        client.shutdown(socket.SHUT_WR)
        state(sock)
        tell(sock.recvmsg, 1, 0, oob)
        for length, flags in ((10, 0), (10, peek), (10, 0), (1, oob)):
            tell(sock.recv, length, flags)
        client.close()
        sock.close()
    for lonely in (socket.create_server((HERE, 0)), socket.socket()):
        tell(lonely.recv, 1, oob)
        tell(lonely.send, b"x", oob)
        tell(fcntl.ioctl, lonely, 0x8905, bytes(4))
        lonely.close()
    return seen


FUNCTIONS = (
    echo_by_threads, closing_a_socket_in_another_thread, two_threads_accept, a_server_by_select,
    a_server_by_selectors, timeouts, files_of_a_socket, descriptors, unix_sockets, a_listener_that_is_gone,
    datagrams_there_and_back, poll_of_many_kinds, control_messages_of_datagrams,
    urgent_data,
)  # fmt: skip
