"""Addresses, prefixes and ports as a lab writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast, overload

from portside.addr.ip import V4_ANY, V6_ANY, bits_of, is_multicast, is_v4, parse, prefix_of
from portside.lab.errors import LabError

DEFAULT_INTERFACE = "eth0"


class Assignment(NamedTuple):
    """An address that an interface gets."""

    address: int
    prefix_length: int
    interface: str


def assignment(notation: str) -> Assignment:
    """`ADDR[/PREFIX][@INTERFACE]`: eth0 unless named; /24 or /64 unless given. Raises LabError."""
    _must_be_text(notation, "address", '"10.0.0.1/24@eth0"')
    place, _, interface = notation.partition("@")
    if "@" in notation and (not interface or len(interface) > 15 or "/" in interface or " " in interface):
        raise LabError(f"{notation!r}: after @ comes the name of an interface, such as eth1")
    text, slash, length = place.partition("/")
    address = _address(text, notation)
    if address in (V4_ANY, V6_ANY) or is_multicast(address):
        raise LabError(f"{notation!r}: {text} is no address that an interface can have")
    default = 24 if is_v4(address) else 64
    return Assignment(address, _length(length, address, notation) if slash else default, interface or DEFAULT_INTERFACE)


def prefix(notation: str) -> tuple[int, int]:
    """`ADDR/LENGTH`, or an address alone for just that one; `default` is not one. Raises LabError."""
    _must_be_text(notation, "prefix", '"10.0.0.0/8"')
    text, slash, length = notation.partition("/")
    address = _address(text, notation)
    bits = _length(length, address, notation) if slash else bits_of(address)
    if prefix_of(address, bits) != address:
        raise LabError(f"{notation!r}: bits are set beyond the first {bits}")
    return address, bits


def ports(value: int | str | Iterable[int | str]) -> tuple[tuple[int, int], ...]:
    """Ports as ranges: 80, "80", "8000-8010", or several of these. Raises LabError."""
    return tuple(_port_range(each) for each in several(value))


def number(address: str) -> int:
    """An address alone, as the core has it. Raises LabError."""
    _must_be_text(address, "address", '"10.0.0.1"')
    try:
        return parse(address)
    except ValueError as error:
        raise LabError(str(error)) from None


@overload
def several(value: str | Iterable[str]) -> Iterable[str]: ...


@overload
def several(value: int | str | Iterable[int | str]) -> Iterable[int | str]: ...


def several(value: int | str | Iterable[int | str]) -> Iterable[int | str]:
    """What is given alone or as several: a text is one."""
    if isinstance(value, int | str | Mapping) or not isinstance(value, Iterable):
        return (cast("int | str", value),)
    return value


def _port_range(value: int | str) -> tuple[int, int]:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise LabError(f'{value!r} is no port: write 80, or "8000-8010" for a range')
    first, _, last = str(value).partition("-")
    try:
        low, high = int(first), int(last or first)
    except ValueError:
        raise LabError(f'{value!r} is no port: write 80, or "8000-8010" for a range') from None
    if not 0 <= low <= high <= 65535:
        raise LabError(f"{value!r} is no port: they go from 0 to 65535, the smaller one first")
    return low, high


def _must_be_text(value: object, what: str, example: str) -> None:
    if not isinstance(value, str):
        raise LabError(f"{value!r} is no {what}: write {example}")


def _address(text: str, notation: str) -> int:
    try:
        return parse(text)
    except ValueError as error:
        raise LabError(f"{notation!r}: {error}") from None


def _length(text: str, address: int, notation: str) -> int:
    bits = bits_of(address)
    if not text.isdecimal() or int(text) > bits:
        raise LabError(f"{notation!r}: the prefix length after / is a number from 0 to {bits}")
    return int(text)
