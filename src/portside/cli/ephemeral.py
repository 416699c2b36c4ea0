"""`portside ephemeral`: the ports that connections take by themselves, how many are left, and what would help."""

from __future__ import annotations

import json
from typing import Final

import click

from portside.cli import source as sources
from portside.cli.source import Source
from portside.explain.ephemeral import Usage

WANT: Final = frozenset({"sockets", "interfaces", "settings"})
SOCKETS: Final = "only bound"
"""In what could not be read, where it is about who has a port (`facts.snapshot.Missing.what`)."""
EXHAUSTED: Final = 1
"""The exit code when no port is left on some way."""


def run(source: Source, *, as_json: bool = False) -> int:
    """Print the usage. Returns the exit code: 0, or 1 when a way has no port left."""
    usage = Usage(sources.snapshot(source, WANT))
    if as_json:
        click.echo(json.dumps({**usage.json(), "missing": sources.missing_json(usage.snapshot)}))
    else:
        for line in usage.lines:
            click.echo(line)
        click.echo(sources.missing(usage.snapshot, lambda each: SOCKETS in each.what), nl=False, err=True)
    return EXHAUSTED if any(not each.left for each in usage.destinations) else 0
