"""What the interpreter's own functions say of wrong arguments is what ours say."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from portside.runtime.arguments import bytes_like, c_int, integer, nanoseconds, timeout_argument, writable


class Seven:
    def __index__(self) -> int:
        return 7


def refusal(call: Callable[[], object]) -> tuple[type[BaseException], str]:
    with pytest.raises((TypeError, ValueError, OverflowError, BufferError)) as caught:
        call()
    return caught.type, str(caught.value)


@pytest.mark.parametrize("value", [0, 7, -1, True, socket.AF_INET, Seven()])
def test_integers(value: object) -> None:
    assert integer(value) == c_int(value) == value.__index__()


@pytest.mark.parametrize("value", [1.5, "1", None, 2**31, -(2**31) - 1])
def test_no_c_int(value: object) -> None:
    one, two = socket.socketpair()
    with one, two:
        assert refusal(lambda: c_int(value)) == refusal(lambda: one.recv(0, value))


@pytest.mark.parametrize("value", [b"ab", bytearray(b"ab"), memoryview(b"ab")])
def test_buffers(value: object) -> None:
    assert bytes_like(value) == b"ab"


@pytest.mark.parametrize("value", ["ab", None, 1, memoryview(b"abcd")[::2]])
def test_no_buffer(value: object) -> None:
    one, two = socket.socketpair()
    with one, two:
        assert refusal(lambda: bytes_like(value)) == refusal(lambda: one.send(value))


@pytest.mark.parametrize("value", [b"ab", "ab", None, memoryview(b"ab")])
def test_not_writable(value: object) -> None:
    one, two = socket.socketpair()
    with one, two:
        assert refusal(lambda: writable(value, "recv_into()")) == refusal(lambda: one.recv_into(value))


@pytest.mark.parametrize(("seconds", "expected"), [(0, 0), (1, 10**9), (0.5, 5 * 10**8), (1e-10, 1), (-1e-10, -1)])
def test_times(seconds: float, expected: int) -> None:
    assert nanoseconds(seconds) == expected


@pytest.mark.parametrize("value", [float("nan"), 1e300, "1", None, 2**70])
def test_no_time(value: object) -> None:
    assert refusal(lambda: nanoseconds(value)) == refusal(lambda: time.sleep(value))


def test_timeouts() -> None:
    assert [timeout_argument(value) for value in (None, 0, 2)] == [-1, 0, 2 * 10**9]
    with socket.socket() as real:
        assert refusal(lambda: timeout_argument(-1)) == refusal(lambda: real.settimeout(-1))
