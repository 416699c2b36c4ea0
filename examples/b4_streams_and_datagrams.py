"""A stream is a row of bytes; datagrams are separate, and each comes whole, cut or not at all.

Three small sends over TCP may be read in one go, and what does not fit the buffer waits for the next recv(). Over UDP
every recv() takes one datagram, and what does not fit its buffer is lost.
"""

import socket

with socket.create_server(("127.0.0.1", 8080)) as listener:
    client = socket.create_connection(("127.0.0.1", 8080))
    server, _ = listener.accept()
    for word in (b"one ", b"two ", b"three"):
        client.sendall(word)
    client.shutdown(socket.SHUT_WR)
    print("stream:", server.recv(6), server.recv(100, socket.MSG_WAITALL), server.recv(100))
    client.close()
    server.close()

receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 8080))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for word in (b"one ", b"two ", b"", b"three", b"four"):
    sender.sendto(word, receiver.getsockname())
print("datagrams:", receiver.recv(100), receiver.recv(2), receiver.recv(100))
data, _, flags, _ = receiver.recvmsg(2)
print("cut short:", data, "and MSG_TRUNC says so:", bool(flags & socket.MSG_TRUNC))
print("the rest of it is lost:", receiver.recv(100))
sender.close()
receiver.close()
