"""Facts as JSON and back: a snapshot of one machine, to be looked at on another.

A file is one JSON object::

    {"format": "portside snapshot", "version": 1, "snapshot": {"host": "alpha", "sockets": [...], ...}}

Every fact is an object whose keys are the names of its fields in `portside.facts`. What is absent has the default that
the field has there; null is None, "could not be read". Values are written as follows:

- an Internet address is text, as `addr.ip.text` writes it: "127.0.0.1", "::1"; a pair with a prefix length is
  ["10.0.0.0", 8], a range is ["10.0.0.1", "10.0.0.9"];
- a link-layer address is "02:00:00:00:00:01";
- any other bytes (the name of an AF_UNIX socket) are text, each byte that is no UTF-8 being the lone surrogate
  U+DC80 to U+DCFF of PEP 383, which JSON writes as backslash, "udc80" and so on. Names and arguments in facts are such
  text already. The file itself is plain ASCII;
- durations are whole numbers of nanoseconds, as in the facts; tuples are arrays; a set is a sorted array.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Final, NoReturn, Union, get_args, get_origin, get_type_hints

from portside.addr import ip
from portside.facts import process, rule, settings, socket, tcp_info
from portside.facts.interface import Address, Interface, Neighbor
from portside.facts.route import NextHop, PolicyRule, Route
from portside.facts.rule import FirewallRule, Match
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket

FORMAT: Final = "portside snapshot"
VERSION: Final = 1

# What facts name in their annotations, and do not import.
_NAMES: Final[dict[str, Any]] = {
    **{each.__name__: each for each in (Interface, Neighbor, PolicyRule, Route, Socket)},
    "Process": process.Process,
    "Chain": rule.Chain,
    "Settings": settings.Settings,
    "TcpInfo": tcp_info.TcpInfo,
    "UnixSocket": socket.UnixSocket,
}

# Fields that hold addresses, beside those whose type says it.
_ADDRESSES: Final[dict[type, frozenset[str]]] = {
    Socket: frozenset({"laddr", "raddr"}),
    Address: frozenset({"address", "peer", "broadcast"}),
    Neighbor: frozenset({"address"}),
    NextHop: frozenset({"gateway"}),
    Route: frozenset({"destination", "gateway", "source"}),
}
_PREFIXES: Final[dict[type, frozenset[str]]] = {
    Route: frozenset({"from_prefix"}),
    PolicyRule: frozenset({"source", "destination"}),
}
_PORTS: Final = frozenset({"lport", "rport"})

Json = Any
Write = Callable[[Any], Json]
Read = Callable[[Json, str], Any]


@dataclass(frozen=True, slots=True)
class _Codec:
    """How values of one type are written and read, and what one is called. `read` is told where the value stands, for
    its complaint."""

    write: Write
    read: Read
    name: str


def dump(snapshot: Snapshot, *, complete: bool = False) -> str:
    """The snapshot as a line of JSON.

    Args: complete: write fields that have their default, too.
    """
    body = {"format": FORMAT, "version": VERSION, "snapshot": plain(snapshot, complete=complete)}
    return json.dumps(body, separators=(",", ":")) + "\n"


def load(text: str) -> Snapshot:
    """The snapshot that `dump` wrote.

    Raises ValueError that says what is wrong, and where.
    """
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"this is no JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("this is no snapshot: it is nested too deeply") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise ValueError(f'this is no snapshot: {{"format": "{FORMAT}"}} is missing')
    if body.get("version") != VERSION:
        raise ValueError(f"version {body.get('version')!r} of the format is not known here, only {VERSION}")
    if "snapshot" not in body:
        raise ValueError("'snapshot' is missing")
    try:
        snapshot: Snapshot = read(Snapshot, body["snapshot"], "snapshot")
    except RecursionError:
        raise ValueError("this is no snapshot: `others` is nested too deeply") from None
    return snapshot


def plain(fact: object, *, complete: bool = True) -> dict[str, Json]:
    """One fact as the dictionary that is written for it: what `--json` prints.

    Args: complete: with fields that have their default, too.
    """
    kind: Any = fact.__class__  # not type(): one may stand for another
    written: dict[str, Json] = _fact(kind, complete).write(fact)
    return written


def read(kind: type, body: Json, where: str = "it") -> Any:
    """The fact of class `kind` that `plain` wrote.

    Args: where: what to call it in a complaint.
    Raises ValueError that says what is wrong, and where.
    """
    return _fact(kind, False).read(body, where)


def schema(kind: type) -> dict[str, str]:
    """What is written for each field of a fact, in words: `number`, `address or null`, `array of Socket`."""
    return {name: codec.name for name, codec in _fields(kind, False).items()}


def _wrong(where: str, needed: str, got: Json) -> NoReturn:
    shown = json.dumps(got)
    raise ValueError(f"{where}: {needed} is needed, not {shown if len(shown) < 60 else shown[:57] + '...'}")


# facts


@cache
def _fact(kind: Any, complete: bool) -> _Codec:
    """A fact: an object with a key for each field."""
    codecs = _fields(kind, complete)
    needed = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    defaults = {f.name: f.default for f in fields(kind) if f.default is not MISSING}
    defaults |= {f.name: f.default_factory() for f in fields(kind) if f.default_factory is not MISSING}
    shape = [(name, codec.write, defaults.get(name, MISSING)) for name, codec in codecs.items()]

    def write(value: Any) -> Json:
        written = {}
        for name, write_field, default in shape:
            one = getattr(value, name)
            if complete or one != default:
                written[name] = write_field(one)
        return written

    def read_fact(body: Json, where: str) -> Any:
        if not isinstance(body, dict):
            _wrong(where, "an object", body)
        values = {}
        for name, one in body.items():
            if name not in codecs:
                raise ValueError(f"{where}: a {kind.__name__} has no {name!r} here; is the file of a newer portside?")
            values[name] = codecs[name].read(one, f"{where}.{name}")
        if lacking := [name for name in needed if name not in values]:
            raise ValueError(f"{where}: {', '.join(map(repr, lacking))} is missing")
        return kind(**values)

    return _Codec(write, read_fact, kind.__name__)


def _fields(kind: Any, complete: bool) -> dict[str, _Codec]:
    hints = get_type_hints(kind, localns=_NAMES)
    return {each.name: _field(kind, each.name, hints[each.name], complete) for each in fields(kind)}


def _field(kind: type, name: str, hint: Any, complete: bool) -> _Codec:
    if name in _ADDRESSES.get(kind, ()):
        return _optional(_ADDRESS) if type(None) in get_args(hint) else _ADDRESS
    if name in _PREFIXES.get(kind, ()):
        return _optional(_row(_ADDRESS, _INT))
    if (kind, name) == (FirewallRule, "to_address"):
        return _optional(_row(_ADDRESS, _ADDRESS))
    if (kind, name) == (Match, "values"):
        return _MATCHED
    if kind is Socket and name in _PORTS:
        return _PORT
    if hint is bytes and kind in (Interface, Neighbor):
        return _MAC
    return _codec(hint, complete)


@cache
def _codec(hint: Any, complete: bool) -> _Codec:
    """How a value with this type annotation is written and read."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if is_dataclass(hint):
        # Snapshot holds Snapshots: what is inside is made when it is met.
        assert isinstance(hint, type)
        return _Codec(
            lambda value: _fact(hint, complete).write(value),
            lambda body, where: _fact(hint, complete).read(body, where),
            hint.__name__,
        )
    if origin in (Union, types.UnionType) and inner[1:] == (types.NoneType,):
        return _optional(_codec(inner[0], complete))
    if origin is tuple and inner[1:] == (...,):
        return _array(_codec(inner[0], complete), tuple)
    if origin is tuple:
        return _row(*(_codec(each, complete) for each in inner))
    if origin is frozenset:
        return _array(_codec(inner[0], complete), frozenset)
    if origin is dict:
        return _table(_codec(inner[1], complete))
    raise AssertionError(f"no way is known to write {hint}")


# values


def _optional(inner: _Codec) -> _Codec:
    return _Codec(
        lambda value: None if value is None else inner.write(value),
        lambda body, where: None if body is None else inner.read(body, where),
        f"{inner.name} or null",
    )


def _array(inner: _Codec, kind: Callable[[list[Any]], Any]) -> _Codec:
    write_one, read_one = inner.write, inner.read

    def write(value: Any) -> Json:
        return [write_one(one) for one in (sorted(value) if kind is frozenset else value)]

    def read_array(body: Json, where: str) -> Any:
        if not isinstance(body, list):
            _wrong(where, "an array", body)
        return kind([read_one(one, f"{where}[{i}]") for i, one in enumerate(body)])

    return _Codec(write, read_array, f"array of {inner.name}")


def _row(*inner: _Codec) -> _Codec:
    """So many values, each of its own type."""

    def write(value: Any) -> Json:
        return [one.write(part) for one, part in zip(inner, value, strict=True)]

    def read_row(body: Json, where: str) -> tuple[Any, ...]:
        if not isinstance(body, list) or len(body) != len(inner):
            _wrong(where, f"an array of {len(inner)}", body)
        return tuple(one.read(part, f"{where}[{i}]") for i, (one, part) in enumerate(zip(inner, body, strict=True)))

    return _Codec(write, read_row, f"[{', '.join(one.name for one in inner)}]")


def _table(inner: _Codec) -> _Codec:
    def read_table(body: Json, where: str) -> dict[str, Any]:
        if not isinstance(body, dict):
            _wrong(where, "an object", body)
        return {name: inner.read(one, f"{where}.{name}") for name, one in body.items()}

    def write(value: Any) -> Json:
        return {name: inner.write(one) for name, one in value.items()}

    return _Codec(write, read_table, f"object of {inner.name}")


def _same(value: Any) -> Json:
    return value


def _read_int(body: Json, where: str) -> int:
    if type(body) is not int:  # True is an int, too
        _wrong(where, "a whole number", body)
    return body


def _read_port(body: Json, where: str) -> int:
    if not 0 <= _read_int(body, where) <= 65535:
        _wrong(where, "a port of 0 to 65535", body)
    port: int = body
    return port


def _read_bool(body: Json, where: str) -> bool:
    if not isinstance(body, bool):
        _wrong(where, "true or false", body)
    return body


def _read_text(body: Json, where: str) -> str:
    if not isinstance(body, str):
        _wrong(where, "a text", body)
    return body


def _read_bytes(body: Json, where: str) -> bytes:
    try:
        return _read_text(body, where).encode(errors="surrogateescape")
    except UnicodeEncodeError:
        _wrong(where, "a text whose surrogates are U+DC80 to U+DCFF", body)


def _read_address(body: Json, where: str) -> int:
    try:
        return ip.parse(_read_text(body, where))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _read_mac(body: Json, where: str) -> bytes:
    try:
        return bytes(int(part, 16) for part in _read_text(body, where).split(":")) if body else b""
    except ValueError:
        _wrong(where, "a link-layer address such as 02:00:00:00:00:01", body)


_INT: Final = _Codec(_same, _read_int, "number")
_PORT: Final = _Codec(_same, _read_port, "port")
_TEXT: Final = _Codec(_same, _read_text, "text")
_ADDRESS: Final = _Codec(ip.text, _read_address, "address")
_MAC: Final = _Codec(lambda value: value.hex(":"), _read_mac, "link-layer address")
_SIMPLE: Final[dict[Any, _Codec]] = {
    int: _INT,
    str: _TEXT,
    bool: _Codec(_same, _read_bool, "true or false"),
    bytes: _Codec(lambda value: value.decode(errors="surrogateescape"), _read_bytes, "text"),
}


def _write_matched(value: Any) -> Json:
    """What a filter rule compares with: texts, or pairs of first and last; beyond 32 bits they are addresses."""
    return [one if isinstance(one, str) else [_bound(one[0]), _bound(one[1])] for one in value]


def _bound(value: int) -> Json:
    return ip.text(value) if value >> 32 else value


def _read_matched(body: Json, where: str) -> Any:
    if not isinstance(body, list):
        _wrong(where, "an array", body)
    return tuple(_read_match(one, f"{where}[{i}]") for i, one in enumerate(body))


def _read_match(body: Json, where: str) -> Any:
    if isinstance(body, str):
        return body
    if not isinstance(body, list) or len(body) != 2:
        _wrong(where, "a text or an array of two", body)
    return tuple(
        _read_address(one, f"{where}[{i}]") if isinstance(one, str) else _read_int(one, f"{where}[{i}]")
        for i, one in enumerate(body)
    )


_MATCHED: Final = _Codec(_write_matched, _read_matched, "array of text or [number or address, the same]")
