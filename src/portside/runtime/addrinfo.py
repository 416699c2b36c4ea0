"""getaddrinfo(3) of a program on a simulated host: flags, socket types, services and order as in glibc."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from portside.addr.abi import AF_INET, AF_INET6, AF_UNSPEC, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM
from portside.addr.ip import V4_ANY, V4_LOOPBACK, V6_ANY, V6_LOOPBACK, is_v4, text, text_v6
from portside.host.resolver import EAI_NONAME
from portside.ip.destination import order
from portside.runtime.lookup import by_name
from portside.runtime.numeric import (
    EAI_ADDRFAMILY,
    EAI_BADFLAGS,
    EAI_FAMILY,
    EAI_SERVICE,
    EAI_SOCKTYPE,
    dotted_quad,
    numeric,
    refuse,
)
from portside.runtime.services import port_of

if TYPE_CHECKING:
    from portside.host.kernel import Host

AI_PASSIVE: Final = 0x1
AI_CANONNAME: Final = 0x2
AI_NUMERICHOST: Final = 0x4
AI_V4MAPPED: Final = 0x8
AI_ALL: Final = 0x10
AI_ADDRCONFIG: Final = 0x20
AI_NUMERICSERV: Final = 0x400
_AI_KNOWN: Final = 0x7FF

_SOCK_DCCP: Final = 6
_KINDS: Final[tuple[tuple[int, int, str, bool], ...]] = (
    (SOCK_STREAM, 6, "tcp", True),
    (SOCK_DGRAM, 17, "udp", True),
    (_SOCK_DCCP, 33, "dccp", False),
    (SOCK_DGRAM, 136, "udplite", False),
    (SOCK_STREAM, 132, "sctp", False),
    (SOCK_SEQPACKET, 132, "sctp", False),
    (SOCK_RAW, 0, "raw", True),
)
"""Socket type, protocol, its name, and whether it is among the answers unless it is asked for (gaih_inet_typeproto)."""

_NUMBER: Final = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+", re.ASCII)

Info = tuple[int, int, int, str, tuple[object, ...]]
Place = tuple[int, int, int]  # family, address, scope id
Kind = tuple[int, int, int]  # socket type, protocol, port


def getaddrinfo(
    host: Host, name: object, port: object, family: int, type: int, proto: int, flags: int
) -> list[Info]:  # fmt: skip
    """getaddrinfo(3): (family, type, proto, canonical name, address) of each answer. Raises gaierror."""
    if (
        name.__class__ is str and port.__class__ is int and not flags & AI_ADDRCONFIG
        and dotted_quad(name) is not None
    ):  # fmt: skip
        return list(_numeric_answers(name, port, family, type, proto, flags))
    return _answers(host, name, port, family, type, proto, flags)


@lru_cache(maxsize=256)
def _numeric_answers(
    name: object, port: object, family: int, type: int, proto: int, flags: int
) -> tuple[Info, ...]:
    """The answers for a numeric IPv4 address and port, the same on every host: 3 us less for each connection that
    socket.create_connection() makes.
    """
    return tuple(_answers(None, name, port, family, type, proto, flags))


def _answers(
    host: Host | None, name: object, port: object, family: int, type: int, proto: int, flags: int
) -> list[Info]:
    if name is not None and not isinstance(name, (str, bytes)):
        raise TypeError("getaddrinfo() argument 1 must be string or None")
    node = None if name is None else _idna(name)
    word = _word(port)
    node = None if node == "*" else node
    word = None if word == "*" else word
    if node is None and word is None:
        refuse(EAI_NONAME)
    if flags & ~_AI_KNOWN or (flags & AI_CANONNAME and node is None):
        refuse(EAI_BADFLAGS)
    if family not in (AF_UNSPEC, AF_INET, AF_INET6):
        refuse(EAI_FAMILY)
    if flags & AI_ADDRCONFIG and host is not None:
        family = _configured(host, family)
    number = _number(word)
    if word and flags & AI_NUMERICSERV and not _NUMBER.fullmatch(word):
        refuse(EAI_NONAME)
    kinds = _kinds(type, proto, word, number)
    canonical, places = find(host, node, family, flags)
    if not flags & AI_CANONNAME:
        canonical = ""
    answers: list[Info] = []
    for own, address, scope in places:
        for kind, protocol, at in kinds:
            place: tuple[object, ...] = (text(address), at) if own == AF_INET else (text_v6(address), at, 0, scope)
            answers.append((own, kind, protocol, "" if answers else canonical, place))
    return answers


@lru_cache(maxsize=1024)
def _idna(name: str | bytes) -> str:
    if isinstance(name, bytes):
        return name.decode("latin-1").partition("\0")[0]
    return name.encode("idna").decode().partition("\0")[0]


def _configured(host: Host, family: int) -> int:
    """AI_ADDRCONFIG: no family of which the host has but loopback addresses. EAI_NONAME when it is asked for."""
    seen = {AF_INET: False, AF_INET6: False}
    for interface in host.ip.interfaces.values():
        for entry in interface.addresses:
            if entry.address not in (V4_LOOPBACK, V6_LOOPBACK):
                seen[AF_INET if is_v4(entry.address) else AF_INET6] = True
    if family != AF_UNSPEC:
        if not seen[family]:
            refuse(EAI_NONAME)
        return family
    if seen[AF_INET] == seen[AF_INET6]:
        return family
    return AF_INET if seen[AF_INET] else AF_INET6


# -- services --


def _word(port: object) -> str | None:
    """The port argument as text."""
    if port is None:
        return None
    if isinstance(port, (str, bytes)):
        return port if isinstance(port, str) else port.decode("latin-1")
    if isinstance(port, int):
        if sys.version_info < (3, 12) and not -1 << 63 <= port < 1 << 63:
            raise OverflowError("Python int too large to convert to C long")
        return str(int(port))
    raise OSError("Int or String expected")


def _number(word: str | None) -> int | None:
    """The number that a service is, as strtoul(3) and a conversion to int make it; None for a name."""
    if not word:
        return 0
    if not _NUMBER.fullmatch(word):
        return None
    number = min(int(word), 0xFFFFFFFFFFFFFFFF) & 0xFFFFFFFF
    return number & 0xFFFF if number < 1 << 31 else None


def _kinds(type: int, proto: int, word: str | None, number: int | None) -> list[Kind]:
    """The socket types to answer with. EAI_SOCKTYPE, EAI_SERVICE (get_servtuples of glibc)."""
    if not type and not proto:
        if number is not None:
            return [(kind, protocol, number) for kind, protocol, _, default in _KINDS if default]
        ports = [(kind, protocol, port_of(word or "", label)) for kind, protocol, label, _ in _KINDS if label != "raw"]
        known = [(kind, protocol, port) for kind, protocol, port in ports if port is not None]
        return known or refuse(EAI_SERVICE)
    fitting = [each for each in _KINDS if type in (0, each[0]) and (proto in (0, each[1]) or each[0] == SOCK_RAW)]
    if not fitting:
        refuse(EAI_SOCKTYPE if type else EAI_SERVICE)
    kind, protocol, label, _ = fitting[0]
    if kind == SOCK_RAW:
        if word:
            refuse(EAI_SERVICE)
        protocol = proto
    port = port_of(word or "", label) if number is None else number
    if port is None:
        refuse(EAI_SERVICE)
    return [(kind, protocol, port)]


# -- hosts --


def find(host: Host | None, name: str | None, family: int, flags: int) -> tuple[str, list[Place]]:
    """The canonical name and the addresses in the order in which to try them. Raises gaierror."""
    if name is None:
        addresses = (V6_ANY, V4_ANY) if flags & AI_PASSIVE else (V6_LOOPBACK, V4_LOOPBACK)
        both = list(zip((AF_INET6, AF_INET), addresses, (0, 0), strict=True))
        return "", _sorted(host, [place for place in both if family in (AF_UNSPEC, place[0])])
    found = numeric(host, name)
    if found is not None:
        return name, [_as_family(found, ":" in name, family, flags)]
    if "%" in name:
        _refuse_zone(name, family)
    if flags & AI_NUMERICHOST or host is None:
        refuse(EAI_NONAME)
    entry = by_name(host, name, family, bool(flags & AI_V4MAPPED), bool(flags & AI_ALL))
    if entry.failure:
        refuse(entry.failure)
    return entry.name, _sorted(host, [(own, address, 0) for own, address in entry.places])


def _as_family(found: tuple[int, int], v6: bool, family: int, flags: int) -> Place:
    """A numeric address as one of the family that is asked for; EAI_ADDRFAMILY when it is none."""
    address, scope = found
    if v6 and (family != AF_INET or is_v4(address)):
        return (AF_INET if family == AF_INET else AF_INET6), address, scope
    if v6 or (family == AF_INET6 and not flags & AI_V4MAPPED):
        refuse(EAI_ADDRFAMILY)
    return (AF_INET6 if family == AF_INET6 else AF_INET), address, 0


def _refuse_zone(name: str, family: int) -> None:
    """EAI_NONAME for an IPv6 address with a zone that there is not; EAI_ADDRFAMILY where none may be."""
    found = numeric(None, name.partition("%")[0]) if ":" in name else None
    if found is not None:
        refuse(EAI_ADDRFAMILY if family == AF_INET and not is_v4(found[0]) else EAI_NONAME)


def _sorted(host: Host | None, places: list[Place]) -> list[Place]:
    addresses = [address for _, address, _ in places]
    if host is None or len(addresses) < 2 or addresses.count(addresses[0]) == len(addresses):
        return places
    return [places[index] for index in order(host.ip, addresses)]
