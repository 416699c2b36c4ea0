"""Facts as JSON for programs: the dictionaries of `facts/saved.py`, pure ASCII, exact bytes recoverable."""

from __future__ import annotations

import json
from collections.abc import Iterable

from portside.facts.saved import plain
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Socket, UnixSocket


def sockets(snapshot: Snapshot, inet: Iterable[Socket], unix: Iterable[UnixSocket]) -> str:
    """These sockets as one line: `{"host": ..., "sockets": [...], "unix_sockets": [...], "missing": [...]}`.

    Each is an object with every field of `facts/socket.py`; null means that it could not be read. Bytes that are no
    UTF-8 are the lone surrogates U+DC80 to U+DCFF (PEP 383).
    """
    body = {
        "host": snapshot.host,
        "sockets": [plain(each) for each in inet],
        "unix_sockets": [plain(each) for each in unix],
        "missing": [plain(each) for each in snapshot.missing],
    }
    return json.dumps(body) + "\n"
