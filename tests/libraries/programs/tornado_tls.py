import asyncio
import logging
import ssl
from pathlib import Path

import tornado.httpclient
import tornado.httpserver
import tornado.tcpclient
import tornado.tcpserver
import tornado.web

logging.getLogger("tornado.general").setLevel(logging.ERROR)
CERTIFICATES = Path(__file__).parents[2] / "runtime" / "certificates"
theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
theirs.load_cert_chain(CERTIFICATES / "localhost.pem")
mine = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")


class Main(tornado.web.RequestHandler):
    def post(self):
        self.write({"protocol": self.request.protocol, "length": len(self.request.body)})


class Echo(tornado.tcpserver.TCPServer):
    async def handle_stream(self, stream, address):
        await stream.write(await stream.read_until(b"\n"))
        stream.close()


async def main():
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/.*", Main)]), ssl_options=theirs)
    server.listen(8888, "127.0.0.1")
    client = tornado.httpclient.AsyncHTTPClient()
    url, body = "https://localhost:8888/z", b"x" * 100_000
    print((await client.fetch(url, method="POST", body=body, ca_certs=str(CERTIFICATES / "ca.pem"))).body)
    try:
        await client.fetch(url)
    except ssl.SSLCertVerificationError as error:
        print(error.verify_message)
    server.stop()

    echo = Echo(ssl_options=theirs)
    echo.listen(8889, "127.0.0.1")
    stream = await tornado.tcpclient.TCPClient().connect("localhost", 8889, ssl_options=mine)
    await stream.write(b"line\n")
    print(await stream.read_until_close())
    echo.stop()


asyncio.run(main())
