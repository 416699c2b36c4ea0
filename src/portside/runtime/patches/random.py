"""`random` and `os.urandom`: chance that the seed of the world replays, for each program its own."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from portside.runtime.patcher import Patcher
from portside.runtime.program import Program, current_program

if TYPE_CHECKING:
    from portside.host.processes import Process

Real = Callable[..., object]

_seed: Final = Random.seed


def _stream(process: Process) -> Random:
    """The stream that a process draws from: the same seed of the world gives the same draws."""
    return process.host.world.stream(f"program {process.host.name} {process.pid}")


def _instance(program: Program) -> Random:
    """What stands for the hidden instance behind `random.random()` in this program."""
    if program.random is None:
        program.random = Random(_stream(program.process).getrandbits(256))
    return program.random


def urandom(real: Real, size: int, /) -> object:
    """os.urandom."""
    program = current_program()
    if program is None:
        return real(size)
    if size < 0:
        raise ValueError("negative argument not allowed")
    return _stream(program.process).randbytes(size)


def getrandom(real: Real, size: int, flags: int = 0) -> object:
    """os.getrandom."""
    program = current_program()
    return real(size, flags) if program is None else _stream(program.process).randbytes(size)


def seed(self: Random, a: object = None, version: int = 2) -> None:
    """Random.seed: without a seed from the program's stream, not from the real machine."""
    program = current_program()
    if a is None and program is not None:
        a = _stream(program.process).getrandbits(256)
    _seed(self, a, version)  # type: ignore[arg-type]


def _drawing(name: str) -> Callable[..., object]:
    def draw(real: Real, *arguments: object, **keywords: object) -> object:
        program = current_program()
        if program is None:
            return real(*arguments, **keywords)
        return getattr(_instance(program), name)(*arguments, **keywords)

    return draw


def add(patcher: Patcher) -> None:
    """Replace where chance comes from."""
    patcher.function(os, "urandom", urandom)
    patcher.function(os, "getrandom", getrandom)
    patcher.attribute(Random, "seed", seed)
    for name, value in list(vars(random).items()):
        if getattr(value, "__self__", None) is random._inst:
            patcher.function(random, name, _drawing(name))
