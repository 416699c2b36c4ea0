"""Who holds which socket, told by the kernel in one go: a BPF iterator over all file descriptors, for root.

Where processes hold tens of thousands of sockets, a readlink(2) for each takes most of the time that a list takes. The
kernel can walk over the descriptors itself (`task_file` of Documentation/bpf/bpf_iterators.rst, since Linux 5.8), and
runs for each a program of ours that writes down process, number and inode of what is a socket. It reads and writes
nothing else, and is gone when the descriptors here are closed. Where the kernel does not let us, `owners` does without.
"""

from __future__ import annotations

import os
import struct
import sys
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any, Final

from portside.live import btf, proc
from portside.live.descriptors import libc

_SYSCALLS: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280}
_PROG_LOAD: Final = 5
_LINK_CREATE: Final = 28
_ITER_CREATE: Final = 33
_TRACING: Final = 26  # BPF_PROG_TYPE_TRACING
_TRACE_ITER: Final = 28  # BPF_TRACE_ITER
_SEQ_WRITE: Final = 127  # bpf_seq_write()

_ROW: Final = 16  # process, descriptor: four bytes each; inode: eight
_PIECE: Final = 1 << 15
"""As much as the kernel gives at a time (bpf_seq_read)."""
_TARGET: Final = b"bpf_iter_task_file"

# union bpf_attr of BPF_PROG_LOAD: type, instructions, license, log, version, flags, name, device, attach type, the
# program's own types (none), the type to attach to.
_LOAD: Final = struct.Struct("=IIQQIIQII16sIIIIQIIQIII")

# Instructions of the BPF machine, RFC 9669: load a double word, word or half word; store; move; add; and; jump; call.
_LDXDW, _LDXW, _LDXH, _STXDW, _STXW = 0x79, 0x61, 0x69, 0x7B, 0x63
_MOV, _MOV_NUMBER, _ADD, _AND, _CALL, _EXIT = 0xBF, 0xB7, 0x07, 0x57, 0x85, 0x95
_JEQ, _JNE, _JNE_REGISTER = 0x15, 0x55, 0x5D

S_IFMT: Final = 0xF000
S_IFSOCK: Final = 0xC000


class Unavailable(Exception):
    """This kernel has no such iterator, or does not let this user run it."""


def sockets() -> dict[int, tuple[Sequence[int], Sequence[int]]]:
    """The sockets that each process of the machine has open, by the process's number: inodes, and descriptors.

    A descriptor has its process in the lower 32 bits, and its number above.

    Raises Unavailable, at once.
    """
    _check()
    try:
        rows = memoryview(_run(*_prepared(btf.VMLINUX)))
    except (OSError, ValueError) as error:
        raise Unavailable(str(error)) from error
    pids, places, inodes = rows.cast("I")[0::4], rows.cast("Q")[0::2], rows.cast("Q")[1::2]
    found: dict[int, tuple[Sequence[int], Sequence[int]]] = {}
    start = 0
    while start < len(pids):  # the kernel takes the processes in the order of their numbers
        end = bisect_right(pids, pids[start], start)
        found[pids[start]] = inodes[start:end], places[start:end]
        start = end
    return found


@cache
def _prepared(description: str) -> tuple[bytes, int]:
    """The program, and the number of what it is to be attached to: those of a kernel do not change while it runs."""
    types = btf.Types(btf.read(description), (_TARGET, b"file", b"inode", b"task_struct"))
    return _program(types), types.number(_TARGET)


def _check() -> None:
    if os.geteuid() or sys.byteorder != "little" or sys.maxsize < 2**32 or os.uname().machine not in _SYSCALLS:
        raise Unavailable("only root, on a machine of 64 bits, little endian")
    if not proc.sees_all_processes():
        raise Unavailable("in a PID namespace of its own")


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, number: int = 0) -> bytes:
    return struct.pack("<BBhi", code, source << 4 | target, offset, number)


def _program(types: btf.Types) -> bytes:
    """The program. It is called with struct bpf_iter__task_file in r1: meta, task, descriptor, file."""
    inode = types.offset(b"file", b"f_inode")
    mode, number = types.offset(b"inode", b"i_mode"), types.offset(b"inode", b"i_ino")
    pid, tgid = types.offset(b"task_struct", b"pid"), types.offset(b"task_struct", b"tgid")
    one = _instruction
    return b"".join(
        (
            one(_LDXDW, 6, 1, 0),  # r6 = meta
            one(_LDXDW, 7, 1, 24),  # r7 = file
            one(_LDXDW, 8, 1, 8),  # r8 = task
            one(_LDXW, 9, 1, 16),  # r9 = descriptor
            one(_JEQ, 7, 0, 18, 0),  # no file, or no task: this is the end
            one(_JEQ, 8, 0, 17, 0),
            one(_LDXW, 1, 8, tgid),
            one(_LDXW, 2, 8, pid),
            one(_JNE_REGISTER, 1, 2, 14),  # a thread with descriptors of its own, which /proc/PID/fd does not show
            one(_LDXDW, 7, 7, inode),
            one(_LDXH, 1, 7, mode),
            one(_AND, 1, 0, 0, S_IFMT),
            one(_JNE, 1, 0, 10, S_IFSOCK),
            one(_LDXDW, 1, 7, number),
            one(_STXDW, 10, 1, -8),
            one(_LDXW, 1, 8, tgid),
            one(_STXW, 10, 1, -16),
            one(_STXW, 10, 9, -12),
            one(_LDXDW, 1, 6, 0),  # r1 = meta->seq
            one(_MOV, 2, 10),
            one(_ADD, 2, 0, 0, -_ROW),
            one(_MOV_NUMBER, 3, 0, 0, _ROW),
            one(_CALL, 0, 0, 0, _SEQ_WRITE),
            one(_MOV_NUMBER, 0, 0, 0, 0),
            one(_EXIT),
        )
    )


def _run(program: bytes, target: int) -> bytes:
    """Load the program, let it run over everything, and give back what it wrote. Raises OSError."""
    import ctypes

    code = ctypes.create_string_buffer(program, len(program))
    license_ = ctypes.create_string_buffer(b"GPL")  # what bpf_seq_write() asks of its callers
    load = _LOAD.pack(
        _TRACING, len(program) // 8, ctypes.addressof(code), ctypes.addressof(license_), 0, 0, 0, 0, 0,
        b"portside", 0, _TRACE_ITER, 0, 0, 0, 0, 0, 0, 0, target, 0,
    )  # fmt: skip
    with ExitStack() as held:

        def bpf(command: int, attributes: bytes) -> int:
            descriptor = _bpf(command, attributes)
            held.callback(os.close, descriptor)
            return descriptor

        loaded = bpf(_PROG_LOAD, load)
        link = bpf(_LINK_CREATE, struct.pack("=IIII", loaded, 0, _TRACE_ITER, 0) + bytes(48))
        iterator = bpf(_ITER_CREATE, struct.pack("=II", link, 0))
        return b"".join(iter(lambda: os.read(iterator, _PIECE), b""))


def _bpf(command: int, attributes: bytes) -> int:
    import ctypes

    buffer: Any = ctypes.create_string_buffer(attributes, len(attributes))
    result: int = libc().syscall(_SYSCALLS[os.uname().machine], command, buffer, len(attributes))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
