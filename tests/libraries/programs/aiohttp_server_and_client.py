import asyncio

import aiohttp
from aiohttp import web


async def main():
    async def hello(request):
        return web.json_response({"path": request.path})

    async def shout(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket

    app = web.Application()
    app.router.add_get("/ws", shout)
    app.router.add_get("/{name}", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 8080).start()
    async with aiohttp.ClientSession() as session:
        async with session.get("http://127.0.0.1:8080/a") as response:
            print(response.status, await response.json())
        async with session.ws_connect("http://127.0.0.1:8080/ws") as socket:
            await socket.send_str("hi")
            print(await socket.receive_str())
    await runner.cleanup()


asyncio.run(main())
