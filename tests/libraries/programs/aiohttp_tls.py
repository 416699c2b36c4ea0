import asyncio
import ssl
from pathlib import Path

import aiohttp
from aiohttp import web

CERTIFICATES = Path(__file__).parents[2] / "runtime" / "certificates"
theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
theirs.load_cert_chain(CERTIFICATES / "localhost.pem")
mine = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")


async def hello(request):
    return web.json_response({"scheme": request.scheme, "length": len(await request.read())})


async def shout(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data.upper())
    return socket


async def main():
    app = web.Application()
    app.router.add_get("/ws", shout)
    app.router.add_post("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 8443, ssl_context=theirs).start()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=mine)) as session:
        async with session.post("https://localhost:8443/", data=b"x" * 200_000) as response:
            print(response.status, await response.json())
        async with session.ws_connect("wss://localhost:8443/ws") as socket:
            await socket.send_str("hi")
            print(await socket.receive_str())
    async with aiohttp.ClientSession() as stranger:
        try:
            await stranger.post("https://localhost:8443/")
        except aiohttp.ClientConnectorCertificateError as error:
            print(error.certificate_error.verify_message)
    await runner.cleanup()


asyncio.run(main())
