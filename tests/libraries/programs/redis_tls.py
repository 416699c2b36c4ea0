import asyncio
import socketserver
import ssl
import threading
from pathlib import Path

import redis
import redis.asyncio

CERTIFICATES = Path(__file__).parents[2] / "runtime" / "certificates"
STORE = {}
theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
theirs.load_cert_chain(CERTIFICATES / "localhost.pem")


class Handler(socketserver.StreamRequestHandler):
    def words(self):
        line = self.rfile.readline()
        found = []
        for _ in range(int(line[1:]) if line else 0):
            length = int(self.rfile.readline()[1:])
            found.append(self.rfile.read(length))
            self.rfile.readline()
        return found

    def handle(self):
        while words := self.words():
            self.wfile.write(self.answer(*words))

    def answer(self, command, *words):
        if command == b"SET":
            STORE[words[0]] = words[1]
            return b"+OK\r\n"
        if command == b"GET":
            value = STORE.get(words[0])
            return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)
        return b"+OK\r\n" if command == b"CLIENT" else b"-ERR unknown command\r\n"


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def get_request(self):
        connection, peer = super().get_request()
        return theirs.wrap_socket(connection, server_side=True), peer


server = Server(("127.0.0.1", 6379), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
with redis.Redis(protocol=2, ssl=True, ssl_ca_certs=str(CERTIFICATES / "ca.pem")) as client:
    client.set("a", "1" * 100_000)
    print(len(client.get("a")), client.get("b"))
try:
    redis.Redis(protocol=2, ssl=True).get("a")
except redis.ConnectionError as error:
    print(str(error).partition(" (_ssl.c")[0])


async def ask():
    async with redis.asyncio.from_url(
        f"rediss://localhost?ssl_ca_certs={CERTIFICATES / 'ca.pem'}", protocol=2
    ) as client:
        await client.set("c", "2")
        print(await asyncio.gather(*(client.get("c") for _ in range(3))))


asyncio.run(ask())
server.shutdown()
