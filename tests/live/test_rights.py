"""Whether a privileged port may be bound, as a user namespace has it: what is foretold, and what the kernel does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.linux

TRY = """
import socket
import portside
from portside.live import rights
s = socket.socket()
try:
    s.bind(("0.0.0.0", 551))
except PermissionError:
    done = False
else:
    done = True
s.close()
print(done, bool(rights.in_network_namespace() >> 10 & 1), bool(portside.would_bind("0.0.0.0:551")))
"""


WITHOUT_PROC = """
import portside
from portside.live import rights
print(rights.in_network_namespace(), bool(portside.would_bind("127.0.0.1:0")))
"""


@pytest.mark.parametrize(
    ("command", "may"),
    [
        ("unshare -n", True),
        ("unshare -Ur", False),  # root of a user namespace that does not own the network namespace
        ("unshare -Urn", True),
        ("unshare -n unshare -Ur", False),
        ("unshare -Ur unshare -n unshare -Ur", False),
        ("unshare -n setpriv --bounding-set -net_bind_service", False),
    ],
)
def test_the_capability_counts_where_the_network_namespace_is_owned(command: str, may: bool) -> None:
    words = command.split()
    if os.geteuid():
        pytest.skip("a network namespace of its own needs root")
    for tool in {"unshare", "setpriv"} & set(words):
        if not shutil.which(tool):
            pytest.skip(f"{tool}(1) is needed")
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"{command} does not work here")
    done = subprocess.run([*words, sys.executable, "-c", TRY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(may)] * 3


def test_without_proc_it_is_not_known() -> None:
    command = ["unshare", "-m", "sh", "-c", f"mount -t tmpfs none /proc && exec {sys.executable} -c '{WITHOUT_PROC}'"]
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("a /proc of its own needs root and unshare(1)")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "mount: " in done.stderr or "unshare: " in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr}")
    assert done.stdout.split() == ["None", "True"], done.stderr
