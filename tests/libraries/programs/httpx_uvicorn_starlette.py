import asyncio
import threading
import time

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def home(request):
    return JSONResponse(dict(request.query_params))


app = Starlette(routes=[Route("/", home)])
server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=8000, log_level="warning"))
thread = threading.Thread(target=server.run)
thread.start()
while not server.started:
    time.sleep(0.1)
print(httpx.get("http://127.0.0.1:8000/?a=1").json())


async def ask():
    async with httpx.AsyncClient() as client:
        answers = await asyncio.gather(*(client.get("http://127.0.0.1:8000/", params={"i": i}) for i in range(3)))
        print([answer.json() for answer in answers])


asyncio.run(ask())
server.should_exit = True
thread.join()
