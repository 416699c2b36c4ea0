import asyncio
import socket
import threading
import time

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

listener = socket.create_server(("127.0.0.1", 9000))


def serve():
    with listener.accept()[0] as connection:
        connection.sendall(b"hello")


def ask(connection):
    with socket.create_connection(listener.getsockname()) as client:
        return client.recv(100)


async def main():
    threading.Thread(target=serve).start()
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.begin() as connection:
        print(await connection.run_sync(ask))  # in a greenlet of SQLAlchemy's
        begun = time.monotonic()
        await connection.run_sync(lambda _: time.sleep(0.1))
        rows = await connection.execute(text("values (1), (2), (3)"))
        print(list(rows.scalars()), 0.1 <= time.monotonic() - begun < 1)
    await engine.dispose()


asyncio.run(main())
