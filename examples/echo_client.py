"""The echo server's client: socket, connect, send and recv, close.

usage: echo_client.py [ADDRESS [PORT]]

A stream has no boundaries: what is sent in one piece may come back in several, so the client reads until it
has all. The kernel picks the client's port by itself, from the ephemeral range.
"""

import socket
import sys


def main(address="127.0.0.1", port="7000"):
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.connect((address, int(port)))
    print("connected to", client.getpeername(), "from the ephemeral range:", client.getsockname()[1] >= 32768)
    for message in (b"hello", b"x" * 100_000):
        client.sendall(message)
        answer = b""
        while len(answer) < len(message):
            answer += client.recv(65536)
        print("echo of", len(message), "bytes is the same:", answer == message)
    client.close()


main(*sys.argv[1:])
