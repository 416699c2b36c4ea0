import asyncio
import ssl
import threading
import time
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

CERTIFICATES = Path(__file__).parents[2] / "runtime" / "certificates"
mine = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")


async def home(request):
    return JSONResponse({"scheme": request.url.scheme, **request.query_params})


app = Starlette(routes=[Route("/", home)])
config = uvicorn.Config(
    app, host="127.0.0.1", port=8443, log_level="warning", ssl_certfile=CERTIFICATES / "localhost.pem"
)
server = uvicorn.Server(config)
thread = threading.Thread(target=server.run)
thread.start()
while not server.started:
    time.sleep(0.1)
print(httpx.get("https://localhost:8443/?a=1", verify=mine).json())
try:
    httpx.get("https://localhost:8443/")
except httpx.ConnectError as error:
    print("unable to get local issuer certificate" in str(error))


async def ask():
    async with httpx.AsyncClient(verify=mine) as client:
        answers = await asyncio.gather(*(client.get("https://localhost:8443/", params={"i": i}) for i in range(3)))
        print([answer.json()["i"] for answer in answers])


asyncio.run(ask())
server.should_exit = True
thread.join()
