"""What the compiled build is trained with (`hatch_build.py`): a bit of everything that programs do often.

These are not the programs that are measured.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
import threading
from collections.abc import Callable

from portside import Network

SIZES = (1, 20, 300, 5_000, 40_000)


def accept(port: int, family: int, serve: Callable[[socket.socket], None], count: int) -> None:
    """Serve `count` connections, each in a thread."""
    with socket.create_server(("", port), family=family) as listener:
        threads = []
        for _ in range(count):
            connection, _ = listener.accept()
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()
        for thread in threads:
            thread.join()


def reverse(connection: socket.socket) -> None:
    """Answer each line with its reverse."""
    with connection, connection.makefile("rwb") as stream:
        for line in stream:
            stream.write(line.strip()[::-1] + b"\n")
            stream.flush()


def ask(place: tuple[str, int], lines: int) -> None:
    """Have lines of every size reversed."""
    with socket.create_connection(place) as connection, connection.makefile("rwb") as stream:
        for number in range(lines):
            stream.write(b"a" * SIZES[number % len(SIZES)] + b"\n")
            stream.flush()
            stream.readline()


def refused(place: tuple[str, int]) -> None:
    """Connect where nobody listens."""
    with socket.socket() as connection:
        connection.connect_ex(place)


def datagrams(place: tuple[str, int], count: int) -> None:
    """Ask a datagram server, connected and not."""
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
        other.connect(place)
        for number in range(count):
            one.sendto(b"?" * (number % 2_000), place)
            one.recvfrom(2_000)
            other.send(b"!")
            other.recv(2_000)


def answer_datagrams(port: int) -> None:
    """Send each datagram back, for ever."""
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("", port))
        while True:
            data, peer = server.recvfrom(2_000)
            server.sendto(data, peer)


def select_loop(port: int, count: int) -> None:
    """Serve `count` connections by a selector."""
    left = count
    with selectors.DefaultSelector() as selector, socket.create_server(("", port)) as listener:
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
        while left:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    selector.register(connection, selectors.EVENT_READ)
                    continue
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                data = ready.recv(4_096)
                if data:
                    ready.send(data)
                else:
                    selector.unregister(ready)
                    ready.close()
                    left -= 1


def poll_client(place: tuple[str, int], count: int) -> None:
    """Talk as one that never blocks does."""
    for _ in range(count):
        with socket.create_connection(place) as connection:
            connection.setblocking(False)
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            for size in SIZES[:3]:
                connection.send(b"b" * size)
                got = 0
                while got < size:
                    poll.poll()
                    got += len(connection.recv(4_096))


async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that reads lines, and then all that comes."""
    for _ in SIZES:
        line = await reader.readline()
        writer.write(line.upper())
        await writer.drain()
    rest = await reader.read()
    writer.write(str(len(rest)).encode())
    writer.close()
    await writer.wait_closed()


async def stream_client(place: tuple[str, int], pause: float) -> None:
    """A client that pauses, asks, and then sends more than fits."""
    reader, writer = await asyncio.open_connection(*place)
    for size in SIZES:
        await asyncio.sleep(pause)
        writer.write(b"c" * size + b"\n")
        await reader.readline()
    for _ in range(5):
        writer.write(b"d" * 100_000)
        await writer.drain()
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def many_streams(count: int) -> None:
    """Clients one after the other, and all at once."""
    async with await asyncio.start_server(stream, "127.0.0.1", 0, limit=1 << 17, backlog=count) as server:
        place = server.sockets[0].getsockname()
        for _ in range(count):
            await stream_client(place, 0)
        await asyncio.gather(*(stream_client(place, number % 3 / 1000) for number in range(count)))


def main() -> None:
    """Run all, on one host and between two with a link between."""
    for there in ("127.0.0.1", "10.0.0.1"):
        network = Network(seed=1)
        server = network.host("server", "10.0.0.1/24", sysctls={"net.core.somaxconn": 4096})
        client = server if there == "127.0.0.1" else network.host("client", "10.0.0.2/24")
        server.spawn(accept, 1, socket.AF_INET, reverse, 102)
        server.spawn(accept, 2, socket.AF_INET6, reverse, 30)
        server.spawn(answer_datagrams, 3, background=True)
        server.spawn(select_loop, 4, 100)
        for place, lines, times in ((there, 500, 2), (there, 1, 100)):
            for _ in range(times):
                client.spawn(ask, (place, 1), lines, start=1)
        for _ in range(30):
            server.spawn(ask, ("::1", 2), 5, start=2)
            client.spawn(refused, (there, 9), start=2)
        client.spawn(datagrams, (there, 3), 500, start=1)
        client.spawn(poll_client, (there, 4), 100, start=1)
        server.spawn(lambda: asyncio.run(many_streams(200)), start=3)
        network.run()


if __name__ == "__main__":
    main()
