import asyncio
import threading

import websockets
from websockets.sync.client import connect
from websockets.sync.server import serve


async def main():
    async def echo(socket):
        async for message in socket:
            await socket.send(message[::-1])

    async with websockets.serve(echo, "127.0.0.1", 8765), websockets.connect("ws://127.0.0.1:8765") as socket:
        await socket.send("hello")
        print(await socket.recv())


asyncio.run(main())


def double(socket):
    for message in socket:
        socket.send(message * 2)


with serve(double, "127.0.0.1", 8766) as server:
    threading.Thread(target=server.serve_forever).start()
    with connect("ws://127.0.0.1:8766") as socket:
        socket.send("ab")
        print(socket.recv())
    server.shutdown()
