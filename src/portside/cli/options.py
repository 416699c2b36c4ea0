"""Options that several commands have."""

from __future__ import annotations

import click

snapshot = click.option("--snapshot", "file", metavar="FILE", help="Show a saved snapshot; - reads standard input.")
namespace = click.option("--namespace", metavar="NAME", help="Look into this network namespace, by name or inode.")
json = click.option("--json", "as_json", is_flag=True, help="The sockets as JSON; docs/json.md tells each key.")
flags = click.argument("flags", nargs=-1, type=click.UNPROCESSED, metavar="[FLAGS]...")
