"""Control messages of level SOL_SOCKET that go with what is sent (socket(7); net/core/sock.c: __sock_cmsg_send).

What they set for the one message, its mark, priority and time stamps, has no effect here.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from portside.host.errors import fail
from portside.host.options import SOL_SOCKET
from portside.host.processes import CAP_NET_ADMIN, CAP_NET_RAW

if TYPE_CHECKING:
    from portside.host.processes import Process
    from portside.host.socket_file import Ancillary

SCM_RIGHTS: Final = 1
SCM_CREDENTIALS: Final = 2
SO_PRIORITY: Final = 12
SO_MARK: Final = 36
SO_TIMESTAMPING: Final = (37, 65)  # of 32 and of 64 bits
TX_RECORDS: Final = 1 | 2 | 1 << 8 | 1 << 9 | 1 << 18  # SOF_TIMESTAMPING_TX_RECORD_MASK


def check(kind: int, content: bytes) -> None:
    """EINVAL for one that Linux does not know, or of a wrong length or value; those of AF_UNIX are passed over."""
    if kind in (SCM_RIGHTS, SCM_CREDENTIALS):
        return
    if kind not in (SO_MARK, SO_PRIORITY, *SO_TIMESTAMPING) or len(content) != 4:
        raise fail(errno.EINVAL)
    if kind in SO_TIMESTAMPING and int.from_bytes(content, "little") & ~TX_RECORDS:
        raise fail(errno.EINVAL)


def check_rights(process: Process, control: Sequence[Ancillary]) -> None:
    """EPERM for a mark, or a priority over 6, without CAP_NET_RAW or CAP_NET_ADMIN."""
    if process.capable(CAP_NET_RAW) or process.capable(CAP_NET_ADMIN):
        return
    for level, kind, content in control:
        high = kind == SO_PRIORITY and not 0 <= int.from_bytes(content[:4], "little", signed=True) <= 6
        if level == SOL_SOCKET and (kind == SO_MARK or high):
            raise fail(errno.EPERM)


def check_all(process: Process, control: Sequence[Ancillary]) -> None:
    """What a socket of streams asks of control messages; those of other levels are passed over (sock_cmsg_send)."""
    check_rights(process, control)
    for level, kind, content in control:
        if level == SOL_SOCKET:
            check(kind, content)
