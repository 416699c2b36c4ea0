"""What a notation of an endpoint means: the endpoint, and the sentence that says it to a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from portside.addr import ip, services
from portside.addr.abi import AF_INET6, AF_UNSPEC, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.addr.kind import kind_of

_PROTOCOLS: Final = {
    IPPROTO_TCP: ("tcp", "TCP port"),
    IPPROTO_UDP: ("udp", "UDP port"),
    IPPROTO_UDPLITE: ("udplite", "UDP-Lite port"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What a notation names.

    Exactly one of these says the host: `address` (an integer as in `addr/ip.py`), `name`, `every` (each
    address of the machine, of both families), `path` (AF_UNIX; a leading NUL for an abstract name), or none
    of them: not said. `family` is AF_UNSPEC where the notation leaves it open. `port` is None when not said;
    `any_port` is the `*` of a peer that may have any. `proto` is None when not said. `device` is true for a
    `%NAME` that means SO_BINDTODEVICE and not a zone.
    """

    family: int = AF_UNSPEC
    address: int | None = None
    name: str = ""
    every: bool = False
    path: bytes | None = None
    zone: str = ""
    device: bool = False
    mapped: bool = False  # written as `::ffff:a.b.c.d`
    port: int | None = None
    any_port: bool = False
    proto: int | None = None
    scheme: str = ""

    @property
    def host(self) -> str:
        """The host as it is written before a port: `[::1]`, `0.0.0.0`, `localhost`, `*`; empty when not
        said."""
        if self.every:
            host = "*"
        elif self.address is None:
            host = self.name
        elif self.family == AF_INET6:
            zone = f"%{self.zone}" if self.zone and not self.device else ""
            host = f"[{ip.text_v6(self.address) if ip.is_v4(self.address) else ip.text(self.address)}{zone}]"
        else:
            host = ip.text(self.address)
        return f"{host}%{self.zone}" if self.device else host

    @property
    def text(self) -> str:
        """The notation that nobody can misread: `[::1]:8080`, `unix:/run/x.sock`."""
        if self.path is not None:
            shown = self.path.decode(errors="surrogateescape")
            return "unix:" + ("@" + shown[1:] if shown.startswith("\0") else shown)
        if self.any_port:
            return f"{self.host}:*"
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """The notation that nobody can misread."""
        return self.text


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to understand a notation: the endpoint, and one sentence on it for a person."""

    endpoint: Endpoint
    sentence: str


@dataclass(frozen=True, slots=True)
class Notation:
    """A notation with its readings: the first is what inet_pton(3) and getaddrinfo(3) make of it, if they
    take it."""

    text: str
    readings: tuple[Reading, ...]

    @property
    def endpoint(self) -> Endpoint:
        """The first reading's endpoint."""
        return self.readings[0].endpoint

    @property
    def ambiguous(self) -> bool:
        """Whether there is another reading."""
        return len(self.readings) > 1

    @property
    def other(self) -> Reading | None:
        """The second reading, if there is one."""
        return self.readings[1] if self.ambiguous else None

    @property
    def with_port(self) -> Endpoint | None:
        """The first reading that has a port: what a command means that needs one."""
        return next((r.endpoint for r in self.readings if r.endpoint.port is not None), None)

    @property
    def sentence(self) -> str:
        """What it means, for a person; an ambiguous one says so and gives each reading."""
        if not self.ambiguous:
            only = self.readings[0].sentence
            return only[0].upper() + only[1:] + "."
        readings = "; or ".join(f"{each.endpoint}, that is {each.sentence}" for each in self.readings)
        return f"Ambiguous: {readings}."


def family_name(family: int) -> str:
    """The name that people use: IPv4 or IPv6."""
    return "IPv6" if family == AF_INET6 else "IPv4"


def sentence(endpoint: Endpoint, note: str = "") -> str:
    """One sentence, without its capital and full stop, on what the endpoint is; `note` is added to it."""
    if endpoint.path is not None:
        return _unix_sentence(endpoint.path)
    unsaid = "" if endpoint.port is not None or endpoint.any_port else "no port is said"
    notes = [part for part in (unsaid, note, _zone_note(endpoint)) if part]
    words = f"{_port_words(endpoint)} {_host_words(endpoint)}".strip()
    return words + (f" ({'; '.join(notes)})" if notes else "")


def _unix_sentence(path: bytes) -> str:
    shown = path.decode(errors="backslashreplace")
    if path.startswith(b"\0"):
        return f"the Unix domain socket with the abstract name {shown[1:]}: programs of this machine only"
    return f"the Unix domain socket at the path {shown}: programs of this machine only"


def _port_words(endpoint: Endpoint) -> str:
    said = endpoint.name or endpoint.every or endpoint.address is not None
    joined = " of" if said else ""
    protocol, word = _PROTOCOLS.get(endpoint.proto or 0, (None, "port"))
    if endpoint.any_port:
        return f"any {word}{joined}"
    if endpoint.port is None:
        return ""
    if endpoint.port == 0:
        return f"{word} 0, a port that the system chooses,{joined}"
    service = services.by_port(endpoint.port, protocol)
    known = f" ({service.name})" if service else ""
    return f"{word} {endpoint.port}{known}{joined}"


def _host_words(endpoint: Endpoint) -> str:
    if endpoint.every:
        if endpoint.family:
            return f"every {family_name(endpoint.family)} address of the machine"
        return "every address of the machine, IPv6 and IPv4"
    if endpoint.address is not None:
        said = endpoint.port is not None or endpoint.any_port
        bare = not said and not ip.is_any(endpoint.address)
        return ("the address " if bare else "") + _address_words(endpoint.address, endpoint.mapped)
    if not endpoint.name:
        return "on a host that is not said"
    if endpoint.name.lower().removesuffix(".").endswith("localhost"):
        return f"the machine itself by the name {endpoint.name}: 127.0.0.1, ::1 or both"
    family = f" over {family_name(endpoint.family)}" if endpoint.family else ""
    return f"the host named {endpoint.name}{family}"


def _address_words(address: int, mapped: bool) -> str:
    if address == ip.V4_ANY:
        return "every IPv4 address of the machine" + (" of an IPv6 socket" if mapped else "")
    if address == ip.V6_ANY:
        return "every IPv6 address of the machine, and every IPv4 one too unless the socket is v6-only"
    kind = kind_of(address)
    family = "IPv4" if ip.is_v4(address) else "IPv6"
    shown = f" as an IPv6 socket shows it ({ip.text_v6(address)})" if mapped else ""
    return f"{ip.text(address)}{shown}, an {family} {kind.name}: {kind.reach}"


def _zone_note(endpoint: Endpoint) -> str:
    if endpoint.address is None or endpoint.family != AF_INET6 or endpoint.device:
        return ""
    needs = ip.needs_scope(endpoint.address)
    if endpoint.zone:
        where = f"on the link of the interface {endpoint.zone}"
        return where if needs else f"the zone {endpoint.zone} means nothing for such an address"
    return "without a zone such as %eth0 it is not known on which link" if needs else ""
