from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from random import Random

import pytest
from kernel_objects import FakeHost

from portside.host.processes import CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_SETUID, ProcessExit
from portside.host.syscalls import process as calls

# Each dialogue runs in a child of its own, as root; the answers are ids and whether three capabilities are effective.
WORKER = r"""
import ctypes, errno, json, os, sys
def state():
    with open("/proc/thread-self/status") as file:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    capabilities = [int(lines["CapEff"], 16) >> bit & 1 for bit in (6, 7, 10)]
    return list(os.getresuid()), list(os.getresgid()), sorted(os.getgroups()), capabilities
def run(dialogue):
    os.setgroups([])
    answers = []
    for name, *arguments in dialogue:
        try:
            result = getattr(os, name)(*arguments)
        except OSError as error:
            result = errno.errorcode[error.errno]
        answers.append([result, *state()])
    return answers
for dialogue in json.load(sys.stdin):
    reader, writer = os.pipe()
    if not os.fork():
        os.write(writer, json.dumps(run(dialogue)).encode() + b"\n")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        sys.stdout.write(answer.read())
    os.wait()
"""


def generated_dialogues(number: int) -> list[list[list[object]]]:
    random = Random(7)
    ids = [0, 1000, 1001, 1002]

    def step() -> list[object]:
        one = [random.choice(ids)]
        some = [random.choice([-1, *ids]) for _ in range(3)]
        return random.choice(
            [
                ["setuid", *one], ["seteuid", *one], ["setreuid", *some[:2]], ["setresuid", *some],
                ["setgid", *one], ["setegid", *one], ["setregid", *some[:2]], ["setresgid", *some],
                ["setgroups", random.sample(ids, random.randrange(3))], ["setreuid", *some[:2]], ["setresuid", *some],
            ]
        )  # fmt: skip

    return [[step() for _ in range(8)] for _ in range(number)]


def simulated(dialogue):
    process = FakeHost().processes.create("test")
    answers = []
    for name, *arguments in dialogue:
        try:
            result = getattr(calls, name)(process, *arguments)
        except OSError as error:
            result = errno.errorcode[error.errno]
        capabilities = [int(process.capable(bit)) for bit in (6, 7, 10)]
        state = (list(calls.getresuid(process)), list(calls.getresgid(process)), sorted(calls.getgroups(process)))
        answers.append([result, *state, capabilities])
    return answers


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="changes its ids: root")
def test_ids_and_capabilities_change_as_on_the_kernel():
    dialogues = generated_dialogues(600 if os.environ.get("PORTSIDE_DEEP") else 100)
    done = subprocess.run(
        [sys.executable, "-c", WORKER], input=json.dumps(dialogues), capture_output=True, text=True, check=True
    )
    for dialogue, line in zip(dialogues, done.stdout.splitlines(), strict=True):
        real = json.loads(line)
        ours = json.loads(json.dumps(simulated(dialogue)))
        for number, step in enumerate(dialogue):
            assert ours[number] == real[number], (dialogue[: number + 1], step)


def test_root_that_becomes_a_user_and_returns():
    process = FakeHost().processes.create("test")
    assert process.capable(CAP_NET_BIND_SERVICE)
    calls.seteuid(process, 1000)
    assert not process.capable(CAP_NET_BIND_SERVICE)
    assert process.permitted >> CAP_SETUID & 1
    calls.seteuid(process, 0)
    assert process.capable(CAP_NET_ADMIN)
    calls.setuid(process, 1000)
    assert process.permitted == 0
    with pytest.raises(PermissionError):
        calls.setuid(process, 0)


def test_a_users_process_can_do_nothing_special():
    process = FakeHost().processes.create("test", uid=1000)
    assert (process.uid, process.gid, process.effective) == (1000, 1000, 0)
    with pytest.raises(PermissionError):
        calls.setgroups(process, [0])


@pytest.mark.parametrize("wrong", [-2, 1 << 32])
def test_ids_are_32_bits(wrong):
    with pytest.raises(OSError, match="Invalid argument"):
        calls.setuid(FakeHost().processes.create("test"), wrong)


def test_pids_and_parents():
    host = FakeHost()
    first = host.processes.create("first")
    second = host.processes.create("second", parent=first.pid)
    assert (first.pid, first.ppid, second.pid, second.ppid) == (100, 1, 101, 100)
    first.exit(300)
    assert first.exit_status == 300 & 0xFF
    assert (second.ppid, len(host.processes), host.processes.get(100)) == (1, 1, None)
    first.exit(1)
    assert first.exit_status == 44


def test_standard_descriptors():
    process = FakeHost().processes.create("test")
    written = []
    process.stdout.sink = written.append
    assert sorted(process.files.open) == [0, 1, 2]
    assert process.files.get(1).write(b"hello") == 5
    assert process.files.get(0).read(10) == b""
    assert written == [b"hello"]


def test_signals():
    host = FakeHost()
    root, user = host.processes.create("root"), host.processes.create("user", uid=1000)
    other = host.processes.create("other", uid=1001)
    for number in (-1, 65):
        with pytest.raises(OSError, match="Invalid argument"):
            calls.kill(root, user.pid, number)
    with pytest.raises(ProcessLookupError):
        calls.kill(root, 99, 0)
    with pytest.raises(PermissionError):
        calls.kill(user, other.pid, 0)
    calls.kill(root, user.pid, 0)
    calls.kill(root, user.pid, 17)
    assert user.alive
    heard = []
    user.handlers[15] = heard.append
    calls.kill(root, user.pid, 15)
    assert heard == [15]
    user.handlers[9] = heard.append
    calls.kill(root, user.pid, 9)
    assert (user.exit_status, heard) == (-9, [15])
    with pytest.raises(ProcessExit):
        calls.kill(other, other.pid, 15)
    assert other.exit_status == -15
    with pytest.raises(ProcessExit):
        calls.exit(root, 2)


def test_limits():
    process = FakeHost().processes.create("test", uid=1000)
    assert calls.getrlimit(process, 7) == (1024, 1048576)
    calls.setrlimit(process, 7, 4, 10)
    process.files.dup(0)
    with pytest.raises(OSError, match="Too many open files"):
        process.files.dup(0)
    with pytest.raises(PermissionError):
        calls.setrlimit(process, 7, 4, 11)
    for soft, hard, resource in ((5, 4, 7), (1, 2, 3)):
        with pytest.raises(OSError, match="Invalid argument"):
            calls.setrlimit(process, resource, soft, hard)


def test_users():
    users = FakeHost().users
    assert users.uid("root") == 0
    assert users.uid("nobody") == users.uid("65534") == 65534
    assert users.uid("alice") == 1000 == users.uid("alice")
    assert (users.uid("bob"), users.name(1001), users.name(5)) == (1001, "bob", None)
    with pytest.raises(ValueError, match="taken"):
        users.add("alice", 7)
    with pytest.raises(ValueError, match="not a user id"):
        users.uid(1 << 32)
    assert users.all() == [("root", 0), ("alice", 1000), ("bob", 1001), ("nobody", 65534)]
