"""Tests of the live half make what they read, in network namespaces of their own."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from portside.live import namespaces

libc = ctypes.CDLL(None, use_errno=True)


def raise_loopback() -> None:
    """ip link set lo up."""
    with socket.socket() as control:
        fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", 0x1))


def unshare_network() -> None:
    """Put the calling thread into a fresh network namespace with its loopback up, or skip the test."""
    if os.geteuid():
        pytest.skip("a network namespace of its own needs root")
    if libc.unshare(namespaces.CLONE_NEWNET):
        pytest.skip(f"no network namespaces here: {os.strerror(ctypes.get_errno())}")
    raise_loopback()


@pytest.fixture
def fresh() -> Iterator[None]:
    """The test runs in a network namespace that holds nothing but what it makes."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare_network()
        try:
            yield
        finally:
            namespaces.set_namespace(home)
    finally:
        os.close(home)


@pytest.fixture
def keep() -> Iterator[list[socket.socket]]:
    """Sockets that the test makes: closed at its end."""
    kept: list[socket.socket] = []
    yield kept
    for each in kept:
        each.close()
