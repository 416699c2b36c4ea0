"""TCP sockets of hosts that a link connects."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from portside import Network


@pytest.mark.parametrize(("cookies", "slowest"), [(1, 0.06), (0, 60)])
def test_a_hundred_clients_at_once_and_a_backlog_of_five(cookies: int, slowest: float) -> None:
    def serve():
        with socket.create_server(("", 7), backlog=5) as listener:
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"x")

    def ask():
        times = []

        def connect():
            before = time.monotonic()
            with socket.socket() as sock:
                if sock.connect_ex(("10.0.0.1", 7)) == 0:
                    sock.recv(1)
                times.append(time.monotonic() - before)

        threads = [threading.Thread(target=connect) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return max(times)

    with Network(seed=1, quiet=True) as network:
        server = network.host("server", "10.0.0.1/24", sysctls={"net.ipv4.tcp_syncookies": cookies})
        client = network.host("client", "10.0.0.2/24")
        network.link(server, client, latency="10ms")
        server.spawn(serve, background=True)
        done = client.spawn(ask, start=1)
        network.run()
    assert done.result == pytest.approx(slowest, abs=0.001) if cookies else done.result > slowest
