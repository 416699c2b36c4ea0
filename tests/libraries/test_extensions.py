"""Libraries with sockets of their own, in C: each is refused by name when a simulated program begins to use it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.libraries.needed import skip_without

PROGRAMS = {
    "uvloop": "import asyncio, uvloop; uvloop.run(asyncio.sleep(0))",
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "pycurl": "import pycurl; pycurl.Curl()",
    "pycares": "import aiodns; aiodns.DNSResolver()",
    "grpc": "import grpc; grpc.insecure_channel('127.0.0.1:9')",
    "zmq": "import zmq; zmq.Context()",
    "psycopg2": "import psycopg2; psycopg2.connect('host=127.0.0.1 port=9')",
    "psycopg": "import psycopg; psycopg.connect('host=127.0.0.1 port=9')",
    "confluent_kafka": "import confluent_kafka as k; k.Producer({'bootstrap.servers': '127.0.0.1:9'})",
    "OpenSSL": (
        "import socket; from OpenSSL import SSL; SSL.Connection(SSL.Context(SSL.TLS_METHOD), socket.socket())"
    ),
}

# They are imported before the world begins, as by a test that has them at its top.
BEFORE = """
import sys
from portside import Network
{imports}
use = sys.argv[1]
network = Network(quiet=True)
program = network.host("here").spawn(lambda: exec(use), check=False)
network.run()
print(type(program.exception).__name__, program.exception.call)
"""
USED = {
    "uvloop": ("import uvloop", "uvloop.new_event_loop()", "EscapeError uvloop"),
    "gevent": ("import gevent", "gevent.sleep(0)", "EscapeError gevent"),
    "pycurl": ("import pycurl", "pycurl.Curl()", "EscapeError pycurl"),
    "pycares": ("import pycares", "pycares.Channel()", "EscapeError pycares.Channel"),
    "grpc": ("import grpc; from concurrent.futures import ThreadPoolExecutor", "grpc.server(ThreadPoolExecutor())",
             "EscapeError a server of grpc"),
}  # fmt: skip


@pytest.mark.parametrize("library", PROGRAMS)
def test_it_is_refused_by_name(library):
    skip_without(library)
    done = subprocess.run(
        [sys.executable, "-m", "portside", "run", "-c", PROGRAMS[library]],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert "Escape" in last.partition(":")[0]
    assert library in last
    assert " would leave the simulated world: " in last


@pytest.mark.parametrize("library", USED)
def test_it_is_refused_when_it_was_imported_before(library):
    skip_without(library)
    imports, use, error = USED[library]
    done = subprocess.run(
        [sys.executable, "-c", BEFORE.format(imports=imports), use],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{error}\n", "")
