import logging
import threading
import time
from pathlib import Path

import flask.cli
import requests
from flask import Flask, request

CERTIFICATES = Path(__file__).parents[2] / "runtime" / "certificates"
logging.getLogger("werkzeug").setLevel(logging.ERROR)
flask.cli.show_server_banner = lambda *_: None
app = Flask(__name__)


@app.route("/<name>", methods=["GET", "POST"])
def home(name):
    return {"name": name, "scheme": request.scheme, "length": len(request.get_data())}


localhost = CERTIFICATES / "localhost.pem"
threading.Thread(
    target=app.run, args=("127.0.0.1", 5000), kwargs={"ssl_context": (localhost, localhost)}, daemon=True
).start()
time.sleep(1)
with requests.Session() as session:
    session.trust_env = False  # REQUESTS_CA_BUNDLE would win
    session.verify = str(CERTIFICATES / "ca.pem")
    print(session.get("https://localhost:5000/x").json())
    print(session.post("https://localhost:5000/y", data=b"x" * 100_000).json())
