import http.server
import ssl
import threading
import urllib.error
import urllib.request
from pathlib import Path

import requests

CERTIFICATES = Path(__file__).parents[2] / "runtime" / "certificates"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.connection.getpeercert()["subject"][0][0][1]
        body = f"{self.connection.version()} hello {name}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass


theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=CERTIFICATES / "ca.pem")
theirs.verify_mode = ssl.CERT_REQUIRED
theirs.load_cert_chain(CERTIFICATES / "localhost.pem")
server = Server(("", 8443), Handler)
server.socket = theirs.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=server.serve_forever, daemon=True).start()

mine = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")
mine.load_cert_chain(CERTIFICATES / "client.pem")
print(urllib.request.urlopen("https://localhost:8443/", context=mine).read())
try:
    urllib.request.urlopen("https://localhost:8443/")
except urllib.error.URLError as error:
    print(error.reason.verify_message)
with requests.Session() as session:
    session.trust_env = False  # REQUESTS_CA_BUNDLE would win
    session.verify, session.cert = str(CERTIFICATES / "ca.pem"), str(CERTIFICATES / "client.pem")
    print([session.get(f"https://{name}:8443/").text for name in ("localhost", "127.0.0.1")])
    try:
        session.get("https://127.0.0.2:8443/")
    except requests.exceptions.SSLError as error:
        print("IP address mismatch" in str(error))
server.shutdown()
