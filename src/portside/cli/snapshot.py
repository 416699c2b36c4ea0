"""`portside snapshot`: all that portside reads of a machine, as a file that its commands take with `--snapshot`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from portside.cli import source as sources
from portside.cli.source import Complaint, Source
from portside.facts import saved

WANT: Final = frozenset({
    "sockets", "unix", "owners", "processes", "options", "interfaces", "routes", "filter", "settings", "users",
    "tcp_info",
})  # fmt: skip
MODE: Final = 0o600
"""Of a new file: command lines may hold what is nobody else's business."""


def run(source: Source, out: str) -> int:
    """Write a snapshot to a file, `-` for standard output. Returns the exit code. Raises Complaint."""
    found = sources.snapshot(source, WANT, everywhere=True)
    text = saved.dump(found)
    if out == "-":
        sources.say(text, end="")
    else:
        _write(out, text)
    click.echo(sources.missing(found), nl=False, err=True)
    return 0


def _write(path: str, text: str) -> None:
    try:
        with os.fdopen(os.open(Path(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Complaint(f"cannot write {path}: {error.strerror}") from None
