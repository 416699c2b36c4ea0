"""The checksum against RFC 1071's own example and the loop that RFC 1071 describes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portside.addr import ip
from portside.wire.checksum import checksum, ones_sum, pseudo_header


def slow_sum(data: bytes) -> int:
    """RFC 1071 section 4.1, word by word."""
    total = 0
    for i in range(0, len(data), 2):
        total += (data[i] << 8) + (data[i + 1] if i + 1 < len(data) else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_the_example_of_rfc_1071() -> None:
    assert ones_sum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D


@given(st.binary(max_size=200))
def test_the_sum_is_that_of_the_loop(data: bytes) -> None:
    assert ones_sum(data) == slow_sum(data)
    assert ones_sum(memoryview(data)) == slow_sum(data)


def test_zero_and_all_ones_are_told_apart() -> None:
    assert ones_sum(b"") == ones_sum(bytes(8)) == 0
    assert ones_sum(b"\xff\xff") == ones_sum(b"\xff\xff\xff\xff") == ones_sum(b"\x80\x00\x7f\xff") == 0xFFFF


@given(st.binary(min_size=2, max_size=100).filter(lambda data: len(data) % 2 == 0))
def test_data_with_its_checksum_sum_up_to_nothing(data: bytes) -> None:
    assert checksum(data + checksum(data).to_bytes(2, "big")) == 0


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 65535))
def test_the_pseudo_header_of_ipv4(src: int, dst: int, proto: int, length: int) -> None:
    written = src.to_bytes(4, "big") + dst.to_bytes(4, "big") + bytes((0, proto)) + length.to_bytes(2, "big")
    total = pseudo_header(ip.V4_PREFIX | src, ip.V4_PREFIX | dst, proto, length)
    assert checksum(b"x", total) == checksum(b"x\0" + written)


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_the_pseudo_header_of_ipv6(src: int, dst: int, proto: int, length: int) -> None:
    if ip.is_v4(src):
        return
    written = src.to_bytes(16, "big") + dst.to_bytes(16, "big") + length.to_bytes(4, "big")
    total = pseudo_header(src, dst, proto, length)
    assert checksum(b"x", total) == checksum(b"x\0" + written + bytes((0, 0, 0, proto)))
