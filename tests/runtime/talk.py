# ruff: noqa: E501 - a program stands in here as it is
"""What the programs share that talk by asyncio's connections, for real and simulated."""

from __future__ import annotations

TALK = '''
import asyncio, errno, gc, os, resource, socket, sys, warnings

class Told(asyncio.Protocol):
    """Prints what it is told."""
    def __init__(self, name, answers=None, keep=False):
        self.name, self.answers, self.keep = name, answers, keep
        self.lost = asyncio.get_running_loop().create_future()
        self.made = asyncio.get_running_loop().create_future()
        self.got = b""
        self.ended = False
    def connection_made(self, transport):
        self.transport = transport
        print(self.name, "made", type(transport).__name__)
        self.made.set_result(transport)
    def data_received(self, data):
        self.got += data
        print(self.name, "data", data[:20], len(data) if len(data) < 1000 else "many")
        if self.answers:
            self.transport.write(self.answers)
    def eof_received(self):
        print(self.name, "eof")
        self.ended = True
        return self.keep
    def connection_lost(self, error):
        print(self.name, "lost", repr(error))
        self.lost.set_result(None)

async def pair(server=Told, client=Told, server_args=(), client_args=()):
    loop = asyncio.get_running_loop()
    made = []
    def factory():
        made.append(server("server", *server_args))
        return made[-1]
    listening = await loop.create_server(factory, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    transport, protocol = await loop.create_connection(lambda: client("client", *client_args), "127.0.0.1", port)
    await until(lambda: made)
    await made[0].made
    return listening, transport, protocol, made[0]

async def end(listening, transport, *protocols):
    transport.close()
    for protocol in protocols:
        await protocol.lost
    listening.close()

async def until(happened):
    """Wait for what comes, however long it takes."""
    while not happened():
        await asyncio.sleep(0.001)

def handler(loop, context):
    error = context.get("exception")
    print("handler", context["message"].split(" at 0x")[0], repr(error), sorted(set(context) - {"message", "exception"}))

def run(main):
    async def started():
        asyncio.get_running_loop().set_exception_handler(handler)
        await main()
    asyncio.run(started())

def tell(call, *args):
    try:
        print(repr(call(*args)))
    except BaseException as error:
        print(type(error).__name__, error)
'''
