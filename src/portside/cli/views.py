"""`portside ss`, `netstat`, `lsof`, `fuser`, `ip`: the familiar tools on the facts of portside."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from portside.cli import source as sources
from portside.cli.source import Complaint, Source
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket, UnixSocket
from portside.views.names import HostNames
from portside.views.table import OTHERS, Misuse, Report

PIPE = 141
"""128 + SIGPIPE: whoever read the output has gone."""

_View = tuple[
    Callable[[Sequence[str], HostNames], frozenset[str]],
    Callable[[Snapshot, Sequence[str], HostNames], Report],
    Callable[[Snapshot, Sequence[str], HostNames], tuple[list[Socket], list[UnixSocket]]] | None,
]


def _ss(source: Source) -> _View:
    from portside.views import ss

    def show(snapshot: Snapshot, arguments: Sequence[str], names: HostNames) -> Report:
        cgroups = sources.cgroups(source) if ss.options(arguments).extended else ss.NO_CGROUPS
        return ss.show(snapshot, arguments, names, cgroups)

    return lambda arguments, names: ss.wants(arguments), show, ss.select


def _netstat(source: Source) -> _View:
    from portside.views import netstat

    return lambda arguments, names: netstat.wants(arguments), netstat.show, netstat.select


def _lsof(source: Source) -> _View:
    from portside.views import lsof

    return lsof.wants, lsof.show, lsof.select


def _fuser(source: Source) -> _View:
    from portside.views import fuser

    return lambda arguments, names: fuser.wants(arguments), fuser.show, fuser.select


def _ip(source: Source) -> _View:
    from portside.views import ip_addr

    return (
        lambda arguments, names: frozenset(("interfaces",)),
        lambda snapshot, arguments, names: ip_addr.show(snapshot, arguments),
        None,
    )


_VIEWS: Final = {"ss": _ss, "netstat": _netstat, "lsof": _lsof, "fuser": _fuser, "ip": _ip}


def run(tool: str, arguments: Sequence[str], source: Source, *, as_json: bool = False) -> int:
    """Print what the tool prints. Returns its exit code. Raises Complaint when the arguments are not understood."""
    wants, show, select = _VIEWS[tool](source)
    names = HostNames(sources.hosts_file(source), sources.services_file(source))
    try:
        wanted = wants(arguments, names)
        found = sources.snapshot(source, wanted - {OTHERS}, everywhere=OTHERS in wanted)
        if as_json and select is not None:
            from portside.views import json

            return _write((1, piece) for piece in json.sockets(found, *select(found, arguments, names)))
        report = show(found, arguments, names)
    except Misuse as misuse:
        raise Complaint(f"{tool}: {misuse}") from None
    return _write((*report.parts, (2, sources.missing(found)))) or report.status


def _write(parts: Iterable[tuple[int, str]]) -> int:
    """Print pieces of text, each to the file of its number. Returns 0, or PIPE when nobody reads on."""
    try:
        for number, text in parts:
            stream = sys.stdout if number == 1 else sys.stderr
            if stream is not None and text:
                encoding = getattr(stream, "encoding", None) or "utf-8"
                stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
                stream.flush()  # a part of the one stream may stand in the middle of a line of the other
    except BrokenPipeError:
        return PIPE
    return 0
