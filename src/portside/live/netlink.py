"""Talking to the kernel over netlink(7): one request, and the messages that answer it."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from portside.addr.ip import V4_PREFIX

NETLINK_ROUTE: Final = 0
NETLINK_SOCK_DIAG: Final = 4
NETLINK_NETFILTER: Final = 12

NLMSG_NOOP: Final = 1
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3

NLM_F_REQUEST: Final = 0x01
NLM_F_ACK: Final = 0x04
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_DUMP: Final = 0x300

SOL_NETLINK: Final = 270
NETLINK_EXT_ACK: Final = 11
NETLINK_GET_STRICT_CHK: Final = 12

HEADER: Final = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence, port."""
ATTRIBUTE: Final = struct.Struct("=HH")
"""struct nlattr: length, type."""
TYPE_MASK: Final = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_ERROR: Final = struct.Struct("=i")
_U32: Final = struct.Struct("=I")

RECEIVE: Final = 1 << 17
"""Bytes asked for at once: the kernel fills at most 32 KiB of a dump into one datagram, and never more than asked."""
ATTEMPTS: Final = 10

Message = tuple[int, memoryview]
"""The type of a message, and what follows its header."""


class Interrupted(OSError):
    """The kernel's table changed while it was dumped (NLM_F_DUMP_INTR): entries may be missing or twice there."""

    def __init__(self) -> None:
        super().__init__(errno.EINTR, "the table changed while it was read")


class Forbidden(OSError):
    """Netlink is not to be had here at all: a sandbox keeps it back (seccomp(2), systemd's RestrictAddressFamilies)."""


class Netlink:
    """A netlink socket in the network namespace of the thread that makes it.

    Args: protocol: NETLINK_ROUTE and the like. strict: the kernel checks requests and filters dumps by them
    (NETLINK_GET_STRICT_CHK). Raises Forbidden; OSError: EPROTONOSUPPORT where the kernel was built without it.
    """

    def __init__(self, protocol: int, *, strict: bool = False) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT):
                raise Forbidden(error.errno, error.strerror) from error
            raise
        self._sequence = 0
        if strict:
            self._socket.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def dump(self, type: int, payload: bytes, flags: int = 0) -> Iterator[Message]:
        """The messages that a dump answers, as they come.

        Raises OSError with the errno that the kernel answers; Interrupted at the end, when the table changed meanwhile.
        A dump that is not read to its end leaves the rest in the socket: close it then.
        """
        sequence = self._send(type, payload, NLM_F_REQUEST | NLM_F_DUMP | flags)
        interrupted = False
        while True:
            for kind, its_flags, its_sequence, body in self._receive():
                if its_sequence != sequence:
                    continue  # what is left of an earlier dump
                interrupted = interrupted or bool(its_flags & NLM_F_DUMP_INTR)
                if kind == NLMSG_DONE:
                    _raise_error(body)
                    if interrupted:
                        raise Interrupted
                    return
                if kind == NLMSG_ERROR:
                    _raise_error(body)
                elif kind != NLMSG_NOOP:
                    yield kind, body

    def whole(self, type: int, payload: bytes, flags: int = 0) -> list[Message]:
        """All messages of a dump at once; it is repeated while the table changes meanwhile.

        Raises OSError as `dump` does, Interrupted when the table never keeps still.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return list(self.dump(type, payload, flags))
            except Interrupted:
                continue
        return list(self.dump(type, payload, flags))

    def request(self, type: int, payload: bytes, flags: int = 0) -> Message | None:
        """The one message that answers a request; None when the kernel only acknowledges it.

        Raises OSError with the errno that the kernel answers.
        """
        sequence = self._send(type, payload, NLM_F_REQUEST | flags)
        while True:
            for kind, _, its_sequence, body in self._receive():
                if its_sequence != sequence:
                    continue
                if kind == NLMSG_ERROR:
                    _raise_error(body)
                    return None
                if kind != NLMSG_NOOP:
                    return kind, body

    def _send(self, type: int, payload: bytes, flags: int) -> int:
        self._sequence += 1
        header = HEADER.pack(HEADER.size + len(payload), type, flags, self._sequence, 0)
        self._socket.send(header + payload)
        return self._sequence

    def _receive(self) -> Iterator[tuple[int, int, int, memoryview]]:
        """The messages of the next datagram: type, flags, sequence, body."""
        data = memoryview(self._socket.recv(RECEIVE))
        at, end = 0, len(data)
        while at + HEADER.size <= end:
            length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
            if length < HEADER.size:
                raise OSError(errno.EBADMSG, "a netlink message shorter than its header")
            yield kind, flags, sequence, data[at + HEADER.size : at + length]
            at += (length + 3) & ~3


def _raise_error(body: memoryview) -> None:
    """Raise the errno that NLMSG_ERROR or NLMSG_DONE brings, if it is one."""
    if len(body) >= _ERROR.size:
        number = -_ERROR.unpack_from(body)[0]
        if number > 0:
            raise OSError(number, os.strerror(number))


def attributes(body: memoryview, at: int = 0) -> Iterator[tuple[int, memoryview]]:
    """The attributes that begin at byte `at` of a message or of a nest: type (without its flags) and value."""
    end = len(body)
    while at + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(body, at)
        if length < 4:
            return
        yield kind & TYPE_MASK, body[at + 4 : at + length]
        at += (length + 3) & ~3


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute of a request, padded."""
    return ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


# -- values of attributes --


def address_of(value: memoryview | bytes) -> int:
    """An address as in `addr/ip.py` out of its 4 or 16 bytes."""
    number = int.from_bytes(value, "big")
    return V4_PREFIX | number if len(value) == 4 else number


def number_of(value: memoryview | None) -> int:
    """An unsigned 32-bit number; 0 for an attribute that is not there."""
    if value is None:
        return 0
    number: int = _U32.unpack_from(value)[0]
    return number


def text_of(value: memoryview | None) -> str:
    """A name that ends with a NUL byte; bytes that are no UTF-8 become surrogates. Empty for none."""
    return bytes(value).split(b"\0")[0].decode("utf-8", "surrogateescape") if value is not None else ""
