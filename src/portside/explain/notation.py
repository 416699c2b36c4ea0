"""What a notation of an endpoint means, for a person and for a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from portside.addr import endpoint as notations
from portside.addr import ip, port, services
from portside.addr.abi import AF_INET, AF_INET6, AF_UNIX
from portside.addr.endpoint import NotationError
from portside.addr.reading import Endpoint, Reading
from portside.explain.words import PROTOCOLS

FAMILIES: Final = {AF_INET: "IPv4", AF_INET6: "IPv6", AF_UNIX: "unix"}

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A notation with its readings, or with what is wrong: `position` is the first character that is, from 0."""

    text: str
    readings: tuple[Reading, ...] = ()
    position: int | None = None
    reason: str = ""

    @property
    def understood(self) -> bool:
        """Whether it means anything."""
        return self.position is None

    @property
    def ambiguous(self) -> bool:
        """Whether it can be read in two ways."""
        return len(self.readings) > 1

    @property
    def lines(self) -> tuple[str, ...]:
        """The explanation for a person, from the sentence that counts most."""
        if self.position is not None:
            return _wrong_lines(self.text, self.position, self.reason)
        if not self.ambiguous:
            return (_as_sentence(self.readings[0].sentence), *details(self.readings[0].endpoint))
        found = [f"{self.text.strip()} is ambiguous:"]
        for reading in self.readings:
            found.append(f"  {reading.endpoint.text}: {reading.sentence}.")
            found += [f"    {line}" for line in details(reading.endpoint)]
        found.append(_who_reads_it_how(self.readings))
        return tuple(found)

    def json(self) -> Json:
        """What `portside explain --json` prints: `readings`, or `error` with `position` and `reason`."""
        answer: Json = {"notation": self.text, "understood": self.understood, "ambiguous": self.ambiguous}
        if self.position is not None:
            answer["error"] = {"position": self.position, "reason": self.reason}
        answer["readings"] = [_reading_json(reading) for reading in self.readings]
        return answer

    def __str__(self) -> str:
        """The explanation for a person."""
        return "\n".join(self.lines)


def explain(text: str) -> Explanation:
    """What the notation means; never raises: what is wrong is said in the answer.

    Args: text: an endpoint as people type it and as tools print it; see `addr.endpoint.parse`.
    """
    try:
        return Explanation(text, notations.parse(text).readings)
    except NotationError as error:
        return Explanation(text, (), error.position, error.reason)


def details(endpoint: Endpoint) -> tuple[str, ...]:
    """What else is worth knowing, each a sentence: the port's range and service, and what a wildcard is to whom."""
    found = []
    if endpoint.port:
        found.append(_port_sentence(endpoint.port, PROTOCOLS.get(endpoint.proto or 0)))
    if endpoint.every or (endpoint.address is not None and ip.is_any(endpoint.address)):
        found.append(_wildcard_sentence(endpoint))
    return tuple(found)


def _port_sentence(number: int, protocol: str | None) -> str:
    within = port.range_of(number)
    service = services.by_port(number, protocol)
    said = f"Port {number} is one of the {within.name} ports ({within}): {within.sentence}"
    if service is not None:
        assigned = "registered for" if service.assigned else "not registered, but commonly used by"
        said += f"; {assigned} {service.name} ({service.title})"
    if number in port.LINUX:
        said += f"; within Linux's ephemeral range ({port.LINUX}), from which connections take theirs"
    return said + "."


def _wildcard_sentence(endpoint: Endpoint) -> str:
    where = f":{endpoint.port}" if endpoint.port else ""
    if endpoint.every or endpoint.family == AF_INET6:
        own = f"127.0.0.1{where} or [::1]{where}" if endpoint.every else f"[::1]{where}"
    else:
        own = f"127.0.0.1{where}"
    return f"That is where a server listens, not where a client connects: on the same machine call {own}."


def _who_reads_it_how(readings: tuple[Reading, ...]) -> str:
    first = readings[0].endpoint
    if first.port is not None and first.family == AF_INET6:
        return f"netstat prints it the first way, no program takes it so; brackets leave no doubt: {first.text}"
    if first.address is not None and first.family == AF_INET6:
        return f"Programs read it the first way; brackets leave no doubt: {readings[1].endpoint.text}"
    if first.address is not None:
        return "C programs read it the first way (inet_aton(3): a leading 0 means octal); many others the second way."
    return "Where a host is expected it is the first, where a port is expected the second."


def _wrong_lines(text: str, position: int, reason: str) -> tuple[str, ...]:
    shown = "".join(character if character.isprintable() else "?" for character in text)
    if not shown:
        return (f"This means nothing: {reason}.",)
    return ("This means nothing:", f"  {shown}", f"  {' ' * position}^ {reason}")


def _as_sentence(words: str) -> str:
    return words[0].upper() + words[1:] + "."


def _reading_json(reading: Reading) -> Json:
    endpoint = reading.endpoint
    protocol = PROTOCOLS.get(endpoint.proto or 0)
    service = services.by_port(endpoint.port, protocol) if endpoint.port else None
    return {
        "text": endpoint.text,
        "sentence": reading.sentence,
        "details": list(details(endpoint)),
        "family": FAMILIES.get(endpoint.family),
        "address": None if endpoint.address is None else ip.text(endpoint.address),
        "name": endpoint.name or None,
        "every": endpoint.every,
        "path": None if endpoint.path is None else endpoint.path.decode(errors="surrogateescape"),
        "zone": endpoint.zone or None,
        "device": endpoint.device,
        "port": endpoint.port,
        "any_port": endpoint.any_port,
        "protocol": protocol,
        "scheme": endpoint.scheme or None,
        "service": service.name if service is not None else None,
        "range": port.range_of(endpoint.port).name if endpoint.port is not None else None,
    }
