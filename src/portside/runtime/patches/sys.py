"""`sys`: what a program reads and sets there is its own: arguments, standard streams, path, modules.

The module gets a class with properties for the run, which look at the current process. The interpreter's C code reads
the module's dictionary instead (`print`, `input`), where streams stand that forward to the current program's.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Final, TextIO, cast

from greenlet import getcurrent

from portside.runtime.patcher import Patcher
from portside.runtime.program import current_program
from portside.sim.scheduler import Task

STREAMS: Final = ("stdin", "stdout", "stderr")
OWN: Final = (*STREAMS, "__stdin__", "__stdout__", "__stderr__", "argv", "orig_argv", "path", "modules", "excepthook")

_ABSENT: Final = object()


class Forward:
    """Stands in `sys.stdout` and its neighbours during a run: the current program's stream, or the one from outside."""

    __slots__ = ("name", "outside")

    def __init__(self, name: str, outside: object) -> None:
        self.name = name
        self.outside = outside

    def current(self) -> object:
        """The stream that is meant now."""
        program = current_program()
        return self.outside if program is None else program.values.get(self.name, self.outside)

    def __getattr__(self, name: str) -> object:
        return getattr(self.current(), name)

    def write(self, text: str) -> object:
        """Write to the stream that is meant now; where there is none, print(...) writes nothing."""
        stream = cast("TextIO | None", self.current())
        written = None if stream is None else stream.write(text)
        _heed()
        return written

    def flush(self) -> None:
        """Flush the stream that is meant now."""
        stream = cast("TextIO | None", self.current())
        if stream is not None:
            stream.flush()
        _heed()


def _heed() -> None:
    """Let the handlers of signals run that came while something was printed."""
    task = getcurrent()
    if type(task) is Task and task.thrown is not None:
        task.world.heed(task)


def _property(name: str) -> property:
    def get(module: ModuleType) -> object:
        program = current_program()
        if program is not None:
            value = program.values.get(name, _ABSENT)
            if value is not _ABSENT:
                return value() if name == "path" and callable(value) else value
        found = module.__dict__.get(name, _ABSENT)
        if found is _ABSENT:
            raise AttributeError(f"module 'sys' has no attribute {name!r}")
        return found.outside if type(found) is Forward else found

    def put(module: ModuleType, value: object) -> None:
        program = current_program()
        if program is not None:
            # unittest.mock puts back what it found in the module's dictionary.
            program.values[name] = program.values.get(f"__{name}__") if type(value) is Forward else value
            return
        found = module.__dict__.get(name)
        if type(found) is Forward and type(value) is not Forward:
            found.outside = value
        else:
            module.__dict__[name] = value

    def delete(module: ModuleType) -> None:
        program = current_program()
        if program is not None:
            program.values.pop(name, None)
        else:
            del module.__dict__[name]

    return property(get, put, delete)


class System(ModuleType):
    """The class of the `sys` module while worlds run."""

    def __new__(cls, *arguments: str | None) -> ModuleType:  # type: ignore[misc]
        """Any other module: the import system makes them as `type(sys)(name)`."""
        return ModuleType(*arguments)  # type: ignore[arg-type]


for _name in OWN:
    setattr(System, _name, _property(_name))


def _enter() -> None:
    for name in STREAMS:
        sys.__dict__[name] = Forward(name, sys.__dict__.get(name))
    sys.__class__ = System


def _leave() -> None:
    sys.__class__ = ModuleType
    for name in STREAMS:
        stream = sys.__dict__[name]
        if type(stream) is Forward:
            sys.__dict__[name] = stream.outside


def read_line(real: Callable[..., object], prompt: object = "", /) -> object:
    """builtins.input: from the program's own standard input."""
    program = current_program()
    if program is None:
        return real(prompt)
    for name in STREAMS:
        if program.stream(name) is None:
            raise RuntimeError(f"input(): lost sys.{name}")
    if type(getcurrent()) is Task:
        print(prompt, end="", flush=True)
    line = cast(TextIO, program.values["stdin"]).readline()
    if not line:
        raise EOFError("EOF when reading a line")
    return line.removesuffix("\n")


def add(patcher: Patcher) -> None:
    """Give `sys` its class for the run, and `input` the program's standard input."""
    patcher.hook(_enter, _leave)
    patcher.function(builtins, "input", read_line)
