"""An echo server: socket, bind, listen, accept, recv and send, close.

usage: echo_server.py [ADDRESS [PORT [CONNECTIONS]]]

It serves one connection after the other, five more may wait (the backlog), and it ends after CONNECTIONS of them.
SO_REUSEADDR lets it start again while connections of its last run are in TIME-WAIT.
"""

import socket
import sys


def main(address="127.0.0.1", port="7000", connections="1"):
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, int(port)))
    server.listen(5)
    print("listening on", server.getsockname(), flush=True)
    for _ in range(int(connections)):
        connection, peer = server.accept()
        print("connection from", peer[0], flush=True)
        total = 0
        while data := connection.recv(4096):
            connection.sendall(data)
            total += len(data)
        print("the client has closed after", total, "bytes", flush=True)
        connection.close()
    server.close()


main(*sys.argv[1:])
