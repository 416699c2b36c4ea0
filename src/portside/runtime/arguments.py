"""Arguments as CPython's functions in C take them: what stands for a number, a buffer or a time, and the errors."""

from __future__ import annotations

import math
import signal
from typing import Final, cast

MAX_TIME: Final = (1 << 63) - 1


def _refusal(seconds: float) -> str:
    """What this interpreter says of a time that does not fit: patch releases differ, those of distributions too."""
    try:
        signal.sigtimedwait((), seconds)  # and not time.sleep, which tests like to replace
    except OverflowError as error:
        return str(error)
    raise AssertionError(f"a time of {seconds} s is refused by every interpreter")


_TOO_LARGE: Final = _refusal(1 << 70)
_OUT_OF_RANGE: Final = _refusal(1e300)


# -- numbers and buffers --


def integer(value: object) -> int:
    """An argument that stands for an integer, by its `__index__`. TypeError for any other."""
    if type(value) is int:
        return value
    if not hasattr(type(value), "__index__"):
        raise TypeError(f"'{type(value).__name__}' object cannot be interpreted as an integer")
    return cast(int, value.__index__())  # type: ignore[attr-defined]


def c_int(value: object) -> int:
    """The same where the function keeps a C int. OverflowError for what does not fit."""
    # An IntEnum member, as the socket module's constants are, has its value taken without the detour of __index__.
    number = int.__index__(value) if isinstance(value, int) else integer(value)
    if not -0x80000000 <= number <= 0x7FFFFFFF:
        raise OverflowError(
            "signed integer is greater than maximum" if number > 0 else "signed integer is less than minimum"
        )
    return number


def bytes_like(data: object) -> bytes:
    """A bytes-like argument that is to be sent: bytes as they are, everything else copied."""
    if type(data) is bytes:
        return data
    try:
        view = memoryview(data)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not '{type(data).__name__}'") from None
    if not view.c_contiguous:
        raise BufferError("memoryview: underlying buffer is not C-contiguous")
    return view.tobytes()


def writable(buffer: object, call: str) -> memoryview:
    """A writable bytes-like argument."""
    try:
        view: memoryview | None = memoryview(buffer)  # type: ignore[arg-type]
    except TypeError:
        view = None
    if view is None or view.readonly:
        kind = "None" if buffer is None else type(buffer).__name__
        raise TypeError(f"{call} argument 1 must be read-write bytes-like object, not {kind}")
    return view.cast("B") if view.format != "B" or view.ndim != 1 else view


# -- times --


def nanoseconds(seconds: object, unit: int = 1_000_000_000) -> int:
    """A duration in seconds as CPython takes it: int or float, rounded away from zero to ns (_PyTime_ROUND_TIMEOUT).

    In other than seconds, `unit` says what one is in ns. Raises TypeError, ValueError (NaN) and OverflowError with the
    interpreter's words.
    """
    if isinstance(seconds, float):
        if math.isnan(seconds):
            raise ValueError("Invalid value NaN (not a number)")
        scaled = seconds * unit
        if not -MAX_TIME - 1 <= scaled < MAX_TIME:
            raise OverflowError(_OUT_OF_RANGE)
        return math.ceil(scaled) if scaled >= 0 else math.floor(scaled)
    result = (seconds if type(seconds) is int else integer(seconds)) * unit
    if not -MAX_TIME - 1 <= result <= MAX_TIME:
        raise OverflowError(_TOO_LARGE)
    return result


def timeout_argument(value: object) -> int:
    """A timeout in seconds or None, as ns or -1 (socket_parse_timeout)."""
    if value is None:
        return -1
    timeout = nanoseconds(value)
    if timeout < 0:
        raise ValueError("Timeout value out of range")
    return timeout
