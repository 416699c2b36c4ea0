"""The errors that programs see: OSError with Linux's errno and the C library's words."""

from __future__ import annotations

from errno import errorcode
from os import strerror
from typing import Final

_WORDS: Final = {number: strerror(number) for number in errorcode}


def fail(number: int) -> OSError:
    """The exception of a call that failed with that errno: of the subclass that Python gives it (PEP 3151).

    Written `raise fail(EADDRINUSE)`. Arguments are those of the interpreter's own: the errno and strerror(3) of it.
    """
    return OSError(number, _WORDS.get(number) or strerror(number))
