"""A port of TCP and a port of UDP are two different things.

Two programs (here two threads) hold port 8080 of one host at the same time, one with SOCK_STREAM, one with
SOCK_DGRAM. A connection reaches the one, a datagram the other. accept() gives a new socket: it has the listener's port,
and its peer is the port that the kernel picked for the client. With the TCP program gone, nobody listens: the
connection is refused, while the UDP program goes on.
"""

import socket
import threading

HERE = ("127.0.0.1", 8080)


def tcp_program(listener):
    accepted = listener.accept()
    print("accept gave", accepted)
    connection, _ = accepted
    print("over TCP came", connection.recv(100))
    connection.close()
    listener.close()


def udp_program(sock):
    for _ in range(2):
        data, peer = sock.recvfrom(100)
        print("over UDP came", data)
        sock.sendto(b"seen", peer)


stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
stream.bind(HERE)
stream.listen()
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagram.bind(HERE)
print("both hold", stream.getsockname(), "and", datagram.getsockname())

tcp = threading.Thread(target=tcp_program, args=(stream,))
tcp.start()
client = socket.create_connection(HERE)
client.sendall(b"a stream")
tcp.join()
client.close()

udp = threading.Thread(target=udp_program, args=(datagram,))
udp.start()
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.sendto(b"a datagram", HERE)
sender.recv(100)

try:
    socket.create_connection(HERE)
except OSError as error:
    print("the TCP program is gone:", error)
sender.sendto(b"another", HERE)
sender.recv(100)
udp.join()
sender.close()
datagram.close()
