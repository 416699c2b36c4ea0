"""Functions that run in a network namespace of their own, in a child that ends with them."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import subprocess
import traceback
from collections.abc import Callable
from functools import cache
from itertools import groupby
from typing import Any

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def unshare() -> None:
    """Enter a network namespace of our own (unshare(2)). OSError without the permission."""
    if libc.unshare(CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function(*arguments)` returns in a child. What it raises fails the test."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            try:
                result = (True, function(*arguments))
            except BaseException:
                result = (False, traceback.format_exc())
            with os.fdopen(write_end, "wb") as pipe:
                pickle.dump(result, pipe)
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    ok, value = pickle.loads(data)
    assert ok, value
    return value


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function(*arguments)` returns in a fresh network namespace. What it raises fails the test."""

    def inside() -> Any:
        unshare()
        return function(*arguments)

    return in_child(inside)


@cache
def lacking(*tools: str) -> str:
    """Why the real kernel can't be asked here; empty when it can."""
    try:
        apart(lambda: [subprocess.run([tool, "-V"], capture_output=True, check=True) for tool in tools] and None)
    except AssertionError as error:
        return f"no network namespace with {' and '.join(tools)} here: {str(error).strip().splitlines()[-1]}"
    return ""


def ip(*commands: str) -> str:
    """Run ip(8) commands, of IPv6 those that begin with -6; those that the kernel refuses are passed over, as generated
    ones may be. Returns what ip(8) complains of."""
    complaints = ""
    for v6, several in groupby(commands, lambda command: command.startswith("-6 ")):
        lines = "".join(f"{command.removeprefix('-6 ')}\n" for command in several)
        family = ["-6"] if v6 else []
        done = subprocess.run(["ip", *family, "-force", "-batch", "-"], input=lines, capture_output=True, text=True)
        complaints += done.stderr
    return complaints


def ip_json(*words: str) -> list[dict[str, Any]]:
    """What `ip -j` prints."""
    done = subprocess.run(["ip", "-j", "-d", *words], capture_output=True, text=True, check=True)
    return [entry for entry in json.loads(done.stdout or "[]") if entry]


def nft(text: str) -> None:
    """Load a ruleset. AssertionError with what nft(8) says when it does not take it."""
    lines = text.replace("} }", "}\n}").replace("; }\n", ";\n}\n")  # a block ends with a line
    done = subprocess.run(["nft", "-f", "-"], input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + text
