import logging
import threading

import requests
from flask import Flask, request
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
app = Flask(__name__)


@app.route("/<name>", methods=["GET", "POST"])
def home(name):
    return {"name": name, "method": request.method, "data": request.get_data(as_text=True)}


server = make_server("127.0.0.1", 5000, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(requests.get("http://127.0.0.1:5000/x").json())
print(requests.post("http://127.0.0.1:5000/y", data="abc").json())
server.shutdown()
