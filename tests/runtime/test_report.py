"""Whose frames a traceback shows, and which failures are portside's own."""

from __future__ import annotations

import os
import sys

import pytest

from portside.runtime.report import is_a_bug, strip
from portside.wire import seq


def caught(call):
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - whatever it is, its traceback is looked at
        call()
    return raised.value


def files(error):
    trace, found = error.__traceback__, []
    while trace is not None:
        found.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return found


def test_a_failure_below_the_border_is_a_bug_and_its_frames_are_known_compiled_or_not():
    error = caught(lambda: seq.diff("x", 1))
    assert files(error)[-1].endswith("portside/wire/seq.py")
    assert is_a_bug(error)
    error.__traceback__ = strip(error.__traceback__)
    assert files(error)
    assert not any("portside/wire" in file for file in files(error))


@pytest.mark.parametrize("call", [lambda: 1 / 0, sys.exit, lambda: int("x"), lambda: os.stat("/no/such/file")])
def test_a_programs_own_failure_is_none(call):
    assert not is_a_bug(caught(call))


def test_nor_is_what_the_kernel_answers(world):
    def program():
        import socket

        socket.create_connection(("127.0.0.1", 1))

    assert not is_a_bug(caught(lambda: world.call(program)))
