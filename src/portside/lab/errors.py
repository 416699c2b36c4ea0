"""What goes wrong in a lab, told to the person who built it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portside.lab.program import Program


class LabError(ValueError):
    """A lab was described in a way that cannot be; the message says what to do.

    `key` is the argument that is at fault, by its name in LAB.toml, where it is one.
    """

    def __init__(self, words: str, key: str = "") -> None:
        super().__init__(words)
        self.key = key


@contextmanager
def about(key: str) -> Iterator[None]:
    """What is wrong with an argument within this is a LabError about it."""
    try:
        yield
    except LabError as error:
        error.key = error.key or key
        raise
    except ValueError as error:
        raise LabError(str(error), key) from None


class ProgramFailed(Exception):
    """A program ended with an uncaught exception, which is the cause, or with an exit code other than 0."""

    def __init__(self, program: Program) -> None:
        self.program = program
        error = program.exception
        how = f"exit code {program.exit_code}" if error is None else f"{type(error).__name__}: {error}"
        text = f"{program.name} on {program.host.name} failed: {how}"
        tail = program.stderr.rstrip() if error is None else ""
        super().__init__(f"{text}\n{tail}" if tail else text)


def near(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known: the nearest one that is, or all of them."""
    names = list(known)
    close = get_close_matches(name, names, 1)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(names) if names else "there is none"
