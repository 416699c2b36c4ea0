from __future__ import annotations

import errno
import os
import socket
import struct

import pytest

from portside.live import netlink
from portside.live.netlink import Interrupted, Netlink, attribute, attributes


class Kernel:
    """A socket whose other end the test plays: it answers with the datagrams that it was given."""

    def __init__(self, *answers: list[tuple[int, int, bytes]]) -> None:
        self.answers = list(answers)
        self.sequence = 0

    def send(self, data: bytes) -> None:
        self.sequence = struct.unpack_from("=IHHII", data)[3]

    def recv(self, size: int) -> bytes:
        return b"".join(message(kind, flags, self.sequence, body) for kind, flags, body in self.answers.pop(0))

    def close(self) -> None:
        pass


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body + bytes(-len(body) % 4)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch):
    def answer(*answers: list[tuple[int, int, bytes]]) -> Netlink:
        monkeypatch.setattr(socket, "socket", lambda *arguments: Kernel(*answers))
        return Netlink(netlink.NETLINK_ROUTE)

    return answer


DONE = (netlink.NLMSG_DONE, 0, bytes(4))


def test_a_dump_goes_on_over_datagrams_until_it_is_done(answering) -> None:
    kernel = answering([(16, 2, b"a"), (16, 2, b"bcdef")], [(16, 2, b"g")], [DONE])
    assert [(kind, bytes(body)) for kind, body in kernel.dump(18, b"")] == [(16, b"a"), (16, b"bcdef"), (16, b"g")]


@pytest.mark.parametrize("kind", [netlink.NLMSG_ERROR, netlink.NLMSG_DONE])
def test_an_errno_of_the_kernel_is_raised(answering, kind: int) -> None:
    kernel = answering([(kind, 0, struct.pack("=i", -errno.EPERM))])
    with pytest.raises(PermissionError):
        list(kernel.dump(18, b""))


def test_a_dump_whose_table_changed_is_repeated(answering) -> None:
    torn = [(16, netlink.NLM_F_DUMP_INTR, b"half"), DONE]
    kernel = answering(torn, [(16, 2, b"whole"), DONE])
    assert [bytes(body) for _, body in kernel.whole(18, b"")] == [b"whole"]


def test_a_table_that_never_keeps_still_is_an_error(answering) -> None:
    torn = [(16, netlink.NLM_F_DUMP_INTR, b"half"), DONE]
    kernel = answering(*[torn] * netlink.ATTEMPTS)
    with pytest.raises(Interrupted):
        kernel.whole(18, b"")


def test_what_is_left_of_an_earlier_dump_is_passed_over(answering) -> None:
    kernel = answering([])
    late = message(16, 2, 1, b"late") + message(16, 2, 2, b"mine") + message(netlink.NLMSG_DONE, 0, 2, bytes(4))
    kernel._socket.recv = lambda size: late
    kernel._sequence = 1
    assert [bytes(body) for _, body in kernel.dump(18, b"")] == [b"mine"]


def test_a_request_has_one_answer_or_is_acknowledged(answering) -> None:
    kernel = answering([(88, 0, b"this")], [(netlink.NLMSG_ERROR, 0, bytes(4))])
    answer = kernel.request(90, b"")
    assert answer is not None
    assert (answer[0], bytes(answer[1])) == (88, b"this")
    assert kernel.request(90, b"", netlink.NLM_F_ACK) is None


def test_attributes_are_padded_to_four_bytes_and_keep_their_length() -> None:
    body = memoryview(attribute(3, b"eth0\0") + attribute(4, struct.pack("=I", 1500)))
    assert [(kind, bytes(value)) for kind, value in attributes(body)] == [(3, b"eth0\0"), (4, b"\xdc\x05\0\0")]


def test_the_flags_of_an_attributes_type_are_no_part_of_it() -> None:
    assert [kind for kind, _ in attributes(memoryview(attribute(0x8000 | 18, b"")))] == [18]


@pytest.mark.parametrize("torn", [b"\x01", b"\x03\x00\x01\x00", b"\x00\x00\x00\x00"])
def test_a_torn_attribute_ends_the_walk(torn: bytes) -> None:
    assert list(attributes(memoryview(torn))) == []


def test_bytes_that_are_no_utf8_survive_in_a_name() -> None:
    assert os.fsencode(netlink.text_of(memoryview(b"e\xff0\0rest"))) == b"e\xff0"
