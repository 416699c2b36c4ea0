"""Every notation of an endpoint, parsed into what it means.

`parse` takes what people type and what tools print: `127.0.0.1:80`, `[::1]:8080`, `:::22` of netstat(8),
`*:22` and `127.0.0.53%lo:53` of ss(8), `127.0.0.1.80` of tcpdump, `http://[::1]/`, `unix:/run/x.sock`, a
port, a host. A notation that can be read in two ways gives both readings; what is wrong raises NotationError,
which says where and why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NoReturn
from urllib.parse import unquote

from portside.addr import ip, port, services
from portside.addr.abi import AF_INET, AF_INET6, AF_UNIX, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.addr.literal import Wrong, checked_name, number, refuse_v6, short_v4
from portside.addr.reading import Endpoint, Notation, Reading, family_name, sentence
from portside.addr.scheme import SCHEMES, Scheme

__all__ = [
    "Endpoint", "InterfaceAddress", "Notation", "NotationError", "Reading", "parse",
    "parse_interface_address",
]  # fmt: skip

_PROTOCOLS: Final = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP, "udplite": IPPROTO_UDPLITE}
_SUN_PATH: Final = 108  # bytes of sockaddr_un.sun_path, unix(7); the last is for the closing NUL


class NotationError(ValueError):
    """A notation that means nothing: `position` is the index of the first character that is wrong, `reason`
    says why."""

    def __init__(self, text: str, position: int, reason: str) -> None:
        """Keep the notation, the place and the reason; the message holds all three."""
        super().__init__(f"{text!r}: at character {position + 1}: {reason}")
        self.text = text
        self.position = position
        self.reason = reason


# A reading under construction: the endpoint, and what to add to its sentence.
_Draft = tuple[Endpoint, str]


def parse(text: str) -> Notation:
    """What the notation means.

    Raises NotationError, a ValueError, when it means nothing.
    """
    try:
        drafts = _drafts(text)
    except Wrong as wrong:
        raise NotationError(text, wrong.position, wrong.reason) from None
    return Notation(text, tuple(Reading(endpoint, sentence(endpoint, note)) for endpoint, note in drafts))


def _drafts(text: str) -> list[_Draft]:
    body = text.strip()
    at = len(text) - len(text.lstrip())
    if not body:
        raise Wrong(0, "nothing is written")
    for i, character in enumerate(body):
        if not character.isprintable():
            raise Wrong(at + i, f"{character!r} belongs in no notation")
    if body[:5].lower() == "unix:" or body[0] in "/@":
        return [_unix(body, at)]
    if "://" in body:
        return _url(body, at)
    if "->" in body:
        reason = "`->` shows a published port; only the part before it is an endpoint of this machine"
        raise Wrong(at + body.index("->"), reason)
    body, at, proto = _protocol(body, at)
    drafts = _two_words(body, at) if " " in body else _host_and_port(body, at)
    return [(replace(endpoint, proto=proto), note) for endpoint, note in drafts] if proto else drafts


def _protocol(body: str, at: int) -> tuple[str, int, int | None]:
    """`53/udp` and `127.0.0.1:53/udp`, as service tables and Docker write it, or `udp/53`: the rest, where it begins,
    and the protocol."""
    if "/" not in body:
        return body, at, None
    head, _, name = body.rpartition("/")
    proto = _PROTOCOLS.get(name.lower())
    if proto is not None and head and "/" not in head:
        return head, at, proto
    if head.lower() in _PROTOCOLS and name:
        return name, at + len(head) + 1, _PROTOCOLS[head.lower()]
    place = at + body.index("/")
    if body[body.index("/") + 1 :].isdecimal():
        raise Wrong(place, "with a prefix length it is a network, not an endpoint")
    raise Wrong(place, "only /tcp, /udp or /udplite may follow an endpoint; a URL begins with its scheme and ://")


def _two_words(body: str, at: int) -> list[_Draft]:
    """`HOST PORT`, as nc(1) takes it."""
    words = body.split()
    if len(words) != 2:
        raise Wrong(at + body.index(" "), "only a host and a port may stand apart by a space")
    port_at = at + body.rindex(words[1])
    if ":" in words[0] and not words[0].startswith("["):
        endpoint = _v6_literal(words[0], at)
    else:
        endpoint = _host(words[0], at)[0][0]
    return [(_with_port(endpoint, words[1], port_at), "")]


# unix domain


def _unix(body: str, at: int) -> _Draft:
    start = 5 if body[:5].lower() == "unix:" else 0
    if body[start : start + 2] == "//":
        start += 2  # unix:///run/x.sock
    name = body[start:]
    if not name:
        raise Wrong(at + start, "a path must follow `unix:`")
    path = name.encode(errors="surrogateescape")
    if path.startswith(b"@"):
        path = b"\0" + path[1:]  # as ss(8) and systemd write an abstract name
    if len(path) > _SUN_PATH - (path[0] != 0):
        raise Wrong(at + start, f"the path has {len(path)} bytes; unix(7) has room for {_SUN_PATH - 1}")
    return Endpoint(family=AF_UNIX, path=path), ""


# URLs


def _url(body: str, at: int) -> list[_Draft]:
    name, _, rest = body.partition("://")
    scheme = _scheme(name, at)
    start = at + len(name) + 3
    end = min((rest.index(mark) for mark in "/?#" if mark in rest), default=len(rest))
    user, _, authority = rest[:end].rpartition("@")
    start += len(user) + 1 if user or rest[:end].startswith("@") else 0
    if not authority:
        raise Wrong(start, "no host follows the scheme")
    if authority.count(":") > 1 and not authority.startswith("["):
        raise Wrong(start, "an IPv6 address stands in brackets in a URL (RFC 3986 section 3.2.2)")
    if authority.endswith(":") and authority != ":":
        authority = authority[:-1]  # RFC 3986 section 3.2.3: an empty port is the default one
    number_alone = authority.isascii() and authority.isdecimal()
    drafts = _v4(authority, start) if number_alone else _host_and_port(authority, start, _zone_of_url)
    return [_schemed(endpoint, note, name.lower(), scheme, start) for endpoint, note in drafts[:1]]


def _scheme(name: str, at: int) -> Scheme | None:
    """The scheme; None for one that portside does not know."""
    if not name:
        raise Wrong(at, "a scheme must stand before `://`")
    for i, c in enumerate(name):
        if not (c.isascii() and (c.isalnum() or c in "+-.")) or (i == 0 and not c.isalpha()):
            raise Wrong(at + i, f"{c!r} cannot stand in a scheme (RFC 3986 section 3.1)")
    return SCHEMES.get(name.lower())


def _zone_of_url(zone: str) -> str:
    """RFC 6874: in a URL the `%` before a zone is written `%25`."""
    return unquote(zone[2:]) if zone.startswith("25") and len(zone) > 2 else unquote(zone)


def _schemed(endpoint: Endpoint, note: str, name: str, scheme: Scheme | None, at: int) -> _Draft:
    if scheme is None:
        endpoint = replace(endpoint, scheme=name)
        if endpoint.port is None:
            note = f"portside knows no default port of {name}://"
        return endpoint, note
    if scheme.family and endpoint.address is not None and endpoint.family != scheme.family:
        raise Wrong(at, f"{name}:// takes no {family_name(endpoint.family)} address")
    if scheme.family and not endpoint.family:
        endpoint = replace(endpoint, family=scheme.family)
    if endpoint.port is None and scheme.port is not None:
        endpoint = replace(endpoint, port=scheme.port)
        note = f"the default port of {name}://" + (f"; {note}" if note else "")
    return replace(endpoint, scheme=name, proto=scheme.proto), note


# host and port


def _host_and_port(body: str, at: int, zone_of: Callable[[str], str] | None = None) -> list[_Draft]:
    if body.startswith("["):
        return _bracketed(body, at, zone_of)
    if body.count(":") > 1:
        return _bare_v6(body, at)
    if "@" in body:
        raise Wrong(at + body.index("@"), "a user is no part of an endpoint")
    host, colon, number = body.partition(":")
    if not colon:
        return _one_word(body, at)
    if host.isascii() and host.isdecimal():
        reason = f"a number is no host: -p {body} publishes a container's port; an address has four numbers"
        raise Wrong(at, reason)
    note = "the host is left out" if not host else ""
    drafts = [(Endpoint(every=True), note)] if not host else _host(host, at)
    return [(_with_port(endpoint, number, at + len(host) + 1), note) for endpoint, note in drafts]


def _one_word(body: str, at: int) -> list[_Draft]:
    """No colon: a port, an address, a name, or the BSD style `ADDRESS.PORT`."""
    if body.isascii() and body.lstrip("-").isdecimal():
        return [(_with_port(Endpoint(), body, at), "")]
    _refuse_range(body, at)
    head, dot, number = body.rpartition(".")
    if dot and (head == "*" or (head.count(".") == 3 and _is_quad(head))):
        endpoint = _host(head, at)[0][0]
        return [(_with_port(endpoint, number, at + len(head) + 1), "as tcpdump and BSD's netstat write it")]
    drafts = _host(body, at)
    service = services.by_name(body)
    if service is not None:
        drafts.append((Endpoint(port=service.port), "the service of that name"))
    return drafts


def _refuse_range(body: str, at: int) -> None:
    """`0-1023` could be the name of a host, but nobody means one."""
    first, hyphen, last = body.partition("-")
    numbers = [int(each) for each in (first, last) if each.isascii() and each.isdecimal() and len(each) < 6]
    if not hyphen or len(numbers) != 2 or max(numbers) > port.MAX_PORT:
        return
    low, high = numbers
    if high < low:
        raise Wrong(at, f"a range of ports that ends before it begins; an endpoint has one port, such as {low}")
    known = [each for each in (*port.RANGES, port.LINUX) if (each.first, each.last) == (low, high)]
    names = dict.fromkeys(each.name for each in port.RANGES if each.first <= high and low <= each.last)
    what = f"the {known[0].name} ports: {known[0].sentence}" if known else f"of the {' and '.join(names)} ports"
    raise Wrong(at, f"a range of ports, {what}; an endpoint has one port, such as {low or 1}")


def _host(host: str, at: int) -> list[_Draft]:
    """`*`, an IPv4 address or a name; `%DEVICE` as ss(8) shows a socket that is bound to a device."""
    host, percent, device = host.partition("%")
    if percent and not device:
        raise Wrong(at + len(host), "an interface must follow `%`")
    drafts = [(Endpoint(every=True), "")] if host == "*" else _v4_or_name(host, at)
    if not device:
        return drafts
    if drafts[0][0].name:
        raise Wrong(at + len(host), "a name has no zone")
    note = f"of a socket bound to the device {device}"
    return [(replace(endpoint, zone=device, device=True), note) for endpoint, _ in drafts]


def _with_port(endpoint: Endpoint, text: str, at: int) -> Endpoint:
    if not text:
        raise Wrong(at, "a port must follow the colon")
    if text == "*":
        return replace(endpoint, any_port=True)
    if text.isascii() and text.isdecimal():
        try:
            return replace(endpoint, port=port.parse(text))
        except ValueError as error:
            raise Wrong(at, str(error)) from None
    if text[0] == "-" and text[1:].isdecimal():
        raise Wrong(at, "a port is not negative")
    service = services.by_name(text)
    if service is None:
        place = next((i for i, c in enumerate(text) if not (c.isascii() and c.isdecimal())), 0)
        raise Wrong(at + place, f"{text!r} is neither a port number nor a service that portside knows")
    return replace(endpoint, port=service.port)


# IPv4


def _is_quad(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(p.isascii() and p.isdecimal() and len(p) < 4 for p in parts)


def _v4_or_name(host: str, at: int) -> list[_Draft]:
    # What ends in a number is an address and never a name (RFC 1123 section 2.1).
    last = host.removesuffix(".").rpartition(".")[2]
    if last[:1].isdecimal() and (last.isdecimal() or number(last) is not None):
        return _v4(host, at)
    return [(Endpoint(name=checked_name(host, at)), "")]


def _v4(host: str, at: int) -> list[_Draft]:
    try:
        return [(Endpoint(family=AF_INET, address=ip.parse(host)), "")]
    except ValueError:
        pass
    address = ip.V4_PREFIX | short_v4(host, at)
    endpoint = Endpoint(family=AF_INET, address=address)
    drafts = [(endpoint, "a short form that inet_aton(3) reads so")]
    if _is_quad(host) and all(int(part) < 256 for part in host.split(".")):
        plain = ip.parse(".".join(str(int(part)) for part in host.split(".")))
        octal = "inet_aton(3) takes a number with a leading zero for octal"
        drafts = [(endpoint, octal)]
        if plain != address:
            other = Endpoint(family=AF_INET, address=plain)
            drafts.append((other, "where leading zeros mean nothing"))
    return drafts


# IPv6


def _bracketed(body: str, at: int, zone_of: Callable[[str], str] | None) -> list[_Draft]:
    end = body.find("]")
    if end < 0:
        raise Wrong(at + len(body), "the bracket is not closed: `]` is missing")
    inside = body[1:end]
    if not inside:
        raise Wrong(at + 1, "the brackets hold no address")
    if ":" not in inside:
        raise Wrong(at + 1, "brackets are for IPv6 addresses only")
    endpoint = _v6_literal(inside, at + 1, zone_of)
    rest = body[end + 1 :]
    note = ""
    if rest.startswith("%"):  # ss(8): [fe80::1]%eth0:546
        zone, colon, number = rest[1:].partition(":")
        if not zone:
            raise Wrong(at + end + 2, "an interface must follow `%`")
        linked = endpoint.address is not None and ip.needs_scope(endpoint.address)
        endpoint = replace(endpoint, zone=zone, device=not linked)
        note = "" if linked else f"of a socket bound to the device {zone}"
        rest = colon + number
    if not rest:
        return [(endpoint, note)]
    if rest[0] != ":":
        raise Wrong(at + len(body) - len(rest), "only `:PORT` may follow the closing bracket")
    return [(_with_port(endpoint, rest[1:], at + len(body) - len(rest) + 1), note)]


def _v6_literal(text: str, at: int, zone_of: Callable[[str], str] | None = None) -> Endpoint:
    """An IPv6 address, perhaps with a zone (RFC 4007 section 11)."""
    bare, percent, zone = text.partition("%")
    try:
        address = ip.parse(bare)
    except ValueError:
        refuse_v6(bare, at)
    if percent and not zone:
        raise Wrong(at + len(text), "an interface must follow `%`")
    if percent and ip.is_v4(address):
        raise Wrong(at + len(bare), "an IPv4 address has no zone")
    zone = zone_of(zone) if zone_of else zone
    return Endpoint(family=AF_INET6, address=address, zone=zone, mapped=ip.is_v4(address))


def _bare_v6(body: str, at: int) -> list[_Draft]:
    """Two colons or more and no bracket: an address, an address and a port, or either (RFC 5952 section
    6)."""
    whole = _try_v6(body)
    drafts: list[_Draft] = [] if whole is None else [(whole, "")]
    split = _v6_and_port(body, whole is not None, at)
    if split is not None:
        drafts.append(split)
    if body.startswith(":::") and _try_v6(body[1:]) is not None and drafts:
        drafts.append((_v6_literal(body[1:], at), "with a colon too many"))
    if not drafts:
        _refuse_two_ports(body, at)
        refuse_v6(body.partition("%")[0], at)
    return drafts


def _refuse_two_ports(body: str, at: int) -> None:
    """`127.0.0.1:8080:80`, as `docker run -p` takes it."""
    host, _, ports = body.partition(":")
    outer, _, inner = ports.partition(":")
    numbers = all(each.isascii() and each.isdecimal() for each in (outer, inner))
    if numbers and not all(each in "0123456789abcdefABCDEF" for each in host):
        reason = f"there are two ports: -p {body} publishes a container's port {inner} at {host}:{outer}; write one"
        raise Wrong(at + len(host) + len(outer) + 1, reason)


def _v6_and_port(body: str, whole: bool, at: int) -> _Draft | None:
    """The reading with a port; `whole` says that the body is an address as it stands."""
    head, _, tail = body.rpartition(":")
    if whole and not tail.isdecimal():
        return None
    if head == ":" and whole and tail != "1":
        every = Endpoint(family=AF_INET6, address=ip.V6_ANY, port=int(tail))
        return every, "with a colon too few"
    endpoint = _try_v6(head) if "." not in tail else None
    if endpoint is not None:
        return _with_port(endpoint, tail, at + len(head) + 1), "as netstat writes it, without brackets"
    head, dot, tail = body.rpartition(".")
    endpoint = _try_v6(head) if dot and not whole else None
    if endpoint is not None and tail.isdecimal():
        return _with_port(endpoint, tail, at + len(head) + 1), "as tcpdump and BSD's netstat write it"
    return None


def _try_v6(text: str) -> Endpoint | None:
    try:
        return _v6_literal(text, 0)
    except Wrong:
        return None


# addresses of interfaces


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address to give to an interface: what `--address` takes. `interface` is empty when not said."""

    address: int
    prefix_length: int
    interface: str = ""


def parse_interface_address(text: str) -> InterfaceAddress:
    """What `ADDR/PREFIX[@INTERFACE]` means: `10.0.0.1/24`, `2001:db8::1/64@eth1`.

    Raises NotationError when it means nothing.
    """
    place, at_sign, interface = text.partition("@")
    host, slash, length = place.partition("/")
    if "%" in host:
        raise NotationError(text, host.index("%"), "the interface stands after the prefix length: @eth0")
    try:
        address = ip.parse(host)
    except ValueError:
        _refuse_interface_address(text, host)
    if not slash:
        raise NotationError(text, len(host), "a prefix length must follow: /24, /64")
    bits = ip.bits_of(address) if ":" not in host else 128
    if not (length.isascii() and length.isdecimal() and len(length) < 4 and int(length) <= bits):
        raise NotationError(text, len(host) + 1, f"the prefix length is a number of 0 to {bits}")
    if at_sign and not _is_interface_name(interface):
        reason = "an interface name has 1 to 15 characters, and neither `/`, `:` nor a space"
        raise NotationError(text, len(place) + 1, reason)
    if ":" in host and ip.is_v4(address):
        raise NotationError(text, 0, "an interface has no v4-mapped address; write the IPv4 one")
    return InterfaceAddress(address, int(length), interface)


def _refuse_interface_address(text: str, host: str) -> NoReturn:
    try:
        if ":" in host:
            refuse_v6(host, 0)
        short_v4(host, 0)
    except Wrong as wrong:
        raise NotationError(text, wrong.position, wrong.reason) from None
    raise NotationError(text, 0, "an IPv4 address has four plain decimal numbers")


def _is_interface_name(name: str) -> bool:
    """dev_valid_name() of the kernel: at most 15 bytes, no slash, colon or white space, and not `.` or
    `..`."""
    if not 0 < len(name.encode(errors="surrogateescape")) < 16 or name in (".", ".."):
        return False
    return all(c.isprintable() and c not in "/: " for c in name)
