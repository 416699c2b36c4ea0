"""Virtual time and how people write it: the wall clock of a world, durations, rates and sizes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

SECOND: Final = 1_000_000_000  # ns

DEFAULT_START: Final = 1_577_836_800 * SECOND
"""What the wall clock shows when a world begins, in ns since 1970: 2020-01-01T00:00:00Z."""

LONGEST: Final = 2**63 - 1
"""The longest duration, ns: about 292 years (KTIME_MAX)."""

LATEST_START: Final = (LONGEST // SECOND - 30 * 365 * 86400) * SECOND
"""The latest that a clock can be set to: the year 2232, so that it runs for 30 years more (TIME_SETTOD_SEC_MAX)."""

_UNITS: Final = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": SECOND, "m": 60 * SECOND,
                 "min": 60 * SECOND, "h": 3600 * SECOND}  # fmt: skip
_RATES: Final = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9,
                 "bps": 8, "kbps": 8 * 10**3, "mbps": 8 * 10**6, "gbps": 8 * 10**9}  # fmt: skip
_SIZES: Final = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_A_START: Final = '"2020-01-01T00:00:00Z" or seconds since 1970'
_NUMBER: Final = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Zµ]*)\s*")


def duration(value: float | str) -> int:
    """A duration in ns: a number is seconds, a text has a unit (`10ms`, `1.5s`, `2min`; ns us ms s min h).

    Raises ValueError that says what is wrong.
    """
    if isinstance(value, str):
        time = _scaled(value, _UNITS, "duration", '"10ms", "1.5s" or seconds as a number')
    else:
        _check(value, "duration")
        time = round(value * SECOND) if value <= LONGEST // SECOND else LONGEST + 1
    if time > LONGEST:
        raise ValueError(f"{value!r} is no duration: it must be less than 292 years")
    return time


def bandwidth(value: float | str) -> int:
    """A rate in bits per second: a number is bits per second, a text as tc(8) has it (`100Mbit`, `1Gbit`,
    `10kbps`).

    As in tc(8), `bps` is bytes per second. Raises ValueError that says what is wrong.
    """
    if isinstance(value, str):
        rate = _scaled(value, _RATES, "bandwidth", '"100Mbit", "1Gbit" or bits per second as a number')
    else:
        _check(value, "bandwidth")
        rate = round(value)
    if rate < 1:
        raise ValueError(f"{value!r} is no bandwidth: it must be at least 1 bit per second")
    return rate


def size(value: int | str) -> int:
    """A number of bytes: a number, or a text with a unit as tc(8) has it (`64kb`, `1mb`: powers of 1024)."""
    if isinstance(value, str):
        return _scaled(value, _SIZES, "size", '"64kb", "1mb" or bytes as a number')
    _check(value, "size")
    if value != int(value):
        raise ValueError(f"{value!r} is no size: bytes are whole")
    return int(value)


def start(value: float | str | datetime) -> int:
    """The wall clock at a world's beginning, in ns since 1970: seconds since then, ISO 8601 text, or a
    datetime.

    A time without a zone is UTC. Raises ValueError, also for what clock_settime(2) refuses: before 1970 and
    after 2232.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | datetime):
        raise ValueError(f"{value!r} is no time: write {_A_START}")
    if isinstance(value, str | datetime):
        time = _since_1970(value)
    else:
        time = round(value * SECOND) if 0 <= value <= LATEST_START // SECOND else -1  # nan is neither
    if not 0 <= time <= LATEST_START:
        raise ValueError(f"{value!r} is no time that a clock can show: write {_A_START}, from 1970 to 2232")
    return time


def _since_1970(value: str | datetime) -> int:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is no time: write {_A_START}") from None
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    since = value - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * SECOND + since.microseconds * 1000


def show(time: int) -> str:
    """A virtual time in seconds with microseconds; nanoseconds where there are any."""
    whole, rest = divmod(time, SECOND)
    return f"{whole}.{rest:09d}" if rest % 1000 else f"{whole}.{rest // 1000:06d}"


def _scaled(text: str, units: dict[str, int], what: str, example: str) -> int:
    match = _NUMBER.fullmatch(text)
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{text!r} is no {what}: write {example}")
    return round(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit


def _check(value: float, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no {what}: give a number or a text with a unit")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{value!r} is no {what}: it must not be negative or endless")
