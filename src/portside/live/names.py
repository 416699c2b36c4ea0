"""What a name stands for where another process lives: in its network namespace, with its /etc.

A child that begins there asks getaddrinfo(3): the hosts file, the name servers and the order of addresses are those of
the place. It is a program of its own: `python -m portside.live.names`.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from portside.live.namespaces import every, set_namespace

CLONE_NEWNS: Final = 0x00020000
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000
NAMED: Final = "/etc/netns"
"""Where ip-netns(8) looks for the files of a named network namespace, which take the place of those of /etc."""


RUN: Final = "/run/netns"
"""Where it keeps them."""


class Elsewhere(OSError):
    """Names can't be looked up there: the reason is `strerror`."""


def addresses(
    name: str, port: int, family: int, network: str, *, pid: int = 0, named: str = ""
) -> list[tuple[int, str]]:
    """What a name stands for there: families and addresses, in the order in which a program tries them.

    Args: network: the network namespace, a path such as /proc/PID/ns/net. pid: of the process whose root directory
    counts; 0: this one's. named: the name of the network namespace, whose files in /etc/netns count.
    Raises Elsewhere when it can't be entered, socket.gaierror when the name is not known there.
    """
    asked = json.dumps([name, port, family, network, pid, named])
    home = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", __name__, asked], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))},
    )  # fmt: skip
    try:
        kind, *rest = json.loads(done.stdout)
    except ValueError:
        raise Elsewhere(errno.EIO, (done.stderr.strip() or "no answer").splitlines()[-1]) from None
    if kind == "unknown":
        raise socket.gaierror(*rest)
    if kind == "closed":
        raise Elsewhere(*rest)
    return [(int(each), str(address)) for each, address in rest[0]]


def is_named(namespace: str) -> bool:
    """Whether ip-netns(8) knows a network namespace by that name."""
    return Path(RUN, namespace).exists()


def path_of(namespace: str) -> str:
    """A way into a network namespace in which no process may live, by its name or its inode; empty for none."""
    if is_named(namespace):
        return f"{RUN}/{namespace}"
    found = every().found.values()
    return next((one.path for one in found if namespace in (one.name, str(one.inode))), "")


def _look(name: str, port: int, family: int, network: str, pid: int, named: str) -> list[object]:
    """The answer, as JSON has it."""
    "".encode("idna")  # the codec is there before its file is another's, or nobody's
    try:
        _enter(network, pid, named)
    except OSError as error:
        return ["closed", error.errno, error.strerror]
    try:
        found = socket.getaddrinfo(name, port, family, socket.SOCK_STREAM)
    except socket.gaierror as error:
        return ["unknown", error.errno, error.strerror]
    return ["known", [(int(each), where[0]) for each, _, _, _, where in found]]


def _enter(network: str, pid: int, named: str) -> None:
    """Begin to live there (setns(2), chroot(2)). Raises OSError."""
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if pid else -1
    place = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
    set_namespace(place)
    files = sorted(Path(NAMED, named).iterdir()) if named and Path(NAMED, named).is_dir() else []
    if files:
        _put_over(files)
    if pid:
        os.fchdir(root)
        os.chroot(".")
        os.chdir("/")


def _put_over(files: list[Path]) -> None:
    """Files in the place of those of /etc, in a mount namespace of this process alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(CLONE_NEWNS))
    _check(libc.mount(b"", b"/", None, MS_REC | MS_SLAVE, None))
    for each in files:
        over = Path("/etc", each.name)
        if over.exists():
            _check(libc.mount(os.fsencode(each), os.fsencode(over), None, MS_BIND, None))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    print(json.dumps(_look(*json.loads(sys.argv[1]))))
