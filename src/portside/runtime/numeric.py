"""Host arguments that need no look-up: numeric notations, and how the C library says that it refuses one."""

from __future__ import annotations

import _socket
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NoReturn

from portside.addr.ip import V4_PREFIX, is_link_local, is_v4, parse
from portside.host.resolver import EAI_AGAIN, EAI_FAIL, EAI_NODATA, EAI_NONAME

if TYPE_CHECKING:
    from portside.host.kernel import Host

gaierror: Final = _socket.gaierror
_inet_aton: Final = _socket.inet_aton

EAI_BADFLAGS: Final = -1
EAI_FAMILY: Final = -6
EAI_SOCKTYPE: Final = -7
EAI_SERVICE: Final = -8
EAI_ADDRFAMILY: Final = -9

_WORDS: Final = {
    EAI_BADFLAGS: "Bad value for ai_flags",
    EAI_NONAME: "Name or service not known",
    EAI_AGAIN: "Temporary failure in name resolution",
    EAI_FAIL: "Non-recoverable failure in name resolution",
    EAI_NODATA: "No address associated with hostname",
    EAI_FAMILY: "ai_family not supported",
    EAI_SOCKTYPE: "ai_socktype not supported",
    EAI_SERVICE: "Servname not supported for ai_socktype",
    EAI_ADDRFAMILY: "Address family for hostname not supported",
}

Found = tuple[int, int]  # address, scope id


def refuse(code: int) -> NoReturn:
    """Raise socket.gaierror with the C library's words."""
    raise gaierror(code, _WORDS[code])


def host_name(value: object) -> str:
    """A host argument: str, bytes or bytearray (idna_converter)."""
    if isinstance(value, str):
        name = value if value.isascii() else value.encode("idna").decode()
    elif isinstance(value, (bytes, bytearray)):
        name = bytes(value).decode("latin-1")
    else:
        raise TypeError(f"str, bytes or bytearray expected, not {type(value).__name__}")
    if "\0" in name:
        raise TypeError("host name must not contain null character")
    return name


@lru_cache(maxsize=1024)
def dotted_quad(name: str) -> int | None:
    """What inet_aton(3) makes of a notation, as a v4-mapped address; None for a name. Remembered: 0.8 us each time."""
    if not name[:1].isdigit() or name[-1:].isspace() or "\0" in name:
        return None
    try:
        return V4_PREFIX | int.from_bytes(_inet_aton(name))
    except OSError:
        return None


def numeric(host: Host | None, name: str) -> Found | None:
    """What a numeric notation stands for: inet_aton(3)'s or RFC 4291's, the latter with a zone; None for a name.

    The host is asked for zones alone.
    """
    if ":" not in name:
        dotted = dotted_quad(name)
        return None if dotted is None else (dotted, 0)
    plain, percent, zone = name.partition("%")
    try:
        address = parse(plain)
    except ValueError:
        return None
    if not percent:
        return address, 0
    scope = _scope(host, address, zone)
    return None if scope is None else (address, scope)


def _scope(host: Host | None, address: int, zone: str) -> int | None:
    """The index for a zone: an interface's name for what is link-local, or a number (__inet6_scopeid_pton)."""
    if host is not None and is_link_scope(address):
        interface = host.ip.interface_named(zone)
        if interface is not None:
            return interface.index
    return int(zone) if zone.isascii() and zone.isdigit() and int(zone) <= 0xFFFFFFFF else None


def is_link_scope(address: int) -> bool:
    """Whether the name of an interface may stand behind an IPv6 address: fe80::/10, ff02::/16."""
    return not is_v4(address) and (is_link_local(address) or address >> 112 & 0xFF0F == 0xFF02)
