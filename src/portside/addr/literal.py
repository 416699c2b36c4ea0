"""The parts of a notation by themselves: IPv4 numbers in every form, IPv6 addresses, host names.

What is wrong raises Wrong with the place in the whole notation: each function is told where its part begins
(`at`).
"""

from __future__ import annotations

from typing import NoReturn

from portside.addr import ip


class Wrong(Exception):
    """What is wrong, and at which character of the notation."""

    def __init__(self, position: int, reason: str) -> None:
        """Keep the place and the reason."""
        super().__init__(reason)
        self.position = position
        self.reason = reason


def number(text: str) -> int | None:
    """A number as inet_aton(3) takes it: decimal, octal after 0, hexadecimal after 0x."""
    base = 16 if text[:2].lower() == "0x" else 8 if text[:1] == "0" and len(text) > 1 else 10
    digits = text[2:] if base == 16 else text
    allowed = "0123456789abcdef"[:base]
    if len(digits) > 32 or not all(c in allowed for c in digits.lower()) or not (digits or base == 16):
        return None
    return int(digits or "0", base)


def short_v4(host: str, at: int) -> int:
    """inet_aton(3): one to four numbers; the last fills the bytes that are left."""
    parts = host.split(".")
    if len(parts) > 4:
        raise Wrong(at + len(".".join(parts[:4])), "an IPv4 address has four numbers")
    value = 0
    place = at
    for i, part in enumerate(parts):
        value_of_part = number(part)
        room = 8 * (5 - len(parts)) if i == len(parts) - 1 else 8
        if value_of_part is None or not part:
            raise Wrong(place, f"{part!r} is not a number" if part else "a number is missing")
        if value_of_part >> room:
            raise Wrong(place, f"{part} is more than {(1 << room) - 1}")
        value = value << room | value_of_part
        place += len(part) + 1
    return value


def checked_name(name: str, at: int) -> str:
    """A host name: labels of letters, digits and hyphens (RFC 1123 section 2.1); underscores are met and let
    pass."""
    bare = name.removesuffix(".")
    if len(bare) > 253:
        raise Wrong(at + 253, "a name has at most 253 characters (RFC 1035 section 2.3.4)")
    place = at
    for label in bare.split("."):
        _check_label(label, place)
        place += len(label) + 1
    return name


def _check_label(label: str, at: int) -> None:
    if not label:
        raise Wrong(at, "a part of the name is empty")
    if len(label) > 63:
        raise Wrong(at + 63, "a part of a name has at most 63 characters (RFC 1035 section 2.3.4)")
    for i, c in enumerate(label):
        if not (c.isalnum() or c in "-_"):
            raise Wrong(at + i, f"{c!r} cannot stand in a host name")
    if label[0] == "-" or label[-1] == "-":
        reason = "a part of a name neither begins nor ends with a hyphen (RFC 952)"
        raise Wrong(at if label[0] == "-" else at + len(label) - 1, reason)


def refuse_v6(text: str, at: int) -> NoReturn:
    """Say where and why the text is no IPv6 address (RFC 4291 section 2.2)."""
    for i, c in enumerate(text):
        if c not in "0123456789abcdefABCDEF:.":
            raise Wrong(at + i, f"{c!r} cannot stand in an IPv6 address")
    place = at
    groups = text.split(":")
    for i, group in enumerate(groups):
        if "." in group and i == len(groups) - 1:
            _refuse_tail(group, place)
        elif "." in group or len(group) > 4:
            raise Wrong(place, f"{group!r} is not a group of one to four hexadecimal digits")
        place += len(group) + 1
    if ":::" in text:
        raise Wrong(at + text.index(":::") + 2, "three colons in a row")
    if text.count("::") > 1:
        raise Wrong(at + text.rindex("::"), "`::` may stand only once")
    if text.startswith(":") and not text.startswith("::"):
        raise Wrong(at, "a group is missing before the colon")
    if text.endswith(":") and not text.endswith("::"):
        raise Wrong(at + len(text), "a group is missing after the colon")
    count = len([g for g in groups if g]) + (1 if "." in groups[-1] else 0)
    few = count < 8 and "::" not in text
    reason = f"an IPv6 address has eight groups; here are {count}"
    raise Wrong(at + len(text) if few else at, reason + (" and no `::`" if few else ""))


def _refuse_tail(group: str, at: int) -> None:
    try:
        ip.parse(group)
    except ValueError:
        short_v4(group, at)
        raise Wrong(at, f"{group!r} is not an IPv4 address of four plain decimal numbers") from None
