"""Names of hosts and services, as a program on a simulated host resolves them.

`getaddrinfo` answers as getaddrinfo(3) does for numeric addresses, `localhost` and the names of the network.
"""

from __future__ import annotations

import _socket
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NoReturn

from portside.addr import services
from portside.addr.abi import AF_INET, AF_INET6, AF_UNSPEC, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM
from portside.addr.ip import V4_ANY, V4_BROADCAST, V4_LOOPBACK, V4_PREFIX, V6_ANY, V6_LOOPBACK, parse, text, text_v6
from portside.runtime.arguments import integer

if TYPE_CHECKING:
    from portside.host.kernel import Host

gaierror: Final = _socket.gaierror
_inet_aton: Final = _socket.inet_aton
_getservbyname: Final = _socket.getservbyname
_getservbyport: Final = _socket.getservbyport

EAI_BADFLAGS: Final = -1
EAI_NONAME: Final = -2
EAI_FAMILY: Final = -6
EAI_SOCKTYPE: Final = -7
EAI_SERVICE: Final = -8
EAI_ADDRFAMILY: Final = -9

AI_PASSIVE: Final = 1
AI_CANONNAME: Final = 2
AI_NUMERICHOST: Final = 4
AI_V4MAPPED: Final = 8
AI_ALL: Final = 16
AI_NUMERICSERV: Final = 1024
_AI_KNOWN: Final = 0xFFFF

NI_NUMERICHOST: Final = 1
NI_NUMERICSERV: Final = 2
NI_NAMEREQD: Final = 8
NI_DGRAM: Final = 16

_WORDS: Final = {
    EAI_BADFLAGS: "Bad value for ai_flags",
    EAI_NONAME: "Name or service not known",
    EAI_FAMILY: "ai_family not supported",
    EAI_SOCKTYPE: "ai_socktype not supported",
    EAI_SERVICE: "Servname not supported for ai_socktype",
    EAI_ADDRFAMILY: "Address family for hostname not supported",
}

_TYPES: Final = ((SOCK_STREAM, 6, "tcp"), (SOCK_DGRAM, 17, "udp"), (SOCK_RAW, 0, ""))
_LITE: Final = (SOCK_DGRAM, 136, "udplite")

Info = tuple[int, int, int, str, tuple[object, ...]]
Found = tuple[int, int]  # address, scope id


def refuse(code: int) -> NoReturn:
    """Raise socket.gaierror with the C library's words."""
    raise gaierror(code, _WORDS[code])


# -- host names --


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
    interface = None if host is None else host.ip.interface_named(zone)
    if interface is not None:
        return address, interface.index
    return (address, int(zone)) if zone.isdigit() else None


def named(host: Host, name: str) -> list[int]:
    """The addresses of a host name: `localhost` as in a usual /etc/hosts, the names of the network, the host's own."""
    lower = name.lower().removesuffix(".")
    if lower == "localhost" or lower.endswith(".localhost"):
        return [V6_LOOPBACK, V4_LOOPBACK]
    found = host.resolve(lower)
    if not found and lower == host.name.lower():
        found = [
            entry.address for interface in host.ip.interfaces.values() if not interface.loopback
            for entry in interface.addresses
        ] or [V4_LOOPBACK]  # fmt: skip
    # RFC 6724 section 6 at its coarsest: IPv6 first where the host has it, in the order given otherwise.
    return found


def resolve_one(host: Host, name: str, family: int) -> Found:
    """One address for a socket address of `family` (setipaddr). Raises gaierror or OSError."""
    if not name:
        return (V4_ANY if family == AF_INET else V6_ANY), 0
    if name in ("<broadcast>", "255.255.255.255"):
        if family != AF_INET:
            raise OSError("address family mismatched")
        return V4_BROADCAST, 0
    found = numeric(host, name)
    if found is not None:
        if (found[0] >> 32 == 0xFFFF and ":" not in name) != (family == AF_INET):
            refuse(EAI_ADDRFAMILY)
        return found
    for address in named(host, name):
        if (address >> 32 == 0xFFFF) == (family == AF_INET):
            return address, 0
    refuse(EAI_NONAME)


# -- services: those of the real machine's /etc/services, which programs can read, and beside them IANA's --


def port_of(name: str, protocol: str | None) -> int | None:
    """The port of a service (getservbyname(3)), or None."""
    try:
        return _getservbyname(name) if protocol is None else _getservbyname(name, protocol)
    except OSError:
        if any(_knows(name, other) for other in ("tcp", "udp")):
            return None
        service = services.by_name(name, protocol)
        return None if service is None else service.port


def _knows(name: str, protocol: str) -> bool:
    try:
        _getservbyname(name, protocol)
    except OSError:
        return False
    return True


def service_of(port: int, protocol: str | None) -> str | None:
    """The service of a port (getservbyport(3)), or None."""
    try:
        return _getservbyport(port) if protocol is None else _getservbyport(port, protocol)
    except OSError:
        service = services.by_port(port, protocol)
        return None if service is None else service.name


# -- getaddrinfo(3), getnameinfo(3) --


def _service(port: object) -> tuple[int | None, str | None]:
    """The port argument of getaddrinfo: a number, or the name of a service."""
    if port is None:
        return 0, None
    if isinstance(port, (str, bytes)):
        word = port if isinstance(port, str) else port.decode("latin-1")
    elif isinstance(port, int):
        word = str(int(port))
    else:
        raise OSError("Int or String expected")
    stripped = word.strip()
    if stripped.isdigit() or (stripped[:1] == "+" and stripped[1:].isdigit()):
        return int(stripped) & 0xFFFF, word
    return None, word


def _kinds(type: int, proto: int) -> list[tuple[int, int, str]]:
    """The socket types that getaddrinfo answers with (gaih_inet_typeproto of glibc)."""
    known = (*_TYPES, _LITE) if proto == _LITE[1] else _TYPES
    if type == SOCK_RAW:
        return [_TYPES[2]]
    return [kind for kind in known if type in (0, kind[0]) and proto in (0, kind[1])]


def _hosts(host: Host | None, name: str | None, family: int, flags: int) -> list[tuple[int, int, int]]:
    """The addresses: family, address, scope id."""
    if name is None:
        if flags & AI_PASSIVE:
            both = [(AF_INET, V4_ANY, 0), (AF_INET6, V6_ANY, 0)]
        else:
            both = [(AF_INET6, V6_LOOPBACK, 0), (AF_INET, V4_LOOPBACK, 0)]
        return [one for one in both if family in (AF_UNSPEC, one[0])]
    found = numeric(host, name)
    if found is not None:
        return [_numeric_as(found, ":" in name, family, flags)]
    if flags & AI_NUMERICHOST:
        refuse(EAI_NONAME)
    addresses = [] if host is None else named(host, name)
    if not addresses:
        refuse(EAI_NONAME)
    result = []
    for address in addresses:
        own = AF_INET if address >> 32 == 0xFFFF else AF_INET6
        if family in (AF_UNSPEC, own) or (family == AF_INET6 and flags & AI_V4MAPPED and flags & AI_ALL):
            result.append((own if family == AF_UNSPEC else family, address, 0))
    if not result and family == AF_INET6 and flags & AI_V4MAPPED:
        result = [(AF_INET6, address, 0) for address in addresses]
    if not result:
        refuse(EAI_NONAME)
    return result


def _numeric_as(found: Found, colons: bool, family: int, flags: int) -> tuple[int, int, int]:
    address, scope = found
    if colons:
        mapped = address >> 32 == 0xFFFF
        if family == AF_INET and not mapped:
            refuse(EAI_ADDRFAMILY)
        return (AF_INET if family == AF_INET else AF_INET6), address, scope
    if family == AF_INET6:
        if not flags & AI_V4MAPPED:
            refuse(EAI_ADDRFAMILY)
        return AF_INET6, address, 0
    return AF_INET, address, 0


def getaddrinfo(
    host: Host, name: object, port: object, family: int, type: int, proto: int, flags: int
) -> list[Info]:  # fmt: skip
    """getaddrinfo(3): (family, type, proto, canonical name, address) of each answer. Raises gaierror."""
    if name.__class__ is str and port.__class__ is int and dotted_quad(name) is not None:
        return list(_numeric_answers(name, port, family, type, proto, flags))
    return _answers(host, name, port, family, type, proto, flags)


def _answers(
    host: Host | None, name: object, port: object, family: int, type: int, proto: int, flags: int
) -> list[Info]:
    if name is not None and not isinstance(name, (str, bytes)):
        raise TypeError("getaddrinfo() argument 1 must be string or None")
    node = None if name is None else _idna(name)
    number, word = _service(port)
    if flags & ~_AI_KNOWN or (flags & AI_CANONNAME and node is None):
        refuse(EAI_BADFLAGS)
    if node is None and word is None:
        refuse(EAI_NONAME)
    if number is None and flags & AI_NUMERICSERV:
        refuse(EAI_NONAME)
    if family not in (AF_UNSPEC, AF_INET, AF_INET6):
        refuse(EAI_FAMILY)
    kinds = _kinds(type, proto)
    if not kinds:
        refuse(EAI_SOCKTYPE)
    ports = _ports(kinds, number, word, type)
    answers: list[Info] = []
    for own, address, scope in _hosts(host, node, family, flags):
        for kind, protocol, at in ports:
            canonical = (node or "") if flags & AI_CANONNAME and not answers else ""
            place: tuple[object, ...] = (text(address), at) if own == AF_INET else (text_v6(address), at, 0, scope)
            answers.append((own, kind, protocol, canonical, place))
    return answers


@lru_cache(maxsize=256)
def _numeric_answers(
    name: object, port: object, family: int, type: int, proto: int, flags: int
) -> tuple[Info, ...]:
    """The answers for a numeric IPv4 address and port, the same on every host: 3 us less for each connection that
    socket.create_connection() makes.
    """
    return tuple(_answers(None, name, port, family, type, proto, flags))


def _idna(name: str | bytes) -> str:
    if isinstance(name, bytes):
        return name.decode("latin-1").partition("\0")[0]
    return name.encode("idna").decode().partition("\0")[0]


def _ports(
    kinds: list[tuple[int, int, str]], number: int | None, word: str | None, type: int
) -> list[tuple[int, int, int]]:
    """Socket type, protocol and port of each answer; EAI_SERVICE when the service has none of these."""
    if number is not None:
        if type == SOCK_RAW and word is not None:
            refuse(EAI_SERVICE)
        return [(kind, protocol, number) for kind, protocol, _ in kinds]
    found = []
    for kind, protocol, label in kinds:
        at = port_of(word or "", label) if label else None
        if at is not None:
            found.append((kind, protocol, at))
    if not found:
        refuse(EAI_SERVICE)
    return found


def getnameinfo(host: Host, address: object, flags: int) -> tuple[str, str]:
    """getnameinfo(3): host and service. Raises TypeError, gaierror, OSError."""
    if not isinstance(address, tuple):
        raise TypeError("getnameinfo() argument 1 must be a tuple")
    if not 2 <= len(address) <= 4 or not isinstance(address[0], str):
        raise TypeError("getnameinfo(): illegal sockaddr argument")
    port = integer(address[1])
    scope = integer(address[3]) if len(address) > 3 else 0
    if len(address) > 2 and integer(address[2]) > 0xFFFFF:
        raise OverflowError("getnameinfo(): flowinfo must be 0-1048575.")
    found = numeric(host, address[0])
    if found is None:
        refuse(EAI_NONAME)
    ip = found[0]
    v6 = ":" in address[0]
    if not v6 and len(address) != 2:
        raise OSError("IPv4 sockaddr must be 2 tuple")
    node = None if flags & NI_NUMERICHOST else name_of(host, ip)
    if node is None:
        if flags & NI_NAMEREQD:
            refuse(EAI_NONAME)
        node = text_v6(ip) if v6 else text(ip)
        if scope:
            interface = host.ip.interfaces.get(scope)
            node += f"%{scope if interface is None else interface.name}"
    port &= 0xFFFF
    label = "udp" if flags & NI_DGRAM else "tcp"
    service = None if flags & NI_NUMERICSERV else service_of(port, label)
    return node, str(port) if service is None else service


def name_of(host: Host, address: int) -> str | None:
    """The name that goes with an address, for the loopback ones and the host's own."""
    if address in (V4_LOOPBACK, V6_LOOPBACK):
        return "localhost"
    return host.name if address in named(host, host.name) else None
