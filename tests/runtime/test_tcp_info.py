# ruff: noqa: E501 - programs stand in here as they are
"""TCP_INFO: the fields that do not depend on the clock are those of the real kernel."""

from __future__ import annotations

from portside.lab.network import Network

FIELDS = '''
import socket, struct
COUNTS = {"acked": (120, "Q"), "received": (128, "Q"), "segs_out": (136, "I"), "segs_in": (140, "I"), "notsent": (144, "I"),
    "data_in": (152, "I"), "data_out": (156, "I"), "delivered": (192, "I"), "sent": (200, "Q"), "resent": (208, "Q"),
    "snd_wnd": (228, "I"), "total_retrans": (100, "I"), "max_pacing": (112, "Q"), "pmtu": (60, "I")}
def info(s, *names):
    data = s.getsockopt(6, 11, 400)
    return len(data), [(name, struct.unpack_from(COUNTS[name][1], data, COUNTS[name][0])[0]) for name in names or COUNTS]
'''


def test_what_a_connection_has_sent_and_received(same):
    same(FIELDS + """
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server = listener.accept()[0]
print(info(client), info(server))
for question, answer in ((b"x" * 5000, b"y"), (b"z", b"w" * 200)):
    client.send(question)
    server.recv(9000)
    server.send(answer)
    client.recv(9000)
    print(info(client), info(server))
client.send(b"more", socket.MSG_MORE)
print(info(client, "notsent", "sent"))
client.close()
server.recv(9000), server.recv(9000)
print(info(server, "received"), len(server.getsockopt(6, 11, 104)), len(server.getsockopt(6, 11, 7)))
    """)  # fmt: skip


def test_a_listener_tells_its_queue_and_its_backlog(same):
    assert same("""
        import socket
        listener = socket.create_server(("127.0.0.1", 0), backlog=7)
        clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        print(listener.getsockopt(6, 11, 400).hex())
        print(socket.socket().getsockopt(6, 11, 24).hex())
    """).startswith("0a0000000000000000000000000000000000000000000000" + "03000000" + "07000000")


def test_retransmissions_are_counted():
    network = Network(seed=3)
    server = network.host("server", "10.0.0.1/24")
    client = network.host("client", "10.0.0.2/24")
    network.link(server, client, loss=0.2)
    server.spawn(code="""
import socket
with socket.create_server(("", 80)) as listener, listener.accept()[0] as c:
    while c.recv(65536): pass
""")
    program = client.spawn(code=FIELDS + """
import time
while True:
    try: s = socket.create_connection(("10.0.0.1", 80)); break
    except OSError: time.sleep(1)
s.sendall(b"x" * 100_000)
while dict(info(s, "acked")[1])["acked"] <= 100_000: time.sleep(1)
print(dict(info(s)[1]))
s.close()
""")
    network.trace.keep()
    network.run()
    fields = eval(program.stdout)
    seen = [line for line in network.trace.lines() if "client eth0 Out IP" in line and ".80:" in line]
    data = [line for line in seen if "length 0" not in line]
    assert fields["total_retrans"] > 0
    assert fields["acked"] == 100_001
    assert fields["sent"] - fields["resent"] == 100_000
    assert fields["data_out"] == len(data)
    network.close()
