"""What a dialogue is, in text and in memory; what may differ by chance in its answers; how two of them are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

Word = str | int
Call = list[Word]

NEED_ROOT: Final = ("seteuid", "SO_DEBUG", "SO_SNDBUFFORCE", "SO_RCVBUFFORCE")
EPHEMERAL: Final = range(32768, 61000)
PORT = re.compile(r"<(\S+) (\d+) ([tu])((?: flow \d+ scope \d+)?)>")


@dataclass(frozen=True)
class Program:
    """Calls in order, and the machine that they run on.

    `addresses` are `ADDRESS/PREFIX@INTERFACE`, added to those of `lo`; `sysctls` are set before the first call.
    """

    calls: tuple[tuple[Word, ...], ...]
    addresses: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def parse(cls, text: str) -> Program:
        """Read a dialogue: one call a line, `#` begins a comment, `address ...` and `set PATH VALUE` come first."""
        calls: list[tuple[Word, ...]] = []
        addresses: list[str] = []
        sysctls: list[tuple[str, str]] = []
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            if not words:
                continue
            if words[0] == "address":
                addresses.append(words[1])
            elif words[0] == "set":
                sysctls.append((words[1], words[2]))
            else:
                calls.append(tuple(word_of(word) for word in words))
        return cls(tuple(calls), tuple(addresses), tuple(sysctls))

    @property
    def needs_root(self) -> bool:
        """Whether the real kernel grants it to root of the machine alone, not to root of a user namespace."""
        return any(word in NEED_ROOT for call in self.calls for word in call)

    def __str__(self) -> str:
        lines = [f"address {address}" for address in self.addresses]
        lines += [f"set {path} {value}" for path, value in self.sysctls]
        return "\n".join(lines + [" ".join(map(str, call)) for call in self.calls])


def word_of(word: str) -> Word:
    return int(word) if re.fullmatch(r"-?\d+", word) else word


def normalise(program: Program, answers: Iterable[str]) -> list[str]:
    """The answers with ports left to chance as `P1`, `P2` ... in the order in which they appear.

    Parity is kept for TCP, where Linux prefers odd ports for bind(2) and even ones for connect(2). Rows of
    tables are in no order that means anything, so they are sorted.
    """
    named = {word for call in program.calls for word in call if isinstance(word, int)}
    symbols: dict[int, str] = {}

    def symbol(match: re.Match[str]) -> str:
        host, port, kind, rest = match[1], int(match[2]), match[3], match[4]
        shown = str(port)
        if port and (port not in named or port in symbols):
            if port not in symbols:
                parity = ("" if kind == "u" else "even" if port % 2 == 0 else "odd")
                symbols[port] = f"P{len(symbols) + 1}{parity}{'' if port in EPHEMERAL else '(out of range)'}"
            shown = symbols[port]
        name = f"[{host}]:{shown}" if ":" in host else f"{host}:{shown}"
        return name + rest.replace(" flow 0", "").replace(" scope 0", "")

    def known(match: re.Match[str]) -> str:
        return f"<{match[1]} {symbols.get(int(match[2]), '?') if int(match[2]) not in named else match[2]}>"

    told: list[str] = []
    for answer in answers:
        head, *rows = answer.split("\n")
        if rows and not head:
            rows.sort(key=lambda row: PORT.sub(known, row))
            told.append("".join("\n" + row for row in sorted(PORT.sub(symbol, row) for row in rows)))
        else:
            told.append(PORT.sub(symbol, answer))
    return told


def side_by_side(program: Program, linux: Sequence[str], ours: Sequence[str]) -> str:
    """Both transcripts, call by call; what differs has an arrow."""
    lines = [f"address {address}" for address in program.addresses]
    lines += [f"set {path} {value}" for path, value in program.sysctls]
    for call, left, right in zip(program.calls, linux, ours, strict=True):
        told = " ".join(map(str, call))
        if left == right:
            lines.append(f"    {told:<44} {left}".replace("\n", "\n" + " " * 8))
            continue
        rows = zip_longest(left.split("\n"), right.split("\n")) if "\n" in left + right else [(left, right)]
        lines.append(f"--> {told}")
        lines += [f"        Linux {a}\n        ours  {b}" if a != b else f"        both  {a}" for a, b in rows]
    return "\n".join(lines)


def zip_longest(left: list[str], right: list[str]) -> list[tuple[str, str]]:
    """Rows of two tables in pairs: those that both have together, the others by themselves."""
    pairs = [(row, row) for row in left if row in right]
    lost = [row for row in left if row not in right]
    gained = [row for row in right if row not in left]
    while lost or gained:
        pairs.append((lost.pop(0) if lost else "(no row)", gained.pop(0) if gained else "(no row)"))
    return pairs


def first_difference(program: Program, linux: Sequence[str], ours: Sequence[str]) -> tuple[str, str, str] | None:
    """The first call that was answered differently: its name, Linux's answer, ours."""
    for call, left, right in zip(program.calls, linux, ours, strict=True):
        if left != right:
            if "\n" in left + right:
                left, right = next(p for p in zip_longest(left.split("\n"), right.split("\n")) if p[0] != p[1])
            return str(call[0]), left, right
    return None
