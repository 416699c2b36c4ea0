"""Which bind(2) and listen(2) a process makes, and what they answer: ptrace(2), for the time of its start.

A traced process is stopped for a moment at each system call, so that it is let go of as soon as its server is up. No
registers are read: PTRACE_GET_SYSCALL_INFO tells calls and answers alike on every architecture.

A program that gives its user rights, such as sudo(8), gives none while it is traced (execve(2)): it is let go of just
before it begins, with all that it will start.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import struct
from typing import Final, NamedTuple

from portside.live import proc
from portside.live.descriptors import Denied, libc

SEIZE, INTERRUPT, LISTEN, DETACH, SYSCALL, SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 17, 24, 0x420E  # <linux/ptrace.h>
OPTIONS: Final = 0x1 | 0x2 | 0x4 | 0x8 | 0x10  # SYSGOOD, and to follow fork, vfork, clone, exec
SYSCALL_STOP: Final = signal.SIGTRAP | 0x80
EVENT_STOP: Final = 128
ENTRY, EXIT = 1, 2
STOPPING: Final = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})

# System calls by AUDIT_ARCH_* of <linux/audit.h>: <asm/unistd_64.h>, <asm-generic/unistd.h>.
CALLS: Final = {
    0xC000003E: {49: "bind", 50: "listen", 59: "execve", 322: "execveat"},
    0xC00000B7: {200: "bind", 201: "listen", 221: "execve", 281: "execveat"},
    0xC00000F3: {200: "bind", 201: "listen", 221: "execve", 281: "execveat"},
}
AT_FDCWD: Final = 0xFFFFFF9C
PAGE: Final = 4096


class Call(NamedTuple):
    """One bind(2) or listen(2) that has returned. `where` is the sockaddr as it was given, of a bind."""

    pid: int
    name: str
    descriptor: int
    where: bytes
    errno: int

    @property
    def endpoint(self) -> tuple[int, str, int, int] | None:
        """Family, address, port and scope of an internet bind; None for others."""
        if len(self.where) < 8:
            return None
        (family,) = struct.unpack_from("=H", self.where)
        (port,) = struct.unpack_from("!H", self.where, 2)
        if family == socket.AF_INET:
            return family, socket.inet_ntop(family, self.where[4:8]), port, 0
        if family == socket.AF_INET6 and len(self.where) >= 24:
            (scope,) = struct.unpack_from("=I", self.where, 24) if len(self.where) >= 28 else (0,)
            return family, socket.inet_ntop(family, self.where[8:24]), port, scope
        return None


class Tracer:
    """The tracing side: it owns every thread of the processes that it follows, until `leave`."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self._entered: dict[int, tuple[str, int, bytes]] = {}
        self._gains: set[int] = set()
        self._leaving = False

    def follow(self, pid: int) -> None:
        """Begin to trace a process and all that it will start. Raises Denied."""
        import ctypes

        libc().ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        libc().ptrace.restype = ctypes.c_long
        if libc().ptrace(SEIZE, pid, 0, OPTIONS) < 0:
            raise Denied(os.strerror(ctypes.get_errno()))
        self.threads.add(pid)
        self._do(INTERRUPT, pid)

    def leave(self) -> None:
        """Let go of all of them, each at its next stop."""
        self._leaving = True
        for thread in self.threads:
            self._do(INTERRUPT, thread)

    def ended(self, thread: int) -> None:
        """Hear that a thread is gone."""
        self.threads.discard(thread)
        self._gains.discard(thread)
        self._entered.pop(thread, None)

    def stopped(self, thread: int, status: int) -> Call | None:
        """Deal with a stop that waitpid(2) told of, and let the thread go on. The call that it has just made."""
        number, event = os.WSTOPSIG(status), status >> 16
        self.threads.add(thread)
        call = None
        if number == SYSCALL_STOP:
            call = self._call(thread)
            number = 0
        elif event:
            if event == EVENT_STOP and number in STOPPING and not self._leaving:
                self._do(LISTEN, thread)
                return None
            number = 0
        if self._leaving or thread in self._gains:
            self._do(DETACH, thread, number)
            self.ended(thread)
        else:
            self._do(SYSCALL, thread, number)
        return call

    def _do(self, request: int, thread: int, data: int = 0) -> None:
        """One request; a thread that is gone by now is no error (ESRCH)."""
        libc().ptrace(request, thread, 0, data)

    def _call(self, thread: int) -> Call | None:
        import ctypes

        info = ctypes.create_string_buffer(88)
        if libc().ptrace(SYSCALL_INFO, thread, ctypes.sizeof(info), ctypes.addressof(info)) <= 0:
            return None
        what, arch = info.raw[0], int.from_bytes(info.raw[4:8], "little")
        if what == ENTRY:
            number, first, second, third = struct.unpack_from("=QQQQ", info.raw, 24)
            name = CALLS.get(arch, {}).get(number)
            if name in ("execve", "execveat"):
                place, address = (AT_FDCWD, first) if name == "execve" else (first & 0xFFFFFFFF, second)
                if os.geteuid() and gives_rights(self._program(thread, place, address)):
                    self._gains.add(thread)
            elif name is not None:
                where = self._memory(thread, second, min(third, 128)) if name == "bind" else b""
                self._entered[thread] = (name, first & 0xFFFFFFFF, where)
            return None
        entered = self._entered.pop(thread, None) if what == EXIT else None
        if entered is None:
            return None
        (answer,) = struct.unpack_from("=q", info.raw, 24)
        return Call(process_of(thread), *entered, errno=-answer if answer < 0 else 0)

    def _program(self, thread: int, place: int, address: int) -> str:
        """The file that is about to be run, as this process reaches it. Args: place: the directory's descriptor."""
        path = self._memory(thread, address, PAGE - address % PAGE)
        if b"\0" not in path:  # it goes on in the next page
            path += self._memory(thread, address + len(path), PAGE)
        name = os.fsdecode(path.partition(b"\0")[0])
        home = f"{proc.PROC}/{thread}"
        if name.startswith("/"):
            return f"{home}/root{name}"
        return f"{home}/cwd/{name}" if place == AT_FDCWD else f"{home}/fd/{place}/{name}".rstrip("/")

    def _memory(self, thread: int, address: int, length: int) -> bytes:
        try:
            descriptor = os.open(f"{proc.PROC}/{thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.pread(descriptor, length, address)
            finally:
                os.close(descriptor)
        except OSError:  # a wild pointer: bind(2) answers EFAULT
            return b""


def gives_rights(path: str) -> bool:
    """Whether a program runs as another user or group than who starts it, or with capabilities of its own."""
    try:
        mode = os.stat(path).st_mode
        group = stat.S_ISGID | stat.S_IXGRP
        return bool(mode & stat.S_ISUID) or mode & group == group or "security.capability" in os.listxattr(path)
    except OSError:  # it is not there, or its file system keeps no attributes
        return False


def process_of(thread: int) -> int:
    """The process that a thread belongs to; itself where it is gone."""
    try:
        for line in (proc.read(f"{proc.PROC}/{thread}/status") or b"").splitlines():
            if line.startswith(b"Tgid:"):
                return int(line[5:])
    except proc.Gone:
        pass
    return thread
