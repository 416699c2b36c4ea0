"""What AF_UNIX sockets send each other: data with descriptors and credentials, and the memory it is charged for."""

from __future__ import annotations

import errno
from struct import error as StructError
from struct import iter_unpack, pack, unpack
from typing import TYPE_CHECKING, Final

from portside.addr.abi import MSG_CMSG_CLOEXEC, MSG_CTRUNC
from portside.host.errors import fail
from portside.host.processes import CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN
from portside.host.waiting import put

if TYPE_CHECKING:
    from portside.host.file import File
    from portside.host.processes import Process
    from portside.host.socket_file import Ancillary
    from portside.host.unix_socket import UnixSocket

SOL_SOCKET: Final = 1
SCM_RIGHTS: Final = 1
SCM_CREDENTIALS: Final = 2
SCM_MAX_FD: Final = 253
NOBODY: Final = (0, 65534, 65534)  # what credentials look like that the sender did not give: no pid, overflow ids
CMSG_HEADER: Final = 16  # sizeof(struct cmsghdr)

Credentials = tuple[int, int, int]  # pid, uid, gid: struct ucred

PAGE: Final = 4096
SKB_OVERHEAD: Final = 320  # sizeof(struct skb_shared_info), at the end of every buffer
SKB_HEADER: Final = 256  # sizeof(struct sk_buff), aligned
STREAM_LINEAR: Final = PAGE - SKB_OVERHEAD  # SKB_MAX_HEAD(0): what a stream message holds outside of pages
STREAM_MAX: Final = STREAM_LINEAR + 32768  # the most that one message of a stream holds
DGRAM_LINEAR: Final = 4 * PAGE - SKB_OVERHEAD  # SKB_MAX_ALLOC: what a datagram holds outside of pages
DGRAM_PAGES: Final = 17 * PAGE  # MAX_SKB_FRAGS pages


class Message:
    """A message in a receive queue: `data` from `start` on is unread; `truesize` is what its `sender` is charged."""

    __slots__ = ("credentials", "data", "files", "sender", "start", "truesize")

    def __init__(self, data: bytes, truesize: int, sender: UnixSocket) -> None:
        self.data = data
        self.start = 0
        self.truesize = truesize
        self.sender = sender
        self.credentials: Credentials | None = None
        self.files: list[File] | None = None

    def take_files(self, files: list[File]) -> list[File]:
        """Take over the references in `files`, which is empty afterwards."""
        self.files = taken = list(files)
        files.clear()
        return taken


def stream_truesize(length: int) -> int:
    """Bytes charged for a message of a stream (unix_stream_sendmsg): a small head, and whole pages for the rest."""
    if length <= STREAM_LINEAR:
        return _head(length)
    paged = min(length, _whole_pages(length - STREAM_LINEAR))
    return _head(length - paged) + _whole_pages(paged)


def dgram_truesize(length: int) -> int:
    """Bytes charged for a datagram (unix_dgram_sendmsg)."""
    if length <= DGRAM_LINEAR:
        return _head(length)
    paged = _whole_pages(min(length - DGRAM_LINEAR, DGRAM_PAGES))
    return _head(length - paged) + paged


def _head(length: int) -> int:
    """A buffer for `length` bytes comes from the allocator in powers of two (alloc_skb, kmalloc)."""
    need = (length + 63 & ~63) + SKB_OVERHEAD
    return max(512, 1 << (need - 1).bit_length()) + SKB_HEADER


def _whole_pages(length: int) -> int:
    return length + PAGE - 1 & -PAGE


def parse_ancillary(
    process: Process, ancillary: list[Ancillary]
) -> tuple[list[File] | None, Credentials | None]:
    """The files and the credentials that control messages name (__scm_send in net/core/scm.c).

    The files are held: whoever takes the list gives the references back. EBADF for a descriptor that is not open,
    EINVAL for another kind of message or more than 253 descriptors, EPERM and ESRCH for credentials that are not one's
    own.
    """
    files: list[File] = []
    credentials: Credentials | None = None
    try:
        for level, kind, data in ancillary:
            if level != SOL_SOCKET:
                continue
            if kind == SCM_RIGHTS:
                _hold_files(process, data, files)
            elif kind == SCM_CREDENTIALS:
                credentials = _checked_credentials(process, data)
            else:
                raise fail(errno.EINVAL)
    except OSError:
        drop_files(files)
        raise
    return files or None, credentials


def _hold_files(process: Process, data: bytes, files: list[File]) -> None:
    fds = [fd for (fd,) in iter_unpack("=i", data[: len(data) & ~3])]
    if len(fds) > SCM_MAX_FD or len(files) + len(fds) > SCM_MAX_FD:
        raise fail(errno.EINVAL)
    for fd in fds:
        file = process.files.get(fd)
        file.references += 1
        files.append(file)


def _checked_credentials(process: Process, data: bytes) -> Credentials:
    try:
        pid, uid, gid = unpack("=iII", data)
    except StructError:
        raise fail(errno.EINVAL) from None
    if pid != process.pid and not process.capable(CAP_SYS_ADMIN):
        raise fail(errno.EPERM)
    if uid not in (process.uid, process.euid, process.suid) and not process.capable(CAP_SETUID):
        raise fail(errno.EPERM)
    if gid not in (process.gid, process.egid, process.sgid) and not process.capable(CAP_SETGID):
        raise fail(errno.EPERM)
    if pid != process.pid and process.host.processes.get(pid) is None:
        raise fail(errno.ESRCH)
    return pid, uid, gid


def drop_files(files: list[File] | None) -> None:
    """Give back the references that a message held."""
    for file in files or ():
        put(file)


def make_ancillary(
    process: Process, room: int, flags: int, credentials: Credentials | None, files: list[File] | None
) -> tuple[list[Ancillary], int]:
    """The control messages for a receiver with `room` bytes for them, and MSG_CTRUNC if something did not fit.

    `credentials` are given when SO_PASSCRED is set. Descriptors are installed in the process, those that fit; the
    others are closed (scm_recv_unix, put_cmsg, scm_detach_fds).
    """
    answer: list[Ancillary] = []
    out = 0
    if credentials is not None:
        data = pack("=iII", *credentials)
        if room < CMSG_HEADER:
            out |= MSG_CTRUNC
        else:
            if room < CMSG_HEADER + len(data):
                out |= MSG_CTRUNC
                data = data[: room - CMSG_HEADER]
            answer.append((SOL_SOCKET, SCM_CREDENTIALS, data))
            room -= min(_aligned(CMSG_HEADER + len(data)), room)
    if files is not None:
        fds = _install(process, files[: max(0, room - CMSG_HEADER) // 4], bool(flags & MSG_CMSG_CLOEXEC))
        if len(fds) < len(files):
            out |= MSG_CTRUNC
        if fds:
            answer.append((SOL_SOCKET, SCM_RIGHTS, pack(f"={len(fds)}i", *fds)))
        drop_files(files)
    return answer, out


def _install(process: Process, files: list[File], cloexec: bool) -> list[int]:
    fds: list[int] = []
    for file in files:
        try:
            fds.append(process.files.install(file, cloexec))
        except OSError:  # EMFILE: the rest is lost
            break
    return fds


def _aligned(length: int) -> int:
    return length + 7 & ~7
