"""The send buffer of a UDP socket, while nobody has said yet where the neighbour is."""

from __future__ import annotations

import contextlib
import select
import socket
import time

import pytest

from portside import Network

COST = 832
BUFFER = 212992
FITS = BUFFER // COST


@pytest.fixture
def hosts():
    with Network(seed=1, quiet=True) as network:
        yield network, network.host("alpha", "10.0.0.1/24"), network.host("beta", "10.0.0.2/24")


def count(until):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        sock.bind(("", 9))
        time.sleep(until)
        sock.setblocking(False)
        got = 0
        while True:
            try:
                sock.recv(1000)
            except BlockingIOError:
                return got
            got += 1


def test_a_sender_that_waits_loses_nothing(hosts):
    network, alpha, beta = hosts

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            return sum(sock.sendto(b"x", ("10.0.0.2", 9)) for _ in range(1000))

    receiver = beta.spawn(count, 5)
    sender = alpha.spawn(send, start=1)
    network.run()
    assert (sender.result, receiver.result) == (1000, 1000)


def test_one_that_does_not_wait_is_told_and_polls(hosts):
    network, alpha, beta = hosts

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, select.epoll() as epoll:
            sock.setblocking(False)
            epoll.register(sock, select.EPOLLOUT | select.EPOLLET)
            first = epoll.poll(0)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += sock.sendto(b"x", ("10.0.0.2", 9))
            assert select.select([], [sock], [], 0)[1] == []
            again = epoll.poll(1)
            return [bool(first), sent, bool(again), bool(select.select([], [sock], [], 0)[1])]

    receiver = beta.spawn(count, 5)
    sender = alpha.spawn(send, start=1)
    network.run()
    assert sender.result == [True, FITS, True, True]
    assert receiver.result == FITS


def test_a_neighbour_that_is_not_there_lets_go_after_three_seconds(hosts):
    network, alpha, _ = hosts

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            before = time.monotonic()
            for _ in range(FITS + 1):
                sock.sendto(b"x", ("10.0.0.77", 9))
            waited = time.monotonic() - before
            sock.connect(("10.0.0.78", 9))
            for _ in range(FITS // 2 - 1):
                sock.send(b"x")
            sock.settimeout(1)  # now send() asks first whether it can write
            with pytest.raises(TimeoutError):
                sock.send(b"x")
            sock.settimeout(None)
            for _ in range(FITS // 2):
                sock.send(b"x")
            sock.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR: hear of it
            with pytest.raises(OSError, match="No route to host"):
                sock.send(b"x")
            return waited, time.monotonic() - before

    sender = alpha.spawn(send)
    network.run()
    assert sender.result == pytest.approx((3, 6), abs=0.01)


def test_an_interface_that_goes_down_lets_go(hosts):
    network, alpha, _ = hosts

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(FITS):
                sock.sendto(b"x", ("10.0.0.77", 9))
            before = time.monotonic()
            sock.sendto(b"x", ("10.0.0.77", 9))
            return time.monotonic() - before

    sender = alpha.spawn(send)
    network.at("1s", alpha.set_up, "eth0", False)
    network.run()
    assert sender.result == pytest.approx(1, abs=0.01)
