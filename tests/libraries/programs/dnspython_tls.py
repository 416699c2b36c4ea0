import ipaddress
import socketserver
import ssl
import struct
import threading
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.resolver
import dns.rrset

CERTIFICATES = Path(__file__).parents[2] / "runtime" / "certificates"
theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
theirs.load_cert_chain(CERTIFICATES / "localhost.pem")
mine = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")


def answer(wire, addresses=100):
    answer = dns.message.make_response(dns.message.from_wire(wire))
    answer.flags |= dns.flags.RA
    first = ipaddress.ip_address("10.1.0.0")
    texts = [str(first + number) for number in range(addresses)]
    answer.answer.append(dns.rrset.from_text_list(answer.question[0].name, 300, "IN", "A", texts))
    if not addresses:
        answer.flags |= dns.flags.TC
    return answer.to_wire()


class Datagrams(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(answer(data, 0), self.client_address)


class Streams(socketserver.StreamRequestHandler):
    def handle(self):
        while head := self.rfile.read(2):
            wire = answer(self.rfile.read(*struct.unpack("!H", head)))
            self.wfile.write(struct.pack("!H", len(wire)) + wire)


class Tls(socketserver.ThreadingTCPServer):
    def get_request(self):
        connection, peer = super().get_request()
        return theirs.wrap_socket(connection, server_side=True), peer


servers = [
    socketserver.UDPServer(("127.0.0.1", 53), Datagrams),
    socketserver.ThreadingTCPServer(("127.0.0.1", 53), Streams),
    Tls(("127.0.0.1", 853), Streams),
]
for server in servers:
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()

resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = ["127.0.0.1"]
print(len(resolver.resolve("example.org")))  # truncated over UDP, and asked again over TCP
query = dns.message.make_query("example.org", "A")
(found,) = dns.query.tls(query, "127.0.0.1", ssl_context=mine, server_hostname="localhost").answer
print(max(found))
for server in servers:
    server.shutdown()
