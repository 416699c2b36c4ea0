"""`portside explain`: what notations mean."""

from __future__ import annotations

import json
from typing import Final

import click

from portside.explain.notation import explain

WRONG: Final = 2
"""The exit code when a notation means nothing, as for wrong usage."""


def run(notations: tuple[str, ...], as_json: bool) -> int:
    """Print what each notation means. Returns the exit code: 0, or 2 when one of them means nothing."""
    explained = [explain(text) for text in notations]
    if as_json:
        for each in explained:
            click.echo(json.dumps(each.json()))
    else:
        alone = len(explained) == 1  # among others, what is wrong stands in its place between their answers
        for i, each in enumerate(explained):
            if i:
                click.echo()
            for line in each.lines:
                click.echo(line.encode(errors="backslashreplace").decode(), err=alone and not each.understood)
    return 0 if all(each.understood for each in explained) else WRONG
