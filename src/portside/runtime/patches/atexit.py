"""`atexit`: what is to be done at the end of the program, not of the interpreter."""

from __future__ import annotations

import atexit
from collections.abc import Callable

from portside.runtime.patcher import Patcher
from portside.runtime.program import current_program

Call = Callable[..., object]


def register(real: Call, function: Call, /, *args: object, **kwargs: object) -> object:
    """atexit.register."""
    program = current_program()
    if program is None:
        return real(function, *args, **kwargs)
    if not callable(function):
        raise TypeError("the first argument must be callable")
    program.atexit.append((function, args, kwargs))
    return function


def unregister(real: Call, function: Call, /) -> object:
    """atexit.unregister."""
    program = current_program()
    if program is None:
        return real(function)
    program.atexit[:] = [entry for entry in program.atexit if entry[0] != function]
    return None


def add(patcher: Patcher) -> None:
    """Replace the two by which programs register."""
    patcher.function(atexit, "register", register)
    patcher.function(atexit, "unregister", unregister)
