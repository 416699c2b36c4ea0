"""Port numbers: the ranges of RFC 6335, and the ephemeral ranges that systems choose from by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class PortRange:
    """A range of port numbers, both ends included, with its name and one sentence on what it is for."""

    name: str
    first: int
    last: int
    sentence: str

    def __contains__(self, port: int) -> bool:
        """Whether the port is in the range."""
        return self.first <= port <= self.last

    def __len__(self) -> int:
        """How many ports the range has."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        """The range as people write it: `32768-60999`."""
        return f"{self.first}-{self.last}"


SYSTEM: Final = PortRange(
    "system", 0, 1023, "well-known ports, assigned by IANA; on Linux only a privileged program may bind them"
)
USER: Final = PortRange("user", 1024, 49151, "registered ports, assigned by IANA; any program may bind them")
DYNAMIC: Final = PortRange("dynamic", 49152, 65535, "private ports, never assigned; for temporary use")

RANGES: Final = (SYSTEM, USER, DYNAMIC)
"""The three ranges of RFC 6335 section 6."""

LINUX: Final = PortRange(
    "linux", 32768, 60999, "net.ipv4.ip_local_port_range, its default since Linux 4.2; for IPv6 too"
)
WINDOWS: Final = PortRange(
    "windows", 49152, 65535, "netsh int ipv4 show dynamicport tcp, its default since Windows Vista"
)
MACOS: Final = PortRange(
    "macos", 49152, 65535, "net.inet.ip.portrange.first and .last, their default on macOS"
)

EPHEMERAL: Final = (LINUX, WINDOWS, MACOS)
"""From where a system takes a port that the program left to it."""


def range_of(port: int) -> PortRange:
    """The range of RFC 6335 section 6 that the port is in.

    Raises ValueError when it is no port number.
    """
    if not 0 <= port <= MAX_PORT:
        raise ValueError(f"{port} is not a port number: it must be 0 to 65535")
    if port < USER.first:
        return SYSTEM
    return USER if port < DYNAMIC.first else DYNAMIC


def parse(text: str) -> int:
    """The port that a decimal number of 0 to 65535 stands for.

    Raises ValueError that says what is wrong.
    """
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text!r} is not a port number")
    # The limit on digits keeps a hostile megabyte of them from being converted.
    if len(text) > 16 or int(text) > MAX_PORT:
        raise ValueError(f"port {text[:16]} is more than 65535")
    return int(text)
