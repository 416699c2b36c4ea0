"""Captures are read back by scapy, by tshark where it is installed, and by ourselves."""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
import subprocess
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.addr import ip
from portside.wire import codec, pcapng
from portside.wire.packet import ACK, PSH, SYN, TcpSegment, UdpDatagram

from .support import packets

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.utils import RawPcapNgReader, rdpcap

A, B = ip.parse("10.0.0.1"), ip.parse("10.0.0.2")
A6, B6 = ip.parse("2001:db8::1"), ip.parse("2001:db8::2")
WHEN = 1_700_000_000_123_456_789


def capture() -> bytes:
    """Two hosts, four packets."""
    stream = io.BytesIO()
    writer = pcapng.Writer(stream, comment="seed 7")
    a = writer.interface("a/eth0", "host a")
    b = writer.interface("b/eth0")
    syn = TcpSegment(A, B, 49152, 80, 1, 0, SYN, 64240)
    syn.mss = 1460
    writer.packet(a, WHEN, codec.encode_ip(syn), direction=pcapng.OUTBOUND)
    writer.packet(b, WHEN + 1, codec.encode_ip(syn), "the first to arrive", pcapng.INBOUND)
    writer.packet(b, WHEN + 2, codec.encode_ip(UdpDatagram(B6, A6, 40001, 40000, b"odd")))
    writer.packet(a, WHEN + 3, codec.encode_ip(TcpSegment(A, B, 49152, 80, 2, 9, ACK | PSH, 502, b"GET /")))
    return stream.getvalue()


def read(raw: bytes) -> list[pcapng.CapturedPacket]:
    return list(pcapng.read(io.BytesIO(raw)))


def test_scapy_reads_the_capture(tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng"
    path.write_bytes(capture())
    found = rdpcap(str(path))
    assert len(found) == 4
    first, second, third, fourth = found
    assert (first[IP].src, first[TCP].dport, first[TCP].options) == ("10.0.0.1", 80, [("MSS", 1460)])
    assert bytes(second) == bytes(first)
    assert (third[IPv6].dst, bytes(third[UDP].payload)) == ("2001:db8::1", b"odd")
    assert bytes(fourth[TCP].payload) == b"GET /"
    assert round((first.time - 1_700_000_000) * 10**9) == 123_456_789
    assert round((fourth.time - first.time) * 10**9) == 3
    with RawPcapNgReader(str(path)) as reader:
        metadata = [data for _, data in reader]
    assert [data.ifname for data in metadata] == [b"a/eth0", b"b/eth0", b"b/eth0", b"a/eth0"]
    assert [data.tsresol for data in metadata] == [10**9] * 4
    assert [data.direction for data in metadata] == [2, 1, None, None]
    assert metadata[1].comments == [b"the first to arrive"]


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_reads_the_capture(tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng"
    path.write_bytes(capture())
    wanted = (
        "frame.time_epoch", "frame.interface_name", "ip.src", "ipv6.src", "tcp.len", "frame.comment",
        "tcp.checksum.status", "udp.checksum.status", "_ws.malformed",
    )  # fmt: skip
    command = ["tshark", "-n", "-r", str(path), "-T", "fields"]
    command += ["-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
    for name in wanted:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    rows = [dict(zip(wanted, line.split("\t"), strict=True)) for line in done.stdout.split("\n")[:-1]]
    assert [row["frame.interface_name"] for row in rows] == ["a/eth0", "b/eth0", "b/eth0", "a/eth0"]
    assert [row["ip.src"] + row["ipv6.src"] for row in rows] == ["10.0.0.1", "10.0.0.1", "2001:db8::2", "10.0.0.1"]
    assert rows[0]["frame.time_epoch"].endswith(".123456789")
    assert rows[1]["frame.comment"] == "the first to arrive"
    assert rows[3]["tcp.len"] == "5"
    good = "1"
    assert [row["tcp.checksum.status"] + row["udp.checksum.status"] for row in rows] == [good] * 4
    assert not any(row["_ws.malformed"] for row in rows)


def test_we_read_it_too() -> None:
    first, second, third, fourth = read(capture())
    assert [p.interface.name for p in (first, second, third, fourth)] == ["a/eth0", "b/eth0", "b/eth0", "a/eth0"]
    assert first.interface is fourth.interface
    assert (first.interface.description, first.interface.link_type) == ("host a", pcapng.LINKTYPE_RAW)
    assert [p.when - WHEN for p in (first, second, third, fourth)] == [0, 1, 2, 3]
    assert [p.direction for p in (first, second, third, fourth)] == [2, 1, 0, 0]
    assert [p.comment for p in (first, second)] == ["", "the first to arrive"]
    assert isinstance(codec.decode_ip(third.data), UdpDatagram)


def test_the_same_packets_give_the_same_bytes() -> None:
    assert capture() == capture()


def test_every_block_is_aligned_and_says_its_length_twice() -> None:
    raw = capture()
    at, kinds = 0, []
    while at < len(raw):
        kind, length = struct.unpack_from("<II", raw, at)
        assert length % 4 == 0
        assert struct.unpack_from("<I", raw, at + length - 4) == (length,)
        kinds.append(kind)
        at += length
    assert kinds == [0x0A0D0D0A, 1, 1, 6, 6, 6, 6]


@given(st.lists(st.tuples(packets, st.integers(0, 2**63), st.text(max_size=9)), max_size=5))
def test_what_is_written_is_read(rows: list[tuple[object, int, str]]) -> None:
    stream = io.BytesIO()
    writer = pcapng.Writer(stream)
    number = writer.interface("lo")
    written = [(codec.encode_ip(packet), when, comment) for packet, when, comment in rows]  # type: ignore[arg-type]
    for data, when, comment in written:
        writer.packet(number, when, data, comment)
    assert [(p.data, p.when, p.comment) for p in read(stream.getvalue())] == written


def test_a_packet_of_an_interface_that_is_not_described_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="described before"):
        pcapng.Writer(io.BytesIO()).packet(0, 0, b"x")


# what others wrote


def block(order: str, kind: int, body: bytes) -> bytes:
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


@pytest.mark.parametrize("order", ["<", ">"])
def test_either_byte_order_microseconds_and_unknown_blocks(order: str) -> None:
    raw = section(order) + block(order, 0xBAD, b"1234")
    raw += block(order, 1, struct.pack(order + "HHI", 101, 0, 3))
    raw += block(order, 6, struct.pack(order + "IIIII", 0, 0, 5_000_001, 3, 9) + b"abc\0")
    raw += block(order, 3, struct.pack(order + "I", 9) + b"xyz\0")
    raw += section(">") + block(">", 1, struct.pack(">HHIHHB3xHH", 1, 0, 0, 9, 1, 0x8A, 0, 0))
    raw += block(">", 6, struct.pack(">IIIII", 0, 0, 1536, 1, 1) + b"q\0\0\0")
    enhanced, simple, binary = read(raw)
    assert (enhanced.when, enhanced.data, enhanced.length) == (5_000_001_000, b"abc", 9)
    assert (simple.when, simple.data, simple.length) == (0, b"xyz", 9)
    assert (binary.when, binary.data) == (1_500_000_000, b"q")  # ticks of 2**-10 seconds


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\xd4\xc3\xb2\xa1\2\0\4\0", "no pcapng capture"),
        (b"abc", "cut off"),
        (section("<")[:8] + b"\0" * 20, "byte-order magic"),
        (section("<")[:-6], "cut off"),
        (section("<")[:-1] + b"\1", "lengths of a pcapng block differ"),
        (section("<") + struct.pack("<II", 6, 11), "block of 11 bytes"),
        (section("<") + struct.pack("<II", 6, 0xFFFFFFF0), "block of 4294967280 bytes"),
        (section("<") + block("<", 1, b"1234"), "interface description is cut off"),
        (section("<") + block("<", 6, bytes(20)), "interface 0, which is not described"),
        (section("<") + block("<", 3, bytes(4)), "has no interface"),
        (block("<", 0x0A0D0D0A, struct.pack("<I", 0x1A2B3C4D)), "section header is cut off"),
        (section("<") + block("<", 6, bytes(16)), "packet is cut off"),
        (section("<") + block("<", 1, bytes(8)) + block("<", 3, b"\x09\0\0\0"), "packet is cut off"),
        (section("<") + block("<", 1, bytes(8)) + block("<", 6, bytes(12) + b"\x09" + bytes(7)), "cut off"),
        (section("<") + block("<", 1, bytes(8) + b"\2\0\x09\0"), "option is cut off"),
    ],
)
def test_what_is_malformed_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(raw)


@given(st.binary(max_size=200), st.integers(0, 400), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255))))
def test_arbitrary_and_mutated_captures_are_read_or_refused(
    junk: bytes, cut: int, changes: list[tuple[int, int]]
) -> None:
    mutated = bytearray(capture())
    for place, value in changes:
        mutated[place % len(mutated)] = value
    for raw in (junk, section("<") + junk, bytes(mutated), bytes(mutated[:cut])):
        with contextlib.suppress(ValueError):  # and nothing else
            read(raw)
