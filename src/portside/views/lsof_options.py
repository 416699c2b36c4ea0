"""The command line of lsof(8): its flags with values that may be left out, and what they select."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.facts.socket import Socket
from portside.facts.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)
from portside.views.names import HostNames
from portside.views.ss_filter import port
from portside.views.table import Misuse

STATE_NAMES: Final = {
    ESTABLISHED: "ESTABLISHED", SYN_SENT: "SYN_SENT", SYN_RECEIVED: "SYN_RECV", FIN_WAIT_1: "FIN_WAIT1",
    FIN_WAIT_2: "FIN_WAIT2", TIME_WAIT: "TIME_WAIT", CLOSED: "CLOSE", CLOSE_WAIT: "CLOSE_WAIT", LAST_ACK: "LAST_ACK",
    LISTEN: "LISTEN", CLOSING: "CLOSING",
}  # fmt: skip
_PROTOCOLS: Final = {"tcp": (IPPROTO_TCP,), "udp": (IPPROTO_UDP,), "udplite": (IPPROTO_UDPLITE,)}
_ADDRESS: Final = re.compile(
    r"(?P<family>[46])?(?P<proto>[A-Za-z]+)?(?:@(?P<host>\[[^\]]*\]|[^:]*))?(?::(?P<ports>.+))?"
)


class Internet(NamedTuple):
    """What one -i selects: `[46][PROTOCOL][@HOST][:PORTS]`; empty parts stand for all."""

    text: str
    family: int = 0
    protos: tuple[int, ...] = ()
    addresses: tuple[int, ...] = ()
    ports: tuple[tuple[int, int], ...] = ()

    def matches(self, socket: Socket) -> bool:
        """Whether either end of the socket is meant."""
        if self.protos and socket.proto not in self.protos:
            return False
        # With nothing but the family lsof looks at the socket's, else at the addresses': a mapped one is IPv4.
        bare = not (self.protos or self.addresses or self.ports)
        if self.family not in (0, socket.family if bare else ip.family_of(socket.laddr)):
            return False
        ends = ((socket.laddr, socket.lport), (socket.raddr, socket.rport))
        return any(self._is_end(address, number) for address, number in ends)

    def _is_end(self, address: int, number: int) -> bool:
        if self.addresses and address not in self.addresses:
            return False
        return not self.ports or any(low <= number <= high for low, high in self.ports)


class Choice(NamedTuple):
    """A list such as `root,^bob`: what is wanted, and what is not in any case."""

    wanted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


ANY: Final = Choice()
"""A list that says nothing."""


@dataclass(slots=True)
class Options:
    """What the command line of lsof(8) asks for."""

    internet: list[Internet] = field(default_factory=list)
    every_internet: bool = False
    unix: bool = False
    pids: Choice = ANY
    users: Choice = ANY
    commands: Choice = ANY
    states: Choice = ANY
    every: bool = False  # -a: all conditions, not any of them
    hosts: bool = True
    ports: bool = True
    logins: bool = True
    terse: bool = False
    parents: bool = False
    fields: str | None = None
    width: int = 9
    told: str = "s"  # -T: queues, state


def options(arguments: Sequence[str], names: HostNames) -> Options:
    """The flags of a command line; letters may stand together, and their values behind them.

    Raises Misuse.
    """
    found = Options()
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word.startswith("+c"):
            _set_width(found, word[2:] or _next(words, "+c"))
        elif not word.startswith("-") or word == "-":
            raise Misuse(f"{word!r}: files are not looked at; -i lists internet sockets, -U those of UNIX")
        else:
            _letters(found, word[1:], words, names)
    return found


def _letters(found: Options, letters: str, words: list[str], names: HostNames) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter in _SWITCHES:
            attribute, switch = _SWITCHES[letter]
            setattr(found, attribute, switch)
        elif letter in _VALUES:
            value = letters or (words.pop(0) if words and (letter in _MUST or _is_value(words[0])) else "")
            if letter in _MUST and not value:
                raise Misuse(f"-{letter} what? It takes {_MUST[letter]}")
            _VALUES[letter](found, value, names)
            return
        else:
            raise Misuse(f"there is no flag -{letter}; it knows -i -U -s -n -P -l -p -u -c -a -t -F -R -T and +c")


_SWITCHES: Final[dict[str, tuple[str, bool]]] = {
    "a": ("every", True), "n": ("hosts", False), "P": ("ports", False), "l": ("logins", False), "t": ("terse", True),
    "U": ("unix", True), "R": ("parents", True),
}  # fmt: skip
_MUST: Final = {"p": "process ids, as 1,2,^3", "u": "users, as root,^bob", "c": "the beginning of a command's name"}


def _is_value(word: str) -> bool:
    return not word.startswith(("-", "+"))


def _next(words: list[str], flag: str) -> str:
    if not words:
        raise Misuse(f"{flag} takes a number")
    return words.pop(0)


def _set_width(found: Options, text: str) -> None:
    if not text.isdecimal() or len(text) > 4:
        raise Misuse(f"+c {text}: the width of the command's column is a number; 0 for all of the name")
    found.width = max(int(text), len("COMMAND")) if int(text) else 65536


def _set_internet(found: Options, text: str, names: HostNames) -> None:
    found.every_internet = found.every_internet or not text
    if text:
        found.internet.append(internet(text, names))


def _set_states(found: Options, text: str, names: HostNames) -> None:
    protocol, colon, list_ = text.partition(":")
    if not colon:
        raise Misuse("-s takes PROTOCOL:STATES, such as -sTCP:LISTEN")
    if protocol.upper() != "TCP":
        raise Misuse(f"-s {text}: only TCP has states")
    chosen = _choice(list_.upper())
    for name in (*chosen.wanted, *chosen.refused):
        if name not in STATE_NAMES.values():
            raise Misuse(f"-s {text}: the states are {', '.join(STATE_NAMES.values())}")
    found.states = _added(found.states, chosen)


def _set_pids(found: Options, text: str, names: HostNames) -> None:
    chosen = _choice(text)
    if not all(word.isdecimal() for word in (*chosen.wanted, *chosen.refused)):
        raise Misuse(f"-p {text}: process ids are numbers, with commas between them")
    found.pids = _added(found.pids, chosen)


def _set_users(found: Options, text: str, names: HostNames) -> None:
    found.users = _added(found.users, _choice(text))


def _set_commands(found: Options, text: str, names: HostNames) -> None:
    single = Choice((), (text[1:],)) if text.startswith("^") else Choice((text,))
    found.commands = _added(found.commands, single)


def _set_fields(found: Options, text: str, names: HostNames) -> None:
    found.fields = text


def _set_told(found: Options, text: str, names: HostNames) -> None:
    if set(text) - set("qsfw"):
        raise Misuse(f"-T {text}: it takes q for the queues, s for the state")
    found.told = text


_VALUES: Final[dict[str, Callable[[Options, str, HostNames], None]]] = {
    "i": _set_internet, "s": _set_states, "p": _set_pids, "u": _set_users, "c": _set_commands, "F": _set_fields,
    "T": _set_told,
}  # fmt: skip


def _choice(text: str) -> Choice:
    words = [word for word in text.split(",") if word]
    return Choice(
        tuple(word for word in words if not word.startswith("^")),
        tuple(word[1:] for word in words if word.startswith("^")),
    )


def _added(one: Choice, other: Choice) -> Choice:
    return Choice(one.wanted + other.wanted, one.refused + other.refused)


def internet(text: str, names: HostNames) -> Internet:
    """What `-i TEXT` selects.

    Raises Misuse.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise Misuse(f"-i {text}: write [46][TCP|UDP][@HOST][:PORTS]")
    family = {"4": AF_INET, "6": AF_INET6}.get(match["family"] or "", 0)
    protocol = (match["proto"] or "").lower()
    if protocol and protocol not in _PROTOCOLS:
        raise Misuse(f"-i {text}: {match['proto']!r} is no protocol that has ports; write TCP or UDP")
    try:
        addresses = tuple(names.addresses(match["host"])) if match["host"] else ()
    except ValueError as error:
        raise Misuse(f"-i {text}: {error}") from None
    if family:
        addresses = tuple(address for address in addresses if ip.family_of(address) == family)
    ports = tuple(_range(word, names) for word in (match["ports"] or "").split(",") if word)
    return Internet(text, family, _PROTOCOLS.get(protocol, ()), addresses, ports)


def _range(text: str, names: HostNames) -> tuple[int, int]:
    """A port, the name of a service (which may have a hyphen), or two ports with a hyphen between them."""
    low, hyphen, high = text.partition("-")
    if hyphen and low.isdecimal() and high.isdecimal():
        return port(low), port(high)
    return port(text, names), port(text, names)
