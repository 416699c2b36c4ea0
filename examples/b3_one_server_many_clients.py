"""One server port serves many clients: a connection is named by both ends, not by the server's port.

usage: b3_one_server_many_clients.py [CLIENTS]

Clients with the same address differ by their port, others by their address. The server has one socket that listens and
one for each connection, all with the same local port; the kernel's table shows a LISTEN row and a row for each
connection, and for each of these its mirror image, the client's.
"""

import socket
import sys
import threading

CLIENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
ESTABLISHED, LISTEN = "01", "0A"


def serve(connection):
    name = connection.recv(100)
    connection.sendall(b"you are " + name)
    connection.recv(1)
    connection.close()


def server(listener):
    for _ in range(CLIENTS):
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,)).start()


def rows(port):
    """Rows of /proc/net/tcp about a port: how many listen, are the server's, are the clients'."""
    listening = ours = theirs = 0
    with open("/proc/net/tcp") as table:
        next(table)
        for line in table:
            _, local, remote, state, *_ = line.split()
            listening += local.endswith(f":{port:04X}") and state == LISTEN
            ours += local.endswith(f":{port:04X}") and state == ESTABLISHED
            theirs += remote.endswith(f":{port:04X}") and state == ESTABLISHED
    return listening, ours, theirs


listener = socket.create_server(("127.0.0.1", 8080), backlog=CLIENTS)
accepting = threading.Thread(target=server, args=(listener,))
accepting.start()

clients = []
for number in range(CLIENTS):
    source = "127.0.0.1" if number % 2 else f"127.0.1.{number % 200 + 1}"
    clients.append(socket.create_connection(("127.0.0.1", 8080), source_address=(source, 0)))
accepting.join()
for number, client in enumerate(clients):
    client.sendall(b"client %d" % number)
answers = [client.recv(100) for client in clients]
print("each got its own answer:", answers == [b"you are client %d" % number for number in range(CLIENTS)])
names = {client.getsockname() for client in clients}
print(CLIENTS, "clients have", len(names), "names and talk to", {client.getpeername() for client in clients})
print("rows that listen, of the server, of the clients:", rows(8080))
for client in clients:
    client.close()
listener.close()
