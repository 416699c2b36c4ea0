"""Types of the running kernel, from its own description in /sys/kernel/btf (Documentation/bpf/btf.rst)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from mmap import MAP_PRIVATE, PROT_READ, mmap
from typing import Final

VMLINUX: Final = "/sys/kernel/btf/vmlinux"

_HEADER: Final = struct.Struct("=HBBIIIII")  # struct btf_header: magic, version, flags, length, types, strings
_MAGIC: Final = 0xEB9F
_STRUCT: Final = 4
_FUNC: Final = 12

# Words that follow the three of struct btf_type: so many, and so many for each member.
_EXTRA: Final = {1: 1, 3: 3, 14: 1, 17: 1}
_EACH: Final = {4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3}


def read(path: str) -> bytes | mmap:
    """The description, several megabytes: as the kernel has it in memory, or before Linux 6.16 a copy."""
    with open(path, "rb") as file:
        try:
            return mmap(file.fileno(), 0, MAP_PRIVATE, PROT_READ)
        except OSError:
            return file.read()


class Types:
    """The structs and functions of these names. Raises ValueError when this is no BTF, or lacks one of them."""

    def __init__(self, raw: bytes | mmap, names: Iterable[bytes]) -> None:
        if len(raw) < _HEADER.size:
            raise ValueError("no BTF: too short")
        magic, _, _, header, types, types_length, strings, _ = _HEADER.unpack_from(raw)
        if magic != _MAGIC:
            raise ValueError("no BTF of this machine")
        self._raw = raw
        self._strings: int = header + strings
        words = memoryview(raw)[header + types : header + types + types_length]
        self._words: Sequence[int] = words.cast("I")
        self._found = self._scan({self._name(name): name for name in names})

    def number(self, function: bytes) -> int:
        """The number by which the kernel knows a function."""
        return self._found[function][0]

    def offset(self, of_struct: bytes, member: bytes) -> int:
        """Where a member of a struct begins, in bytes. Raises ValueError when there is no such member."""
        words, name = self._words, self._name(member)
        place = self._found[of_struct][1]
        info = words[place + 1]
        for at in range(place + 3, place + 3 + 3 * (info & 0xFFFF), 3):
            if words[at] == name:
                bits: int = words[at + 2]
                return (bits & 0xFFFFFF if info >> 31 else bits) // 8
        raise ValueError(f"struct {of_struct.decode()} has no {member.decode()} in this kernel")

    def _name(self, name: bytes) -> int:
        place = self._raw.find(b"\0" + name + b"\0", self._strings)
        if place < 0:
            raise ValueError(f"this kernel has no {name.decode()}")
        return place + 1 - self._strings

    def _scan(self, names: dict[int, bytes]) -> dict[bytes, tuple[int, int]]:
        """Number and place of each. A type's number is its place in a row of which each may have another length."""
        words, end = self._words, len(self._words)
        steps = _Steps()
        found: dict[bytes, tuple[int, int]] = {}
        place = number = 0
        while place < end:
            number += 1
            if words[place] in names and words[place + 1] >> 24 & 0x1F in (_STRUCT, _FUNC):
                found.setdefault(names[words[place]], (number, place))
                if len(found) == len(names):
                    return found
            place += steps[words[place + 1]]
        raise ValueError(f"this kernel has no {b', '.join(sorted({*names.values()} - {*found})).decode()}")


class _Steps(dict[int, int]):
    """How many words a type takes, by the second of them: its kind, and how many members it has."""

    def __missing__(self, info: int) -> int:
        kind = info >> 24 & 0x1F
        self[info] = step = 3 + _EXTRA.get(kind, 0) + _EACH.get(kind, 0) * (info & 0xFFFF)
        return step
