"""Memory that is freed stays with the process, where the C library is glibc."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from portside.runtime.allocator import keep_blocks

if sys.argv[1] == "keep":
    keep_blocks()

def three_blocks():
    return [b"x" * (1 << 20) for _ in range(3)]

for _ in range(3):
    three_blocks()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    three_blocks()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(argument: str) -> int:
    """Page faults of twenty times three blocks of 1 MiB."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, argument], check=True, capture_output=True, text=True, env=environment
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries don't have the threshold that moves")
def test_blocks_that_are_freed_are_used_again_without_the_kernel():
    assert faults("keep") * 10 < faults("do not")
