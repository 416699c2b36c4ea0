import ssl
from pathlib import Path

import trio

CERTIFICATES = Path(__file__).parents[2] / "runtime" / "certificates"
theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
theirs.load_cert_chain(CERTIFICATES / "localhost.pem")
mine = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")


async def shout(stream):
    try:
        async for data in stream:
            await stream.send_all(data.upper())
    except trio.BrokenResourceError as error:
        print("server:", error.__cause__.reason)


async def main():
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_ssl_over_tcp, shout, 9000, theirs)
        stream = await trio.open_ssl_over_tcp_stream("localhost", 9000, ssl_context=mine)
        await stream.send_all(b"abc")
        print(await stream.receive_some())
        await stream.aclose()
        stranger = await trio.open_ssl_over_tcp_stream("localhost", 9000)
        try:
            await stranger.do_handshake()
        except trio.BrokenResourceError as error:
            print(error.__cause__.verify_message)
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()


trio.run(main)
