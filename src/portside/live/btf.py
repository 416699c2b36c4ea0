"""Types of the running kernel, from its own description in /sys/kernel/btf (Documentation/bpf/btf.rst)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

VMLINUX: Final = "/sys/kernel/btf/vmlinux"

_HEADER: Final = struct.Struct("=HBBIIIII")  # struct btf_header: magic, version, flags, length, types, strings
_MAGIC: Final = 0xEB9F
_STRUCT: Final = 4
_FUNC: Final = 12

# Words that follow the three of struct btf_type: so many, and so many for each member.
_EXTRA: Final = {1: 1, 3: 3, 14: 1, 17: 1}
_EACH: Final = {4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3}


class Types:
    """The structs and functions of these names. Raises ValueError when this is no BTF, or lacks one of them."""

    def __init__(self, raw: bytes, names: Iterable[bytes]) -> None:
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
        steps: dict[int, int] = {}
        found: dict[bytes, tuple[int, int]] = {}
        place = number = 0
        while place < end and len(found) < len(names):
            number += 1
            info = words[place + 1]
            step = steps.get(info)
            if step is None:
                kind = info >> 24 & 0x1F
                steps[info] = step = 3 + _EXTRA.get(kind, 0) + _EACH.get(kind, 0) * (info & 0xFFFF)
            if words[place] in names and info >> 24 & 0x1F in (_STRUCT, _FUNC):
                found.setdefault(names[words[place]], (number, place))
            place += step
        if lacking := set(names.values()) - set(found):
            raise ValueError(f"this kernel has no {b', '.join(sorted(lacking)).decode()}")
        return found
