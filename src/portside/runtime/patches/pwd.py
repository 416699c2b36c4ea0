"""`pwd` and `grp`: the users of the simulated host, beside those of the real machine's files."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable

from portside.runtime.patcher import Patcher
from portside.runtime.trap import current_process

Real = Callable[..., object]


def _user(name: str, uid: int) -> pwd.struct_passwd:
    home = "/root" if uid == 0 else f"/home/{name}" if uid >= 1000 and uid != 65534 else "/nonexistent"
    return pwd.struct_passwd((name, "x", uid, uid, name, home, "/bin/sh"))


def getpwuid(real: Real, uid: int, /) -> object:
    """pwd.getpwuid."""
    process = current_process()
    name = None if process is None else process.host.users.name(uid)
    return real(uid) if name is None else _user(name, uid)


def getpwnam(real: Real, name: str, /) -> object:
    """pwd.getpwnam."""
    process = current_process()
    if process is not None:
        for known, uid in process.host.users.all():
            if known == name:
                return _user(name, uid)
    return real(name)


def getgrgid(real: Real, gid: int, /) -> object:
    """grp.getgrgid: a user's group has the user's name."""
    process = current_process()
    name = None if process is None else process.host.users.name(gid)
    return real(gid) if name is None else grp.struct_group((name, "x", gid, []))


def getgrnam(real: Real, name: str, /) -> object:
    """grp.getgrnam."""
    process = current_process()
    if process is not None:
        for known, uid in process.host.users.all():
            if known == name:
                return grp.struct_group((name, "x", uid, []))
    return real(name)


def add(patcher: Patcher) -> None:
    """Replace the look-ups."""
    patcher.function(pwd, "getpwuid", getpwuid)
    patcher.function(pwd, "getpwnam", getpwnam)
    patcher.function(grp, "getgrgid", getgrgid)
    patcher.function(grp, "getgrnam", getgrnam)
