"""Whether Linux and a simulated host agree on a program, and what it is on which they do not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.dialogue.program import Program, first_difference, side_by_side

Run = Callable[[Program], list[str]]


class Crash(Exception):
    """The simulation broke while it carried out a program: its traceback."""


@dataclass(frozen=True)
class Difference:
    """A program that the two answer differently. `ours` is the traceback where the simulation broke."""

    program: Program
    linux: list[str]
    ours: list[str] | str

    def __str__(self) -> str:
        if isinstance(self.ours, str):
            return f"{side_by_side(self.program, self.linux, self.linux)}\n--> ours broke:\n{self.ours}"
        return side_by_side(self.program, self.linux, self.ours)

    @property
    def bucket(self) -> str:
        """What kind of difference: the call, Linux's answer and ours, without names and numbers of their own."""
        if isinstance(self.ours, str):
            places = re.findall(r'File "[^"]*/(?:src|tests)/([^"]*)", line (\d+)', self.ours)
            return f"broke at {':'.join(places[-1]) if places else '?'}: {self.ours.strip().splitlines()[-1]}"
        found = first_difference(self.program, self.linux, self.ours)
        assert found is not None
        call, theirs, ours = found
        if call in ("poll", "select"):
            theirs, ours = next(pair for pair in zip(theirs.split(), ours.split(), strict=True) if pair[0] != pair[1])
        return f"{call}: {brief(theirs)} | {brief(ours)}"


def brief(answer: str) -> str:
    """An answer without what is particular to one program."""
    answer = re.sub(r"'.*'", "DATA", answer)
    answer = re.sub(r"^([a-z]) (?=\w+: )", "", answer)
    answer = re.sub(r"\b[a-z]:", "", answer)
    answer = re.sub(r"(\[[^ \]]*\]|\d+\.\d+\.\d+\.\d+):\S+", "NAME", answer)
    return re.sub(r"(send|recv|uid) \d+", r"\1 N", answer)


def compare(program: Program, linux: Run, simulated: Run, tries: int = 8) -> Difference | None:
    """The difference, if there is one that chance does not explain.

    What Linux answers depends on chance in places: the member of a SO_REUSEPORT group that a hash picks, a port
    that happens to serve two destinations, an acknowledgement that is due at the next tick of the kernel's clock.
    So the simulated answers are right if the kernel gives the same in one of `tries` runs.
    """
    try:
        ours = simulated(program)
    except Crash as crash:
        return Difference(program, linux(program), str(crash))
    nearest: list[str] = []
    agreed = -1
    for _ in range(tries):
        theirs = linux(program)
        if theirs == ours:
            return None
        common = next((i for i, pair in enumerate(zip(theirs, ours, strict=True)) if pair[0] != pair[1]), 0)
        if common > agreed:
            nearest, agreed = theirs, common
    return Difference(program, nearest, ours)


def shorter(program: Program, differs: Callable[[Program], bool], tries: int = 400) -> Program:
    """A program that still differs and has no call that can be left out: halves first, then single calls."""
    size = max(1, len(program.calls) // 2)
    while True:
        start = 0
        progress = False
        while start < len(program.calls):
            calls = program.calls[:start] + program.calls[start + size :]
            candidate = Program(calls, program.addresses, program.sysctls)
            tries -= 1
            if tries < 0:
                return program
            if calls and differs(candidate):
                program, progress = candidate, True
            else:
                start += size
        if size > 1:
            size //= 2
        elif not progress:
            break
    for bare in (
        Program(program.calls, (), program.sysctls), Program(program.calls, program.addresses, ()),
        Program(program.calls, (), ()),
    ):  # fmt: skip
        if bare != program and differs(bare):
            program = bare
    return program


def shrink(difference: Difference, linux: Run, simulated: Run) -> Difference:
    """The same kind of difference with as few calls as can be."""
    kind = difference.bucket
    found = difference

    def same(program: Program) -> bool:
        nonlocal found
        other = compare(program, linux, simulated, tries=4)
        if other is None or other.bucket != kind:
            return False
        found = other
        return True

    shorter(difference.program, same)
    return found
