import trio


async def shout(stream):
    async for data in stream:
        await stream.send_all(data.upper())


async def main():
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_tcp, shout, 9000)
        stream = await trio.open_tcp_stream("127.0.0.1", 9000)
        await stream.send_all(b"abc")
        print(await stream.receive_some())
        await stream.aclose()
        nursery.cancel_scope.cancel()


trio.run(main)
