"""`portside free`: ports that are free by the rules."""

from __future__ import annotations

import os
from itertools import islice
from typing import Final

import click

from portside.addr.abi import IPPROTO_TCP, IPPROTO_UDP
from portside.cli import source as sources
from portside.cli.source import Complaint, Source
from portside.explain.ephemeral import free_ports

WANT: Final = frozenset({"sockets", "interfaces", "routes", "settings"})
TOO_FEW: Final = 1
"""The exit code when there are fewer."""


def run(count: int, source: Source, *, udp: bool = False, first: int, last: int) -> int:
    """Print so many free ports, one a line. Returns the exit code: 0, or 1 when there are fewer. Raises Complaint."""
    if last < first:
        raise Complaint(f"--from {first} --to {last} holds no port: it ends before it begins")
    found = sources.snapshot(source, WANT)
    process = sources.simulated()
    uid = os.geteuid() if process is None else process.euid
    ports = list(islice(free_ports(found, IPPROTO_UDP if udp else IPPROTO_TCP, first, last, uid), count))
    for port in ports:
        click.echo(port)
    return 0 if len(ports) == count else TOO_FEW
