"""How the files under /proc/sys/net are read and written: codecs between an attribute of `Settings` and a text.

What the kernel takes was tried on Linux 6.18; its functions are in kernel/sysctl.c and net/ipv4/sysctl_net_ipv4.c.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from portside.host.errors import fail

if TYPE_CHECKING:
    from portside.facts.settings import Settings

INT_MAX: Final = 0x7FFFFFFF
INT_MIN: Final = -INT_MAX - 1
PORTS: Final = 65536

_SPACE: Final = b" \t\n\v\f\r"
_ENDS: Final = b" \t\n"


class Codec:
    """How one setting is read and written."""

    __slots__ = ()
    writable = True

    def read(self, settings: Settings) -> str:
        """The text of the file, with its newline."""
        raise NotImplementedError

    def write(self, settings: Settings, data: bytes) -> int:
        """Set it from what was written: the number of bytes taken. EINVAL."""
        raise NotImplementedError

    def limits(self) -> str:
        """What may be written, in words for people; empty where there is nothing to say."""
        return ""


class Number(Codec):
    """An integer within limits (proc_dointvec_minmax; with `narrow`, proc_dou8vec_minmax)."""

    __slots__ = ("high", "low", "name", "narrow")

    def __init__(self, name: str, low: int = INT_MIN, high: int = INT_MAX, *, narrow: bool = False) -> None:
        self.name = name
        self.low = low
        self.high = high
        self.narrow = narrow

    def read(self, settings: Settings) -> str:
        """The decimal number."""
        return f"{getattr(settings, self.name)}\n"

    def write(self, settings: Settings, data: bytes) -> int:
        """Set it; what follows the number is left over, or taken without being read where it is narrow."""
        numbers, used = _parse_numbers(data, 1, self.low, self.high)
        setattr(settings, self.name, numbers[0])
        return len(data) if self.narrow else used

    def limits(self) -> str:
        """What may be written."""
        return f"a number from {self.low} to {self.high}"


class Numbers(Codec):
    """Several integers with tabs between them. Fewer may be written: the others stay."""

    __slots__ = ("low", "name")

    def __init__(self, name: str, low: int) -> None:
        self.name = name
        self.low = low

    def read(self, settings: Settings) -> str:
        """The numbers, with tabs."""
        return "\t".join(map(str, getattr(settings, self.name))) + "\n"

    def write(self, settings: Settings, data: bytes) -> int:
        """Set the first of them, or all."""
        old: tuple[int, ...] = getattr(settings, self.name)
        numbers, used = _parse_numbers(data, len(old), self.low, INT_MAX)
        setattr(settings, self.name, (*numbers, *old[len(numbers) :]))
        return used


class PortRange(Codec):
    """net.ipv4.ip_local_port_range: low and high, not below the privileged ports (ipv4_local_port_range)."""

    __slots__ = ()

    def read(self, settings: Settings) -> str:
        """The two ports, with a tab."""
        low, high = settings.ip_local_port_range
        return f"{low}\t{high}\n"

    def write(self, settings: Settings, data: bytes) -> int:
        """Set low, or both; EINVAL when they are in the wrong order or low is a privileged port."""
        numbers, used = _parse_numbers(data, 2, 1, PORTS - 1)
        low, high = (*numbers, *settings.ip_local_port_range[len(numbers) :])
        if high < low or low < settings.ip_unprivileged_port_start:
            raise fail(errno.EINVAL)
        settings.ip_local_port_range = (low, high)
        return used

    def limits(self) -> str:
        """What may be written."""
        return "two ports, the first not above the second and not below net.ipv4.ip_unprivileged_port_start"


class PrivilegedPorts(Number):
    """net.ipv4.ip_unprivileged_port_start: not above the ephemeral range (ipv4_privileged_ports)."""

    __slots__ = ()

    def write(self, settings: Settings, data: bytes) -> int:
        """Set it; EINVAL when ephemeral ports would be privileged."""
        numbers, used = _parse_numbers(data, 1, self.low, self.high)
        if numbers[0] > settings.ip_local_port_range[0]:
            raise fail(errno.EINVAL)
        settings.ip_unprivileged_port_start = numbers[0]
        return used

    def limits(self) -> str:
        """What may be written."""
        return f"{super().limits()}, not above the first ephemeral port"


class PortSet(Codec):
    """A list of ports and ranges, as `8080,9000-9010` (proc_do_large_bitmap). Nothing at all empties it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, settings: Settings) -> str:
        """Ports in order, neighbours joined to ranges."""
        runs: list[list[int]] = []
        for port in sorted(getattr(settings, self.name)):
            if runs and runs[-1][1] == port - 1:
                runs[-1][1] = port
            else:
                runs.append([port, port])
        return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs) + "\n"

    def write(self, settings: Settings, data: bytes) -> int:
        """Replace the whole set."""
        ports: set[int] = set()
        text = data.removesuffix(b"\n")
        for part in text.removesuffix(b",").split(b",") if text else ():
            bounds = [_parse_port(bound) for bound in part.split(b"-")]
            if len(bounds) > 2 or bounds[0] > bounds[-1]:
                raise fail(errno.EINVAL)
            ports.update(range(bounds[0], bounds[-1] + 1))
        setattr(settings, self.name, frozenset(ports))
        return len(data)

    def limits(self) -> str:
        """What may be written."""
        return "ports and ranges of ports, as 8080,9000-9010"


class Word(Codec):
    """A name out of a list; ENOENT for another (proc_tcp_congestion_control)."""

    __slots__ = ("name", "words")

    def __init__(self, name: str, words: tuple[str, ...]) -> None:
        self.name = name
        self.words = words

    def read(self, settings: Settings) -> str:
        """The name."""
        return f"{getattr(settings, self.name)}\n"

    def write(self, settings: Settings, data: bytes) -> int:
        """Set it."""
        word = data.split(b"\0")[0].split(b"\n")[0].decode("ascii", "replace")
        if word not in self.words:
            raise fail(errno.ENOENT)
        setattr(settings, self.name, word)
        return len(data)

    def limits(self) -> str:
        """What may be written."""
        return f"one of {', '.join(self.words)}"


class Constant(Codec):
    """A text that can only be read."""

    __slots__ = ("text",)
    writable = False

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, settings: Settings) -> str:
        """The text."""
        return self.text

    def write(self, settings: Settings, data: bytes) -> int:
        """EPERM."""
        raise fail(errno.EPERM)


class Stored(Codec):
    """A number that is kept and read back; nothing acts on it."""

    __slots__ = ("default", "high", "low", "path")

    def __init__(self, path: str, default: str, low: int = INT_MIN, high: int = INT_MAX) -> None:
        self.path = path
        self.default = default
        self.low = low
        self.high = high

    def read(self, settings: Settings) -> str:
        """What was written last, else the default."""
        return settings.extra.get(self.path, self.default) + "\n"

    def write(self, settings: Settings, data: bytes) -> int:
        """Keep it."""
        old = settings.extra.get(self.path, self.default).split("\t")
        numbers, used = _parse_numbers(data, len(old), self.low, self.high)
        settings.extra[self.path] = "\t".join([*map(str, numbers), *old[len(numbers) :]])
        return used


class Forwarding(Number):
    """A switch of all interfaces at once: a new value goes to each, and to those to come (devinet_sysctl_forward)."""

    __slots__ = ("family",)

    def __init__(self, name: str, family: str) -> None:
        super().__init__(name)
        self.family = family

    def write(self, settings: Settings, data: bytes) -> int:
        """Set it; the interfaces forget what they were told one by one, unless the value is what it was."""
        before = getattr(settings, self.name)
        used = super().write(settings, data)
        after = getattr(settings, self.name)
        if after != before:
            prefix = f"net/{self.family}/conf/"
            for path in [path for path in settings.extra if path.startswith(prefix)]:
                if path.endswith("/forwarding"):
                    del settings.extra[path]
        return used


class InterfaceForwarding(Codec):
    """conf/INTERFACE/forwarding: as conf/all until it is set by itself."""

    __slots__ = ("name", "path")

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path

    def read(self, settings: Settings) -> str:
        """The number."""
        return settings.extra.get(self.path, str(getattr(settings, self.name))) + "\n"

    def write(self, settings: Settings, data: bytes) -> int:
        """Set it for this interface."""
        numbers, used = _parse_numbers(data, 1, INT_MIN, INT_MAX)
        settings.extra[self.path] = str(numbers[0])
        return used


def _parse_numbers(data: bytes, count: int, low: int, high: int) -> tuple[list[int], int]:
    """Up to `count` numbers as the kernel reads them (do_proc_dointvec): decimal, 0x hexadecimal or 0 octal.

    Returns them and how many bytes were used. EINVAL for none, for what is no number, and outside `low` to `high`.
    """
    numbers: list[int] = []
    at = 0
    length = len(data)
    while len(numbers) < count:
        while at < length and data[at] in _SPACE:
            at += 1
        if at == length:
            break
        end = at
        while end < length and data[end] not in _ENDS:
            end += 1
        number = _parse_number(data[at:end])
        if not low <= number <= high:
            raise fail(errno.EINVAL)
        numbers.append(number)
        at = end
    if not numbers:
        raise fail(errno.EINVAL)
    while at < length and data[at] in _SPACE:
        at += 1
    return numbers, at


def _parse_number(token: bytes) -> int:
    negative = token.startswith(b"-")
    digits = token[1:] if negative else token
    base = 10
    if digits[:2] in (b"0x", b"0X"):
        digits, base = digits[2:], 16
    elif digits[:1] == b"0" and len(digits) > 1:
        digits, base = digits[1:], 8
    if not digits or not digits.isalnum():
        raise fail(errno.EINVAL)
    try:
        number = int(digits, base)
    except ValueError:
        raise fail(errno.EINVAL) from None
    return -number if negative else number


def _parse_port(text: bytes) -> int:
    if not text.isdigit() or int(text) >= PORTS:
        raise fail(errno.EINVAL)
    return int(text)
