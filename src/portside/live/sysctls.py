"""The network settings of the calling thread's network namespace, out of /proc/sys/net, and a counter of it."""

from __future__ import annotations

from collections.abc import Iterator
from os import fsencode, listdir
from typing import Final

from portside.facts.settings import Settings
from portside.facts.sysctls import FURTHER, PATHS, PER_INTERFACE

ROOT: Final = "/proc/sys/"
_PORTS: Final = range(65536)


def settings() -> Settings:
    """All settings that this kernel has; the others are as in `Settings`.

    /proc/sys/net shows the namespace of the thread that opens a file. Nothing of it needs a permission.
    """
    found = Settings()
    for path, attribute in PATHS.items():
        text = _read(path)
        if text is not None:
            setattr(found, attribute, parse(text, getattr(found, attribute)))
    for path in (*FURTHER, *_per_interface()):
        text = _read(path)
        if text is not None:
            found.extra[path] = text
    return found


def _per_interface() -> Iterator[str]:
    for family, names in PER_INTERFACE.items():
        directory = f"net/{family}/conf"
        try:
            interfaces = sorted(listdir(ROOT + directory))
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for interface in interfaces:
            for name in names:
                yield f"{directory}/{interface}/{name}"


def _read(path: str) -> str | None:
    """The text of a file; None where this kernel has none, or the interface has gone meanwhile."""
    try:
        with open(fsencode(ROOT + path), encoding="utf-8", errors="surrogateescape") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


def listen_overflows(path: str = "/proc/thread-self/net/netstat") -> int | None:
    """How often a connection found a listener's accept queue full, since the network namespace was made (the counter
    TcpExtListenOverflows of nstat(8)); None where it is not told."""
    try:
        with open(path, encoding="ascii") as file:
            rows = [line.split() for line in file if line.startswith("TcpExt:")]
    except FileNotFoundError:
        return None
    told = dict(zip(*rows, strict=True)) if len(rows) == 2 else {}
    return int(told["ListenOverflows"]) if "ListenOverflows" in told else None


Value = int | str | tuple[int, ...] | frozenset[int]


def parse(text: str, like: Value) -> Value:
    """The value that a file's text stands for, in the form of another value of the same setting.

    Raises ValueError for a text that is no such value.
    """
    if isinstance(like, frozenset):
        return parse_ports(text)
    if isinstance(like, tuple):
        return tuple(int(word) for word in text.split())
    return int(text) if isinstance(like, int) else text


def parse_ports(text: str) -> frozenset[int]:
    """The ports of a list such as `8080,9000-9010`. Raises ValueError."""
    ports: set[int] = set()
    for part in text.split(","):
        if part.strip():
            first, dash, last = part.partition("-")
            ports.update(range(int(first), int(last if dash else first) + 1))
    if not all(port in _PORTS for port in ports):
        raise ValueError(f"{text!r} is no list of ports")
    return frozenset(ports)
