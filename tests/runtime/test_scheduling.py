"""What a program sets of itself: its own, checked as on Linux, and the real process's stays."""

from __future__ import annotations

import os
import sys

STATE = """
    import os
    first = os.nice(0)
    print(os.nice(3) - first, os.getpriority(os.PRIO_PROCESS, 0) - first)
    os.setpriority(os.PRIO_PROCESS, 0, 17)
    print(os.getpriority(os.PRIO_PROCESS, os.getpid()), os.nice(100))
    for call in (lambda: os.sched_setaffinity(0, {4000}), lambda: os.sched_setaffinity(0, {-1}),
                 lambda: os.getpriority(os.PRIO_PROCESS, 3999999)):
        try:
            print(call())
        except (OSError, ValueError) as error:
            print(type(error).__name__, error)
    first = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {first, 4000})
    print(os.sched_getaffinity(0) == {first})
"""


def test_as_on_linux(same):
    same(STATE)


def test_the_real_process_stays_as_it_is(world):
    def state():
        return (
            os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0), os.getgroups(), sys.getrecursionlimit(),
            sys.getswitchinterval(),
        )  # fmt: skip

    before = state()

    def program():
        os.nice(5)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.initgroups("alice", 1234)
        sys.setrecursionlimit(5000)
        sys.setswitchinterval(0.5)
        return os.getgroups()

    assert world.call(program) == [1234]
    assert state() == before


def test_who_may_not(world):
    def program():
        import os

        words = []
        for call in (
            lambda: os.initgroups("alice", 1234), lambda: os.nice(-1), lambda: os.setpriority(os.PRIO_PROCESS, 0, -3),
        ):  # fmt: skip
            try:
                call()
            except PermissionError as error:
                words.append(str(error))
        return words

    operation, permission = "[Errno 1] Operation not permitted", "[Errno 13] Permission denied"
    assert world.call(program, user="alice") == [operation, operation, permission]
    assert world.call(program) == []
