"""With IPV6_V6ONLY the socket on :: leaves IPv4 alone, and both may listen on one port.

This is how a server such as nginx has one socket for each family. The option must be set before bind().
"""

import socket

four = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
six = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
for sock, address in ((four, "0.0.0.0"), (six, "::")):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, 8080))
    sock.listen()
    print(address, "listens")

for listener, address in ((four, "127.0.0.1"), (six, "::1")):
    with socket.create_connection((address, 8080)):
        connection, peer = listener.accept()
        print(address, "reached", listener.getsockname()[0], "and appears as", peer[0])
        connection.close()

try:
    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
except OSError as error:
    print("after bind the option can't be changed:", error)
four.close()
six.close()
