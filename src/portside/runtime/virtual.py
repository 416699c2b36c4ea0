"""Paths that belong to the simulated host: /proc/sys/net, /proc/net and the process's own directory in /proc."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from portside.host.file import File
    from portside.host.processes import Process

_ROOTS: Final = ("/proc/sys/net", "/proc/net", "/proc/self")


def virtual_path(path: object) -> str | None:
    """The path if it is one of the simulated host's; None for one of the real disk."""
    if isinstance(path, int):
        return None
    try:
        text = os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError:
        return None
    if not text.startswith("/proc"):
        return None
    plain = os.path.normpath(text)
    return plain if plain.startswith(_ROOTS) else None


def open_virtual(process: Process, path: object, flags: int) -> File | None:
    """The open file of a simulated path, or None for one of the real disk. Raises OSError."""
    return None


def stat_virtual(process: Process, path: object) -> os.stat_result | None:
    """stat(2) of a simulated path; None for one of the real disk. Raises OSError."""
    return None


def virtual_names(process: Process, path: object) -> list[str] | None:
    """The entries of a simulated directory; None for one of the real disk. Raises OSError."""
    return None
