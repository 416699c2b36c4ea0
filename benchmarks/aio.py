"""The asyncio programs that are measured: streams, as a user would write them.

Each takes its number of operations, and runs unchanged on every side: a loop of asyncio, of uvloop or of a simulator.
"""

from __future__ import annotations

import asyncio
import resource
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable

HOST, PORT = "127.0.0.1", 8000
MESSAGE = b"x" * 64
CHUNK = b"x" * 65536

Handler = Callable[[StreamReader, StreamWriter], Awaitable[None]]


async def _answer(reader: StreamReader, writer: StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _swallow(reader: StreamReader, writer: StreamWriter) -> None:
    while await reader.read(262144):
        pass
    writer.write(b"done")
    writer.close()


async def _converse(rounds: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, PORT)
    for _ in range(rounds):
        writer.write(MESSAGE)
        await reader.readexactly(len(MESSAGE))
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def _with_server(handler: Handler, work: Awaitable[object], backlog: int = 100) -> None:
    server = await asyncio.start_server(handler, HOST, PORT, backlog=backlog)
    await work
    server.close()
    await server.wait_closed()


async def echo(count: int) -> None:
    """One connection, `count` round trips of 64 bytes."""
    await _with_server(_answer, _converse(count))


async def connect(count: int) -> None:
    """`count` times: connect, 64 bytes there and back, close in order."""

    async def work() -> None:
        for _ in range(count):
            await _converse(1)

    await _with_server(_answer, work())


async def bulk(count: int) -> None:
    """One connection, `count` times 64 KiB one way, and an answer to all of it."""

    async def work() -> None:
        reader, writer = await asyncio.open_connection(HOST, PORT)
        for _ in range(count):
            writer.write(CHUNK)
            await writer.drain()
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()

    await _with_server(_swallow, work())


async def clients(count: int) -> None:
    """`count` clients at once, each with ten round trips of 64 bytes."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def work() -> None:
        await asyncio.gather(*(_converse(10) for _ in range(count)))

    await _with_server(_answer, work(), backlog=count)


PROGRAMS = {"echo": (echo, 10_000), "connect": (connect, 1_000), "bulk": (bulk, 2_000), "clients": (clients, 1_000)}
