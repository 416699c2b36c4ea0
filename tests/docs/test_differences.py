"""docs/differences.md: what is said to differ differs, and what is said to be refused is refused."""

from __future__ import annotations

import errno
import os

import pytest
from doc_blocks import ROOT, Block, blocks
from tests.dialogue import linux, simulated
from tests.dialogue.compare import compare
from tests.dialogue.program import Program

from portside import Network

PAGE = ROOT / "docs" / "differences.md"
KNOWN = [block for block in blocks(PAGE) if block.language == "dialogue"]


@pytest.mark.linux
@pytest.mark.parametrize("block", KNOWN, ids=str)
def test_a_known_difference_is_still_there(block: Block) -> None:
    worker = linux.shared()
    if isinstance(worker, str):
        pytest.skip(worker)
    program = Program.parse(block.text)
    # Under load Linux may answer as we do once in a while.
    differs = any(compare(program, worker.run, simulated.run, tries=1) for _ in range(8))
    assert differs, "both agree now: take it out of the page"


# What the first table of the page says of calls, as programs that end with the errno (and leave their sockets open).
REFUSED = {
    "socket.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b'cubic')": errno.ENOENT,
    "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)": errno.ESOCKTNOSUPPORT,
    "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)": errno.EAFNOSUPPORT,
    "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)": errno.EAFNOSUPPORT,
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1)": errno.EACCES,
    "socket.socket(type=socket.SOCK_DGRAM).setsockopt(0, 35, bytes([224, 1, 2, 3, 0, 0, 0, 0]))": errno.ENOPROTOOPT,
    "__import__('fcntl').ioctl(listener, 0x8915, bytes(40))": errno.ENOTTY,  # SIOCGIFADDR
    "open('/proc/sys/net/ipv4/tcp_mem')": errno.ENOENT,
}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("call", REFUSED)
def test_what_is_not_modelled_is_refused(call: str) -> None:
    code = (
        "import socket\nlistener = socket.create_server(('127.0.0.1', 80))\n"
        f"try:\n    {call}\nexcept OSError as error:\n    raise SystemExit(error.errno)\n"
    )
    with Network() as network:
        done = network.host("host").spawn(code=code, check=False)
        network.run()
    assert done.exit_code == REFUSED[call], os.strerror(done.exit_code or 0)
