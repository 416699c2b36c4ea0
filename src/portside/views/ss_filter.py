"""The filters of ss(8): which states, and the expressions `sport = :80 and not dst 10.0.0.0/8`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from portside.addr import ip
from portside.facts.socket import Socket, UnixSocket
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
from portside.views.names import NO_NAMES, HostNames
from portside.views.table import Misuse, unix_name

BOUND_INACTIVE: Final = 13  # TCP_BOUND_INACTIVE of <net/tcp_states.h>: a TCP socket that has a port and no more

ALL: Final = frozenset(
    (ESTABLISHED, SYN_SENT, SYN_RECEIVED, FIN_WAIT_1, FIN_WAIT_2, TIME_WAIT, CLOSED, CLOSE_WAIT, LAST_ACK, LISTEN,
     CLOSING)
)  # fmt: skip
CONNECTED: Final = ALL - {CLOSED, LISTEN}
DEFAULT: Final = CONNECTED - {TIME_WAIT, SYN_RECEIVED}
"""What is shown without -a, -l or a state."""
CONNECTED_DATAGRAMS: Final = frozenset((ESTABLISHED,))
"""The same, when only UDP and raw sockets are asked for."""
LISTENING: Final = frozenset((LISTEN, CLOSED))
"""What -l shows: an unconnected UDP socket is CLOSED."""

STATES: Final = {
    "all": ALL,
    "connected": CONNECTED,
    "synchronized": CONNECTED - {SYN_SENT},
    "bucket": frozenset((SYN_RECEIVED, TIME_WAIT)),
    "big": ALL - {SYN_RECEIVED, TIME_WAIT},
    "established": frozenset((ESTABLISHED,)),
    "estab": frozenset((ESTABLISHED,)),
    "syn-sent": frozenset((SYN_SENT,)),
    "syn-recv": frozenset((SYN_RECEIVED,)),
    "fin-wait-1": frozenset((FIN_WAIT_1,)),
    "fin-wait-2": frozenset((FIN_WAIT_2,)),
    "time-wait": frozenset((TIME_WAIT,)),
    "unconnected": frozenset((CLOSED,)),
    "closed": frozenset((CLOSED,)),
    "close": frozenset((CLOSED,)),
    "close-wait": frozenset((CLOSE_WAIT,)),
    "last-ack": frozenset((LAST_ACK,)),
    "listening": frozenset((LISTEN,)),
    "listen": frozenset((LISTEN,)),
    "closing": frozenset((CLOSING,)),
    "bound-inactive": frozenset((BOUND_INACTIVE,)),
}
"""Names of states and of sets of them."""

Either = Socket | UnixSocket
Predicate = Callable[[Either], bool]

_TOKEN: Final = re.compile(r"\s*(\(|\)|&&?|\|\|?|[!=<>]=|[!=<>]|(?:\[[^]\s]*\]|[^\s()&|!=<>])+)")
_COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "=": operator.eq, "==": operator.eq, "eq": operator.eq, "!=": operator.ne, "ne": operator.ne, "neq": operator.ne,
    ">=": operator.ge, "ge": operator.ge, "geq": operator.ge, "<=": operator.le, "le": operator.le, "leq": operator.le,
    ">": operator.gt, "gt": operator.gt, "<": operator.lt, "lt": operator.lt,
}  # fmt: skip
_OR: Final = ("or", "|", "||")
_AND: Final = ("and", "&", "&&")
_NOT: Final = ("not", "!")


def states(words: Sequence[str]) -> tuple[frozenset[int] | None, list[str]]:
    """The states that `state NAME` and `exclude NAME` at the beginning choose (None: none is named), and the rest.

    Raises Misuse.
    """
    chosen: frozenset[int] | None = None
    place = 0
    while place < len(words) and words[place] in ("state", "exclude", "excl"):
        if place + 1 == len(words):
            raise Misuse(f"{words[place]} what? Name a state: {', '.join(STATES)}")
        name = words[place + 1]
        found = STATES.get(name.lower())
        if found is None:
            raise Misuse(f"{name!r} is no state; the states are {', '.join(STATES)}")
        if words[place] == "state":
            chosen = found if chosen is None else chosen | found
        else:
            chosen = (ALL if chosen is None else chosen) - found
        place += 2
    if chosen is not None and not chosen:
        raise Misuse(f"no state is left of {' '.join(words[:place])!r}")
    return chosen, list(words[place:])


def expression(
    text: str, names: HostNames, device: Callable[[str], int], ephemeral: tuple[int, int]
) -> Predicate | None:
    """What the expression lets pass; None when it is empty.

    Args:
        text: the expression of ss(8).
        names: what host names stand for.
        device: the index of an interface of that name, 0 when there is none.
        ephemeral: the range of ports that `autobound` means.

    Raises Misuse.
    """
    parser = _Parser(_tokens(text), names, device, ephemeral)
    return parser.whole()


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    place = 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise Misuse(f"the filter is not understood from {text[place:]!r} on")
        found.append(match[1])
        place = match.end()
    return found


class _Parser:
    """Recursive descent: `or` binds weakest, then `and` (which may be left out), then `not`."""

    def __init__(
        self, tokens: list[str], names: HostNames, device: Callable[[str], int], ephemeral: tuple[int, int]
    ) -> None:
        self.tokens = tokens
        self.place = 0
        self.names = names
        self.device = device
        self.ephemeral = ephemeral

    def peek(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, what: str) -> str:
        token = self.peek()
        if not token:
            raise Misuse(f"the filter ends where {what} should stand")
        self.place += 1
        return token

    def whole(self) -> Predicate | None:
        if not self.tokens:
            return None
        result = self.either()
        if self.peek():
            raise Misuse(f"the filter is not understood from {self.peek()!r} on")
        return result

    def either(self) -> Predicate:
        sides = [self.both()]
        while self.peek() in _OR:
            self.place += 1
            sides.append(self.both())
        return sides[0] if len(sides) == 1 else lambda socket: any(side(socket) for side in sides)

    def both(self) -> Predicate:
        sides = [self.one()]
        while self.peek() and self.peek() not in (*_OR, ")"):
            if self.peek() in _AND:
                self.place += 1
            sides.append(self.one())
        return sides[0] if len(sides) == 1 else lambda socket: all(side(socket) for side in sides)

    def one(self) -> Predicate:
        word = self.take("a condition")
        if word in _NOT:
            inner = self.one()
            return lambda socket: not inner(socket)
        if word == "(":
            inside = self.either()
            if self.take("a closing parenthesis") != ")":
                raise Misuse("a parenthesis of the filter is not closed")
            return inside
        condition = getattr(self, "_" + word, None) if word in _CONDITIONS else None
        if condition is None:
            raise Misuse(f"{word!r} is no condition of a filter: it knows {', '.join(_CONDITIONS)}")
        made: Predicate = condition()
        return made

    def _equality(self, what: str) -> bool:
        """The `=` or `!=` that may stand before an address or a name: whether it is the former."""
        if self.peek() not in _COMPARISONS:
            return True
        sign = self.take(what)
        if _COMPARISONS[sign] not in (operator.eq, operator.ne):
            raise Misuse(f"{what} is equal or not: {sign!r} does not go with it")
        return _COMPARISONS[sign] is operator.eq

    def _sport(self) -> Predicate:
        compare, wanted = self._port()
        return lambda socket: isinstance(socket, Socket) and compare(socket.lport, wanted)

    def _dport(self) -> Predicate:
        compare, wanted = self._port()
        return lambda socket: isinstance(socket, Socket) and compare(socket.rport, wanted)

    def _port(self) -> tuple[Callable[[int, int], bool], int]:
        compare = _COMPARISONS[self.take("a port")] if self.peek() in _COMPARISONS else operator.eq
        return compare, port(self.take("a port").rpartition(":")[2], self.names)

    def _src(self) -> Predicate:
        equal, matches = self._equality("an address"), self._address()
        return lambda socket: matches(socket, True) is equal

    def _dst(self) -> Predicate:
        equal, matches = self._equality("an address"), self._address()
        return lambda socket: matches(socket, False) is equal

    def _address(self) -> Callable[[Either, bool], bool]:
        word = self.take("an address")
        if word.startswith(("unix:", "/", "@")):
            return _unix_pattern(word.removeprefix("unix:"))
        return _endpoint(word, self.names)

    def _dev(self) -> Predicate:
        equal = self._equality("an interface")
        index = self.device(self.take("an interface"))
        return lambda socket: isinstance(socket, Socket) and (index != 0 and socket.device == index) is equal

    def _fwmark(self) -> Predicate:
        equal = self._equality("a mark")
        value, _, mask = self.take("a mark").partition("/")
        try:
            number, bits = int(value, 0), int(mask, 0) if mask else 0xFFFFFFFF
        except ValueError:
            raise Misuse(f"fwmark {value!r}: write a number, or NUMBER/MASK") from None
        return lambda socket: isinstance(socket, Socket) and (socket.mark & bits == number) is equal

    def _autobound(self) -> Predicate:
        low, high = self.ephemeral
        return lambda socket: low <= socket.lport <= high if isinstance(socket, Socket) else _is_autobound(socket.path)


_CONDITIONS: Final = ("src", "dst", "sport", "dport", "dev", "fwmark", "autobound")


def port(text: str, names: HostNames = NO_NAMES) -> int:
    """A port by number or by the name of its service.

    Raises Misuse.
    """
    if text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65535:
        return int(text)
    found = names.port(text)
    if found is None:
        raise Misuse(f"{text!r} is no port: write a number up to 65535 or the name of a service")
    return found


def _is_autobound(path: bytes | None) -> bool:
    """No name, or an abstract one that the kernel chose: five hexadecimal digits (unix(7), autobind)."""
    return path is None or re.fullmatch(rb"\0[0-9a-f]{5}", path) is not None


def _unix_pattern(pattern: str) -> Callable[[Either, bool], bool]:
    def matches(socket: Either, local: bool) -> bool:
        return isinstance(socket, UnixSocket) and local and fnmatchcase(unix_name(socket.path), pattern)

    return matches


def _endpoint(word: str, names: HostNames) -> Callable[[Either, bool], bool]:
    """Whether an end of a socket has the address, in the network, the port, or both."""
    host, wanted = _split(word, names)
    networks = [] if host in ("", "*") else _networks(host, names)

    def matches(socket: Either, local: bool) -> bool:
        if not isinstance(socket, Socket):
            return False
        address, own = (socket.laddr, socket.lport) if local else (socket.raddr, socket.rport)
        if wanted is not None and own != wanted:
            return False
        return not networks or any(
            ip.is_v4(first) == ip.is_v4(address) and ip.prefix_of(address, length) == first
            for first, length in networks
        )

    return matches


def _split(word: str, names: HostNames) -> tuple[str, int | None]:
    """`HOST`, `HOST:PORT`, `:PORT`, `[V6]:PORT`, `[V6]/64`: the host and the port, None when there is none."""
    if word.startswith("["):
        inside, closed, after = word[1:].partition("]")
        if not closed:
            raise Misuse(f"{word!r}: the bracket is not closed")
        length, _, text = after.partition(":")
        return inside + length, port(text, names) if text and text != "*" else None
    if word.count(":") > 1:
        raise Misuse(f"{word!r}: put an IPv6 address in brackets, [{word}]")
    host, _, text = word.partition(":")
    return host, port(text, names) if text and text != "*" else None


def _networks(host: str, names: HostNames) -> list[tuple[int, int]]:
    text, slash, length = host.partition("/")
    try:
        found = names.addresses(text)
    except ValueError as error:
        raise Misuse(str(error)) from None
    if slash and not (length.isdecimal() and len(length) < 4 and int(length) <= ip.bits_of(found[0])):
        raise Misuse(f"{host!r}: the length of the prefix is a number up to {ip.bits_of(found[0])}")
    return [
        (ip.prefix_of(address, bits), bits)
        for address in found
        for bits in (int(length) if slash else ip.bits_of(address),)
    ]
