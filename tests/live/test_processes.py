"""Processes as proc(5) tells of them: this one, children that the test makes, and hostile names."""

from __future__ import annotations

import ctypes
import os
import pty
import signal
import socket
import subprocess
import sys
import time

import pytest

from portside.live import proc, processes
from portside.live.processes import one, with_ancestors

pytestmark = pytest.mark.linux


def test_this_process():
    me = one(os.getpid())
    assert (me.pid, me.ppid, me.uid, me.euid, me.gid, me.egid) == (
        os.getpid(), os.getppid(), os.getuid(), os.geteuid(), os.getgid(), os.getegid()
    )  # fmt: skip
    assert me.exe == os.readlink("/proc/self/exe")
    assert me.cwd == os.getcwd()
    with open("/proc/self/cmdline", "rb") as file:
        assert [os.fsencode(word) for word in me.argv] == file.read().rstrip(b"\0").split(b"\0")
    assert (me.group, me.session) == (os.getpgid(0), os.getsid(0))
    assert sorted(me.groups) == sorted(os.getgroups())
    assert me.namespace == os.stat("/proc/self/ns/net").st_ino
    assert me.state == "R"
    assert me.descriptors is None


def test_descriptors_on_request(keep):
    keep.append(socket.socket())
    held = dict(one(os.getpid(), descriptors=True).descriptors)
    assert held[keep[0].fileno()] == f"socket:[{os.fstat(keep[0].fileno()).st_ino}]"


def test_when_it_was_started():
    before = time.time_ns()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        after = time.time_ns()
        started = one(child.pid).started
    finally:
        child.communicate(b"\n")
    tick = 10_000_000  # the kernel counts in these, and rounds down
    assert before - 2 * tick <= started <= after + tick


def test_names_that_would_mislead(tmp_path):
    """A program called `) R 1 1 (`, with arguments that hold line feeds, escapes and bytes that are no UTF-8."""
    program = os.fsencode(tmp_path) + b"/) R 1 1\n("
    os.symlink("/bin/cat", program)
    argv = [program, b"-", b"-u"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    child = subprocess.Popen(argv, **pipes)
    wild = subprocess.Popen([b"\x1b[2J\xff\n", b"-", b"-u"], executable="/bin/cat", **pipes)
    try:
        for each in (child, wild):  # it runs: execve(2) puts the arguments in place after it has closed descriptors
            each.stdin.write(b"!")
            assert each.stdout.read(1) == b"!"
        found = one(child.pid)
        assert (found.name, found.ppid, found.state in "RSD") == (") R 1 1\n(", os.getpid(), True)
        assert found.argv == tuple(map(os.fsdecode, argv))
        assert one(wild.pid).argv[:2] == ("\x1b[2J\udcff\n", "-")
    finally:
        child.communicate()
        wild.communicate()


def test_a_terminal():
    pid, controller = pty.fork()
    if not pid:
        os.write(1, os.ttyname(0).encode() + b"!")
        signal.pause()
    try:
        name = b""
        while not name.endswith(b"!"):
            name += os.read(controller, 100)
        assert "/dev/" + one(pid).terminal == name[:-1].decode()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(controller)


def test_another_user():
    if os.geteuid():
        pytest.skip("only root can become another user")
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.setgroups([77, 78])
        os.setresgid(70, 71, 71)
        os.setresuid(60, 61, 61)
        os.write(write, b"!")
        signal.pause()
    try:
        os.read(read, 1)
        found = one(pid)
        assert (found.uid, found.euid, found.gid, found.egid, found.groups) == (60, 61, 70, 71, (77, 78))
        assert found.capabilities == 0
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read)
        os.close(write)


def test_a_zombie_and_one_that_is_gone():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    found = one(pid)
    assert (found.state, found.argv, found.exe) == ("Z", (), None)
    os.waitpid(pid, 0)
    with pytest.raises(proc.Gone):
        one(pid)
    assert processes.read([pid]) == ()
    found = {each.pid for each in with_ancestors([pid, os.getpid()])}
    assert os.getpid() in found
    assert pid not in found


def test_ancestors():
    found = with_ancestors([os.getpid()])
    assert [each.ppid for each in found].count(0) == 1
    by_pid = {each.pid: each for each in found}
    pid = os.getpid()
    while by_pid[pid].ppid:
        pid = by_pid[pid].ppid
    assert set(by_pid) >= {os.getpid(), os.getppid(), pid}


def test_threads_of_the_kernel():
    threads = [each for each in processes.read() if each.ppid == 2]
    assert all(proc.is_kernel_thread(each.pid) for each in threads)
    assert all(each.exe is None and each.argv == () for each in threads)
    assert not proc.is_kernel_thread(os.getpid())
    assert proc.is_kernel_thread(2**22 + 1)  # there is none: its descriptors are no matter


def test_numbers_in_namespaces_of_processes():
    if os.geteuid():
        pytest.skip("a PID namespace needs root")
    libc = ctypes.CDLL(None, use_errno=True)
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        if libc.unshare(0x20000000):  # CLONE_NEWPID: for the children
            os._exit(1)
        inner = os.fork()
        if not inner:
            signal.pause()
        os.write(write, str(inner).encode())
        os.waitpid(inner, 0)
        os._exit(0)
    inner = int(os.read(read, 20))
    try:
        assert one(inner).inner_pids == (1,)
        assert one(os.getpid()).inner_pids == ()
    finally:
        os.kill(inner, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read)
        os.close(write)


def test_all_processes_are_there():
    found = {each.pid for each in processes.read()}
    assert {1, os.getpid(), os.getppid()} <= found
