"""ICMP (RFC 792, RFC 1191) and ICMPv6 (RFC 4443) messages as bytes; the packet that an error quotes comes
ready made."""

from __future__ import annotations

from struct import pack, unpack_from
from typing import Final

from portside.addr.abi import IPPROTO_ICMP, IPPROTO_ICMPV6
from portside.wire.checksum import checksum, pseudo_header
from portside.wire.packet import IcmpMessage, Payload

_LENGTH: Final = 8
_ERRORS: Final = (3, 4, 5, 11, 12)  # unreachable, source quench, redirect, time exceeded, parameter problem
_UNREACHABLE: Final = 3
_FRAGMENTATION_NEEDED: Final = 4
_PARAMETER_PROBLEM: Final = 12


def is_error(proto: int, type: int) -> bool:
    """Whether messages of that type quote the packet they are about (RFC 1122 section 3.2.2, RFC 4443 section
    2.1)."""
    return type in _ERRORS if proto == IPPROTO_ICMP else type < 128


def encode(message: IcmpMessage, quoted: bytes = b"") -> bytes:
    """The header and what it carries: `quoted`, or the message's data where there is none; with the
    checksum."""
    raw = pack("!BBHI", message.type, message.code, 0, _field(message)) + (quoted or bytes(message.data))
    initial = 0
    if message.proto == IPPROTO_ICMPV6:
        initial = pseudo_header(message.src, message.dst, IPPROTO_ICMPV6, len(raw))
    return raw[:2] + checksum(raw, initial).to_bytes(2, "big") + raw[4:]


def _field(message: IcmpMessage) -> int:
    """The second word of the header. ICMP's pointer stands in its first byte, every other value at its
    end."""
    if message.proto == IPPROTO_ICMP and message.type == _PARAMETER_PROBLEM:
        return message.extra << 24
    return message.extra


def decode(raw: Payload, src: int, dst: int, proto: int, verify: bool = True) -> IcmpMessage:
    """The message that the payload of an IP datagram from `src` to `dst` holds.

    What an error quotes is left in `data`. `verify` looks at the checksum. Raises ValueError when it is
    malformed.
    """
    if len(raw) < _LENGTH:
        raise ValueError(f"ICMP header of {len(raw)} bytes: it has {_LENGTH}")
    type, code, _, field = unpack_from("!BBHI", raw)
    initial = pseudo_header(src, dst, proto, len(raw)) if proto == IPPROTO_ICMPV6 else 0
    if verify and checksum(raw, initial):
        raise ValueError("ICMP checksum is wrong")
    if proto == IPPROTO_ICMP and type == _PARAMETER_PROBLEM:
        field >>= 24
    elif proto == IPPROTO_ICMP and type == _UNREACHABLE and code == _FRAGMENTATION_NEEDED:
        field &= 0xFFFF  # RFC 1191 section 4: the MTU; the upper half is unused
    return IcmpMessage(src, dst, proto, type, code, extra=field, data=bytes(raw[_LENGTH:]))
