"""Facts as JSON for programs: the dictionaries of `facts/saved.py`, pure ASCII, exact bytes recoverable."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from portside.facts.saved import plain
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket, UnixSocket

_AT_A_TIME: Final = 512
"""How many sockets a piece of the text has: those of a hundred thousand are a hundred megabytes."""


def sockets(snapshot: Snapshot, inet: Iterable[Socket], unix: Iterable[UnixSocket]) -> Iterator[str]:
    """These sockets as one line: `{"host": ..., "sockets": [...], "unix_sockets": [...], "missing": [...]}`, in pieces.

    Each is an object with every field of `facts/socket.py`; null means that it could not be read. Bytes that are no
    UTF-8 are the lone surrogates U+DC80 to U+DCFF (PEP 383).
    """
    yield f'{{"host": {json.dumps(snapshot.host)}, "sockets": ['
    yield from _objects(inet)
    yield '], "unix_sockets": ['
    yield from _objects(unix)
    yield f'], "missing": {json.dumps([plain(each) for each in snapshot.missing])}}}\n'


def _objects(facts: Iterable[object]) -> Iterator[str]:
    waiting = iter(facts)
    before = ""
    while some := list(islice(waiting, _AT_A_TIME)):
        yield before + ", ".join(json.dumps(plain(each)) for each in some)
        before = ", "
