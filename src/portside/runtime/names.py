"""Names of hosts as a program on a simulated host resolves them: the calls beside getaddrinfo(3)."""

from __future__ import annotations

import _socket
import errno
import os
from typing import TYPE_CHECKING, Final, NoReturn

from portside.addr.abi import AF_INET, AF_INET6, AF_UNSPEC
from portside.addr.ip import V4_ANY, V4_BROADCAST, V6_ANY, text, text_v6
from portside.host.resolver import EAI_AGAIN, EAI_FAIL, EAI_NODATA, EAI_NONAME
from portside.runtime.addrinfo import Place, find
from portside.runtime.arguments import integer
from portside.runtime.lookup import Entry, by_address, by_name
from portside.runtime.numeric import EAI_BADFLAGS, Found, host_name, is_link_scope, numeric, refuse
from portside.runtime.services import service_of

if TYPE_CHECKING:
    from portside.host.kernel import Host

herror: Final = _socket.herror

NI_NUMERICHOST: Final = 1
NI_NUMERICSERV: Final = 2
NI_NOFQDN: Final = 4
NI_NAMEREQD: Final = 8
NI_DGRAM: Final = 16
_NI_KNOWN: Final = 0xFF

_H_ERRNO: Final = {
    EAI_NONAME: (1, "Unknown host"),
    EAI_AGAIN: (2, "Host name lookup failure"),
    EAI_FAIL: (3, "Unknown server error"),
    EAI_NODATA: (4, "No address associated with name"),
}

HostEntry = tuple[str, list[str], list[str]]


def resolve_one(host: Host, name: str, family: int) -> Found:
    """One address for a socket address of `family` (setipaddr). Raises gaierror or OSError."""
    _, address, scope = _resolve(host, name, family)
    return address, scope


def _resolve(host: Host, name: str, family: int) -> Place:
    if not name:
        if family == AF_UNSPEC:
            raise OSError("wildcard resolved to multiple address")
        return family, V4_ANY if family == AF_INET else V6_ANY, 0
    if name in ("<broadcast>", "255.255.255.255"):
        if family == AF_INET6:
            raise OSError("address family mismatched")
        return AF_INET, V4_BROADCAST, 0
    return find(host, name, family, 0)[1][0]


def gethostbyname(host: Host, name: object) -> str:
    """gethostbyname(3) as CPython has it: an IPv4 address. Raises gaierror."""
    return text(resolve_one(host, host_name(name), AF_INET)[0])


def gethostbyname_ex(host: Host, name: object) -> HostEntry:
    """gethostbyname(3): name, aliases, IPv4 addresses. Raises gaierror, herror."""
    wanted = host_name(name)
    address, _ = resolve_one(host, wanted, AF_INET)
    if wanted and not wanted.strip("0123456789."):
        return wanted, [], [text(address)]
    return _told(by_name(host, wanted, AF_INET))


def gethostbyaddr(host: Host, address: object) -> HostEntry:
    """gethostbyaddr(3) of an address, or of the first address of a name. Raises gaierror, herror."""
    family, number, _ = _resolve(host, host_name(address), AF_UNSPEC)
    entry = by_address(host, family, number)
    if entry.places and entry.places[0][0] != family:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    return _told(entry)


def _told(entry: Entry) -> HostEntry:
    if entry.failure:
        _fail(entry.failure)
    return entry.name, entry.aliases, [
        text(address) if family == AF_INET else text_v6(address) for family, address in entry.places
    ]  # fmt: skip


def _fail(failure: int) -> NoReturn:
    """Raise socket.herror for an EAI_ failure, with the words of hstrerror(3)."""
    raise herror(*_H_ERRNO[failure])


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
    v6 = ":" in address[0]
    if not v6 and len(address) != 2:
        raise OSError("IPv4 sockaddr must be 2 tuple")
    if flags & ~_NI_KNOWN:
        refuse(EAI_BADFLAGS)
    port &= 0xFFFF
    service = None if flags & NI_NUMERICSERV else service_of(port, "udp" if flags & NI_DGRAM else "tcp")
    return _node(host, found[0], v6, scope, flags), str(port) if service is None else service


def _node(host: Host, address: int, v6: bool, scope: int, flags: int) -> str:
    """The host of a socket address: its name, or the number with its zone."""
    if not flags & NI_NUMERICHOST:
        entry = by_address(host, AF_INET6 if v6 else AF_INET, address)
        if not entry.failure:
            return _without_domain(host, entry.name) if flags & NI_NOFQDN else entry.name
        if entry.failure == EAI_AGAIN:
            refuse(EAI_AGAIN)
    if flags & NI_NAMEREQD:
        refuse(EAI_NONAME)
    if not v6:
        return text(address)
    if not scope:
        return text_v6(address)
    interface = host.ip.interfaces.get(scope) if is_link_scope(address) else None
    return f"{text_v6(address)}%{scope if interface is None else interface.name}"


def _without_domain(host: Host, name: str) -> str:
    """A name of the host's own domain without that (NI_NOFQDN)."""
    domain = (host.hostname if "." in host.hostname else by_name(host, host.hostname, AF_INET).name).partition(".")[2]
    return name.removesuffix(f".{domain}") if domain else name
