"""OpenSSL's chance while worlds run: what a simulated program's TLS draws is drawn from the seed of its world.

So keys, nonces and the sizes of signatures are the same in each run. OpenSSL asks the method of RAND_set_rand_method(3)
for all of its random bytes; calls from outside of the world go on to its own. Where `_ssl` was built without that
function nothing is replaced.
"""

from __future__ import annotations

import _ssl
import ctypes
from typing import TYPE_CHECKING, ClassVar, Final, cast

from greenlet import getcurrent

from portside.sim.scheduler import Task

if TYPE_CHECKING:
    from portside.host.processes import Process

_Bytes: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


class _Method(ctypes.Structure):
    """RAND_METHOD of openssl/types.h."""

    _fields_: ClassVar = [
        ("seed", ctypes.c_void_p), ("bytes", _Bytes), ("cleanup", ctypes.c_void_p), ("add", ctypes.c_void_p),
        ("pseudorand", _Bytes), ("status", ctypes.c_void_p),
    ]  # fmt: skip


def _library() -> ctypes.CDLL | None:
    """The OpenSSL that `_ssl` uses, if its random method can be replaced."""
    try:
        library = ctypes.CDLL(getattr(_ssl, "__file__", None))
        library.RAND_OpenSSL.restype = ctypes.POINTER(_Method)
        library.RAND_set_rand_method.argtypes = [ctypes.c_void_p]
    except (AttributeError, OSError):
        return None
    return library


_LIBRARY: Final = _library()


def _draw(buffer: int, length: int) -> int:
    task = getcurrent()
    if type(task) is not Task:
        return cast(int, _real.bytes(buffer, length))
    process = cast("Process", task.process)
    data = process.host.world.stream(f"TLS {process.host.name} {process.pid}").randbytes(length)
    ctypes.memmove(buffer, data, length)
    return 1


def enter() -> None:
    """Let OpenSSL draw from the world that asks."""
    if _LIBRARY is not None:
        _LIBRARY.RAND_set_rand_method(ctypes.byref(_ours))


def leave() -> None:
    """Give OpenSSL its own method back."""
    if _LIBRARY is not None:
        _LIBRARY.RAND_set_rand_method(None)


if _LIBRARY is not None:
    _real: Final[_Method] = _LIBRARY.RAND_OpenSSL().contents
    _ours: Final = _Method.from_buffer_copy(_real)  # C keeps its address: it must stay
    _ours.bytes = _ours.pseudorand = _Bytes(_draw)
