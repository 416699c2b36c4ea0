import socketserver
import threading

import redis

STORE = {}


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
        if command == b"PING":
            return b"+PONG\r\n"
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


server = Server(("127.0.0.1", 6379), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = redis.Redis(protocol=2)
client.set("a", "1")
print(client.get("a"), client.get("b"), client.ping())
server.shutdown()
