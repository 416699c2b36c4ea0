import asyncio
import ssl
import threading
from pathlib import Path

import websockets
from websockets.sync.client import connect
from websockets.sync.server import serve

CERTIFICATES = Path(__file__).parents[2] / "runtime" / "certificates"
theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
theirs.load_cert_chain(CERTIFICATES / "localhost.pem")
mine = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")


async def main():
    async def echo(socket):
        async for message in socket:
            await socket.send(message[::-1])

    async with websockets.serve(echo, "127.0.0.1", 8765, ssl=theirs):
        async with websockets.connect("wss://localhost:8765", ssl=mine) as socket:
            await socket.send("hello")
            print(await socket.recv())
        try:
            await websockets.connect("wss://localhost:8765")
        except ssl.SSLCertVerificationError as error:
            print(error.verify_message)


asyncio.run(main())


def double(socket):
    for message in socket:
        socket.send(message * 2)


with serve(double, "127.0.0.1", 8766, ssl=theirs) as server:
    threading.Thread(target=server.serve_forever).start()
    with connect("wss://localhost:8766", ssl=mine) as socket:
        socket.send("ab")
        print(socket.recv())
    server.shutdown()
