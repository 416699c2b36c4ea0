"""`fcntl` and `resource`: control of the simulated process's descriptors, and how many it may have."""

from __future__ import annotations

import errno
import fcntl
import resource
import struct
from collections.abc import Callable
from typing import Final, cast

from portside.host.errors import fail
from portside.host.syscalls import files
from portside.host.syscalls import process as _calls
from portside.runtime.patcher import Patcher
from portside.runtime.real_file import RealFile
from portside.runtime.sim_epoll import descriptor
from portside.runtime.trap import current_process

Real = Callable[..., object]

_OF_TABLE: Final = (fcntl.F_DUPFD, fcntl.F_DUPFD_CLOEXEC, fcntl.F_GETFD, fcntl.F_SETFD)
_READS: Final = (files.FIONREAD, files.SIOCOUTQ, files.SIOCATMARK, *files.GET_OWNER)


def fcntl_call(real: Real, fd: object, cmd: int, arg: object = 0, /) -> object:
    """fcntl.fcntl."""
    process = current_process()
    if process is None:
        return real(fd, cmd, arg)
    number = descriptor(fd)
    file = process.files.get(number)
    if isinstance(file, RealFile) and cmd not in _OF_TABLE:
        return real(file.fd, cmd, arg)
    if isinstance(arg, int):
        answer = files.fcntl(process, number, cmd, arg)
        if answer < 0:
            raise OSError(0, "Error")  # a group, which CPython takes for a failure
        return answer
    raise fail(errno.EINVAL)


def _asks_the_network(request: int) -> bool:
    """Whether a request is one of the real machine's interfaces, tunnels or AF_VSOCK (ioctl_list(2)).

    A simulated host has no such devices; those of the real one are found on its disk.
    """
    group = request >> 8 & 0xFF
    return group in (0x89, 0x07) or (group == 0x54 and request > 0xFFFF)  # SIOC..., /dev/vsock, /dev/net/tun


def ioctl(real: Real, fd: object, request: int, arg: object = 0, mutate_flag: bool = True, /) -> object:
    """fcntl.ioctl: with an int, with bytes (the answer is returned), with a buffer (it is changed)."""
    process = current_process()
    if process is None:
        return real(fd, request, arg, mutate_flag)
    number = descriptor(fd)
    file = process.files.get(number)
    if isinstance(file, RealFile):
        if _asks_the_network(request):
            raise fail(errno.ENOTTY)
        return real(file.fd, request, arg, mutate_flag)
    if isinstance(arg, int):
        if request in _READS:
            raise fail(errno.EFAULT)
        return files.ioctl(process, number, request, arg)
    given = bytes(memoryview(cast(bytes, arg)))
    value = struct.unpack_from("i", given)[0] if len(given) >= 4 else 0
    answer = files.ioctl(process, number, request, value)
    data = struct.pack("i", answer) + given[4:] if request in _READS else given
    if (mutate_flag and isinstance(arg, (bytearray, memoryview))) or hasattr(arg, "buffer_info"):
        memoryview(cast(bytearray, arg)).cast("B")[: len(data)] = data
        return 0
    return data


def lock(real: Real, fd: object, *arguments: object) -> object:
    """fcntl.flock and lockf: of files on the real disk."""
    process = current_process()
    if process is None:
        return real(fd, *arguments)
    file = process.files.get(descriptor(fd))
    if not isinstance(file, RealFile):
        raise fail(errno.EINVAL)
    return real(file.fd, *arguments)


def getrlimit(real: Real, kind: int, /) -> object:
    """resource.getrlimit: RLIMIT_NOFILE is the process's own."""
    process = current_process()
    if process is None or kind != resource.RLIMIT_NOFILE:
        return real(kind)
    return _calls.getrlimit(process, kind)


def setrlimit(real: Real, kind: int, limits: tuple[int, int], /) -> object:
    """resource.setrlimit: RLIMIT_NOFILE is the process's own; the others bound the real machine and stay."""
    process = current_process()
    if process is None:
        return real(kind, limits)
    if kind != resource.RLIMIT_NOFILE:
        return None
    soft, hard = limits
    ceiling = process.files.hard_limit
    try:
        _calls.setrlimit(
            process, kind, ceiling if soft == resource.RLIM_INFINITY else soft,
            ceiling if hard == resource.RLIM_INFINITY else hard,
        )  # fmt: skip
    except PermissionError:
        raise ValueError("not allowed to raise maximum limit") from None
    except OSError:
        raise ValueError("current limit exceeds maximum limit") from None
    return None


def add(patcher: Patcher) -> None:
    """Replace what takes descriptors, and the one limit that is simulated."""
    patcher.function(fcntl, "fcntl", fcntl_call)
    patcher.function(fcntl, "ioctl", ioctl)
    patcher.function(fcntl, "flock", lock)
    patcher.function(fcntl, "lockf", lock)
    patcher.function(resource, "getrlimit", getrlimit)
    patcher.function(resource, "setrlimit", setrlimit)
