"""The address tuples of programs against the addresses of the kernel (facts/sockaddr.py).

The checks and errors are those of getsockaddrarg() and makesockaddr() in Modules/socketmodule.c.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, cast

from portside.addr.abi import AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC
from portside.addr.ip import text, text_v6
from portside.facts.sockaddr import SockAddr
from portside.runtime.arguments import integer
from portside.runtime.names import resolve_one
from portside.runtime.numeric import dotted_quad, host_name

if TYPE_CHECKING:
    from portside.host.kernel import Host

_IPV4_WORDS: Final = "AF_INET address must be a pair (host, port)"
_IPV6_WORDS: Final = "AF_INET6 address must be a tuple (host, port[, flowinfo[, scopeid]])"


def _port(value: object, call: str) -> int:
    number = integer(value)
    if not -(1 << 31) <= number < 1 << 31:
        raise OverflowError(f"{call}(): port must be 0-65535.")
    return number


def sockaddr(host: Host, family: int, address: object, call: str) -> SockAddr:
    """The kernel's address for the program's. `call` is whose argument it is: error messages name it."""
    if family == AF_INET:
        if address.__class__ is tuple and len(address) == 2:
            place, number = address
            if place.__class__ is str and number.__class__ is int and 0 <= number <= 0xFFFF:
                dotted = dotted_quad(place)
                if dotted is not None:
                    return AF_INET, dotted, number
        if not isinstance(address, tuple):
            raise TypeError(f"{call}(): AF_INET address must be tuple, not {type(address).__name__}")
        if len(address) != 2:
            raise TypeError(_IPV4_WORDS)
        name = host_name(address[0])
        port = _port(address[1], call)
        ip, _ = resolve_one(host, name, AF_INET)
        if not 0 <= port <= 0xFFFF:
            raise OverflowError(f"{call}(): port must be 0-65535.")
        return AF_INET, ip, port
    if family == AF_INET6:
        return _sockaddr_v6(host, address, call)
    if family == AF_UNIX:
        return AF_UNIX, _unix_path(address)
    raise OSError(f"{call}(): bad family")


def _sockaddr_v6(host: Host, address: object, call: str) -> SockAddr:
    if not isinstance(address, tuple):
        raise TypeError(f"{call}(): AF_INET6 address must be tuple, not {type(address).__name__}")
    if not 2 <= len(address) <= 4:
        raise TypeError(_IPV6_WORDS)
    name = host_name(address[0])
    port = _port(address[1], call)
    flow = integer(address[2]) & 0xFFFFFFFF if len(address) > 2 else 0
    scope = integer(address[3]) & 0xFFFFFFFF if len(address) > 3 else 0
    ip, _ = resolve_one(host, name, AF_INET6)
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"{call}(): port must be 0-65535.")
    if flow > 0xFFFFF:
        raise OverflowError(f"{call}(): flowinfo must be 0-1048575.")
    return AF_INET6, ip, port, flow, scope


def _unix_path(address: object) -> bytes:
    if isinstance(address, str):
        path = os.fsencode(address)
    else:
        try:
            path = bytes(memoryview(address))  # type: ignore[arg-type]
        except TypeError:
            words = f"a bytes-like object is required, not '{type(address).__name__}'"
            raise TypeError(words) from None
    if len(path) > 108 or (len(path) == 108 and path[0]):
        raise OSError("AF_UNIX path too long")
    return path


def python_address(address: SockAddr | None) -> object:
    """The program's address for the kernel's (makesockaddr)."""
    if address is None:
        return None
    family = address[0]
    if family == AF_INET:
        _, ip, port = cast("tuple[int, int, int]", address)
        return text(ip), port
    if family == AF_INET6:
        _, ip, port, flow, scope = cast("tuple[int, int, int, int, int]", address)
        return text_v6(ip), port, flow, scope
    if family == AF_UNIX:
        path = cast("tuple[int, bytes]", address)[1]
        return path if path[:1] == b"\0" else os.fsdecode(path)
    return None if family == AF_UNSPEC else address
