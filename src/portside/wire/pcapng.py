"""Captures in the pcapng format (draft-ietf-opsawg-pcapng), written and read: what Wireshark and tcpdump
open.

One section; an interface description for each interface of each host; packets as they stand on the wire from
the IP header on, with nanoseconds, direction and a comment. The same packets give the same bytes: nothing of
the machine or of the day goes into the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, pack
from typing import BinaryIO, Final

from portside.wire.packet import Payload

LINKTYPE_RAW: Final = 101
"""Packets that begin with their IPv4 or IPv6 header (tcpdump.org's list of link types)."""

INBOUND: Final = 1
OUTBOUND: Final = 2

_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_SIMPLE_PACKET: Final = 3
_PACKET: Final = 6
_MAGIC: Final = 0x1A2B3C4D

_END_OF_OPTIONS: Final = 0
_COMMENT: Final = 1
_APPLICATION: Final = 4  # shb_userappl
_NAME: Final = 2  # if_name
_DESCRIPTION: Final = 3  # if_description
_RESOLUTION: Final = 9  # if_tsresol
_FLAGS: Final = 2  # epb_flags

_NANOSECONDS: Final = 9
_MAX_BLOCK: Final = 1 << 24  # no block that we read is longer: a length field cannot make us allocate


def _option(code: int, value: bytes) -> bytes:
    return pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _text_option(code: int, text: str) -> bytes:
    return _option(code, text.encode(errors="replace")[:0xFFFF]) if text else b""


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return pack("<II", kind, length) + body + pack("<I", length)


class Writer:
    """Writes a capture to a binary stream; it neither opens nor closes it."""

    def __init__(self, stream: BinaryIO, application: str = "portside", comment: str = "") -> None:
        """Begin the section; `comment` is for who opens the capture."""
        self._stream = stream
        self._interfaces = 0
        options = _text_option(_COMMENT, comment) + _text_option(_APPLICATION, application)
        body = pack("<IHHq", _MAGIC, 1, 0, -1) + options + _option(_END_OF_OPTIONS, b"")
        stream.write(_block(_SECTION, body))

    def interface(self, name: str, description: str = "", link_type: int = LINKTYPE_RAW) -> int:
        """Describe an interface, `a/eth0`; returns the number that packets name it by."""
        options = _text_option(_NAME, name) + _text_option(_DESCRIPTION, description)
        options += _option(_RESOLUTION, bytes((_NANOSECONDS,))) + _option(_END_OF_OPTIONS, b"")
        self._stream.write(_block(_INTERFACE, pack("<HHI", link_type, 0, 0) + options))
        self._interfaces += 1
        return self._interfaces - 1

    def packet(self, interface: int, when: int, data: Payload, comment: str = "", direction: int = 0) -> None:
        """Record a packet that passed the interface at `when`, in nanoseconds since the epoch.

        `direction` is INBOUND, OUTBOUND or 0 for unknown.
        """
        assert 0 <= interface < self._interfaces, "an interface is described before its packets"
        options = _text_option(_COMMENT, comment)
        if direction:
            options += _option(_FLAGS, pack("<I", direction))
        if options:
            options += _option(_END_OF_OPTIONS, b"")
        length = len(data)
        head = pack("<IIIII", interface, when >> 32, when & 0xFFFFFFFF, length, length)
        self._stream.write(_block(_PACKET, b"".join((head, data, bytes(-length % 4), options))))


class Interface:
    """An interface of a capture that is read. `tick` is the number of its timestamps' units in a second."""

    __slots__ = ("description", "link_type", "name", "snapshot_length", "tick")

    def __init__(self, link_type: int, snapshot_length: int) -> None:
        """An interface without options: microseconds, no name."""
        self.link_type = link_type
        self.snapshot_length = snapshot_length
        self.name = ""
        self.description = ""
        self.tick = 1_000_000


class CapturedPacket:
    """A packet of a capture: `when` in nanoseconds, `length` as it was on the wire though `data` may be cut
    short."""

    __slots__ = ("comment", "data", "direction", "interface", "length", "when")

    def __init__(self, interface: Interface, when: int, data: bytes, length: int) -> None:
        """A packet without options."""
        self.interface = interface
        self.when = when
        self.data = data
        self.length = length
        self.comment = ""
        self.direction = 0


class _Order:
    """The structures of a section in its byte order."""

    __slots__ = ("enhanced", "interface", "option", "word")

    def __init__(self, mark: str) -> None:
        self.word = Struct(mark + "I")
        self.option = Struct(mark + "HH")
        self.interface = Struct(mark + "HHI")
        self.enhanced = Struct(mark + "IIIII")


_LITTLE: Final = _Order("<")
_BIG: Final = _Order(">")


def read(stream: BinaryIO) -> Iterator[CapturedPacket]:
    """The packets of a capture in their order; blocks of other kinds are passed over.

    Raises ValueError when it is malformed.
    """
    order: _Order | None = None
    interfaces: list[Interface] = []
    while head := stream.read(8):
        if len(head) < 8:
            raise ValueError("a pcapng block is cut off")
        if head[:4] == _LITTLE.word.pack(_SECTION):
            order = _order_of(head, stream)
            interfaces = []
            continue
        if order is None:
            raise ValueError("no pcapng capture: it does not begin with a section header")
        (kind,) = order.word.unpack_from(head)
        body = _body(order, head, b"", stream)
        if kind == _INTERFACE:
            interfaces.append(_interface(order, body))
        elif kind == _PACKET:
            yield _enhanced(order, body, interfaces)
        elif kind == _SIMPLE_PACKET:
            yield _simple(order, body, interfaces)


def _order_of(head: bytes, stream: BinaryIO) -> _Order:
    """The byte order that a section header tells; its rest is read and passed over."""
    magic = stream.read(4)
    if magic == _LITTLE.word.pack(_MAGIC):
        order = _LITTLE
    elif magic == _BIG.word.pack(_MAGIC):
        order = _BIG
    else:
        raise ValueError("a pcapng section header without its byte-order magic")
    body = _body(order, head, magic, stream)
    if len(body) < 16:
        raise ValueError("a pcapng section header is cut off")
    return order


def _body(order: _Order, head: bytes, begun: bytes, stream: BinaryIO) -> bytes:
    """What stands between the lengths of a block; `begun` of it has been read."""
    (length,) = order.word.unpack_from(head, 4)
    if length % 4 or not 12 + len(begun) <= length <= _MAX_BLOCK:
        raise ValueError(f"a pcapng block of {length} bytes")
    rest = stream.read(length - 8 - len(begun))
    if len(rest) < length - 8 - len(begun):
        raise ValueError("a pcapng block is cut off")
    if rest[-4:] != head[4:]:
        raise ValueError("the two lengths of a pcapng block differ")
    return begun + rest[:-4]


def _options(order: _Order, data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        code, length = order.option.unpack_from(data, at)
        if code == _END_OF_OPTIONS:
            return
        if at + 4 + length > len(data):
            raise ValueError("a pcapng option is cut off")
        yield code, data[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4


def _interface(order: _Order, body: bytes) -> Interface:
    if len(body) < 8:
        raise ValueError("a pcapng interface description is cut off")
    link_type, _, snapshot_length = order.interface.unpack_from(body)
    interface = Interface(link_type, snapshot_length)
    for code, value in _options(order, body[8:]):
        if code == _NAME:
            interface.name = value.decode(errors="replace")
        elif code == _DESCRIPTION:
            interface.description = value.decode(errors="replace")
        elif code == _RESOLUTION and value:
            interface.tick = 1 << (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
    return interface


def _enhanced(order: _Order, body: bytes, interfaces: list[Interface]) -> CapturedPacket:
    if len(body) < 20:
        raise ValueError("a pcapng packet is cut off")
    number, high, low, captured, length = order.enhanced.unpack_from(body)
    if number >= len(interfaces):
        raise ValueError(f"a pcapng packet of the interface {number}, which is not described")
    end = 20 + captured
    if end > len(body):
        raise ValueError("a pcapng packet is cut off")
    interface = interfaces[number]
    when = (high << 32 | low) * 1_000_000_000 // interface.tick
    packet = CapturedPacket(interface, when, body[20:end], length)
    for code, value in _options(order, body[end + -captured % 4 :]):
        if code == _COMMENT:
            packet.comment = value.decode(errors="replace")
        elif code == _FLAGS and len(value) == 4:
            packet.direction = order.word.unpack(value)[0] & 3
    return packet


def _simple(order: _Order, body: bytes, interfaces: list[Interface]) -> CapturedPacket:
    """A packet without a time; it belongs to the first interface."""
    if len(body) < 4 or not interfaces:
        raise ValueError("a pcapng packet is cut off or has no interface")
    (length,) = order.word.unpack_from(body)
    captured = min(length, interfaces[0].snapshot_length or length)
    if 4 + captured > len(body):
        raise ValueError("a pcapng packet is cut off")
    return CapturedPacket(interfaces[0], 0, body[4 : 4 + captured], length)
